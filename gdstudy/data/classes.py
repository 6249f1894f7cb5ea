"""Targets that are classes: one output of 0 and 1 for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

# More different texts or numbers than these are names, dates or measurements, and no classes.
MOST_CLASSES = 1000


def one_hot(labels: Sequence[Any] | np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """(Y (n, k) of 0 and 1, the k names) of n labels, in the order of the labels; whole numbers in theirs.

    ValueError for fewer than two classes or more than MOST_CLASSES.
    """
    values = np.asarray(labels)
    if values.dtype.kind not in "iuf":  # as objects: an array of texts is as wide as the longest of them
        values = np.array([str(value) for value in values.ravel()], dtype=object)
    names, which = np.unique(values, return_inverse=True)
    if not 2 <= len(names) <= MOST_CLASSES:
        raise ValueError(f"holds {len(names):,} different values, and classes are 2 to {MOST_CLASSES:,}")
    words = [str(int(name)) if values.dtype.kind in "iuf" else str(name) for name in names]
    return (which.reshape(-1, 1) == np.arange(len(names))).astype(np.float64), tuple(words)


def are_whole(values: np.ndarray) -> bool:
    return bool((values == np.floor(values)).all())


def are_one_hot(Y: np.ndarray) -> bool:
    """Each row of Y (n, k) is one 1 among zeros."""
    return bool(Y.shape[1] > 1 and np.isin(Y, (0, 1)).all() and (Y.sum(1) == 1).all())
