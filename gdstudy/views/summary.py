"""What board, figures and terminal all show: medians and quantiles over seeds, from the tables of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas import DataFrame

from gdstudy.experiment.tables import starts_of_groups
from gdstudy.study.columns import TABLES
from gdstudy.study.datasets import DATASETS
from gdstudy.study.estimators import CLOSED_FORMS, ClosedForm

QUANTILES = (0.25, 0.5, 0.75)
# A data set as a model saw it.
SEEN = ("dataset", "preprocess", "input_noise")
Seen = tuple[str, str, float]
# What tells the cells of a data set and model apart.
CELL = ["n_parameters", "n_hidden", "n_train", "seed"]
_INFINITE, _AT_ONCE = 1e306, 1 << 20  # the latter rows
_WORST = {column.name: column.worst for columns in TABLES.values() for column in columns}
_BEFORE = {column.name for columns in TABLES.values() for column in columns if column.before}
_SHARES = {f"{of}{name}": f"{of}relative_{name}" for of in ("", "exact_") for name in ("test_mse", "train_mse")}


def seen_as(dataset: str, preprocess: str, input_noise: float) -> str:
    """A data set under its preprocessing and noise in a word, as in `diabetes+standardize` or `digits+noise0.5`.

    For folders, titles and claims; nothing is read out of it again.
    """
    noise = f"+noise{str(float(input_noise)).removesuffix('.0')}" if input_noise else ""  # all digits of it
    return dataset + ("" if preprocess == "none" else f"+{preprocess}") + noise


def select(table: DataFrame, **equal: object) -> DataFrame:
    """The rows in which each named column has the given value."""
    keep = np.ones(len(table), dtype=bool)
    for name, value in equal.items():
        keep &= (table[name] == value).to_numpy()
    return where(table, keep)


def where(table: DataFrame, keep: np.ndarray) -> DataFrame:
    """The rows that are to be kept, (n,) bool. Neighbours are not copied: a table may be larger than memory."""
    kept = np.flatnonzero(keep)
    if len(kept) and kept[-1] - kept[0] + 1 == len(kept):
        return table if len(kept) == len(table) else table.iloc[kept[0] : kept[-1] + 1]
    return table[keep]


def groups(table: DataFrame, *names: str) -> Iterator[tuple[tuple, DataFrame]]:
    """(values of the named columns, their rows), sorted; where they begin with those of SEEN, as in Fig. 1.

    There the data sets as they are come first, then those under a preprocessing or with noise. Rows that lie together,
    as they do in a run's tables, are not copied.
    """
    found = _groups(table, list(names))
    if names[:3] != SEEN:
        return found
    places = {name: place for place, name in enumerate(DATASETS)}
    return iter(sorted(found, key=lambda g: (g[0][1] != "none" or g[0][2] > 0, places.get(g[0][0], len(places)))))


def _groups(table: DataFrame, names: list[str]) -> Iterator[tuple[tuple, DataFrame]]:
    starts = starts_of_groups(table, names)
    heads = table[names].iloc[starts].reset_index(drop=True).groupby(names, observed=True, dropna=False)
    if heads.ngroups < len(starts):
        yield from table.groupby(names, observed=True, dropna=False)
        return
    ends = [*starts[1:], len(table)]
    for values, head in heads:
        yield values, table.iloc[starts[head.index[0]] : ends[head.index[0]]]


def closed_forms(table: DataFrame) -> dict[tuple[ClosedForm, float], DataFrame]:
    """(closed form beside X⁺y, its level) → its rows; those that choose by themselves first, their level is NaN."""
    forms = sorted(CLOSED_FORMS.values(), key=lambda form: (bool(form.levels), not form.descends))
    parts = ((form, groups(select(table, estimator=form.name), "level")) for form in forms)
    return {(form, level): rows for form, levels in parts for (level,), rows in levels}


@dataclass(frozen=True)
class Curve:
    """Median, quartiles and mean over seeds: each (n,), beside x (n,).

    The mean is a second figure only: near N = P the distribution of test errors need not have one.
    """

    x: np.ndarray
    low: np.ndarray
    median: np.ndarray
    high: np.ndarray
    mean: np.ndarray


def measured(table: DataFrame, value: str) -> np.ndarray:
    """A column, at its worst where it is no number and where the cell diverged: its W when it was stopped is no result.
    That is infinite but for accuracies.

    What is known of a cell before it is trained, such as singular values, stays as it is.
    """
    column = table[value].to_numpy(dtype=float)
    lost = np.isnan(column)
    if value not in _BEFORE:
        lost |= (table["status"] == "diverged").to_numpy()
    return np.where(lost, _WORST.get(value, np.inf), column)


def over_seeds(x: np.ndarray, values: np.ndarray) -> Curve:
    """Quartiles, as numpy.quantile interpolates them, and mean of the values (n,) at each x (n,) that is a number.

    An infinite value makes the mean infinite, and a quartile next to it.
    """
    # Interpolation between infinities is no number, so a value beyond any finite one stands for them.
    finite = np.where(np.isfinite(values), values, _INFINITE)
    with np.errstate(over="ignore"):
        mean = pd.Series(finite).groupby(x).mean()
    order = np.argsort(x, kind="stable")
    ends = np.searchsorted(x[order], mean.index.to_numpy(), side="right")
    quartiles = _quartiles(finite if (np.diff(order) == 1).all() else finite[order], ends)
    bands = [*quartiles, mean.to_numpy()]
    return Curve(mean.index.to_numpy(), *(np.where(band < 1e-6 * _INFINITE, band, np.inf) for band in bands))


def _quartiles(values: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(3, groups) of values that lie group by group; those of one size at once, ten times as fast as by sorting."""
    sizes = np.diff(ends, prepend=0)
    found = np.empty((len(QUANTILES), len(ends)))
    for size in np.unique(sizes):
        places = [q * (size - 1) for q in QUANTILES]
        ranks = {min(int(place) + next_one, size - 1) for place in places for next_one in (0, 1)}
        here = sizes == size
        rows = (ends[here] - size)[:, None] + np.arange(size)
        part = np.partition(values[rows], sorted(ranks), axis=1)
        for row, place in enumerate(places):
            low, share = int(place), place % 1
            lower = part[:, low]
            found[row, here] = lower + (part[:, low + 1] - lower) * share if share else lower
    return found


def by_size(table: DataFrame, value: str, size: str = "n_train") -> Curve:
    """Quartiles and mean of a column over seeds, for each N (or each P: size="n_parameters").

    A diverged cell counts as at its worst (`measured`).
    """
    return over_seeds(table[size].to_numpy(), measured(table, value))


def median_map(table: DataFrame, value: str, across: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The values of a column, those of N, and the medians of another over seeds, (columns, N); NaN where none of the
    cells is finished yet."""
    lines, sizes = list(groups(table, across)), np.unique(table["n_train"])
    medians = np.full((len(lines), len(sizes)), np.nan)
    for line, (_, rows) in zip(medians, lines, strict=True):
        curve = by_size(rows, value)
        line[np.searchsorted(sizes, curve.x)] = curve.median
    return np.array([width for (width,), _ in lines]), sizes, medians


def at_steps(curves: DataFrame, value: str, steps: Sequence[int] | np.ndarray, size: str = "n_train") -> DataFrame:
    """Every cell of one training at given t: a row a cell, its N (or P) as the index, and a column for each t.

    A cell that finished before t stands where it finished: converged, it would not move. One that diverged
    has no value there and counts as infinite. steps: in increasing order.
    """
    cell, first = _cells(curves)
    due = np.searchsorted(steps, curves["step"])  # the first of the steps that a row counts for
    values, (n, last) = measured(curves, value), (len(first), len(steps))
    is_value = ~np.isnan(values)
    found, place = np.full((n, last + 1), np.nan), np.full((n, last + 1), -1)
    found[cell[is_value], due[is_value]] = values[is_value]  # of several the last
    place[cell[is_value], due[is_value]] = due[is_value]
    place = np.maximum.accumulate(place, axis=1)  # of the last value so far, or else of the first there is
    place = np.where(place < 0, (place >= 0).argmax(1)[:, None], place)
    found = np.take_along_axis(found, place, 1)[:, :last]
    return DataFrame(found, index=pd.Index(curves[size].to_numpy()[first], name=size), columns=list(steps))


def _cells(curves: DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Which cell each row is of, by number as they come, and the first row of each."""
    cell = curves.groupby(CELL, dropna=False, sort=False).ngroup().to_numpy()
    return cell, np.flatnonzero(np.diff(np.maximum.accumulate(cell), prepend=-1))


def checkpoints(curves: DataFrame) -> np.ndarray:
    """Each t at which every cell of one training has a row that was still running: cells also leave one at the step
    they finish."""
    cell, first = _cells(curves)
    step = curves["step"].to_numpy()
    last = np.zeros(len(first), dtype=step.dtype)
    np.maximum.at(last, cell, step)
    steps, rows = np.unique(step, return_counts=True)
    return steps[rows == len(last) - np.searchsorted(np.sort(last), steps)]


def by_step(curves: DataFrame, value: str, steps: np.ndarray | None = None) -> Curve:
    """Quartiles of a column over cells of one training, for each t; by default for each checkpoint."""
    steps = checkpoints(curves) if steps is None else steps
    values = at_steps(curves, value, steps).to_numpy()
    return over_seeds(np.tile(steps, len(values)), values.ravel())


def by_size_after(
    curves: DataFrame, value: str, steps: Sequence[int] | np.ndarray, size: str = "n_train"
) -> list[Curve]:
    """For each of the given t, quartiles over cells of one training against N (or P)."""
    cells = pd.concat([at_steps(rows, value, steps, size) for rows in _pieces(curves)])
    return [over_seeds(cells.index.to_numpy(), cells[t].to_numpy()) for t in cells]


def _pieces(curves: DataFrame) -> Iterator[DataFrame]:
    """Checkpoints of some cells after the other: a table at once, or what lies together of one that is too large."""
    if len(curves) <= _AT_ONCE:
        yield curves
    else:
        yield from (rows for _, rows in groups(curves, "n_parameters", "n_hidden", "n_train"))


def several(table: DataFrame, *sizes: str) -> bool:
    """More than one value was studied of each of these columns."""
    return all(table[size].nunique() > 1 for size in sizes)


def representative_sizes(sizes: np.ndarray, n_parameters: int) -> list[int]:
    """The studied N nearest to P/2, P and 2P (in ratio): below, at and above the threshold."""
    available = np.unique(sizes)
    return sorted({nearest(available, target) for target in (n_parameters / 2, n_parameters, 2 * n_parameters)})


def nearest(values: np.ndarray, target: float) -> int:
    """The studied value nearest to a target, in ratio."""
    return int(values[np.argmin(np.abs(np.log(values / target)))])


def best_by_training(tables: Sequence[DataFrame]) -> DataFrame:
    """For each cell, the row with the lowest training loss of several tables; diverged ones lose."""
    rows = pd.concat(tables)
    return rows.iloc[measured(rows, "train_mse").argsort(kind="stable")].drop_duplicates(CELL)


def relative(table: DataFrame, scale: float | None = None) -> DataFrame:
    """The table with each MSE over a scale as well, as `relative_test_mse` and so on.

    scale: default the mean square of the targets, of which the table's rows have their own: for an autoencoder, the
    share of its inputs that is lost, 1 for an output of 0.
    """
    of = table["target_mean_square"] if scale is None else scale
    return table.assign(**{share: table[mse] / of for mse, share in _SHARES.items() if mse in table})
