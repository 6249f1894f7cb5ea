"""summary.csv: medians and quartiles over all seeds of every number in table `results`, however many rows it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pandas import DataFrame, concat

from gdstudy.experiment.tables import Run, starts_of_groups
from gdstudy.study.columns import ORDER, TABLES
from gdstudy.views.summary import measured, over_seeds

_KEYS = [name for name in ORDER if name not in ("seed", "step")]
_NUMBERS = [c.name for c in TABLES["results"] if c.kind in ("real", "whole") and c.name not in (*_KEYS, "seed")]
BANDS = ("q25", "median", "q75")
_ROWS = 1 << 20  # summarised at once


def summarised(run: Run, numbers: Sequence[str] = _NUMBERS) -> DataFrame:
    """A row for each data set, model, estimator, ablation, level, P, hidden width and N, in the order of `results`.

    Of each number that is not empty in all of them `<number>_q25`, `_median` and `_q75`, as figures show them: a cell
    that diverged counts as at its worst. `cells` is how many they are of, `diverged` how many of these diverged.
    numbers: those that are wanted, default all.
    """
    pieces = []
    for rows in _pieces(run.results):
        pieces.append(_summary(rows, numbers))
        run.release()
    found = concat(pieces, ignore_index=True)
    bands = [name for number in numbers for band in BANDS if (name := f"{number}_{band}") in found]
    return found[[*_KEYS, "cells", "diverged", *(name for name in bands if found[name].notna().any())]]


def _pieces(results: DataFrame) -> Iterator[DataFrame]:
    """Some rows after the other, all seeds of a cell together."""
    starts, at = starts_of_groups(results, _KEYS), 0
    while at < len(results):
        later = starts[starts >= min(at + _ROWS, len(results))]
        end = int(later[0]) if len(later) else len(results)
        yield results.iloc[at:end]
        at = end


def _summary(rows: DataFrame, numbers: Sequence[str]) -> DataFrame:
    starts = starts_of_groups(rows, _KEYS)
    cells = np.diff([*starts, len(rows)])
    which, diverged = np.repeat(np.arange(len(starts)), cells), (rows["status"] == "diverged").to_numpy()
    found = rows[_KEYS].iloc[starts].reset_index(drop=True)
    found = found.assign(cells=cells, diverged=np.add.reduceat(diverged, starts, dtype=int))
    # A number is shown at every N where its estimator has it at one.
    outer = starts_of_groups(found, _KEYS[:-1])
    bands = {}
    for name in numbers:
        has = np.logical_or.reduceat(rows[name].notna().to_numpy(), starts)
        if not has.any():
            continue
        empty = ~np.repeat(np.logical_or.reduceat(has, outer), np.diff([*outer, len(found)]))
        values = measured(rows, name)
        counts = ~np.isnan(values)
        curve = over_seeds(which[counts], values[counts])
        for band, quartiles in zip(BANDS, (curve.low, curve.median, curve.high), strict=True):
            bands[f"{name}_{band}"] = found_band = np.full(len(found), np.nan)
            found_band[curve.x] = quartiles
            found_band[empty] = np.nan
    return found.assign(**bands)
