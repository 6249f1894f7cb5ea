"""Cells side by side come to the digits that each comes to by itself, whenever the others end."""

import pytest
import torch

from gdstudy.training import lanes
from gdstudy.training.compiled import CompiledBlock
from gdstudy.training.llvm import LANES


def block(way, n, k, P, cells, dtype=torch.float64, momentum=0.0, eta=1.0):
    """Cells on XXᵀ of n rows and P features or, without, on XᵀX of n features. way: whether they are side by side."""
    random = torch.Generator().manual_seed(n + 100 * k)
    rows = torch.randn(cells, n, P or n + 3, generator=random, dtype=torch.float64)
    gram, right = rows @ rows.mT, torch.randn(cells, n, k, generator=random, dtype=torch.float64)
    step = eta / torch.linalg.eigvalsh(gram)[:, -1]
    X = rows if P else rows[:, :0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lanes, "fit", lambda *_: way)
        given = (values.to(dtype) for values in (gram, right, X, step))
        one = CompiledBlock(torch.arange(cells), *given, momentum, 1)
    assert one.kernel.beside == (LANES if way else 1)
    return one


def taken(block, intervals, tolerance, divergence):
    first = block.gradient_norm()
    return block.through(intervals, first, torch.zeros_like(first), tolerance, divergence)


SIZES = [(1, 1, 0, 3), (8, 1, 0, 17), (8, 1, 20, 8), (13, 2, 17, 9), (20, 1, 0, 5), (20, 3, 0, 8), (17, 3, 33, 1)]


@pytest.mark.parametrize(("n", "k", "P", "cells"), SIZES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_a_cell_comes_to_the_same_digits_side_by_side(n, k, P, cells, dtype, momentum):
    alone, beside = (block(way, n, k, P, cells, dtype, momentum) for way in (False, True))
    seen = [taken(one, [1, 1, 2, 50], 0.0, 1e9) for one in (alone, beside)]
    assert torch.equal(alone.displacement(), beside.displacement())
    assert bool((beside.displacement() != 0).any())
    for name in ("Z", "V"):
        assert torch.equal(alone.state()[name], beside.state()[name])
    assert torch.equal(seen[0].steps, seen[1].steps)
    for name in ("norm", "largest"):
        assert torch.equal(getattr(seen[1], name), getattr(seen[0], name))


@pytest.mark.parametrize("eta", [1.0, 2.1])
def test_cells_end_at_their_own_looks_and_take_no_step_after(eta):
    """Some of a group converge or, at too large a step, diverge, while others go on."""
    alone, beside = (block(way, 8, 1, 0, 29, eta=eta) for way in (False, True))
    intervals = [1, 2, 4, 8, 16, 32, 64, 128, 256]
    seen = [taken(one, intervals, 1e-2, 2.0) for one in (alone, beside)]
    assert len(set(seen[1].steps[:LANES].tolist())) > 1
    assert torch.equal(seen[0].steps, seen[1].steps)
    assert torch.equal(alone.displacement(), beside.displacement())
    assert torch.equal(seen[1].norm, seen[0].norm)


def test_a_neighbour_that_overflows_leaves_others_alone():
    wild, calm = block(True, 8, 1, 0, 8, eta=1.0), block(True, 8, 1, 0, 8, eta=1.0)
    wild.A[3] *= 1e9
    for one in (wild, calm):
        one.advance(100)
    others = [0, 1, 2, 4, 5, 6, 7]
    assert not bool(torch.isfinite(wild.displacement()[3]).all())
    assert torch.equal(wild.displacement()[others], calm.displacement()[others])


def test_what_is_faster_by_itself():
    assert [lanes.fit(14, 1, False, 99), lanes.fit(15, 1, False, 99), lanes.fit(20, 1, True, 99)] == [True, False, True]
    assert [lanes.fit(14, 3, False, 99), lanes.fit(14, 4, False, 99)] == [True, False]
    assert [lanes.fit(14, 1, False, 24), lanes.fit(14, 1, False, 23)] == [True, False]
