"""Data sets, preprocessing, and the paper's split. All randomness of a study starts here."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import sparse

from gdstudy.config import Synthetic
from gdstudy.downloads import housing_table, who_file

# Names as they stand in the file, spaces included.
WHO_FEATURES = (
    *("Adult Mortality", "infant deaths", "Alcohol", "percentage expenditure", "Hepatitis B", "Measles ", " BMI "),
    *("under-five deaths ", "Polio", "Total expenditure", "Diphtheria ", " HIV/AIDS", "GDP", "Population"),
    *(" thinness  1-19 years", " thinness 5-9 years", "Schooling"),
)
WHO_TARGET = "Life expectancy "
_DRAWN_ROWS = 1000  # sparse rows are drawn so many at a time, so that more of them begin with the same


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
    """name: with its preprocessing and noise, as in `diabetes+standardize` or `digits+noise0.5`.

    X: (n, D) float64, dense or in compressed sparse rows; Y: (n, k) float64, k = 0 where there are inputs only.
    law: the distribution the rows were drawn from, where there is one with a known expected risk of predicting Y.
    covariance: (D,) diagonal of Σ for rows x ~ N(0, Σ), or None. input_noise: σ of `inputs`, units of X.
    """

    name: str
    X: np.ndarray | sparse.csr_array
    Y: np.ndarray
    law: Gaussian | None = None
    covariance: np.ndarray | None = None
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


def stream(seed: int, purpose: str) -> np.random.Generator:
    """Independent draws for each seed and purpose, the same on every machine."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def _student_teacher(data_seed: int = 0) -> Dataset:
    """y = Zb with Z ~ N(0, I₃₀); the model sees 20 of the 30 features, the hidden 10 make the residual E."""
    random = np.random.RandomState(data_seed)
    Z, b = random.randn(1000, 30), random.randn(30, 1)
    law = Gaussian(signal=float((b[:20] ** 2).sum()), noise=float((b[20:] ** 2).sum()))
    return Dataset("student_teacher", Z[:, :20].copy(), Z @ b, law)


def _california_housing() -> Dataset:
    """20640 districts of California, 8 features, median house value in 100,000 $ (Pace & Barry 1997).

    Features and target as scikit-learn's fetch_california_housing makes them from the census table.
    """
    table = housing_table()
    target, X = table[:, 0] / 100_000, table[:, 1:].copy("F")  # as there: sums over rows to the same digit
    X[:, 2:4] /= X[:, 5:6]  # rooms and bedrooms a household
    X[:, 5] = X[:, 4] / X[:, 5]  # people a household
    return Dataset("california_housing", X, target[:, None])


def _diabetes() -> Dataset:
    """442 patients, 10 features centred and scaled by scikit-learn, disease progression uncentred (Efron 2004)."""
    from sklearn.datasets import load_diabetes

    X, y = load_diabetes(return_X_y=True)
    return Dataset("diabetes", X, y[:, None])


def _who_life_expectancy() -> Dataset:
    """1649 country-years without missing values, 17 features, life expectancy in years (WHO; Kaggle, K. Rajarshi)."""
    with who_file().open(encoding="utf-8", newline="") as file:
        complete = [row for row in csv.DictReader(file) if all(row.values())]
    X = np.array([[float(row[name]) for name in WHO_FEATURES] for row in complete])
    return Dataset("who_life_expectancy", X, np.array([[float(row[WHO_TARGET])] for row in complete]))


def _linear_plus_cosine() -> Dataset:
    """y = 2x + cos 25x at 1000 evenly spaced x in [−1, 1]: no noise, but no short polynomial either (App. C)."""
    x = np.linspace(-1, 1, 1000)[:, None]
    return Dataset("linear_plus_cosine", x, 2 * x + np.cos(25 * x))


def _digits() -> Dataset:
    """1797 handwritten digits of 8×8 pixels, divided by 16 to lie in [0, 1]; y: one column a class (Alpaydin 1998)."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return Dataset("digits", X / 16, np.eye(10)[y])


def _isotropic(sizes: Synthetic) -> Dataset:
    """x ~ N(0, I)."""
    X = stream(0, "isotropic").standard_normal((sizes.n_rows, sizes.n_inputs))
    return Dataset("isotropic", X, np.empty((len(X), 0)), covariance=np.ones(sizes.n_inputs))


def _power_law(sizes: Synthetic) -> Dataset:
    """x ~ N(0, Σ) with Σ = diag(1, 1/2, …, 1/D)."""
    covariance = 1 / np.arange(1, sizes.n_inputs + 1)
    X = stream(0, "power_law").standard_normal((sizes.n_rows, sizes.n_inputs)) * np.sqrt(covariance)
    return Dataset("power_law", X, np.empty((len(X), 0)), covariance=covariance)


def _sparse_features(sizes: Synthetic) -> Dataset:
    """Sparse non-negative inputs of length 1 (Henighan et al. 2023, "Superposition, Memorization, and Double Descent").

    Each entry is 0 with probability 1 − p, else U[0, 1]; rows without an entry are drawn again; then ‖x‖ = 1.
    """
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
    return Dataset("sparse_features", X, np.empty((sizes.n_rows, 0)))


SYNTHETIC: dict[str, Callable[[Synthetic], Dataset]] = {
    "isotropic": _isotropic,
    "power_law": _power_law,
    "sparse_features": _sparse_features,
}
LOADERS: dict[str, Callable[[], Dataset]] = {
    "student_teacher": _student_teacher,
    "california_housing": _california_housing,
    "diabetes": _diabetes,
    "who_life_expectancy": _who_life_expectancy,
    "linear_plus_cosine": _linear_plus_cosine,
    "digits": _digits,
}


def load_dataset(
    name: str, preprocess: str = "none", input_noise: float = 0.0, synthetic: Synthetic | None = None
) -> Dataset:
    """A data set by name, all rows.

    name: a key of LOADERS or SYNTHETIC. `california_housing` and `who_life_expectancy` are downloaded at first use,
    with a checksum, to GDSTUDY_DATA_HOME; scikit-learn's own copy of the first, in SCIKIT_LEARN_DATA, does as well.
    preprocess, with statistics of all rows:
      none         raw features, no intercept, as in the paper
      center       columns of X and Y minus their means, which stands in for an intercept
      standardize  center, then columns of X divided by their standard deviation (a constant column stays 0)
    input_noise: standard deviation of what Dataset.inputs adds, units of the preprocessed X. synthetic: sizes of
    the data sets in SYNTHETIC, default 5000 rows of 16 columns.
    ValueError, listing what there is, for an unknown name or preprocessing, or a negative noise. StudyError for a
    file that cannot be downloaded or is damaged.
    """
    if name not in LOADERS and name not in SYNTHETIC:
        raise ValueError(f"unknown data set {name!r}; known: {', '.join([*LOADERS, *SYNTHETIC])}")
    if preprocess not in ("none", "center", "standardize"):
        raise ValueError(f"unknown preprocess {preprocess!r}; known: none, center, standardize")
    if not 0 <= input_noise < np.inf:
        raise ValueError(f"input_noise={input_noise} is a standard deviation and cannot be negative")
    data = SYNTHETIC[name](synthetic or Synthetic()) if name in SYNTHETIC else LOADERS[name]()
    if preprocess != "none":
        X = data.clean() - data.clean().mean(0)
        if preprocess == "standardize":
            scale = X.std(0)
            X = X / np.where(scale > 0, scale, 1)
        data = Dataset(name, X, data.Y - data.Y.mean(0))
    return replace(data, name=dataset_name(name, preprocess, input_noise), input_noise=input_noise)


def dataset_name(name: str, preprocess: str, input_noise: float) -> str:
    """What tables call a data set under its preprocessing and noise, such as `digits+center+noise0.5`."""
    digits = str(float(input_noise)).removesuffix(".0")  # all of them: two noises are two data sets
    return name + ("" if preprocess == "none" else f"+{preprocess}") + (f"+noise{digits}" if input_noise else "")


@lru_cache(maxsize=128)  # a stack asks for the same seeds at every N
def _order(n_rows: int, seed: int) -> np.ndarray:
    order = np.random.RandomState(seed).permutation(n_rows)
    order.flags.writeable = False
    return order


def split(n_rows: int, n_train: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (train, test) of the paper's split: the last N of RandomState(seed).permutation(n) train.

    The same rows as sklearn.model_selection.train_test_split(random_state=seed, test_size=n − N), so
    training sets are nested in N and paired across estimators. ValueError unless 1 ≤ N < n.
    """
    if not 1 <= n_train < n_rows:
        raise ValueError(
            f"n_train={n_train} must lie in 1 … {n_rows - 1}: at least one of {n_rows} rows is for testing"
        )
    order = _order(n_rows, seed)
    return order[n_rows - n_train :], order[: n_rows - n_train]


def training_rows(n_rows: int, cells: Sequence[tuple[int, int]], height: int) -> np.ndarray:
    """Row numbers of the training sets of many cells, −1 beyond N: (C, height).

    cells: (n_train, seed) pairs. Training sets of a seed are nested, so each seed is split once.
    """
    rows = np.full((len(cells), height), -1)
    largest: dict[int, int] = {}
    for n_train, seed in cells:
        largest[seed] = max(n_train, largest.get(seed, 0))
    splits = {seed: split(n_rows, n_train, seed)[0] for seed, n_train in largest.items()}
    for c, (n_train, seed) in enumerate(cells):
        rows[c, :n_train] = splits[seed][-n_train:]
    return rows
