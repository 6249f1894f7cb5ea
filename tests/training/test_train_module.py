"""Modules of any kind, trained in stacks: each cell as it would be trained alone, and the user's module left whole."""

import numpy as np
import pytest
import torch
from torch import nn

from gdstudy import Status, min_norm_solution, train_module
from gdstudy.training.modules import LinearReadout


def last(states):
    *_, state = states
    return state


def status(state):
    return np.array([s.word for s in Status])[np.asarray(state.status)]


def problem(n):
    random = np.random.default_rng(0)
    return random.standard_normal((n, 10)), random.standard_normal((n, 1))


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
    stuck = last(train_module(DeepLinear(0.0), X, Y, [1000], 0.05))
    assert status(stuck) == "stalled"
    assert not stuck.W.any()
    moved = last(train_module(DeepLinear(1e-2), X, Y, [1000], 0.05))
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
            train_module(
                ReLU(W[cells], b[cells]),
                X[cells],
                Y[cells],
                [1, 50, steps],
                top,
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
    together = last(train_module(ReLU(W, b), X, Y, [100, 2000], n_rows=sizes, **options))
    assert len(set(together.steps.tolist())) == 3
    for c, n in enumerate(sizes.tolist()):
        module = ReLU(W[[c]], b[[c]])
        alone = last(train_module(module, X[[c], :n], Y[[c], :n], [100, 2000], **options))
        assert (int(alone.steps), status(alone)) == (int(together.steps[c]), status(together)[c])
        assert (together.W[c] - alone.W[0]).norm() < 1e-11 * alone.W[0].norm()


def test_plain_descent_of_a_module_has_a_step_size_for_each_cell():
    X, Y, sizes, W, b = relu_cells()
    eta = np.array([0.01, 0.02, 0.005])
    state = last(train_module(ReLU(W, b), X, Y, [50], torch.from_numpy(eta), n_rows=sizes))
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step_size": "auto"}, "step_size='auto' must be a number above 0"),
        ({"step_size": 0.0}, "step_size=0"),
        ({"step_size": 0.1, "optimizer": "adamv"}, "optimizer='adamv'"),
        ({"step_size": 0.1, "optimizer": "sgd", "optimizer_options": {"beta": 1.0}}, "sgd has no 'beta'"),
        ({"step_size": torch.tensor([0.1, 0.2, 0.1]), "optimizer": "adamw"}, "one number for optimizer='adamw'"),
        ({"step_size": [0.1, 0.2]}, r"one per cell \(3,\); its shape is \(2,\)"),
        ({"step_size": 0.1, "n_rows": [4, 12]}, r"n_rows must be one number per cell \(3,\)"),
        ({"step_size": 0.1, "n_rows": [3, 12, 7]}, "all rows of a cell beyond it zero"),
        ({"step_size": 0.1, "tolerance": 1.0}, r"tolerance=1.0 must lie in \[0, 1\)"),
        ({"step_size": 0.1, "threads": 0}, "threads=0"),
    ],
)
def test_bad_options_of_a_module_are_refused_by_name(options, message):
    X, Y, sizes, W, b = relu_cells()
    with pytest.raises(ValueError, match=message):
        train_module(ReLU(W, b), X, Y, [10], **{"n_rows": sizes, **options})


def test_a_module_that_is_no_stack_or_does_not_fit_is_refused_by_name():
    X, Y = (torch.from_numpy(a)[None].expand(3, -1, -1) for a in problem(20))
    plain = nn.Linear(10, 1, bias=False, dtype=torch.float64)
    for module, message in ((plain, "weight is .* leading axis of 3 cells"), (DeepLinear(0.1), "W1 is")):
        with pytest.raises(ValueError, match=message):
            train_module(module, X, Y, [10], 0.1)
    with pytest.raises(ValueError, match=r"maps X .* and Y is"):
        train_module(DeepLinear(0.1), X[:1], Y[:1].expand(-1, -1, 2), [10], 0.1)


# The user's module


@pytest.mark.parametrize("optimizer", ["gd", "adamw"])
def test_at_every_state_the_module_holds_the_weights_of_all_cells_in_their_own_shapes(optimizer):
    """Also of those that finished long ago, while the others go on."""
    X, Y, sizes, W, b = relu_cells()
    X = X * torch.tensor([1.0, 0.5, 2.0])[:, None, None]
    module = ReLU(W, b)
    parameters = list(module.parameters())
    finished = []
    for state in train_module(module, X, Y, [1, 60, 2000], 0.02, 1e-3, optimizer, n_rows=sizes):
        assert all(mine is theirs for mine, theirs in zip(module.parameters(), parameters, strict=True))
        assert [tuple(p.shape) for p in parameters] == [(3, 5, 2), (3, 2)]
        assert torch.equal(torch.cat([p.detach().flatten(1) for p in parameters], 1), state.W)
        finished.append(int((state.status != Status.RUNNING).sum()))
        shown = module(X)
    assert finished[0] == 0
    assert finished[-1] == 3
    assert shown.requires_grad
    for c, n in enumerate(sizes.tolist()):
        alone = ReLU(W[[c]], b[[c]])
        last(train_module(alone, X[[c], :n], Y[[c], :n], [1, 60, 2000], 0.02, 1e-3, optimizer))
        assert (module.W[c] - alone.W[0]).norm() < 1e-11 * alone.W[0].norm()


def test_between_states_the_module_is_left_alone():
    X, Y, sizes, W, b = relu_cells()
    module = ReLU(W, b)
    states = train_module(module, X, Y, [5, 10], 0.02, n_rows=sizes)
    assert torch.equal(module.W, W)  # nothing is trained before it is asked for
    next(states)
    with torch.no_grad():
        module.W.zero_()  # what the user does to it does not reach the training
    after = next(states).W
    straight = last(train_module(ReLU(W, b), X, Y, [10], 0.02, n_rows=sizes)).W
    assert torch.equal(after, straight)


def test_a_frozen_parameter_stays_whatever_the_optimizer_would_do_to_it():
    X, Y, sizes, W, b = relu_cells()
    module = ReLU(W, b)
    module.b.requires_grad_(False)
    last(
        train_module(module, X, Y, [50], 0.02, optimizer="adamw", optimizer_options={"weight_decay": 0.5}, n_rows=sizes)
    )
    assert torch.equal(module.b, b)
    assert (module.W - W).norm() > 0.1 * W.norm()
    module.W.requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter that requires gradients"):
        train_module(module, X, Y, [50], 0.02)


class Dropped(ReLU):
    def forward(self, X):
        return super().forward(nn.functional.dropout(X))


class Coupled(ReLU):
    def forward(self, X):
        return super().forward(X - X.mean(0))


class Scaled(ReLU):
    """A number for each cell that is no parameter."""

    def __init__(self, W, b):
        super().__init__(W, b)
        self.register_buffer("scale", torch.arange(1.0, 4.0, dtype=torch.float64)[:, None, None])

    def forward(self, X):
        return super().forward(X * self.scale)


@pytest.mark.parametrize("kind", [Dropped, Coupled, Scaled])
def test_cells_that_are_not_what_they_are_alone_are_refused(kind):
    X, Y, sizes, W, b = relu_cells()
    with pytest.raises(ValueError, match=r"module: (a cell alone gives another output|it cannot do without)"):
        train_module(kind(W, b), X, Y, [10], 0.02, n_rows=sizes)


def test_a_shared_buffer_is_no_hindrance():
    X, Y, sizes, W, b = relu_cells()
    module = Scaled(W, b)
    module.scale = torch.tensor(2.0, dtype=torch.float64)
    state = last(train_module(module, X, Y, [20], 0.01, n_rows=sizes))
    plain = last(train_module(ReLU(W, b), 2 * X, Y, [20], 0.01, n_rows=sizes))
    torch.testing.assert_close(state.W, plain.W, rtol=1e-12, atol=0)


def test_modules_train_on_tensors_made_in_inference_mode_and_inside_it():
    X, Y, sizes, W, b = relu_cells()
    expected = last(train_module(ReLU(W, b), X, Y, [20], 0.02, n_rows=sizes)).W
    with torch.inference_mode():
        inside = [t.clone() for t in (X, Y)]
        found = last(train_module(ReLU(W, b), *inside, [20], 0.02, n_rows=sizes)).W
    assert torch.equal(found, expected)
    assert torch.equal(last(train_module(ReLU(W, b), *inside, [20], 0.02, n_rows=sizes)).W, expected)


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e18])
def test_statuses_of_a_module_do_not_depend_on_the_units_of_y(scale):
    """A module that is linear in its weights, in float32: squares of its numbers would leave the dtype."""

    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.W = nn.Parameter(torch.zeros(2, 4, 1))

        def forward(self, X):
            return X @ self.W

    random = np.random.default_rng(0)
    X, Y = (torch.from_numpy(random.standard_normal((2, 9, n)).astype(np.float32)) for n in (4, 1))
    state = last(train_module(Linear(), X, Y * scale, [1, 5000], [0.02, 1.0]))
    assert status(state).tolist() == ["converged", "diverged"]
    assert int(state.steps[0]) > 10
    assert state.distance.isnan().all()
    expected = np.linalg.lstsq(X[0].numpy(), Y[0].numpy(), rcond=None)[0]
    np.testing.assert_allclose(state.W[0].numpy()[:, None] / scale, expected, rtol=1e-2)


class Linear(nn.Module):
    """x ↦ x W from W = 0, and what is done to it: `twist` of X and the output."""

    def __init__(self, cells, twist=lambda x, z: z, dtype=torch.float64):
        super().__init__()
        self.W = nn.Parameter(torch.zeros(cells, 10, 1, dtype=dtype))
        self.norm = nn.BatchNorm1d(1, affine=False, dtype=dtype)
        self.twist = twist

    def forward(self, X):
        return self.twist(X, X @ self.W)


def two_cells(dtype=np.float64):
    random = np.random.default_rng(0)
    return random.standard_normal((2, 20, 10)).astype(dtype), random.standard_normal((2, 20)).astype(dtype)


@pytest.mark.parametrize(
    ("dtype", "of_x", "of_y"),
    [("float64", -500, -600), ("float32", -60, -90), ("float32", -60, -84), ("float32", 30, 50)],
)
def test_plain_descent_of_a_module_does_not_depend_on_units(dtype, of_x, of_y):
    X, Y = two_cells(dtype)
    plain = last(train_module(Linear(2, dtype=getattr(torch, dtype)), X, Y, 20_000, 0.02, tolerance=1e-4))
    module = Linear(2, dtype=getattr(torch, dtype))
    other = last(
        train_module(
            module, X * X.dtype.type(2.0**of_x), Y * X.dtype.type(2.0**of_y), 20_000, 0.02 * 4.0**-of_x, tolerance=1e-4
        )
    )
    assert status(other).tolist() == ["converged", "converged"]
    np.testing.assert_array_equal(other.steps, plain.steps)
    np.testing.assert_array_equal(other.W, plain.W * 2.0 ** (of_y - of_x))


def randomly(X, z):
    return z + torch.randn_like(z)


def coupled(X, z):
    return z + z.mean(0, keepdim=True)


def in_place(X, z):
    return X.mul_(2)[..., :1] + z


def without_weights(X, z):
    return X[..., :1] * 2


def paired(X, z):
    return z, X


@pytest.mark.parametrize(
    ("twist", "message"),
    [
        (randomly, "may neither be random nor depend on"),
        (coupled, "may neither be random nor depend on"),
        (in_place, "changes X in place"),
        (without_weights, "does not depend on a parameter"),
        (paired, "maps X to a tuple"),
    ],
)
def test_what_a_start_at_zero_would_hide_is_refused_too(twist, message):
    X, Y = two_cells()
    before = X.copy()
    with pytest.raises(ValueError, match=message):
        train_module(Linear(2, twist), X, Y, 10, 0.01)
    np.testing.assert_array_equal(X, before)


def of_the_last(X, z):
    return torch.cat([z[:-1] + z[-1:].mean(), z[-1:]])


def of_the_last_where_there_is_one(X, z):
    return torch.cat([z[:1] + z[-1:].mean() * (len(z) > 1), z[1:]])


def in_the_middle(X, z):
    return torch.cat([z[:1], z[1:2] + z[2:3].mean(), z[2:]]) if len(z) == 3 else z


@pytest.mark.parametrize("twist", [of_the_last, of_the_last_where_there_is_one, in_the_middle])
def test_no_cell_may_see_another_whichever(twist):
    X, Y = (np.concatenate([a, a[:1] + 1]) for a in two_cells())
    with pytest.raises(ValueError, match="may neither be random nor depend on"):
        train_module(Linear(3, twist), X, Y, 10, 0.01)


class Frozen(nn.Module):
    """A function of X, a parameter that starts at `start`, and another that stays 2."""

    def __init__(self, function, start):
        super().__init__()
        self.W = nn.Parameter(torch.full((2, 10, 1), start, dtype=torch.float64))
        self.two = nn.Parameter(torch.full((2, 1, 1), 2.0, dtype=torch.float64), requires_grad=False)
        self.register_buffer("nothing", torch.tensor(torch.nan))
        self.function = function

    def forward(self, X):
        return self.function(X, self.W, self.two)


@pytest.mark.parametrize(
    ("function", "start"),
    [
        (lambda X, W, two: X @ torch.log(W), 0.05),
        (lambda X, W, two: X @ torch.asin(W), 0.95),
        (lambda X, W, two: X.pow(two) @ W, 0.1),  # defined at the frozen number alone
        (lambda X, W, two: torch.log(1 + torch.exp(50 * (X @ W))), 0.0),
        (lambda X, W, two: torch.where(W.mT.sum() == 0.5, torch.nan, 1) * (X @ W), 0.1),
    ],
)
def test_modules_that_are_defined_near_their_start_are_trained(function, start):
    X, Y = two_cells()
    assert status(last(train_module(Frozen(function, start), X, Y, 5, 1e-5))).tolist() == ["max_steps"] * 2


def test_what_is_frozen_makes_no_saddle():
    X, Y = np.array([[[1.0], [-1]]] * 2), np.ones((2, 2))
    module = Frozen(lambda X, W, two: X @ W[:, :1] + (two - 2), 0.0)
    state = last(train_module(module, X, Y, 10, 0.1))
    assert (status(state).tolist(), state.steps.tolist()) == (["converged"] * 2, [0, 0])


def test_running_statistics_are_refused_and_left_as_they_are():
    X, Y = two_cells()
    module = Linear(1)
    module.twist = lambda X, z: module.norm(z[0])[None]
    with pytest.raises(ValueError, match=r"changes the buffer norm\.\w+; call its \.eval"):
        train_module(module, X[:1], Y[:1], 10, 0.01)
    assert not module.norm.running_mean.any()
    module.eval()
    assert status(last(train_module(module, X[:1], Y[:1], 10, 0.01))) == "max_steps"


def test_a_number_per_cell_is_a_parameter():
    class Shifted(Linear):
        def __init__(self):
            super().__init__(2)
            self.c = nn.Parameter(torch.zeros(2, dtype=torch.float64))

        def forward(self, X):
            return X @ self.W + self.c[:, None, None]

    X, Y = two_cells()
    module = Shifted()
    state = last(train_module(module, X, Y, 50_000, 0.01))
    design = np.concatenate([X, np.ones((2, 20, 1))], -1)
    for cell in range(2):
        np.testing.assert_allclose(state.W[cell], np.linalg.lstsq(design[cell], Y[cell], rcond=None)[0], rtol=1e-6)
    np.testing.assert_array_equal(module.c.detach(), state.W[:, -1])


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd", "gd"])
def test_a_start_at_the_optimum_does_not_count_as_diverged(optimizer):
    X, _ = two_cells()
    Y, module = (X @ np.ones((10, 1)))[..., 0], Linear(2)
    module.W.data[:] = torch.from_numpy(min_norm_solution(X, Y))[..., None]
    assert "diverged" not in status(last(train_module(module, X, Y, 200, 0.01, optimizer=optimizer)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"optimizer_options": {"momentum": 0.9}}, ValueError, "have no effect on optimizer='gd'"),
        ({"optimizer": None}, ValueError, "optimizer=None is none that trains each cell"),
        ({"optimizer": "sgd", "optimizer_options": {"momentum": "x"}}, ValueError, "no momentum='x'"),
        ({"warmup": None}, ValueError, "warmup=None"),
        ({"step_size": 1e-320}, ValueError, "step_size=.* leaves float64"),
        ({"module": abs}, TypeError, "module must be a torch.nn.Module"),
    ],
)
def test_other_bad_arguments_are_refused_by_name(options, error, message):
    X, Y = two_cells()
    with pytest.raises(error, match=message):
        train_module(**{"module": Linear(2), "X": X, "Y": Y, "checkpoints": 10, "step_size": 0.01, **options})


def test_options_may_be_pairs():
    X, Y = two_cells()
    options = {"betas": (0.5, 0.9)}
    assert last(train_module(Linear(2), X, Y, 10, 0.01, optimizer="adam", optimizer_options=options)).W.any()


def test_states_are_of_the_data_as_they_were_at_the_call():
    X, Y = np.random.default_rng(0).standard_normal((2, 6, 3)), np.ones((2, 6, 1))

    def states():
        return train_module(LinearReadout(torch.zeros(2, 3, 1, dtype=torch.float64)), X, Y, [5, 10], step_size=0.01)

    expected = [state.W for state in states()]
    later = states()
    X[:], Y[:] = 0, 7
    found = [state.W for state in later]
    np.testing.assert_array_equal(found, expected)


class Hinge(nn.Module):
    """x ↦ relu(wx) − relu(−wx − 1), whose gradient is exactly 0 where −1 < wx < 0."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(1, 1, 1, dtype=torch.float64))

    def forward(self, X):
        return torch.relu(X @ self.w) - torch.relu(-X @ self.w - 1)


@pytest.mark.parametrize(
    ("optimizer", "options"), [("sgd", {"momentum": 0.9}), ("adam", {}), ("sgd", {"weight_decay": 0.01}), ("gd", {})]
)
def test_a_zero_gradient_ends_no_cell_that_goes_on(optimizer, options):
    """Momentum carries it on, weight decay pulls it back; under plain descent it stays where it is."""
    X, Y, module, alone = torch.ones(1, 4, 1).double(), torch.full((1, 4, 1), -5.0).double(), Hinge(), Hinge()
    rate = 0.02
    state = last(train_module(module, X, Y, [300], rate, optimizer=optimizer, optimizer_options=options, tolerance=0))
    build = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "gd": torch.optim.SGD}[optimizer]
    by_torch = build(alone.parameters(), lr=rate, **options)
    gradients = []
    for _ in range(300):
        by_torch.zero_grad()
        (0.5 * (alone(X) - Y).square().sum()).backward()
        gradients.append(float(alone.w.grad.abs().max()))
        by_torch.step()
    assert 0 in gradients[:-1]
    torch.testing.assert_close(module.w, alone.w, rtol=1e-9, atol=1e-12)
    assert (int(state.steps[0]) == 300) or gradients[-1] < 1e-9 or optimizer == "gd"
    assert (int(state.steps[0]) < 10) == (optimizer == "gd")


class Deep(nn.Module):
    """x ↦ x W₁ … W_L, from zero."""

    def __init__(self, layers, dtype):
        super().__init__()
        self.layers = nn.ParameterList(nn.Parameter(torch.zeros(1, 4, 4, dtype=dtype)) for _ in range(layers))

    def forward(self, X):
        for W in self.layers:
            X = X @ W
        return X


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("layers", "of_x", "of_y"), [(2, 1, 1), (3, 1, 1), (5, 1, 1), (2, 1, 1e9), (2, 1e-6, 1e-8)])
def test_zero_is_a_saddle_of_any_depth_and_in_any_units(layers, of_x, of_y, dtype):
    X = torch.randn(1, 20, 4, generator=torch.Generator().manual_seed(0), dtype=dtype)
    stuck = last(train_module(Deep(layers, dtype), X * of_x, X * of_y, [100], 1e-3))
    assert status(stuck) == ["stalled"]
    # Control: where there is nothing to learn zero is a minimum.
    done = last(train_module(Deep(layers, dtype), X * of_x, torch.zeros_like(X), [100], 1e-3))
    assert status(done) == ["converged"]


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_small_targets_are_no_divergence_of_adam(schedule):
    X, y = (torch.from_numpy(a)[None] for a in problem(20))

    def ended(optimizer, rate, scale, **options):
        module = LinearReadout(torch.zeros(1, 10, 1, dtype=torch.float64))
        states = train_module(module, X, y * scale, [3000], rate, optimizer=optimizer, schedule=schedule, **options)
        return str(status(last(states))[0])

    assert ended("adam", 0.01, 1e-8) != "diverged"
    # Control: a step size that is unstable is seen.
    assert ended("sgd", 10.0, 1e-8, optimizer_options={"momentum": 0.5}) == "diverged"


class Normalised(nn.Module):
    """x ↦ x/‖x‖ W, with the norm of a row, or of all rows of a cell together."""

    def __init__(self, cells, axes):
        super().__init__()
        self.W, self.axes = nn.Parameter(torch.full((cells, 3, 1), 0.1, dtype=torch.float64)), axes

    def forward(self, X):
        return (X / X.norm(dim=self.axes, keepdim=True)) @ self.W


def test_padding_is_never_seen_by_a_module_that_zeros_would_break():
    random = np.random.default_rng(0)
    X, Y = (torch.from_numpy(random.standard_normal((2, 5, k))) for k in (3, 1))
    X[1, 3:], Y[1, 3:] = 0, 0
    state = last(train_module(Normalised(2, -1), X, Y, [200], 0.1, n_rows=[5, 3]))
    expected = last(train_module(Normalised(1, -1), X[1:, :3], Y[1:, :3], [200], 0.1))
    assert state.status[1] == expected.status[0]
    torch.testing.assert_close(state.W[1], expected.W[0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("W", "message"),
    [
        (torch.zeros(1, 10, 1, dtype=torch.float64).expand(3, 10, 1), "one number under several indices"),
        (torch.zeros(3, 10, 1).bfloat16(), "float32 or float64"),
    ],
)
def test_weights_that_cannot_be_trained_are_refused_at_the_call(W, message):
    module = LinearReadout(W)
    module.weight = nn.Parameter(W)  # and no copy of it
    X = torch.zeros(3, 4, 10, dtype=torch.float64)
    with pytest.raises(ValueError, match=message):
        train_module(module, X, X[..., :1], [1], 0.1)


@pytest.mark.parametrize("betas", [0.9, [0.9]])
def test_options_of_another_shape_are_named(betas):
    module, X = LinearReadout(torch.zeros(1, 10, 1).double()), torch.zeros(1, 4, 10).double()
    options = {"optimizer": "adam", "optimizer_options": {"betas": betas}}
    with pytest.raises(ValueError, match=r"betas=.* must be 2 numbers"):
        train_module(module, X, X[..., :1], [1], 0.1, **options)


@pytest.mark.parametrize(("optimizer", "options"), [("sgd", {}), ("rprop", {}), ("adagrad", {}), ("rmsprop", {})])
def test_what_gathers_nothing_rests_where_the_gradient_is_zero(optimizer, options):
    X = torch.full((1, 4, 1), -1.0, dtype=torch.float64)  # w·x < 0: the unit is off, for ever
    dead = ReLU(torch.ones(1, 1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64))
    state = last(train_module(dead, X, X.abs(), [500], 0.1, optimizer=optimizer, optimizer_options=options))
    assert state.steps[0] <= 1
    assert status(state)[0] in ("converged", "stalled")


def test_padding_stays_zero_for_a_module_that_uses_the_rows_of_a_cell_together():
    random = np.random.default_rng(0)
    X, Y = (torch.from_numpy(random.standard_normal((1, 4, k))) for k in (3, 1))
    padded = [torch.cat([a, torch.zeros_like(a)], 1) for a in (X, Y)]
    alone = last(train_module(Normalised(1, (1, 2)), X, Y, [50], 0.1))
    state = last(train_module(Normalised(1, (1, 2)), *padded, [50], 0.1, n_rows=[4]))
    torch.testing.assert_close(state.W, alone.W, rtol=1e-12, atol=1e-14)
