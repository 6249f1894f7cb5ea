"""The three factors of the divergence (Eqn. 1), and the ablations that remove each.

The error of a prediction falls apart along the singular modes of the training features X = U diag(σ) Vᵀ,

    ŷ_test − y*_test = Σ_r (1/σ_r) (x_test·v_r) (u_r·E)  +  x_test·(X⁺X − I)β*,

with y* = x·β*, E = Y − Xβ* and β* fitted on all data. It diverges where one mode has all three: a small σ_r,
test features along v_r, and residuals along u_r. An ablation takes one away and leaves all else as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Generic, Literal

import numpy as np
import torch
from torch import Tensor

from gdstudy.linalg.arrays import Array, as_tensor, check_rtol
from gdstudy.linalg.regression import Regression, broadcast_shape
from gdstudy.linalg.spectrum import Spectrum, product, spectrum
from gdstudy.linalg.units import times_power_of_two

Intercept = Literal["none", "column", "mean"]


@dataclass(frozen=True)
class PredictionError(Generic[Array]):
    """Eqn. 1 term by term, NumPy or torch as X was. R = min(N, P) modes, M test rows, k outputs.

    inverse_singular_values: (..., R) 1/σ_r, 0 for modes that count as zero; 1/units of X.
    test_projections: (..., M, R) x·v_r, units of X. residual_projections: (..., R, k) u_r·E, units of Y.
    modes: (..., M, R, k), the product of the three. bias: (..., M, k) x·(X⁺X − I)β*, units of Y;
    zero up to rounding where X has full column rank. The sum of modes and bias is ŷ − y*.
    """

    inverse_singular_values: Array
    test_projections: Array
    residual_projections: Array
    modes: Array
    bias: Array


def prediction_error_modes(
    X: Array, Y: Array, X_test: Array, beta: Array, rtol: float | None = None
) -> PredictionError[Array]:
    """The prediction error of X⁺Y on each test row, along the singular modes of X (paper, Eqn. 1).

    ŷ − y* = Σ_r (1/σ_r)(x·v_r)(u_r·E) + x·(X⁺X − I)β*, with E = Y − Xβ*, in both regimes.

    X: (..., N, P) training features; Y: (..., N) or (..., N, k) targets; X_test: (..., M, P);
    beta: (..., P) or (..., P, k), the best linear readout β*, such as `min_norm_solution` of all data.
    rtol: singular values at or below rtol·σ₁ count as zero, default the rule of `spectrum.cutoff`; errors as in
    `min_norm_solution`. Computed in float64.
    """
    check_rtol(rtol)
    problem = Regression.of(X, Y)
    problem, best = problem.with_start(problem.like_readout("beta", beta))
    test = as_tensor("X_test", X_test, 2).to(problem.X).contiguous()
    fits = broadcast_shape(problem.batch, test.shape[:-2]) is not None
    if not fits or test.shape[-1] != problem.X.shape[-1]:
        raise ValueError(f"X_test must be (..., M, P) for X {tuple(np.shape(X))}; it is {tuple(test.shape)}")
    test = times_power_of_two(test, -problem.x_unit[..., None, None])
    spec = spectrum(problem.X, rtol, problem.eps)
    projections = product(test, spec.Vt.mT)
    residuals = product(spec.U.mT, problem.Y - product(problem.X, best))
    modes = projections.unsqueeze(-1) * (spec.inverse.unsqueeze(-1) * residuals).unsqueeze(-3)
    x_unit, y_unit = problem.x_unit[..., None], problem.y_unit[..., None, None]
    terms = {
        "1/σ": times_power_of_two(spec.inverse, -x_unit),
        "x·v": times_power_of_two(projections, x_unit[..., None]),
        "u·E": times_power_of_two(residuals, y_unit),
        "(1/σ)(x·v)(u·E)": times_power_of_two(modes, y_unit[..., None]),
        "x·(X⁺X − I)β*": times_power_of_two(product(test, bias_readout(spec, best)), y_unit),
    }
    return PredictionError(*(problem.held(name, term) for name, term in terms.items()))


def bias_readout(spec: Spectrum, beta: Tensor) -> Tensor:
    """(X⁺X − I)β*: (..., P, k), what of β* the training rows cannot see."""
    V = spec.Vt * spec.nonzero.unsqueeze(-1)
    return product(V.mT, product(V, beta)) - beta


def variance_modes(spec: Spectrum, residuals: Tensor) -> Tensor:
    """(1/σ_r)(u_r·E), the coefficient of each mode of the variance term X⁺E: (..., R, k)."""
    return spec.inverse.unsqueeze(-1) * product(spec.U.mT, residuals)


@dataclass(frozen=True)
class Problem:
    """A stack of training problems, and how their readouts are tested.

    X: (C, N, P), Y: (C, N, k): training rows; spectrum: of X, without the modes an ablation took out.
    beta: (C, P, k) β* of all data.
    test_modes: (C, R) modes that test features keep, or None for x as it is.
    test_shift: (C, P) added to each test row, or None.
    linear: test targets are x·β* instead of y. cut: the spectrum lacks modes of X.
    intercept: how a constant is fitted, on which there is no penalty: not at all; as the last column of X, 1 in each
    row that is no padding; or as the means of the training rows, which X and Y are without.
    eps: precision of the numbers that X was given in, means (P,) what had been taken from its columns before: by them
    it is told what is a mode and what rounding. None: float64's, and nothing.
    """

    X: Tensor
    Y: Tensor
    spectrum: Spectrum
    beta: Tensor
    test_modes: Tensor | None = None
    test_shift: Tensor | None = None
    linear: bool = False
    cut: bool = False
    intercept: Intercept = "none"
    eps: float | None = None
    means: Tensor | None = None

    @property
    def rank(self) -> Tensor:
        """Parameters of an output that the training rows determine, the constant's among them: (C,)."""
        return self.spectrum.rank + (self.intercept == "mean")

    def features(self) -> Tensor:
        """The features to train on: X without the modes that were taken out, (C, N, P)."""
        return self.spectrum.matrix() if self.cut else self.X

    def at(self, cells: Tensor) -> Problem:
        """The given cells (c,) of the stack."""
        modes = None if self.test_modes is None else self.test_modes[cells]
        shift = None if self.test_shift is None else self.test_shift[cells]
        X, Y, beta = (values[cells] for values in (self.X, self.Y, self.beta))
        return replace(self, X=X, Y=Y, spectrum=self.spectrum.at(cells), beta=beta, test_modes=modes, test_shift=shift)

    def tested(self, W: Tensor) -> Tensor:
        """The readout that gives on x what W (C, P, k) gives on the test features that are kept."""
        if self.test_modes is None:
            return W
        V = self.spectrum.Vt.to(W.dtype)
        return V.mT @ ((V @ W) * self.test_modes.unsqueeze(-1))

    @cached_property
    def weakest_mode(self) -> tuple[Tensor, Tensor]:
        """(u_R, v_R) of the smallest singular value that counts: (C, N), (C, P); 0 where X = 0.

        An SVD leaves the sign of a pair open. Here u_R·y ≥ 0 for the first output, so that +u_R pushes the
        readout further along +v_R, and +v_R raises what it predicts.
        """
        last = (self.spectrum.rank - 1).clamp(min=0)[:, None, None]
        u = self.spectrum.U.gather(2, last.expand(-1, self.spectrum.U.shape[1], 1)).squeeze(2)
        v = self.spectrum.Vt.gather(1, last.expand(-1, 1, self.spectrum.Vt.shape[2])).squeeze(1)
        sign = torch.where((u * self.Y[..., 0]).sum(1) < 0, -1, 1) * (self.spectrum.rank > 0)
        return u * sign[:, None], v * sign[:, None]


def singular_value_cutoff(problem: Problem, cutoff: float) -> Problem:
    """No small singular values (App. B.1): modes of X with σ_r < cutoff are removed. cutoff: absolute, units of X."""
    return replace(problem, spectrum=problem.spectrum.without(problem.spectrum.s < cutoff), cut=True)


def leading_modes(problem: Problem, n_modes: float) -> Problem:
    """Test features in the span of the leading training modes (App. B.2): x → V_m V_mᵀ x, m = n_modes."""
    first = torch.arange(problem.spectrum.s.shape[-1], device=problem.X.device) < n_modes
    return replace(problem, test_modes=problem.spectrum.nonzero & first)


def no_residuals(problem: Problem, _: float | None = None) -> Problem:
    """No residuals E (App. B.3): training targets Xβ*, test targets x·β*."""
    return replace(problem, Y=problem.X @ problem.beta, linear=True)


def adversarial_test(problem: Problem, strength: float) -> Problem:
    """Test rows moved along the weakest training direction: x → x + c·v_R, targets kept (Schaeffer et al. 2023).

    strength: c, units of X. A constant column stays 1, as it is in every row.
    """
    direction = problem.weakest_mode[1]
    if problem.intercept == "column":
        direction = torch.cat([direction[:, :-1], torch.zeros_like(direction[:, -1:])], 1)
    return replace(problem, test_shift=strength * direction)


def adversarial_train(problem: Problem, strength: float) -> Problem:
    """Training targets moved along the weakest left direction: Y → Y + c·u_R (Schaeffer et al. 2023).

    strength: c, units of Y. The readout moves by (c/σ_R) v_R.
    """
    return replace(problem, Y=problem.Y + strength * problem.weakest_mode[0].unsqueeze(-1))
