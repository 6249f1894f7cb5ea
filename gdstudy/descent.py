"""Full-batch gradient descent on stacks of cells, by real steps: W ← W − η Xᵀ(XW − Y), or any optimizer's.

`descend` decides for any engine when to look, when a cell is done, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gdstudy.arrays import Array, as_tensor, regression_problem
from gdstudy.engines import READOUT_DIVERGENCE, Engine, Gram, Optimised, Schedule, torch_optimizer
from gdstudy.models import LinearReadout
from gdstudy.objectives import Autograd

# Codes of State.status, in this order.
STATUSES = ("running", "converged", "max_steps", "diverged", "stalled")
RUNNING, CONVERGED, MAX_STEPS, DIVERGED, STALLED = range(len(STATUSES))


@dataclass(frozen=True)
class State:
    """Every cell of a stack at one checkpoint; finished cells as they were when they finished.

    Arrays are NumPy or torch, as X was.

    step: the checkpoint t. steps: (...,) steps each cell has taken. W: (..., P, k), or the flattened
    parameters (..., n) of a module. gradient_norm: (...,) ‖∇L‖ relative to its start.
    status: (...,) codes into STATUSES.
    """

    step: int
    steps: Any
    W: Any
    gradient_norm: Any
    status: Any


def descend(
    engine: Engine,
    checkpoints: Sequence[int],
    tolerance: float,
    on_check: Callable[[int, int], None] | None = None,
) -> Iterator[State]:
    """Train a stack to the last checkpoint, one State a checkpoint; finished cells leave the stack.

    A cell ends `converged` when ‖∇L‖ ≤ tolerance times the largest it had: at its start, unless that is near a saddle.
    It ends `diverged` when that norm grows beyond what a stable step size allows, or the loss stays above its best,
    `stalled` when the gradient vanishes away from a minimum, `max_steps` at the last checkpoint.
    Looks at t, t + max(1, t // engine.looks), …: at most a 64th late (a module: a 16th), at little cost.
    on_check(cell-steps taken, cells still running) is called at each look.
    """
    start = engine.gradient_norm()
    W = engine.solution()
    order = engine.cells
    W, start = W[order.argsort()], start[order.argsort()]
    largest = start.clone()
    steps = torch.zeros(len(start), dtype=torch.int64, device=start.device)
    status = torch.full_like(steps, RUNNING)
    gradient = torch.ones_like(start)

    def look(t: int) -> None:
        cells, norm = engine.cells, engine.gradient_norm()
        relative = torch.where(norm == 0, norm, norm / start[cells])
        largest[cells] = torch.maximum(largest[cells], norm)
        code = torch.full_like(cells, RUNNING)
        code[norm <= tolerance * largest[cells]] = CONVERGED
        code[~(relative <= engine.divergence) | engine.rising()] = DIVERGED
        flat = norm == 0
        if bool(flat.any()):
            code[flat & ~engine.is_minimum()] = STALLED
        steps[cells], gradient[cells], status[cells] = t, relative, code
        done = code != RUNNING
        if bool(done.any()):
            W[cells[done]] = engine.solution()[done]
            engine.keep(~done)

    t = 0
    look(t)
    for checkpoint in checkpoints:
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
                status[running] = MAX_STEPS
        yield State(checkpoint, steps.clone(), W.clone(), gradient.clone(), status.clone())
        if not len(running):
            return


def largest_eigenvalue(X: Tensor) -> Tensor:
    """σ₁² of each matrix of a stack (..., N, P), through its smaller Gram matrix: (...,)."""
    gram = X @ X.mT if X.shape[-2] < X.shape[-1] else X.mT @ X
    return torch.linalg.eigvalsh(gram)[..., -1]


def log_spaced(steps: int, per_decade: int) -> list[int]:
    """Checkpoints 1 … steps, `per_decade` for each factor of ten (fewer where they coincide), the last included."""
    exponents = np.arange(0, np.log10(steps) * per_decade + 1e-9)
    return sorted({round(10 ** (e / per_decade)) for e in exponents} | {steps})


def _check_module(module: nn.Module, X: Tensor, Y: Tensor) -> None:
    """ValueError unless a module is a stack of as many cells as X, of its dtype, that maps X to the shape of Y."""
    for name, p in module.named_parameters():
        if p.ndim < 2 or len(p) != len(X) or p.dtype != X.dtype:
            raise ValueError(
                f"module: parameter {name} is {tuple(p.shape)} {p.dtype}; each must be {X.dtype} with a leading axis "
                f"of {len(X)} cells and what one cell has behind it. nn.Linear has none: write a weight (C, P, k)"
            )
    with torch.no_grad():
        shape = tuple(module(X).shape)
    if shape != tuple(Y.shape):
        raise ValueError(f"module: maps X {tuple(X.shape)} to {shape}, and Y is {tuple(Y.shape)}")


def _step_sizes(step_size: float | str | np.ndarray | Tensor, X: Tensor, batch: torch.Size, module: bool) -> Tensor:
    """η of each cell (C,), from what `gradient_descent` takes. ValueError unless all are above 0."""
    if isinstance(step_size, str):
        if step_size != "auto" or module:
            raise ValueError(f"step_size={step_size!r} must be a number above 0, or 'auto' for a linear readout")
        # X = 0 has no curvature: any step size leaves W where it is.
        return 1 / largest_eigenvalue(X).clamp(min=torch.finfo(X.dtype).tiny)
    eta = as_tensor("step_size", step_size if isinstance(step_size, Tensor) else np.asarray(step_size))
    eta = eta.to(X).expand(batch).reshape(-1)
    if bool((eta <= 0).any()):
        raise ValueError(f"step_size={float(eta.min()):.3g} must be above 0; below 2/σ₁² descent is stable")
    return eta


def _module_engine(
    objective: Autograd, optimizer: str, options: Mapping[str, float], schedule: Schedule | None
) -> Optimised:
    """The objective, whose weights are step sizes, under plain descent or an optimizer with one learning rate."""
    if optimizer == "gd":
        return Optimised(objective, schedule=schedule)
    rates = objective.weight
    if len(rates.unique()) > 1:
        raise ValueError(f"step_size must be one number for optimizer={optimizer!r}, the learning rate of all cells")
    objective.weight = torch.ones_like(rates)
    return Optimised(objective, torch_optimizer(optimizer, float(rates[0]), options), schedule)


def gradient_descent(
    X: Array,
    Y: Array,
    checkpoints: Sequence[int],
    step_size: float | str | np.ndarray | Tensor = "auto",
    tolerance: float = 1e-10,
    W0: np.ndarray | Tensor | None = None,
    engine: str = "gram",
    module: nn.Module | None = None,
    optimizer: str = "gd",
    optimizer_options: Mapping[str, float] | None = None,
    warmup: float = 0.0,
    schedule: str = "constant",
    n_rows: Tensor | None = None,
    on_check: Callable[[int, int], None] | None = None,
) -> Iterator[State]:
    """Gradient descent W ← W − η Xᵀ(XW − Y) on ½‖XW − Y‖²_F, yielding a State at each checkpoint.

    From W₀ = 0 the limit is the pseudoinverse solution X⁺Y for any 0 < η < 2/σ₁² (paper, App. D); from
    another start it is X⁺Y + (I − X⁺X)W₀.

    X: (..., N, P); Y: (..., N) or (..., N, k); batch axes are cells, trained at once.
    checkpoints: increasing steps t ≥ 1; the last is the most a cell may take.
    step_size: η, "auto" (1/σ₁² of each cell), a number or one per cell (...,), in 1/units of X².
    tolerance: relative gradient norm at which a cell has converged, never below 100 eps of the dtype.
    W0: start, (..., P) or (..., P, k) as Y; default 0. engine: "gram" or "autograd", the same iterates.
    module: any stacked nn.Module from (C, N, P) to (C, N, k) instead of the linear readout; it needs a
    numerical step size, is trained in place by autograd, and State.W is its parameters, flattened.
    optimizer, optimizer_options: for a module, one of torch.optim in lower case with its arguments, and step_size its
    learning rate, one number. warmup: share of the steps over which it rises from 0; schedule: "constant" or "cosine".
    n_rows: (...,) rows of each cell that are not zero padding.
    ValueError for a step size ≤ 0, checkpoints that do not increase, an unknown optimizer or option, or arrays that
    do not fit.
    """
    x, y, restore = regression_problem(X, Y)
    batch = x.shape[:-2]
    numpy_in = not isinstance(X, Tensor)
    x, y = x.reshape(-1, *x.shape[-2:]), y.reshape(-1, *y.shape[-2:])
    if not checkpoints or checkpoints[0] < 1 or any(b <= a for a, b in zip(checkpoints, checkpoints[1:], strict=False)):
        raise ValueError(f"checkpoints must increase from at least 1; they are {list(checkpoints)[:5]}…")
    if engine not in ("gram", "autograd"):
        raise ValueError(f"engine={engine!r} must be 'gram' or 'autograd'")
    eta = _step_sizes(step_size, x, batch, module is not None)
    start = x.new_zeros(len(x), x.shape[-1], y.shape[-1])
    if W0 is not None:
        start = start + as_tensor("W0", W0).to(x).reshape(start.shape)
    rows = None if n_rows is None else n_rows.reshape(-1)
    rate = Schedule(checkpoints[-1], warmup, schedule) if warmup or schedule != "constant" else None
    runner: Engine
    if module is not None:
        _check_module(module, x, y)
        runner = _module_engine(Autograd(module, x, y, eta, rows), optimizer, optimizer_options or {}, rate)
    elif optimizer != "gd" or rate is not None:
        raise ValueError(f"optimizer={optimizer!r}, warmup and schedule need a module; a readout takes plain steps")
    elif engine == "gram":
        runner = Gram(x, y, start, eta, torch.full((len(x),), x.shape[-2], device=x.device) if rows is None else rows)
    else:
        runner = Optimised(Autograd(LinearReadout(start), x, y, eta, rows), divergence=READOUT_DIVERGENCE)
    floor = 100 * torch.finfo(x.dtype).eps
    for state in descend(runner, checkpoints, max(tolerance, floor), on_check):
        W = state.W.reshape(*batch, *state.W.shape[1:])
        rest: list[Any] = [v.reshape(batch) for v in (state.steps, state.gradient_norm, state.status)]
        if numpy_in:
            rest = [v.numpy() for v in rest]
        W_out: Any = restore(W) if module is None else (W.numpy() if numpy_in else W)
        yield State(state.step, rest[0], W_out, rest[1], rest[2])
