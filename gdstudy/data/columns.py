"""Which columns of a table are x and which are y, by what a file's keys say; what is left out is noted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from gdstudy.study.errors import StudyError, listed, shown, suggestion
from gdstudy.study.sources import File
from gdstudy.study.values import Columns

TARGETS = ("y", "target")
NONE = Columns(("none",))
SHOWN = 12  # names in a message
_NUMBER = r"[-+]?\d[\d.]*[,'\s%][\d.,'\s%]*"  # with thousands, or of a hundred; a plain one may be a label


@dataclass(frozen=True)
class Table:
    """frame: the columns of a file; y: those of y, where they stand apart; unread: columns of other things; index:
    those that name the rows. sha256: of the file, and of the one that has y. where: what messages call it."""

    where: str
    frame: pd.DataFrame
    y: pd.DataFrame | None
    sha256: dict[str, str]
    unread: Sequence[str] = ()
    index: Sequence[str] = ()


@dataclass
class Notes:
    """What was left out, to be said."""

    where: str
    lines: list[str] = field(default_factory=list)

    def columns(self, names: Sequence[str], what: str, remedy: str = "") -> None:
        if names:
            shape = f"1 column {what}" if len(names) == 1 else f"{len(names):,} columns {what}"
            self.lines.append(f"{self.where}: left out {shape}: {some(names)}{remedy}")


def kinds_of(frame: pd.DataFrame) -> list[str]:
    """numbers, texts or others, of each column."""
    simple = {dtype: _kind(dtype) for dtype in set(frame.dtypes)}
    return [simple[dtype] or _kind_of_objects(frame[k]) for k, dtype in enumerate(frame.dtypes)]


def _kind(dtype: Any) -> str:
    if pd.api.types.is_complex_dtype(dtype):
        return "others"
    if pd.api.types.is_numeric_dtype(dtype):  # true and false as well
        return "numbers"
    if isinstance(dtype, np.dtype) and dtype.kind == "O":
        return ""
    named = isinstance(dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(dtype)
    return "texts" if named else "others"


def holds_bools(column: pd.Series) -> bool:
    """It holds true and false, and maybe nothing."""
    of_objects = column.dtype.kind == "O" and pd.api.types.infer_dtype(column, skipna=True) == "boolean"
    return pd.api.types.is_bool_dtype(column.dtype) or of_objects


def _kind_of_objects(column: pd.Series) -> str:
    found = pd.api.types.infer_dtype(column, skipna=True)
    return "texts" if found == "string" else "numbers" if found in ("boolean", "decimal", "empty") else "others"


def places_of(where: str, items: Iterable[str], names: list[str], key: str) -> list[int]:
    """The places of columns written as names, places or ranges. StudyError, naming the key, for one that is none."""
    found: list[int] = []
    for item in items:
        first, colon, last = item.partition(":")
        if item in names:
            found.append(place_of(where, item, names, key))
        elif re.fullmatch(r"-?\d{1,9}", item) and -len(names) <= int(item) < len(names):
            found.append(int(item) % len(names))
        elif (match := re.fullmatch(r"(\d{1,9})-(\d{1,9})", item)) and int(match[1]) <= int(match[2]) < len(names):
            found += range(int(match[1]), int(match[2]) + 1)
        elif colon and first in names and last in names:
            found += range(place_of(where, first, names, key), place_of(where, last, names, key) + 1)
        else:
            close = suggestion(item, names)
            raise StudyError(
                f"{where}: file.{key}: no column {shown(item)}{close}; its {len(names):,} columns are {some(names)}"
            )
    if len(set(found)) < len(found):
        twice = next(k for k in found if found.count(k) > 1)
        raise StudyError(f"{where}: file.{key} names the column {shown(names[twice])} twice; keep one")
    return found


def place_of(where: str, name: str, names: list[str], key: str) -> int:
    places = [k for k, other in enumerate(names) if other == name]
    if len(places) > 1:
        raise StudyError(
            f"{where}: file.{key}: {len(places)} columns are called {shown(name)}; name it by its place, one of "
            f"{listed(map(str, places[:SHOWN]))} (from 0)"
        )
    return places[0]


def some(names: Sequence[str]) -> str:
    return listed(shown(name)[1:-1] for name in names[:SHOWN]) + (", …" if len(names) > SHOWN else "")


def target_places(table: Table, names: list[str], keys: File) -> list[int]:
    """The places of y."""
    if keys.target == NONE and "none" not in names:
        return []
    if keys.target:
        return places_of(table.where, keys.target, names, "target")
    found = [name for name in dict.fromkeys(names) if name.casefold() in TARGETS]
    if len(found) == 1:
        return [place_of(table.where, found[0], names, "target")]
    raise StudyError(
        f"{table.where}: which column is y? Name it in file.target; its {len(names):,} columns are {some(names)}"
    )


def feature_places(
    table: Table, names: list[str], kinds: list[str], targets: list[int], keys: File, notes: Notes
) -> list[int]:
    """The places of X: those that are asked for, or all others that hold numbers, or texts that are to be encoded."""
    where, asked = table.where, places_of(table.where, keys.features, names, "features")
    if both := [names[k] for k in asked if k in targets]:
        raise StudyError(f"{where}: column {shown(both[0])} is asked for as x and as y; keep one")
    of_y = set(targets)
    places = asked or [k for k in range(len(names)) if k not in of_y and names[k] not in table.index]
    texts = [k for k in places if kinds[k] == "texts"]
    if keys.categories == "drop":
        for k in texts:
            check_texts(where, table.frame.iloc[:, k], names[k])
    for k in texts:
        check_commas(where, table.frame.iloc[:, k], names[k])
    others = [k for k in places if kinds[k] == "others"]
    unread = [name for name in keys.features if name in table.unread]
    if asked and (others or unread):
        strange = unread[0] if unread else names[others[0]]
        raise StudyError(f"{where}: column {shown(strange)} holds neither numbers nor texts; leave it out")
    if asked and texts and keys.categories == "drop":
        raise StudyError(
            f"{where}: column {shown(names[texts[0]])} holds texts; file.categories=one_hot makes them numbers"
        )
    without = table.frame.isna().to_numpy().all(0)
    empty = [] if asked else [k for k in places if kinds[k] != "others" and without[k]]
    taken = of_y.union(places)
    of_rows = [] if asked else [name or "without a name" for k, name in enumerate(names) if k not in taken]
    notes.columns(of_rows, "that names the rows" if len(of_rows) == 1 else "that name the rows", " (pandas' index)")
    notes.columns([names[k] for k in empty], "without a value")
    notes.columns([*(names[k] for k in others), *table.unread], "of neither numbers nor texts")
    left = [k for k in texts if k not in empty]
    if keys.categories == "drop":
        notes.columns([names[k] for k in left], "of texts", " (file.categories=one_hot keeps them)")
    else:
        left = [] if asked else [k for k in left if names_rows(table.frame.iloc[:, k])]
        notes.columns([names[k] for k in left], "of texts that differ from row to row", " (file.features keeps them)")
    gone = {*empty, *others, *left}
    places = [k for k in places if k not in gone]
    if not places:
        raise StudyError(f"{where}: no column of numbers is left for x; its {len(names):,} columns are {some(names)}")
    return places


def names_rows(column: pd.Series) -> bool:
    """Whether its texts are no categories: most of them stand in one row alone, as an identifier does."""
    return column.nunique() > max(20, column.notna().sum() / 2)


def check_commas(where: str, column: pd.Series, name: str) -> None:
    """StudyError where the texts of a column are numbers with commas, which mean one thing or the other."""
    texts = column.dropna().astype(str).str.strip()
    commas = texts.str.fullmatch(r"[-+]?\d+,\d+").to_numpy(dtype=bool)
    if 2 * commas.sum() > len(texts):
        raise StudyError(
            f"{where}: column {shown(name)}, row {int(column.notna().to_numpy().argmax()) + 1}: numbers have commas, "
            f"such as {shown(str(texts[commas].iloc[0]))}; say what they are, file.decimal=, or file.thousands=,"
        )


def check_classes(where: str, column: pd.Series, name: str, keys: File) -> None:
    """StudyError where the texts of y are numbers, or most of them of one row alone and not said to be classes."""
    check_texts(where, column, name)
    if keys.classes == "true":
        return
    check_commas(where, column, name)
    texts = column.dropna().astype(str).str.strip()
    numbers = 2 * texts.str.fullmatch(_NUMBER).sum() > len(texts)
    if numbers or names_rows(column):
        what = "which are numbers but for their signs" if numbers else "most of which stand in a row alone"
        raise StudyError(
            f"{where}: column {shown(name)} is y and holds texts, such as {shown(str(texts.iloc[0]))}, {what}; make "
            "them numbers (file.thousands and file.decimal may), or say with file.classes=true that they are classes"
        )


def check_texts(where: str, column: pd.Series, name: str) -> None:
    """StudyError where most of a column of texts are numbers: the others are slips, or stand for missing values."""
    values = pd.to_numeric(column.astype(object), errors="coerce")
    bad = (values.isna() & column.notna()).to_numpy()
    if 0 < bad.sum() <= (~bad & column.notna().to_numpy()).sum():
        row = int(bad.argmax())
        raise StudyError(
            f"{where}: column {shown(name)}, row {row + 1}: {shown(str(column.iloc[row]))} is no number ({bad.sum()} "
            "such); put it right, name it in file.missing_values, or leave the column out of file.features"
        )
