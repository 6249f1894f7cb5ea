"""Bottlenecks by machine code take the steps of PyTorch's products, and a cell does in a stack what it does alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gdstudy.linalg import threads as threads_of
from gdstudy.study.status import Status
from gdstudy.training import compiled_layers
from gdstudy.training.bottleneck_kernel import compiles_bottleneck
from gdstudy.training.compiled_layers import CompiledBottleneck
from gdstudy.training.descent import descend
from gdstudy.training.modules import Bottleneck
from gdstudy.training.objectives import Autograd, BottleneckByHand
from gdstudy.training.optimised import Optimised
from gdstudy.training.optimizers import Schedule, torch_optimizer
from tests.training.test_objectives import assert_the_same


def problem(seed, C, N, D, k, outputs=None, dtype=torch.float64, start=0.5):
    """Layers of norms near `start`, rows, targets (None: the rows themselves) and step sizes, half of what is stable at
    the optimum."""
    random = np.random.default_rng(seed)

    def draw(*shape):
        return torch.from_numpy(random.standard_normal(shape))

    size = start / (max(D, outputs or D) ** 0.5 + k**0.5)
    layers, X = (size * draw(C, D, k), size * draw(C, k, outputs or D)), draw(C, N, D)
    Y = X if outputs is None else draw(C, N, outputs)
    best = torch.linalg.matrix_norm(torch.linalg.lstsq(X, Y, driver="gelsd").solution, 2).clamp(min=1)
    eta = 0.5 / (torch.linalg.matrix_norm(X, 2).square() * best)
    return [part.to(dtype) for part in (*layers, X, Y, eta)]


def objective(kind, parts, cells=slice(None), **options):
    A, B, X, Y, eta = (part[cells] for part in parts)
    return kind(Bottleneck(A, B), X, Y, eta, **options)


def layers(objective):
    return [p.detach() for p in objective.parameters]


def gap(ours, theirs):
    """The largest relative difference of a layer of a cell."""
    size = [theirs_p.flatten(1).norm(dim=1).clamp(min=1e-300) for theirs_p in layers(theirs)]
    apart = [(a - b).flatten(1).norm(dim=1) for a, b in zip(layers(ours), layers(theirs), strict=True)]
    return max(float((a / s).max()) for a, s in zip(apart, size, strict=True))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 99), C=st.integers(1, 4), N=st.integers(1, 30), D=st.integers(1, 40), k=st.integers(1, 19),
    outputs=st.sampled_from([None, 1, 5, 16, 23]), single=st.booleans(),
)  # fmt: skip
def test_steps_are_those_of_products(seed, C, N, D, k, outputs, single):
    """Of wide and narrow ones, of more rows than inputs and fewer, of targets that are the inputs and that are not."""
    parts = problem(seed, C, N, D, k, outputs, torch.float32 if single else torch.float64)
    products, code = objective(BottleneckByHand, parts), objective(CompiledBottleneck, parts)
    rounding = 1e-4 if single else 1e-12
    assert bool(code.untied) == (outputs is not None)
    for n_steps in (1, 20):
        Optimised(products).advance(n_steps)
        Optimised(code).advance(n_steps)
        assert gap(code, products) < rounding
    assert gap(code, objective(BottleneckByHand, parts)) > 2 * rounding  # negative control: they went somewhere


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 99), C=st.integers(1, 4), N=st.integers(1, 9), D=st.integers(1, 20), k=st.integers(1, 11),
    outputs=st.sampled_from([None, 3, 17]),
)  # fmt: skip
def test_losses_and_gradients_are_autograds(seed, C, N, D, k, outputs):
    parts = problem(seed, C, N, D, k, outputs)
    assert_the_same(objective(CompiledBottleneck, parts), objective(Autograd, parts))


@pytest.mark.parametrize(
    ("D", "k", "dtype"),
    [
        (16, 2, torch.float64),
        (64, 8, torch.float64),
        (13, 3, torch.float64),
        (70, 11, torch.float64),
        (13, 3, torch.float32),
    ],
)
def test_digits_depend_neither_on_registers_stack_or_threads_nor_on_how_steps_are_divided(D, k, dtype, monkeypatch):
    monkeypatch.setattr(threads_of, "_WORTH_A_THREAD", 1)
    parts = problem(1, 7, 20, D, k, D, dtype)
    whole = objective(CompiledBottleneck, parts)
    whole.descend(40)
    for cells, calls, threads, sums in (
        (slice(None), (40,), 3, None),
        (slice(None), (1, 0, 39), 1, 6),
        (slice(2, 3), (20, 20), 1, 1),
        (slice(3, 7), (40,), 2, 24),
    ):
        part = objective(CompiledBottleneck, parts, cells, threads=threads, sums=sums)
        for n_steps in calls:
            part.descend(n_steps)
        for ours, all_of in zip(layers(part), layers(whole), strict=True):
            assert torch.equal(ours, all_of[cells])


def test_no_call_takes_longer_than_a_signal_may_wait(monkeypatch):
    parts = problem(1, 3, 9, 6, 2)
    # The layers are trained in place.
    whole, divided = (objective(CompiledBottleneck, [part.clone() for part in parts]) for _ in range(2))
    whole.descend(23)
    calls, run = [], CompiledBottleneck._run
    monkeypatch.setattr(CompiledBottleneck, "_run", lambda self, n, look: calls.append(n) or run(self, n, look))
    monkeypatch.setattr(compiled_layers, "AT_ONCE", 10 * divided._work)
    divided.descend(23)
    assert calls == [10, 10, 3]
    for ours, theirs in zip(layers(divided), layers(whole), strict=True):
        assert torch.equal(ours, theirs)


def test_digits_do_not_depend_on_whether_targets_are_known_to_be_the_inputs():
    tied, untied = (objective(CompiledBottleneck, problem(2, 3, 30, 20, 4)) for _ in range(2))
    assert not tied.untied
    untied.untied = True
    for cells in (tied, untied):
        cells.descend(50)
    assert all(torch.equal(a, b) for a, b in zip(layers(tied), layers(untied), strict=True))


def test_zero_layers_stay_exactly_zero():
    parts = problem(0, 3, 20, 16, 4, start=0.0)
    code = objective(CompiledBottleneck, parts)
    code.descend(1000)
    assert not any(bool(p.any()) for p in layers(code))
    one = problem(0, 3, 20, 16, 4, start=0.0)
    one[1] += 1e-3  # negative control: one layer alone moves the other
    moved = objective(CompiledBottleneck, one)
    moved.descend(1)
    assert all(bool(p.any()) for p in layers(moved))


def states(kind, parts, checkpoints=(10, 300, 20_000), **options):
    """The states of a descent to the end."""
    return list(descend(Optimised(objective(kind, parts), threads=1), checkpoints, 1e-6, **options))


def test_cells_leave_and_diverge_at_the_same_look():
    parts = problem(5, 8, 30, 8, 2)
    parts[-1] *= torch.tensor([1.0, 0.3, 1, 1.5, 4, 1e3, 1e200, 1])
    by_products, by_code = (states(kind, parts) for kind in (BottleneckByHand, CompiledBottleneck))
    for one, other in zip(by_products, by_code, strict=True):
        assert torch.equal(one.steps, other.steps)
        assert torch.equal(one.status, other.status)
    end = by_code[-1]
    assert set(end.status.tolist()) == {Status.CONVERGED, Status.DIVERGED}
    stays = end.status == Status.CONVERGED
    assert len(end.steps[stays].unique()) > 2
    torch.testing.assert_close(end.W[stays], by_products[-1].W[stays], rtol=1e-8, atol=1e-8)


class Kept:
    """A Saver that keeps a descent once, after so many looks, as tensors of its own."""

    def __init__(self, at=None, saved=None):
        self.left, self.saved, self.kept = at, saved, None

    def due(self):
        self.left = None if self.left is None else self.left - 1
        return self.left == 0

    def save(self, snapshot):
        self.kept = _copied(snapshot)


def _copied(value):
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {name: _copied(part) for name, part in value.items()}
    return [_copied(part) for part in value] if isinstance(value, list) else value


def test_what_was_cut_off_goes_on_with_the_same_digits():
    parts = problem(6, 6, 30, 12, 3)
    parts[-1] *= torch.linspace(0.2, 1, 6)
    saver = Kept(at=80)
    *_, whole = states(CompiledBottleneck, parts, saver=saver)
    assert 0 < len(saver.kept["cells"]) < 6  # some had left
    *_, resumed = states(CompiledBottleneck, parts, saver=Kept(saved=saver.kept))
    for name in ("W", "steps", "status", "gradient_norm"):
        assert torch.equal(getattr(resumed, name), getattr(whole, name))


def test_other_optimizers_and_schedules_do_not_take_its_steps():
    parts = problem(7, 2, 10, 6, 2)
    for options in ({"optimizer": torch_optimizer("adamw", 0.01, {})}, {"schedule": Schedule(50, 0.2, "constant")}):
        ends = [objective(kind, parts) for kind in (CompiledBottleneck, BottleneckByHand)]
        for cells in ends:
            engine = Optimised(cells, **options)
            engine.advance(50)
            assert engine.t == 50
        assert gap(*ends) < 1e-11
    plain = objective(CompiledBottleneck, parts)
    Optimised(plain).advance(50)
    assert gap(plain, ends[1]) > 1e-3  # negative control


def test_what_is_not_for_machine_code(monkeypatch):
    assert [compiles_bottleneck(*sizes) for sizes in (("cpu", 32), ("cpu", 33), ("cuda", 8))] == [True, False, False]
    monkeypatch.setenv("GDSTUDY_FAST", "0")
    assert not compiles_bottleneck("cpu", 8)
