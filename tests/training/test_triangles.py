"""Half of a symmetric matrix is all of it, and descent on halves is descent on whole Gram matrices."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gdstudy.training import compiled, kernel, triangles
from gdstudy.training.compiled import CompiledBlock, pack_half
from gdstudy.training.llvm import LANES
from gdstudy.training.triangles import Triangle


def place(half, row, column):
    """Where row ≤ column's number lies in a matrix that is held as a half of it, as the docstring of it says."""
    block, lane = divmod(row, LANES)
    strip, i = divmod(lane, half.strip)
    left = half.blocks - block
    before = sum(half.blocks - b for b in range(block)) * LANES**2 + strip * left * half.strip * LANES
    beyond, j = divmod(column - block * LANES, LANES)
    return before + (beyond * half.strip + i) * LANES + j


@given(n=st.integers(1, 40), sums=st.sampled_from([1, 2, 6, 7, 24]), data=st.data())
def test_numbers_lie_where_the_product_looks_for_them(n, sums, data):
    half, M = Triangle.of(n, sums), torch.arange(2.0 * n * n).reshape(2, n, n) + 1
    packed = pack_half(half, M, torch.tensor([1.0, 0.5]))
    assert packed.shape == (2, half.numbers)
    assert half.strip <= sums
    row = data.draw(st.integers(0, n - 1))
    column = data.draw(st.integers(row // LANES * LANES, n - 1))  # the diagonal's blocks are whole
    assert packed[0, place(half, row, column)] == M[0, row, column]
    assert packed[1, place(half, row, column)] == M[1, row, column] / 2
    held = sum(min(LANES, n - begin) * (n - begin) for begin in range(0, n, LANES))
    assert int((packed != 0).sum()) == 2 * held  # and the rest is zero


def test_the_other_half_is_never_read():
    M = torch.ones(1, 21, 21)
    M[0, 8:, :8] = M[0, 16:, 8:16] = torch.nan
    assert not bool(pack_half(Triangle.of(21, 24), M, torch.ones(1)).isnan().any())
    assert bool(pack_half(Triangle.of(21, 24), M.mT, torch.ones(1)).isnan().any())


def block(half, n, P, dtype=torch.float64, momentum=0.0, cells=3):
    """Cells on XXᵀ of n rows and P features or, without, on XᵀX of n features, by halves of it or by tiles."""
    random = torch.Generator().manual_seed(n)
    rows = torch.randn(cells, n, P or n + 3, generator=random, dtype=torch.float64)
    gram, right = rows @ rows.mT, torch.randn(cells, n, 1, generator=random, dtype=torch.float64)
    given = (gram, right, rows if P else rows[:, :0], 1 / torch.linalg.eigvalsh(gram)[:, -1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triangles, "fit", lambda *_: half)
        kernel.kernel.cache_clear()
        one = CompiledBlock(torch.arange(cells), *(values.to(dtype) for values in given), momentum, 1)
    kernel.kernel.cache_clear()
    assert isinstance(one.kernel.gram, Triangle) == half
    return one


@pytest.mark.parametrize(("n", "P"), [(1, 0), (7, 9), (8, 0), (9, 30), (65, 0), (100, 101)])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float64, 1e-14), (torch.float32, 1e-5)])
def test_steps_and_looks_are_those_by_whole_matrices(n, P, momentum, dtype, rounding):
    halves, whole = (block(half, n, P, dtype, momentum) for half in (True, False))
    rounding_of_norms = rounding * float(whole.gradient_norm().max())
    for n_steps in (0, 1, 40):
        looks = [compiled.to_look(one, n_steps) for one in (halves, whole)]
        torch.testing.assert_close(looks[0].norm, looks[1].norm, rtol=0, atol=rounding_of_norms)
    scale = float(whole.displacement().abs().max())
    assert scale > 0
    torch.testing.assert_close(halves.displacement(), whole.displacement(), rtol=0, atol=rounding * scale)


def test_halves_are_for_one_output_of_matrices_beyond_the_first_cache():
    sizes = [(63, 1, False), (64, 1, False), (90, 1, True), (91, 1, True), (64, 2, False)]
    assert [triangles.fit(*size) for size in sizes] == [False, True, False, True, False]
    gram = kernel.kernel(72, 1, 0, False, False).gram
    assert isinstance(gram, Triangle)
    assert gram.numbers < 72 * 72 * 0.6
