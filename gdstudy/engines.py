"""What takes the steps: cells in training, each taking the same number of steps at a time.

`Gram` writes the gradient of a readout out on XᵀX or, when N < P, on XXᵀ with W = W₀ + Xᵀα: the span argument of the
paper's App. D made code. `Optimised` gives the gradients of any `Objective` to any optimizer of torch.optim.
"""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from gdstudy.metrics import norm
from gdstudy.objectives import Objective
from gdstudy.threads import Pace

# What proves divergence: of a readout, growth of the gradient norm over its start, which never grows below the stable
# limit. A deep model's gradient grows without bound when it leaves a saddle; there growth of the loss tells.
READOUT_DIVERGENCE, LOSS_DIVERGENCE = 2.0, 1e8
# A Gram block this large still stays in cache while many steps are taken on it.
CACHE_BYTES = 4 << 20
# Of an optimizer's arguments these are not the user's: how it is called, and how it is computed.
_OURS = ("params", "lr", "fused", "foreach", "capturable", "differentiable")
# These of torch.optim do to a number what depends on others, or take no dense gradient.
_COUPLING = {"optimizer", "lbfgs", "adafactor", "muon", "sparseadam"}
# So many steps above its best loss, and as many as it took to get there, and a descent is not on its way down.
PATIENCE = 1000
# Directions tried before a point with zero gradient is called a minimum.
NUDGES = 32


class Engine(Protocol):
    """Cells in training.

    divergence: growth of the gradient norm that proves it. looks: `descend` looks each time t has grown by this part.
    pace: on how many threads it works.
    gradient_norm: (C,) ‖∇L‖ of the running cells, each in a unit of its own that does not change. is_minimum: (C,)
    meaningful where it is 0. rising: (C,) the loss is out of bounds, or has long been above its best where a stable
    step size brings it down in the end.
    """

    divergence: float
    looks: int
    pace: Pace

    @property
    def cells(self) -> Tensor: ...

    def advance(self, n_steps: int) -> None: ...
    def gradient_norm(self) -> Tensor: ...
    def solution(self) -> Tensor: ...
    def keep(self, mask: Tensor) -> None: ...
    def is_minimum(self) -> Tensor: ...
    def rising(self) -> Tensor: ...


class _Block:
    """Cells whose Gram matrices share one padded size n, and so one batched product a step.

    A: (C, n, n) η times the Gram matrix; B: (C, k, n) η times the right-hand side; Z: (C, k, n) the unknown,
    transposed: batched products of rows with A are the faster kernel on a CPU from n of about 20 on.
    """

    def __init__(
        self, cells: Tensor, X: Tensor, residual: Tensor, eta: Tensor, dual: bool, threads: int | None = None
    ) -> None:
        self.cells, self.X, self.eta, self.dual = cells, X, eta[:, None, None], dual
        gram, right = (X @ X.mT, residual) if dual else (X.mT @ X, X.mT @ residual)
        self.A = (self.eta * gram).contiguous()
        self.B = (self.eta * right).mT.contiguous()
        self.Z = torch.zeros_like(self.B)
        self.pace = Pace(self.A.shape[-1] * max(self.A.shape[-1], self.B.shape[-2]), X.device, threads)

    def advance(self, n_steps: int) -> None:
        cells_per_chunk = max(1, CACHE_BYTES // (self.A.element_size() * self.A.shape[-1] ** 2))
        for A, B, Z in zip(*(M.split(cells_per_chunk) for M in (self.A, self.B, self.Z)), strict=True):
            self.pace.repeat(partial(self._step, A, B, Z, torch.empty_like(Z)), n_steps, len(A))

    @staticmethod
    def _step(A: Tensor, B: Tensor, Z: Tensor, gradient: Tensor) -> None:
        torch.baddbmm(B, Z, A, beta=-1, out=gradient)
        Z.sub_(gradient)

    def gradient(self) -> Tensor:
        """Xᵀ(XW − Y), transposed: (C, k, P)."""
        scaled = torch.baddbmm(self.B, self.Z, self.A, beta=-1) / self.eta
        return scaled @ self.X if self.dual else scaled

    def displacement(self) -> Tensor:
        """W − W₀: (C, P, k)."""
        return (self.Z @ self.X).mT if self.dual else self.Z.mT

    def keep(self, mask: Tensor) -> None:
        for name in ("cells", "X", "eta", "A", "B", "Z"):
            setattr(self, name, getattr(self, name)[mask])


class Gram:
    """Explicit gradients on the smaller Gram matrix of each cell; exact zero rows of X cost nothing.

    X: (C, N, P), Y: (C, N, k), W0: (C, P, k), step_size: (C,), n_rows: (C,) rows that are not padding.
    threads: a fixed number of them.
    """

    divergence, looks = READOUT_DIVERGENCE, 64

    def __init__(
        self, X: Tensor, Y: Tensor, W0: Tensor, step_size: Tensor, n_rows: Tensor, threads: int | None = None
    ) -> None:
        n, P = X.shape[-2:]
        self.W0 = W0
        residual = Y - X @ W0
        # Sizes in steps of 8: few products a step, little padding, and a size that depends on the cell alone.
        padded = torch.where(n_rows >= P, 0, ((n_rows + 7) // 8 * 8).clamp(max=n))
        self.blocks = []
        for size in padded.unique().tolist():
            cells = (padded == size).nonzero().squeeze(-1)
            rows = slice(None) if size == 0 else slice(size)
            block = _Block(cells, X[cells, rows], residual[cells, rows], step_size[cells], size > 0, threads)
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


@dataclass(frozen=True)
class Schedule:
    """The step size over training, as a factor: it rises from 0 over the first `warmup` share of `steps`, then stays
    (`constant`) or falls to 0 at the last step as half a cosine (`cosine`; Loshchilov & Hutter 2017)."""

    steps: int = 1
    warmup: float = 0.0
    shape: str = "constant"

    def __post_init__(self) -> None:
        within = isinstance(self.warmup, numbers.Real) and 0 <= self.warmup < 1
        if self.shape not in ("constant", "cosine") or not within:
            raise ValueError(
                f"schedule={self.shape!r} must be 'constant' or 'cosine', and warmup={self.warmup} in [0, 1)"
            )

    def __call__(self, t: int) -> float:
        """The factor of step t = 0, 1, …"""
        rise = self.warmup * self.steps
        if t + 1 <= rise:
            return (t + 1) / rise
        return 1.0 if self.shape == "constant" else 0.5 * (1 + np.cos(np.pi * max(0, t - rise) / (self.steps - rise)))


def torch_optimizer(name: str, learning_rate: float, options: Mapping[str, float]) -> Callable[..., Any]:
    """parameters → the torch.optim optimizer of this name in lower case, with these options.

    ValueError for an unknown name or option, or for an optimizer that would couple the cells of a stack.
    """
    if not isinstance(name, str):
        raise ValueError(f"optimizer={name!r} must be the name of one of torch.optim, such as 'adamw'")
    name = name.lower()
    kinds: dict[str, Any] = {key.lower(): kind for key, kind in vars(torch.optim).items() if inspect.isclass(kind)}
    if name in _COUPLING:
        raise ValueError(f"optimizer={name!r} couples the cells of a stack; take one such as adamw")
    if name not in kinds:
        raise ValueError(f"optimizer={name!r} is none of torch.optim, such as adamw or sgd")
    known = inspect.signature(kinds[name]).parameters
    free = [key for key in known if key not in _OURS]
    for option, value in options.items():
        if option not in free or not _is_finite(value):
            said = f"{option!r}" if option not in free else f"{option}={value!r}"
            raise ValueError(f"optimizer_options: {name} has no {said}; it has {', '.join(free)}")
    # Numbers alone come from a study: 1 is true.
    options = {key: bool(v) if isinstance(known[key].default, bool) else v for key, v in options.items()}
    # One kernel a parameter instead of one an operation: most of the time of a small stack.
    fused = {"fused": True} if name in ("sgd", "adam", "adamw") else {}
    return lambda parameters: kinds[name](parameters, lr=learning_rate, **fused, **options)


def _is_finite(value: Any) -> bool:
    """Whether an option is a finite number, or a list of them such as betas."""
    parts = value if isinstance(value, list | tuple) else (value,)
    return all(isinstance(part, numbers.Real) and bool(np.isfinite(float(part))) for part in parts)


class Optimised:
    """An objective under an optimizer of torch.optim, for models that are not linear in their parameters.

    Every parameter has the leading axis of cells, and the optimizer treats each number by itself: a cell does in a
    stack what it does alone. optimizer: parameters → torch.optim.Optimizer; default plain gradient descent, whose
    step size of each cell is the objective's weight. schedule: factor of the learning rate at each step.
    divergence: growth of the gradient norm that proves it.
    """

    def __init__(
        self,
        objective: Objective,
        optimizer: Callable[..., Any] | None = None,
        schedule: Schedule | None = None,
        divergence: float = np.inf,
        threads: int | None = None,
    ) -> None:
        self.objective, self.divergence = objective, divergence
        self.looks = 64 if np.isfinite(divergence) else 16  # of a module a look costs as much as two steps
        trained = [p for p in objective.parameters if p.requires_grad]
        self.optimizer = optimizer(trained) if optimizer else torch.optim.SGD(trained, lr=1.0)
        self.pace = Pace(objective.cell, objective.weight.device, threads)
        self.schedule, self.t = schedule, 0
        self.base = [group["lr"] for group in self.optimizer.param_groups]
        self.cells = torch.arange(len(objective.weight), device=objective.weight.device)
        # Only plain descent at one step size must go down.
        self.descends = objective.monotone and optimizer is None and (schedule is None or schedule.shape == "constant")
        self.first_loss = self.best_loss = objective.losses()
        # A start at the optimum has no loss to measure growth by; an output of zero has.
        self.bound = LOSS_DIVERGENCE * torch.maximum(self.first_loss, objective.energy())
        self.best_at = torch.zeros_like(self.cells)

    def advance(self, n_steps: int) -> None:
        self.pace.repeat(self._step, n_steps, len(self.cells))

    def _step(self) -> None:
        self.objective.backward()
        if self.schedule is not None:
            factor = self.schedule(self.t)
            for group, base in zip(self.optimizer.param_groups, self.base, strict=True):
                group["lr"] = base * factor
        self.optimizer.step()
        self.t += 1

    def gradient_norm(self) -> Tensor:
        if not len(self.cells):
            return self.objective.weight
        self.objective.backward()
        gradients = [p.grad.reshape(len(p), -1) for p in self.objective.parameters if p.grad is not None]
        # Times its weight, as it is: of plain descent the step size, without which it may leave the dtype.
        return norm(torch.cat(gradients, 1))

    def solution(self) -> Tensor:
        parameters = [p.detach() for p in self.objective.parameters]
        if len(parameters) == 1:
            return parameters[0].clone()
        return torch.cat([p.reshape(len(p), -1) for p in parameters], 1)

    @property
    def _eps(self) -> float:
        return torch.finfo(self.objective.weight.dtype).eps

    def keep(self, mask: Tensor) -> None:
        for name in ("cells", "first_loss", "best_loss", "best_at", "bound"):
            setattr(self, name, getattr(self, name)[mask])
        for p in self.objective.parameters:
            state = self.optimizer.state.get(p, {})
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == p.shape:
                    state[name] = value[mask].contiguous()
            p.data = p.data[mask].contiguous()
            p.grad = None
        self.objective.keep(mask)

    @torch.no_grad()
    def is_minimum(self) -> Tensor:
        """False where a small random nudge lowers the loss: zero gradient, yet no minimum (a saddle)."""
        parameters = [p for p in self.objective.parameters if p.requires_grad]
        start, here = [p.clone() for p in parameters], self.objective.losses()
        random = torch.Generator(device=here.device).manual_seed(0)
        lower = torch.zeros_like(here, dtype=torch.bool)
        size = self._eps**0.25  # a saddle's loss falls by its square, well above rounding
        for trial in range(NUDGES):
            # All parameters at once, then each alone: of a product both must move, and a bias costs more than it gains.
            alone, reach = (trial // 2) % (len(parameters) + 1), size if trial % 2 else size / 8
            for number, (p, p0) in enumerate(zip(parameters, start, strict=True), start=1):
                nudge = torch.randn(p0.shape, generator=random, dtype=p0.dtype, device=p0.device)
                p.copy_(p0 + reach * nudge if alone in (0, number) else p0)
            # Beyond rounding of the loss, so that flat directions do not count.
            lower |= self.objective.losses() < here * (1 - 64 * self._eps)
        for p, p0 in zip(parameters, start, strict=True):
            p.copy_(p0)
        return ~lower

    def rising(self) -> Tensor:
        loss = self.objective.losses()
        grown = ~(loss <= self.bound)
        if not self.descends:
            return grown
        # A mode that overshoots raises the loss for a while; beyond the limit it never settles.
        margin = self.first_loss * self._eps**0.5
        better = loss < self.best_loss - margin
        self.best_loss = torch.where(better, loss, self.best_loss)
        self.best_at = torch.where(better, self.t, self.best_at)
        stale = self.t - self.best_at > self.best_at.clamp(min=PATIENCE)
        return grown | (stale & (loss > self.best_loss + margin))
