"""Closed forms of what gradient descent trains. Every one is a filter on the singular values of X.

With the thin SVD X = U diag(σ) Vᵀ, a readout is W = V diag(f(σ)) Uᵀ Y, and the estimators differ only in f:

    minimum norm    f(σ) = 1/σ
    ridge           f(σ) = σ / (σ² + λ)
    gradient descent after t steps    f(σ) = (1 − (1 − ησ²)ᵗ) / σ
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gdstudy.arrays import Array, as_tensor, check_rtol, regression_problem
from gdstudy.spectrum import Spectrum, spectrum


def min_norm_filter(spec: Spectrum) -> Tensor:
    """f(σ) = 1/σ above the cutoff, 0 below it: (..., R), in 1/units of X."""
    return torch.where(spec.nonzero, 1 / spec.s, 0)


def ridge_filter(s: Tensor, lam: Tensor) -> Tensor:
    """f(σ) = σ/(σ² + λ), 0 at σ = 0. s: (..., R); lam: broadcastable to s, units of X²; returns (..., R)."""
    # 1/(σ + λ/σ) rather than σ/(σ² + λ): σ² underflows first.
    return torch.where(s > 0, 1 / (s + lam / s), 0)


def gd_filter(s: Tensor, step_size: Tensor, t: Tensor) -> Tensor:
    """f(σ) = (1 − (1 − ησ²)ᵗ)/σ, the share of mode σ learnt after t steps, over σ; 0 at σ = 0.

    Through expm1(t·log1p(−ησ²)), so that neither a small ησ² nor a large t (tested to 10¹²) loses digits.
    For ησ² in (1, 2) the iterate alternates around its limit; beyond 2 it grows without bound.

    s: (..., R), units of X; step_size: broadcastable, 1/units of X²; t: broadcastable, whole numbers.
    """
    dtype = s.dtype
    # t = 10¹² is no float32 number, so the exponent is formed in float64 whatever the study's dtype.
    s, eta, t = s.to(torch.float64), step_size.to(torch.float64), t.to(torch.float64)
    x = eta * s.square()
    # |1 − x|ᵗ − 1; xlogy and xlog1py are 0 at t = 0, also where 1 − x = 0.
    log_decay = torch.where(x <= 1, torch.special.xlog1py(t, -x.clamp(max=1)), torch.special.xlogy(t, x - 1))
    shrink = torch.expm1(log_decay)
    alternating = (x > 1) & (torch.remainder(t, 2) == 1)
    learnt = torch.where(alternating, 2 + shrink, -shrink)
    return torch.where(s > 0, learnt / s, 0).to(dtype)


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

    The limit of gradient descent from W₀ = 0 for any 0 < η < 2/σ₁² (paper, App. D).

    X: (..., N, P) features; Y: (..., N) or (..., N, k) targets, any unit.
    rtol: singular values at or below rtol·σ₁ count as zero, in [0, 1); default max(N, P)·eps.
    Returns W: (..., P) or (..., P, k), in units of Y per unit of X, NumPy or torch as X is.
    ValueError for NaN or infinite values, shapes that do not match, or rtol out of range.
    """
    check_rtol(rtol)
    x, y, restore = regression_problem(X, Y)
    spec = spectrum(x, rtol)
    return restore(spec.filtered(min_norm_filter(spec).unsqueeze(-1), y))


def ridge_solution(X: Array, Y: Array, lam: float | np.ndarray | Tensor) -> Array:
    """Ridge readout, W = (XᵀX + λI)⁻¹XᵀY, the minimiser of ‖XW − Y‖² + λ‖W‖² (paper, App. D).

    Tends to X⁺Y as λ → 0⁺; at λ = 0 it is X⁺Y. Computed as V diag(σ/(σ² + λ)) UᵀY, never by an inverse.

    X: (..., N, P); Y: (..., N) or (..., N, k); lam ≥ 0: a number or one per problem (...,), in units of X².
    Returns W: (..., P) or (..., P, k). ValueError for λ < 0, NaN or infinite values, shapes that do not match.
    """
    x, y, restore = regression_problem(X, Y)
    penalty = _per_problem("lam", lam, x)
    if bool((penalty < 0).any()):
        raise ValueError(f"lam={float(penalty.min()):.3g} must be at least 0")
    spec = spectrum(x)
    f = torch.where(penalty > 0, ridge_filter(spec.s, penalty), min_norm_filter(spec))
    return restore(spec.filtered(f.unsqueeze(-1), y))


def gd_iterate(X: Array, Y: Array, step_size: float | np.ndarray | Tensor, t: float | np.ndarray | Tensor) -> Array:
    """Exact t-th iterate of gradient descent from W₀ = 0 on ½‖XW − Y‖²_F.

    W_t = V diag[(1 − (1 − ησᵢ²)ᵗ)/σᵢ] UᵀY, which the recursion W ← W − η Xᵀ(XW − Y) (paper, App. D) gives in
    exact arithmetic. Relative error near κ·eps for every t up to 10¹², for ησ₁² in (1, 2) too; for ησ₁² > 2
    the iterate diverges, and so does this.

    X: (..., N, P); Y: (..., N) or (..., N, k); step_size η > 0: a number or one per problem (...,), in
    1/units of X²; t ≥ 0: steps, a whole number or one per problem (...,).
    Returns W: (..., P) or (..., P, k). ValueError for η ≤ 0, a negative or fractional t, NaN or infinite
    values, shapes that do not match.
    """
    x, y, restore = regression_problem(X, Y)
    eta, steps = _per_problem("step_size", step_size, x), _per_problem("t", t, x)
    if bool((eta <= 0).any()):
        raise ValueError(f"step_size={float(eta.min()):.3g} must be above 0; below 2/σ₁² descent is stable")
    if bool((steps < 0).any()) or bool((steps != steps.round()).any()):
        raise ValueError("t must be a whole number of steps, at least 0")
    spec = spectrum(x)
    return restore(spec.filtered(gd_filter(spec.s, eta, steps).unsqueeze(-1), y))


def reduced_rank(spec: Spectrum, Y: Tensor, rank: int) -> Tensor:
    """`reduced_rank_solution` from the spectrum of X: (..., P, k)."""
    fit = spec.U.mT @ Y * spec.nonzero.unsqueeze(-1)  # what X⁺ sees of Y: the fit is U times this
    _, _, Vt = torch.linalg.svd(fit, full_matrices=False)
    leading = Vt[..., :rank, :]
    return spec.filtered(min_norm_filter(spec).unsqueeze(-1), Y) @ leading.mT @ leading


def reduced_rank_solution(X: Array, Y: Array, rank: int) -> Array:
    """Least-squares map of at most this rank, W = X⁺Y V_k V_kᵀ (Eckart & Young 1936; Izenman 1975).

    V_k: leading right singular vectors of the fit XX⁺Y. For Y = X it is the projector P_k = V_k V_kᵀ on the k leading
    principal components (of X as it is, not centred): the optimum of a linear autoencoder through k hidden units
    (Baldi & Hornik 1989). Unique where the k-th singular value of the fit is above the next.

    X: (..., N, P); Y: (..., N, k); rank ≥ 1. Returns W: (..., P, k), in units of Y per unit of X.
    ValueError for a rank below 1, NaN or infinite values, shapes that do not match.
    """
    if rank < 1:
        raise ValueError(f"rank={rank} must be at least 1")
    x, y, restore = regression_problem(X, Y)
    return restore(reduced_rank(spectrum(x), y, rank))


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


def _per_problem(name: str, value: float | np.ndarray | Tensor, X: Tensor) -> Tensor:
    """A number or one number per problem as a float64 tensor with a trailing axis for the modes: (..., 1)."""
    tensor = as_tensor(name, value if isinstance(value, Tensor) else np.asarray(value))
    try:
        tensor = tensor.to(dtype=torch.float64, device=X.device).expand(X.shape[:-2])
    except RuntimeError:
        raise ValueError(
            f"{name} must be a number or one per problem {tuple(X.shape[:-2])}; its shape is {tuple(tensor.shape)}"
        ) from None
    return tensor.unsqueeze(-1)
