"""Exact expected test errors of random designs."""

from __future__ import annotations

import numpy as np


def gaussian_test_mse(n_train: np.ndarray, n_parameters: int, signal: float, noise: float) -> np.ndarray:
    """Expected test MSE of X⁺y for y = x·β + e with x ~ N(0, I_P), Var e = σ² (Hastie et al. 2022; Breiman 1983).

        N ≤ P − 2:    σ² + ‖β‖²(1 − N/P) + σ² N/(P − N − 1)
        N ≥ P + 2:    σ² + σ² P/(N − P − 1)
        |N − P| ≤ 1:  infinite: E tr (XXᵀ)⁻¹ does not exist

    The expectation is over training set, noise and a fresh test point, whose own noise σ² counts.

    n_train: (n,) rows; signal: ‖β‖²; noise: σ², both in squared units of y. Returns (n,), squared units of y.
    ValueError for a negative signal or noise.
    """
    if not (signal >= 0 and noise >= 0):
        raise ValueError(f"signal={signal:g} and noise={noise:g} are squares and cannot be negative")
    N, P = np.asarray(n_train, dtype=np.float64), n_parameters
    below, above = N <= P - 2, N >= P + 2
    risk = np.full(N.shape, np.inf)
    risk[below] = noise + signal * (1 - N[below] / P) + noise * N[below] / (P - N[below] - 1)
    risk[above] = noise + noise * P / (N[above] - P - 1)
    return risk
