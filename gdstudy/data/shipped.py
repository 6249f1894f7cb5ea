"""Tables that scikit-learn ships, read from its files: to import its loaders takes longer than a small study."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from gdstudy.data.downloads import known_content

_SHA256 = {
    "diabetes_data_raw.csv.gz": "7fc0ded571454b1982210d3bb43f0aca44eae01a0b8654a3b24022bdb6b38009",
    "diabetes_target.csv.gz": "8e53f65eb811df43c206f3534bb3af0e5fed213bc37ed6ba36310157d6023803",
    "digits.csv.gz": "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
}


def diabetes_table() -> tuple[np.ndarray, np.ndarray]:
    """X (442, 10), columns centred and of length 1, and y (442,), to the bit as `load_diabetes` gives them."""
    X, y = _table("diabetes_data_raw.csv.gz"), _table("diabetes_target.csv.gz")
    if X is None or y is None:
        from sklearn.datasets import load_diabetes

        X, y = load_diabetes(return_X_y=True)
        return X, y
    return (X - X.mean(0)) / X.std(0) / len(X) ** 0.5, y


def digits_table() -> tuple[np.ndarray, np.ndarray]:
    """Pixels (1797, 64), 0 … 16, and the digits (1797,), as `load_digits` gives them."""
    if (table := _table("digits.csv.gz", ",")) is None:
        from sklearn.datasets import load_digits

        X, y = load_digits(return_X_y=True)
        return X, y
    return table[:, :-1], table[:, -1].astype(int)


def _table(name: str, delimiter: str | None = None) -> np.ndarray | None:
    """What a file of the installed scikit-learn holds; None where it is not there, or another than is known here."""
    package = find_spec("sklearn")
    for folder in package.submodule_search_locations or () if package is not None else ():
        if (content := known_content(Path(folder, "datasets", "data", name), _SHA256[name])) is not None:
            return np.loadtxt(gzip.decompress(content).decode().splitlines(), delimiter=delimiter)
    return None
