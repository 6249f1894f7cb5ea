"""A small zoo of regression problems with known answers: engines, closed forms and estimators are all run through it.

X is made of its singular values and vectors, or of whole numbers, so that X⁺Y, the rank and κ are known before anything
is computed; the iterates of gradient descent are those of the recursion as it is written. NumPy only, and nothing of
gdstudy.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest


@dataclass(frozen=True)
class Known:
    """X (N, P), Y (N, k), and W = X⁺Y (P, k) in float64. condition: κ, NaN where X = 0. largest: σ₁."""

    name: str
    X: np.ndarray
    Y: np.ndarray
    W: np.ndarray
    rank: int
    condition: float
    largest: float

    @property
    def eps(self):
        return np.finfo(self.X.dtype).eps

    def tolerance(self, factor=100):
        """What rounding may make of W, absolute: κ eps ‖W‖, and κ² eps ‖Y − XW‖/σ₁ where XW is not Y."""
        kappa = 1 if self.rank == 0 else self.condition
        residual = np.linalg.norm(self.Y - self.X.astype(float) @ self.W)
        return factor * np.finfo(float).eps * (
            kappa * np.linalg.norm(self.W) + kappa**2 * residual / (self.largest or 1)
        )  # fmt: skip

    def step_size(self, share=1.0):
        """η of so many times 1/σ₁²; descent is stable below 2."""
        return share / (self.largest or 1) ** 2

    def iterate(self, eta, t, momentum=0.0):
        """W_t of W ← W − η Xᵀ(XW − Y) + β(W − W before) from W = 0, step by step."""
        X, Y = self.X.astype(float), self.Y.astype(float)
        W = before = np.zeros((X.shape[1], Y.shape[1]))
        for _ in range(t):
            W, before = W - eta * X.T @ (X @ W - Y) + momentum * (W - before), W
        return W

    @cached_property
    def row_space(self):
        """X⁺X (P, P)."""
        return np.linalg.pinv(self.X.astype(float), rcond=1e-10) @ self.X


def of_spectrum(name, N, P, s, k=1, seed=0, targets=1.0):
    """X = U diag(s) Vᵀ with random singular vectors."""
    random, s = np.random.default_rng([seed, N, P, k]), np.array(s, dtype=float)
    U, V = (np.linalg.qr(random.standard_normal((n, n)))[0][:, : len(s)] for n in (N, P))
    Y = targets * random.standard_normal((N, k))
    return Known(name, U * s @ V.T, Y, V / s @ U.T @ Y, len(s), s[0] / s[-1], s[0])


def _hadamard():
    H = np.array([[1.0]])
    for _ in range(3):
        H = np.block([[H, H], [H, -H]])
    return H


def _whole_numbers():
    """In float32, where all of these are exact: X's columns are orthogonal, of lengths √2, 2 and 4."""
    X = np.array([[1, 0, 2], [1, 0, -2], [0, 1, 2], [0, 1, -2], [0, 1, 0], [0, 1, 0]], dtype=np.float32)
    Y = np.array([[3], [1], [0], [2], [-1], [4]], dtype=np.float32)
    W = (X.T @ Y / np.array([[2], [4], [16]])).astype(float)
    return Known("float32", X, Y, W, 3, 4 / 2**0.5, 4.0)


_H, _RANDOM = _hadamard(), np.random.default_rng(1)
_ORTHOGONAL = (_H[:4], _RANDOM.standard_normal((4, 2)))
_ROW, _COLUMN = _RANDOM.standard_normal((1, 5)), _RANDOM.standard_normal((7, 1))
ZOO = {
    known.name: known
    for known in (
        of_spectrum("below_threshold", 5, 8, np.geomspace(1, 0.2, 5)),
        of_spectrum("at_threshold", 8, 8, np.geomspace(1, 0.2, 8)),
        of_spectrum("above_threshold", 20, 8, np.geomspace(1, 0.2, 8)),
        of_spectrum("rank_deficient", 10, 8, np.geomspace(1, 0.2, 5)),
        of_spectrum("rank_deficient_below", 5, 8, np.geomspace(1, 0.3, 3)),
        of_spectrum("many_outputs", 12, 6, np.geomspace(3, 0.5, 6), k=4),
        of_spectrum("ill_conditioned", 10, 6, np.geomspace(1, 1e-6, 6)),
        of_spectrum("large_numbers", 9, 6, 1e6 * np.geomspace(1, 0.2, 6), k=2, targets=1e-3),
        Known("orthogonal_rows", *_ORTHOGONAL, _H[:4].T @ _ORTHOGONAL[1] / 8, 4, 1.0, 8**0.5),
        Known("one_row", _ROW, np.array([[2.0]]), 2 * _ROW.T / (_ROW @ _ROW.T), 1, 1.0, np.linalg.norm(_ROW)),
        Known(
            "one_column",
            _COLUMN,
            np.arange(7.0)[:, None],
            _COLUMN.T @ np.arange(7.0)[:, None] / (_COLUMN.T @ _COLUMN),
            1,
            1.0,
            np.linalg.norm(_COLUMN),
        ),
        Known("zero_targets", _H[:6, :4], np.zeros((6, 1)), np.zeros((4, 1)), 4, 2**0.5, 8**0.5),
        Known("zero_inputs", np.zeros((3, 2)), np.ones((3, 1)), np.zeros((2, 1)), 0, np.nan, 0.0),
        _whole_numbers(),
    )
}


def everywhere(*without):
    """A test of each problem of the zoo, but for those named."""
    return pytest.mark.parametrize("known", [ZOO[name] for name in ZOO if name not in without], ids=lambda p: p.name)
