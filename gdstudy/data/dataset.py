"""What a loaded data set is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from gdstudy.data.splits import stream


@dataclass(frozen=True)
class Gaussian:
    """y = x·β + e with x ~ N(0, I). signal: ‖β‖²; noise: Var e; both in squared units of y.

    isotropic: else x has another covariance, in whose units β is.
    """

    signal: float
    noise: float
    isotropic: bool = True


@dataclass(frozen=True)
class Dataset:
    """name, preprocess: what was loaded, and what was done to its columns.

    X: (n, D) float64, dense or in compressed sparse rows; Y: (n, k) float64, k = 0 where there are inputs only.
    law: the distribution the rows were drawn from, where there is one with a known expected risk of predicting Y.
    covariance: (D,) diagonal of Σ for rows x ~ N(0, Σ), or None. input_noise: σ of `inputs`, units of X.
    """

    name: str
    X: np.ndarray | sparse.csr_array
    Y: np.ndarray
    law: Gaussian | None = None
    covariance: np.ndarray | None = None
    preprocess: str = "none"
    input_noise: float = 0.0

    @property
    def n_rows(self) -> int:
        return int(self.X.shape[0])

    def clean(self) -> np.ndarray:
        """All inputs without noise, (n, D): what an autoencoder is to give back."""
        return self.X if isinstance(self.X, np.ndarray) else self.X.toarray()

    def inputs(self, seed: int) -> np.ndarray:
        """All inputs as a model sees them, (n, D): X + σε with ε ~ N(0, I) drawn for the seed."""
        if not self.input_noise:
            return self.clean()
        return self.clean() + self.input_noise * stream(seed, "input_noise").standard_normal(self.X.shape)
