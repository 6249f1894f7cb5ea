"""The table that a run ends with: below, at and above the threshold, what was trained beside its closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pandas import DataFrame, Series

from gdstudy.views.figures.labels import main_label, sign
from gdstudy.views.summary import measured, over_seeds, representative_sizes, select
from gdstudy.views.sweeps import Sweep
from gdstudy.views.words import percent

_FIRST, _BETWEEN, _WIDEST = 9, 2, 120  # letters of the first column, between columns, and of a table


def closing_table(sweep: Sweep) -> list[str]:
    """Lines of the table of one data set and model: medians over seeds.

    What was trained is compared with its closed form within each cell, as a median of the one and a median of the other
    may be of two cells; of these differences and of distances there are the quartiles.
    """
    columns = _columns(sweep) if sweep.model.has_threshold else _losses(sweep)
    other = "P" if sweep.size == "n_train" else "N"
    swept = "N" if other == "P" else "P"
    name = sweep.dataset if sweep.model.regression else f"{sweep.dataset}, {sweep.model.name}"
    hidden = f", {sweep.first('n_hidden'):.0f} hidden" if sweep.model.layered else ""
    held = f"{other} = {sweep.threshold}" if sweep.model.has_threshold else f"n = {sweep.threshold} inputs"
    said = f"medians over {len(sweep.study.seeds)} seeds"
    if sweep.by_training and sweep.model.has_threshold:
        said += "; differences and distances within each cell: quartiles"
    lines = [f"{name}  ({held}{hidden}; {said})"]
    lines += [f"{swept:>{_FIRST}}" + "".join(f"{column.head:>{column.width}}" for column in columns)]
    for row, size in enumerate(landmarks(sweep)):
        mark = sign(size, sweep.threshold)
        texts = "".join(f"{column.texts[row]:>{column.width}}" for column in columns)
        lines += [f"{size:>5} {mark} {other}{texts}" if sweep.model.has_threshold else f"{size:>{_FIRST}}{texts}"]
    return lines


def landmarks(sweep: Sweep) -> list[int]:
    """Below, at and above the threshold; where it is elsewhere, at the ends and at the worst."""
    if sweep.model.has_threshold:
        return representative_sizes(sweep.rows[sweep.size].to_numpy(), sweep.threshold)
    curve = sweep.median(sweep.rows)
    return sorted({int(curve.x[0]), int(curve.x[curve.median.argmax()]), int(curve.x[-1])})


@dataclass(frozen=True)
class _Column:
    """texts: what stands in it at each size."""

    head: str
    texts: list[str]

    @property
    def width(self) -> int:
        return _BETWEEN + max(len(text) for text in (self.head, *self.texts))


def _column(sweep: Sweep, head: str, text: Callable[[int], str]) -> _Column:
    return _Column(head, [text(size) for size in landmarks(sweep)])


def _median(sweep: Sweep, head: str, table: DataFrame, value: str, form: str = ".4g") -> _Column:
    return _column(sweep, head, lambda size: format(sweep.at(table, size, value), form))


def _columns(sweep: Sweep) -> list[_Column]:
    """Of each training the share that converged, its error and, cell by cell, how that differs from the closed form's;
    of the first alone where all do not fit. Then errors of the other closed forms, as many as fit."""
    own = _errors(sweep, f"{'lost' if sweep.model.autoencoder else 'test MSE'}, {sweep.closed_form}", sweep.rows)
    if sweep.classes:
        own[1] = _Column(f"accuracy, {sweep.closed_form}", own[1].texts)
    shown = own
    for at, (name, rows) in enumerate(sweep.by_training.items()):
        errors = _errors(sweep, _heading(sweep, name), rows)
        more = [_converged(sweep, rows), *errors, *_progress(sweep, rows, name)]
        if at == 0:
            shown = [more[0], *own, *more[1:]]
        else:
            shown = [*shown, *(more if _width(shown, more) <= _WIDEST else errors)]
    for (form, level), rows in sweep.beside.items():
        more = _errors(sweep, form.named(level) if form.levels else form.name, rows)
        if _width(shown, more) > _WIDEST:
            break
        shown = [*shown, *more]
    return shown


def _errors(sweep: Sweep, head: str, rows: DataFrame) -> list[_Column]:
    accuracy = [_median(sweep, "accuracy", rows, "test_accuracy", ".3f")] if sweep.classes else []
    return [_median(sweep, head, rows, sweep.error()), *accuracy]


def _width(*groups: list[_Column]) -> int:
    return _FIRST + sum(column.width for group in groups for column in group)


def _heading(sweep: Sweep, training: str) -> str:
    """A training as its column is called: the main one by its optimizer, others by their names."""
    return main_label(sweep.study) if training == sweep.main else training


def _at(sweep: Sweep, rows: DataFrame, size: int) -> DataFrame:
    return select(rows, **{sweep.size: size})


def _values(rows: DataFrame, value: str) -> Series:
    """A value by seed; a cell that diverged is at its worst, as it is for medians."""
    return Series(measured(rows, value), index=rows["seed"].to_numpy())


def _converged(sweep: Sweep, trained: DataFrame) -> _Column:
    return _column(
        sweep, "converged", lambda size: percent(float((_at(sweep, trained, size)["status"] == "converged").mean()))
    )


def _progress(sweep: Sweep, trained: DataFrame, name: str) -> list[_Column]:
    minus = f"{_heading(sweep, name)} − {sweep.closed_form}"
    columns = [
        _column(sweep, minus, lambda size: differences(sweep, trained, size)),
        _column(sweep, "distance", lambda size: distances(_at(sweep, trained, size))),
    ]
    if sweep.reference == "min_norm" and trained["steps_to_tolerance"].notna().any():
        columns += [_column(sweep, "steps left", lambda size: steps_left(_at(sweep, trained, size)))]
    return columns


def differences(sweep: Sweep, trained: DataFrame, size: int) -> str:
    """Quartiles over the cells of a size: the error of each minus that of its own closed form, as a share of this one;
    of autoencoders, whose errors are shares already, and may vanish, as it is."""
    closed, own = (_values(_at(sweep, rows, size), sweep.error()) for rows in (sweep.rows, trained))
    if sweep.model.autoencoder:
        return between(own - closed, power)
    return between(((own - closed) / closed.where(closed > 0)).where(own - closed != 0, 0), _percent)


def distances(rows: DataFrame) -> str:
    """Quartiles of how far some cells are from their limits."""
    return between(_values(rows, "distance"), power)


def between(values: Series, written: Callable[[float], str]) -> str:
    """Quartiles, "a to b", or one where both are written alike. What is no number counts as infinite."""
    found = values.to_numpy(dtype=float)
    curve = over_seeds(np.zeros(len(found)), np.where(np.isnan(found), np.inf, found))
    low, high = written(float(curve.low[0])), written(float(curve.high[0]))
    return low if low == high else f"{low} to {high}"


def _percent(share: float) -> str:
    return f"{100 * share:+.3g}%" if abs(share) >= 0.005 else "0%"


def power(value: float) -> str:
    return f"{value:.0e}"


def steps_left(rows: DataFrame) -> str:
    """Median of the cells that were cut off; nothing where none was."""
    left = rows["steps_to_tolerance"][rows["status"] == "max_steps"]
    return f"{left.median():.2g}" if left.notna().any() else "-"


def _losses(sweep: Sweep) -> list[_Column]:
    """Losses are 1 for an output of zero. D·N/m: median dimensionality of data points over that of all alike, m/N."""
    rows, m = sweep.rows, int(sweep.first("n_hidden"))
    others = list(sweep.by_training.items())[1:]
    return [
        _median(sweep, "test loss", rows, "relative_test_mse"),
        _median(sweep, "train loss", rows, "relative_train_mse"),
        _median(sweep, "‖W‖", rows, "weight_norm", ".3g"),
        _column(sweep, "D·N/m", lambda n: f"{sweep.at(rows, n, 'data_point_dimension') * max(1, n / m):.2f}"),
        *(_median(sweep, _heading(sweep, name), table, "relative_test_mse") for name, table in others),
    ]
