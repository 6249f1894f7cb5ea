"""A file by its path → a data set, its fingerprint and what is to be said of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from gdstudy.data.columns import NONE, Table
from gdstudy.data.containers import Arrays, as_table, read_npy, read_npz, read_safetensors, read_torch
from gdstudy.data.feather import read_feather
from gdstudy.data.guards import read_whole
from gdstudy.data.reading import Reading, as_dataset
from gdstudy.data.tabular import Read, read_parquet, read_text
from gdstudy.study.errors import StudyError
from gdstudy.study.sources import File, Source, format_of
from gdstudy.study.values import Columns

_TABLES: dict[str, Callable[[str, bytes, File], Read]] = {
    "text": read_text,
    "parquet": read_parquet,
    "feather": read_feather,
}
_ARRAYS: dict[str, Callable[[str, bytes, File], Arrays]] = {
    "npy": read_npy,
    "npz": read_npz,
    "torch": read_torch,
    "safetensors": read_safetensors,
}


def read_file(source: Source) -> Reading:
    """StudyError, one line that names the file and, where it can, column and row, for whatever is wrong with it."""
    assert source.keys is not None
    keys, path = source.keys, Path(source.entry)
    beside = _beside(path, keys)
    table = _table(path, keys)
    if beside is not None:
        other = _table(beside, replace(keys, target=NONE, key="", features=Columns(), name=""))
        of_y = other.frame.loc[:, [name not in other.index for name in other.frame]]
        y = of_y if other.y is None else other.y
        sums = {**table.sha256, "target_sha256": other.sha256["sha256"]}
        table = Table(f"{path} and {beside}", table.frame, y, sums, table.unread, table.index)
    return as_dataset(table, keys, source.name)


def _beside(path: Path, keys: File) -> Path | None:
    """The second file, which has y: the one that is named, or y.npy beside X.npy."""
    if len(keys.target) == 1 and format_of(keys.target[0]) not in ("named", "openml"):
        named = Path(keys.target[0])
        return named if named.exists() else path.parent / named
    if path.suffix.lower() == ".npy" and not keys.target:
        parts = ["y" if part == "X" else part for part in path.stem.split("_")]
        other = path.with_name("_".join(parts) + path.suffix)
        return other if other != path and other.exists() else None
    return None


def _table(path: Path, keys: File) -> Table:
    where, form, content = str(path), format_of(str(path)), read_whole(path)
    sha256 = {"sha256": hashlib.sha256(content).hexdigest()}
    if form in _TABLES:
        frame, unread, index = _TABLES[form](where, content, keys)
        if not len(frame):
            raise StudyError(f"{where}: has no rows")
        return Table(where, frame, None, sha256, unread, index)
    X, y = _ARRAYS[form](where, content, keys)
    frame = pd.DataFrame(as_table(where, X))
    if y is None:
        return Table(where, frame, None, sha256)
    of_y = as_table(f"{where}, y", y)
    names = ["y"] if of_y.shape[1] == 1 else [f"y{k}" for k in range(of_y.shape[1])]
    return Table(where, frame, pd.DataFrame(of_y, columns=names), sha256)
