"""What a run says at its end: the terminal's tables, and the claims as text, Markdown and CSV."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from gdstudy.experiment.tables import Table
from gdstudy.study.config import Study
from gdstudy.views.claims import RULES
from gdstudy.views.claims.rule import HOLDS, VERDICTS, Claim
from gdstudy.views.summary import Sweep, relative, representative_sizes, sweeps, trained_rows

# What a closed form is called in a column's head.
_REFERENCES = {"min_norm": "X⁺y", "pca": "PCA", "reduced_rank": "best map"}


def report(study: Study, results: Table, curves: Table, folder: Path) -> str:
    """A table a data set and model, below, at and above the threshold; warnings; where things are."""
    lines: list[str] = []
    for sweep in sweeps(relative(results), curves):
        if sweep.size != "n_hidden":
            columns = _superposition(sweep) if sweep.model in SUPERPOSITIONS else _columns(sweep)
            lines += ["", *_table(study, sweep, columns)]
            lines += _warnings(study, sweep)
    lines += [
        f"\nresults   {folder / 'results.csv'} and batches/",
        f"figures   {folder / 'figures'}",
        f"browse    tensorboard --logdir {folder}",
        "          then open http://localhost:6006/?smoothing=0#timeseries",
    ]
    return "\n".join(lines)


@dataclass(frozen=True)
class _Column:
    """head, width, format of a number, and the number at a size."""

    head: str
    width: int
    form: str
    number: Callable[[int], float]


def _median(sweep: Sweep, table: Table, value: str) -> Callable[[int], float]:
    return lambda size: sweep.at(table, size, value)


def _columns(sweep: Sweep) -> list[_Column]:
    """The closed form's error and, where something was trained, its own and how far it came."""
    error, said = ("relative_test_mse", "lost") if sweep.model in AUTOENCODERS else ("test_mse", "test MSE")
    name = _REFERENCES[sweep.reference]
    if sweep.model in AUTOENCODERS and name == "X⁺y":
        name = "X⁺X"
    columns = [_Column(f"{said}, {name}", 16, ".4g", _median(sweep, sweep.rows, error))]
    trained = sweep.trained
    if len(trained["seed"]):
        columns += [
            _Column(str(trained["estimator"][0]).upper(), 12, ".4g", _median(sweep, trained, error)),
            _Column("distance", 11, ".1e", _median(sweep, trained, "distance")),
            _Column("converged", 11, ".0%", lambda size: _share(sweep, trained, size, "converged")),
        ]
        if sweep.reference == "min_norm":
            columns += [_Column("steps left", 12, ".2g", _median(sweep, trained, "steps_to_tolerance"))]
    return columns


def _superposition(sweep: Sweep) -> list[_Column]:
    """Losses are 1 for an output of zero. D·N/m: median dimensionality of data points over that of all alike, m/N."""
    rows, m = sweep.rows, int(sweep.rows["n_hidden"][0])
    return [
        _Column("test loss", 12, ".4g", _median(sweep, rows, "relative_test_mse")),
        _Column("train loss", 12, ".4g", _median(sweep, rows, "relative_train_mse")),
        _Column("‖W‖", 9, ".3g", _median(sweep, rows, "weight_norm")),
        _Column("D·N/m", 9, ".2f", lambda n: sweep.at(rows, n, "data_point_dimension") * max(1, n / m)),
    ]


def _share(sweep: Sweep, rows: Table, size: int, status: str) -> float:
    return float((rows["status"][rows[sweep.size] == size] == status).mean())


def _table(study: Study, sweep: Sweep, columns: list[_Column]) -> list[str]:
    rows, other = sweep.rows, "P" if sweep.size == "n_train" else "N"
    swept, k = "N" if other == "P" else "P", rows["n_hidden"][0]
    name = sweep.dataset if sweep.model == "linear" else f"{sweep.dataset}, {sweep.model}"
    hidden = "" if np.isnan(k) else f", {k:.0f} hidden"
    inputs = sweep.model in SUPERPOSITIONS  # where P is no threshold
    held = f"n = {sweep.threshold} inputs" if inputs else f"{other} = {sweep.threshold}"
    lines = [f"{name}  ({held}{hidden}; medians over {study.seeds} seeds)"]
    lines += [f"{swept:>9}" + "".join(f"{column.head:>{column.width}}" for column in columns)]
    for size in _sizes(sweep):
        mark = "<" if size < sweep.threshold else "=" if size == sweep.threshold else ">"
        numbers = "".join(f"{column.number(size):>{column.width}{column.form}}" for column in columns)
        lines += [f"{size:>9}{numbers}" if inputs else f"{size:>5} {mark} {other}{numbers}"]
    return lines


def _sizes(sweep: Sweep) -> list[int]:
    """Below, at and above the threshold; where it is elsewhere, at the ends and at the worst."""
    if sweep.model not in SUPERPOSITIONS:
        return representative_sizes(sweep.rows[sweep.size], sweep.threshold)
    curve = sweep.median(sweep.rows)
    return sorted({int(curve.x[0]), int(curve.x[curve.median.argmax()]), int(curve.x[-1])})


def _warnings(study: Study, sweep: Sweep) -> list[str]:
    trained = trained_rows(sweep.results)
    lines, n_cells = [], len(trained["status"])
    if diverged := int((trained["status"] == "diverged").sum()):
        limits = trained["step_size_limit"][np.isfinite(trained["step_size_limit"].astype(float))]
        remedy = f"lower gd.step_size={study.gd.step_size}"
        if study.gd.step_size.value == "auto":
            remedy = "lower gd.init_scale, or give a gd.step_size"
        elif len(limits):
            remedy = f"gd.step_size={study.gd.step_size} must lie below its limit, which is {limits.min():.3g} for the "
            remedy += "narrowest cell; use `auto`"
        lines += [f"  {diverged} of {n_cells} cells diverged: {remedy}"]
    if stalled := int((trained["status"] == "stalled").sum()):
        lines += [
            f"  {stalled} of {n_cells} cells stalled: zero is a saddle of {sweep.model}, where each layer's gradient "
            "is a product with the other layer, and no step leaves it; start small instead"
        ]
    unfinished = int((trained["status"] == "max_steps").sum())
    if unfinished and study.gd.optimizer == "gd":
        lines += [f"  {unfinished} of {n_cells} cells were cut off at gd.steps={study.gd.steps:,}"]
    return lines


def claims_csv(claims: list[Claim]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(Claim))
    writer.writerows([getattr(claim, field.name) for field in fields(Claim)] for claim in claims)
    return text.getvalue()


def claims_markdown(claims: list[Claim], title: str) -> str:
    """A table a claim, a row a data set."""
    lines = [f"# {title}", "", _count(claims)]
    for rule in RULES:
        rows = [claim for claim in claims if claim.claim == rule.claim]
        if rows:
            lines += ["", f"**{rule.claim[0].upper()}{rule.claim[1:]}** ({rule.source}). Number: {rule.measure}.", ""]
            lines += [f"| data set | number | holds if {rows[0].threshold} |", "|---|---:|---|"]
            lines += [f"| {_where(row)} | {row.number:.3g}{_cells(row)} | {_emphasis(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def claims_text(claims: list[Claim]) -> str:
    """What the terminal shows: a claim, and under it the number of each data set, marked where it does not hold."""
    lines = []
    for rule in RULES:
        rows = [claim for claim in claims if claim.claim == rule.claim]
        if rows:
            held = sum(row.verdict == HOLDS for row in rows)
            lines += [f"holds {held:>2} of {len(rows):<2} {rule.claim} ({rule.source}); {rows[0].threshold}:"]
            numbers = [f"{_where(r)} {r.number:.3g}{_cells(r)}" + _unless_held(r) for r in rows]
            lines += [textwrap.fill(", ".join(numbers), 110, initial_indent=" " * 15, subsequent_indent=" " * 15)]
    return "\n".join([*lines, _count(claims)])


def _where(claim: Claim) -> str:
    return claim.dataset if claim.model == "linear" else f"{claim.dataset} ({claim.model})"


def _cells(claim: Claim) -> str:
    return f" ({claim.cells})" if claim.cells else ""


def _unless_held(claim: Claim) -> str:
    return f" [{_verdict(claim)}]" if claim.verdict != HOLDS else ""


def _verdict(claim: Claim) -> str:
    return f"{claim.verdict}: {claim.reason}" if claim.reason else claim.verdict


def _emphasis(claim: Claim) -> str:
    return claim.verdict if claim.verdict == HOLDS else f"**{_verdict(claim)}**"


def _count(claims: list[Claim]) -> str:
    counts = {verdict: sum(claim.verdict == verdict for claim in claims) for verdict in VERDICTS}
    if not counts[VERDICTS[-1]]:  # a run that could decide everything need not say so
        del counts[VERDICTS[-1]]
    return f"{len(claims)} claims on data sets: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items()) + "."
