"""The tables of a run as DataFrames, and how the groups of columns of a batch become one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    made_by: what computed them, such as a package → its versions. batches: how many are stored, and planned.
    planned: where only some rows are there, a row for each size (n_train, n_parameters, n_hidden) and estimator that
    every data set and model is to have once all are; None: all are.
    """

    study: Study
    results: pd.DataFrame
    curves: pd.DataFrame
    arrays: pd.DataFrame
    release: Callable[[], None] = field(default=lambda: None, repr=False)
    made_by: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    batches: tuple[int, int] = (0, 0)
    planned: pd.DataFrame | None = None

    @property
    def unfinished(self) -> str:
        """`10 of 36 batches`, where others are missing."""
        stored, planned = self.batches
        return "" if stored == planned else f"{stored} of {planned} batches"


@dataclass(frozen=True)
class Texts:
    """A column of texts: words in alphabetical order, each of which occurs, and the number of each row's; −1: empty."""

    words: list[str]
    numbers: np.ndarray


def gathered(table: str, groups: Sequence[Mapping[str, Any]]) -> tuple[dict[str, np.ndarray | Texts | None], int]:
    """Groups of columns as one table with every column, in order, and how many rows it has.

    A group: column name → one value for all its rows, or an array with one value a row; a group of `arrays` is one row.
    What a group lacks is empty there: NaN, or a column that is None where all of it is.
    KeyError for a column that the table has not.
    """
    columns = TABLES[table]
    arrays = {column.name for column in columns if column.kind == "array"}
    lengths = []
    for group in groups:
        if unknown := group.keys() - {column.name for column in columns}:
            raise KeyError(f"no column {sorted(unknown)} in table {table}")
        one_each = [len(v) for name, v in group.items() if isinstance(v, np.ndarray) and name not in arrays]
        lengths.append(max(one_each, default=1))
    found: dict[str, np.ndarray | Texts | None] = {}
    for column in columns:
        values = [group.get(column.name) for group in groups]
        known = any(value is not None for value in values)
        found[column.name] = _JOINED[column.kind](values, lengths) if known else None
    return found, sum(lengths)


def frame(table: str, groups: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Groups of columns (`gathered`) as one DataFrame with every column of a table, in order and in its type."""
    found, rows = gathered(table, groups)
    empty: dict[str, Any] = {"text": Texts([], np.full(rows, -1, np.int8)), "array": np.empty(rows, object)}
    for column in TABLES[table]:
        values = found[column.name]
        if values is None:
            values = empty.get(column.kind, np.full(rows, np.nan))
        if isinstance(values, Texts):
            found[column.name] = pd.Categorical.from_codes(values.numbers, pd.Index(values.words))
        else:
            found[column.name] = values
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


def _reals(values: Sequence[Any], lengths: Sequence[int]) -> np.ndarray:
    """The column of all groups, one after the other."""
    if len(values) == 1 and isinstance(values[0], np.ndarray):
        return values[0].astype(float, copy=False)
    if set(lengths) == {1}:  # as the groups of `arrays`
        return np.array([np.nan if value is None else value for value in _one_each(values)], float)
    column, end = np.empty(sum(lengths)), 0
    for value, n in zip(values, lengths, strict=True):
        column[end : end + n] = np.nan if value is None else value
        end += n
    return column


def _one_each(values: Sequence[Any]) -> Iterator[Any]:
    """The value of each group of one row."""
    return (value.item() if isinstance(value, np.ndarray) else value for value in values)


def _wholes(values: Sequence[Any], lengths: Sequence[int]) -> np.ndarray:
    """int64, or float64 where some are empty."""
    column = _reals(values, lengths)
    return column if np.isnan(column).any() else column.astype(np.int64)


def _texts(values: Sequence[Any], lengths: Sequence[int]) -> Texts:
    first: dict[str | None, int] = {}  # word → its number among those met

    def met(words: Iterable[str | None]) -> list[int]:
        return [first.setdefault(word, len(first)) for word in words]

    if set(lengths) == {1}:  # as the groups of `arrays`
        column = np.array(met(_one_each(values)), np.int32)
    else:
        column, end = np.empty(sum(lengths), np.int32), 0
        for value, n in zip(values, lengths, strict=True):
            if isinstance(value, np.ndarray):  # looked at where it changes: most texts stand in many rows together
                starts = np.r_[0, np.flatnonzero(value[1:] != value[:-1]) + 1][:n]
                column[end : end + n] = np.repeat(met(value[starts].tolist()), np.diff(starts, append=n))
            else:
                column[end : end + n] = met([value])[0]
            end += n
    words = sorted(word for word in first if word is not None)
    in_order: dict[str | None, int] = {word: number for number, word in enumerate(words)}
    return Texts(words, np.array([in_order.get(word, -1) for word in first] or [-1], np.int32)[column])


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
