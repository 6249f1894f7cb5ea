"""Frozen feature maps φ: inputs (n, D) → features (n, P). Only the readout on top of them is trained."""

from __future__ import annotations

import numpy as np

from gdstudy.data.splits import stream
from gdstudy.study.entries import code
from gdstudy.study.models import Model


def legendre(X: np.ndarray, P: int, seed: int = 0) -> np.ndarray:
    """Legendre polynomials of degree 1 … P, without a constant: (n, 1) inputs in [−1, 1] → (n, P).

    The basis of the polynomial regression of App. C. ValueError for inputs of another shape or range.
    """
    if X.shape[1] != 1 or not np.abs(X).max() <= 1:
        raise ValueError(f"legendre needs one input in [−1, 1]; there are {X.shape[1]}, up to {np.abs(X).max():.3g}")
    return np.polynomial.legendre.legvander(X[:, 0], P)[:, 1:]


def random_relu(X: np.ndarray, P: int, seed: int) -> np.ndarray:
    """φ_p(x) = √(2/P) max(0, a_p·x) with a_p ~ N(0, I_D / D) (Cho & Saul 2009): (n, P).

    The first P features of a wider map, up to their scale: a longer draw extends a shorter one.
    """
    A = stream(seed, "random_relu").standard_normal((P, X.shape[1])) / np.sqrt(X.shape[1])
    return np.sqrt(2 / P) * np.maximum(X @ A.T, 0)


def random_fourier(X: np.ndarray, P: int, seed: int) -> np.ndarray:
    """φ_p(x) = √(2/P) cos(a_p·x + b_p), a_p ~ N(0, I_D / D), b_p ~ U[0, 2π) (Rahimi & Recht 2007): (n, P).

    For standardised inputs a_p·x has variance about 1. A longer draw extends a shorter one.
    """
    A = stream(seed, "random_fourier").standard_normal((P, X.shape[1])) / np.sqrt(X.shape[1])
    b = stream(seed, "random_fourier phases").uniform(0, 2 * np.pi, P)
    return np.sqrt(2 / P) * np.cos(X @ A.T + b)


def random_tanh(X: np.ndarray, P: int, seed: int) -> np.ndarray:
    """φ_p(x) = √(1/P) tanh(a_p·x) with a_p ~ N(0, I_D / D): (n, P). A longer draw extends a shorter one."""
    A = stream(seed, "random_tanh").standard_normal((P, X.shape[1])) / np.sqrt(X.shape[1])
    return np.sqrt(1 / P) * np.tanh(X @ A.T)


def mirrored_relu(X: np.ndarray, P: int, seed: int) -> np.ndarray:
    """random_relu in pairs a, −a: (n, P). relu(z) − relu(−z) = z, so from P = 2D on, features express any linear map.

    The features of one pair differ by a linear function of x: their rank is at most P/2 + D.
    """
    A = stream(seed, "random_relu").standard_normal(((P + 1) // 2, X.shape[1])) / np.sqrt(X.shape[1])
    return np.sqrt(2 / P) * np.maximum(X @ np.stack([A, -A], 1).reshape(-1, X.shape[1])[:P].T, 0)


def feature_map(model: Model, X: np.ndarray, P: int, seed: int, intercept: bool = False) -> np.ndarray:
    """Features φ(x) of all rows under a model: (n, D) → (n, P), or X itself where the model has no map of its own.

    seed: of the random maps; the others have no randomness. intercept: the last of the P columns is a constant 1.
    """
    if intercept:
        return np.hstack([feature_map(model, X, P - 1, seed), np.ones((len(X), 1))])
    if model.features is None:
        return X
    return np.asarray(code(model.features)(X, P, seed))
