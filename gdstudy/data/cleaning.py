"""Columns → numbers: what is missing or no number, categories, classes. Rows are counted from 1, below the header."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from gdstudy.data.classes import MOST_CLASSES, are_one_hot, are_whole, one_hot
from gdstudy.data.columns import Notes, check_classes, check_commas, check_texts, holds_bools, kinds_of, some
from gdstudy.data.guards import MOST_COLUMNS, check_size
from gdstudy.study.errors import StudyError, shown
from gdstudy.study.sources import File

_LARGEST = 1e60  # beyond, squares of squares leave float64
_COUNTED = 20  # of fewer rows whole numbers may stand so by chance


def numbers_in(where: str, frame: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Columns of numbers as float64, missing ones as NaN. StudyError for one that is infinite or out of reach."""
    values = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    wild = np.abs(values) > _LARGEST
    if wild.any():
        row, column = np.argwhere(wild)[0]
        raise StudyError(
            f"{where}: column {shown(names[column])}, row {row + 1}: {values[row, column]:g} is no number to compute "
            f"with ({wild.sum()} such); numbers are at most {_LARGEST:g}"
        )
    return values


def say_of_counts(X: np.ndarray, names: Sequence[str], notes: Notes) -> None:
    """Note the columns that number the rows, in whatever order: whole numbers without a gap, each once."""
    if len(X) < _COUNTED:
        return
    span = np.nanmax(X, 0, initial=-np.inf) - np.nanmin(X, 0, initial=np.inf)
    for k in np.flatnonzero(span == len(X) - 1).tolist():
        if X[0, k] % 1 or (np.diff(np.sort(X[:, k])) != 1).any():
            continue
        notes.lines.append(
            f"{notes.where}: column {some([names[k]])} numbers the rows, and is taken as x; if it measures nothing, "
            "name the others in file.features"
        )


def imputed(where: str, X: np.ndarray, names: Sequence[str], keys: File) -> np.ndarray:
    if keys.impute == "none" or not np.isnan(X).any():
        return X
    if (empty := np.isnan(X).all(0)).any():
        raise StudyError(f"{where}: column {shown(names[empty.argmax()])} has no value to impute from; leave it out")
    return np.where(np.isnan(X), np.nanmean(X, 0) if keys.impute == "mean" else np.nanmedian(X, 0), X)


def outputs_of(
    where: str, y: pd.DataFrame, keys: File, notes: Notes
) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """Y (n, k), where y is there (n, columns), and the names of outputs and of classes, [] where y is none."""
    names, kinds = list(y.columns), kinds_of(y.set_axis(range(len(y.columns)), axis=1))
    present = y.notna().to_numpy(dtype=bool)
    if "others" in kinds:
        raise StudyError(
            f"{where}: column {shown(names[kinds.index('others')])} is y, and holds neither numbers nor texts"
        )
    if len(names) == 1 and keys.classes != "false" and (kinds[0] == "texts" or holds_bools(y.iloc[:, 0])):
        if kinds[0] == "texts":
            check_classes(where, y.iloc[:, 0], names[0], keys)
        return _classes(where, y.iloc[:, 0].astype(str).to_numpy(), present, names[0])
    for k in (k for k, kind in enumerate(kinds) if kind == "texts"):
        check_texts(where, y.iloc[:, k], names[k])
        check_commas(where, y.iloc[:, k], names[k])
        raise StudyError(f"{where}: column {shown(names[k])} holds texts; y is numbers, or one column of classes")
    Y = numbers_in(where, y, names)
    if keys.classes == "true" and are_one_hot(Y):
        return Y, present, names, names
    whole = len(names) == 1 and are_whole(Y[present])
    if keys.classes == "true":
        if not whole:
            raise StudyError(f"{where}: file.classes=true, and y ({some(names)}) is not one column of whole numbers")
        return _classes(where, Y.ravel(), present, names[0])
    if whole and keys.classes == "auto" and len(few := np.unique(Y[present])) <= 20 and len(few) < len(Y) / 5:
        notes.lines.append(
            f"{where}: y ({names[0]}) holds {len(few)} whole numbers and is taken as a number; file.classes=true makes "
            "them classes"
        )
    return Y, present, names, []


def _classes(
    where: str, labels: np.ndarray, present: np.ndarray, name: str
) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    check_size(f"{where}, as classes", len(labels), min(len(pd.unique(labels)), MOST_CLASSES))
    try:
        encoded, classes = one_hot(labels[present[:, 0]])
    except ValueError as error:
        raise StudyError(f"{where}: column {shown(name)} {error}; it is y") from None
    Y = np.zeros((len(labels), len(classes)))
    Y[present[:, 0]] = encoded
    return Y, present, list(classes), list(classes)


def complete_rows(where: str, missing: np.ndarray, names: Sequence[str], keys: File, notes: Notes) -> np.ndarray:
    """Which rows have all values. StudyError for the first that has not, where none are to be dropped."""
    keep: np.ndarray = np.asarray(~missing.any(1))
    if keep.all() and len(keep) >= 2:
        return keep
    count, worst = int((~keep).sum()), int(missing.sum(0).argmax())
    if not keys.drop_missing:
        row, column = np.argwhere(missing)[0] if count else (0, 0)
        if count:
            raise StudyError(
                f"{where}: column {shown(names[column])}, row {row + 1}: has no value ({missing.sum()} such)"
            )
    if keep.sum() < 2:
        most = f"; column {shown(names[worst])} lacks most, {missing[:, worst].sum():,}" if count else ""
        raise StudyError(f"{where}: {keep.sum()} of {len(keep):,} rows have all values, and a study needs 2{most}")
    notes.lines.append(
        f"{where}: left out {count:,} of {len(keep):,} rows, which lack a value (most in column {shown(names[worst])})"
    )
    return keep


def encoded_texts(where: str, frame: pd.DataFrame, names: list[str]) -> tuple[np.ndarray, list[str]]:
    """A column of 0 and 1 for each text of each column (n, …), called column=text."""
    blocks: list[np.ndarray] = [np.empty((len(frame), 0))]
    found: list[str] = []
    for k, name in zip(frame.columns, names, strict=True):
        which, texts = pd.factorize(frame[k].astype(str).astype(object), sort=True)
        if len(texts) > MOST_CLASSES or len(found) + len(texts) > MOST_COLUMNS:
            raise StudyError(
                f"{where}: column {shown(name)} holds {len(texts):,} different texts, which are no categories"
            )
        check_size(f"{where}, as categories", len(frame), len(found) + len(texts))
        blocks.append((which[:, None] == np.arange(len(texts))).astype(np.float64))
        found += [f"{name}={text}" for text in texts]
    return np.hstack(blocks), found
