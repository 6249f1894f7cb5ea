"""When to look at a stack of cells in training, when a cell is done, and why; whatever engine takes the steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from gdstudy.study.status import Status
from gdstudy.training.engine import Engine, Looked, Saver, Snapshot


@dataclass(frozen=True)
class State:
    """Every cell of a stack at one checkpoint; finished cells as they were when they finished.

    Arrays are NumPy or torch, as X was.

    step: the checkpoint t. steps: (...,) steps each cell has taken. W: (..., P, k), or the flattened
    parameters (..., n) of a module. gradient_norm: (...,) ‖∇L‖ relative to its start or, from W₀, to ‖XᵀY‖ if larger.
    status: a `Status` or, for a stack, (...,) their numbers: `Status(1).meaning` says what each promises. `converged`
    is said of the gradient, not of the distance.
    measure: what the distance is when it is asked for.
    """

    step: int
    steps: Any
    W: Any
    gradient_norm: Any
    status: Any
    measure: Callable[[], Any] = field(repr=False, compare=False)

    @cached_property
    def distance(self) -> Any:
        """What is still to go, ‖W − limit‖_F / ‖limit‖_F with the limit X⁺Y + (I − X⁺X)W₀ from the SVD of X, (...,)
        float64; over ‖W₀‖_F where that limit is zero, and NaN for a module, whose limit is not known.

        Measured when it is first asked for, so that who does not ask pays for no SVD.
        """
        distance = self.measure()
        vars(self)["measure"] = partial(_same, distance)  # which holds no problem any more
        return distance

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled and copied: the distance itself, which needs the problem no more."""
        return {**vars(self), "measure": partial(_same, self.distance)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


def _same(value: Any) -> Any:
    return value


def descend(
    engine: Engine,
    checkpoints: Sequence[int],
    tolerance: float,
    on_check: Callable[[int, int], None] | None = None,
    reference: Tensor | None = None,
    saver: Saver | None = None,
) -> Iterator[State]:
    """Train a stack to the last checkpoint, one State a checkpoint; finished cells leave the stack.

    A cell ends `converged` when ‖∇L‖ ≤ tolerance times the largest it had: at its start, unless that is near a saddle.
    reference: (C,) counts as had at the start, in the engine's units; at the solution that has nothing but rounding.
    It ends `diverged` when that norm grows beyond what a stable step size allows, or the loss stays above its best,
    `stalled` when the gradient vanishes away from a minimum, `max_steps` at the last checkpoint.
    Looks at t, t + max(1, t // engine.looks), …: at most a 64th late (a module: a 16th), at little cost.
    on_check(cell-steps taken, cells still running) is called at each look, or after some.
    saver: keeps the descent after looks, where it is due or on_check stops it. What it has saved goes on from there:
    the states at later checkpoints are the same, bit for bit; those at earlier ones are not yielded again.
    """
    device = engine.cells.device
    with engine.pace.around(), full_precision(device):
        norm = engine.gradient_norm()
        ledger = _Ledger(engine, norm, tolerance, reference)
        if saver is not None and saver.saved is not None:
            ledger.restore(engine, saver.saved)
        else:
            ledger.look(engine, Looked.of(0, norm, ledger.largest), 0)
    for checkpoint in checkpoints:
        if checkpoint < ledger.t:
            continue
        ahead = _intervals(ledger.t, checkpoint, engine.looks)
        with engine.pace.around(), full_precision(device):
            while ahead and len(engine.cells):
                seen = engine.through(ahead, ledger.first, ledger.largest, tolerance)
                ledger.look(engine, seen, sum(ahead[: seen.looks]))
                ahead = ahead[seen.looks :]
                stopped = True
                try:
                    if on_check is not None:
                        on_check(int(seen.steps.sum()), len(engine.cells))
                    stopped = False
                finally:
                    if saver is not None and (stopped or saver.due()):
                        saver.save(ledger.snapshot(engine))
            ledger.stop(engine, last=checkpoint == checkpoints[-1])
        yield ledger.state(checkpoint)
        if not len(engine.cells):
            return


def _intervals(t: int, checkpoint: int, looks: int) -> list[int]:
    """Steps between looks from t to a checkpoint."""
    found = []
    while t < checkpoint:
        found.append(min(checkpoint - t, max(1, t // looks)))
        t += found[-1]
    return found


# What a ledger knows.
_KEPT = ("W", "steps", "gradient", "status", "first", "largest", "relative")


class _Ledger:
    """What is known of the cells of a stack while they are trained.

    W, steps, gradient, status: of every cell, (C, …), as it was when it finished or at the last checkpoint.
    first, largest, relative: of those in the engine, in its order: first, largest, and last ‖∇L‖ over the first.
    """

    def __init__(self, engine: Engine, norm: Tensor, tolerance: float, reference: Tensor | None) -> None:
        """norm: (C,) ‖∇L‖ at the start, in the order of the engine."""
        order, self.tolerance, self.t = engine.cells, tolerance, 0
        self.first, of_none = norm, engine.solution(torch.zeros_like(order, dtype=torch.bool))
        self.W = of_none.new_zeros(len(order), *of_none.shape[1:])
        if reference is not None:
            self.first = torch.maximum(self.first, reference[order])
        self.largest, self.relative = self.first, torch.ones_like(self.first)
        self.gradient = torch.ones_like(self.first)
        self.steps = torch.zeros(len(self.first), dtype=torch.int64, device=self.first.device)
        self.status = torch.full_like(self.steps, Status.RUNNING)

    def look(self, engine: Engine, seen: Looked, n_steps: int) -> None:
        """Decide which cells are done n_steps further, or were on the way, and why; they leave the engine."""
        norm, steps = seen.norm, self.t + seen.steps
        self.t, self.largest = self.t + n_steps, seen.largest
        self.relative = torch.where(norm == 0, norm, norm / self.first)
        converged, flat = norm <= self.tolerance * self.largest, norm == 0
        if bool(flat.any()):
            converged &= ~flat | engine.rests()
        diverged = ~(self.relative <= engine.divergence) | engine.rising()
        done = converged | diverged
        if not bool(done.any()):
            return
        code = torch.full_like(engine.cells, Status.RUNNING)
        code[converged], code[diverged] = Status.CONVERGED, Status.DIVERGED
        if bool((flat & done).any()):
            code[flat & done & ~engine.is_minimum()] = Status.STALLED
        cells = engine.cells[done]
        self.W[cells] = engine.solution(done)
        self.steps[cells], self.gradient[cells], self.status[cells] = steps[done], self.relative[done], code[done]
        engine.keep(~done)
        self.first, self.largest, self.relative = self.first[~done], self.largest[~done], self.relative[~done]

    def snapshot(self, engine: Engine) -> Snapshot:
        """All that a descent has come to. t: steps; cells: (c,) those that run."""
        own = {name: getattr(self, name) for name in _KEPT}
        return {"t": self.t, "cells": engine.cells, "engine": engine.snapshot(), **own}

    def restore(self, engine: Engine, saved: Snapshot) -> None:
        """Go on from a snapshot of the same descent."""
        engine.restore(saved["cells"], saved["engine"])
        for name in ("t", *_KEPT):
            setattr(self, name, saved[name])

    def stop(self, engine: Engine, last: bool) -> None:
        """The cells that still run as they are at a checkpoint, or at the last."""
        if len(cells := engine.cells):
            self.W[cells], self.steps[cells], self.gradient[cells] = engine.solution(), self.t, self.relative
            if last:
                self.status[cells] = Status.MAX_STEPS

    def state(self, checkpoint: int) -> State:
        seen = (self.steps, self.W, self.gradient.to(self.W.dtype), self.status)
        steps, W, gradient, status = (values.clone() for values in seen)
        return State(checkpoint, steps, W, gradient, status, lambda: torch.full_like(gradient, torch.nan))


def full_precision(device: torch.device) -> torch.autocast:
    """Products in the dtype of their factors, also inside an `autocast` of the caller's."""
    return torch.autocast(device.type, enabled=False)


def largest_eigenvalue(X: Tensor) -> Tensor:
    """σ₁² of each matrix of a stack (..., N, P), through its smaller Gram matrix: (...,)."""
    gram = X @ X.mT if X.shape[-2] < X.shape[-1] else X.mT @ X
    return torch.linalg.eigvalsh(gram)[..., -1]


def step_size_for(curvature: Tensor) -> Tensor:
    """1/σ₁², the step size "auto", for σ₁² (...,); 1 where X = 0, as is one row minus its own mean: there is no
    curvature then, and any step size leaves W where it is."""
    return 1 / torch.where(curvature > 0, curvature, 1).clamp(min=torch.finfo(curvature.dtype).tiny)


def in_kind(state: State, W: Any, batch: Sequence[int], numpy: bool, measure: Callable[[], Tensor]) -> State:
    """The state of cells (C,) with these batch axes (...,) and W, all but W in the kind (NumPy or torch) of X.

    measure: the distances (C,), once they are asked for.
    """

    def of_cells(values: Tensor) -> Any:
        values = values.reshape(tuple(batch))
        return values.numpy(force=True) if numpy else values

    steps, gradient_norm, status = map(of_cells, (state.steps, state.gradient_norm, state.status))
    said: Any = status if status.ndim else Status(int(status))
    return State(state.step, steps, W, gradient_norm, said, lambda: of_cells(measure()))
