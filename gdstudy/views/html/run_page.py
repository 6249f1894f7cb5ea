"""report.html of a run: its question, its answer, its claims, every number, and how to have it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pandas import DataFrame

from gdstudy.experiment.tables import Run
from gdstudy.study.columns import TABLES
from gdstudy.study.parser import as_yaml
from gdstudy.views.claims.rule import HOLDS, Claim, counted, numbered
from gdstudy.views.html import contents
from gdstudy.views.html.described import described, question
from gdstudy.views.html.embedded import page, table_data
from gdstudy.views.html.explorer import SYMBOLS, explorer_data
from gdstudy.views.quartiles import BANDS
from gdstudy.views.summary import select
from gdstudy.views.sweeps import Sweep, sweeps

# What the table of a page is made of: of errors quartiles, of the others medians.
_ERRORS, _OTHERS = (
    ("test_mse", "train_mse"),
    ("distance", "test_accuracy", "smallest_singular_value", "condition_number"),
)
NUMBERS = (*_ERRORS, *_OTHERS)
_KEYS = ("dataset", "preprocess", "input_noise", "model", "estimator", "ablation", "level")
_SIZES = ("n_parameters", "n_hidden", "n_train")
_MOST_ROWS = 20_000
_THRESHOLD = "below, at and above the threshold"
_COLUMNS = {column.name: column for column in TABLES["results"]}


def run_page(
    name: str,
    run: Run,
    summary: DataFrame,
    claims: Sequence[Claim],
    figures: Mapping[str, bytes],
) -> bytes:
    """The page of a run as UTF-8 HTML.

    name: what it is called; summary: of `summarised`, with NUMBERS at least; figures: name → PNG.
    """
    shown, left_out = contents.pictures(figures)
    listed, rows_left_out = _listed(summary, sweeps(run))
    counts, checks = counted(claims)
    of_runs = [sweep for sweep in sweeps(run) if sweep.size != "n_hidden"]
    return page(
        "run.html.j2",
        "explorer.js",
        {**explorer_data(run), "table": table_data(listed, _labels(listed))},
        name=name,
        question=question(run.study),
        unfinished=run.unfinished,
        swept=" and ".join(dict.fromkeys(SYMBOLS[sweep.size] for sweep in of_runs)),
        landmarks=_THRESHOLD if any(s.model.has_threshold for s in of_runs) else "at both ends and at the worst",
        splits=len(run.study.seeds),
        errors=[table for sweep in of_runs for table in contents.errors_at_threshold(sweep)],
        counts={verdict: numbered(n, verdict) for verdict, n in counts.items() if n or verdict == HOLDS},
        counted=sum(counts.values()),
        checks=checks,
        claims=contents.decided(claims),
        certificates=[table for sweep in of_runs if (table := contents.certificates(sweep)) is not None],
        statuses=contents.statuses(run.results),
        pictures=shown,
        pictures_left_out=left_out,
        rows_left_out=rows_left_out,
        described=list(described(run.study, _cells(summary))),
        in_short=as_yaml(run.study, short=True),
        in_full=as_yaml(run.study),
        made_by=_told(run.made_by),
        fingerprints=run.study.fingerprints,
        references=contents.references(claims),
    )


def _cells(summary: DataFrame) -> int:
    """Training problems that a run has results of."""
    keys = ["dataset", "preprocess", "input_noise", "model", *_SIZES]
    of_cells = summary[(summary["estimator"] != "theory").to_numpy()]
    return int(of_cells.groupby(keys, observed=True, dropna=False)["cells"].max().sum())


def _listed(summary: DataFrame, charts: Sequence[Sweep]) -> tuple[DataFrame, int]:
    """The rows of a page's table, and how many are left out: ablated ones first, and of others those of no chart."""
    left_out = max(0, len(summary) - _MOST_ROWS)
    if left_out:
        charted = np.zeros(len(summary), dtype=bool)
        for sweep in charts:
            held = {name: sweep.first(name) for name in _SIZES if name != sweep.size and sweep.rows[name].notna().all()}
            charted[summary.index.get_indexer(select(summary, **sweep.keys, **held).index)] = True
        rank = 2 * (summary["ablation"] != "none").to_numpy() + ~charted
        summary = summary.iloc[np.sort(np.argsort(rank, kind="stable")[:_MOST_ROWS])]
    return summary, left_out


def _labels(summary: DataFrame) -> dict[str, tuple[str, str]]:
    """Columns of the table that say something → heading and meaning."""
    found, always = {}, ("dataset", "model", "estimator", "n_train", _SIZES[0])
    for name in (*_KEYS, *_SIZES):
        if name in always or summary[name].nunique(dropna=False) > 1:
            found[name] = (_COLUMNS[name].label, _meaning(name))
    found["cells"] = ("cells", "How many splits the medians are of.")
    if summary["diverged"].any():
        found["diverged"] = ("diverged", "How many of them diverged, and count as at their worst.")
    for number in NUMBERS:
        for band in ("median", *(b for b in BANDS if b != "median" and number in _ERRORS)):
            if (column := f"{number}_{band}") in summary:
                said = {"median": "", "q25": ", lower quartile", "q75": ", upper quartile"}[band]
                found[column] = (f"{_COLUMNS[number].label}{said}", _meaning(number))
    return found


def _meaning(name: str) -> str:
    unit = _COLUMNS[name].unit
    return _COLUMNS[name].meaning + (f" In {unit}." if unit else "")


def _told(made_by: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Facts in a line each, however many values one has."""
    more = " and others"
    return [(name, ", ".join(values[:5]) + more * (len(values) > 5)) for name, values in made_by.items()]
