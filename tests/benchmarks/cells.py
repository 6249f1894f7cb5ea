"""The problems that everybody trains: random linear regressions at every N from 1 to 2P, of some seeds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

MOST_SIZES = 40  # of N between 1 and 2P


@dataclass(frozen=True)
class Cells:
    """X: (C, N, P) and Y: (C, N, k), rows past n_rows (C,) are zero; eta: (C,) 1/σ₁². Float64."""

    X: np.ndarray
    Y: np.ndarray
    n_rows: np.ndarray

    @cached_property
    def eta(self) -> np.ndarray:
        gram = self.X @ self.X.mT if self.X.shape[1] < self.X.shape[2] else self.X.mT @ self.X
        return 1 / np.linalg.eigvalsh(gram)[:, -1]

    def __len__(self) -> int:
        return len(self.X)

    def at(self, some: np.ndarray) -> Cells:
        rows = slice(int(self.n_rows[some].max()))
        return Cells(self.X[some, rows], self.Y[some, rows], self.n_rows[some])

    def sample(self) -> np.ndarray:
        """Three cells below, at and above the threshold, whose N is on average that of all."""
        P = self.X.shape[2]
        return np.array([np.abs(self.n_rows - n).argmin() for n in (P // 2, P, 2 * P - P // 2)])


def cells(P: int, k: int, seeds: int, sizes: np.ndarray | None = None) -> Cells:
    """Y = XB + E with N(0, 1) in all three; a seed's smaller N are its larger ones' first rows.

    sizes: of N, by default up to MOST_SIZES from 1 to 2P.
    """
    if sizes is None:
        sizes = np.linspace(1, 2 * P, min(2 * P, MOST_SIZES)).round().astype(int)
    most = int(max(sizes))
    random = np.random.default_rng([P, k, seeds])
    X = random.standard_normal((seeds, most, P))
    Y = X @ random.standard_normal((seeds, P, k)) + random.standard_normal((seeds, most, k))
    n_rows = np.repeat(sizes, seeds)
    present = (np.arange(most) < n_rows[:, None])[..., None]
    of_seed = np.tile(np.arange(seeds), len(sizes))
    return Cells(X[of_seed] * present, Y[of_seed] * present, n_rows)
