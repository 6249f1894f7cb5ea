"""What ridge penalises of a problem: all of it but the constant.

A constant without a penalty is the mean of what the other columns leave of Y, so that ridge with one is ridge of X and
Y minus their means (Hastie, Tibshirani & Friedman 2009, §3.4.1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gdstudy.closed_form.factors import Problem
from gdstudy.linalg.frame import Frame, plus_means
from gdstudy.linalg.spectrum import Spectrum


@dataclass(frozen=True)
class Penalised:
    """A problem without its constant. spectrum: of X (C, N, P), Y: (C, N, k); both minus their means over the rows that
    are no padding, where there is a constant. with_constant: the same spectrum and the constant's mode, for hat
    matrices and rows left out. means: (x̄ (C, P), ȳ (C, k)) where the constant is a column of X, else None.
    """

    spectrum: Spectrum
    Y: Tensor
    with_constant: Spectrum
    means: tuple[Tensor, Tensor] | None = None

    def readout(self, W: Tensor) -> Tensor:
        """W (C, P, k) of the penalised columns as a readout of all of them: with ȳ − x̄W below, where there is a
        column of ones."""
        if self.means is None:
            return W
        x, y = self.means
        return torch.cat([W, (y - (x.unsqueeze(1) @ W).squeeze(1)).unsqueeze(1)], 1)


def penalised(problem: Problem, n_rows: Tensor) -> Penalised:
    """n_rows: (C,) rows that are no padding."""
    if problem.intercept == "none":
        return Penalised(problem.spectrum, problem.Y, problem.spectrum)
    if problem.intercept == "mean":
        return Penalised(problem.spectrum, problem.Y, with_constant(problem.spectrum, n_rows))
    X = problem.X[..., :-1]
    of_x, of_y = (Frame.of(m, n_rows, torch.zeros_like(m[0, 0], dtype=torch.bool)) for m in (X, problem.Y))
    given = None if problem.means is None else plus_means(X, problem.means[:-1], n_rows)
    spec = of_x.spectrum(X, n_rows, problem.eps, given)
    means = (of_x.location, of_y.location)
    return Penalised(spec, of_y.of_rows(problem.Y, n_rows), with_constant(spec, n_rows), means)


def with_constant(spec: Spectrum, n_rows: Tensor) -> Spectrum:
    """With the mode u = 1/√N of infinite σ, which is what no penalty shrinks, and which no column of X is."""
    real = torch.arange(spec.U.shape[1], device=spec.U.device) < n_rows[:, None]
    u = real.to(spec.U.dtype) / n_rows.to(spec.U.dtype).sqrt()[:, None]
    return replace(
        spec,
        U=torch.cat([u.unsqueeze(-1), spec.U], -1),
        s=torch.cat([torch.full_like(spec.s[:, :1], torch.inf), spec.s], -1),
        Vt=torch.cat([torch.zeros_like(spec.Vt[:, :1]), spec.Vt], 1),
        nonzero=torch.cat([torch.ones_like(spec.nonzero[:, :1]), spec.nonzero], -1),
    )
