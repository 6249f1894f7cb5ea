"""Data sets drawn or computed here."""

from __future__ import annotations

import numpy as np

from gdstudy.data.dataset import Dataset, Gaussian
from gdstudy.data.splits import stream
from gdstudy.study.groups import Synthetic

_DRAWN_ROWS = 1000  # sparse rows are drawn so many at a time, so that more of them begin with the same


def student_teacher(data_seed: int = 0) -> Dataset:
    """y = Zb with Z ~ N(0, I₃₀); the model sees 20 of the 30 features, the hidden 10 make the residual E."""
    random = np.random.RandomState(data_seed)
    Z, b = random.randn(1000, 30), random.randn(30, 1)
    law = Gaussian(signal=float((b[:20] ** 2).sum()), noise=float((b[20:] ** 2).sum()))
    return Dataset(Z[:, :20].copy(), Z @ b, "student_teacher", law=law)


def linear_plus_cosine() -> Dataset:
    """y = 2x + cos 25x at 1000 evenly spaced x in [−1, 1]: no noise, but no short polynomial either (App. C)."""
    x = np.linspace(-1, 1, 1000)[:, None]
    return Dataset(x, 2 * x + np.cos(25 * x), "linear_plus_cosine")


def isotropic(sizes: Synthetic) -> Dataset:
    """x ~ N(0, I)."""
    X = stream(0, "isotropic").standard_normal((sizes.n_rows, sizes.n_inputs))
    return Dataset(X, None, "isotropic", covariance=np.ones(sizes.n_inputs))


def power_law(sizes: Synthetic) -> Dataset:
    """x ~ N(0, Σ) with Σ = diag(1, 1/2, …, 1/D)."""
    covariance = 1 / np.arange(1, sizes.n_inputs + 1)
    X = stream(0, "power_law").standard_normal((sizes.n_rows, sizes.n_inputs)) * np.sqrt(covariance)
    return Dataset(X, None, "power_law", covariance=covariance)


def sparse_features(sizes: Synthetic) -> Dataset:
    """Sparse non-negative inputs of length 1 (Henighan et al. 2023, "Superposition, Memorization, and Double Descent").

    Each entry is 0 with probability 1 − p, else U[0, 1]; rows without an entry are drawn again; then ‖x‖ = 1.
    """
    from scipy import sparse  # takes a tenth of a second

    shape, parts = (_DRAWN_ROWS, sizes.n_inputs), []
    for first in range(0, sizes.n_rows, _DRAWN_ROWS):
        random = stream(first, "sparse_features")
        present = random.random(shape) < sizes.p_nonzero
        while len(empty := np.flatnonzero(~present.any(1))):
            present[empty] = random.random((len(empty), sizes.n_inputs)) < sizes.p_nonzero
        row, column = present.nonzero()
        value = 1 - random.random(len(row))  # in (0, 1]: an entry that is there is not zero
        length = np.sqrt(np.bincount(row, value**2))
        parts.append(sparse.csr_array((value / length[row], (row, column)), shape=shape))
    X = sparse.vstack(parts, format="csr")[: sizes.n_rows]
    return Dataset(X, None, "sparse_features")
