"""What must stay fast, as coarse ratios of CPU seconds within one test, best of a few; each with what would break it.

The bounds are several times off what is measured (`python -m tests.benchmarks`): they see a stack that has become a
loop, or work that is done at every step, and not a busy machine.
"""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from gdstudy import gd_iterate, gradient_descent
from gdstudy.experiment.driver import run_batch
from gdstudy.experiment.plan import plan
from gdstudy.study.parser import find_config, read_study
from gdstudy.sweep.run import load_datasets
from tests import one_cell
from tests.benchmarks import ours, peers, readouts
from tests.benchmarks.cells import cells
from tests.benchmarks.measure import Disagreement, check_agreement

P = 20


def cpu(call, tries=3):
    """Seconds of CPU, the least of some tries: the first may compile, another machine's work only adds."""
    taken = []
    for _ in range(tries):
        began = time.process_time()
        call()
        taken.append(time.process_time() - began)
    return min(taken)


@pytest.fixture(scope="module")
def many():
    """400 cells of P = 20, N = 1 … 2P."""
    return cells(P, 1, 10)


@pytest.fixture(scope="module")
def loop_seconds(many):
    """A step of all of them in a loop of nn.Linear and torch.optim.SGD, from three of them."""
    loop = peers.torch_loop(many)
    return cpu(lambda: loop.advance(100)) / 100 * len(many) / len(loop.cells)


def test_a_step_of_a_stack_is_hundreds_of_times_as_fast_as_a_loop_over_cells(many, loop_seconds):
    stack = ours.engine(many)
    assert loop_seconds / (cpu(lambda: stack.advance(200)) / 200) > 300
    # Negative control: the same engine, cell by cell.
    some = many.at(np.arange(0, len(many), 20))
    alone = [ours.engine(some.at(np.array([c]))) for c in range(len(some))]
    seconds = cpu(lambda: [engine.advance(10) for engine in alone]) / 10 * len(many) / len(some)
    assert loop_seconds / seconds < 100


@pytest.mark.parametrize("k", [1, 8])
def test_everybody_who_is_timed_takes_the_same_steps(k):
    of = cells(P, k, 3)
    stack, n_steps = ours.engine(of), 64
    stack.advance(n_steps)
    W = ours.weights(stack)
    takers = {name: make(of) for name, make in readouts.steppers().items()}
    for name, taker in takers.items():
        taker.advance(n_steps)
        check_agreement(W[taker.cells], taker.weights(), name)
        taker.advance(n_steps)  # negative control: as many again
        with pytest.raises(Disagreement, match="other weights"):
            check_agreement(W[taker.cells], taker.weights(), name)


def closed_forms_over_one_at_a_time(batch_cells):
    """Every ablation of paper.yaml on one of its data sets, one cell at a time over in batches of so many."""
    study = read_study(find_config("paper.yaml"))
    study = replace(
        study, datasets=["student_teacher"], estimators=["min_norm"], trainings={}, seeds=10, batch_cells=batch_cells
    )
    (data,), batches = load_datasets(study).values(), plan(study)
    every, few = 20, batches[:: max(1, len(batches) // 10)]
    of_set = [cell for batch in batches for cell in batch.cells]
    beta = np.linalg.lstsq(data.X, data.Y, rcond=None)[0]

    def one_at_a_time():
        for n, seed in of_set[::every]:
            one_cell.test_errors(data.X, data.Y, n, seed, batches[0].closed, beta)

    n_cells = sum(len(batch.cells) for batch in few)
    batched = cpu(lambda: [run_batch(study, data, batch) for batch in few], 2) / n_cells
    return cpu(one_at_a_time, 2) / len(of_set[::every]) / batched


def test_closed_forms_of_all_ablations_are_a_matter_of_batches():
    assert closed_forms_over_one_at_a_time(batch_cells=1000) > 20
    assert closed_forms_over_one_at_a_time(batch_cells=1) < 5  # negative control


def test_an_exact_iterate_costs_the_same_at_any_t(many):
    def late_over_first(t, iterate):
        return cpu(lambda: iterate(t)) / cpu(lambda: iterate(1))

    assert late_over_first(10**12, lambda t: gd_iterate(many.X, many.Y, many.eta, t)) < 2
    stack = ours.engine(many)
    assert late_over_first(10_000, stack.advance) > 10  # negative control: real steps


def test_twice_the_cells_cost_twice_as_much():
    def second_over_first(call):
        few, many = cells(P, 1, 10), cells(P, 1, 20)
        return cpu(lambda: call(many)) / cpu(lambda: call(few))

    def fit(of):
        list(gradient_descent(of.X, of.Y, 100, of.eta, n_rows=of.n_rows))

    def pairs(of):  # negative control: something that is done for each pair of cells
        X = torch.from_numpy(of.X).flatten(1)
        torch.cdist(X, X)

    assert second_over_first(fit) < 2.6
    assert second_over_first(pairs) > 2.6


def test_looks_on_the_way_cost_a_few_times_the_steps_at_most(many):
    stack, n_steps = ours.engine(many), 400

    def fit(checkpoints):
        list(gradient_descent(many.X, many.Y, checkpoints, many.eta, 0, n_rows=many.n_rows))

    pure, set_up = cpu(lambda: stack.advance(n_steps)), cpu(lambda: fit(1))
    assert cpu(lambda: fit(n_steps)) - set_up < 15 * pure
    # Negative control: a state at every step.
    assert cpu(lambda: fit(range(1, n_steps + 1)), 1) - set_up > 15 * pure
