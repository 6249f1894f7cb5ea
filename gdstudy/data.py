"""Data sets, preprocessing, and the paper's split. All randomness of a study starts here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Dataset:
    """name: with its preprocessing, as in `diabetes+standardize`; X: (n, D) float64; Y: (n, k) float64."""

    name: str
    X: np.ndarray
    Y: np.ndarray


def _student_teacher(data_seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """y = Zb with Z ~ N(0, I₃₀); the model sees 20 of the 30 features, the hidden 10 make the residual E."""
    random = np.random.RandomState(data_seed)
    Z, b = random.randn(1000, 30), random.randn(30, 1)
    return Z[:, :20].copy(), Z @ b


def _diabetes() -> tuple[np.ndarray, np.ndarray]:
    """442 patients, 10 features centred and scaled by scikit-learn, disease progression uncentred (Efron 2004)."""
    from sklearn.datasets import load_diabetes

    X, y = load_diabetes(return_X_y=True)
    return X, y[:, None]


LOADERS: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    "student_teacher": _student_teacher,
    "diabetes": _diabetes,
}


def load_dataset(name: str, preprocess: str = "none") -> Dataset:
    """One of the data sets of Fig. 1, all rows.

    name: a key of LOADERS. preprocess, with statistics of all rows:
      none         raw features, no intercept, as in the paper
      center       columns of X and Y minus their means, which stands in for an intercept
      standardize  center, then columns of X divided by their standard deviation (a constant column stays 0)
    ValueError, listing what there is, for an unknown name or preprocessing.
    """
    if name not in LOADERS:
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(LOADERS)}")
    if preprocess not in ("none", "center", "standardize"):
        raise ValueError(f"unknown preprocess {preprocess!r}; known: none, center, standardize")
    X, Y = LOADERS[name]()
    X, Y = np.asarray(X, dtype=np.float64), np.asarray(Y, dtype=np.float64)
    if preprocess == "none":
        return Dataset(name, X, Y)
    X, Y = X - X.mean(0), Y - Y.mean(0)
    if preprocess == "standardize":
        scale = X.std(0)
        X = X / np.where(scale > 0, scale, 1)
    return Dataset(f"{name}+{preprocess}", X, Y)


def split(n_rows: int, n_train: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (train, test) of the paper's split: the last N of RandomState(seed).permutation(n) train.

    The same rows as sklearn.model_selection.train_test_split(random_state=seed, test_size=n − N), so
    training sets are nested in N and paired across estimators. ValueError unless 1 ≤ N < n.
    """
    if not 1 <= n_train < n_rows:
        raise ValueError(
            f"n_train={n_train} must lie in 1 … {n_rows - 1}: at least one of {n_rows} rows is for testing"
        )
    order = np.random.RandomState(seed).permutation(n_rows)
    return order[n_rows - n_train :], order[: n_rows - n_train]


def training_stack(dataset: Dataset, cells: Sequence[tuple[int, int]], height: int) -> tuple[np.ndarray, np.ndarray]:
    """Training rows of many cells, zero-padded to one height: X (C, height, D), Y (C, height, k).

    cells: (n_train, seed) pairs. Zero rows add nothing to a gradient, so padding is exact.
    """
    n_rows, D = dataset.X.shape
    X = np.zeros((len(cells), height, D))
    Y = np.zeros((len(cells), height, dataset.Y.shape[1]))
    for c, (n_train, seed) in enumerate(cells):
        rows, _ = split(n_rows, n_train, seed)
        X[c, :n_train], Y[c, :n_train] = dataset.X[rows], dataset.Y[rows]
    return X, Y
