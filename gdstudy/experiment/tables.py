"""The tables of a run as DataFrames, and how the groups of columns of a batch become one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from gdstudy.study.columns import ORDER, TABLES
from gdstudy.study.config import Study

_TEXTS = {table: [column.name for column in columns if column.kind == "text"] for table, columns in TABLES.items()}


# Compared by identity: what is computed from a run can be kept beside it.
@dataclass(frozen=True, eq=False)
class Run:
    """A study and its tables, as the store returns them: texts are categories, empty values NaN.

    release: gives back the memory of what was looked at, where tables are larger than it; they stay as they are.
    made_by: what computed them, such as a package → its versions.
    planned: where only some rows are there, a row for each size (n_train, n_parameters, n_hidden) and estimator that
    every data set and model is to have once all are; None: all are.
    """

    study: Study
    results: pd.DataFrame
    curves: pd.DataFrame
    arrays: pd.DataFrame
    release: Callable[[], None] = field(default=lambda: None, repr=False)
    made_by: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    planned: pd.DataFrame | None = None


def frame(table: str, groups: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Groups of columns as one DataFrame with every column of a table, in order and in its type.

    A group: column name → one value for all its rows, or an array with one value a row; a group of `arrays` is one row.
    What a group lacks is empty there. KeyError for a column that the table has not.
    """
    columns = TABLES[table]
    arrays = {column.name for column in columns if column.kind == "array"}
    lengths = []
    for group in groups:
        if unknown := group.keys() - {column.name for column in columns}:
            raise KeyError(f"no column {sorted(unknown)} in table {table}")
        one_each = [len(v) for name, v in group.items() if isinstance(v, np.ndarray) and name not in arrays]
        lengths.append(max(one_each, default=1))
    found = {c.name: _JOINED[c.kind]([group.get(c.name) for group in groups], lengths) for c in columns}
    return pd.DataFrame(found)


def joined(table: str, parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Parts of a table, at least one, as one in the order of its keys; texts are categories in alphabetical order."""
    found = pd.concat([part.drop(columns=_TEXTS[table]) for part in parts], ignore_index=True)
    for name in _TEXTS[table]:
        found[name] = union_categoricals([part[name] for part in parts], sort_categories=True)
    return in_order(found[[column.name for column in TABLES[table]]])


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """The rows in the order of their keys (`ORDER`)."""
    keys = [table[name].cat.codes if table[name].dtype == "category" else table[name] for name in reversed(ORDER)]
    order = np.lexsort([key.to_numpy() for key in keys])
    return table.take(order).reset_index(drop=True)


def _pieces(values: Sequence[Any], lengths: Sequence[int], dtype: type, empty: Any) -> np.ndarray:
    """The column of all groups, one after the other."""
    pieces: list[np.ndarray] = [
        value.astype(dtype) if isinstance(value, np.ndarray) else np.full(n, empty if value is None else value, dtype)
        for value, n in zip(values, lengths, strict=True)
    ]
    return np.concatenate([np.array([], dtype), *pieces])


def _texts(values: Sequence[Any], lengths: Sequence[int]) -> pd.Categorical:
    return pd.Categorical(_pieces(values, lengths, object, None))


def _reals(values: Sequence[Any], lengths: Sequence[int]) -> np.ndarray:
    return _pieces(values, lengths, float, np.nan)


def _wholes(values: Sequence[Any], lengths: Sequence[int]) -> np.ndarray:
    """int64, or float64 where some are empty."""
    column = _reals(values, lengths)
    return column if np.isnan(column).any() else column.astype(np.int64)


def _arrays(values: Sequence[Any], lengths: Sequence[int]) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    for k, value in enumerate(values):
        column[k] = np.ascontiguousarray(value, dtype=np.float32)
    return column


_JOINED: dict[str, Callable[[Sequence[Any], Sequence[int]], Any]] = {
    "text": _texts,
    "whole": _wholes,
    "real": _reals,
    "array": _arrays,
}


def starts_of_runs(columns: Iterable[np.ndarray], rows: int) -> np.ndarray:
    """The first row of each run of neighbouring rows that agree in these columns; empty values agree."""
    changes = np.zeros(max(0, rows - 1), dtype=bool)
    for values in columns:
        differs = values[1:] != values[:-1]
        if values.dtype.kind == "f":
            differs &= ~(np.isnan(values[1:]) & np.isnan(values[:-1]))
        changes |= differs
    return np.r_[0, np.flatnonzero(changes) + 1][:rows]


def starts_of_groups(table: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    """The same of a table's columns."""
    columns = (table[name].cat.codes if table[name].dtype == "category" else table[name] for name in names)
    return starts_of_runs((column.to_numpy() for column in columns), len(table))
