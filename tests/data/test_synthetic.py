"""Data sets that are drawn or computed here: their laws, and the rows they begin with."""

import numpy as np
import pytest

from gdstudy import load_dataset
from gdstudy.study.groups import Synthetic


def test_student_teacher_is_the_published_one():
    data = load_dataset("student_teacher")
    assert data.X.shape == (1000, 20)
    random = np.random.RandomState(0)
    Z, b = random.randn(1000, 30), random.randn(30, 1)
    np.testing.assert_array_equal(data.Y, Z @ b)
    assert (b[:20] ** 2).sum() == pytest.approx(13.1282, abs=1e-4)
    assert (b[20:] ** 2).sum() == pytest.approx(11.8122, abs=1e-4)


def test_linear_plus_cosine_is_its_formula_on_a_grid():
    data = load_dataset("linear_plus_cosine")
    assert data.X.shape == data.Y.shape == (1000, 1)
    assert (data.X[0, 0], data.X[-1, 0]) == (-1, 1)
    np.testing.assert_allclose(np.diff(data.X[:, 0]), 2 / 999)
    np.testing.assert_allclose(data.Y, 2 * data.X + np.cos(25 * data.X))
    # No straight line fits it: there are residuals without noise.
    line = np.linalg.lstsq(data.X, data.Y, rcond=None)[0]
    assert np.abs(data.Y - data.X @ line).max() > 0.9


def synthetic(name, **sizes):
    return load_dataset(name, synthetic=Synthetic(**sizes))


@pytest.mark.parametrize("p", [0.01, 0.05, 0.5, 1.0])
def test_sparse_features_are_nonnegative_of_length_1_and_as_sparse_as_they_say(p):
    """The share of nonzeros is p given that a row is not empty: np/(1 − (1 − p)ⁿ) of n entries a row."""
    n, rows = 50, 4000
    X = synthetic("sparse_features", n_inputs=n, n_rows=rows, p_nonzero=p).clean()
    assert X.shape == (rows, n)
    assert X.min() >= 0
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1)
    present = (X > 0).sum(1)
    assert present.min() >= 1
    expected = n * p / (1 - (1 - p) ** n)
    error_bar = present.std() / np.sqrt(rows)
    assert abs(present.mean() - expected) <= 4 * error_bar + 1e-12
    if p == 0.01:  # where two rows of three are drawn again: not what it would be without
        assert abs(present.mean() - n * p) > 20 * error_bar


def test_values_of_sparse_features_are_uniform_before_they_are_scaled():
    """The ratio of a row's two values, smaller over larger, is U[0, 1] too."""
    X = synthetic("sparse_features", n_inputs=50, n_rows=20_000, p_nonzero=0.05).clean()
    two = np.sort(X[(X > 0).sum(1) == 2], axis=1)[:, -2:]
    ratio = two[:, 0] / two[:, 1]
    assert len(ratio) > 4000
    shares = np.histogram(ratio, bins=5, range=(0, 1))[0] / len(ratio)
    np.testing.assert_allclose(shares, 0.2, atol=4 * np.sqrt(0.16 / len(ratio)))
    # Which columns are not zero is independent of the column.
    counts = (X > 0).mean(0)
    assert np.abs(counts - counts.mean()).max() < 5 * np.sqrt(counts.mean() / len(X))


@pytest.mark.parametrize("name", ["isotropic", "power_law", "sparse_features"])
@pytest.mark.parametrize("rows", [7, 999, 1000, 1001, 2500])
def test_a_longer_draw_begins_with_a_shorter_one(name, rows):
    shorter, longer = (synthetic(name, n_inputs=12, n_rows=n, p_nonzero=0.2) for n in (rows, 3000))
    assert shorter.clean().shape == (rows, 12)
    np.testing.assert_array_equal(longer.clean()[:rows], shorter.clean())
    assert shorter.Y.shape == (rows, 0)
    # And no row comes twice, but for sparse ones that have a single entry, which is then 1.
    several = longer.clean()[(longer.clean() != 0).sum(1) > 1]
    assert len(np.unique(several, axis=0)) == len(several) > 2000


@pytest.mark.parametrize(("name", "variance"), [("isotropic", np.ones(8)), ("power_law", 1 / np.arange(1, 9))])
def test_gaussian_inputs_have_the_covariance_they_say(name, variance):
    n = 20_000
    data = synthetic(name, n_inputs=8, n_rows=n)
    np.testing.assert_allclose(data.covariance, variance)
    scaled = data.X / np.sqrt(variance)
    np.testing.assert_allclose(scaled.T @ scaled / n, np.eye(8), atol=5 * np.sqrt(2 / n))
    np.testing.assert_allclose(scaled.mean(0), 0, atol=5 / np.sqrt(n))
    np.testing.assert_allclose((scaled**4).mean(0), 3, atol=5 * np.sqrt(96 / n))
    assert data.law is None  # of y, of which there is none
    # Another law is told apart.
    other = synthetic({"isotropic": "power_law", "power_law": "isotropic"}[name], n_inputs=8, n_rows=n)
    assert np.abs(other.X.var(0) - variance).max() > 0.5
    assert abs(np.corrcoef(other.X[:, 0], data.X[:, 0])[0, 1]) < 5 / np.sqrt(n)
