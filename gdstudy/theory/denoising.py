"""The law of a linear denoising autoencoder."""

from __future__ import annotations

import numpy as np

from gdstudy.data.dataset import Gaussian


def denoising_law(covariance: np.ndarray, input_noise: float) -> Gaussian:
    """The law of a linear denoising autoencoder: target x ~ N(0, Σ), features x + ε, ε ~ N(0, σ²I).

    With C = Σ + σ²I, x = ΣC⁻¹(x + ε) + e, and e is independent of x + ε (all are Gaussian) with covariance
    Σσ²C⁻¹. So least squares from x + ε to x is regression with residuals e; without noise there is none.

    covariance: (D,) diagonal of Σ; input_noise: σ. Returns means over the D outputs.
    """
    c = covariance + input_noise**2
    signal, noise = covariance**2 / c, covariance * input_noise**2 / c
    return Gaussian(float(signal.mean()), float(noise.mean()), bool(np.ptp(covariance) == 0))
