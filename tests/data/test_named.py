"""Real data sets against those who publish them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pooch
import pytest
import sklearn.datasets

from gdstudy import load_dataset
from gdstudy.data import shipped
from gdstudy.data.downloads import WHO_FILE
from gdstudy.data.named import WHO_FEATURES


def who_file():
    """Where the loaded WHO file lies on this machine."""
    return Path(os.environ.get("GDSTUDY_DATA_HOME") or pooch.os_cache("gdstudy")) / WHO_FILE


def test_california_housing_is_scikit_learns():
    data = load_dataset("california_housing")
    assert data.X.shape == (20640, 8)
    assert data.Y.shape == (20640, 1)
    first = [8.3252, 41, 6.98412698, 1.02380952, 322, 2.55555556, 37.88, -122.23]
    np.testing.assert_allclose(data.X[0], first, rtol=1e-8)
    assert data.Y[0, 0] == pytest.approx(4.526)
    assert data.Y.mean() == pytest.approx(2.0685581691)
    X, y = sklearn.datasets.fetch_california_housing(return_X_y=True)
    np.testing.assert_array_equal(data.X, X)
    np.testing.assert_array_equal(data.X.std(0), X.std(0))  # also the order in memory, in which sums are taken
    np.testing.assert_array_equal(data.Y[:, 0], y)


def test_who_life_expectancy_is_the_authors_file_without_its_incomplete_rows():
    data = load_dataset("who_life_expectancy")
    assert data.X.shape == (1649, 17) == (1649, len(WHO_FEATURES))
    assert data.Y.shape == (1649, 1)
    first = {
        "Adult Mortality": 263,
        "infant deaths": 62,
        "Alcohol": 0.01,
        "percentage expenditure": 71.27962362,
        "Hepatitis B": 65,
        "Measles ": 1154,
        " BMI ": 19.1,
        "under-five deaths ": 83,
        "Polio": 6,
        "Total expenditure": 8.16,
        "Diphtheria ": 65,
        " HIV/AIDS": 0.1,
        "GDP": 584.25921,
        "Population": 33736494,
        " thinness  1-19 years": 17.2,
        " thinness 5-9 years": 17.3,
        "Schooling": 10.1,
    }
    assert tuple(first) == WHO_FEATURES
    np.testing.assert_array_equal(data.X[0], list(first.values()))
    np.testing.assert_array_equal(data.Y[[0, -1], 0], [65, 46])
    assert data.Y.mean() == pytest.approx(69.3023044269)
    assert np.isfinite(data.X).all()
    with who_file().open() as file:
        assert len(file.readlines()) - 1 == 2938  # rows were dropped


@pytest.mark.parametrize("name", ["california_housing", "who_life_expectancy"])
def test_loading_again_gives_equal_rows_that_belong_to_the_caller(name):
    first = load_dataset(name)
    kept = first.X.copy()
    first.X[:] = 0
    np.testing.assert_array_equal(load_dataset(name).X, kept)


@pytest.mark.parametrize("name", ["diabetes", "digits"])
def test_shipped_tables_are_bit_for_bit_what_scikit_learn_makes_of_them(name, monkeypatch):
    table, loader = getattr(shipped, f"{name}_table"), f"load_{name}"
    expected = getattr(sklearn.datasets, loader)(return_X_y=True)
    with monkeypatch.context() as unread:
        unread.setattr(sklearn.datasets, loader, None)
        _check_same_bits(table(), expected)
    # A scikit-learn that ships another file is asked.
    monkeypatch.setattr(shipped, "_SHA256", dict.fromkeys(shipped._SHA256, "another"))
    monkeypatch.setattr(shipped.gzip, "decompress", None)
    _check_same_bits(table(), expected)


def test_what_is_shipped_is_read_without_the_libraries_that_ship_it():
    code = "import sys; from gdstudy import load_dataset; [load_dataset(name) for name in sys.argv[1:]]; "
    code += "sys.exit(bool({'sklearn', 'scipy', 'joblib', 'pooch'} & set(sys.modules)))"
    for names, imported in ((["student_teacher", "diabetes", "digits"], 0), (["sparse_features"], 1)):
        assert subprocess.run([sys.executable, "-c", code, *names]).returncode == imported


def _check_same_bits(tables, expected):
    for found, theirs in zip(tables, expected, strict=True):
        assert found.dtype == theirs.dtype
        assert found.tobytes() == theirs.tobytes()


def test_digits_are_pixels_in_the_unit_interval_and_classes_one_hot():
    data = load_dataset("digits")
    assert data.X.shape == (1797, 64)
    assert (data.X.min(), data.X.max()) == (0, 1)
    np.testing.assert_array_equal(data.X * 16, np.round(data.X * 16))
    assert data.Y.shape == (1797, 10)
    np.testing.assert_array_equal(np.sort(data.Y, axis=1), np.tile([*[0] * 9, 1], (1797, 1)))
    assert data.Y.sum(0).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.linalg.matrix_rank(data.X) == 61
