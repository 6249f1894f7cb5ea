"""Closed forms of what gradient descent trains. Every one is a filter on the singular values of X.

With the thin SVD X = U diag(σ) Vᵀ, a readout is W = V diag(f(σ)) Uᵀ Y, and the estimators differ only in f:

    minimum norm    f(σ) = 1/σ
    ridge           f(σ) = σ / (σ² + λ)
    gradient descent after t steps    f(σ) = (1 − (1 − ησ²)ᵗ) / σ

A mode that counts as zero (`spectrum.cutoff`) is zero in every one of them. They are computed in float64 whatever the
dtype of X, and in units in which nothing over- or underflows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
import torch
from torch import Tensor

from gdstudy.arrays import Array, Regression, check_rtol, real_tensor, times_power_of_two, whole_number
from gdstudy.spectrum import Spectrum, product, spectrum, thin_svd

# Powers of two within which η and λ are computed with as they are. Beyond, ησ² and σ²/λ are so small that the filter is
# linear in them, or so large that only their size matters. Growth is kept below the second.
_PLAIN_POWER, _GROWN_POWER = 800, 900
# Growth by more than e to this is infinite in any units.
_LONGEST_GROWTH = 2.0**40


def ridge_filter(spec: Spectrum, lam: Tensor) -> Tensor:
    """f(σ) = σ/(σ² + λ), 0 for modes that count as zero. lam: broadcastable to σ (..., R), units of X²."""
    # 1/(σ + λ/σ) rather than σ/(σ² + λ): σ² underflows first.
    return torch.where(spec.nonzero, 1 / (spec.s + lam / spec.s), 0)


def gd_filter(spec: Spectrum, step_size: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """f(σ) = (1 − (1 − ησ²)ᵗ)/σ, the share of mode σ learnt after t steps, over σ; 0 for modes that count as zero.

    Through expm1(t·log1p(−ησ²)), so that neither a small ησ² nor a large t (tested to 10¹²) loses digits.
    For ησ² in (1, 2) the iterate alternates around its limit; beyond 2 it grows without bound.

    step_size: broadcastable to σ (..., R), 1/units of X²; t: broadcastable, whole numbers, or infinite for the limit.
    Returns f (..., R) and p (...,): the filter is f·2ᵖ, p = 0 unless it grew beyond what float64 holds.
    """
    s = spec.s
    eta, t = step_size.to(torch.float64), t.to(torch.float64)
    x = eta * s.square()
    ended = torch.isinf(t)
    steps = torch.where(ended, 0, t)
    # |1 − x|ᵗ − 1; xlogy and xlog1py are 0 at t = 0, also where 1 − x = 0.
    log_decay = torch.where(x <= 1, torch.special.xlog1py(steps, -x.clamp(max=1)), torch.special.xlogy(steps, x - 1))
    log_decay = torch.where(spec.nonzero, log_decay, 0).clamp(max=_LONGEST_GROWTH)
    power = (log_decay.amax(-1, keepdim=True) / math.log(2) - _GROWN_POWER).clamp(min=0).ceil()
    shrink = torch.where(power > 0, torch.exp(log_decay - power * math.log(2)), torch.expm1(log_decay))
    alternating = (x > 1) & (torch.remainder(steps, 2) == 1)
    # Where a power of two is taken out, the one that growth is added to has long been lost in it.
    learnt = torch.where(alternating, torch.where(power > 0, shrink, 2 + shrink), -shrink)
    learnt = torch.where(ended, 1, learnt)
    return torch.where(spec.nonzero, learnt / s, 0), power.squeeze(-1).to(torch.int64)


def gd_readout(spec: Spectrum, Y: Tensor, step_size: Tensor, t: Tensor) -> Tensor:
    """W_t of gradient descent from zero in exact arithmetic, infinite where it grew beyond float64.

    spec: of X (C, N, P); Y: (C, N, k); step_size, t: (C,). Returns (C, P, k).
    """
    f, power = gd_filter(spec, step_size.unsqueeze(-1), t.unsqueeze(-1))
    return times_power_of_two(spec.filtered(f.unsqueeze(-1), Y), power[..., None, None])


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


def min_norm_solution(X: Array, Y: Array, rtol: float | None = None) -> Array:
    """Minimum-norm least-squares readout, W = X⁺Y (Penrose 1956).

    The limit of gradient descent from W₀ = 0 for any 0 < η < 2/σ₁² (paper, App. D). Computed in float64; relative
    error near κ·eps₆₄ where Y = XW, and κ²·eps₆₄ ‖Y − XW‖/(σ₁‖W‖) more where it is not.

    X: (..., N, P) features; Y: (..., N) or (..., N, k) targets, any unit; batch axes broadcast.
    rtol: singular values at or below rtol·σ₁ count as zero, in [0, 1); default: those that rounding of X to its dtype
    cannot tell from zero (`spectrum.cutoff`). `singular_values(X, rtol)` says which.
    Returns W: (..., P) or (..., P, k), in units of Y per unit of X, NumPy or torch as X is, float32 if both are.
    ValueError for NaN or infinite values, shapes that do not match, rtol out of range, or a W that its dtype cannot
    hold; TypeError for sparse arrays and tensors that require gradients.
    """
    check_rtol(rtol)
    problem = Regression.of(X, Y)
    return problem.readout(spectrum(problem.X, rtol, problem.eps).solve(problem.Y))


def ridge_solution(X: Array, Y: Array, lam: Any, rtol: float | None = None) -> Array:
    """Ridge readout, W = (XᵀX + λI)⁻¹XᵀY, the minimiser of ‖XW − Y‖² + λ‖W‖² (paper, App. D).

    Tends to X⁺Y as λ → 0⁺; at λ = 0 it is X⁺Y. Computed as V diag(σ/(σ² + λ)) UᵀY, never by an inverse.

    X: (..., N, P); Y: (..., N) or (..., N, k); lam ≥ 0: a number or one per problem (...,), in units of X².
    rtol, what is returned, and errors as in `min_norm_solution`; ValueError for λ < 0 too.
    """
    check_rtol(rtol)
    problem = Regression.of(X, Y)
    penalty = problem.per_problem("lam", lam)
    if bool((penalty < 0).any()):
        raise ValueError(f"lam={float(penalty.min()):.3g} must be at least 0")
    spec = spectrum(problem.X, rtol, problem.eps)
    plain, beyond = _without_units(penalty, -2 * problem.x_unit)
    f = ridge_filter(spec, plain.unsqueeze(-1))
    # Beyond, W = XᵀY/λ falls as λ grows.
    return problem.readout(spec.filtered(f.unsqueeze(-1), problem.Y), -beyond.clamp(min=0))


def gd_iterate(X: Array, Y: Array, step_size: Any, t: Any, rtol: float | None = None) -> Array:
    """Exact t-th iterate of gradient descent from W₀ = 0 on ½‖XW − Y‖²_F.

    W_t = V diag[(1 − (1 − ησᵢ²)ᵗ)/σᵢ] UᵀY, which the recursion W ← W − η Xᵀ(XW − Y) (paper, App. D) gives in
    exact arithmetic. Relative error near κ·eps₆₄ for every t up to 10¹², and eps₆₄/(2 − ησ₁²) more for ησ₁² in (1, 2),
    where one rounding of σ₁ moves that many iterates. For ησ₁² > 2 the iterate diverges, and so does this: to ±infinity
    where its dtype ends.

    X: (..., N, P); Y: (..., N) or (..., N, k); step_size η > 0: a number or one per problem (...,), in
    1/units of X²; t ≥ 0: steps, a whole number or one per problem (...,); infinity, or None, for the limit X⁺Y.
    rtol, what is returned, and errors as in `min_norm_solution`; ValueError for η ≤ 0, a negative or fractional t, or
    the limit of a step size that has none (ησ₁² ≥ 2) too.
    """
    check_rtol(rtol)
    problem = Regression.of(X, Y)
    eta = problem.per_problem("step_size", step_size)
    if bool((eta <= 0).any()):
        raise ValueError(f"step_size={float(eta.min()):.3g} must be above 0; below 2/σ₁² descent is stable")
    steps = _steps(problem, t)
    spec = spectrum(problem.X, rtol, problem.eps)
    eta, beyond = _without_units(eta, 2 * problem.x_unit)
    reach = eta * spec.s[..., 0].square()
    if bool((torch.isinf(steps) & (reach >= 2) & (spec.rank > 0)).any()):
        raise ValueError(f"t={t}: descent has no limit where step_size is 2/σ₁² or more; lower it")
    f, power = gd_filter(spec, eta.unsqueeze(-1), steps.unsqueeze(-1))
    # A step size too small or too large to be computed with: W is linear in it as long as it is small, or at t = 1.
    linear = (beyond < 0) & ~torch.isinf(steps) | (steps == 1)
    power = power + torch.where(linear, beyond, torch.where(steps > 1, beyond.clamp(min=0) * 2, 0))
    return problem.readout(spec.filtered(f.unsqueeze(-1), problem.Y), power, checked=(reach < 2) & (beyond <= 0))


def reduced_rank(spec: Spectrum, Y: Tensor, rank: int) -> Tensor:
    """`reduced_rank_solution` from the spectrum of X: (..., P, k)."""
    fit = product(spec.U.mT, Y) * spec.nonzero.unsqueeze(-1)  # what X⁺ sees of Y: the fit is U times this
    _, _, Vt = thin_svd(fit)
    leading = Vt[..., :rank, :]
    return product(product(spec.solve(Y), leading.mT), leading)


def reduced_rank_solution(X: Array, Y: Array, rank: int, rtol: float | None = None) -> Array:
    """Least-squares map of at most this rank, W = X⁺Y V_k V_kᵀ (Eckart & Young 1936; Izenman 1975).

    V_k: leading right singular vectors of the fit XX⁺Y. For Y = X it is the projector P_k = V_k V_kᵀ on the k leading
    principal components (of X as it is, not centred): the optimum of a linear autoencoder through k hidden units
    (Baldi & Hornik 1989). Unique where the k-th singular value of the fit is above the next.

    X: (..., N, P); Y: (..., N, k); rank: a whole number, at least 1.
    rtol, what is returned, and errors as in `min_norm_solution`; ValueError for a rank below 1 or fractional too.
    """
    check_rtol(rtol)
    rank = whole_number("rank", rank, 1)
    problem = Regression.of(X, Y)
    return problem.readout(reduced_rank(spectrum(problem.X, rtol, problem.eps), problem.Y, rank))


@dataclass(frozen=True)
class SingularValues(Generic[Array]):
    """The singular values of X and which of them count, NumPy or torch as X was. R = min(N, P).

    values: (..., R) float64, descending, in units of X. counted: (..., R), False for those at or below the cutoff,
    which every closed form leaves out. cutoff: (...,), in units of X. rank: (...,) how many count.
    """

    values: Array
    counted: Array
    cutoff: Array
    rank: Array


def singular_values(X: Array, rtol: float | None = None) -> SingularValues[Array]:
    """Which modes of X `min_norm_solution`, `ridge_solution`, `gd_iterate` and `reduced_rank_solution` count.

    X: (..., N, P); rtol: as there. ValueError and TypeError as there.

    >>> import numpy as np
    >>> int(singular_values(np.array([[1, 1], [2, 2], [3, 3]])).rank)
    1
    """
    check_rtol(rtol)
    problem = Regression.of(X, X)
    spec = spectrum(problem.X, rtol, problem.eps)
    s = times_power_of_two(spec.s, problem.x_unit.unsqueeze(-1))
    if not bool(torch.isfinite(s).all()):
        raise ValueError("X: its singular values are beyond 1e308, which float64 does not hold; give X in other units")
    parts = (s, spec.nonzero, times_power_of_two(spec.cutoff, problem.x_unit), spec.rank)
    return SingularValues(*(p if isinstance(X, Tensor) else p.numpy(force=True) for p in parts))


def bottleneck_iterate(strength: Tensor, rate: Tensor, t: Tensor, target: float = 1.0) -> Tensor:
    """Strength a_t = u_t² of a mode of a two-layer linear network after t steps of gradient descent, exactly:

        u ← u + ηλu(s − u²)

    Both layers start balanced and aligned with the singular vectors of the data, A = V diag(u) and B = Aᵀ. λ: σ_r² of
    X; s: what XᵀY has over λ in this mode, 1 for an autoencoder. Converges to s for ηλs < 1.

    strength: a₀; rate: ηλ; t: whole numbers of steps; all broadcastable, no unit. Returns a_t.
    """
    u, rate, t = torch.broadcast_tensors(strength.sqrt(), rate, t)
    for step in range(int(t.max()) if t.numel() else 0):
        u = torch.where(t > step, u + rate * u * (target - u.square()), u)
    return u.square()


def bottleneck_flow(strength: Tensor, curvature: Tensor, time: Tensor | float, target: float = 1.0) -> Tensor:
    """The same under gradient flow, to which descent tends as η → 0 (Saxe, McClelland & Ganguli 2014, for λ = 1):

        a(τ) = s e^{2sλτ} / (e^{2sλτ} − 1 + s/a₀),    τ = ηt.

    strength: a₀ > 0; curvature: λ = σ_r² of X, in squared units of X; time: τ, in 1/units of λ. Returns a(τ).
    """
    return target / (1 + (target / strength - 1) * torch.exp(-2 * target * curvature * time))


def _steps(problem: Regression, t: Any) -> Tensor:
    """t of each problem (...,), infinite for the limit. ValueError unless whole and at least 0."""
    given = real_tensor("t", np.inf if t is None else t)
    ended = given == torch.inf
    steps = problem.per_problem("t", torch.where(ended, 0, given))
    if bool((steps < 0).any()) or bool((steps != steps.round()).any()):
        raise ValueError(f"t={t} must be a whole number of steps, at least 0, or infinite for the limit")
    return torch.where(ended.to(steps.device).expand(steps.shape), torch.inf, steps)


def _without_units(value: Tensor, power: Tensor) -> tuple[Tensor, Tensor]:
    """value·2^power as v·2^b: v is what float64 computes with, b = 0 unless it is out of reach. value: ≥ 0, (...,)."""
    own = torch.frexp(value)[1].to(torch.int64)
    total = own + power
    kept = total.clamp(-_PLAIN_POWER, _PLAIN_POWER)
    return times_power_of_two(value, kept - own), torch.where(value > 0, total - kept, 0)
