"""Exact expected test errors of random designs."""

from __future__ import annotations

import numpy as np

from gdstudy.data.dataset import Dataset


def gaussian_test_mse(
    n_train: np.ndarray, n_parameters: int, signal: float, noise: float, isotropic: bool = True
) -> np.ndarray:
    """Expected test MSE of X⁺Y for y = x·β + e with x ~ N(0, I_P), Var e = σ² (Hastie et al. 2022; Breiman 1983).

        N ≤ P − 2:    σ² + ‖β‖²(1 − N/P) + σ² N/(P − N − 1)
        N ≥ P + 2:    σ² + σ² P/(N − P − 1)
        |N − P| ≤ 1:  infinite: E tr (XXᵀ)⁻¹ does not exist

    The expectation is over training set, noise and a fresh test point, whose own noise σ² counts. Features of any
    covariance have the same risk for N ≥ P + 2; below that it is NaN unless they are isotropic. Without noise
    nothing is infinite: ‖β‖²(1 − N/P) below P, and 0 from N = P on.

    n_train: (n,) rows; signal: ‖β‖²; noise: σ², both in squared units of y. Returns (n,), squared units of y.
    ValueError for a negative signal or noise.
    """
    if not (signal >= 0 and noise >= 0):
        raise ValueError(f"signal={signal:g} and noise={noise:g} are squares and cannot be negative")
    N, P = np.asarray(n_train, dtype=np.float64), n_parameters
    below, above = (N <= P - 2, N >= P + 2) if noise else (N < P, N >= P)
    risk = np.full(N.shape, np.inf)
    spread = N[below] / (P - N[below] - 1) if noise else 0
    risk[below] = noise + signal * (1 - N[below] / P) + noise * spread if isotropic else np.nan
    risk[above] = noise + (noise * P / (N[above] - P - 1) if noise else 0)
    return risk


def of_least_squares(dataset: Dataset, n_train: np.ndarray, n_parameters: int) -> np.ndarray | None:
    """Expected test MSE of X⁺y at each N, (n,), where (x, y) are drawn from a known Gaussian law; else None."""
    law = dataset.law
    return None if law is None else gaussian_test_mse(n_train, n_parameters, law.signal, law.noise, law.isotropic)
