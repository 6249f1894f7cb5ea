"""Explicit gradients of a readout on XᵀX or, when N < P, on XXᵀ with W = W₀ + Xᵀα: App. D's span argument as code."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from gdstudy.linalg.metrics import norm
from gdstudy.linalg.threads import Pace
from gdstudy.training.engine import readout_divergence

# A Gram block this large still stays in cache while many steps are taken on it.
CACHE_BYTES = 4 << 20


class _Block:
    """Cells whose Gram matrices share one padded size n, and so one batched product a step.

    A: (C, n, n) η times the Gram matrix; B: (C, k, n) η times the right-hand side; Z: (C, k, n) the unknown and, with
    momentum, V its last step, transposed: batched products of rows with A are the faster kernel on a CPU from n of
    about 20 on.
    """

    def __init__(
        self,
        cells: Tensor,
        X: Tensor,
        residual: Tensor,
        eta: Tensor,
        dual: bool,
        threads: int | None = None,
        momentum: float = 0.0,
    ) -> None:
        self.momentum = momentum
        self.cells, self.X, self.eta, self.dual = cells, X, eta[:, None, None], dual
        gram, right = (X @ X.mT, residual) if dual else (X.mT @ X, X.mT @ residual)
        self.A = (self.eta * gram).contiguous()
        self.B = (self.eta * right).mT.contiguous()
        self.Z = torch.zeros_like(self.B)
        self.V = torch.zeros_like(self.B) if momentum else self.B.new_zeros(len(self.B), 0, 0)
        self.pace = Pace(self.A.shape[-1] * max(self.A.shape[-1], self.B.shape[-2]), X.device, threads)

    def advance(self, n_steps: int) -> None:
        cells_per_chunk = max(1, CACHE_BYTES // (self.A.element_size() * self.A.shape[-1] ** 2))
        for A, B, Z, V in zip(*(M.split(cells_per_chunk) for M in (self.A, self.B, self.Z, self.V)), strict=True):
            step = partial(self._roll, V, self.momentum) if self.momentum else self._step
            self.pace.repeat(partial(step, A, B, Z, torch.empty_like(Z)), n_steps, len(A))

    @staticmethod
    def _step(A: Tensor, B: Tensor, Z: Tensor, gradient: Tensor) -> None:
        torch.baddbmm(B, Z, A, beta=-1, out=gradient)
        Z.sub_(gradient)

    @staticmethod
    def _roll(V: Tensor, momentum: float, A: Tensor, B: Tensor, Z: Tensor, gradient: Tensor) -> None:
        torch.baddbmm(B, Z, A, beta=-1, out=gradient)
        V.mul_(momentum).add_(gradient)
        Z.sub_(V)

    def gradient(self) -> Tensor:
        """Xᵀ(XW − Y), transposed: (C, k, P)."""
        scaled = torch.baddbmm(self.B, self.Z, self.A, beta=-1) / self.eta
        return scaled @ self.X if self.dual else scaled

    def displacement(self) -> Tensor:
        """W − W₀: (C, P, k)."""
        return (self.Z @ self.X).mT if self.dual else self.Z.mT

    def keep(self, mask: Tensor) -> None:
        for name in ("cells", "X", "eta", "A", "B", "Z", "V"):
            setattr(self, name, getattr(self, name)[mask])


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
        residual = Y - X @ W0
        # Sizes in steps of 8: few products a step, little padding, and a size that depends on the cell alone.
        padded = torch.where(n_rows >= P, 0, ((n_rows + 7) // 8 * 8).clamp(max=n))
        self.blocks = []
        for size in padded.unique().tolist():
            cells = (padded == size).nonzero().squeeze(-1)
            rows = slice(None) if size == 0 else slice(size)
            block = _Block(cells, X[cells, rows], residual[cells, rows], step_size[cells], size > 0, threads, momentum)
            self.blocks.append(block)
        self.pace = Pace(max(n, P) * max(P, Y.shape[-1]), X.device, threads)

    @property
    def cells(self) -> Tensor:
        return torch.cat([block.cells for block in self.blocks])

    def advance(self, n_steps: int) -> None:
        for block in self.blocks:
            block.advance(n_steps)

    def gradient_norm(self) -> Tensor:
        return torch.cat([norm(block.gradient().flatten(1)) for block in self.blocks])

    def solution(self) -> Tensor:
        return torch.cat([self.W0[block.cells] + block.displacement() for block in self.blocks])

    def keep(self, mask: Tensor) -> None:
        for block, part in zip(self.blocks, mask.split([len(b.cells) for b in self.blocks]), strict=True):
            block.keep(part)
        self.blocks = [b for b in self.blocks if len(b.cells)] or self.blocks[:1]

    def is_minimum(self) -> Tensor:
        # The loss is convex in W: a zero gradient is a minimum.
        return torch.ones(len(self.cells), dtype=torch.bool, device=self.W0.device)

    def rising(self) -> Tensor:
        # Where its loss rises its gradient grows, which shows first.
        return torch.zeros(len(self.cells), dtype=torch.bool, device=self.W0.device)
