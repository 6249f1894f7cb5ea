"""Machine code for cells: the same digits whatever the registers, norms of any size, and what it is not for."""

import numpy as np
import pytest
import torch

from gdstudy.training import compiled
from gdstudy.training.compiled import CompiledBlock
from gdstudy.training.kernel import available, compiles, kernel


def block(n, k, P=0, dtype=torch.float64, momentum=0.0, size=1.0):
    """Three cells on XXᵀ of n rows and P features or, without, on XᵀX of n features."""
    random = torch.Generator().manual_seed(n + 100 * k)
    rows = torch.randn(3, n, P or n + 3, generator=random, dtype=torch.float64)
    gram, right = rows @ rows.mT, size * torch.randn(3, n, k, generator=random, dtype=torch.float64)
    eta = 1 / torch.linalg.eigvalsh(gram)[:, -1]
    X = rows if P else rows[:, :0]
    return CompiledBlock(torch.arange(3), gram.to(dtype), right.to(dtype), X.to(dtype), eta.to(dtype), momentum, 1)


@pytest.mark.parametrize(
    ("n", "k", "P"), [(1, 1, 0), (8, 1, 20), (20, 1, 0), (13, 2, 17), (20, 10, 0), (70, 7, 80), (70, 1, 80), (93, 1, 0)]
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_no_digit_depends_on_how_many_sums_the_registers_hold(n, k, P, dtype, monkeypatch):
    found, norms = [], {}
    for registers in ((1, 8), (3, 8), (3, 4), (6, 8), (6, 4), (24, 8)):  # how many vectors of LANES, and a register's
        monkeypatch.setattr(compiled, "kernel", lambda *asked, registers=registers: kernel(*asked, *registers))
        cells = block(n, k, P, dtype, momentum=0.5)
        cells.advance(7)
        found.append((cells.displacement(), *cells.state().values()))
        norm = cells.gradient_norm()
        assert torch.equal(norms.setdefault(registers[0], norm), norm)  # nor of a norm, on how many numbers one holds
    for others in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], others, strict=True))


@pytest.mark.parametrize("size", [1e-250, 1.0, 1e250])
def test_gradient_norms_whose_squares_leave_float64(size):
    cells, ordinary = block(8, 2, P=11, size=size), block(8, 2, P=11)
    torch.testing.assert_close(cells.gradient_norm(), size * ordinary.gradient_norm(), rtol=1e-14, atol=0)
    assert not bool((ordinary.gradient_norm() == 0).any())


def test_what_is_not_for_machine_code(monkeypatch):
    small, large = ("cpu", 100, 20), ("cpu", 1000, 500)
    assert available()
    assert [compiles(*small, 784), compiles(*large, 40), compiles(*large, 784)] == [True, True, False]
    assert not compiles("cuda", 100, 20, 1)
    monkeypatch.setenv("GDSTUDY_FAST", "0")
    assert not compiles(*small, 1)


def test_a_llvmlite_that_cannot_be_imported_is_none(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "llvmlite.binding", None)
    assert not available()


def test_steps_and_norms_are_those_of_numpy():
    cells = block(13, 3, P=17, momentum=0.5)
    A, B = (np.asarray(v) for v in (compiled.unpack(cells.kernel.gram, cells.A, 13, 13), cells.B[:, :3, :13]))
    X = np.asarray(compiled.unpack(cells.kernel.features, cells.X, 13, 17))
    Z, V = np.zeros_like(B), np.zeros_like(B)
    for _ in range(9):
        V = 0.5 * V + (Z @ A - B)
        Z = Z - V
    cells.advance(9)
    np.testing.assert_allclose(cells.displacement().mT, Z @ X, rtol=1e-13, atol=1e-15)
    eta = (cells.scale[:, 0] * cells.scale[:, 1]).reciprocal().numpy()
    norms = np.linalg.norm(((Z @ A - B) @ X).reshape(3, -1), axis=1) / eta
    np.testing.assert_allclose(cells.gradient_norm(), norms, rtol=1e-12)
