"""Closed forms of what gradient descent trains. Those of full rank are filters on the singular values of X.

With the thin SVD X = U diag(σ) Vᵀ, a readout is W = V diag(f(σ)) Uᵀ Y, and the estimators differ only in f:

    minimum norm    f(σ) = 1/σ
    ridge           f(σ) = σ / (σ² + λ)
    gradient descent after t steps    f(σ) = (1 − (1 − ησ²)ᵗ) / σ    (`iterates`)

A mode that counts as zero (`spectrum.cutoff`) is zero in every one of them. They are computed in float64 whatever the
dtype of X, and in units in which nothing over- or underflows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic

import torch
from torch import Tensor

from gdstudy.linalg.arrays import Array, check_rtol, whole_number
from gdstudy.linalg.regression import Regression
from gdstudy.linalg.spectrum import Spectrum, product, spectrum, thin_svd
from gdstudy.linalg.units import times_power_of_two, without_units


def ridge_filter(spec: Spectrum, lam: Tensor) -> Tensor:
    """f(σ) = σ/(σ² + λ), 0 for modes that count as zero. lam: broadcastable to σ (..., R), units of X²."""
    # 1/(σ + λ/σ) rather than σ/(σ² + λ): σ² underflows first.
    return torch.where(spec.nonzero, 1 / (spec.s + lam / spec.s), 0)


def min_norm_solution(X: Array, Y: Array, rtol: float | None = None, sample_weight: Any = None) -> Array:
    """Minimum-norm least-squares readout, W = X⁺Y (Penrose 1956).

    The limit of gradient descent from W₀ = 0 for any 0 < η < 2/σ₁² (paper, App. D). Computed in float64; relative
    error near κ·eps₆₄ where Y = XW, and κ²·eps₆₄ ‖Y − XW‖/(σ₁‖W‖) more where it is not.

    X: (..., N, P) features; Y: (..., N) or (..., N, k) targets, any unit; batch axes broadcast.
    sample_weight: w ≥ 0, (..., N), no unit, default 1 for each row: W is (√w X)⁺ √w Y, the least-norm minimiser of
    Σ w_i ‖x_iW − y_i‖². A weight of 2 is a row that stands twice, one of 0 a row left out, and only ratios matter.
    rtol: singular values at or below rtol·σ₁ count as zero, in [0, 1); default: those that rounding of X to its dtype
    cannot tell from zero (`spectrum.cutoff`). `singular_values(X, rtol)` says which.
    Returns W: (..., P) or (..., P, k), in units of Y per unit of X, NumPy or torch as X is, float32 if both are.
    ValueError for NaN or infinite values, shapes that do not match, weights below 0 or all 0, rtol out of range, or a
    W that its dtype cannot hold; TypeError for sparse arrays and tensors that require gradients.
    """
    check_rtol(rtol)
    problem = Regression.of(X, Y, sample_weight)
    return problem.readout(spectrum(problem.X, rtol, problem.eps).solve(problem.Y))


def ridge_solution(X: Array, Y: Array, lam: Any, rtol: float | None = None, sample_weight: Any = None) -> Array:
    """Ridge readout, W = (XᵀX + λI)⁻¹XᵀY, the minimiser of ‖XW − Y‖² + λ‖W‖² (paper, App. D).

    Tends to X⁺Y as λ → 0⁺; at λ = 0 it is X⁺Y. Computed as V diag(σ/(σ² + λ)) UᵀY, never by an inverse.

    X: (..., N, P); Y: (..., N) or (..., N, k); lam ≥ 0: a number or one per problem (...,), in units of X².
    sample_weight: w ≥ 0, (..., N), as in `min_norm_solution`: minimises Σ w_i ‖x_iW − y_i‖² + λ‖W‖², so that a factor
    in all of them is one in 1/λ.
    rtol, what is returned, and errors as in `min_norm_solution`; ValueError for λ < 0 too.
    """
    check_rtol(rtol)
    problem = Regression.of(X, Y, sample_weight)
    penalty = problem.per_problem("lam", lam)
    if bool((penalty < 0).any()):
        raise ValueError(f"lam={float(penalty.min()):.3g} must be at least 0")
    spec = spectrum(problem.X, rtol, problem.eps)
    plain, beyond = without_units(penalty, -2 * problem.x_unit)
    f = ridge_filter(spec, plain.unsqueeze(-1))
    # Beyond, W = XᵀY/λ falls as λ grows.
    return problem.readout(spec.filtered(f.unsqueeze(-1), problem.Y), -beyond.clamp(min=0))


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
