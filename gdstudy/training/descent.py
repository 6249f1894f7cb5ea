"""Full-batch gradient descent on stacks of cells, by real steps: W ← W − η Xᵀ(XW − Y), or any optimizer's.

`descend` decides for any engine when to look, when a cell is done, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gdstudy.study.status import Status
from gdstudy.training.engine import Engine


@dataclass(frozen=True)
class State:
    """Every cell of a stack at one checkpoint; finished cells as they were when they finished.

    Arrays are NumPy or torch, as X was.

    step: the checkpoint t. steps: (...,) steps each cell has taken. W: (..., P, k), or the flattened
    parameters (..., n) of a module. gradient_norm: (...,) ‖∇L‖ relative to its start or, from W₀, to ‖XᵀY‖ if larger.
    distance: (...,) what is still to go, ‖W − limit‖_F / ‖limit‖_F with the limit X⁺Y + (I − X⁺X)W₀ from the SVD of X,
    float64; over ‖W₀‖_F where that limit is zero, and NaN for a module, whose limit is not known.
    status: a `Status` or, for a stack, (...,) their numbers: `Status(1).meaning` says what each promises. `converged`
    is said of the gradient, not of the distance.
    """

    step: int
    steps: Any
    W: Any
    gradient_norm: Any
    distance: Any
    status: Any


def descend(
    engine: Engine,
    checkpoints: Sequence[int],
    tolerance: float,
    on_check: Callable[[int, int], None] | None = None,
    reference: Tensor | None = None,
) -> Iterator[State]:
    """Train a stack to the last checkpoint, one State a checkpoint; finished cells leave the stack.

    A cell ends `converged` when ‖∇L‖ ≤ tolerance times the largest it had: at its start, unless that is near a saddle.
    reference: (C,) counts as had at the start, in the engine's units; at the solution that has nothing but rounding.
    It ends `diverged` when that norm grows beyond what a stable step size allows, or the loss stays above its best,
    `stalled` when the gradient vanishes away from a minimum, `max_steps` at the last checkpoint.
    Looks at t, t + max(1, t // engine.looks), …: at most a 64th late (a module: a 16th), at little cost.
    on_check(cell-steps taken, cells still running) is called at each look.
    """
    start = engine.gradient_norm()
    W = engine.solution()
    order = engine.cells
    W, start = W[order.argsort()], start[order.argsort()]
    if reference is not None:
        start = torch.maximum(start, reference)
    largest = start.clone()
    steps = torch.zeros(len(start), dtype=torch.int64, device=start.device)
    status = torch.full_like(steps, Status.RUNNING)
    gradient = torch.ones_like(start)

    def look(t: int) -> None:
        cells, norm = engine.cells, engine.gradient_norm()
        relative = torch.where(norm == 0, norm, norm / start[cells])
        largest[cells] = torch.maximum(largest[cells], norm)
        code = torch.full_like(cells, Status.RUNNING)
        code[norm <= tolerance * largest[cells]] = Status.CONVERGED
        code[~(relative <= engine.divergence) | engine.rising()] = Status.DIVERGED
        flat = norm == 0
        if bool(flat.any()):
            code[flat & ~engine.is_minimum()] = Status.STALLED
        steps[cells], gradient[cells], status[cells] = t, relative, code
        done = code != Status.RUNNING
        if bool(done.any()):
            W[cells[done]] = engine.solution()[done]
            engine.keep(~done)

    t = 0
    with engine.pace.around(), full_precision(start.device):
        look(t)
    for checkpoint in checkpoints:
        with engine.pace.around(), full_precision(start.device):
            while t < checkpoint and len(engine.cells):
                n_steps = min(checkpoint - t, max(1, t // engine.looks))
                n_cells = len(engine.cells)
                engine.advance(n_steps)
                t += n_steps
                look(t)
                if on_check is not None:
                    on_check(n_cells * n_steps, len(engine.cells))
            running = engine.cells
            if len(running):
                W[running] = engine.solution()
                if checkpoint == checkpoints[-1]:
                    status[running] = Status.MAX_STEPS
        unknown = torch.full_like(gradient, torch.nan)
        yield State(checkpoint, steps.clone(), W.clone(), gradient.clone(), unknown, status.clone())
        if not len(running):
            return


def full_precision(device: torch.device) -> torch.autocast:
    """Products in the dtype of their factors, also where the caller has PyTorch take a shorter one."""
    return torch.autocast(device.type, enabled=False)


def largest_eigenvalue(X: Tensor) -> Tensor:
    """σ₁² of each matrix of a stack (..., N, P), through its smaller Gram matrix: (...,)."""
    gram = X @ X.mT if X.shape[-2] < X.shape[-1] else X.mT @ X
    return torch.linalg.eigvalsh(gram)[..., -1]


def in_kind(state: State, of_cells: Sequence[Tensor], numpy: bool) -> State:
    """The state with steps, gradient norms, distances and statuses (...,) in the kind (NumPy or torch) of X."""
    steps, gradient_norm, distance, status = (v.numpy(force=True) if numpy else v for v in of_cells)
    said: Any = status if status.ndim else Status(int(status))
    return replace(state, steps=steps, gradient_norm=gradient_norm, distance=distance, status=said)
