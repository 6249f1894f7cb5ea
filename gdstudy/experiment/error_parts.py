"""The error of X⁺Y in the parts of Eqn. 1, over the test rows of each cell, and what rounding can make of it."""

from __future__ import annotations

import torch
from torch import Tensor

from gdstudy.closed_form.factors import Problem, bias_readout, variance_modes
from gdstudy.experiment.rows import Columns
from gdstudy.experiment.stack import Stack, of_each, side_by_side
from gdstudy.linalg.metrics import frobenius


def rounding(stack: Stack, problems: list[Problem], W: list[Tensor]) -> Tensor:
    """What rounding alone can make of a prediction of X⁺Y, or of a part of its error: (C,), RMS over rows, units of Y.

    Problem by problem, each with its W (C, P, k): (L·C,).

    10 eps ‖φ(x)‖ (‖Y‖_F + σ₁(‖W‖_F + ‖β*‖_F)) / σ_R, over √k outputs: relative errors of some eps in Y, in XW and in
    Xβ* come back divided by the smallest singular value.
    """
    norms = {id(w): frobenius(w) for w in dict.fromkeys(W)}
    sizes = zip(
        of_each(lambda p: p.Y.flatten(1).norm(dim=1), problems, "Y"),
        of_each(lambda p: p.spectrum.s[:, 0], problems, "spectrum"),
        of_each(lambda p: p.spectrum.smallest, problems, "spectrum"),
        of_each(lambda p: frobenius(p.beta), problems, "beta"),
        [norms[id(w)] for w in W],
        strict=True,
    )
    gain = [(y + largest * (w + beta)) / smallest for y, largest, smallest, beta, w in sizes]
    x = stack.errors.root_mean_square(problems[0].X.shape[-1])
    scale = 10 * torch.finfo(torch.float64).eps * x
    return torch.cat([scale * g / W[0].shape[-1] ** 0.5 for g in gain])


def error_parts(stack: Stack, W: Tensor) -> Columns:
    """The error ŷ − y* of X⁺y in the parts of Eqn. 1, over the test rows of each cell: each (C,).

    variance_mean_of_squares: mean (x·X⁺E)². bias_mean_of_squares: mean (x·(X⁺X − I)β*)²;
    bias_square_of_mean: (mean x·(X⁺X − I)β*)², what the authors' code calls the squared bias.
    worst_mode_share: the largest share of one mode in Σ_r mean ((1/σ_r)(x·v_r)(u_r·E))².
    mode_sum_error: RMS of what modes and bias leave of ŷ − y*, relative to the RMS of ŷ − y*.
    """
    problem, errors = stack.problem, stack.errors
    beta = problem.beta
    coefficients = variance_modes(problem.spectrum, problem.Y - problem.X @ beta)
    modes = problem.spectrum.Vt.mT
    variance, bias = modes @ coefficients, bias_readout(problem.spectrum, beta)
    error = W - beta
    parts = [variance, bias, error, error - variance - bias]
    k = W.shape[-1]
    z = errors.value(side_by_side([*parts, modes]))
    squares, sums = errors.sums(z.to(torch.float64))
    n_test = errors.n_test.to(torch.float64)
    of_variance, of_bias, of_error, of_rest = (s.sum(1) for s in squares[:, : 4 * k].split(k, dim=1))
    energy = squares[:, 4 * k :] * coefficients.to(torch.float64).square().sum(-1)
    values = {
        "variance_mean_of_squares": of_variance / (n_test * k),
        "bias_mean_of_squares": of_bias / (n_test * k),
        "bias_square_of_mean": (sums[:, k : 2 * k] / n_test[:, None]).square().mean(1),
        "worst_mode_share": energy.max(1).values / energy.sum(1),
        "mode_sum_error": torch.where(of_rest == 0, 0, (of_rest / of_error).sqrt()),
    }
    return {name: value.cpu().numpy() for name, value in values.items()}
