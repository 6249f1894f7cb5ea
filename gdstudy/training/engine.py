"""What the driver of a descent asks of whatever takes the steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from gdstudy.linalg.threads import Pace


def readout_divergence(momentum: float = 0.0) -> float:
    """What proves divergence of a readout: growth of the gradient norm over its start.

    Below the stable limit plain descent's never grows, and a heavy ball's overshoots by less than 2/(1 − β).
    """
    return 2 / (1 - momentum)


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
    gradient_norm: (C,) ‖∇L‖ of the running cells, each in a unit of its own that does not change. is_minimum: (C,)
    meaningful where it is 0. rising: (C,) the loss is out of bounds, or has long been above its best where a stable
    step size brings it down in the end.
    snapshot: all that steps have changed. restore: one that is at its start goes on from there, with these cells (c,).
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
    def snapshot(self) -> Snapshot: ...
    def restore(self, cells: Tensor, saved: Mapping[str, Any]) -> None: ...
