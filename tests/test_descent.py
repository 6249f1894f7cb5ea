"""The claims of App. D, by real steps."""

import numpy as np
import pytest
import torch
from torch import nn

from gdstudy import gd_iterate, gradient_descent, min_norm_solution
from gdstudy.descent import STATUSES, log_spaced


def problem(n, P=10, k=1, deficient=False, seed=0):
    random = np.random.default_rng(seed)
    U, _ = np.linalg.qr(random.standard_normal((n, n)))
    V, _ = np.linalg.qr(random.standard_normal((P, P)))
    R = min(n, P)
    s = np.geomspace(1, 0.05, R)  # κ = 20: 14 κ² = 5600 steps
    if deficient:
        s[-2:] = 0
    return (U[:, :R] * s) @ V[:R], random.standard_normal((n, k))


def last(states):
    *_, state = states
    return state


def status(state):
    return np.array(STATUSES)[np.asarray(state.status)]


CASES = [(n, k, d) for n in (5, 10, 20) for k in (1, 3) for d in (False, True)]


@pytest.mark.parametrize("engine", ["gram", "autograd"])
@pytest.mark.parametrize(("n", "k", "deficient"), CASES)
def test_gd_from_zero_follows_its_closed_form_to_the_min_norm_solution(engine, n, k, deficient):
    X, Y = problem(n, k=k, deficient=deficient)
    limit, projector = min_norm_solution(X, Y), np.linalg.pinv(X, rcond=1e-12) @ X
    for state in gradient_descent(X, Y, log_spaced(10_000, 10), engine=engine, tolerance=1e-13):
        exact = gd_iterate(X, Y, 1 / np.linalg.norm(X, 2) ** 2, int(state.steps))
        assert np.linalg.norm(state.W - exact) <= 1e-10 * np.linalg.norm(exact)
        assert np.linalg.norm(state.W - projector @ state.W) <= 1e-10 * np.linalg.norm(state.W)
    assert np.linalg.norm(state.W - limit) <= 1e-6 * np.linalg.norm(limit)


@pytest.mark.parametrize("n", [5, 10, 20])
def test_both_engines_take_the_same_steps(n):
    X, Y = problem(n, k=2)
    runs = [gradient_descent(X, Y, log_spaced(10_000, 5), engine=e, tolerance=1e-14) for e in ("gram", "autograd")]
    for gram, autograd in zip(*runs, strict=True):
        assert np.linalg.norm(gram.W - autograd.W) <= 1e-10 * np.linalg.norm(autograd.W)


@pytest.mark.parametrize("engine", ["gram", "autograd"])
@pytest.mark.parametrize("n", [5, 20])
def test_a_nonzero_start_keeps_what_it_had_outside_the_row_space(engine, n):
    X, Y = problem(n)
    W0 = np.random.default_rng(1).standard_normal((10, 1))
    limit = min_norm_solution(X, Y)
    W = last(gradient_descent(X, Y, [20_000], W0=W0, engine=engine)).W
    outside = W0 - np.linalg.pinv(X) @ (X @ W0)
    assert np.linalg.norm(W - (limit + outside)) < 1e-6
    assert (np.linalg.norm(W - limit) > 0.1) == (n < 10)


@pytest.mark.parametrize("engine", ["gram", "autograd"])
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


class DeepLinear(nn.Module):
    """x ↦ x W₁ W₂, where W = 0 is a saddle of the loss."""

    def __init__(self, scale):
        super().__init__()
        self.W1 = nn.Parameter(torch.full((1, 10, 2), scale, dtype=torch.float64))
        self.W2 = nn.Parameter(torch.full((1, 2, 1), scale, dtype=torch.float64))

    def forward(self, X):
        return X @ self.W1 @ self.W2


def test_a_deep_model_is_stalled_at_zero_but_not_near_it():
    X, Y = (torch.from_numpy(a)[None] for a in problem(20))
    stuck = last(gradient_descent(X, Y, [1000], step_size=0.05, module=DeepLinear(0.0)))
    assert status(stuck) == "stalled"
    assert not stuck.W.any()
    moved = last(gradient_descent(X, Y, [1000], step_size=0.05, module=DeepLinear(1e-2)))
    assert status(moved) != "stalled"
    assert moved.W.norm() > 0.1


class ReLU(nn.Module):
    """x ↦ relu(x W + b), one layer, any number of cells."""

    def __init__(self, W, b):
        super().__init__()
        self.W, self.b = nn.Parameter(W.clone()), nn.Parameter(b.clone())

    def forward(self, X):
        return torch.relu(X @ self.W + self.b.unsqueeze(-2))


def relu_cells():
    """Three cells of 4, 12 and 7 rows, zero beyond, and their starts."""
    random, sizes = np.random.default_rng(0), torch.tensor([4, 12, 7])
    X, Y, W, b = (torch.from_numpy(random.standard_normal((3, *s))) for s in ((12, 5), (12, 2), (5, 2), (2,)))
    padding = torch.arange(12) >= sizes[:, None]
    X[padding], Y[padding] = 0, 0
    return X, Y, sizes, W, b


@pytest.mark.parametrize("stacked", [True, False])
def test_adamw_with_warm_up_and_cosine_is_the_loop_one_would_write(stacked):
    """Each cell by itself in plain PyTorch, its learning rate set by hand before each step."""
    X, Y, sizes, W, b = relu_cells()
    steps, top, warmup = 200, 0.02, 20
    expected = []
    for x, y, n, w0, b0 in zip(X, Y, sizes, W, b, strict=True):
        alone = ReLU(w0, b0)
        optimizer = torch.optim.AdamW(alone.parameters(), lr=top, weight_decay=0.1)
        for t in range(steps):
            cosine = 0.5 * (1 + np.cos(np.pi * (t - warmup) / (steps - warmup)))
            optimizer.param_groups[0]["lr"] = top * ((t + 1) / warmup if t < warmup else cosine)
            optimizer.zero_grad()
            (0.5 * (alone(x[:n]) - y[:n]).square().sum()).backward()
            optimizer.step()
        expected.append(torch.cat([alone.W.detach().flatten(), alone.b.detach()]))
    groups = [[0, 1, 2]] if stacked else [[0], [1], [2]]
    for cells in groups:
        state = last(
            gradient_descent(
                X[cells],
                Y[cells],
                [1, 50, steps],
                step_size=top,
                module=ReLU(W[cells], b[cells]),
                optimizer="adamw",
                optimizer_options={"weight_decay": 0.1},
                warmup=0.1,
                schedule="cosine",
                n_rows=sizes[cells],
            )
        )
        assert status(state).tolist() == ["max_steps"] * len(cells)
        assert state.steps.tolist() == [steps] * len(cells)
        for found, cell in zip(state.W, cells, strict=True):
            assert (found - expected[cell]).norm() < 1e-10 * expected[cell].norm()
            start = torch.cat([W[cell].flatten(), b[cell]])
            assert (found - start).norm() > 0.1 * start.norm()


@pytest.mark.parametrize("optimizer", ["gd", "sgd", "adamw"])
def test_cells_of_a_module_that_finish_at_different_times_end_as_they_do_alone(optimizer):
    X, Y, sizes, W, b = relu_cells()
    X = X * torch.tensor([1.0, 0.5, 2.0])[:, None, None]
    options = {"optimizer": optimizer, "step_size": 0.02, "tolerance": 1e-3}
    if optimizer == "sgd":
        options["optimizer_options"] = {"momentum": 0.5}
    together = last(gradient_descent(X, Y, [100, 2000], module=ReLU(W, b), n_rows=sizes, **options))
    assert len(set(together.steps.tolist())) == 3
    for c, n in enumerate(sizes.tolist()):
        module = ReLU(W[[c]], b[[c]])
        alone = last(gradient_descent(X[[c], :n], Y[[c], :n], [100, 2000], module=module, **options))
        assert (int(alone.steps), status(alone)) == (int(together.steps[c]), status(together)[c])
        assert (together.W[c] - alone.W[0]).norm() < 1e-11 * alone.W[0].norm()


def test_plain_descent_of_a_module_has_a_step_size_for_each_cell():
    X, Y, sizes, W, b = relu_cells()
    eta = np.array([0.01, 0.02, 0.005])
    state = last(gradient_descent(X, Y, [50], step_size=torch.from_numpy(eta), module=ReLU(W, b), n_rows=sizes))
    for c, n in enumerate(sizes.tolist()):
        w, offset = W[c].clone().requires_grad_(), b[c].clone().requires_grad_()
        for _ in range(50):
            loss = 0.5 * (torch.relu(X[c, :n] @ w + offset) - Y[c, :n]).square().sum()
            gradients = torch.autograd.grad(loss, (w, offset))
            with torch.no_grad():
                w -= eta[c] * gradients[0]
                offset -= eta[c] * gradients[1]
        expected = torch.cat([w.detach().flatten(), offset.detach()])
        assert (state.W[c] - expected).norm() < 1e-12 * expected.norm()


def test_zero_padding_is_exact():
    X, Y = problem(5)
    padded_X, padded_Y = np.zeros((1, 30, 10)), np.zeros((1, 30, 1))
    padded_X[0, :5], padded_Y[0, :5] = X, Y
    alone = last(gradient_descent(X, Y, [1000]))
    stacked = last(gradient_descent(padded_X, padded_Y, [1000], n_rows=torch.tensor([5])))
    np.testing.assert_allclose(stacked.W[0], alone.W, rtol=1e-12)


def test_float32_stays_float32_and_reaches_float32_accuracy():
    X, Y = (a.astype(np.float32) for a in problem(20))
    state = last(gradient_descent(X, Y, [20_000]))
    assert state.W.dtype == np.float32
    assert np.linalg.norm(state.W - min_norm_solution(X, Y)) < 1e-2 * np.linalg.norm(state.W)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step_size": 0.0}, "step_size=0"),
        ({"step_size": "big"}, "step_size='big'"),
        ({"engine": "magic"}, "engine='magic'"),
        ({"checkpoints": [5, 5]}, "checkpoints"),
        ({"checkpoints": []}, "checkpoints"),
        ({"optimizer": "adamw"}, "optimizer='adamw', warmup and schedule need a module"),
        ({"warmup": 0.1}, "warmup and schedule need a module"),
        ({"schedule": "cosine"}, "warmup and schedule need a module"),
    ],
)
def test_bad_options_are_refused_by_name(options, message):
    X, Y = problem(5)
    with pytest.raises(ValueError, match=message):
        next(gradient_descent(X, Y, **{"checkpoints": [10], **options}))


def test_checkpoints_are_log_spaced_and_hold_the_powers_of_ten():
    steps = log_spaced(100_000, 10)
    assert steps == sorted(set(steps))
    assert {1, 10, 100, 1000, 10_000, 100_000} <= set(steps)
    assert log_spaced(37, 3)[-1] == 37


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "step_size='auto'"),
        ({"step_size": 0.0}, "step_size=0"),
        ({"step_size": 0.1, "optimizer": "adamv"}, "optimizer='adamv'"),
        ({"step_size": 0.1, "optimizer": "sgd", "optimizer_options": {"beta": 1.0}}, "sgd has no 'beta'"),
        ({"step_size": torch.tensor([0.1, 0.2, 0.1]), "optimizer": "adamw"}, "one number for optimizer='adamw'"),
    ],
)
def test_bad_options_of_a_module_are_refused_by_name(options, message):
    X, Y, sizes, W, b = relu_cells()
    with pytest.raises(ValueError, match=message):
        next(gradient_descent(X, Y, [10], module=ReLU(W, b), n_rows=sizes, **options))


def test_a_module_that_is_no_stack_or_does_not_fit_is_refused_by_name():
    X, Y = (torch.from_numpy(a)[None].expand(3, -1, -1) for a in problem(20))
    plain = nn.Linear(10, 1, bias=False, dtype=torch.float64)
    for module, message in ((plain, "weight is .* leading axis of 3 cells"), (DeepLinear(0.1), "W1 is")):
        with pytest.raises(ValueError, match=message):
            next(gradient_descent(X, Y, [10], step_size=0.1, module=module))
    with pytest.raises(ValueError, match=r"maps X .* and Y is"):
        next(gradient_descent(X[:1], Y[:1].expand(-1, -1, 2), [10], step_size=0.1, module=DeepLinear(0.1)))
