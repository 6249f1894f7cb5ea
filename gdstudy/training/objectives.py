"""Losses of stacks of cells and their gradients: by autograd for any module, by hand where that is faster.

Every objective is Σ_c weight_c · ½‖f_c(X_c) − Y_c‖²_F. Under plain gradient descent with learning rate 1, weight_c is
the step size η_c of cell c; a loss that is a mean over its N_c rows has 2/N_c in its weight.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gdstudy.linalg.units import exponent, times_power_of_two
from gdstudy.training.modules import Bottleneck, ReLUAutoencoder

# Powers of two whose squares float64 holds.
_SQUARABLE = 400
# Rows are taken so many numbers at a time: a stack's residuals stay in cache, a large cell's in memory.
CPU_CHUNK, GPU_CHUNK = 1 << 18, 1 << 28


class Objective(Protocol):
    """parameters: what is trained, each (C, …). weight: (C,). monotone: stable gradient descent never raises it.

    cell: numbers that a step goes through for one cell.
    losses: ½‖f(X) − Y‖²_F of each cell, (C,), in units of its own where its squares would leave the dtype.
    energy: ½‖Y‖²_F, the loss of an output of zero, in the same units.
    backward: the gradients of Σ weight·½‖f(X) − Y‖²_F into parameters' `.grad`.
    keep: the data of the given cells only; the parameters have been cut already.
    """

    parameters: list[Tensor]
    weight: Tensor
    monotone: bool
    cell: int

    def losses(self) -> Tensor: ...
    def energy(self) -> Tensor: ...
    def backward(self) -> None: ...
    def keep(self, mask: Tensor) -> None: ...


@runtime_checkable
class Descends(Protocol):
    """An objective that takes steps of plain descent by itself, many at once."""

    def descend(self, n_steps: int) -> None: ...


class Autograd:
    """Any stacked module and `backward`: what the gradients written by hand are held to.

    module: maps X (C, N, P) to (C, N, k); every parameter has the leading axis C. It lends its forward pass: what is
    trained are copies of its parameters, of the cells that are still running. n_rows: (C,) rows that are not
    padding, where zero rows of X and Y would add to the loss (a module with a bias); default all.
    """

    def __init__(self, module: nn.Module, X: Tensor, Y: Tensor, weight: Tensor, n_rows: Tensor | None = None) -> None:
        self.module, self.X, self.Y, self.weight = module, X, Y, weight
        self.present = None if n_rows is None else _present(X, n_rows)
        named = dict(module.named_parameters())
        self.names = list(named)
        self.parameters = [p.detach().clone().requires_grad_(p.requires_grad) for p in named.values()]
        self.monotone = isinstance(module, Bottleneck)
        self.cell = max(X[0].numel(), Y[0].numel(), *(p[0].numel() for p in self.parameters))
        with torch.no_grad():
            unit = exponent(self._residual())[:, None, None]
        self.unit = torch.where(unit.abs() > _SQUARABLE, unit, 0)

    def _residual(self) -> Tensor:
        predicted = functional_call(self.module, dict(zip(self.names, self.parameters, strict=True)), (self.X,))
        residual = predicted - self.Y
        return residual if self.present is None else residual * self.present

    @torch.no_grad()
    def losses(self) -> Tensor:
        return self._half_square(self._residual())

    def energy(self) -> Tensor:
        return self._half_square(self.Y)

    def _half_square(self, values: Tensor) -> Tensor:
        # Where squares would over- or underflow, in units of the first residuals.
        return 0.5 * times_power_of_two(values.to(torch.float64), -self.unit).square().sum((1, 2))

    def backward(self) -> None:
        for p in self.parameters:
            p.grad = None
        with torch.enable_grad():
            (self.weight * 0.5 * self._residual().square().sum((1, 2))).sum().backward()

    def keep(self, mask: Tensor) -> None:
        self.X, self.Y, self.weight, self.unit = (a[mask] for a in (self.X, self.Y, self.weight, self.unit))
        self.present = None if self.present is None else self.present[mask]


def _present(X: Tensor, n_rows: Tensor) -> Tensor:
    """1 for rows, 0 for padding: (C, N, 1)."""
    return (torch.arange(X.shape[1], device=X.device) < n_rows[:, None]).to(X.dtype).unsqueeze(-1)


class BottleneckByHand:
    """½‖XAB − Y‖²_F on S = XᵀX and G = XᵀY: ∇_A = SA·BBᵀ − GBᵀ, ∇_B = AᵀSA·B − AᵀG, whatever the number of rows."""

    monotone = True

    def __init__(self, module: Bottleneck, X: Tensor, Y: Tensor, weight: Tensor) -> None:
        self.S, self.G, self.weight = X.mT @ X, X.mT @ Y, weight
        self.squares = Y.square().sum((1, 2))
        self.parameters: list[Tensor] = [module.encoder, module.decoder]
        self.cell = self.S[0].numel()

    @torch.no_grad()
    def losses(self) -> Tensor:
        A, B = self.parameters
        fit = (A * (self.G @ B.mT)).sum((1, 2))
        return 0.5 * self.squares - fit + 0.5 * ((A.mT @ (self.S @ A)) * (B @ B.mT)).sum((1, 2))

    def energy(self) -> Tensor:
        return 0.5 * self.squares

    @torch.no_grad()
    def backward(self) -> None:
        A, B = self.parameters
        SA, scale = self.S @ A, self.weight[:, None, None]
        A.grad = torch.baddbmm(self.G @ B.mT, SA, B @ B.mT, beta=-1).mul_(scale)
        B.grad = torch.baddbmm(A.mT @ self.G, A.mT @ SA, B, beta=-1).mul_(scale)

    def keep(self, mask: Tensor) -> None:
        self.S, self.G, self.weight, self.squares = (a[mask] for a in (self.S, self.G, self.weight, self.squares))


class ReLUByHand:
    """½‖ReLU(XWᵀW + b) − X‖²_F. With H = XWᵀ and the residual R where the unit is on (else 0):

        ∇_W = HᵀR + (RWᵀ)ᵀX,    ∇_b = Σ over rows of R.

    X: (C, N, n), rows beyond n_rows (C,) are padding. Rows are taken in chunks, so that only X has to fit in memory.
    """

    monotone = False

    def __init__(self, module: ReLUAutoencoder, X: Tensor, weight: Tensor, n_rows: Tensor) -> None:
        self.X, self.weight = X, weight
        self.present = None if bool((n_rows == X.shape[1]).all()) else _present(X, n_rows)
        self.parameters: list[Tensor] = [module.weight, module.bias]
        self.cell = max(X[0].numel(), module.weight[0].numel())

    def _chunks(self) -> list[slice]:
        C, N, n = self.X.shape
        size = max(1, (CPU_CHUNK if self.X.device.type == "cpu" else GPU_CHUNK) // max(1, C * n))
        return [slice(first, first + size) for first in range(0, N, size)]

    def _residual(self, X: Tensor, rows: slice) -> Tensor:
        """ReLU(XWᵀW + b) − X without padding, of a chunk."""
        W, b = self.parameters
        return self._of_rows(torch.baddbmm(b.unsqueeze(1), X @ W.mT, W).clamp_(min=0).sub_(X), rows)

    def _of_rows(self, R: Tensor, rows: slice) -> Tensor:
        return R if self.present is None else R.mul_(self.present[:, rows])

    @torch.no_grad()
    def losses(self) -> Tensor:
        parts = [self._residual(X, rows).square_().sum((1, 2)) for X, rows in self._each()]
        return 0.5 * torch.stack(parts).sum(0)

    def energy(self) -> Tensor:
        return 0.5 * self.X.flatten(1).norm(dim=1).square()

    def _each(self) -> list[tuple[Tensor, slice]]:
        return [(self.X[:, rows], rows) for rows in self._chunks()]

    @torch.no_grad()
    def backward(self) -> None:
        W, b = self.parameters
        scale = self.weight[:, None]
        W.grad, b.grad = torch.zeros_like(W), torch.zeros_like(b)
        for X, rows in self._each():
            H = X @ W.mT
            Z = torch.baddbmm(b.unsqueeze(1), H, W)
            R = self._of_rows(Z - X, rows)  # where the unit is on, ReLU(Z) is Z
            R = torch.ops.aten.threshold_backward(R, Z, 0)  # one pass over memory: R where Z > 0, else 0
            W.grad.baddbmm_(H.mT, R).baddbmm_((R @ W.mT).mT, X)
            b.grad += R.sum(1)
        W.grad.mul_(scale.unsqueeze(-1))
        b.grad.mul_(scale)

    def keep(self, mask: Tensor) -> None:
        self.X, self.weight = self.X[mask], self.weight[mask]
        self.present = None if self.present is None else self.present[mask]
