"""How well each way of fitting a problem predicts rows it has not seen: nothing, X⁺Y, ridge, gradient descent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gdstudy.closed_form.iterates import gd_filter, steps_to_gradient
from gdstudy.closed_form.leave_one_out import (
    FOLDS,
    MOST_LEFT_OUT,
    best_penalty,
    gd_left_out,
    left_out_residuals,
    ridge_grid,
)
from gdstudy.closed_form.solutions import ridge_filter
from gdstudy.data.splits import stream
from gdstudy.experiment.preprocessed import Preprocessed

# Beyond this no budget of steps reaches, and κ² of any κ that float64 holds apart from infinity lies near.
_LONGEST = 1e15
_PER_DECADE = 6
# Errors this near to the smallest are the same: then fewer steps are better.
_SAME = 1.001


@dataclass(frozen=True, eq=False)
class Fit:
    """One way of fitting, and its errors on rows left out, without units.

    preprocessing: as `Preprocessed.name`; estimator: `null` (the mean with an intercept, else zero), `min_norm`,
    `ridge_loo`, `gd` after the budget of steps, `gd_early` after the steps that are best.
    W: (P, k), of all rows. left_out: (N, k) y_i − x_i·W₋ᵢ. penalty: λ of ridge; step: t of gradient descent.
    """

    preprocessing: str
    estimator: str
    W: Tensor
    left_out: Tensor
    penalty: float | None = None
    step: float | None = None

    @property
    def error(self) -> float:
        """Mean square of what is left out."""
        return float(self.left_out.square().mean())


@dataclass(frozen=True, eq=False)
class Path:
    """Gradient descent along t, at η = 1/σ₁². errors: MSE on rows held out at each of `steps`, the last infinite.

    best: which of them is best, the earliest of equals.
    to_limit: steps until ‖∇L‖ is at the tolerance times ‖XᵀY‖, or infinite where the step never gets there.
    """

    steps: np.ndarray
    errors: np.ndarray
    best: int
    to_limit: float


def folds_of(n_rows: int, seed: int) -> Tensor:
    """The fold of each row, (N,): each row is left out alone up to MOST_LEFT_OUT, of more a random fifth at a time."""
    order = torch.from_numpy(stream(seed, "folds").permutation(n_rows))
    return order % (n_rows if n_rows <= MOST_LEFT_OUT else FOLDS)


def null(data: Preprocessed) -> Fit:
    """Predicts zero, or with an intercept the mean of the other rows."""
    n = len(data.Y)
    left_out = data.Y * n / (n - 1) if data.intercept else data.Y
    return Fit(data.name, "null", data.X.new_zeros(data.X.shape[1], data.Y.shape[1]), left_out)


def min_norm(data: Preprocessed) -> Fit:
    left_out = left_out_residuals(data.fitted, data.Y[None])[0]
    return Fit(data.name, "min_norm", data.spectrum.solve(data.Y[None])[0], left_out)


def ridge(data: Preprocessed) -> Fit:
    """At the λ that is best by leave-one-out, which may be 0."""
    penalty, _ = best_penalty(data.fitted, data.Y[None], ridge_grid(data.spectrum))
    left_out = left_out_residuals(data.fitted, data.Y[None], penalty)[0]
    f = ridge_filter(data.spectrum, penalty[:, None]).unsqueeze(-1)
    return Fit(data.name, "ridge_loo", data.spectrum.filtered(f, data.Y[None])[0], left_out, float(penalty))


def descent(data: Preprocessed, folds: Tensor, budget: int, tolerance: float) -> tuple[Path, list[Fit]]:
    """Gradient descent along t, after the budget of steps and stopped where it is best."""
    s = data.spectrum.s[0]
    largest = float(s[0])
    eta = 1 / largest**2 if largest > 0 else 1.0
    to_limit = _to_limit(data, eta, tolerance)
    steps = _steps(budget, to_limit)
    residuals = gd_left_out(data.rows, data.Y, eta, list(steps), folds, center=data.intercept, eps=data.eps)
    errors = residuals.square().mean((1, 2)).numpy()
    best = int(np.argmax(errors <= errors.min() * _SAME))
    path = Path(steps, errors, best, to_limit)

    def fit(name: str, k: int) -> Fit:
        f, _ = gd_filter(data.spectrum, s.new_tensor([[eta]]), s.new_tensor([[steps[k]]]))
        W = data.spectrum.filtered(f.unsqueeze(-1), data.Y[None])[0]
        return Fit(data.name, name, W, residuals[k], step=float(steps[k]))

    return path, [fit("gd", int(np.searchsorted(steps, budget))), fit("gd_early", best)]


def _to_limit(data: Preprocessed, eta: float, tolerance: float) -> float:
    spec = data.spectrum
    seen = (spec.U[0].mT @ data.Y).norm(dim=1)
    s, remaining = spec.s, (spec.inverse[0] * seen)[None]
    # Modes that count as zero are no part of the limit.
    s = torch.where(spec.nonzero, s, 0)
    target = tolerance * (s[0] * seen).norm()
    return float(steps_to_gradient(s, s.new_tensor([eta]), remaining, target[None]))


def _steps(budget: int, to_limit: float) -> np.ndarray:
    """Whole numbers of steps, evenly in log t, to where the limit is reached; the budget and infinity among them."""
    last = min(max(budget, 10.0, to_limit if np.isfinite(to_limit) else 0.0), _LONGEST)
    grid = np.geomspace(1, last, int(np.ceil(np.log10(last) * _PER_DECADE)) + 1).round()
    return np.unique(np.r_[grid, budget, np.inf])
