"""What is measured of cells in training is what their own stack says, to the bit, whichever run."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gdstudy.data.loading import load_dataset
from gdstudy.experiment import running
from gdstudy.experiment.plan import plan
from gdstudy.experiment.running import Running
from gdstudy.experiment.stack import build_stack
from gdstudy.linalg import threads
from gdstudy.linalg.spectrum import product
from gdstudy.study.config import Study

STUDY = Study(datasets=["student_teacher"], n_train=[1, 5, 19, 20, 21, 40], seeds=5, batch_cells=100)
STUDIES = {
    "one output": STUDY,
    "whose products have other digits in few rows": replace(STUDY, datasets=["california_housing"]),
    "wide": replace(STUDY, datasets=["linear_plus_cosine"], models=["legendre"], n_parameters=[40]),
    "ten outputs": replace(STUDY, datasets=["digits"]),
    "a draw of features for each seed": replace(STUDY, models=["random_relu"], n_parameters=[24]),
}


def alone(stack, references, W, cells):
    part = stack.at(cells)
    return part.measure([part.problem], [W], [references[cells]])


@pytest.mark.parametrize("name", STUDIES)
def test_measures_are_those_of_the_cells_own_stack(name):
    study = STUDIES[name]
    (batch,) = plan(study)
    stack = build_stack(study, load_dataset(study.datasets[0]), batch)
    everything, references = torch.arange(len(batch.cells)), stack.problem.beta
    random, held = torch.Generator().manual_seed(0), Running(stack, references)
    for n in (30, 29, 24, 23, 17, 8, 7, 4, 3, 2, 1, 30, 26):  # they leave, and all begin anew
        cells = everything[torch.randperm(len(everything), generator=random)[:n].sort().values]
        if n < 30 and not set(cells.tolist()) <= set(held._cells.tolist()):
            cells = held._cells[:n]
        W = torch.randn(len(cells), *references.shape[1:], generator=random, dtype=torch.float64)
        found, expected = held.measure(W, cells), alone(stack, references, W, cells)
        for column, values in expected.items():
            np.testing.assert_array_equal(found[column], values, err_msg=f"{column}, {n} cells")
        spec = stack.problem.spectrum.at(cells)
        c = torch.randn(len(cells), spec.s.shape[-1], W.shape[-1], generator=random, dtype=torch.float64)
        assert torch.equal(held.readouts(c, cells), product(spec.Vt.mT, c))


@pytest.fixture
def parts(monkeypatch):
    """Where parts of cells begin and end that are measured, each a thread's."""
    found, measured = [], Running._measure
    monkeypatch.setattr(Running, "_measure", lambda *args: (found.append(args[2:]), measured(*args))[1])
    monkeypatch.setattr(threads, "_WORTH_A_THREAD", 1)
    return found


@pytest.mark.parametrize("name", STUDIES)
def test_no_digit_depends_on_the_threads_that_cells_are_shared_among(name, parts, monkeypatch):
    monkeypatch.setattr(running, "_WORTH_THREADS", 1)
    study = STUDIES[name]
    (batch,) = plan(study)
    stack = build_stack(study, load_dataset(study.datasets[0]), batch)
    references = stack.problem.beta
    for n, expected in ((30, [(0, 10), (10, 20), (20, 30)]), (9, [(0, 4), (4, 9)]), (7, [(0, 7)]), (1, [(0, 1)])):
        cells = torch.arange(n)
        W = torch.randn(n, *references.shape[1:], dtype=torch.float64, generator=torch.Generator().manual_seed(n))
        whole, shared = (Running(stack, references, number).measure(W, cells) for number in (1, 3))
        assert sorted(parts) == sorted([(0, n), *expected])
        parts.clear()
        for column, values in whole.items():
            np.testing.assert_array_equal(shared[column], values, err_msg=column)


def test_large_cells_and_few_products_are_not_shared_among_threads(parts, monkeypatch):
    (batch,) = plan(STUDY)
    stack = build_stack(STUDY, load_dataset("student_teacher"), batch)
    rows, W = stack.errors.rows, stack.problem.beta

    def measured(cell, products):
        """With bounds on the numbers of a cell that is shared, and on the products for which cells are."""
        parts.clear()
        monkeypatch.setattr(running, "SMALL_CELL", cell)
        monkeypatch.setattr(running, "_WORTH_THREADS", products)
        Running(stack, W, 3).measure(W, torch.arange(len(W)))
        return len(parts)

    cell, products = rows[0].numel(), rows[..., 0].numel() * W[0].numel()
    assert products < running._WORTH_THREADS
    assert measured(cell, products) == 3
    assert measured(cell - 1, products) == 1
    assert measured(cell, products + 1) == 1


def test_what_is_held_is_copied_seldom(monkeypatch):
    (batch,) = plan(STUDY)
    stack = build_stack(STUDY, load_dataset("student_teacher"), batch)
    held, copies = Running(stack, stack.problem.beta), []
    monkeypatch.setattr(
        Running, "_hold", lambda self, cells, hold=Running._hold: (copies.append(len(cells)), hold(self, cells))
    )
    for n in range(30, 9, -1):
        held.measure(stack.problem.beta[:n], torch.arange(n))
    assert copies == [22, 16, 11]
    assert all(b < running._KEPT * a for a, b in zip([30, *copies], copies, strict=False))
