"""Closed forms of readouts beside X⁺Y, from the same SVD: ridge at given penalties or at one chosen by leave-one-out,
and gradient descent after given numbers of steps that are not taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gdstudy.closed_form.iterates import gd_filter
from gdstudy.closed_form.leave_one_out import best_penalty, ridge_grid
from gdstudy.closed_form.penalised import Penalised, penalised
from gdstudy.closed_form.solutions import ridge_filter
from gdstudy.experiment.rows import Columns, identity
from gdstudy.experiment.stack import Stack, geometry
from gdstudy.linalg.spectrum import Spectrum, product
from gdstudy.linalg.units import in_precision, times_power_of_two
from gdstudy.study.ablations import UNABLATED
from gdstudy.study.config import Study
from gdstudy.study.entries import code
from gdstudy.study.estimators import asked_for
from gdstudy.training.descent import step_size_for


@dataclass(frozen=True)
class Solutions:
    """W: a readout (C, P, k) for each level. columns: more of its rows, level by level, each (L·C,). limit: what they
    tend to, (C, P, k), where that is not X⁺Y."""

    W: list[Tensor]
    columns: Columns
    limit: Tensor | None = None


def closed_forms(study: Study, stack: Stack, min_norm: Tensor) -> list[Columns]:
    """Rows of the closed forms that a study asks for beside X⁺Y, min_norm (C, P, k), which is what they are near."""
    found = []
    for form in asked_for(study):
        levels = form.levels_in(study)
        solutions: Solutions = code(form.solve)(study, stack)
        n = len(solutions.W)
        of_data = {name: np.tile(values, n) for name, values in geometry([stack.problem]).items()}
        limit = min_norm if solutions.limit is None else solutions.limit
        measured = stack.measure([stack.problem] * n, solutions.W, [limit] * n)
        rows = {**identity(stack.batch, [(UNABLATED[0], level) for level in levels]), **of_data, **measured}
        rows |= {"estimator": form.name, "status": "closed_form", **stack.of_targets}
        found.append(rows | solutions.columns)
    return found


def ridge(study: Study, stack: Stack) -> Solutions:
    """Ridge at each level of `ridge.levels`: λ itself, or a share of σ₁²/N."""
    part = penalised(stack.problem, stack.n_train)
    unit = torch.ones_like(part.spectrum.s[:, 0])
    if study.ridge.relative:
        unit = part.spectrum.s[:, 0].square() / stack.n_train
    penalties = [level * unit for level in study.ridge.levels]
    return _ridge(part, penalties, {"penalty": torch.cat(penalties).cpu().numpy()})


def ridge_loo(study: Study, stack: Stack) -> Solutions:
    """Ridge whose λ predicts best the training rows it has not seen, of each cell."""
    part = penalised(stack.problem, stack.n_train)
    penalty, error = best_penalty(part.with_constant, part.Y, ridge_grid(part.spectrum), stack.n_train)
    return _ridge(part, [penalty], {"penalty": penalty.cpu().numpy(), "loo_mse": error.cpu().numpy()})


def _ridge(part: Penalised, penalties: Sequence[Tensor], columns: Columns) -> Solutions:
    """A column of ones is not penalised, so that the limit λ → 0 is X⁺Y for N ≥ P alone: below, X⁺Y keeps it small."""
    spec = part.spectrum
    W = _filtered(spec, part.Y, [ridge_filter(spec, penalty.unsqueeze(-1)) for penalty in penalties])
    limit = None if part.means is None else part.readout(spec.solve(part.Y))
    return Solutions([part.readout(w) for w in W], columns, limit)


def gd_exact(study: Study, stack: Stack) -> Solutions:
    """W_t of plain gradient descent from zero at each t of `gd_exact.steps`, with the step size of `gd`."""
    spec, steps = stack.problem.spectrum, study.gd_exact.steps
    curvature = spec.s[:, 0].square()
    eta = step_size_for(curvature)
    if study.gd.step_size.value != "auto":
        eta = torch.full_like(curvature, float(study.gd.step_size.value))
    eta = in_precision(eta, getattr(torch, study.gd.dtype))
    filters = [gd_filter(spec, eta.unsqueeze(-1), torch.full_like(eta, t).unsqueeze(-1)) for t in steps]
    readouts = _filtered(spec, stack.problem.Y, [f for f, _ in filters])
    W = [times_power_of_two(w, power[:, None, None]) for w, (_, power) in zip(readouts, filters, strict=True)]
    columns = {"step_size": np.tile(eta.cpu().numpy(), len(steps)), "step": np.repeat(steps, len(eta))}
    return Solutions(W, columns | {"step_size_limit": np.tile((2 / curvature).cpu().numpy(), len(steps))})


def _filtered(spec: Spectrum, Y: Tensor, filters: Sequence[Tensor]) -> list[Tensor]:
    """V (f ∘ UᵀY) for each filter f (C, R), side by side through one product: each (C, P, k)."""
    seen = product(spec.U.mT, Y)
    coefficients = torch.cat([f.unsqueeze(-1) * seen for f in filters], -1)
    return list(product(spec.Vt.mT, coefficients).split(Y.shape[-1], -1))
