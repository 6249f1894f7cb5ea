"""Any objective under any optimizer: a cell does in a stack what it does alone, whatever its company."""

import numpy as np
import pytest
import torch

from gdstudy.study.optimizers import OPTIMIZERS
from gdstudy.training.modules import Bottleneck, ReLUAutoencoder
from gdstudy.training.objectives import Autograd, BottleneckByHand, ReLUByHand
from gdstudy.training.optimised import Optimised
from gdstudy.training.optimizers import Schedule, torch_optimizer

SIZES = (4, 12, 7)
COSINE = Schedule(60, 0.1, "cosine")
OPTIONS = {
    "gd": {},
    "sgd": {"momentum": 0.9},
    "adamw": {"weight_decay": 0.1},
    "rmsprop": {"momentum": 0.5},
}
LEARNING_RATE = {"sgd": 0.005, "adamw": 0.01, "rmsprop": 0.01}


def draw(*shape):
    return torch.from_numpy(np.random.default_rng(list(shape)).standard_normal(shape))


X = draw(3, 12, 6).clamp(min=0)
X[torch.arange(12) >= torch.tensor(SIZES)[:, None]] = 0
START = {"relu": (0.5 * draw(3, 2, 6), 0.1 * draw(3, 6)), "bottleneck": (0.3 * draw(3, 6, 2), 0.3 * draw(3, 2, 6))}
ETA = torch.tensor([0.03, 0.01, 0.02], dtype=torch.float64)


def engine(kind, optimizer, cells, schedule=COSINE, padded=True, **options):
    """Training of some cells of three, in a stack padded to the rows of the largest."""
    rows = slice(12 if padded else SIZES[cells[0]])
    data, start = X[cells, rows], [p[cells] for p in START[kind]]
    weight = ETA[cells] if optimizer == "gd" else torch.ones(len(cells), dtype=torch.float64)
    if kind == "relu":
        objective = ReLUByHand(ReLUAutoencoder(*start), data, weight, torch.tensor(SIZES)[cells])
    else:
        objective = BottleneckByHand(Bottleneck(*start), data, data, weight)
    make = None
    if optimizer != "gd":
        make = torch_optimizer(optimizer, LEARNING_RATE.get(optimizer, 0.01), options or OPTIONS.get(optimizer, {}))
    return Optimised(objective, make, schedule)


def assert_equal(ours, theirs):
    assert (ours - theirs).norm() <= 1e-12 * theirs.norm()


@pytest.mark.parametrize("kind", START)
@pytest.mark.parametrize("optimizer", OPTIONS)
@pytest.mark.parametrize("schedule", [COSINE, None])
def test_a_stack_does_to_each_cell_what_it_does_to_it_alone(kind, optimizer, schedule):
    """Cell 1 leaves after 20 steps and cell 0 after 45: what the optimizer remembers of the others must stay theirs."""
    stack = engine(kind, optimizer, [0, 1, 2], schedule)
    ended = {}
    for n_steps, mask in ((20, [True, False, True]), (25, [False, True]), (15, [False])):
        stack.advance(n_steps)
        solution = stack.solution()
        kept = torch.tensor(mask)
        ended |= dict(zip(stack.cells[~kept].tolist(), solution[~kept], strict=True))
        stack.keep(kept)
    assert len(stack.cells) == 0
    for cell, n_steps in ((1, 20), (0, 45), (2, 60)):
        alone = engine(kind, optimizer, [cell], schedule, padded=False)
        before = alone.solution()
        alone.advance(n_steps)
        assert_equal(ended[cell], alone.solution()[0])
        assert (alone.solution() - before).norm() > 0.02 * before.norm()


@pytest.mark.parametrize("name", [name for name, facts in OPTIMIZERS.items() if not facts.plain])
def test_every_optimizer_of_the_table_treats_each_cell_by_itself(name):
    stack, alone = engine("relu", name, [0, 1, 2]), engine("relu", name, [1])
    stack.advance(30)
    alone.advance(30)
    assert_equal(stack.solution()[1], alone.solution()[0])


def test_what_the_optimizer_remembers_matters():
    """Control: the same cells with the memory of others, or with none, come elsewhere."""
    ends = []
    for change in (lambda v: v, lambda v: v.flip(0), torch.zeros_like):
        stack = engine("relu", "adamw", [0, 1, 2], None)
        stack.advance(20)
        stack.keep(torch.tensor([True, False, True]))
        for state in stack.optimizer.state.values():
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = change(state[name]).contiguous()
        stack.advance(20)
        ends.append(stack.solution())
    assert (ends[1] - ends[0]).norm() > 1e-3 * ends[0].norm()
    assert (ends[2] - ends[0]).norm() > 1e-3 * ends[0].norm()


# Schedules, as steps


def test_a_scheduled_step_is_the_learning_rate_times_its_factor():
    """Plain steps of two engines: one with a schedule, one whose weights are scaled by hand at each step."""
    scheduled, by_hand = (engine("relu", "gd", [0, 1, 2], schedule) for schedule in (COSINE, None))
    for t in range(60):
        scheduled.advance(1)
        by_hand.objective.weight = ETA * COSINE(t)
        by_hand.advance(1)
    assert_equal(scheduled.solution(), by_hand.solution())
    constant = engine("relu", "gd", [0, 1, 2], None)
    constant.advance(60)
    assert (constant.solution() - scheduled.solution()).norm() > 1e-2 * scheduled.solution().norm()


class Descending(BottleneckByHand):
    """Takes plain steps by itself, as machine code does."""

    def descend(self, n_steps):
        for _ in range(n_steps):
            self.backward()
            for p in self.parameters:
                p.data -= p.grad


def test_steps_that_the_objective_takes_by_itself_are_counted():
    one, other = (
        Optimised(kind(Bottleneck(*(p.clone() for p in START["bottleneck"])), X, X, ETA))
        for kind in (Descending, BottleneckByHand)
    )
    for cells in (one, other):
        cells.advance(3)
        cells.advance(4)
    assert one.descent is not None is other.descent
    assert one.t == one.snapshot()["t"] == other.t == 7
    assert_equal(one.solution(), other.solution())


# Where a model that is not linear in its weights stands


def at(A, B):
    data = X[1:2]
    return Optimised(BottleneckByHand(Bottleneck(A, B), data, data, ETA[:1]))


def test_a_saddle_is_told_from_a_minimum_and_looking_moves_nothing():
    _, _, Vt = np.linalg.svd(X[1].numpy())
    leading = torch.from_numpy(Vt[:2].T.copy())[None]
    for A, minimum in ((leading, True), (torch.zeros_like(leading), False)):
        one = at(A, A.mT.contiguous())
        assert one.gradient_norm()[0] < 1e-12 * float(X[1].square().sum())
        before = one.solution()
        assert one.is_minimum().tolist() == [minimum]
        assert torch.equal(one.solution(), before)


def test_a_loss_that_rises_is_seen_where_it_may_only_fall():
    limit = 1 / float(torch.linalg.matrix_norm(X[1], 2) ** 2)
    start = [p[1:2] for p in START["bottleneck"]]

    def looks(share, objective=BottleneckByHand, **options):
        weight = torch.full((1,), share * limit, dtype=torch.float64)
        one = Optimised(objective(Bottleneck(*start), X[1:2], X[1:2], weight), **options)
        seen = []
        for _ in range(1500):
            one.advance(1)
            seen += one.rising().tolist()
        return seen

    assert not any(looks(0.5))
    assert any(looks(1.2))
    assert not any(looks(1.2)[:1000])  # a mode that overshoots may yet settle
    assert any(looks(1.2, Autograd))  # the same statuses from either engine
    # Another optimizer's steps need not go down, nor those of a schedule stay as long.
    assert not any(looks(1.2, optimizer=torch_optimizer("rmsprop", 0.05, {})))
    assert not any(looks(1.2, schedule=Schedule(1500, 0.0, "cosine")))
