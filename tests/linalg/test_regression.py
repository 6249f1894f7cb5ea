"""Weights of rows, as they enter every public function: checked in one place, the problem of rows times √w."""

import numpy as np
import pytest
import torch

from gdstudy import gd_iterate, gradient_descent, min_norm_solution, ridge_solution
from gdstudy.linalg.regression import Regression

X, Y = np.random.default_rng(0).standard_normal((6, 4)), np.random.default_rng(1).standard_normal((6, 2))
FUNCTIONS = {
    "min_norm_solution": lambda **w: min_norm_solution(X, Y, **w),
    "ridge_solution": lambda **w: ridge_solution(X, Y, 0.3, **w),
    "gd_iterate": lambda **w: gd_iterate(X, Y, 0.01, 20, **w),
    "gradient_descent": lambda **w: next(iter(gradient_descent(X, Y, 20, **w))).W,
}


def seen(problem):
    """The rows of a problem in their own units."""
    parts = ((problem.X, problem.x_unit), (problem.Y, problem.y_unit))
    return [2.0 ** unit.numpy() * part.numpy() for part, unit in parts]


def test_rows_are_times_the_root_of_their_weight_and_weights_of_one_change_no_digit():
    w = np.array([0.5, 2, 0, 1, 3, 1e-3])
    for found, given in zip(seen(Regression.of(X, Y, w)), (X, Y), strict=True):
        np.testing.assert_allclose(found, np.sqrt(w)[:, None] * given, rtol=1e-15)
    plain, ones = Regression.of(X, Y), Regression.of(X, Y, np.ones(6))
    assert torch.equal(plain.X, ones.X)
    assert torch.equal(plain.Y, ones.Y)
    assert torch.equal(plain.x_unit, ones.x_unit)


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_no_size_of_weights_or_rows_over_or_underflows(size):
    w = np.arange(1.0, 7)
    expected = min_norm_solution(X, Y, sample_weight=w)
    np.testing.assert_allclose(min_norm_solution(X, Y, sample_weight=w * size), expected, rtol=1e-12)
    found = min_norm_solution(size * X, size * Y, sample_weight=w * size)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    # What has no weight does not set the unit.
    rows, last = np.vstack([X, np.full((1, 4), 1e308)]), np.vstack([Y, np.full((1, 2), 1e308)])
    np.testing.assert_allclose(min_norm_solution(rows, last, sample_weight=[*w, 0]), expected, rtol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1, 1, 1, 1, 1, -0.5], r"sample_weight=-0.5 must be at least 0"),
        ([1, 1, 1, 1, 1, np.nan], "sample_weight holds 1 NaN or infinite values"),
        ([1, 1, 1, 1, 1, np.inf], "sample_weight holds 1 NaN or infinite values"),
        (np.zeros(6), "sample_weight is 0 in all rows, which leaves nothing to fit"),
        (np.ones(5), r"sample_weight must be one weight a row, \(6,\).*its shape is \(5,\)"),
        (np.ones((6, 1)), r"sample_weight must be one weight a row, \(6,\).*its shape is \(6, 1\)"),
        (1.0, r"sample_weight must have at least 1 axes"),
        (["a"] * 6, "sample_weight must hold real numbers"),
    ],
)
def test_what_is_no_weight_is_refused_by_name(name, weights, said):
    with pytest.raises(ValueError, match=said):
        FUNCTIONS[name](sample_weight=weights)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_problem_without_any_weight_is_refused_within_a_batch_too(name):
    weights = np.ones((3, 6))
    assert FUNCTIONS[name](sample_weight=weights).shape == (3, 4, 2)  # a stack of weightings of the same rows
    weights[1] = 0
    with pytest.raises(ValueError, match="0 in all rows"):
        FUNCTIONS[name](sample_weight=weights)


def test_weights_say_nothing_of_precision_or_kind():
    x, y = torch.from_numpy(X).float(), torch.from_numpy(Y).float()
    W = min_norm_solution(x, y, sample_weight=np.arange(1.0, 7))
    assert (type(W), W.dtype) == (torch.Tensor, torch.float32)
