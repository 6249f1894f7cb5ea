"""The law of a linear denoising autoencoder."""

from __future__ import annotations

import numpy as np

from gdstudy.data.dataset import Dataset, Gaussian
from gdstudy.theory.hastie import gaussian_test_mse


def denoising_law(covariance: np.ndarray, input_noise: float) -> Gaussian:
    """The law of a linear denoising autoencoder: target x ~ N(0, Σ), features x + ε, ε ~ N(0, σ²I).

    With C = Σ + σ²I, x = ΣC⁻¹(x + ε) + e, and e is independent of x + ε (all are Gaussian) with covariance
    Σσ²C⁻¹. So least squares from x + ε to x is regression with residuals e; without noise there is none.

    covariance: (D,) diagonal of Σ; input_noise: σ. Returns means over the D outputs.
    """
    c = covariance + input_noise**2
    signal, noise = covariance**2 / c, covariance * input_noise**2 / c
    return Gaussian(float(signal.mean()), float(noise.mean()), bool(np.ptp(covariance) == 0))


def of_autoencoder(dataset: Dataset, n_train: np.ndarray, n_parameters: int) -> np.ndarray | None:
    """Expected test MSE of X̃⁺X at each N, (n,), where the inputs are drawn from a known N(0, Σ); else None."""
    if dataset.covariance is None:
        return None
    law = denoising_law(dataset.covariance, dataset.input_noise)
    return gaussian_test_mse(n_train, n_parameters, law.signal, law.noise, law.isotropic)
