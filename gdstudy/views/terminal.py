"""What a run says at its end: the terminal's tables, and the claims as text, Markdown and CSV."""

from __future__ import annotations

import csv
import io
import textwrap
from dataclasses import fields
from pathlib import Path

import numpy as np
from pandas import DataFrame

from gdstudy.experiment.tables import Run
from gdstudy.study.optimizers import OPTIMIZERS
from gdstudy.views.claims import by_rule
from gdstudy.views.claims.bibliography import reference, works
from gdstudy.views.claims.rule import HOLDS, VERDICTS, Claim, counted, numbered
from gdstudy.views.closing import closing_table
from gdstudy.views.layout import browse, shown
from gdstudy.views.summary import select
from gdstudy.views.sweeps import Sweep, sweeps


def report(run: Run, folder: Path, table: str = "results.csv") -> str:
    """A table a data set and model, below, at and above the threshold; warnings; where things are.

    table: the file that has the run's numbers.
    """
    lines: list[str] = []
    for sweep in sweeps(run):
        if sweep.size != "n_hidden":
            lines += ["", *closing_table(sweep)]
            lines += _warnings(sweep)
    lines += [
        f"\nresults   {folder / table} and batches/",
        f"figures   {folder / 'figures'}",
        f"page      {folder / 'report.html'}, for any browser",
        *browse(folder, shown(run)),
    ]
    return "\n".join(lines)


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
    for rule, rows in by_rule(claims):
        check = "A check, not counted: at this level nothing is changed. " * rule.check
        lines += ["", f"**{rule.sentence}** ({rule.said_in}). {check}Number: {rule.measure}.", ""]
        lines += [f"| data set | number | holds if {rows[0].threshold} |", "|---|---:|---|"]
        lines += [f"| {row.where} | {row.number:.3g} | {_emphasis(row)}{row.of_cells} |" for row in rows]
    keys = {key for rule, _ in by_rule(claims) for key in rule.source}
    lines += ["", "## References", "", *(f"- {reference(key)}" for key in works() if key in keys)]
    return "\n".join(lines) + "\n"


def claims_text(claims: list[Claim]) -> str:
    """What the terminal shows: a claim, and under it the number of each data set, marked where it does not hold."""
    lines = []
    for rule, rows in by_rule(claims):
        held = sum(row.verdict == HOLDS for row in rows)
        verb = "check" if rule.check else "holds"
        lines += [f"{verb} {held:>2} of {len(rows):<2} {rule.claim} ({rule.said_in}); {rows[0].threshold}:"]
        numbers = [f"{row.where} {row.number:.3g}{_unless_held(row)}{row.of_cells}" for row in rows]
        lines += [textwrap.fill(", ".join(numbers), 110, initial_indent=" " * 15, subsequent_indent=" " * 15)]
    return "\n".join([*lines, _count(claims)])


def _unless_held(claim: Claim) -> str:
    return f" [{_verdict(claim)}]" if claim.verdict != HOLDS else ""


def _verdict(claim: Claim) -> str:
    return f"{claim.verdict}: {claim.reason}" if claim.reason else claim.verdict


def _emphasis(claim: Claim) -> str:
    return claim.verdict if claim.verdict == HOLDS else f"**{_verdict(claim)}**"


def _count(claims: list[Claim]) -> str:
    """Claims by their verdicts, and beside them how many checks hold."""
    counts, checks = counted(claims)
    total = sum(counts.values())
    if not counts[VERDICTS[-1]]:  # a run that could decide everything need not say so
        del counts[VERDICTS[-1]]
    said = f"{total} claims on data sets: " + ", ".join(numbered(n, verdict) for verdict, n in counts.items()) + "."
    return f"{said} {checks}".rstrip()
