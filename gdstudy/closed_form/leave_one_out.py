"""The error of each row when it is left out of the training, without a test set and exact: of X⁺Y, of ridge and of
gradient descent: y_i − x_i·W₋ᵢ, with W₋ᵢ from the other rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gdstudy.closed_form.iterates import gd_filter
from gdstudy.linalg.spectrum import Spectrum, cutoff, product, spectrum
from gdstudy.linalg.units import times_power_of_two

# Of descent up to so many rows each is left out by itself; of more, in so many folds.
MOST_LEFT_OUT, FOLDS = 200, 5
# A row whose leverage is 1 up to rounding is one that no combination of the others gives.
_ALONE = 256 * torch.finfo(torch.float64).eps
# Numbers that the SVDs of left-out problems may hold at once.
_MOST_NUMBERS = 1 << 24


def left_out_residuals(spec: Spectrum, Y: Tensor, penalty: Tensor | float = 0.0) -> Tensor:
    """y_i − x_i·W₋ᵢ of ridge, whose W₋ᵢ minimises ‖XW − Y‖² + λ‖W‖² over all rows but i; λ = 0: of X⁺Y.

    r_i/(1 − h_ii) with r = (I − H)Y, H = X(XᵀX + λI)⁻¹Xᵀ (Allen 1974); for λ = 0 and a row that is no combination of
    the others, where both are 0, its limit [K⁺Y]_i/[K⁺]_ii with K = XXᵀ. Exact in both regimes and for any rank.

    spec: of X (C, N, P); Y: (C, N, k); both zero in rows that pad a stack. penalty: λ ≥ 0, broadcastable to (C,), units
    of X². Returns (C, N, k), units of Y; zero in rows of padding.
    """
    lam = torch.as_tensor(penalty, dtype=spec.s.dtype, device=spec.s.device).expand(spec.s.shape[:-1])
    return _left_out(spec, Y, lam.unsqueeze(-1)).squeeze(-2)


def _left_out(spec: Spectrum, Y: Tensor, penalties: Tensor) -> Tensor:
    """The same at each of several penalties (C, L): (C, N, L, k)."""
    U, counts = spec.U, spec.nonzero.unsqueeze(-1).to(Y)
    squares, seen, lam = U.square(), counts * product(U.mT, Y), penalties.unsqueeze(-2)
    # What ridge leaves of a mode, λ/(σ² + λ); all of what no mode sees: (C, R, L).
    left = torch.where(spec.nonzero.unsqueeze(-1), lam / (spec.s.square().unsqueeze(-1) + lam), 0)
    shares = (left.unsqueeze(-1) * seen.unsqueeze(-2)).flatten(-2)
    residuals = (Y - product(U, seen)).unsqueeze(-2) + product(U, shares).unflatten(-1, (-1, Y.shape[-1]))
    freedom = (1 - product(squares, counts)).clamp(min=0) + product(squares, left)
    alone = (lam == 0) & (freedom <= _ALONE)
    if not bool(alone.any()):
        return residuals.div_(freedom.unsqueeze(-1))
    inverse = spec.inverse.square().unsqueeze(-1)
    dual, own = product(U, inverse * seen).unsqueeze(-2), product(squares, inverse)
    above, below = torch.where(alone.unsqueeze(-1), dual, residuals), torch.where(alone, own, freedom)
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


def best_penalty(spec: Spectrum, Y: Tensor, penalties: Tensor, n_rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(λ, its leave-one-out MSE) of the ridge that is best at predicting rows it has not seen: each (C,).

    spec: of (C, N, P); Y: (C, N, k); penalties: (C, L) to choose from; of equals the first. n_rows: (C,) how many rows
    are not padding, default all N.
    """
    rows = torch.full_like(penalties[:, 0], Y.shape[-2]) if n_rows is None else n_rows.to(penalties)
    # A part of the stack at a time, and of the penalties.
    most = _MOST_NUMBERS // 4
    sums = []
    some_cells = max(1, most // spec.U[0].numel())
    for first in range(0, len(Y), some_cells):
        cells = slice(first, first + some_cells)
        some, y = spec.at(cells), Y[cells]
        parts = penalties[cells].split(max(1, most // y.numel()), dim=-1)
        sums.append(torch.cat([_left_out(some, y, part).square().sum(1).mean(-1) for part in parts], -1))
    best = (torch.cat(sums) / rows.unsqueeze(-1)).nan_to_num(torch.inf).min(-1)
    return penalties.gather(-1, best.indices.unsqueeze(-1)).squeeze(-1), best.values


def gd_left_out(
    X: Tensor,
    Y: Tensor,
    step_size: float,
    steps: Sequence[float],
    folds: Tensor | None = None,
    weights: Tensor | None = None,
    center: bool = False,
    momentum: float = 0.0,
    eps: float | None = None,
) -> Tensor:
    """y_i − x_i·W₋ᵢ of gradient descent from zero after t steps on all rows but i, for each t: (T, N, k).

    Through the SVD of each of the left-out problems, since no shortcut holds: (y − ŷ)_i/(1 − H_ii) of the t-th
    iterate's hat matrix is off without bound once it interpolates (Patil et al. 2024). All take the step size of the
    full problem. Costs N SVDs, for N of a few hundred, or one a fold.

    X: (N, P), N ≥ 2; Y: (N, k); step_size: η, 1/units of X²; steps: t ≥ 0, infinite for the limit X⁺Y.
    folds: (N,) the number of each row's fold, at least two; rows of one fold are left out together, default one by one.
    weights: (N,) w_i > 0 of ½Σ w_i‖x_iW − y_i‖², default 1. center: each problem has the unpenalised intercept that is
    best for its W, so that it is centred by the weighted means of its own rows, and so are the rows left out.
    momentum: β of the heavy ball. eps: precision of the numbers in X, default that of its dtype.
    """
    eps, rows = torch.finfo(X.dtype).eps if eps is None else eps, torch.arange(len(X), device=X.device)
    folds = rows if folds is None else folds
    weights = X.new_ones(len(X)) if weights is None else weights
    X, Y, weights = (values.to(torch.float64) for values in (X, Y, weights))
    if X.shape[1] > len(X):  # Descent turns with the features: N coordinates of the rows say all.
        X = torch.linalg.qr(X.mT, mode="r")[1].mT
    eta, t = X.new_tensor(step_size), X.new_tensor([float(t) for t in steps])[:, None, None]
    residuals = Y.new_empty(len(t), *Y.shape)
    for part in folds.unique().split(max(1, _MOST_NUMBERS // X.numel())):
        # A row of zeros is as good as none.
        kept = weights * (folds != part[:, None])
        share = (kept / kept.sum(1, keepdim=True) * center).unsqueeze(1)
        x_mean, y_mean, scale = product(share, X), product(share, Y), kept.sqrt().unsqueeze(-1)
        spec = spectrum(scale * (X - x_mean), eps=eps)
        if center:  # columns that vary in the rows left out alone are nothing but rounding of their means
            spec = replace(spec, nonzero=spec.s > cutoff(scale * X, spec.s[:, 0], eps).unsqueeze(-1))
        coefficients = product(spec.U.mT, scale * (Y - y_mean))
        f, power = gd_filter(spec, eta, t, momentum)
        power = power.expand(f.shape[:-1])
        for number, fold in enumerate(part):
            out = folds == fold
            here = product(X[out] - x_mean[number], spec.Vt[number].mT)
            predicted = product(here, f[:, number].unsqueeze(-1) * coefficients[number])
            residuals[:, out] = Y[out] - y_mean[number] - times_power_of_two(predicted, power[:, number, None, None])
    return residuals
