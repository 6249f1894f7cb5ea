"""What a run says at its end: the terminal's tables, and the claims as text, Markdown and CSV."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from pandas import DataFrame

from gdstudy.experiment.tables import Run
from gdstudy.study.models import MODELS
from gdstudy.study.optimizers import OPTIMIZERS
from gdstudy.views.claims import RULES
from gdstudy.views.claims.bibliography import reference, works
from gdstudy.views.claims.rule import HOLDS, VERDICTS, Claim
from gdstudy.views.summary import representative_sizes, select
from gdstudy.views.sweeps import Sweep, sweeps

# What a closed form is called in a column's head.
_REFERENCES = {"min_norm": "X⁺y", "pca": "PCA", "reduced_rank": "best map"}
_WIDEST = 110  # letters of a table's columns


def report(run: Run, folder: Path, table: str = "results.csv") -> str:
    """A table a data set and model, below, at and above the threshold; warnings; where things are.

    table: the file that has the run's numbers.
    """
    lines: list[str] = []
    for sweep in sweeps(run):
        if sweep.size != "n_hidden":
            lines += ["", *_table(sweep, _columns(sweep) if sweep.model.has_threshold else _losses(sweep))]
            lines += _warnings(sweep)
    lines += [
        f"\nresults   {folder / table} and batches/",
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


def _median(sweep: Sweep, table: DataFrame, value: str) -> Callable[[int], float]:
    return lambda size: sweep.at(table, size, value)


def _columns(sweep: Sweep) -> list[_Column]:
    """The closed form's error and, of each training, its own and how far it came; of the first alone where all do not
    fit. Then errors of the other closed forms, as many as fit."""
    error, said = ("relative_test_mse", "lost") if sweep.model.autoencoder else ("test_mse", "test MSE")
    name = "X⁺X" if sweep.model.autoencoder and sweep.reference == "min_norm" else _REFERENCES[sweep.reference]
    columns = [_Column(f"{said}, {name}", 16, ".4g", _median(sweep, sweep.rows, error))]
    if sweep.classes:
        columns += [_Column(f"accuracy, {name}", 16, ".3f", _median(sweep, sweep.rows, "test_accuracy"))]
    each = [
        [
            _Column(_heading(name), max(12, len(name) + 2), ".4g", _median(sweep, rows, error)),
            *([_Column("accuracy", 10, ".3f", _median(sweep, rows, "test_accuracy"))] if sweep.classes else []),
            *_progress(sweep, rows),
        ]
        for name, rows in sweep.by_training.items()
    ]
    if sum(column.width for group in (columns, *each) for column in group) > _WIDEST:
        each = [*each[:1], *(group[:1] for group in each[1:])]
    shown = [column for group in (columns, *each) for column in group]
    for (form, level), rows in sweep.beside.items():  # as many as fit
        head = form.named(level) if form.levels else form.name
        shown += [_Column(head, max(12, len(head) + 2), ".4g", _median(sweep, rows, error))]
        if sweep.classes:
            shown += [_Column("accuracy", 10, ".3f", _median(sweep, rows, "test_accuracy"))]
    fits = sum(column.width for column in shown)
    while fits > _WIDEST and len(shown) > len(columns) + sum(map(len, each)):
        fits -= shown.pop().width
    return shown


def _heading(training: str) -> str:
    """A training as its column is called."""
    return {"gd": "GD"}.get(training, training)


def _progress(sweep: Sweep, trained: DataFrame) -> list[_Column]:
    columns = [
        _Column("distance", 11, ".1e", _median(sweep, trained, "distance")),
        _Column("converged", 11, ".0%", lambda size: _share(sweep, trained, size, "converged")),
    ]
    if sweep.reference == "min_norm" and trained["steps_to_tolerance"].notna().any():
        columns += [_Column("steps left", 12, ".2g", _median(sweep, trained, "steps_to_tolerance"))]
    return columns


def _losses(sweep: Sweep) -> list[_Column]:
    """Losses are 1 for an output of zero. D·N/m: median dimensionality of data points over that of all alike, m/N."""
    rows, m = sweep.rows, int(sweep.first("n_hidden"))
    others = [
        _Column(_heading(name), max(12, len(name) + 2), ".4g", _median(sweep, table, "relative_test_mse"))
        for name, table in list(sweep.by_training.items())[1:]
    ]
    return [
        _Column("test loss", 12, ".4g", _median(sweep, rows, "relative_test_mse")),
        _Column("train loss", 12, ".4g", _median(sweep, rows, "relative_train_mse")),
        _Column("‖W‖", 9, ".3g", _median(sweep, rows, "weight_norm")),
        _Column("D·N/m", 9, ".2f", lambda n: sweep.at(rows, n, "data_point_dimension") * max(1, n / m)),
        *others,
    ]


def _share(sweep: Sweep, rows: DataFrame, size: int, status: str) -> float:
    return float((select(rows, **{sweep.size: size})["status"] == status).mean())


def _table(sweep: Sweep, columns: list[_Column]) -> list[str]:
    other = "P" if sweep.size == "n_train" else "N"
    swept = "N" if other == "P" else "P"
    name = sweep.dataset if sweep.model.regression else f"{sweep.dataset}, {sweep.model.name}"
    hidden = f", {sweep.first('n_hidden'):.0f} hidden" if sweep.model.layered else ""
    held = f"{other} = {sweep.threshold}" if sweep.model.has_threshold else f"n = {sweep.threshold} inputs"
    lines = [f"{name}  ({held}{hidden}; medians over {len(sweep.study.seeds)} seeds)"]
    lines += [f"{swept:>9}" + "".join(f"{column.head:>{column.width}}" for column in columns)]
    for size in _sizes(sweep):
        mark = "<" if size < sweep.threshold else "=" if size == sweep.threshold else ">"
        numbers = "".join(f"{column.number(size):>{column.width}{column.form}}" for column in columns)
        lines += [f"{size:>5} {mark} {other}{numbers}" if sweep.model.has_threshold else f"{size:>9}{numbers}"]
    return lines


def _sizes(sweep: Sweep) -> list[int]:
    """Below, at and above the threshold; where it is elsewhere, at the ends and at the worst."""
    if sweep.model.has_threshold:
        return representative_sizes(sweep.rows[sweep.size].to_numpy(), sweep.threshold)
    curve = sweep.median(sweep.rows)
    return sorted({int(curve.x[0]), int(curve.x[curve.median.argmax()]), int(curve.x[-1])})


def _warnings(sweep: Sweep) -> list[str]:
    """Cells of each training, ablated or not, that did not end as they should."""
    lines = []
    for name, training in sweep.study.trained.items():
        trained = select(sweep.results, estimator=name)
        counts, of = trained["status"].value_counts(), f"of {len(trained)} cells"
        if len(sweep.by_training) > 1:
            of += f" of {name}"
        if diverged := int(counts.get("diverged", 0)):
            lines += [f"  {diverged} {of} diverged: {_lower(sweep, name, trained)}"]
        if stalled := int(counts.get("stalled", 0)):
            lines += [
                f"  {stalled} {of} stalled: zero is a saddle of {sweep.model.name}, where each layer's gradient "
                "is a product with the other layer, and no step leaves it; start small instead"
            ]
        unfinished = int(counts.get("max_steps", 0))
        if unfinished and OPTIMIZERS[training.optimizer].plain:
            lines += [f"  {unfinished} {of} were cut off at {_key(sweep, name, 'steps')}={training.steps:,}"]
    return lines


def _key(sweep: Sweep, training: str, setting: str) -> str:
    """Where a setting of a training is said: its own, or of all."""
    return f"trainings.{training}.{setting}" if setting in sweep.study.trainings.get(training, {}) else f"gd.{setting}"


def _lower(sweep: Sweep, training: str, trained: DataFrame) -> str:
    """What to do where cells diverged."""
    key, step_size = _key(sweep, training, "step_size"), sweep.study.trained[training].step_size
    if step_size.value == "auto":
        return f"lower {_key(sweep, training, 'init_scale')}, or give a {key}"
    limit = trained["step_size_limit"].min()
    if np.isnan(limit):
        return f"lower {key}={step_size}"
    return f"{key}={step_size} must lie below its limit, which is {limit:.3g} for the narrowest cell; use `auto`"


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
            check = "A check, not counted: at this level nothing is changed. " * rule.check
            said = f"**{rule.claim[0].upper()}{rule.claim[1:]}** ({rule.said_in}). {check}Number: {rule.measure}."
            lines += ["", said, ""]
            lines += [f"| data set | number | holds if {rows[0].threshold} |", "|---|---:|---|"]
            lines += [f"| {_where(row)} | {row.number:.3g} | {_emphasis(row)}{_cells(row)} |" for row in rows]
    keys = {key for rule in RULES for key in rule.source if any(claim.claim == rule.claim for claim in claims)}
    lines += ["", "## References", "", *(f"- {reference(key)}" for key in works() if key in keys)]
    return "\n".join(lines) + "\n"


def claims_text(claims: list[Claim]) -> str:
    """What the terminal shows: a claim, and under it the number of each data set, marked where it does not hold."""
    lines = []
    for rule in RULES:
        rows = [claim for claim in claims if claim.claim == rule.claim]
        if rows:
            held = sum(row.verdict == HOLDS for row in rows)
            verb = "check" if rule.check else "holds"
            lines += [f"{verb} {held:>2} of {len(rows):<2} {rule.claim} ({rule.said_in}); {rows[0].threshold}:"]
            numbers = [f"{_where(r)} {r.number:.3g}" + _unless_held(r) + _cells(r) for r in rows]
            lines += [textwrap.fill(", ".join(numbers), 110, initial_indent=" " * 15, subsequent_indent=" " * 15)]
    return "\n".join([*lines, _count(claims)])


def _where(claim: Claim) -> str:
    # Of a plain model there is no more to say; of others also along which size.
    return claim.dataset if claim.model in MODELS else f"{claim.dataset} ({claim.model})"


def _cells(claim: Claim) -> str:
    return f" ({claim.cells})" if claim.cells else ""


def _unless_held(claim: Claim) -> str:
    return f" [{_verdict(claim)}]" if claim.verdict != HOLDS else ""


def _verdict(claim: Claim) -> str:
    return f"{claim.verdict}: {claim.reason}" if claim.reason else claim.verdict


def _emphasis(claim: Claim) -> str:
    return claim.verdict if claim.verdict == HOLDS else f"**{_verdict(claim)}**"


def _count(claims: list[Claim]) -> str:
    """Claims by their verdicts, and beside them how many checks hold."""
    checks, claims = [c for c in claims if c.check], [c for c in claims if not c.check]
    counts = {verdict: sum(claim.verdict == verdict for claim in claims) for verdict in VERDICTS}
    if not counts[VERDICTS[-1]]:  # a run that could decide everything need not say so
        del counts[VERDICTS[-1]]
    said = f"{len(claims)} claims on data sets: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items()) + "."
    held = sum(check.verdict == HOLDS for check in checks)
    return said + (f" Beside them {held} of {len(checks)} checks hold." if checks else "")
