"""Closed forms against definitions computed another way: NumPy's pinv, real steps, many-digit arithmetic."""

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gdstudy import gd_iterate, min_norm_solution, ridge_solution
from gdstudy.closed_form.bottleneck import bottleneck_flow, bottleneck_iterate
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


# Maps of a bounded rank, and how a two-layer network learns them


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


@pytest.mark.parametrize("n", [5, 10, 30])
def test_a_rank_that_does_not_bind_gives_the_min_norm_solution(n):
    X, Y = problem(n, P=10, k=4)
    full = min_norm_solution(X, Y)
    for rank in (4, 5, 99):
        np.testing.assert_allclose(reduced_rank_solution(X, Y, rank), full, atol=1e-12 * np.linalg.norm(full))
    assert np.linalg.norm(reduced_rank_solution(X, Y, 3) - full) > 1e-2 * np.linalg.norm(full)
    # So does the rank of X itself.
    few = problem(3, P=10, k=4)
    np.testing.assert_allclose(reduced_rank_solution(*few, 3), min_norm_solution(*few), atol=1e-12)


def test_stacks_of_reduced_rank_problems_are_each_problem_by_itself():
    X, Y = (np.stack(arrays) for arrays in zip(*(problem(7, 5, 3, seed) for seed in range(3)), strict=True))
    alone = [reduced_rank_solution(x, y, 2) for x, y in zip(X, Y, strict=True)]
    np.testing.assert_allclose(reduced_rank_solution(X, Y, 2), alone, atol=1e-12)


TARGETS = (1.5, 0.6, 0.4)


def double(value):
    return torch.tensor(value, dtype=torch.float64)


def descend_two_layers(X, Y, encoder, decoder, eta, steps):
    """Maps AB after 0 … steps of real descent, the gradients from autograd."""
    A, B = (torch.tensor(p, requires_grad=True) for p in (encoder, decoder))
    X, Y = torch.from_numpy(X), torch.from_numpy(Y)
    maps = [(A @ B).detach().numpy()]
    for _ in range(steps):
        (0.5 * (X @ A @ B - Y).square().sum()).backward()
        with torch.no_grad():
            for p in (A, B):
                p -= eta * p.grad
                p.grad = None
        maps.append((A @ B).detach().numpy())
    return np.stack(maps)


def aligned(curvatures, start):
    """X (N, 6) with XᵀX = V diag(λ) Vᵀ, Y = XM with M = V diag(s) Vᵀ, and a balanced start aligned with V."""
    random = np.random.default_rng(0)
    V = np.linalg.qr(random.standard_normal((6, 6)))[0][:, : len(curvatures)]
    X = np.linalg.qr(random.standard_normal((20, len(curvatures))))[0] * np.sqrt(curvatures) @ V.T
    encoder = V * np.sqrt(start)
    return X, X @ (V * TARGETS) @ V.T, V, encoder, encoder.T.copy()


def test_a_mode_of_a_two_layer_network_follows_its_map_of_one_number_at_every_step():
    curvatures, start, eta, steps = np.array([1.0, 3.0, 0.5]), 1e-3, 0.2, 250
    X, Y, V, encoder, decoder = aligned(curvatures, start)
    maps = descend_two_layers(X, Y, encoder, decoder, eta, steps)
    strengths = np.einsum("dr,tde,er->tr", V, maps, V)
    t, a0 = torch.arange(steps + 1), double(start)
    for r, (curvature, target) in enumerate(zip(curvatures, TARGETS, strict=True)):
        rate = double(eta * curvature)
        exact = bottleneck_iterate(a0, rate, t, target).numpy()
        np.testing.assert_allclose(strengths[:, r], exact, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(exact[-1], target, rtol=1e-3)
        # Control: the map of another target, which it is not.
        other = bottleneck_iterate(a0, rate, t, 1.05 * target).numpy()
        assert np.abs(other - strengths[:, r]).max() > 0.04 * target
    # Nothing but these modes is ever there.
    np.testing.assert_allclose(maps, np.einsum("dr,tr,er->tde", V, strengths, V), atol=1e-13)


@pytest.mark.parametrize(("rate", "settles"), [(0.05, True), (0.98, True), (1.05, False), (1.9, False)])
def test_the_map_settles_at_its_target_below_the_step_size_limit_and_only_there(rate, settles):
    """u ← u + ηλu(1 − u²) has slope 1 − 2ηλ at its fixed point 1."""
    t = torch.tensor([3000, 3001])
    strength = bottleneck_iterate(double(1e-6), double(rate), t)
    assert (float((strength - 1).abs().max()) < 1e-9) == settles


def test_descent_tends_to_the_flow_of_saxe_et_al_with_an_error_of_the_order_of_the_step_size():
    """Whitened X (XᵀX = I) and targets of strengths s: halving η halves the gap, at all times."""
    start, end = 1e-2, 8.0
    X, Y, V, encoder, decoder = aligned(np.ones(3), start)
    gaps = []
    for eta in (0.04, 0.02, 0.01):
        steps = round(end / eta)
        maps = descend_two_layers(X, Y, encoder, decoder, eta, steps)
        strengths = np.einsum("dr,tde,er->tr", V, maps, V)
        time = eta * torch.arange(steps + 1, dtype=torch.float64)
        flow = [bottleneck_flow(double(start), double(1.0), time, target).numpy() for target in TARGETS]
        gaps.append([np.abs(strengths[:, r] - flow[r]).max() for r in range(3)])
    gaps = np.array(gaps)
    np.testing.assert_allclose(gaps[:-1] / gaps[1:], 2, atol=0.1)
    assert gaps[0].max() < 0.1
    assert gaps[-1].min() > 1e-4  # it is not the flow itself


@settings(max_examples=30, deadline=None)
@given(
    start=st.floats(1e-6, 0.5),
    curvature=st.floats(0.1, 10),
    target=st.floats(0.6, 3),
    time=st.floats(0, 3),
)
def test_the_flow_solves_its_differential_equation_and_ends_at_its_target(start, curvature, target, time):
    """da/dτ = 2λa(s − a), from a₀ (Saxe et al. 2014 for λ = 1)."""

    def flow(tau):
        return float(bottleneck_flow(double(start), double(curvature), tau, target))

    assert flow(0.0) == pytest.approx(start)
    assert flow(1e3) == pytest.approx(target)
    h = 1e-5 / (curvature * target)
    slope = (flow(time + h) - flow(time - h)) / (2 * h)
    here = flow(time)
    assert slope == pytest.approx(2 * curvature * here * (target - here), rel=1e-4, abs=1e-6 * curvature * target**2)


def test_strengths_of_cells_are_read_at_each_cells_own_t():
    start = double([1e-3, 1e-2])
    rate = double([[0.1, 0.3], [0.2, 0.5]])
    t = torch.tensor([[7], [30]])
    together = bottleneck_iterate(start, rate, t)
    assert together.shape == (2, 2)
    for c in range(2):
        for r in range(2):
            assert torch.equal(together[c, r], bottleneck_iterate(start[r], rate[c, r], t[c, 0]))
    assert torch.equal(bottleneck_iterate(start, rate[0], torch.tensor(0)), start.sqrt().square())
