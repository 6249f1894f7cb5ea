"""The claims of App. D, by real steps."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from problems import ZOO, everywhere, of_spectrum

from gdstudy import Status, gradient_descent, min_norm_solution
from gdstudy.study.values import log_spaced
from gdstudy.training import gradient_descent as module


def problem(n, P=10, k=1, seed=0):
    random = np.random.default_rng(seed)
    U, _ = np.linalg.qr(random.standard_normal((n, n)))
    V, _ = np.linalg.qr(random.standard_normal((P, P)))
    R = min(n, P)
    s = np.geomspace(1, 0.1, R)  # κ = 10: 14 κ² = 1400 steps
    return (U[:, :R] * s) @ V[:R], random.standard_normal((n, k))


def last(states):
    *_, state = states
    return state


@pytest.fixture(params=["gram", "compiled", "autograd"])
def engine(request, monkeypatch):
    """The engines; the first is PyTorch's products and machine code."""
    monkeypatch.setenv("GDSTUDY_FAST", "1" if request.param == "compiled" else "0")
    return request.param.replace("compiled", "gram")


def status(state):
    return np.array([s.word for s in Status])[np.asarray(state.status)]


@everywhere()
def test_gd_from_zero_is_its_recursion_at_every_checkpoint_and_stays_in_the_row_space(engine, known):
    rounding = 1e3 * known.eps * max(np.linalg.norm(known.W), 1e-300)
    for state in gradient_descent(known.X, known.Y, log_spaced(300, 10), known.step_size(), engine=engine):
        assert state.W.dtype == known.X.dtype
        assert np.linalg.norm(state.W - known.iterate(known.step_size(), int(state.steps))) <= rounding
        assert np.linalg.norm(state.W - known.row_space @ state.W) <= rounding


@pytest.mark.parametrize("momentum", [0.5, 0.95])
@everywhere()
def test_the_heavy_ball_is_its_recursion_and_stays_in_the_row_space(engine, momentum, known):
    eta = known.step_size()
    size = max(np.linalg.norm(known.iterate(eta, t, momentum)) for t in range(0, 100, 10))
    rounding = 1e4 * known.eps * max(size, 1e-300)
    for state in gradient_descent(known.X, known.Y, [1, 2, 10, 100], eta, engine=engine, momentum=momentum):
        assert np.linalg.norm(state.W - known.iterate(eta, int(state.steps), momentum)) <= rounding
        assert np.linalg.norm(state.W - known.row_space @ state.W) <= rounding * (known.condition if known.rank else 1)
    if known.condition > 1.5 and known.W.any():  # and plain descent is another
        assert np.linalg.norm(state.W - known.iterate(eta, int(state.steps))) > rounding


def test_momentum_reaches_the_limit_in_fewer_steps_and_is_stable_for_larger_ones():
    known = of_spectrum("slow", 8, 8, np.geomspace(1, 0.01, 8))
    plain = last(gradient_descent(known.X, known.Y, [10**6], tolerance=1e-10))
    rolled = last(gradient_descent(known.X, known.Y, [10**6], tolerance=1e-10, momentum=0.98))
    assert status(plain) == status(rolled) == "converged"
    assert plain.steps > 50 * rolled.steps
    assert rolled.distance < 1e-6
    for share, ends in ((1.95, "converged"), (2.05, "diverged")):
        eta = share * (1 + 0.5) / known.largest**2
        assert status(last(gradient_descent(known.X, known.Y, [10**6], eta, momentum=0.5))) == ends


@everywhere("ill_conditioned")  # where κ² steps are more than anyone waits for
def test_gd_from_zero_ends_at_the_known_solution(engine, known):
    state = last(gradient_descent(known.X, known.Y, [20_000], engine=engine, tolerance=1e-13))
    assert status(state) == "converged"
    tolerance = 1e-13 if known.X.dtype == np.float64 else 100 * known.eps  # of the gradient, over σ_R²
    size = known.condition**2 * np.linalg.norm(known.W) if known.rank else 0.0
    assert np.linalg.norm(state.W - known.W) <= tolerance * size * 10 + 1e3 * known.eps * np.linalg.norm(known.W)
    assert float(state.distance) <= 1e-4


def test_an_ill_conditioned_problem_is_far_from_its_limit_when_its_gradient_is_small():
    known = ZOO["ill_conditioned"]
    state = last(gradient_descent(known.X, known.Y, [20_000]))
    assert status(state) == "max_steps"
    assert state.gradient_norm < 0.02
    assert float(state.distance) > 0.9
    # A problem of the same size that is not is at its limit long before.
    assert float(last(gradient_descent(ZOO["many_outputs"].X, ZOO["many_outputs"].Y, [20_000])).distance) < 1e-6


@pytest.mark.parametrize("n", [5, 20])
def test_a_nonzero_start_keeps_what_it_had_outside_the_row_space(engine, n):
    X, Y = problem(n)
    W0 = np.random.default_rng(1).standard_normal((10, 1))
    limit = min_norm_solution(X, Y)
    W = last(gradient_descent(X, Y, [20_000], W0=W0, engine=engine)).W
    outside = W0 - np.linalg.pinv(X) @ (X @ W0)
    assert np.linalg.norm(W - (limit + outside)) < 1e-6
    assert (np.linalg.norm(W - limit) > 0.1) == (n < 10)


def test_the_stable_step_size_ends_at_two_over_the_largest_eigenvalue(engine):
    X, Y = problem(20)
    X, Y = np.stack([X] * 3), np.stack([Y] * 3)
    state = last(gradient_descent(X, Y, [100, 10_000], step_size=np.array([1.99, 2.1, 1.0]), engine=engine))
    assert status(state).tolist() == ["converged", "diverged", "converged"]
    assert state.steps[1] < 100  # noticed early, and the others go on
    assert np.isfinite(state.W).all()


def test_statuses_say_why_a_cell_stopped():
    X, Y = problem(10)
    assert status(last(gradient_descent(X, Y, [10]))) == "max_steps"
    done = last(gradient_descent(X, Y, [100_000]))
    assert status(done) == "converged"
    assert done.gradient_norm <= 1e-10
    zero = last(gradient_descent(X, 0 * Y, [10]))
    assert (status(zero), int(zero.steps)) == ("converged", 0)


def test_zero_padding_is_exact():
    X, Y = problem(5)
    padded_X, padded_Y = np.zeros((1, 30, 10)), np.zeros((1, 30, 1))
    padded_X[0, :5], padded_Y[0, :5] = X, Y
    alone = last(gradient_descent(X, Y, [1000]))
    stacked = last(gradient_descent(padded_X, padded_Y, [1000], n_rows=torch.tensor([5])))
    np.testing.assert_allclose(stacked.W[0], alone.W, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step_size": 0.0}, "step_size=0"),
        ({"step_size": "big"}, "step_size='big'"),
        ({"engine": "magic"}, "engine='magic'"),
        ({"checkpoints": [5, 5]}, "checkpoints"),
        ({"checkpoints": []}, "checkpoints"),
    ],
)
def test_bad_options_are_refused_by_name(options, message):
    X, Y = problem(5)
    with pytest.raises(ValueError, match=message):
        gradient_descent(X, Y, **{"checkpoints": [10], **options})


def test_checkpoints_are_log_spaced_and_hold_the_powers_of_ten():
    steps = log_spaced(100_000, 10)
    assert steps == sorted(set(steps))
    assert {1, 10, 100, 1000, 10_000, 100_000} <= set(steps)
    assert log_spaced(37, 3)[-1] == 37


@pytest.mark.parametrize("n", [6, 10, 20])  # N < P, N = P, N > P
def test_weighted_steps_are_those_of_repeated_rows_with_the_step_size_of_the_weighted_problem(n, engine):
    X, Y = problem(n, k=2)
    w = np.random.default_rng(n).integers(0, 4, n)
    rows, targets = np.repeat(X, w, 0), np.repeat(Y, w, 0)
    steps = log_spaced(300, 2)
    found = list(gradient_descent(X, Y, steps, sample_weight=w, engine=engine))
    repeated = list(gradient_descent(rows, targets, steps, engine=engine))
    for ours, theirs in zip(found, repeated, strict=True):
        assert ours.steps == pytest.approx(theirs.steps, abs=max(1, int(theirs.steps) // 64))
        np.testing.assert_allclose(ours.W, theirs.W, atol=1e-9 * np.abs(theirs.W).max())
    eta = 1 / np.linalg.norm(rows, 2) ** 2
    np.testing.assert_allclose(found[0].W, eta * X.T @ (w[:, None] * Y), rtol=1e-12)  # one step of `auto`
    # A factor in all weights changes nothing; the weights do, on the way.
    scaled = last(gradient_descent(X, Y, steps, sample_weight=1e-9 * w, engine=engine))
    np.testing.assert_allclose(scaled.W, found[-1].W, atol=1e-12 * np.abs(found[-1].W).max())
    assert np.abs(last(gradient_descent(X, Y, 3, engine=engine)).W - found[1].W).max() > 1e-3


def test_weighted_descent_ends_at_the_weighted_solution_from_any_start_and_in_stacks():
    X, Y = problem(20, k=2)
    w = np.stack([np.ones(20), np.arange(20.0), (np.arange(20) < 5) * 1.0])  # the last is below N = P
    W0 = np.random.default_rng(3).standard_normal((10, 2))
    state = last(gradient_descent(X, Y, [50_000], sample_weight=w, tolerance=1e-13))
    np.testing.assert_allclose(state.W, min_norm_solution(X, Y, sample_weight=w), atol=1e-7)
    assert (state.distance < 1e-7).all()
    moved = last(gradient_descent(X, Y, [50_000], sample_weight=w, W0=W0, tolerance=1e-13))
    assert (moved.distance < 1e-7).all()
    gap = np.abs(moved.W - state.W).max((1, 2))
    assert (gap[:2] < 1e-6).all()
    assert gap[2] > 1e-2  # what the rows with weight do not see of the start stays


def test_states_are_copied_and_sent_with_their_distance():
    random = np.random.default_rng(0)
    (state,) = gradient_descent(random.standard_normal((7, 5)), random.standard_normal(7), 10)
    for other in (pickle.loads(pickle.dumps(state)), copy.deepcopy(state), replace(copy.copy(state), step=11)):
        assert other.distance == state.distance > 0
        np.testing.assert_array_equal(other.W, state.W)
        assert (other.status, other.gradient_norm) == (state.status, state.gradient_norm)


def test_no_svd_is_taken_before_the_distance_is_asked_for(monkeypatch):
    random = np.random.default_rng(0)
    X, y = random.standard_normal((3, 7, 5)), random.standard_normal((3, 7))
    expected = [state.distance for state in gradient_descent(X, y, [1, 100])]
    taken, take = [], module.spectrum
    monkeypatch.setattr(module, "spectrum", lambda *args, **options: (taken.append(1), take(*args, **options))[1])
    states = list(gradient_descent(X, y, [1, 100]))
    assert not taken
    np.testing.assert_array_equal([state.distance for state in states], expected)
    assert len(taken) == 1  # of all states together
    for size in (1e-300, 1e300):  # a solution that no float64 holds is refused at the call
        with pytest.raises(ValueError, match="cannot hold"):
            gradient_descent(X / size, y * size, 1)
    assert len(taken) == 3
    with pytest.raises(ValueError, match="cannot hold"):  # nor one that only its condition number makes so large
        gradient_descent(np.array([[1, 1], [1, 1 + 1e-8]]), np.array([1e305, -1e305]), 1)
    with pytest.raises(ValueError, match="n_rows"):
        gradient_descent(X, y, 1, n_rows=np.array([True, True, True]))


@pytest.mark.parametrize(("P", "expected"), [(20, 1), (300, 2)])
def test_small_cells_are_made_ready_on_one_thread(P, expected, monkeypatch):
    """Two wait for each other beside a busy process."""
    used, check = [], module.check_rows
    monkeypatch.setattr(module, "check_rows", lambda *a: used.append(torch.get_num_threads()) or check(*a))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        X = torch.randn(2, P, P, dtype=torch.float64)
        list(gradient_descent(X, X[..., :1], [1]))
        assert used == [expected]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
