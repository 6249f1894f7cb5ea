"""Closed forms against definitions computed another way: NumPy's pinv, real steps, many-digit arithmetic."""

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gdstudy import gd_iterate, min_norm_solution, ridge_solution


def problem(n, P=20, k=1, seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((n, P)), random.standard_normal((n, k))


@pytest.mark.parametrize("n", [10, 20, 40])
def test_min_norm_is_the_left_inverse_inverse_or_right_inverse_of_app_d(n):
    X, Y = problem(n)
    W = min_norm_solution(X, Y)
    if n < 20:
        by_hand = X.T @ np.linalg.solve(X @ X.T, Y)
    elif n == 20:
        by_hand = np.linalg.solve(X, Y)
    else:
        by_hand = np.linalg.solve(X.T @ X, X.T @ Y)
    np.testing.assert_allclose(W, by_hand, rtol=1e-8)
    np.testing.assert_allclose(W, np.linalg.pinv(X) @ Y, rtol=1e-8)


def test_min_norm_of_a_rank_deficient_matrix_is_pinv_and_not_the_plain_inverse():
    X, Y = problem(30)
    X[:, 5] = X[:, 3] + X[:, 4]
    W = min_norm_solution(X, Y)
    np.testing.assert_allclose(W, np.linalg.pinv(X, rcond=1e-12) @ Y, atol=1e-12)
    assert np.linalg.norm(min_norm_solution(X, Y, rtol=0)) > 10 * np.linalg.norm(W)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 12), P=st.integers(1, 12), k=st.integers(1, 3), seed=st.integers(0, 99))
def test_min_norm_obeys_the_normal_equations_and_stays_in_the_row_space(n, P, k, seed):
    X, Y = problem(n, P, k, seed)
    W = min_norm_solution(X, Y)
    scale = np.linalg.norm(X) * (np.linalg.norm(X) * np.linalg.norm(W) + np.linalg.norm(Y))
    assert np.linalg.norm(X.T @ (X @ W - Y)) < 1e-9 * scale
    assert np.linalg.norm(W - np.linalg.pinv(X) @ (X @ W)) < 1e-6 * np.linalg.norm(W)


@pytest.mark.parametrize("n", [10, 20, 40])
def test_ridge_tends_to_the_min_norm_solution_as_lambda_vanishes(n):
    X, Y = problem(n)
    limit = min_norm_solution(X, Y)
    gaps = [np.linalg.norm(ridge_solution(X, Y, lam) - limit) for lam in (1, 1e-4, 1e-8, 1e-14)]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[3] < 1e-9
    np.testing.assert_array_equal(ridge_solution(X, Y, 0), limit)
    np.testing.assert_allclose(ridge_solution(X, Y, 2.0), np.linalg.solve(X.T @ X + 2 * np.eye(20), X.T @ Y))


@pytest.mark.parametrize("n", [3, 5, 8])
@pytest.mark.parametrize("share", [0.5, 1.0, 1.9])
def test_gd_iterate_keeps_its_digits_at_any_t(n, share):
    """Against (I − ηXᵀX)ᵗ by repeated squaring in 80 digits: relative error near κ·eps up to t = 10¹²."""
    X, Y = problem(n, P=5)
    X[:, 0] *= 1e-3
    s = np.linalg.svd(X, compute_uv=False)
    eta = float(share / s[0] ** 2)
    with mpmath.workdps(80):
        A, B = mpmath.matrix(X.tolist()), mpmath.matrix(Y.tolist())
        gram, right = A.T * A, A.T * B
        for t in (0, 1, 2, 7, 1000, 10**7, 10**12):
            # W_t = η Σ_{i<t} Mⁱ XᵀY, by doubling: S_{2m} = S_m + Mᵐ S_m.
            M, S = mpmath.eye(5), mpmath.zeros(5)
            step = mpmath.eye(5) - eta * gram
            for bit in bin(t)[2:]:
                S, M = S + M * S, M * M
                if bit == "1":
                    S, M = S + M, M * step
            exact = np.array((eta * S * right).tolist(), dtype=float)
            gap = np.linalg.norm(gd_iterate(X, Y, eta, t) - exact)
            assert gap <= 100 * s[0] / s[-1] * np.finfo(float).eps * np.linalg.norm(exact)


def test_gd_iterate_grows_without_bound_above_the_stable_step_size():
    X, Y = problem(40)
    eta = 2.1 / np.linalg.norm(X, 2) ** 2
    norms = [np.linalg.norm(gd_iterate(X, Y, eta, t)) for t in (100, 1000)]
    assert norms[1] > 1e30 * norms[0]


def test_numpy_or_torch_in_and_the_same_kind_out_with_batch_axes():
    X, Y = np.ones((2, 3, 4, 5)) + np.eye(4, 5), np.ones((2, 3, 4))
    for solve in (min_norm_solution, lambda X, Y: ridge_solution(X, Y, 1), lambda X, Y: gd_iterate(X, Y, 0.01, 5)):
        W = solve(X, Y)
        assert isinstance(W, np.ndarray)
        assert W.shape == (2, 3, 5)
        T = solve(torch.from_numpy(X).float(), torch.from_numpy(Y).float())
        assert T.dtype == torch.float32
        np.testing.assert_allclose(T.numpy(), W, rtol=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: min_norm_solution([[1.0, np.nan]], [1.0]), "X holds 1 NaN"),
        (lambda: min_norm_solution(np.ones((2, 2)), [1.0, np.inf]), "Y holds 1 NaN"),
        (lambda: min_norm_solution(np.ones((2, 2)), np.ones(3)), "same N"),
        (lambda: min_norm_solution(np.ones(2), np.ones(2)), "X must have at least 2 axes"),
        (lambda: min_norm_solution(np.ones((2, 2)), np.ones(2), rtol=-1), "rtol"),
        (lambda: ridge_solution(np.ones((2, 2)), np.ones(2), -1), "lam"),
        (lambda: gd_iterate(np.ones((2, 2)), np.ones(2), 0, 3), "step_size"),
        (lambda: gd_iterate(np.ones((2, 2)), np.ones(2), 0.1, 1.5), "whole number"),
        (lambda: gd_iterate(np.ones((2, 2)), np.ones(2), [0.1, 0.2], 1), "one per problem"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
