"""A descent that was cut off at any look goes on with the same numbers, bit for bit, whatever takes its steps."""

import contextlib
import copy
import itertools

import pytest
import torch

from gdstudy import gradient_descent, train_module
from gdstudy.study.optimizers import OPTIMIZERS
from gdstudy.training import gram
from gdstudy.training.modules import Bottleneck, ReLUAutoencoder

CHECKPOINTS = [1, 3, 10, 30, 100]


class Cut(Exception):
    """What stops a descent after a look."""


class Saver:
    """Keeps a descent at its n-th look."""

    def __init__(self, saved=None, at=None):
        self.saved, self.at, self.looks, self.kept = saved, at, 0, None

    def due(self):
        self.looks += 1
        return self.looks == self.at

    def save(self, snapshot):
        self.kept = copy.deepcopy(snapshot)


@pytest.fixture(autouse=True)
def _one_look_at_once(monkeypatch):
    monkeypatch.setattr(gram, "AT_ONCE", 0)


def states_of(descent, saver, stop_at=None):
    """The states of a descent up to where it is stopped, by its check at a look of this number."""
    seen, looks = [], itertools.count(1)

    def check(cell_steps, running):
        if next(looks) == stop_at:
            raise Cut

    with contextlib.suppress(Cut):
        for state in descent(saver, check):
            seen.append(state)
    return seen


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        for name in ("step", "steps", "W", "gradient_norm", "distance", "status"):
            x, y = (torch.as_tensor(getattr(state, name)) for state in (a, b))
            assert x.dtype == y.dtype
            torch.testing.assert_close(x, y, rtol=0, atol=0, equal_nan=True)


def assert_goes_on(descent, every=4):
    """A descent that is cut off and continued, again and again after so many looks, has the states of one in one go.

    Looks come at each step at first, and while cells leave.
    """
    everything = Saver()
    whole = states_of(descent, everything)
    assert everything.looks > 5 * every
    seen, saver, looks = [], Saver(), 0
    while looks <= everything.looks:
        seen += states_of(descent, saver, stop_at=every)
        # What was done is not done again.
        looks, saver = looks + every, Saver(saver.kept)
    assert_same(seen, whole)
    return whole


def stack(dtype, cells=5, n=12, P=6):
    """Problems of which some take ten times as long as others, and of different numbers of rows."""
    random = torch.Generator().manual_seed(3)
    X = torch.randn(cells, n, P, generator=random, dtype=torch.float64)
    X *= (
        torch.linspace(1, 3, P, dtype=torch.float64)
        ** torch.linspace(0.1, 1, cells, dtype=torch.float64)[:, None, None]
    )
    n_rows = torch.tensor([12, 3, 7, 12, 5])[:cells]
    X[torch.arange(n) >= n_rows[:, None]] = 0
    Y = X @ torch.randn(cells, P, 2, generator=random, dtype=torch.float64)
    return X.to(dtype), Y.to(dtype), n_rows


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("engine", ["gram", "compiled", "autograd"])
def test_a_readout_goes_on_whatever_its_engine(engine, momentum, dtype, monkeypatch):
    monkeypatch.setenv("GDSTUDY_FAST", "1" if engine == "compiled" else "0")
    engine, (X, Y, n_rows) = engine.replace("compiled", "gram"), stack(dtype)

    def descent(saver, check):
        return gradient_descent(
            X, Y, CHECKPOINTS, tolerance=1e-2, engine=engine, n_rows=n_rows, momentum=momentum,
            on_check=check, saver=saver, W0=torch.ones(6, 2, dtype=dtype),
        )  # fmt: skip

    last = assert_goes_on(descent)[-1]
    assert len(last.steps.unique()) > 2  # cells left at different times


def test_one_output_of_small_readouts_goes_on(monkeypatch):
    """Which PyTorch takes as a column."""
    monkeypatch.setenv("GDSTUDY_FAST", "0")
    X, Y, n_rows = stack(torch.float64)
    assert_goes_on(
        lambda saver, check: gradient_descent(
            X, Y[..., 0], CHECKPOINTS, tolerance=1e-3, n_rows=n_rows, on_check=check, saver=saver
        )
    )


def toy(dtype):
    """Toy ReLU autoencoders whose weights do not lie in memory as their axes say."""
    random = torch.Generator().manual_seed(1)
    X = torch.rand(4, 9, 5, generator=random, dtype=torch.float64).to(dtype)
    W = 0.4 * torch.randn(4, 5, 2, generator=random, dtype=torch.float64).to(dtype).mT
    return ReLUAutoencoder(W, X.new_zeros(4, 5)), X, torch.tensor([9, 4, 6, 9])


def by_optimizer(name, dtype, tolerance=0.02, **how):
    """A descent of toy autoencoders, of padded rows."""
    options = {"momentum": 0.9} if name in ("sgd", "rmsprop") else {"weight_decay": 0.01}
    options = {} if OPTIMIZERS[name].plain or name == "rprop" else options

    def descent(saver, check):
        module, X, n_rows = toy(dtype)
        X = X * (torch.arange(9) < n_rows[:, None])[..., None]
        return train_module(
            module, X, X, CHECKPOINTS, 0.02, tolerance, name, options, n_rows=n_rows,
            on_check=check, saver=saver, **how,
        )  # fmt: skip

    return descent


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", [name for name, facts in OPTIMIZERS.items() if not facts.momentum or not facts.plain])
def test_a_module_goes_on_under_every_optimizer(name, dtype):
    assert_goes_on(by_optimizer(name, dtype))


def test_a_schedule_goes_on_where_it_was():
    assert_goes_on(by_optimizer("adamw", torch.float32, warmup=0.2, schedule="cosine"))


def test_some_modules_leave_before_others():
    whole = states_of(by_optimizer("adam", torch.float64, tolerance=0.3), Saver())
    assert len(whole[-1].steps.unique()) > 2
    assert_goes_on(by_optimizer("adam", torch.float64, tolerance=0.3))


def test_a_descent_that_rises_is_stopped_at_the_same_step():
    random = torch.Generator().manual_seed(0)
    X = torch.randn(3, 8, 4, generator=random, dtype=torch.float64)
    A, B = (0.3 * torch.randn(3, *shape, generator=random, dtype=torch.float64) for shape in ((4, 2), (2, 4)))
    eta = torch.tensor([0.01, 0.02, 0.08], dtype=torch.float64)
    steps = [10, 1500]
    whole = assert_goes_on(
        lambda saver, check: train_module(Bottleneck(A, B), X, X, steps, eta, 1e-6, on_check=check, saver=saver)
    )
    assert len(whole[-1].status.unique()) > 1


@pytest.mark.parametrize("lost", ["states", "t", "parameters"])
def test_what_is_left_out_of_a_snapshot_changes_the_numbers(lost):
    """Negative control: a restored descent needs the state of its optimizer, its place in the schedule, its weights."""
    descent = by_optimizer("adamw", torch.float64, tolerance=0.0, warmup=0.2, schedule="cosine")
    whole = states_of(descent, Saver())
    cut = Saver()
    before = states_of(descent, cut, stop_at=40)
    saved = cut.kept["engine"]
    fresh = {"states": [{}, {}], "t": 0, "parameters": [0 * p for p in saved["parameters"]]}
    saved[lost] = fresh[lost]
    after = states_of(descent, Saver(cut.kept))
    with pytest.raises(AssertionError):
        assert_same([*before, *after], whole)


def test_it_is_kept_where_it_is_due_and_where_a_check_stops_it_and_nowhere_else():
    kept = []

    class Counts(Saver):
        def save(self, snapshot):
            kept.append(snapshot["t"])

    states_of(by_optimizer("adam", torch.float64, tolerance=0.0), Counts())
    assert kept == []
    states_of(by_optimizer("adam", torch.float64, tolerance=0.0), Counts(at=5), stop_at=9)
    assert kept == [5, 9]
