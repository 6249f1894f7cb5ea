"""The error of each row when it is left out of the training, without a test set and exact: of X⁺Y, of ridge and of
gradient descent: y_i − x_i·W₋ᵢ, with W₋ᵢ from the other rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gdstudy.closed_form.iterates import gd_filter
from gdstudy.linalg.spectrum import Spectrum, product, spectrum

# A row whose leverage is 1 up to rounding is one that no combination of the others gives.
_ALONE = 256 * torch.finfo(torch.float64).eps
# Numbers that the SVDs of left-out problems may hold at once.
_MOST_NUMBERS = 1 << 24


def left_out_residuals(spec: Spectrum, Y: Tensor, penalty: Tensor | float = 0.0) -> Tensor:
    """y_i − x_i·W₋ᵢ of ridge, whose W₋ᵢ minimises ‖XW − Y‖² + λ‖W‖² over all rows but i; λ = 0: of X⁺Y.

    r_i/(1 − h_ii) with r = (I − H)Y, H = X(XᵀX + λI)⁻¹Xᵀ (Allen 1974); for λ = 0 and a row that is no combination of
    the others, where both are 0, its limit [K⁺Y]_i/[K⁺]_ii with K = XXᵀ. Exact in both regimes and for any rank.

    spec: of X (C, N, P), all its rows real; Y: (C, N, k); penalty: λ ≥ 0, broadcastable to (C,), units of X².
    Returns (C, N, k), units of Y.
    """
    lam = torch.as_tensor(penalty, dtype=spec.s.dtype, device=spec.s.device).expand(spec.s.shape[:-1])
    U = spec.U * spec.nonzero.unsqueeze(-2)
    seen = product(U.mT, Y)
    # What ridge leaves of a mode, λ/(σ² + λ); all of what no mode sees.
    left = torch.where(spec.nonzero, lam[..., None] / (spec.s.square() + lam[..., None]), 0)
    residuals = Y - product(U, seen) + product(U, left.unsqueeze(-1) * seen)
    freedom = (1 - U.square().sum(-1)).clamp(min=0) + (U.square() * left.unsqueeze(-2)).sum(-1)
    inverse = spec.inverse.square()
    dual, own = product(U, inverse.unsqueeze(-1) * seen), (U.square() * inverse.unsqueeze(-2)).sum(-1)
    alone = (lam[..., None] == 0) & (freedom <= _ALONE)
    above, below = torch.where(alone[..., None], dual, residuals), torch.where(alone, own, freedom)
    return above / below.unsqueeze(-1)


def noise_amplification(spec: Spectrum) -> Tensor:
    """Variance of y_i − x_i·W₋ᵢ of X⁺Y where Y is noise of variance 1: (C, N), at least 1, large near N = P.

    1/(1 − h_ii); for a row that is no combination of the others [(K⁺)²]_ii/[K⁺]_ii² with K = XXᵀ. spec: of (C, N, P).
    """
    squares = spec.U.square() * spec.nonzero.unsqueeze(-2)
    freedom, inverse = 1 - squares.sum(-1), spec.inverse.square().unsqueeze(-2)
    dual = (squares * inverse.square()).sum(-1) / (squares * inverse).sum(-1).square()
    return torch.where(freedom <= _ALONE, dual, 1 / freedom.clamp(min=_ALONE))


def ridge_grid(spec: Spectrum, n: int = 61) -> Tensor:
    """Penalties to choose from: 0, and the others log-spaced from σ_R²/1000 to 10 σ₁²: (C, n), units of X².

    They reach below the smallest σ² that counts, since the weakest mode may carry the signal.
    """
    low, high = spec.smallest.square() / 1000, 10 * spec.s[..., 0].square()
    share = torch.linspace(0, 1, n - 1, dtype=spec.s.dtype, device=spec.s.device)
    grid = torch.exp(low.log()[..., None] * (1 - share) + high.log()[..., None] * share)
    return torch.cat([torch.zeros_like(low)[..., None], grid.nan_to_num(0)], -1)


def best_penalty(spec: Spectrum, Y: Tensor, penalties: Tensor) -> tuple[Tensor, Tensor]:
    """(λ, its leave-one-out MSE) of the ridge that is best at predicting rows it has not seen: each (C,).

    spec: of (C, N, P); Y: (C, N, k); penalties: (C, L) to choose from; of equals the first.
    """
    errors = [left_out_residuals(spec, Y, penalty).square().mean((-2, -1)) for penalty in penalties.unbind(-1)]
    best = torch.stack(errors, -1).nan_to_num(torch.inf).min(-1)
    return penalties.gather(-1, best.indices.unsqueeze(-1)).squeeze(-1), best.values


def gd_left_out(X: Tensor, Y: Tensor, step_size: float, steps: Sequence[float]) -> Tensor:
    """y_i − x_i·W₋ᵢ of gradient descent from zero after t steps on all rows but i, for each t: (T, N, k).

    Through the SVD of each of the N problems, since no shortcut holds: (y − ŷ)_i/(1 − H_ii) of the t-th iterate's
    hat matrix is off without bound once it interpolates (Patil et al. 2024). All take the step size of the full
    problem. Costs N SVDs, for N of a few hundred.

    X: (N, P), N ≥ 2; Y: (N, k); step_size: η, 1/units of X²; steps: t ≥ 0, infinite for the limit X⁺Y.
    """
    rows, found = torch.arange(len(X), device=X.device), []
    for part in rows.split(max(1, _MOST_NUMBERS // X.numel())):
        kept = torch.stack([rows[rows != row] for row in part])
        spec, seen = spectrum(X[kept]), Y[kept]
        eta = X.new_full((len(part), 1), step_size)
        coefficients = product(spec.U.mT, seen)
        here = product(X[part].unsqueeze(1), spec.Vt.mT)
        residuals = []
        for t in steps:
            f, power = gd_filter(spec, eta, X.new_full((len(part), 1), float(t)))
            predicted = product(here, f.unsqueeze(-1) * coefficients).squeeze(1)
            residuals.append(Y[part] - torch.ldexp(predicted, power.unsqueeze(-1)))
        found.append(torch.stack(residuals))
    return torch.cat(found, 1)
