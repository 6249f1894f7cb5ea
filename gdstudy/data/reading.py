"""A table → a data set, with its fingerprint and what is to be said of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gdstudy.data.cleaning import complete_rows, encoded_texts, imputed, numbers_in, outputs_of, say_of_counts
from gdstudy.data.columns import Notes, Table, feature_places, kinds_of, target_places
from gdstudy.data.dataset import Dataset
from gdstudy.linalg.arrays import precision_of
from gdstudy.study.errors import StudyError
from gdstudy.study.sources import File

# So many names are kept in a fingerprint, if they are no longer than this together.
_KEPT, _LONGEST = 40, 1500


@dataclass(frozen=True)
class Reading:
    """A data set that was read; its fingerprint, what tells its content from another; and what is to be said of it."""

    data: Dataset
    fingerprint: dict[str, Any]
    notes: tuple[str, ...] = ()


def as_dataset(table: Table, keys: File, name: str) -> Reading:
    """X and y of a table under the keys of its file. StudyError, one line that names column and row, for what is wrong.

    Columns of X are its numbers in the order of the file, then those of categories. Rows are counted from 1, below the
    header.
    """
    notes, frame = Notes(table.where), table.frame
    names = [str(column) for column in frame.columns]
    frame = frame.set_axis(range(len(names)), axis=1)
    kinds = kinds_of(frame)
    targets = [] if table.y is not None else target_places(table, names, keys)
    y = frame[targets] if table.y is None else table.y
    if table.y is not None and not y.shape[1]:
        raise StudyError(f"{table.where}: y has no column; name another, or leave it out with file.target=none")
    if len(y) != len(frame):
        raise StudyError(f"{table.where}: x has {len(frame):,} rows and y {len(y):,}; they belong together row by row")
    y = y.set_axis([names[k] for k in targets] if table.y is None else [str(c) for c in y.columns], axis=1)
    places = feature_places(table, names, kinds, targets, keys, notes)
    numbers, texts = ([k for k in places if kinds[k] == kind] for kind in ("numbers", "texts"))
    X = numbers_in(table.where, frame[numbers], [names[k] for k in numbers])
    if not keys.features:
        say_of_counts(X, [names[k] for k in numbers], notes)
    X = imputed(table.where, X, [names[k] for k in numbers], keys)
    Y, present, outputs, classes = outputs_of(table.where, y, keys, notes)
    missing = np.column_stack([np.isnan(X), frame[texts].isna().to_numpy(dtype=bool), ~present])
    labels = [*(names[k] for k in (*numbers, *texts)), *y.columns]
    keep = complete_rows(table.where, missing, labels, keys, notes)
    encoded, columns = encoded_texts(table.where, frame.loc[keep, texts], [names[k] for k in texts])
    columns = [*(names[k] for k in numbers), *columns]
    X, Y = np.column_stack([X[keep], encoded]), Y[keep]
    if classes:  # some may have stood in rows only that are gone
        Y, outputs = Y[:, there := Y.any(0)], [c for c, has in zip(classes, there, strict=True) if has]
        classes = outputs
        if len(classes) < 2:
            raise StudyError(f"{table.where}: column {y.columns[0]!r} has one class only where no value is missing")
    eps = precision_of(frame[numbers])  # of the file, whatever they are computed in
    data = Dataset(X, Y, name, classes=tuple(classes), columns=tuple(columns), eps=eps)
    dropped = int(len(keep) - keep.sum())
    return Reading(data, fingerprint(data, table.sha256, outputs, dropped), tuple(notes.lines))


def fingerprint(data: Dataset, sha256: dict[str, str], outputs: Sequence[str], dropped: int = 0) -> dict[str, Any]:
    """What tells the content of a data set from any other, as config.yaml keeps it. Many names become their hash."""
    columns = data.columns or tuple(map(str, range(data.X.shape[1])))
    return {
        **sha256,
        "rows": data.n_rows,
        "dropped_rows": dropped,
        "columns": _summary(columns),
        "outputs": _summary(outputs),
        "classes": _summary(data.classes),
    }


def _summary(names: Sequence[str]) -> list[str] | str | int:
    if not names:
        return 0
    if len(names) <= _KEPT and sum(map(len, names)) <= _LONGEST:
        return list(names)
    return f"{len(names)} (sha256 {hashlib.sha256(chr(0).join(names).encode()).hexdigest()[:16]})"


def content_sha256(data: Dataset) -> str:
    """Of the numbers of X and Y and their shapes."""
    found = hashlib.sha256(repr((data.X.shape, data.Y.shape)).encode())
    for part in (data.clean(), data.Y):
        found.update(np.ascontiguousarray(part).data)
    return found.hexdigest()


def from_python(data: Dataset, name: str | None = None) -> Reading:
    """A data set that was made in Python, under its own name or another."""
    data = replace(data, name=name or data.name)
    outputs = data.classes or tuple(f"y{k}" for k in range(data.Y.shape[1]))
    return Reading(data, fingerprint(data, {"sha256": content_sha256(data)}, outputs))


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What one fingerprint says and another does not, in words; empty where they agree."""
    said = {key: (before.get(key), now.get(key)) for key in {**before, **now} if before.get(key) != now.get(key)}
    of_content = [key for key in said if not key.endswith("sha256")] or list(said)
    return ", ".join(f"{key} {_brief(said[key][1])} instead of {_brief(said[key][0])}" for key in of_content[:2])


def _brief(value: Any) -> str:
    text = f"{len(value)} ({', '.join(map(str, value))})" if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
