"""The steps of any optimizer of torch.optim on any objective."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdstudy.linalg.metrics import norm
from gdstudy.linalg.threads import Pace
from gdstudy.training.engine import Looked, Snapshot
from gdstudy.training.objectives import Descends, Objective
from gdstudy.training.optimizers import Plain, Schedule, is_plain, torch_optimizer

# What proves divergence of a deep model, whose gradient grows without bound as it leaves a saddle: growth of the loss.
LOSS_DIVERGENCE = 1e8
# So many steps above its best loss, and as many as it took to get there, and a descent is not on its way down.
PATIENCE = 1000
# What is known of each running cell.
_OF_CELLS = ("cells", "first_loss", "best_loss", "best_at", "bound")
# What of an optimizer's options makes weights smaller where there is no gradient.
_DECAYS = ("weight_decay", "lambd")
# What of its state moves weights where there is no gradient.
_CARRIES = ("momentum_buffer", "exp_avg")
# Directions tried before a point with zero gradient is called a minimum.
NUDGES = 32


def optimised(
    objective: Objective,
    optimizer: str,
    step_size: Tensor,
    options: Mapping[str, float],
    schedule: Schedule | None,
    threads: int | None,
) -> Optimised:
    """An objective under an optimizer of OPTIMIZERS by its name, or plain gradient descent.

    step_size: (C,). Plain descent's are the objective's weights; of another the first, the learning rate of all cells.
    """
    build = None if is_plain(optimizer) else torch_optimizer(optimizer, float(step_size[0]), options)
    return Optimised(objective, build, schedule, threads=threads)


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
        self.optimizer = optimizer(trained) if optimizer else Plain(trained)
        self.pace = Pace(objective.cell, objective.weight.device, threads)
        self.plain, self.schedule, self.t = optimizer is None, schedule, 0
        self.base = [group["lr"] for group in self.optimizer.param_groups]
        self.cells = torch.arange(len(objective.weight), device=objective.weight.device)
        # Only plain descent at one step size must go down.
        self.descends = objective.monotone and optimizer is None and (schedule is None or schedule.shape == "constant")
        plain = optimizer is None and schedule is None
        self.descent = objective.descend if plain and isinstance(objective, Descends) else None
        self.first_loss = self.best_loss = objective.losses()
        # A start at the optimum has no loss to measure growth by; an output of zero has.
        self.bound = LOSS_DIVERGENCE * torch.maximum(self.first_loss, objective.energy())
        self.best_at = torch.zeros_like(self.cells)

    def advance(self, n_steps: int) -> None:
        if self.descent is None:
            self.pace.repeat(self._step, n_steps, len(self.cells))
        elif len(self.cells):
            self.descent(n_steps)
            self.t += n_steps

    def _step(self) -> None:
        self.objective.backward()
        if self.schedule is not None:
            factor = self.schedule(self.t)
            for group, base in zip(self.optimizer.param_groups, self.base, strict=True):
                group["lr"] = base * factor
        self.optimizer.step()
        self.t += 1

    def through(self, intervals: Sequence[int], first: Tensor, largest: Tensor, tolerance: float) -> Looked:
        self.advance(intervals[0])
        return Looked.of(intervals[0], self.gradient_norm(), largest)

    def gradient_norm(self) -> Tensor:
        if not len(self.cells):
            return self.objective.weight
        self.objective.backward()
        gradients = [p.grad.reshape(len(p), -1) for p in self.objective.parameters if p.grad is not None]
        # Times its weight, as it is: of plain descent the step size, without which it may leave the dtype.
        return norm(torch.cat(gradients, 1))

    def solution(self, some: Tensor | None = None) -> Tensor:
        parameters = [p.detach().clone() if some is None else p.detach()[some] for p in self.objective.parameters]
        if len(parameters) == 1:
            return parameters[0]
        return torch.cat([p.reshape(len(p), p.shape[1:].numel()) for p in parameters], 1)

    @property
    def _eps(self) -> float:
        return torch.finfo(self.objective.weight.dtype).eps

    def keep(self, mask: Tensor) -> None:
        for name in _OF_CELLS:
            setattr(self, name, getattr(self, name)[mask])
        for p in self.objective.parameters:
            state = self.optimizer.state.get(p, {})
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == p.shape:
                    state[name] = value[mask].contiguous()
            p.data = p.data[mask].contiguous()
            p.grad = None
        self.objective.keep(mask)

    def snapshot(self) -> Snapshot:
        groups = self.optimizer.param_groups
        return {
            "t": self.t,
            "parameters": [p.detach() for p in self.objective.parameters],
            "states": [dict(self.optimizer.state.get(p, {})) for group in groups for p in group["params"]],
            "groups": [{name: v for name, v in group.items() if isinstance(v, int | float)} for group in groups],
            **{name: getattr(self, name) for name in _OF_CELLS},
        }

    def restore(self, cells: Tensor, saved: Mapping[str, Any]) -> None:
        if len(cells) < len(self.cells):  # else its data stay as they lie in memory, on which digits may depend
            self.keep(torch.isin(self.cells, cells))
        for p, value in zip(self.objective.parameters, saved["parameters"], strict=True):
            p.data.copy_(value)
        # Not by load_state_dict, which changes the dtype of what is not of a parameter's shape.
        groups = self.optimizer.param_groups
        trained = [p for group in groups for p in group["params"]]
        for p, state in zip(trained, saved["states"], strict=True):
            self.optimizer.state[p] = state
        for group, numbers in zip(groups, saved["groups"], strict=True):
            group.update(numbers)
        for name in ("t", *_OF_CELLS):
            setattr(self, name, saved[name])

    @torch.no_grad()
    def is_minimum(self) -> Tensor:
        """False where a small random nudge lowers the loss: zero gradient, yet no minimum (a saddle)."""
        parameters = [p for p in self.objective.parameters if p.requires_grad]
        start, here = [p.clone() for p in parameters], self.objective.losses()
        random = torch.Generator(device=here.device).manual_seed(0)
        lower = torch.zeros_like(here, dtype=torch.bool)
        at_zero = _at_zero(start)
        size = self._eps**0.25  # a saddle's loss falls by its square, well above rounding
        reaches = [size if trial % 2 else size / 8 for trial in range(NUDGES)]
        # At zero there are no weights to tell the units by, and the loss falls by as high a power as there are layers.
        reaches += [2.0**power for power in range(-60, 61, 3) for _ in range(4)] if bool(at_zero.any()) else []
        for trial, reach in enumerate(reaches):
            # All parameters at once, then each alone: of a product both must move, and a bias costs more than it gains.
            alone = (trial // 2) % (len(parameters) + 1) if trial < NUDGES else 0
            for number, (p, p0) in enumerate(zip(parameters, start, strict=True), start=1):
                nudge = torch.randn(p0.shape, generator=random, dtype=p0.dtype, device=p0.device)
                p.copy_(p0 + reach * nudge if alone in (0, number) else p0)
            # Beyond rounding of the loss, so that flat directions do not count.
            found = self.objective.losses() < here * (1 - 64 * self._eps)
            lower |= found if trial < NUDGES else found & at_zero
        for p, p0 in zip(parameters, start, strict=True):
            p.copy_(p0)
        return ~lower

    def rests(self) -> Tensor:
        """Not where an optimizer carries W on by what it has gathered of earlier gradients, or by its weight decay."""
        rests = torch.ones_like(self.cells, dtype=torch.bool)
        if self.plain or np.isfinite(self.divergence):  # of a readout a zero gradient is the minimum
            return rests
        trained = [p.detach() for p in self.objective.parameters if p.requires_grad]
        if self._decays:
            rests &= _at_zero(trained)
        states = (state for p in self.objective.parameters if (state := self.optimizer.state.get(p)))
        carried = [state[name] for state in states for name in _CARRIES if isinstance(state.get(name), Tensor)]
        return rests & _at_zero(carried) if carried else rests

    @property
    def _decays(self) -> bool:
        return any(group.get(name) for group in self.optimizer.param_groups for name in _DECAYS)

    def rising(self) -> Tensor:
        loss = self.objective.losses()
        if self.t == 1 and not self.plain:
            # The first step of others may be as large as the learning rate, whatever the units of the loss.
            self.bound = torch.maximum(self.bound, LOSS_DIVERGENCE * loss.nan_to_num(0, 0, 0))
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


def _at_zero(parameters: Sequence[Tensor]) -> Tensor:
    """Cells all of whose parameters are zero: (C,)."""
    return torch.stack([~p.reshape(len(p), -1).any(1) for p in parameters]).all(0)
