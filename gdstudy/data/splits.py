"""The paper's split, and named streams of random numbers. All randomness of data starts here."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np


def stream(seed: int, purpose: str) -> np.random.Generator:
    """Independent draws for each seed and purpose, the same on every machine."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


@lru_cache(maxsize=128)  # a stack asks for the same seeds at every N
def _order(n_rows: int, seed: int) -> np.ndarray:
    order = np.random.RandomState(seed).permutation(n_rows)
    order.flags.writeable = False
    return order


def split(n_rows: int, n_train: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (train, test) of the paper's split: the last N of RandomState(seed).permutation(n) train.

    The same rows as sklearn.model_selection.train_test_split(random_state=seed, test_size=n − N), so
    training sets are nested in N and paired across estimators. ValueError unless 1 ≤ N < n.
    """
    if not 1 <= n_train < n_rows:
        raise ValueError(
            f"n_train={n_train} must lie in 1 … {n_rows - 1}: at least one of {n_rows} rows is for testing"
        )
    order = _order(n_rows, seed)
    return order[n_rows - n_train :], order[: n_rows - n_train]


def training_rows(n_rows: int, cells: Sequence[tuple[int, int]], height: int) -> np.ndarray:
    """Row numbers of the training sets of many cells, −1 beyond N: (C, height).

    cells: (n_train, seed) pairs. Training sets of a seed are nested, so each seed is split once.
    """
    rows = np.full((len(cells), height), -1)
    largest: dict[int, int] = {}
    for n_train, seed in cells:
        largest[seed] = max(n_train, largest.get(seed, 0))
    splits = {seed: split(n_rows, n_train, seed)[0] for seed, n_train in largest.items()}
    for c, (n_train, seed) in enumerate(cells):
        rows[c, :n_train] = splits[seed][-n_train:]
    return rows
