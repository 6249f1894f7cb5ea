"""Explicit gradients on Gram matrices: the same steps from either side, and a cell as it is alone."""

import numpy as np
import pytest
import torch
from problems import ZOO, everywhere

from gdstudy.training import gram
from gdstudy.training.gram import Gram
from gdstudy.training.modules import LinearReadout
from gdstudy.training.objectives import Autograd
from gdstudy.training.optimised import Optimised

SIZES = (4, 12, 7)


@pytest.fixture(autouse=True, params=["PyTorch", "compiled"])
def products(request, monkeypatch):
    monkeypatch.setenv("GDSTUDY_FAST", "1" if request.param == "compiled" else "0")
    return request.param


def draw(*shape):
    return torch.from_numpy(np.random.default_rng(list(shape)).standard_normal(shape))


X = draw(3, 12, 6)
X[torch.arange(12) >= torch.tensor(SIZES)[:, None]] = 0
ETA = torch.tensor([0.03, 0.01, 0.02], dtype=torch.float64)


def assert_equal(ours, theirs):
    assert (ours - theirs).norm() <= 1e-12 * theirs.norm()


def engine(X, Y, eta, n_rows):
    """Cells from zero. X (C, N, P), Y (C, N, k), eta and n_rows (C,)."""
    W0 = torch.zeros(len(X), X.shape[2], Y.shape[2], dtype=X.dtype)
    return Gram(X, Y, W0, torch.as_tensor(eta, dtype=X.dtype), torch.as_tensor(n_rows))


@everywhere()
def test_steps_on_gram_matrices_are_those_of_the_recursion(known):
    x, y = (torch.from_numpy(a)[None] for a in (known.X, known.Y))
    stack, t = engine(x, y, [known.step_size()], [len(known.X)]), 0
    for n_steps in (1, 2, 47):
        stack.advance(n_steps)
        t += n_steps
        expected = known.iterate(known.step_size(), t)
        assert np.linalg.norm(stack.solution()[0].numpy() - expected) <= 1e3 * known.eps * np.linalg.norm(known.W)
    gradient = known.X.T.astype(float) @ (known.X @ expected - known.Y)
    scale = np.linalg.norm(known.X.T @ known.Y) or 1
    assert abs(float(stack.gradient_norm()[0]) - np.linalg.norm(gradient)) <= 1e3 * known.eps * scale


def test_problems_of_one_width_share_a_stack_whichever_side_of_the_threshold_they_are_on():
    """Below N = P a cell is trained on XXᵀ, else on XᵀX: in blocks of their own, and padded to the largest."""
    together = [known for known in ZOO.values() if known.X.shape[1] == 8 and known.Y.shape[1] == 1]
    assert {np.sign(len(p.X) - 8) for p in together} == {-1, 0, 1}
    x, y = torch.zeros(len(together), 20, 8).double(), torch.zeros(len(together), 20, 1).double()
    for c, known in enumerate(together):
        x[c, : len(known.X)], y[c, : len(known.X)] = torch.from_numpy(known.X), torch.from_numpy(known.Y)
    stack = engine(x, y, [p.step_size() for p in together], [len(p.X) for p in together])
    assert len(stack.blocks) > 1
    assert {block.dual for block in stack.blocks} == {True, False}
    stack.advance(50)
    for cell, W in zip(stack.cells.tolist(), stack.solution(), strict=True):
        known = together[cell]
        expected = known.iterate(known.step_size(), 50)
        assert np.linalg.norm(W.numpy() - expected) <= 1e-12 * np.linalg.norm(expected)


@pytest.mark.parametrize("kind", [Gram, Optimised])
def test_a_readouts_cells_leave_without_changing_the_others(kind):
    def make(cells):
        data, target, start = X[cells], X[cells, :, :2], torch.zeros(len(cells), 6, 2, dtype=torch.float64)
        if kind is Gram:
            return Gram(data, target, start, ETA[cells], torch.tensor(SIZES)[cells])
        return Optimised(Autograd(LinearReadout(start), data, target, ETA[cells]))

    stack, alone = make([0, 1, 2]), make([2])
    for n_steps in (10, 10):
        stack.advance(n_steps)
        alone.advance(n_steps)
        stack.keep(stack.cells != n_steps - 10 + len(stack.cells) // 3)  # cell 1, and then cell 0
    assert 2 in stack.cells.tolist()
    assert_equal(stack.solution()[stack.cells.tolist().index(2)].flatten(), alone.solution()[0].flatten())


@pytest.mark.parametrize("P", [1, 8, 17, 19, 20, 40])
@pytest.mark.parametrize("products", ["PyTorch"], indirect=True)
def test_a_stack_in_parts_and_an_output_as_a_column_take_the_steps_of_rows_digit_by_digit(P, products, monkeypatch):
    monkeypatch.setattr(gram, "CACHE_BYTES", 3 * 8 * P * P)
    x, y, eta = draw(7, 45, P), draw(7, 45, 1), torch.full((7,), 0.01).double()
    stack = engine(x, y, eta, [45] * 7)
    A, B = eta[:, None, None] * (x.mT @ x), (eta[:, None, None] * (x.mT @ y)).mT
    Z = torch.zeros_like(B)
    for _ in range(20):
        Z -= torch.baddbmm(B, Z, A, beta=-1)
    stack.advance(20)
    assert torch.equal(stack.solution().mT, Z)
    assert stack.blocks[0].column == (P < 20)


def test_of_a_block_that_loses_no_cell_nothing_is_copied():
    stack = engine(X, X[:, :, :1], ETA, SIZES)  # 4, 12 and 7 rows of 6 columns
    first, other = stack.blocks
    kept, left = first.A, other.A
    stack.keep(stack.cells != first.cells[0])
    assert len(first.A) == len(kept) - 1
    assert other.A is left


@pytest.mark.parametrize("products", ["compiled"], indirect=True)
def test_beside_a_block_of_pytorchs_products_others_take_one_look_at_a_time_too(products, monkeypatch):
    def looks(stack):
        norm = stack.gradient_norm()
        return stack.through([1, 2, 3], norm, norm, 0.0)

    compiled, mixed = engine(X, X[:, :, :1], ETA, SIZES), engine(X, X[:, :, :1], ETA, SIZES)
    monkeypatch.setenv("GDSTUDY_FAST", "0")
    mixed.blocks[1] = engine(X, X[:, :, :1], ETA, SIZES).blocks[1]
    assert [block.work > 0 for block in mixed.blocks] == [True, False]
    seen = looks(mixed)
    assert (seen.looks, seen.steps.tolist()) == (1, [1, 1, 1])
    assert looks(compiled).steps.tolist() == [6, 6, 6]  # control
    products = engine(X, X[:, :, :1], ETA, SIZES)
    products.advance(1)
    assert_equal(mixed.solution(), products.solution())
