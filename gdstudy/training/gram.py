"""Explicit gradients of a readout on XᵀX or, when N < P, on XXᵀ with W = W₀ + Xᵀα: App. D's span argument as code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from gdstudy.linalg.metrics import norm
from gdstudy.linalg.threads import Pace
from gdstudy.training.compiled import CompiledBlock
from gdstudy.training.engine import Looked, Snapshot, readout_divergence
from gdstudy.training.fused import FusedBlock, fuses
from gdstudy.training.kernel import compiles

# Gram matrices of this many bytes stay in a core's own cache while many steps are taken on them; of four times as many
# a step takes up to four times as long.
CACHE_BYTES = 1 << 20
# PyTorch multiplies matrices of fewer numbers than this by a plain loop, in which whole rows of A are the faster order.
PLAIN_LOOP = 400
# Products of two numbers that machine code takes before anybody is told how far it is: about .1 s on two cores.
AT_ONCE = 1 << 30
# Intervals, each some 64th of t, after which cells that ended beside others make room at the latest, and steps that are
# too few for that.
_AHEAD, _SOON = 16, 256


class Block:
    """Cells whose Gram matrices share one padded size n, and so one batched product of PyTorch a step.

    A: (C, n, n) η times the Gram matrix; B: (C, k, n) η times the right-hand side; Z: (C, k, n) the unknown and, with
    momentum, V its last step, transposed: batched products of rows with A are the faster kernel on a CPU from n of
    about 20 on. Below, one output is taken as a column, and A is held transposed: the same sums in the same order, in
    two thirds of the time.
    """

    def __init__(
        self,
        cells: Tensor,
        gram: Tensor,
        right: Tensor,
        X: Tensor,
        eta: Tensor,
        momentum: float = 0.0,
        threads: int | None = None,
    ) -> None:
        """gram: (C, n, n), right: (C, n, k), of XXᵀ where X (C, n, P) is given, else X is (C, 0, P)."""
        self.momentum = momentum
        self.cells, self.eta, self.dual = cells, eta[:, None, None], X.shape[1] > 0
        self.X = X.contiguous()
        self.B = (self.eta * right).mT.contiguous()
        self.column = self.B.shape[1] == 1 and gram.shape[-1] ** 2 < PLAIN_LOOP
        self.A = self.eta * gram
        self.A = (self.A.mT if self.column else self.A).contiguous()
        self.Z = torch.zeros_like(self.B)
        self.V = torch.zeros_like(self.B) if momentum else self.B.new_zeros(len(self.B), 0, 0)
        self.pace = Pace(self.A.shape[-1] * max(self.A.shape[-1], self.B.shape[-2]), X.device, threads)

    def advance(self, n_steps: int) -> None:
        # Equal parts: no small cell is left alone, for which PyTorch has another kernel, with other digits.
        parts = max(1, min(len(self.A), -(-self.A.numel() * self.A.element_size() // CACHE_BYTES)))
        for A, B, Z, V in zip(*(M.tensor_split(parts) for M in (self.A, self.B, self.Z, self.V)), strict=True):
            B, left, right, Z = self._in_order(A, B, Z)
            step = partial(_roll, V.mT if self.column else V, self.momentum) if self.momentum else _step
            self.pace.repeat(partial(step, B, left, right, Z, torch.empty_like(Z)), n_steps, len(A))

    def _in_order(self, A: Tensor, B: Tensor, Z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """B, the two factors of ZA, and Z; all transposed where an output is a column."""
        return (B.mT, A, Z.mT, Z.mT) if self.column else (B, Z, A, Z)

    work = 0  # has no use for more looks at once
    beside = False  # no cell waits within them for others

    def through(
        self, intervals: Sequence[int], first: Tensor, largest: Tensor, tolerance: float, divergence: float
    ) -> Looked:
        """As `Engine.through`, to the first look."""
        self.advance(intervals[0])
        return Looked.of(intervals[0], self.gradient_norm(), largest)

    def gradient_norm(self) -> Tensor:
        """‖∇L‖: (C,); on a GPU in float64, as of smaller cells beside these (`fused.py`)."""
        found = norm(self.gradient().flatten(1))
        return found if found.device.type == "cpu" else found.to(torch.float64)

    def gradient(self) -> Tensor:
        """Xᵀ(XW − Y), transposed: (C, k, P)."""
        B, left, right, _ = self._in_order(self.A, self.B, self.Z)
        by_Z = torch.baddbmm(B, left, right, beta=-1)
        scaled = (by_Z.mT if self.column else by_Z) / self.eta
        return scaled @ self.X if self.dual else scaled

    def displacement(self, some: Tensor | slice = slice(None)) -> Tensor:
        """W − W₀ of all or some cells: (c, P, k)."""
        return (self.Z[some] @ self.X[some]).mT if self.dual else self.Z[some].mT

    def keep(self, mask: Tensor) -> None:
        if bool(mask.all()):
            return
        kept = mask.nonzero().squeeze(-1)
        for name in ("cells", "X", "eta", "A", "B", "Z", "V"):
            setattr(self, name, getattr(self, name)[kept])

    def state(self) -> dict[str, Tensor]:
        """What steps have changed: Z and V, (C, k, n)."""
        return {"Z": self.Z, "V": self.V}


def taken(values: Tensor, cells: Tensor) -> Tensor:
    """values[cells], for increasing cells (c,); where they are neighbours, without a copy."""
    first, last = int(cells[0]), int(cells[-1])
    return values[first : last + 1] if last - first < len(cells) else values[cells]


def _moved(block: Block | CompiledBlock | FusedBlock, some: Tensor) -> Tensor:
    """W − W₀ of some of its cells, a mask."""
    if bool(some.all()):
        return block.displacement()
    cells = some.nonzero().squeeze(-1)
    # Twice what is alone: PyTorch has another kernel for a product of one matrix, with other digits.
    return block.displacement(cells.repeat(2))[:1] if len(cells) == 1 else block.displacement(cells)


def _step(B: Tensor, left: Tensor, right: Tensor, Z: Tensor, gradient: Tensor) -> None:
    torch.baddbmm(B, left, right, beta=-1, out=gradient)
    Z.sub_(gradient)


def _roll(V: Tensor, momentum: float, B: Tensor, left: Tensor, right: Tensor, Z: Tensor, gradient: Tensor) -> None:
    torch.baddbmm(B, left, right, beta=-1, out=gradient)
    V.mul_(momentum).add_(gradient)
    Z.sub_(V)


class Gram:
    """Explicit gradients on the smaller Gram matrix of each cell; exact zero rows of X cost nothing.

    X: (C, N, P), Y: (C, N, k), W0: (C, P, k), step_size: (C,), n_rows: (C,) rows that are not padding.
    threads: a fixed number of them. momentum: β of the heavy ball.
    """

    looks = 64

    def __init__(
        self,
        X: Tensor,
        Y: Tensor,
        W0: Tensor,
        step_size: Tensor,
        n_rows: Tensor,
        threads: int | None = None,
        momentum: float = 0.0,
    ) -> None:
        self.divergence = readout_divergence(momentum)
        n, P = X.shape[-2:]
        self.W0 = W0
        residual = Y - X @ W0 if bool(W0.any()) else Y
        # Sizes in steps of 8: few products a step, little padding, and a size that depends on the cell alone.
        padded = torch.where(n_rows >= P, 0, ((n_rows + 7) // 8 * 8).clamp(max=n))
        otherwise = CompiledBlock if compiles(X.device.type, n, P, Y.shape[-1]) else Block
        self.blocks: list[Block | CompiledBlock | FusedBlock] = []
        for size in padded.unique().tolist():
            cells = (padded == size).nonzero().squeeze(-1)
            x, r = (taken(values, cells)[:, : size or n] for values in (X, residual))
            problem = (x @ x.mT, r, x) if size else (x.mT @ x, x.mT @ r, x[:, :0])
            kind = FusedBlock if fuses(X.device, problem[0].shape[-1], Y.shape[-1]) else otherwise
            self.blocks.append(kind(cells, *problem, step_size[cells], momentum, threads))
        self.cells = torch.cat([block.cells for block in self.blocks])
        self.pace = Pace(max(n, P) * max(P, Y.shape[-1]), X.device, threads)

    def through(self, intervals: Sequence[int], first: Tensor, largest: Tensor, tolerance: float) -> Looked:
        works = [block.work for block in self.blocks]
        most = AT_ONCE // sum(works) if all(works) else 0
        if any(block.beside for block in self.blocks):
            most = min(most, max(_SOON, _AHEAD * intervals[0]))
        at_once = max(1, sum(steps <= most for steps in accumulate(intervals)))
        sizes = [len(block.cells) for block in self.blocks]
        bounds = zip(first.split(sizes), largest.split(sizes), strict=True)
        return Looked.together(
            [
                block.through(intervals[:at_once], its_first, its_largest, tolerance, self.divergence)
                for block, (its_first, its_largest) in zip(self.blocks, bounds, strict=True)
            ]
        )

    def advance(self, n_steps: int) -> None:
        for block in self.blocks:
            block.advance(n_steps)

    def gradient_norm(self) -> Tensor:
        return torch.cat([block.gradient_norm() for block in self.blocks])

    def solution(self, some: Tensor | None = None) -> Tensor:
        some = torch.ones_like(self.cells, dtype=torch.bool) if some is None else some
        parts = some.split([len(block.cells) for block in self.blocks])
        moved = (_moved(block, part) for block, part in zip(self.blocks, parts, strict=True))
        return self.W0[self.cells[some]] + torch.cat(list(moved))

    def keep(self, mask: Tensor) -> None:
        for block, part in zip(self.blocks, mask.split([len(b.cells) for b in self.blocks]), strict=True):
            block.keep(part)
        self.blocks = [b for b in self.blocks if len(b.cells)] or self.blocks[:1]
        self.cells = self.cells[mask]

    def snapshot(self) -> Snapshot:
        states = [block.state() for block in self.blocks]
        return {name: [state[name] for state in states] for name in ("Z", "V")}

    def restore(self, cells: Tensor, saved: Mapping[str, Any]) -> None:
        self.keep(torch.isin(self.cells, cells))
        if not len(cells):
            return
        for block, Z, V in zip(self.blocks, saved["Z"], saved["V"], strict=True):
            state = block.state()
            state["Z"].copy_(Z)
            state["V"].copy_(V)

    def is_minimum(self) -> Tensor:
        # The loss is convex in W: a zero gradient is a minimum.
        return torch.ones_like(self.cells, dtype=torch.bool)

    def rests(self) -> Tensor:
        return torch.ones_like(self.cells, dtype=torch.bool)

    def rising(self) -> Tensor:
        # Where its loss rises its gradient grows, which shows first.
        return torch.zeros_like(self.cells, dtype=torch.bool)
