"""Cells whose Gram matrices share one size, each taken through all its steps by machine code (`kernel.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from gdstudy.linalg.threads import all_threads, share
from gdstudy.linalg.units import exponent, times_power_of_two
from gdstudy.training import lanes
from gdstudy.training.engine import Looked
from gdstudy.training.kernel import kernel
from gdstudy.training.lanes import Blocking
from gdstudy.training.llvm import LANES
from gdstudy.training.tiles import Tiling
from gdstudy.training.triangles import Triangle


class CompiledBlock:
    """As `gram.Block`. A, Z, B, V: (C, k, width) and X are held as a `Kernel` takes them.

    scale: (C, 2) as `norm_scale` says.
    """

    def __init__(
        self, cells: Tensor, gram: Tensor, right: Tensor, X: Tensor, eta: Tensor, momentum: float, threads: int | None
    ) -> None:
        self.cells, self.momentum, self.threads = cells, momentum, threads or all_threads()
        self.dual = X.shape[1] > 0
        self.k, self.n, self.P = right.shape[-1], gram.shape[-1], X.shape[-1]
        single = gram.dtype == torch.float32
        beside = lanes.fit(self.n, self.k, single, len(cells))
        self.kernel = kernel(self.n, self.k, self.P if self.dual else 0, single, momentum > 0, beside)
        tiling, features = self.kernel.gram, self.kernel.features
        self.A = pack_half(tiling, gram, eta) if isinstance(tiling, Triangle) else pack(tiling, gram, eta)
        B = (eta[:, None, None] * right).mT
        self.B = pad(B, (0, tiling.width - self.n, 0, tiling.k - self.k)).contiguous()
        self.X = X if features is None else pack(features, X)
        self.Z, self.V = torch.zeros_like(self.B), torch.zeros_like(self.B[:, :, : tiling.width if momentum else 0])
        self.scale = norm_scale(B, eta)

    @property
    def beside(self) -> bool:
        """Whether cells are taken side by side, so that one that is done waits for others."""
        return self.kernel.beside > 1

    @property
    def work(self) -> int:
        """Products of two numbers in a step of all cells."""
        tiling = self.kernel.gram
        return len(self.cells) * tiling.depth * tiling.width * tiling.k

    def through(
        self, intervals: Sequence[int], first: Tensor, largest: Tensor, tolerance: float, divergence: float
    ) -> Looked:
        """Steps with a look after each of the intervals; a cell that is done takes no more."""
        looks, largest = torch.tensor(intervals), largest.to(torch.float64, copy=True)
        taken, norm = torch.zeros_like(self.cells), torch.empty_like(largest)
        bounds = torch.tensor([tolerance, divergence, self.momentum], dtype=torch.float64)
        first, beside = first.to(torch.float64), self.kernel.beside

        def descend(begin: int, end: int) -> None:
            begin, end = begin * beside, min(end * beside, len(self.cells))
            G = self.B.new_empty(self.kernel.scratch)
            arrays = (self.A, self.B, self.Z, self.V, self.X, G, first, largest, norm, self.scale, bounds, looks, taken)
            self.kernel.run(*(array.data_ptr() for array in arrays), len(looks), begin, end)

        share(descend, -(-len(self.cells) // beside), self.threads, self.work * int(looks.sum()))
        return Looked(len(looks), looks.cumsum(0)[taken - 1], norm, largest)

    def advance(self, n_steps: int) -> None:
        to_look(self, n_steps)

    def gradient_norm(self) -> Tensor:
        """‖∇L‖: (C,) float64."""
        return to_look(self, 0).norm

    def displacement(self, some: Tensor | slice = slice(None)) -> Tensor:
        """W − W₀ of all or some cells: (c, P, k)."""
        Z = self.Z[some, : self.k, : self.n]
        features = self.kernel.features
        return Z.mT if features is None else (Z @ unpack(features, self.X[some], self.n, self.P)).mT

    def keep(self, mask: Tensor) -> None:
        if not bool(mask.all()):
            for name in ("cells", "A", "B", "Z", "V", "X", "scale"):
                setattr(self, name, getattr(self, name)[mask])

    def state(self) -> dict[str, Tensor]:
        """What steps have changed: Z and V, (C, k, n)."""
        return {name: getattr(self, name)[:, : self.k, : self.n] for name in ("Z", "V")}


class _Through(Protocol):
    cells: Tensor

    def through(
        self, intervals: Sequence[int], first: Tensor, largest: Tensor, tolerance: float, divergence: float
    ) -> Looked: ...


def to_look(block: _Through, n_steps: int) -> Looked:
    """Cells after so many steps, whatever a look shows."""
    first = torch.full(block.cells.shape, torch.inf, dtype=torch.float64, device=block.cells.device)
    return block.through([n_steps], first, torch.zeros_like(first), 0.0, 1.0)


def norm_scale(B: Tensor, eta: Tensor) -> Tensor:
    """A power of two that leaves ‖ZA − B‖² in float64's range, and what then makes the norm ‖∇L‖: (C, 2) float64."""
    unit = -exponent(B)
    one = torch.ones_like(unit, dtype=torch.float64)
    return torch.stack([times_power_of_two(one, unit), times_power_of_two(one / eta, -unit)], 1)


def pack(tiling: Tiling | Blocking, M: Tensor, factor: Tensor | None = None) -> Tensor:
    """Matrices (C, n, P), each times its factor (C,), as a product goes through them: (C, numbers), padded with
    zeros."""
    packed = M.new_zeros(len(M), tiling.numbers)
    begin = 0
    for place in _by_tiles(tiling, packed):
        columns = M[:, :, begin : begin + place.shape[2]]
        begin += place.shape[2]
        there = place[:, : M.shape[1], : columns.shape[2]]
        there.copy_(columns) if factor is None else torch.mul(columns, factor[:, None, None], out=there)
    return packed


def _by_tiles(tiling: Tiling | Blocking, packed: Tensor) -> list[Tensor]:
    """The tiles of matrices that are packed, (C, depth, rows) each."""
    parts = packed.split([tiling.depth * rows for rows in tiling.tiles], 1)
    return [part.view(len(packed), tiling.depth, rows) for part, rows in zip(parts, tiling.tiles, strict=True)]


def pack_half(half: Triangle, M: Tensor, factor: Tensor) -> Tensor:
    """Symmetric matrices (C, n, n), each times its factor (C,), as `triangles.product` goes through them:
    (C, numbers)."""
    packed, begin, strips = M.new_zeros(len(M), half.numbers), 0, LANES // half.strip
    for row in range(0, half.width, LANES):
        numbers = M[:, row : row + LANES, row:] * factor[:, None, None]
        rows = M.new_zeros(len(M), LANES, half.width - row)
        rows[:, : numbers.shape[1], : numbers.shape[2]] = numbers
        blocks = rows.view(len(M), strips, half.strip, -1, LANES).transpose(2, 3)
        end = begin + blocks[0].numel()
        packed[:, begin:end].view(blocks.shape).copy_(blocks)
        begin = end
    return packed


def unpack(tiling: Tiling | Blocking, M: Tensor, n: int, P: int) -> Tensor:
    """The matrices (C, n, P) that were packed."""
    return torch.cat(_by_tiles(tiling, M), 2)[:, :n, :P]
