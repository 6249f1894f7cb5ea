"""Gradient descent on readouts, by real steps: W ← W − η Xᵀ(XW − Y)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdstudy.linalg.arrays import Array, check_momentum
from gdstudy.linalg.metrics import frobenius
from gdstudy.linalg.regression import Regression
from gdstudy.linalg.spectrum import Spectrum, product, spectrum
from gdstudy.linalg.threads import Pace
from gdstudy.linalg.units import times_power_of_two
from gdstudy.training.arguments import check_checkpoints, check_rows, check_threads, check_tolerance
from gdstudy.training.descent import State, descend, full_precision, in_kind, largest_eigenvalue, step_size_for
from gdstudy.training.engine import Engine, Saver, readout_divergence
from gdstudy.training.gram import Gram
from gdstudy.training.modules import LinearReadout
from gdstudy.training.objectives import Autograd
from gdstudy.training.optimised import Optimised

# What rounding makes of u·y = 0, in eps₆₄ √N ‖y‖.
_ZERO_NOISE = 2
# Without units a solution is smaller than two to this, and larger than one over that.
_MOST_GAIN = 100


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
    momentum: float = 0.0,
    sample_weight: Any = None,
    saver: Saver | None = None,
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
    momentum: β in [0, 1) of the heavy ball, W ← W − η∇L + β(W − W before) (Polyak 1964): the same limit in some κ
    instead of κ² steps with the best β; stable for η < 2(1 + β)/σ₁².
    sample_weight: w ≥ 0, (..., N), as in `min_norm_solution`: descent on ½ Σ w_i ‖x_iW − y_i‖²,
    W ← W − η Xᵀdiag(w)(XW − Y). √w X and √w Y stand for X and Y above; with "auto" a factor in all weights changes
    nothing.
    saver: keeps the descent while it runs, and goes on with the same call cut off before (`training.engine.Saver`).
    ValueError and TypeError, at the call, for what `min_norm_solution` refuses, a step size ≤ 0, too small to move W or
    too large for one step, checkpoints that do not increase, or a W0, step_size or n_rows that does not fit.
    """
    threads = check_threads(threads)
    with _pace(X).around():
        problem = Regression.of(X, Y, sample_weight)
        steps, dtype = check_checkpoints(checkpoints), problem.dtype
        floor = check_tolerance(tolerance, dtype)
        check_momentum(momentum)
        if engine not in ("gram", "autograd"):
            raise ValueError(f"engine={engine!r} must be 'gram' or 'autograd'")
        start = problem.X.new_zeros(problem.X.shape[-1], problem.k)
        if W0 is not None:
            problem, start = problem.with_start(problem.like_readout("W0", W0))
        limit = _Limit(problem, start)
        limit.check()

        x, y, start = (problem.cells(v, 2) for v in (problem.X, problem.Y, start))
        rows = check_rows(n_rows, x, problem.batch)
        eta = _step_sizes(step_size, problem, x)
        reference = None if W0 is None else frobenius(x.mT @ y).to(dtype)
        x, y, W = x.to(dtype), y.to(dtype), start.to(dtype)
        runner: Engine
        with full_precision(x.device):
            if engine == "gram":
                runner = Gram(x, y, W, eta, rows, threads, momentum)
            else:
                objective = Autograd(LinearReadout(W), x, y, eta, rows)
                heavy_ball = partial(torch.optim.SGD, lr=1.0, momentum=momentum) if momentum else None
                runner = Optimised(objective, heavy_ball, divergence=readout_divergence(momentum), threads=threads)
                reference = None if reference is None else reference * eta
    return _states(problem, limit, descend(runner, steps, floor, on_check, reference, saver))


def _pace(X: Any) -> Pace:
    """On how many threads it is made ready: one for small cells, as it is trained. Beside a busy process two of them
    wait for each other several times as long as one would take."""
    device = X.device if isinstance(X, Tensor) else None
    return Pace(math.prod(np.shape(X)[-2:]), device)


@dataclass(frozen=True)
class _Limit:
    """Where descent heads for, X⁺Y + (I − X⁺X)W₀, known when it is first asked for.

    problem: without units; start: W₀ in them, (..., P, k).
    """

    problem: Regression
    start: Tensor

    def check(self) -> None:
        """ValueError where the dtype of the results cannot hold the limit: then there is nothing to train for."""
        limits, unit = torch.finfo(self.problem.dtype), self.problem.y_unit - self.problem.x_unit
        largest, smallest = math.log2(limits.max) - _MOST_GAIN, math.log2(limits.tiny) + _MOST_GAIN
        if bool((unit > largest).any()) or bool((unit < smallest).any()):  # nothing else needs it that early
            self.problem.readout(self._solution[0])

    def distance(self, W: Tensor) -> Tensor:
        """‖W − limit‖ over ‖limit‖, or over ‖W₀‖ where that is zero, of W (C, P, k) without units: (C,)."""
        limit, size, blur = self._of_cells
        gap = frobenius(W.to(torch.float64) - limit)
        gap = torch.where(gap <= blur, 0, gap)
        return torch.where(gap == 0, gap, gap / size)

    @cached_property
    def _of_cells(self) -> tuple[Tensor, Tensor, Tensor]:
        """The limit (C, P, k), its size (C,), and what is no distance from a limit of zero, (C,)."""
        limit, start = (self.problem.cells(v, 2) for v in (self._solution[0], self.start))
        size, blur = frobenius(limit), self.problem.cells(self._solution[1], 0)
        return limit, torch.where(size > 0, size, frobenius(start)), torch.where(size > 0, 0, blur)

    @cached_property
    def _solution(self) -> tuple[Tensor, Tensor]:
        spec = spectrum(self.problem.X, eps=min(self.problem.eps, torch.finfo(torch.float32).eps))
        return _limit(self.problem, spec, self.start)


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


def _step_sizes(step_size: Any, problem: Regression, X: Tensor) -> Tensor:
    """η of each cell (C,), without units and as the dtype of training holds it.

    X: (C, N, P), without units. ValueError for what `gradient_descent` does not take.
    """
    dtype = problem.dtype
    if isinstance(step_size, str):
        if step_size != "auto":
            raise ValueError(f"step_size={step_size!r} must be 'auto' or a number above 0")
        return step_size_for(largest_eigenvalue(X)).to(dtype)
    given = problem.per_problem("step_size", step_size)
    if bool((given <= 0).any()):
        raise ValueError(f"step_size={float(given.min()):.3g} must be above 0; below 2/σ₁² descent is stable")
    eta = problem.cells(times_power_of_two(given, 2 * problem.x_unit), 0).to(dtype)
    limits, largest = torch.finfo(dtype), X.flatten(1).norm(dim=1)  # ‖X‖_F, at least σ₁
    if not bool(torch.isfinite(eta).all()) or bool((eta.to(torch.float64) * largest.square() > limits.max**0.5).any()):
        raise ValueError(
            f"step_size={float(given.max()):.3g} is so far above 2/σ₁² that {str(dtype)[6:]} cannot hold a step; lower "
            "it, or take 'auto'"
        )
    if bool(((eta.to(torch.float64) * largest.square() < limits.tiny / limits.eps) & (largest > 0)).any()):
        raise ValueError(
            f"step_size={float(given.min()):.3g} is so far below 2/σ₁² that no step moves W in {str(dtype)[6:]}; raise "
            "it, or take 'auto'"
        )
    return eta


@torch.inference_mode(False)
def _states(problem: Regression, limit: _Limit, states: Iterator[State]) -> Iterator[State]:
    """States in units, axes and kind of what was given, with the distance to the limit."""
    measure = torch.inference_mode(False)(limit.distance)
    for state in states:
        W = state.W.to(torch.float64)
        W = problem.as_given(problem.in_units(W.reshape(*problem.batch, *W.shape[1:])))
        yield in_kind(state, W, problem.batch, problem.numpy, partial(measure, state.W))
