"""Targets that are classes: one output of 0 and 1 for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

# More different texts or numbers than these are names, dates or measurements, and no classes.
MOST_CLASSES = 1000
# Whole numbers with so many different values at most, and ten rows each on average, are classes.
_FEW_VALUES, _ROWS_A_CLASS = 20, 10


def one_hot(
    labels: Sequence[Any] | np.ndarray, names: tuple[str, ...] | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(Y (n, k) of 0 and 1, the k names) of n labels, in the order of the labels; numbers in theirs.

    names: those of classes that there are already. ValueError for a label that is none of these; without them for fewer
    than two classes or more than MOST_CLASSES.
    """
    values = np.asarray(labels).ravel()
    if values.dtype.kind not in "iuf":  # as objects: an array of texts is as wide as the longest of them
        values = np.array([str(value) for value in values], dtype=object)
    found, which = np.unique(values, return_inverse=True)
    words = tuple(map(word_of, found))
    if names is None:
        if not 2 <= len(words) <= MOST_CLASSES:
            raise ValueError(f"holds {len(words):,} different values, and classes are 2 to {MOST_CLASSES:,}")
        names = words
    if strange := set(words) - set(names):
        raise ValueError(f"holds a class {min(strange)[:60]!r} that there is not")
    place = np.array([names.index(word) for word in words])[which]
    return (place[:, None] == np.arange(len(names))).astype(np.float64), names


def lacking(labels: np.ndarray) -> int:
    """How many of the labels are missing: None, NaN, or pandas' own."""
    import pandas as pd

    return int(pd.isna(labels).sum())


def word_of(label: Any) -> str:
    """A text as it is, a number without the point of a whole one."""
    if not isinstance(label, int | float | np.integer | np.floating) or isinstance(label, bool):
        return str(label)
    return str(int(label)) if label == np.floor(label) else f"{label:g}"


def are_whole(values: np.ndarray) -> bool:
    return bool((values == np.floor(values)).all())


def are_one_hot(Y: np.ndarray) -> bool:
    """Each row of Y (n, k) is one 1 among zeros."""
    return bool(Y.shape[1] > 1 and np.isin(Y, (0, 1)).all() and (Y.sum(1) == 1).all())


def targets_of(name: str, y: Any, classes: bool | None, known: tuple[str, ...] = ()) -> tuple[Any, tuple[str, ...]]:
    """y as numbers, and the names of its classes, () where it holds none.

    Texts are classes, and whole numbers of few values; classes: whether they are, if that is known. known: those that
    there are already. ValueError, beginning with the name, for masked entries, and for what cannot be classes.
    """
    if np.ma.is_masked(y):
        raise ValueError(f"{name} has {int(np.ma.count_masked(y))} masked entries; leave their rows out")
    if hasattr(y, "detach"):
        values = (y.float() if str(y.dtype) == "torch.bfloat16" else y).numpy(force=True)  # NumPy has no such type
    else:
        values = np.asarray(y)
    if classes is False or not values.ndim or values.size != len(values):
        return y, ()
    labels = values.ravel()
    of_texts = values.dtype.kind == "O" and any(isinstance(label, str | bool | np.bool_) for label in labels)
    texts = values.dtype.kind in "USb" or of_texts
    most = min(_FEW_VALUES, len(labels) // _ROWS_A_CLASS)
    few = values.dtype.kind in "iu" and 2 <= len(np.unique(labels)) <= most
    if not (classes or known or texts or few):
        return y, ()
    if count := lacking(labels):
        raise ValueError(f"{name} lacks the class of {count} rows; leave them out")
    if classes and not texts and values.dtype.kind == "f" and not are_whole(values):
        raise ValueError(f"{name} must be texts or whole numbers for classes=True")
    if not known and len(labels) and (labels == labels[0]).all():  # which the verdict says
        known = (word_of(labels[0]),)
    try:
        return one_hot(labels, known or None)
    except ValueError as error:
        raise ValueError(f"{name} {error}; classes=False takes numbers as they are") from None
