"""What a page says without a script: errors at the threshold, how training ended, claims, figures and works, as tables
and texts that the template lays out and escapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pandas import DataFrame

from gdstudy.study.ablations import ABLATIONS
from gdstudy.study.status import WORDS, Status
from gdstudy.views.claims import HOLDS, Claim, by_rule
from gdstudy.views.claims.bibliography import cited, works
from gdstudy.views.closing import differences, distances, landmarks, steps_left
from gdstudy.views.figures import FIGURES
from gdstudy.views.html.embedded import picture
from gdstudy.views.html.explorer import error_label, lines, names, place, title
from gdstudy.views.summary import by_size, select
from gdstudy.views.sweeps import Sweep
from gdstudy.views.words import percent

# Figures that a page holds, together; others are named.
_MOST_BYTES = 2_400_000
_PAPER = "schaeffer2023"


@dataclass(frozen=True)
class Table:
    """caption; heads of the columns; rows, whose first cell heads them; notes below."""

    caption: str
    head: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)


def number(value: float, form: str = ".4g") -> str:
    """As tables show it: ∞ where a median is of cells that diverged, – where there is none."""
    if np.isnan(value):
        return "–"
    return "∞" if np.isinf(value) else format(value, form)


def errors_at_threshold(sweep: Sweep) -> Iterator[Table]:
    """Errors, and accuracies, of every estimator below, at and above the threshold, nothing ablated."""
    # What is held stands in the title of a sweep along P.
    along_n = sweep.size == "n_train" and sweep.model.has_threshold
    about = title(sweep) + (f" (P = {sweep.threshold})" if along_n else "")
    sizes, lines = landmarks(sweep), list(_lines(sweep))
    yield Table(
        f"{about}: test {error_label(sweep)}",
        ["", *(place(sweep, size) for size in sizes)],
        [[label, *(_cell(sweep, rows, size, sweep.error()) for size in sizes)] for label, rows in lines],
    )
    if sweep.classes:
        yield Table(
            f"{about}: share of test rows put in their class (no unit)",
            ["", *(place(sweep, size) for size in sizes)],
            [
                [label, *(_cell(sweep, rows, size, "test_accuracy", ".3f") for size in sizes)]
                for label, rows in lines
                if rows["test_accuracy"].notna().any()
            ],
        )


def _lines(sweep: Sweep) -> Iterator[tuple[str, DataFrame]]:
    """What it is called → its rows: the closed form, trainings, the expectation, other closed forms."""
    yield from lines(sweep)
    theory = select(sweep.results, estimator="theory", ablation="none")
    if len(theory):
        yield names(sweep)["theory"], theory
    for (form, level), rows in sweep.beside.items():
        yield form.label + (f", {form.named(level)}" if form.levels else ""), rows


def _cell(sweep: Sweep, rows: DataFrame, size: int, column: str, form: str = ".4g") -> str:
    """`1005 (389.1 – 2650)`."""
    here = select(rows[[sweep.size, column, "status"]], **{sweep.size: size})
    if not len(here):
        return "–"
    curve = by_size(here, column, sweep.size)
    low, middle, high = (number(float(band[0]), form) for band in (curve.low, curve.median, curve.high))
    return middle if len(here) == 1 else f"{middle} ({low} – {high})"


def certificates(sweep: Sweep) -> Table | None:
    """How each training ended below, at and above the threshold, how it compares with its closed form within each cell,
    and what is left to learn; None without trainings."""
    if not sweep.by_training:
        return None
    called, same = names(sweep), sweep.reference in sweep.by_training
    closed = "" if same else f"error − that of {called[sweep.reference]}"
    rows = []
    for name, trained in sweep.by_training.items():
        for size in landmarks(sweep):
            here = select(trained, **{sweep.size: size})
            if len(here):
                more = [] if same else [differences(sweep, trained, size)]
                distance = distances(here) if here["distance"].notna().any() else "–"
                values = [*more, distance, steps_left(here), _middle(here, "slowest_singular_value", ".2g")]
                leak = _middle(here, "row_space_leak", ".1e")
                rows.append([f"{called[name]}, {place(sweep, size)}", _ended(here), *values, leak])
    left = ["distance to its limit", "steps left", "slowest mode, σ (units of X)", "row-space leak"]
    return Table(f"{title(sweep)}: how training ended", ["", "ended", *filter(None, [closed]), *left], rows)


def _middle(rows: DataFrame, column: str, form: str) -> str:
    values = rows[column].to_numpy(dtype=float)
    known = values[~np.isnan(values)]
    return number(float(np.median(known)) if len(known) else np.nan, form)


def _ended(rows: DataFrame) -> str:
    shares = rows["status"].value_counts(normalize=True)
    return ", ".join(f"{percent(share)} {_spoken(str(word))}" for word, share in shares.items() if share)


def _spoken(word: str) -> str:
    return word.replace("_", " ")


def statuses(results: DataFrame) -> list[tuple[str, int, str, str]]:
    """(status, cells and levels that have it, what it means, what to do) of those that trainings ended with."""
    counts = results["status"].value_counts()
    found = [(word, int(counts.get(word, 0)), Status(k)) for k, word in enumerate(WORDS)]
    return [(_spoken(word), n, status.meaning, status.remedy) for word, n, status in found if n]


@dataclass(frozen=True)
class Decided:
    """A claim on all data sets of a run. check: it is not counted. rows: (data set, number, verdict and why)."""

    claim: str
    said_in: str
    measure: str
    threshold: str
    held: int
    check: bool
    rows: list[tuple[str, str, str, str]]


def decided(claims: Sequence[Claim]) -> list[Decided]:
    found = []
    for rule, rows in by_rule(claims):
        lines = [(c.where, f"{number(c.number, '.3g')}{c.of_cells}", c.verdict, c.reason) for c in rows]
        held = sum(c.verdict == HOLDS for c in rows)
        found.append(Decided(rule.sentence, rule.said_in, rule.measure, rows[0].threshold, held, rule.check, lines))
    return found


def references(claims: Sequence[Claim]) -> list[tuple[str, Any]]:
    """(as it is cited, the work) of those that the claims stand on, and of the paper."""
    keys = {_PAPER, *(key for rule, _ in by_rule(claims) for key in rule.source)}
    return [(cited(key), work) for key, work in works().items() if key in keys]


@dataclass(frozen=True)
class Picture:
    """name, what it shows, and all of it as an address."""

    name: str
    about: str
    address: str


def pictures(pngs: Mapping[str, bytes]) -> tuple[list[Picture], list[str]]:
    """The figures of a run in their order, as many as fit in a page, and the names of the others."""
    shown, left_out, bytes_left = [], [], _MOST_BYTES
    for name in FIGURES:
        if name in pngs:
            bytes_left -= len(pngs[name])
            if bytes_left < 0:
                left_out.append(name)
            else:
                shown.append(Picture(name, _about(name), picture(pngs[name])))
    return shown, left_out


def _about(name: str) -> str:
    """What a figure shows, in a line."""
    for ablation, facts in ABLATIONS.items():
        if name == ablation:
            return facts.question
        if name == f"{ablation}_trained":
            return facts.of_gd
    return (FIGURES[name].__doc__ or name).split("\n\n")[0].replace("\n", " ")
