"""Full-batch gradient descent on stacks of cells, by real steps: W ← W − η Xᵀ(XW − Y), or any optimizer's.

`descend` decides for any engine when to look, when a cell is done, and why.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdstudy.arrays import Array, Regression, real_tensor, times_power_of_two, whole_number, whole_numbers
from gdstudy.engines import READOUT_DIVERGENCE, Engine, Gram, Optimised
from gdstudy.metrics import frobenius
from gdstudy.models import LinearReadout
from gdstudy.objectives import Autograd
from gdstudy.spectrum import Spectrum, product, spectrum
from gdstudy.status import Status
from gdstudy.values import MOST_THREADS

# A tolerance below so many eps of its dtype no gradient would meet.
TOLERANCE_EPS = 100
# What rounding makes of u·y = 0, in eps₆₄ √N ‖y‖.
_ZERO_NOISE = 2


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


def log_spaced(steps: int, per_decade: int) -> list[int]:
    """Checkpoints 1 … steps, `per_decade` for each factor of ten (fewer where they coincide), the last included."""
    exponents = np.arange(0, np.log10(steps) * per_decade + 1e-9)
    return sorted({round(10 ** (e / per_decade)) for e in exponents} | {steps})


def check_checkpoints(checkpoints: Any) -> list[int]:
    """Increasing steps t ≥ 1 as a list; one number alone is [t]. ValueError otherwise."""
    steps = whole_numbers("checkpoints", checkpoints, 1)
    if not steps or any(b <= a for a, b in zip(steps, steps[1:], strict=False)):
        raise ValueError(f"checkpoints must increase from at least 1; they are {str(steps)[:60]}")
    return steps


def check_tolerance(tolerance: float, dtype: torch.dtype) -> float:
    """The tolerance, at least TOLERANCE_EPS eps of the dtype. ValueError unless in [0, 1)."""
    if not (isinstance(tolerance, numbers.Real) and 0 <= tolerance < 1):
        raise ValueError(f"tolerance={tolerance} must lie in [0, 1): a share of the largest gradient norm")
    return max(float(tolerance), TOLERANCE_EPS * torch.finfo(dtype).eps)


def check_rows(n_rows: Any, X: Tensor, batch: torch.Size) -> Tensor:
    """n_rows of each cell (C,) int64, default all rows of X (C, N, P). ValueError unless whole and the rest is zero."""
    N = X.shape[-2]
    if n_rows is None:
        return torch.full((len(X),), N, device=X.device)
    given = real_tensor("n_rows", n_rows)
    try:
        flat = given.expand(batch).reshape(-1)
    except RuntimeError:
        shape = tuple(given.shape)
        raise ValueError(f"n_rows must be one number per cell {tuple(batch)}; its shape is {shape}") from None
    rows = torch.tensor(whole_numbers("n_rows", flat, 1), device=X.device)
    beyond = torch.arange(N, device=X.device) >= rows[:, None]
    if bool((rows > N).any()) or bool((X != 0).any(-1)[beyond].any()):
        raise ValueError(f"n_rows must be at most the {N} rows of X, and all rows of a cell beyond it zero")
    return rows


def check_threads(threads: int | None) -> int | None:
    """ValueError unless None or a whole number in 1 … MOST_THREADS."""
    if threads is not None and (threads := whole_number("threads", threads, 1)) > MOST_THREADS:
        raise ValueError(f"threads={threads} must be at most {MOST_THREADS}")
    return threads


@torch.inference_mode(False)
def gradient_descent(
    X: Array,
    Y: Array,
    checkpoints: Any,
    step_size: Any = "auto",
    tolerance: float = 1e-10,
    W0: Any = None,
    engine: str = "gram",
    n_rows: Any = None,
    threads: int | None = None,
    on_check: Callable[[int, int], None] | None = None,
) -> Iterator[State]:
    """Gradient descent W ← W − η Xᵀ(XW − Y) on ½‖XW − Y‖²_F, yielding a State at each checkpoint until all are done.

    From W₀ = 0 the limit is the pseudoinverse solution X⁺Y for any 0 < η < 2/σ₁² (paper, App. D); from another start
    it is X⁺Y + (I − X⁺X)W₀. Steps are taken in float32 if X and Y are, else in float64, and in units (powers of two,
    so that no digit changes) in which no largest number over- or underflows; `State.distance` is measured in float64.
    A mode that counts as zero in X⁺Y is trained as any other and takes some 1/(ησ²) steps; with X in half precision
    the limit has the modes that count in float32, which training can reach.

    X: (..., N, P); Y: (..., N) or (..., N, k); batch axes are cells, trained at once.
    checkpoints: increasing steps t ≥ 1, or one; the last is the most a cell may take.
    step_size: η, "auto" (1/σ₁² of each cell), a number or one per cell (...,), in 1/units of X².
    tolerance: a cell has converged when ‖∇L‖ is at most this share of the largest it had or, from W₀, would have at
    zero, ‖XᵀY‖; in [0, 1), never below 100 eps of the dtype. Then ‖W − limit‖ ≤ tolerance·max‖∇L‖/σ_R², up to rounding,
    which is far where σ_R is small: see State.distance.
    W0: start, (..., P) where Y is (..., N), else (..., P, k); default 0.
    engine: "gram" or "autograd", the same iterates. n_rows: (...,) rows of each cell that are not zero padding.
    threads: of PyTorch, default one for small cells, and more while that is measured to be faster.
    on_check(cell-steps taken, cells still running): called while it trains.
    ValueError and TypeError, at the call, for what `min_norm_solution` refuses, a step size ≤ 0, too small to move W or
    too large for one step, checkpoints that do not increase, or a W0, step_size or n_rows that does not fit.
    """
    problem = Regression.of(X, Y)
    steps, dtype = check_checkpoints(checkpoints), problem.dtype
    floor, threads = check_tolerance(tolerance, dtype), check_threads(threads)
    if engine not in ("gram", "autograd"):
        raise ValueError(f"engine={engine!r} must be 'gram' or 'autograd'")
    start = problem.X.new_zeros(problem.X.shape[-1], problem.k)
    if W0 is not None:
        problem, start = problem.with_start(problem.like_readout("W0", W0))
    spec = spectrum(problem.X, eps=min(problem.eps, torch.finfo(torch.float32).eps))
    limit, blur = _limit(problem, spec, start)
    problem.readout(limit)  # which its dtype can hold, or there is nothing to train for

    x, y, start, limit = (problem.cells(v, 2) for v in (problem.X, problem.Y, start, limit))
    rows = check_rows(n_rows, x, problem.batch)
    eta = _step_sizes(step_size, problem, x, problem.cells(spec.s[..., 0], 0))
    reference = None if W0 is None else frobenius(x.mT @ y).to(dtype)
    x, y, W = x.to(dtype), y.to(dtype), start.to(dtype)
    runner: Engine
    with full_precision(x.device):
        if engine == "gram":
            runner = Gram(x, y, W, eta, rows, threads)
        else:
            objective = Autograd(LinearReadout(W), x, y, eta, rows)
            runner = Optimised(objective, divergence=READOUT_DIVERGENCE, threads=threads)
            reference = None if reference is None else reference * eta
    blur = problem.cells(blur, 0)
    return _states(problem, limit, start, blur, descend(runner, steps, floor, on_check, reference))


def _limit(problem: Regression, spec: Spectrum, start: Tensor) -> tuple[Tensor, Tensor]:
    """X⁺Y + (I − X⁺X)W₀, (..., P, k), and how far rounding may blur an output that it cannot tell from zero, (...,).

    Without units. An output is zero where all its u_r·y are, and what X does not see of W₀.
    """
    noise = _ZERO_NOISE * torch.finfo(torch.float64).eps * max(problem.X.shape[-2:]) ** 0.5
    V = spec.Vt * spec.nonzero.unsqueeze(-1)
    unseen = start - product(V.mT, product(V, start))
    unseen = torch.where((spec.rank < start.shape[-2])[..., None, None], unseen, 0)  # at full rank X sees all of it
    seen = product(spec.U.mT, problem.Y) * spec.nonzero.unsqueeze(-1)
    rows = (problem.X != 0).any(-1, keepdim=True)  # the others are padding, or say nothing
    blur = noise * (problem.Y * rows).norm(dim=-2, keepdim=True)
    zero = (seen.norm(dim=-2, keepdim=True) <= blur) & (
        unseen.norm(dim=-2, keepdim=True) <= noise * start.norm(dim=-2, keepdim=True)
    )
    limit = torch.where(zero, 0, spec.solve(problem.Y) + unseen)
    gain = torch.where(spec.rank > 0, 1 / spec.smallest, 0)
    return limit, gain * (blur * zero).norm(dim=-1).squeeze(-1)


def _step_sizes(step_size: Any, problem: Regression, X: Tensor, largest: Tensor) -> Tensor:
    """η of each cell (C,), without units and as the dtype of training holds it.

    X: (C, N, P), without units; largest: (C,) its σ₁. ValueError for what `gradient_descent` does not take.
    """
    dtype = problem.dtype
    if isinstance(step_size, str):
        if step_size != "auto":
            raise ValueError(f"step_size={step_size!r} must be 'auto' or a number above 0")
        curvature = largest_eigenvalue(X)
        # X = 0 has no curvature: any step size leaves W where it is.
        return (1 / torch.where(curvature > 0, curvature, 1)).to(dtype)
    eta = problem.per_problem("step_size", step_size)
    if bool((eta <= 0).any()):
        raise ValueError(f"step_size={float(eta.min()):.3g} must be above 0; below 2/σ₁² descent is stable")
    eta = problem.cells(times_power_of_two(eta, 2 * problem.x_unit), 0).to(dtype)
    limits = torch.finfo(dtype)
    if not bool(torch.isfinite(eta).all()) or bool((eta.to(torch.float64) * largest.square() > limits.max**0.5).any()):
        raise ValueError(
            f"step_size={step_size} is so far above 2/σ₁² that {str(dtype)[6:]} cannot hold a step; lower it, or take "
            "'auto'"
        )
    if bool(((eta.to(torch.float64) * largest.square() < limits.tiny / limits.eps) & (largest > 0)).any()):
        raise ValueError(
            f"step_size={step_size} is so far below 2/σ₁² that no step moves W in {str(dtype)[6:]}; raise it, or take "
            "'auto'"
        )
    return eta


@torch.inference_mode(False)
def _states(
    problem: Regression, limit: Tensor, start: Tensor, blur: Tensor, states: Iterator[State]
) -> Iterator[State]:
    """States in units, axes and kind of what was given, with the distance to the limit.

    limit, start: (C, P, k). blur: (C,), what is no distance from a limit of zero.
    """
    size = frobenius(limit)
    blur = torch.where(size > 0, 0, blur)
    size = torch.where(size > 0, size, frobenius(start))
    for state in states:
        W = state.W.to(torch.float64)
        gap = frobenius(W - limit)
        gap = torch.where(gap <= blur, 0, gap)
        distance = torch.where(gap == 0, gap, gap / size)
        of_cells: list[Any] = [state.steps, state.gradient_norm, distance, state.status]
        of_cells = [v.reshape(problem.batch) for v in of_cells]
        W = problem.in_units(W.reshape(*problem.batch, *W.shape[1:]))
        yield in_kind(replace(state, W=problem.as_given(W)), of_cells, problem.numpy)


def in_kind(state: State, of_cells: Sequence[Tensor], numpy: bool) -> State:
    """The state with steps, gradient norms, distances and statuses (...,) in the kind (NumPy or torch) of X."""
    steps, gradient_norm, distance, status = (v.numpy(force=True) if numpy else v for v in of_cells)
    said: Any = status if status.ndim else Status(int(status))
    return replace(state, steps=steps, gradient_norm=gradient_norm, distance=distance, status=said)
