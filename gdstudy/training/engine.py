"""What the driver of a descent asks of whatever takes the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from gdstudy.linalg.threads import Pace


def readout_divergence(momentum: float = 0.0) -> float:
    """What proves divergence of a readout: growth of the gradient norm over its start.

    Below the stable limit plain descent's never grows, and a heavy ball's overshoots by less than 2/(1 − β).
    """
    return 2 / (1 - momentum)


@dataclass(frozen=True)
class Looked:
    """What was seen of cells (C,) on their way, in the engine's order.

    looks: at how many; those that are not done have taken all steps between. steps: (C,) taken by each. norm: (C,) ‖∇L‖
    after them; largest: (C,) the largest it has had at a look.
    """

    looks: int
    steps: Tensor
    norm: Tensor
    largest: Tensor

    @classmethod
    def of(cls, n_steps: int, norm: Tensor, largest: Tensor) -> Looked:
        """At one look."""
        steps = torch.full(norm.shape, n_steps, dtype=torch.int64, device=norm.device)
        return cls(1, steps, norm, torch.maximum(largest, norm))

    @classmethod
    def together(cls, parts: Sequence[Looked]) -> Looked:
        """Of cells side by side."""
        steps, norm, largest = (
            torch.cat([getattr(part, name) for part in parts]) for name in ("steps", "norm", "largest")
        )
        return cls(parts[0].looks, steps, norm, largest)


# Tensors and numbers by name, and lists and mappings of them.
Snapshot = dict[str, Any]


class Saver(Protocol):
    """Who keeps a descent while it is under way, so that it can be cut off anywhere and go on with the same numbers.

    saved: where it goes on, or None from its start; its tensors are taken over. due: whether it is to be kept now.
    save: keep it; the tensors change with the next step.
    """

    @property
    def saved(self) -> Snapshot | None: ...
    def due(self) -> bool: ...
    def save(self, snapshot: Snapshot) -> None: ...


class Engine(Protocol):
    """Cells in training.

    divergence: growth of the gradient norm that proves it. looks: `descend` looks each time t has grown by this part.
    pace: on how many threads it works.
    through: steps through the first of these intervals, or more of them, with a look after each; a cell whose ‖∇L‖ is
    at most tolerance times its largest, or not within divergence times its first, (C,) each, takes no more.
    gradient_norm: (C,) ‖∇L‖ of the running cells, each in a unit of its own that does not change. solution: W of the
    running cells, (C, …), or of some, a mask (C,). is_minimum, rests: (C,) meaningful where the norm is 0: no nudge
    lowers the loss; W stays where it is. rising: (C,) the loss is out of bounds, or has long been above its best where
    a stable step size brings it down in the end.
    snapshot: all that steps have changed. restore: one that is at its start goes on from there, with these cells (c,).
    """

    divergence: float
    looks: int
    pace: Pace

    @property
    def cells(self) -> Tensor: ...

    def through(self, intervals: Sequence[int], first: Tensor, largest: Tensor, tolerance: float) -> Looked: ...
    def gradient_norm(self) -> Tensor: ...
    def solution(self, some: Tensor | None = None) -> Tensor: ...
    def keep(self, mask: Tensor) -> None: ...
    def is_minimum(self) -> Tensor: ...
    def rests(self) -> Tensor: ...
    def rising(self) -> Tensor: ...
    def snapshot(self) -> Snapshot: ...
    def restore(self, cells: Tensor, saved: Mapping[str, Any]) -> None: ...
