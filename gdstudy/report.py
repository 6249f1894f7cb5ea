"""What a run says at its end: the terminal's tables, and the claims as text, Markdown and CSV."""

from __future__ import annotations

import csv
import io
import textwrap
from dataclasses import fields
from pathlib import Path

from gdstudy.claims import DOES_NOT_HOLD, HOLDS, PARTLY, RULES, Claim
from gdstudy.config import Study
from gdstudy.summary import Sweep, Table, representative_sizes, select, sweeps


def report(study: Study, results: Table, curves: Table, folder: Path) -> str:
    """A table a data set and model, below, at and above the threshold; warnings; where things are."""
    lines: list[str] = []
    for sweep in sweeps(results, curves):
        lines += ["", *_table(study, sweep)]
        lines += _warnings(study, select(sweep.results, estimator="gd"))
    lines += [
        f"\nresults   {folder / 'results.csv'} and results.sqlite",
        f"figures   {folder / 'figures'}",
        f"browse    tensorboard --logdir {folder}",
        "          then open http://localhost:6006/?smoothing=0#timeseries",
    ]
    return "\n".join(lines)


def _table(study: Study, sweep: Sweep) -> list[str]:
    rows, other = sweep.rows, "P" if sweep.size == "n_train" else "N"
    swept = "N" if other == "P" else "P"
    name = rows["dataset"][0] if rows["model"][0] == "linear" else f"{rows['dataset'][0]}, {rows['model'][0]}"
    gd = select(sweep.results, estimator="gd", ablation="none")
    trained = len(gd["seed"]) > 0
    lines = [f"{name}  ({other} = {sweep.threshold}; medians over {study.seeds} seeds)"]
    more = f"{'GD':>12}{'distance':>11}{'converged':>11}{'steps left':>12}" if trained else ""
    lines += [f"{swept:>9}{'test MSE, X⁺y':>16}{more}"]
    for size in representative_sizes(rows[sweep.size], sweep.threshold):
        mark = "<" if size < sweep.threshold else "=" if size == sweep.threshold else ">"
        line = f"{size:>5} {mark} {other}{sweep.at(rows, size):>16.4g}"
        if trained:
            mse, distance, left = (sweep.at(gd, size, c) for c in ("test_mse", "distance", "steps_to_tolerance"))
            share = (gd["status"][gd[sweep.size] == size] == "converged").mean()
            line += f"{mse:>12.4g}{distance:>11.1e}{share:>11.0%}{left:>12.2g}"
        lines += [line]
    return lines


def _warnings(study: Study, gd: Table) -> list[str]:
    lines, n_cells = [], len(gd["status"])
    if diverged := int((gd["status"] == "diverged").sum()):
        lines += [
            f"  {diverged} of {n_cells} cells diverged: gd.step_size={study.gd.step_size} must lie below "
            f"2/σ₁², which is {gd['step_size_limit'].min():.3g} for the narrowest cell; use `auto`"
        ]
    if unfinished := int((gd["status"] == "max_steps").sum()):
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
            lines += [f"| {_where(row)} | {row.number:.3g} | {_emphasis(row.verdict)} |" for row in rows]
    return "\n".join(lines) + "\n"


def claims_text(claims: list[Claim]) -> str:
    """What the terminal shows: a claim, and under it the number of each data set, marked where it does not hold."""
    lines = []
    for rule in RULES:
        rows = [claim for claim in claims if claim.claim == rule.claim]
        if rows:
            held = sum(row.verdict == HOLDS for row in rows)
            lines += [f"holds {held:>2} of {len(rows):<2} {rule.claim} ({rule.source}); {rows[0].threshold}:"]
            numbers = [f"{_where(r)} {r.number:.3g}" + (f" [{r.verdict}]" if r.verdict != HOLDS else "") for r in rows]
            lines += [textwrap.fill(", ".join(numbers), 110, initial_indent=" " * 15, subsequent_indent=" " * 15)]
    return "\n".join([*lines, _count(claims)])


def _where(claim: Claim) -> str:
    return claim.dataset if claim.model == "linear" else f"{claim.dataset} ({claim.model})"


def _emphasis(verdict: str) -> str:
    return verdict if verdict == HOLDS else f"**{verdict}**"


def _count(claims: list[Claim]) -> str:
    counts = {verdict: sum(claim.verdict == verdict for claim in claims) for verdict in (HOLDS, PARTLY, DOES_NOT_HOLD)}
    return f"{len(claims)} claims on data sets: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items()) + "."
