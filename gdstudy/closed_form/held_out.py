"""Errors on rows held out in folds, of gradient descent at many t at once; and the constant that is not penalised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gdstudy.closed_form.iterates import gd_filter
from gdstudy.linalg.spectrum import Spectrum, product, spectrum

# Numbers that the problems of several folds, or their filtered modes, may hold at once.
_MOST_NUMBERS = 1 << 22


def with_constant(spec: Spectrum) -> Spectrum:
    """The spectrum of centred rows with the constant as one more mode, of infinite σ: fitted without a penalty.

    Of U and σ alone. With it `left_out_residuals` and `noise_amplification` of Y − mean are those of an intercept,
    exactly: leverages gain 1/N, and the mean of the other rows is taken anew for each row. spec: of (C, N, P).
    """
    column = spec.U.new_full((*spec.U.shape[:-1], 1), spec.U.shape[-2] ** -0.5)
    first = spec.s.new_full((*spec.s.shape[:-1], 1), torch.inf)
    counted = torch.ones_like(first, dtype=torch.bool)
    U, s = torch.cat([column, spec.U], -1), torch.cat([first, spec.s], -1)
    return replace(spec, U=U, s=s, nonzero=torch.cat([counted, spec.nonzero], -1))


def gd_held_out(
    X: Tensor,
    Y: Tensor,
    parts: Sequence[Tensor],
    step_size: float,
    steps: Sequence[float],
    intercept: bool = False,
    eps: float | None = None,
) -> Tensor:
    """y_i − x_i·W_t of gradient descent from zero on the rows of all other parts, for each t: (T, N, k).

    Through the SVD of what each part leaves: exact, as no shortcut along descent is (Patil et al. 2024). All take the
    step size of the whole problem.

    X: (N, P), N ≥ 2; Y: (N, k); parts: row numbers that together are all rows, N of one row each for leave-one-out;
    step_size: η ≤ 1/σ₁², 1/units of X²; steps: t ≥ 0, infinite for the limit X⁺Y. intercept: features and
    targets less the means of the rows that are trained on. eps: precision of the numbers in X.
    """
    found = Y.new_empty(len(steps), *Y.shape)
    t = torch.tensor([float(step) for step in steps], dtype=X.dtype)[:, None]
    for held in _stacks(parts, max(X.numel(), len(steps) * min(X.shape) * Y.shape[1])):
        trained = torch.ones(len(held), len(X), dtype=torch.bool).scatter_(1, held, False)
        rows = torch.arange(len(X)).expand(len(held), -1)[trained].reshape(len(held), -1)
        x, y, x_held, y_held = X[rows], Y[rows], X[held], Y[held]
        if intercept:
            x_mean, y_mean = x.mean(1, keepdim=True), y.mean(1, keepdim=True)
            x, y, x_held, y_held = x - x_mean, y - y_mean, x_held - x_mean, y_held - y_mean
        spec = spectrum(x, eps=eps)
        over_t = replace(spec, s=spec.s.unsqueeze(1), nonzero=spec.nonzero.unsqueeze(1))
        f, _ = gd_filter(over_t, t.new_tensor(step_size), t)
        learnt = f.unsqueeze(-1) * product(spec.U.mT, y).unsqueeze(1)
        predicted = product(product(x_held, spec.Vt.mT).unsqueeze(1), learnt)
        found[:, held] = (y_held.unsqueeze(1) - predicted).transpose(0, 1)
    return found


def _stacks(parts: Sequence[Tensor], numbers: int) -> Iterator[Tensor]:
    """Parts of one size together, (F, h), as many as memory is to hold at once."""
    for size in sorted({len(part) for part in parts}):
        alike = torch.stack([part for part in parts if len(part) == size])
        yield from alike.split(max(1, _MOST_NUMBERS // numbers))
