"""From the facts of an optimizer to one that can be stepped, and the step size over training."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdstudy.study.entries import code
from gdstudy.study.optimizers import OPTIMIZERS

# Of an optimizer's arguments these are not the user's: how it is called, and how it is computed.
_OURS = ("params", "lr", "fused", "foreach", "capturable", "differentiable")


@dataclass(frozen=True)
class Schedule:
    """The step size over training, as a factor: it rises from 0 over the first `warmup` share of `steps`, then stays
    (`constant`) or falls as half a cosine, which is 0 just after the last (`cosine`; Loshchilov & Hutter 2017)."""

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


def schedule_of(steps: int, warmup: float, shape: str) -> Schedule | None:
    """The schedule of a training, or None where its step size is constant. ValueError for one that is none."""
    schedule = Schedule(steps, warmup, shape)
    return schedule if warmup or shape != "constant" else None


def is_plain(optimizer: Any) -> bool:
    """Whether this names plain gradient descent, without momentum, and no optimizer of torch.optim nor nothing."""
    facts = OPTIMIZERS.get(optimizer) if isinstance(optimizer, str) else None
    return facts is not None and facts.plain and not facts.momentum


class Plain:
    """Plain gradient descent as `torch.optim.SGD` steps it, at learning rate 1 unless a schedule changes that.

    Of torch.optim's own, making the first takes a second of imports, and each step what several small products do.
    """

    def __init__(self, parameters: list[Tensor]) -> None:
        self.param_groups: list[dict[str, Any]] = [{"params": parameters, "lr": 1.0}]
        self.state: dict[Tensor, Any] = {}

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-group["lr"])


def torch_optimizer(name: str, learning_rate: float, options: Mapping[str, float]) -> Callable[..., Any]:
    """parameters → the optimizer of this name in OPTIMIZERS, with these options.

    ValueError for an unknown name or option. Optimizers that would couple the cells of a stack are not among them.
    """
    known = [key for key, facts in OPTIMIZERS.items() if not facts.plain]
    if not isinstance(name, str) or name.lower() not in known:
        raise ValueError(f"optimizer={name!r} is none that trains each cell of a stack by itself: {', '.join(known)}")
    facts = OPTIMIZERS[name.lower()]
    assert facts.build is not None
    build = code(facts.build)
    arguments = inspect.signature(build).parameters
    free = [key for key in arguments if key not in _OURS]
    for option, value in options.items():
        if option not in free or not _is_finite(value):
            said = f"{option!r}" if option not in free else f"{option}={value!r}"
            single = [key for key in free if not isinstance(arguments[key].default, tuple)]
            raise ValueError(f"optimizer_options: {facts.name} has no {said}; it has {', '.join(single)}")
        default = arguments[option].default
        wanted, given = (len(v) if isinstance(v, list | tuple) else 1 for v in (default, value))
        if wanted != given:
            what = "one number" if wanted == 1 else f"{wanted} numbers"
            raise ValueError(f"optimizer_options: {option}={value!r} must be {what} for {facts.name}, as {default}")
    # Numbers alone come from a study: 1 is true.
    options = {key: bool(v) if isinstance(arguments[key].default, bool) else v for key, v in options.items()}
    # One kernel a parameter instead of one an operation: most of the time of a small stack.
    fused = {"fused": True} if facts.fused else {}
    return lambda parameters: build(parameters, lr=learning_rate, **fused, **options)


def _is_finite(value: Any) -> bool:
    """Whether an option is a finite number, or a list of them such as betas."""
    parts = value if isinstance(value, list | tuple) else (value,)
    return all(isinstance(part, numbers.Real) and bool(np.isfinite(float(part))) for part in parts)
