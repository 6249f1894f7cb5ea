"""The exact t-th iterate of gradient descent, and how many steps are left."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdstudy.closed_form.momentum import learnt_share
from gdstudy.linalg.arrays import Array, as_tensor, check_momentum, check_rtol, real_tensor
from gdstudy.linalg.regression import Regression
from gdstudy.linalg.spectrum import Modes, Spectrum, product, spectrum
from gdstudy.linalg.units import without_units

# Growth is kept below this power of two.
_GROWN_POWER = 900
# Growth by more than e to this is infinite in any units.
_LONGEST_GROWTH = 2.0**40
# A power of two that takes any number out of float64.
_INFINITE_POWER = 3000


def gd_filter(spec: Spectrum | Modes, step_size: Tensor, t: Tensor, momentum: float = 0.0) -> tuple[Tensor, Tensor]:
    """f(σ) = (1 − (1 − ησ²)ᵗ)/σ, the share of mode σ learnt after t steps, over σ; 0 for modes that count as zero.

    Through expm1(t·log1p(−ησ²)), so that neither a small ησ² nor a large t (tested to 10¹²) loses digits.
    For ησ² in (1, 2) the iterate alternates around its limit; beyond 2 it grows without bound.

    step_size: broadcastable to σ (..., R), 1/units of X²; t: broadcastable, whole numbers, or infinite for the limit;
    momentum: β of the heavy ball, whose learnt share takes the place of 1 − (1 − ησ²)ᵗ (`momentum.learnt_share`).
    Returns f (..., R) and p (...,): the filter is f·2ᵖ, p = 0 unless it grew beyond what float64 holds.
    """
    s = spec.s
    eta, t = step_size.to(torch.float64), t.to(torch.float64)
    x = eta * s.square()
    if momentum:
        share = learnt_share(torch.where(spec.nonzero, x, 0), momentum, t)
        learnt, power = _beyond_float64(share)
        return torch.where(spec.nonzero, learnt / s, 0), power
    ended = torch.isinf(t)
    steps = torch.where(ended, 0, t)
    # |1 − x|ᵗ − 1; xlogy and xlog1py are 0 at t = 0, also where 1 − x = 0.
    log_decay = torch.special.xlog1py(steps, -x.clamp(max=1))
    if not bool((x > 1).any()):
        learnt, power = -torch.expm1(torch.where(spec.nonzero, log_decay, 0)), log_decay.new_zeros(log_decay.shape[:-1])
    else:
        x, steps = x.expand_as(log_decay), steps.expand_as(log_decay)
        beyond = x > 1
        log_decay[beyond] = torch.special.xlogy(steps[beyond], x[beyond] - 1)
        log_decay = torch.where(spec.nonzero, log_decay, 0).clamp(max=_LONGEST_GROWTH)
        learnt, power = _alternating(log_decay, beyond & (torch.remainder(steps, 2) == 1))
    return torch.where(spec.nonzero, torch.where(ended, 1, learnt) / s, 0), power.to(torch.int64)


def _alternating(log_decay: Tensor, odd: Tensor) -> tuple[Tensor, Tensor]:
    """1 − (±)ᵗ|1 − x|ᵗ over 2ᵖ, and p, where it may have grown: (..., R), (...,). odd: (..., R) where (±)ᵗ is −1."""
    power = (log_decay.amax(-1, keepdim=True) / math.log(2) - _GROWN_POWER).clamp(min=0).ceil()
    shrink = torch.expm1(log_decay)
    if not bool(power.any()):
        return torch.where(odd, 2 + shrink, -shrink), power.squeeze(-1)
    shrink = torch.where(power > 0, torch.exp(log_decay - power * math.log(2)), shrink)
    # Where a power of two is taken out, the one that growth is added to has long been lost in it.
    return torch.where(odd, torch.where(power > 0, shrink, 2 + shrink), -shrink), power.squeeze(-1)


def _beyond_float64(share: Tensor) -> tuple[Tensor, Tensor]:
    """A learnt share over 2ᵖ, and p, 0 unless it is infinite: (..., R), (...,).

    Then the first mode, which grows fastest, is 1 or −1, beside which all others have long been lost.
    """
    grown = ~torch.isfinite(share[..., :1])
    first = torch.nn.functional.one_hot(torch.zeros_like(share[..., 0], dtype=torch.int64), share.shape[-1])
    power = torch.where(grown.squeeze(-1), _INFINITE_POWER, 0)
    return torch.where(grown, torch.sign(share[..., :1]) * first, share), power


def steps_to_gradient(s: Tensor, step_size: Tensor, remaining: Tensor, target: Tensor) -> Tensor:
    """The fewest further steps n with ‖∇L‖ = √Σ_r (σ_r² |c_r| |1 − ησ_r²|ⁿ)² at or below a target.

    s: (C, R) σ; step_size: (C,) η; remaining: (C, R) |c_r| of c = Vᵀ(W − X⁺Y); target: (C,). All float64.
    Returns (C,): whole numbers, infinite where the step size is unstable or 10¹⁸ steps do not do.
    """
    decay_per_step = (1 - step_size[:, None] * s.square()).abs()

    def gradient(steps: Tensor) -> Tensor:
        return (s.square() * remaining * torch.special.xlogy(steps[:, None], decay_per_step).exp()).norm(dim=-1)

    low, high = torch.zeros_like(target), torch.full_like(target, 1e18)
    done = ~(gradient(low) > target)
    never = ~(gradient(high) <= target)
    if not bool(done.all()):
        for _ in range(62):  # bisection on whole numbers up to 10¹⁸ < 2⁶⁰
            middle = ((low + high) / 2).floor()
            enough = gradient(middle) <= target
            low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return torch.where(done, 0, torch.where(never, torch.inf, high))


def gd_iterate(
    X: Array,
    Y: Array,
    step_size: Any,
    t: Any,
    rtol: float | None = None,
    momentum: float = 0.0,
    sample_weight: Any = None,
) -> Array:
    """Exact t-th iterate of gradient descent from W₀ = 0 on ½‖XW − Y‖²_F.

    W_t = V diag[(1 − (1 − ησᵢ²)ᵗ)/σᵢ] UᵀY, which the recursion W ← W − η Xᵀ(XW − Y) (paper, App. D) gives in
    exact arithmetic. Relative error near κ·eps₆₄ for every t up to 10¹², and eps₆₄/(2 − ησ₁²) more for ησ₁² in (1, 2),
    where one rounding of σ₁ moves that many iterates. For ησ₁² > 2 the iterate diverges, and so does this: to ±infinity
    where its dtype ends.

    X: (..., N, P); Y: (..., N) or (..., N, k); step_size η > 0: a number or one per problem (...,), in
    1/units of X²; t ≥ 0: steps, a whole number or one per problem (...,); infinity, or None, for the limit X⁺Y.
    momentum: β in [0, 1) of the heavy ball, W ← W − η∇L + β(W − W before) (Polyak 1964), stable for ησ₁² < 2(1 + β);
    then the share of mode σ that is learnt is that of its recursion (`momentum.learnt_share`).
    sample_weight: w ≥ 0, (..., N), as in `min_norm_solution`: descent on ½ Σ w_i ‖x_iW − y_i‖², so that η is in 1/units
    of wX² and a factor in all weights is one in 1/η.
    rtol, what is returned, and errors as in `min_norm_solution`; ValueError for η ≤ 0, a negative or fractional t, or
    the limit of a step size that has none (ησ₁² ≥ 2, with momentum 2(1 + β)) too.
    """
    problem = Regression.of(X, Y, sample_weight)
    ended, given = _whole("t", np.inf if t is None else t)
    steps = problem.per_problem("t", given)
    steps = torch.where(ended.to(steps.device).expand(steps.shape), torch.inf, steps)
    spec, f, power, checked = _filters(problem, step_size, steps, rtol, momentum)
    return problem.readout(spec.filtered(f.unsqueeze(-1), problem.Y), power, checked)


def gd_path(
    X: Array,
    Y: Array,
    step_size: Any,
    checkpoints: Any,
    rtol: float | None = None,
    momentum: float = 0.0,
    sample_weight: Any = None,
) -> Array:
    """Exact iterates of gradient descent at several t, all from one SVD and one product a problem.

    checkpoints: (T,) steps as t of `gd_iterate`, the same for all problems, in any order; infinity for the limit. All
    else as there, and so is what is returned, with an axis more at its front: (T, ..., P), or (T, ..., P, k) where Y is
    (..., N, k). Iterates have the digits of `gd_iterate` up to the rounding of one product.
    """
    problem = Regression.of(X, Y, sample_weight)
    ended, given = _whole("checkpoints", checkpoints)
    if given.ndim != 1 or not len(given):
        raise ValueError(f"checkpoints must be (T,), steps one after the other; its shape is {tuple(given.shape)}")
    steps = torch.where(ended, torch.inf, given.to(torch.float64)).to(problem.X.device)
    steps = steps.reshape(-1, *[1] * len(problem.batch)).expand(-1, *problem.batch)
    spec, f, power, checked = _filters(problem, step_size, steps, rtol, momentum)
    # All t side by side, as outputs: one product a problem.
    seen = f.unsqueeze(-1) * product(spec.U.mT, problem.Y)
    W = product(spec.Vt.mT, seen.movedim(0, -2).flatten(-2)).unflatten(-1, (len(steps), problem.k)).movedim(-2, 0)
    return problem.readout(W, power, checked)


def _filters(
    problem: Regression, step_size: Any, steps: Tensor, rtol: float | None, momentum: float
) -> tuple[Spectrum, Tensor, Tensor, Tensor]:
    """The SVD of each problem, its filter f·2ᵖ at so many steps, (..., R) and (...,), and whether W is of its size.

    steps: (...,), the batch axes of the problem last. ValueError for step sizes of no descent, or of one without limit.
    """
    check_rtol(rtol)
    check_momentum(momentum)
    eta = problem.per_problem("step_size", step_size)
    if bool((eta <= 0).any()):
        raise ValueError(f"step_size={float(eta.min()):.3g} must be above 0; below 2/σ₁² descent is stable")
    spec = spectrum(problem.X, rtol, problem.eps)
    eta, beyond = without_units(eta, 2 * problem.x_unit)
    reach = eta * spec.s[..., 0].square()
    stable = reach < 2 * (1 + momentum)
    if bool((torch.isinf(steps) & ~stable & (spec.rank > 0)).any()):
        raise ValueError(f"t=inf: descent has no limit where step_size is {2 * (1 + momentum):g}/σ₁² or more; lower it")
    f, power = gd_filter(spec, eta.unsqueeze(-1), steps.unsqueeze(-1), momentum)
    # A step size too small or too large to be computed with: W is linear in it as long as it is small, or at t = 1.
    linear = (beyond < 0) & ~torch.isinf(steps) | (steps == 1)
    power = power + torch.where(linear, beyond, torch.where(steps > 1, beyond.clamp(min=0) * 2, 0))
    return spec, f, power, stable & (beyond <= 0)


def _whole(name: str, value: Any) -> tuple[Tensor, Tensor]:
    """Where steps are infinite, and the others, 0 there. ValueError unless whole and at least 0."""
    given = real_tensor(name, value)
    ended = given == torch.inf
    steps = as_tensor(name, torch.where(ended, 0, given))
    if bool((steps < 0).any()) or bool((steps != steps.round()).any()):
        raise ValueError(f"{name}={value} must be a whole number of steps, at least 0, or infinite for the limit")
    return ended, steps
