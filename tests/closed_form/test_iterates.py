"""The exact iterate of gradient descent, against real steps and many-digit arithmetic."""

import mpmath
import numpy as np
import pytest
import torch
from problems import everywhere

from gdstudy import gd_iterate, gd_path


def problem(n, P=20, k=1, seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((n, P)), random.standard_normal((n, k))


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


@everywhere()
@pytest.mark.parametrize("momentum", [0.1, 0.9])
def test_with_momentum_the_iterate_is_that_of_the_heavy_ball(known, momentum):
    X, Y = known.X.astype(float), known.Y.astype(float)
    for share in (0.01, 1.0, 1.9 * (1 + momentum)):
        eta = known.step_size(share)
        for t in (0, 1, 2, 3, 10, 300):
            W = known.iterate(eta, t, momentum)
            bound = 1e4 * (known.condition if known.rank else 1) * np.finfo(float).eps * np.linalg.norm(W)
            assert np.linalg.norm(gd_iterate(X, Y, eta, t, momentum=momentum) - W) <= bound
    eta = known.step_size(1.9 * (1 + momentum))  # where plain descent has no limit
    assert np.linalg.norm(gd_iterate(X, Y, eta, np.inf, momentum=momentum) - known.W) <= known.tolerance()
    if known.rank:
        with pytest.raises(ValueError, match="no limit where step_size is 2/σ₁² or more"):
            gd_iterate(X, Y, eta, np.inf)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_what_grows_beyond_float64_is_infinite_and_no_nan(momentum):
    X, y = np.diag([2.0, 1.0]), np.ones(2)
    for t, end in ((2000, -np.inf), (2001, np.inf)):
        assert gd_iterate(X, y, 1.0, t, momentum=momentum)[0] == end
        assert not np.isnan(gd_iterate(X, y, 1.0, t, momentum=momentum)).any()
    path = gd_path(np.stack([X, X / 4]), np.stack([y, y]), 1.0, [3, 2000], momentum=momentum)
    assert np.isfinite(path[0]).all()
    assert np.isfinite(path[1, 1]).all()  # the other problem, which is stable
    assert path[1, 0, 0] == -np.inf


@pytest.mark.parametrize("momentum", [-0.1, 1.0, float("nan"), "0.9"])
def test_a_momentum_that_is_none_is_refused(momentum):
    with pytest.raises(ValueError, match=r"momentum=.* must lie in \[0, 1\)"):
        gd_iterate(*problem(5), 0.01, 3, momentum=momentum)


@everywhere()
@pytest.mark.parametrize("share", [0.3, 1.0, 1.9])
def test_the_iterate_is_that_of_the_recursion_and_its_limit_the_known_solution(known, share):
    eta = known.step_size(share)
    X, Y = known.X.astype(float), known.Y.astype(float)
    for t in (0, 1, 2, 3, 10, 300):
        W = known.iterate(eta, t)
        bound = 1e3 * (known.condition if known.rank else 1) * np.finfo(float).eps * np.linalg.norm(W)
        assert np.linalg.norm(gd_iterate(X, Y, eta, t) - W) <= bound
        if t == 2 and known.condition > 1:  # the iterate before is another one
            assert np.linalg.norm(known.iterate(eta, 1) - W) > 100 * bound or not known.W.any()
    assert np.linalg.norm(gd_iterate(X, Y, eta, np.inf) - known.W) <= known.tolerance()


@pytest.mark.parametrize("n", [10, 20, 40])
def test_the_weighted_iterate_is_that_of_repeated_rows_and_a_factor_one_in_the_step_size(n):
    X, Y = problem(n)
    w = np.random.default_rng(n).integers(0, 4, n)
    eta = 0.9 / np.linalg.norm(np.repeat(X, w, 0), 2) ** 2
    for t in (1, 50, 10**6, np.inf):
        weighted = gd_iterate(X, Y, eta, t, sample_weight=w)
        repeated = gd_iterate(np.repeat(X, w, 0), np.repeat(Y, w, 0), eta, t)
        np.testing.assert_allclose(weighted, repeated, atol=1e-9 * np.abs(repeated).max())
        scaled = gd_iterate(X, Y, eta / 1e6, t, sample_weight=1e6 * w)
        np.testing.assert_allclose(scaled, weighted, atol=1e-9 * np.abs(repeated).max())
    assert np.abs(gd_iterate(X, Y, eta, 50) - gd_iterate(X, Y, eta, 50, sample_weight=w)).max() > 1e-3


TIMES = [0, 1, 7, 1000, 10**12, np.inf, 3]


@everywhere()
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_path_is_the_iterates_at_its_times(known, momentum):
    X, Y, eta = known.X.astype(float), known.Y.astype(float), known.step_size(1.0)
    path = gd_path(X, Y, eta, TIMES, momentum=momentum)
    assert path.shape == (len(TIMES), *known.W.shape)
    for t, W in zip(TIMES, path, strict=True):
        one = gd_iterate(X, Y, eta, t, momentum=momentum)
        assert np.linalg.norm(W - one) <= 1e-13 * max(np.linalg.norm(one), np.linalg.norm(known.W))


def test_a_path_of_a_stack_has_its_axes_weights_and_kind():
    random = np.random.default_rng(0)
    X, Y, w = random.standard_normal((2, 1, 9, 5)), random.standard_normal((3, 9)), random.random((2, 1, 9))
    path = gd_path(X, Y, 0.01, TIMES, sample_weight=w)
    assert path.shape == (len(TIMES), 2, 3, 5)
    for t, W in zip(TIMES, path, strict=True):
        np.testing.assert_allclose(W, gd_iterate(X, Y, 0.01, t, sample_weight=w), rtol=1e-11, atol=1e-13)
    assert np.abs(path[2] - path[3]).max() > 1e-3  # control: times differ
    single = gd_path(torch.from_numpy(X).float(), torch.from_numpy(Y).float(), 0.01, [5])
    assert (single.dtype, single.shape) == (torch.float32, (1, 2, 3, 5))


@pytest.mark.parametrize("times", [5, [], [[1, 2]], [1, 2.5], [-1], [np.nan]])
def test_times_that_are_none_are_refused(times):
    with pytest.raises(ValueError, match="checkpoints"):
        gd_path(*problem(5), 0.01, times)
