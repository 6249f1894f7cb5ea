"""Two runs side by side: the median test error of both at the same sizes, the same cells one by one, settings that
differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pandas import DataFrame

from gdstudy.experiment.tables import Run
from gdstudy.study.columns import TABLES
from gdstudy.views.closing import landmarks
from gdstudy.views.html.contents import Table, number
from gdstudy.views.html.described import settings
from gdstudy.views.html.embedded import page, picture, table_data
from gdstudy.views.html.explorer import AXES, error_label, lines, names, place, title
from gdstudy.views.html.pictures import compared
from gdstudy.views.summary import by_size, measured, select
from gdstudy.views.sweeps import Sweep, sweeps
from gdstudy.views.words import percent

_CELL = ["dataset", "preprocess", "input_noise", "model", "estimator", "level", "n_parameters", "n_hidden", "n_train"]
_ROUNDING = 1e-9  # of an error: what two machines differ in at most
_COLUMNS = {column.name: column for column in TABLES["results"]}


@dataclass(frozen=True)
class Named:
    """A run and what it is called."""

    name: str
    run: Run


def comparison_page(first: Named, second: Named) -> bytes:
    """The page of two runs, A and B, as UTF-8 HTML."""
    pairs = list(_pairs(first.run, second.run))
    same = paired(first.run.results, second.run.results)
    return page(
        "comparison.html.j2",
        "comparison.js",
        {
            "pairs": [_lines(*pair) for pair in pairs],
            "table": table_data(same, {name: label for name, label in _LABELS.items() if _says_something(same, name)}),
        },
        names=(first.name, second.name),
        errors=[_at_threshold(*pair, same) for pair in pairs],
        same=len(same),
        cells=int(same["cells"].sum()),
        chart=picture(compared(pairs)) if pairs else "",
        settings=differences(settings(first.run.study), settings(second.run.study)),
        made_by=differences(*({k: ", ".join(v) for k, v in one.run.made_by.items()} for one in (first, second))),
    )


def _pairs(first: Run, second: Run) -> Iterator[tuple[Sweep, Sweep]]:
    """Sweeps that both runs have: of the same data set and model, along the same size, the others held alike."""

    def key(sweep: Sweep) -> tuple[Any, ...]:
        held = [name for name in ("n_train", "n_parameters", "n_hidden") if name != sweep.size]
        return (*sweep.keys.values(), sweep.size, *(np.nan_to_num(sweep.first(name)) for name in held))

    others = {key(sweep): sweep for sweep in sweeps(second)}
    return ((sweep, others[key(sweep)]) for sweep in sweeps(first) if key(sweep) in others)


def paired(first: DataFrame, second: DataFrame) -> DataFrame:
    """A row for each estimator and size that both runs have: medians of test errors over the cells of both, and of how
    many times that of A each is of B, cell by cell; in what share B is lower, by more than rounding. Nothing ablated.

    The median ratio is of pairs: it is not the ratio of the medians.
    """
    a, b = (_unablated(table) for table in (first, second))
    for name in _CELL:  # texts of one kind in both: a million of them take little room then
        if a[name].dtype == "category":
            known = sorted({*a[name].cat.categories, *b[name].cat.categories})
            a, b = (rows.assign(**{name: rows[name].cat.set_categories(known)}) for rows in (a, b))
    both = a.merge(b, on=[*_CELL, "seed"], suffixes=("_a", "_b"))
    mse_a, mse_b = both["test_mse_a"].to_numpy(), both["test_mse_b"].to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(mse_a == mse_b, 1.0, mse_b / mse_a)
    both = both.assign(ratio=ratio, lower=mse_b < mse_a * (1 - _ROUNDING))
    found = both.groupby(_CELL, observed=True, dropna=False, sort=True).agg(
        cells=("seed", "size"), a=("test_mse_a", "median"), b=("test_mse_b", "median"), ratio=("ratio", "median"),
        lower=("lower", "mean"),
    )  # fmt: skip
    return found.reset_index()


def _unablated(table: DataFrame) -> DataFrame:
    rows = select(table, ablation="none")
    return rows[[*_CELL, "seed"]].assign(test_mse=measured(rows, "test_mse"))


def _says_something(same: DataFrame, name: str) -> bool:
    return name in ("dataset", "estimator", "n_train") or name not in _CELL or same[name].nunique(dropna=False) > 1


_LABELS = {
    **{name: (_COLUMNS[name].label, _COLUMNS[name].meaning) for name in _CELL},
    "cells": ("cells in both", "Splits that both runs have at this size."),
    "a": ("A: test MSE (squared units of Y)", "Median over the cells that both have."),
    "b": ("B: test MSE (squared units of Y)", "Median over the cells that both have."),
    "ratio": ("B / A, of the same cells", "Median of the ratio, cell by cell."),
    "lower": ("share with B lower", "Share of these cells in which B has the lower error, by more than rounding."),
}


def _lines(first: Sweep, second: Sweep) -> dict[str, Any]:
    drawn = []
    for run, sweep in (("A", first), ("B", second)):
        for label, rows in lines(sweep):
            curve = by_size(rows, sweep.error(), sweep.size)
            bands = {"x": curve.x, "low": curve.low, "median": curve.median, "high": curve.high}
            drawn.append({"run": run, "label": label, **bands})
    threshold = first.threshold if first.model.has_threshold and first.size != "n_hidden" else None
    return {
        "title": title(first),
        "axis": AXES[first.size],
        "error": error_label(first),
        "threshold": threshold,
        "lines": drawn,
    }


def _at_threshold(first: Sweep, second: Sweep, same: DataFrame) -> Table:
    """Medians of both over the same cells, below, at and above the threshold."""
    rows = select(same, **first.keys)
    for name in ("n_train", "n_parameters", "n_hidden"):
        if name != first.size and not np.isnan(first.first(name)):
            rows = select(rows, **{name: first.first(name)})
    scale, shown = first.first("target_mean_square") if first.model.autoencoder else 1.0, []
    for size in landmarks(first):
        for _, row in select(rows, **{first.size: size}).iterrows():
            level = "" if np.isnan(row["level"]) else f", {row['level']:g}"
            label = f"{names(first).get(row['estimator'], row['estimator'])}{level}, {place(first, size)}"
            values = [number(row["a"] / scale), number(row["b"] / scale), number(row["ratio"], ".3g")]
            shown.append([label, *values, percent(float(row["lower"])), str(row["cells"])])
    head = ["", "A", "B", "B / A", "B lower", "cells"]
    return Table(f"{title(first)}: test {error_label(first)}", head, shown)


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """(name, its value in A, in B) of what differs."""
    keys = dict.fromkeys([*one, *other])
    return [(key, one.get(key, "–"), other.get(key, "–")) for key in keys if one.get(key) != other.get(key)]
