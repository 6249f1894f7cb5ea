"""What a loaded data set is."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from gdstudy.data.classes import are_one_hot, are_whole, lacking, one_hot
from gdstudy.data.splits import stream
from gdstudy.linalg.arrays import precision_of, real_tensor


@dataclass(frozen=True)
class Gaussian:
    """y = x·β + e with x ~ N(0, I). signal: ‖β‖²; noise: Var e; both in squared units of y.

    isotropic: else x has another covariance, in whose units β is.
    """

    signal: float
    noise: float
    isotropic: bool = True


@dataclass(frozen=True, repr=False)
class Dataset:
    """Rows of data, one's own as well: `Dataset(X, y, name="probe")`.

    X: (n, D), dense or in compressed sparse rows; Y: (n,) or (n, k), or None where there are inputs only. Arrays,
    tensors and data frames are taken, and kept as float64: X (n, D), Y (n, k), k = 0 without targets.
    name: what tables, figures and folders call it.
    classes: None: a Y of texts, or of true and false, becomes one output of 0 and 1 for each class; True: one of whole
    numbers too; False: none does. Then the names of the classes, or ().
    columns: names of the columns of X, those of a data frame by default, or ().
    law: the distribution the rows were drawn from, where there is one with a known expected risk of predicting Y.
    covariance: (D,) diagonal of Σ for rows x ~ N(0, Σ), or None. preprocess: what was done to the columns; X_mean
    (D,), Y_mean (k,): what was taken from them, in their units now. input_noise: σ of `inputs`, units of X. eps:
    precision of the numbers that X was given in, by default of their type, by which modes that are rounding are told.
    ValueError or TypeError, naming X or Y, for what is no real and finite number, for another number of rows, or for
    fewer than two.
    """

    X: Any
    Y: Any = None
    name: str = "data"
    classes: Any = None
    columns: tuple[str, ...] = ()
    law: Gaussian | None = None
    covariance: np.ndarray | None = None
    preprocess: str = "none"
    Y_mean: np.ndarray | None = None
    X_mean: np.ndarray | None = None
    input_noise: float = 0.0
    eps: float | None = None

    def __post_init__(self) -> None:
        columns = self.columns or tuple(map(str, getattr(self.X, "columns", ())))
        eps = precision_of(self.X) if self.eps is None else self.eps
        X = _sparse_rows(self.X)
        X = _numbers("X", self.X) if X is None else X
        Y, classes = _targets(np.empty((X.shape[0], 0)) if self.Y is None else self.Y, self.classes)
        if X.ndim != 2 or not X.shape[1]:
            raise ValueError(f"X must be (rows, columns), with at least one column; it is {X.shape}")
        if Y.ndim != 2 or len(Y) != X.shape[0]:
            raise ValueError(f"Y must be (n,) or (n, k) with a row for each of the {X.shape[0]} of X; it is {Y.shape}")
        if X.shape[0] < 2:
            raise ValueError(f"X has {X.shape[0]} rows; at least one is for training and one for testing")
        if columns and len(columns) != X.shape[1]:
            raise ValueError(f"columns={len(columns)} names do not fit the {X.shape[1]} columns of X")
        _check_finite("X", X if isinstance(X, np.ndarray) else X.data)
        _check_finite("Y", Y)
        for field, value in (("X", X), ("Y", Y), ("classes", classes), ("columns", columns), ("eps", eps)):
            object.__setattr__(self, field, value)

    def __repr__(self) -> str:
        return f"Dataset(name={self.name!r}, X: {self.X.shape}, Y: {self.Y.shape})"

    @property
    def n_rows(self) -> int:
        return int(self.X.shape[0])

    @property
    def labels(self) -> np.ndarray:
        """The class of each row, (n,), as the number of its output."""
        return np.asarray((self.Y if self.Y_mean is None else self.Y + self.Y_mean).argmax(1))

    def clean(self) -> np.ndarray:
        """All inputs without noise, (n, D): what an autoencoder is to give back."""
        return self.X if isinstance(self.X, np.ndarray) else self.X.toarray()

    def inputs(self, seed: int) -> np.ndarray:
        """All inputs as a model sees them, (n, D): X + σε with ε ~ N(0, I) drawn for the seed."""
        if not self.input_noise:
            return self.clean()
        return self.clean() + self.input_noise * stream(seed, "input_noise").standard_normal(self.X.shape)


def _sparse_rows(value: Any) -> Any:
    """One of SciPy's sparse matrices in compressed rows; None for what is none, as all is where nobody imported it."""
    sparse = sys.modules.get("scipy.sparse")
    if sparse is None or not sparse.issparse(value):
        return None
    if value.dtype.kind not in "biuf":
        raise ValueError(f"X must hold real numbers; its dtype is {value.dtype}")
    return sparse.csr_array(value, dtype=np.float64)


def _numbers(name: str, value: Any) -> np.ndarray:
    """float64, in the memory it lies in where it is that already."""
    if type(value) is np.ndarray and value.dtype == np.float64:  # one that masks some is none to take as it is
        return value
    for column, dtype in zip(value.columns, value.dtypes, strict=True) if hasattr(value, "columns") else ():
        if getattr(dtype, "kind", "O") not in "biuf":
            raise ValueError(f"{name} must hold real numbers; column {str(column)[:60]!r} is of dtype {dtype}")
    return np.asarray(real_tensor(name, value).double().cpu())


def _targets(value: Any, classes: tuple[str, ...] | bool | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Y (n, k) and the names of its classes, () where it is none."""
    if np.ma.is_masked(value):
        raise ValueError(f"Y has {int(np.ma.count_masked(value))} masked entries; drop their rows")
    if classes is None or classes is True:
        of_tensor = hasattr(value, "detach") and str(value.dtype) != "torch.bool"  # all others hold numbers
        labels = np.empty(0) if of_tensor else np.asarray(value.cpu() if hasattr(value, "detach") else value)
        if (
            labels.size == len(labels)
            and labels.size
            and all(isinstance(x, str | bool | np.bool_) for x in labels[:1].ravel())
        ):
            _check_labels(labels.ravel())
            return _one_hot(labels.ravel())
    Y = _numbers("Y", value)
    Y = Y[:, None] if Y.ndim == 1 else Y
    if classes is True and not are_one_hot(Y):
        if Y.shape[1] == 1 and are_whole(Y):
            return _one_hot(Y.ravel())
        raise ValueError(f"Y must be one column of texts or whole numbers for classes=True; it is {Y.shape}")
    names = classes if isinstance(classes, tuple) else tuple(map(str, range(Y.shape[1]))) if classes else ()
    if names and len(names) != Y.shape[1]:
        raise ValueError(f"Y must have an output for each of the {len(names)} classes; it is {Y.shape}")
    return Y, names


def _check_labels(labels: np.ndarray) -> None:
    if count := lacking(labels):
        raise ValueError(f"Y lacks the class of {count} rows; drop them")


def _one_hot(labels: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    try:
        return one_hot(labels)
    except ValueError as error:
        raise ValueError(f"Y {error}") from None


def _check_finite(name: str, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        place = ", ".join(map(str, np.argwhere(~np.isfinite(values))[0]))
        raise ValueError(f"{name}[{place}] is NaN or infinite; drop such rows, or impute them")
