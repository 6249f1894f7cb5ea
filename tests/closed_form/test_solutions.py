"""Closed forms against definitions computed another way: NumPy's pinv, real steps, many-digit arithmetic."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import everywhere

from gdstudy import gd_iterate, min_norm_solution, ridge_solution, singular_values
from gdstudy.closed_form.solutions import reduced_rank_solution


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


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(2, 12), P=st.integers(1, 12), k=st.integers(1, 2), lam=st.floats(1e-3, 10), seed=st.integers(0, 99)
)
def test_a_whole_weight_is_a_row_that_stands_so_many_times_and_a_weight_of_zero_one_left_out(n, P, k, lam, seed):
    X, Y = problem(n, P, k, seed)
    w = np.random.default_rng(seed).integers(0, 4, n)
    w[0] = 2
    repeated = np.repeat(X, w, 0), np.repeat(Y, w, 0)
    weighted, by_hand = min_norm_solution(X, Y, sample_weight=w), min_norm_solution(*repeated)
    tolerance = 1e-13 * np.linalg.cond(X[w > 0]) ** 2 * (1 + np.linalg.norm(by_hand))
    np.testing.assert_allclose(weighted, by_hand, atol=tolerance)
    found = ridge_solution(X, Y, lam, sample_weight=w)
    np.testing.assert_allclose(found, ridge_solution(*repeated, lam), rtol=1e-8, atol=1e-11)
    # Only ratios of weights matter to X⁺Y; to ridge a factor is one in 1/λ.
    np.testing.assert_allclose(min_norm_solution(X, Y, sample_weight=7.3 * w), weighted, atol=tolerance)
    scaled = ridge_solution(X, Y, 7.3 * lam, sample_weight=7.3 * w)
    np.testing.assert_allclose(scaled, found, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("n", [10, 20, 40])
def test_weights_matter_where_rows_cannot_all_be_fitted_and_only_there(n):
    X, Y = problem(n)
    w = np.random.default_rng(1).uniform(0.5, 2, n)
    gap = np.linalg.norm(min_norm_solution(X, Y, sample_weight=w) - min_norm_solution(X, Y))
    assert (gap > 1e-3) == (n > 20)
    W = min_norm_solution(X, Y, sample_weight=w)
    assert np.linalg.norm(X.T @ (w[:, None] * (X @ W - Y))) < 1e-8  # its normal equations


@everywhere()
def test_min_norm_is_the_known_solution(known):
    W = min_norm_solution(known.X, known.Y)
    assert W.dtype == known.X.dtype
    rounding = known.eps * np.linalg.norm(known.W)  # of the answer to its dtype
    assert np.linalg.norm(W - known.W) <= known.tolerance() + rounding
    if known.W.any():  # another problem's answer would be told apart
        assert np.linalg.norm(min_norm_solution(known.X, 1.001 * known.Y) - known.W) > 10 * known.tolerance() + rounding


@everywhere()
def test_ridge_tends_to_the_known_solution_as_its_penalty_vanishes(known):
    """Mode by mode W loses λ/(σ² + λ) of itself: at most λ/σ_R²."""
    X, Y = known.X.astype(float), known.Y.astype(float)
    smallest = known.largest / known.condition if known.rank else 1.0
    gaps = []
    for share in (1.0, 1e-3, 1e-6, 0.0):
        W = ridge_solution(X, Y, share * smallest**2)
        gaps.append(np.linalg.norm(W - known.W))
        assert gaps[-1] <= share * np.linalg.norm(known.W) + known.tolerance()
        assert np.linalg.norm(W) <= np.linalg.norm(known.W) * (1 + 1e-12) + known.tolerance()
    assert gaps[0] > 10 * gaps[1] or not known.W.any()


@pytest.mark.parametrize("n", [10, 20, 40])
def test_ridge_solves_its_normal_equations(n):
    X, Y = problem(n)
    np.testing.assert_allclose(ridge_solution(X, Y, 2.0), np.linalg.solve(X.T @ X + 2 * np.eye(20), X.T @ Y))
    assert np.linalg.norm(ridge_solution(X, Y, 2.1) - ridge_solution(X, Y, 2.0)) > 1e-4


@everywhere()
def test_the_rank_and_condition_number_are_the_known_ones(known):
    found = singular_values(known.X)
    assert int(found.rank) == known.rank
    s = found.values[found.counted]
    if known.rank:
        np.testing.assert_allclose([s[0], s[0] / s[-1]], [known.largest, known.condition], rtol=1e-8)
        assert int(singular_values(known.X, rtol=0.999 / known.condition).rank) == known.rank
    if known.rank and known.condition > 1.01:
        assert int(singular_values(known.X, rtol=1.001 / known.condition).rank) < known.rank


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
        (
            lambda: reduced_rank_solution(np.ones((2, 2)), np.ones((2, 2)), 0),
            "rank=0 must be a whole number, at least 1",
        ),
        (lambda: reduced_rank_solution(np.ones((2, 2)), np.ones((3, 4)), 1), "same N"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Maps of a bounded rank


def random_maps(random, P, k, rank, count=300):
    return random.standard_normal((count, P, rank)) @ random.standard_normal((count, rank, k)) / np.sqrt(P * rank)


@pytest.mark.parametrize("n", [6, 10, 25])
@pytest.mark.parametrize("rank", [1, 3])
def test_no_map_of_its_rank_has_a_lower_training_loss_than_the_reduced_rank_solution(n, rank):
    """Against random maps, the fit on random subspaces, the maps around it; and the value that theory gives."""
    X, Y = problem(n, P=10, k=6)
    W, full = reduced_rank_solution(X, Y, rank), min_norm_solution(X, Y)
    assert np.linalg.matrix_rank(W) == rank

    def loss(maps):
        return np.square(X @ maps - Y).sum((-2, -1))

    random = np.random.default_rng(1)
    U, s, Vt = np.linalg.svd(W)
    encoder, decoder = U[:, :rank] * s[:rank], Vt[:rank]
    nudges = [(1e-2 * random.standard_normal((10, rank)), 1e-2 * random.standard_normal((rank, 6))) for _ in range(300)]
    around = np.stack([(encoder + a) @ (decoder + b) for a, b in nudges])
    bases = np.linalg.qr(random.standard_normal((300, 6, rank)))[0]
    for others in (random_maps(random, 10, 6, rank), full @ bases @ bases.mT, around):
        assert np.linalg.matrix_rank(others[0]) == rank
        assert (loss(others) > loss(W)).all()
    # Eckart & Young: what is lost is what X⁺Y loses and the singular values of the fit beyond the k-th.
    beyond = np.linalg.svd(X @ full, compute_uv=False)[rank:]
    assert loss(W) == pytest.approx(loss(full) + (beyond**2).sum(), rel=1e-10)
    # Control: a map of the next rank is better, so it is the rank that holds it back.
    assert loss(reduced_rank_solution(X, Y, rank + 1)) < loss(W)


@pytest.mark.parametrize("n", [4, 8, 20])
def test_an_autoencoders_best_map_is_the_projector_on_the_leading_principal_components(n):
    X = problem(n, P=8)[0]
    V = np.linalg.svd(X)[2][:3].T
    P_k = reduced_rank_solution(X, X, 3)
    np.testing.assert_allclose(P_k, V @ V.T, atol=1e-12)
    np.testing.assert_allclose(P_k @ P_k, P_k, atol=1e-12)
    # Other components are another projector.
    assert np.linalg.norm(P_k - reduced_rank_solution(X, X, 2)) == pytest.approx(1)


@everywhere()
def test_a_rank_that_does_not_bind_gives_the_known_solution(known):
    """That of Y, or that of X."""
    for rank in (known.Y.shape[1], max(known.rank, 1), 99):
        W = reduced_rank_solution(known.X, known.Y, rank)
        assert np.linalg.norm(W - known.W) <= known.tolerance() + known.eps * np.linalg.norm(known.W)
    if known.Y.shape[1] > 1:  # a smaller one does
        less = reduced_rank_solution(known.X, known.Y, known.Y.shape[1] - 1)
        assert np.linalg.norm(less - known.W) > 1e-2 * np.linalg.norm(known.W)


def test_stacks_of_reduced_rank_problems_are_each_problem_by_itself():
    X, Y = (np.stack(arrays) for arrays in zip(*(problem(7, 5, 3, seed) for seed in range(3)), strict=True))
    alone = [reduced_rank_solution(x, y, 2) for x, y in zip(X, Y, strict=True)]
    np.testing.assert_allclose(reduced_rank_solution(X, Y, 2), alone, atol=1e-12)
