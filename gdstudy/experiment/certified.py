"""What a training left undone, beside X⁺y."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gdstudy.closed_form.certificate import left_to_learn, slowest_mode
from gdstudy.closed_form.iterates import steps_to_gradient
from gdstudy.linalg.metrics import frobenius, relative_distance, row_space_leak
from gdstudy.linalg.regression import Regression
from gdstudy.linalg.spectrum import Spectrum
from gdstudy.linalg.units import times_power_of_two
from gdstudy.study.status import Status
from gdstudy.training.descent import State


@dataclass(frozen=True)
class Certificate:
    """What training left undone, beside X⁺y: of the rows as they were trained on, centred and times the root of their
    weights.

    gradient_norm: ‖∇L‖ over the largest it had; tolerance: what that was to be at most.
    distance: ‖W − X⁺y‖/‖X⁺y‖; row_space_leak: ‖(I − X⁺X)W‖/‖W‖, which descent from zero never raises above rounding.
    steps_to_tolerance: how many more steps until gradient_norm is at most tolerance, exact up to rounding for
    descent without momentum and NaN for others; infinite where the step size is unstable.
    rank; singular_values: (R,) σ_r in units of X; remaining: (R,) |v_r·(W − X⁺y)|, 0 for modes that count as zero.
    slowest_singular_value: the smallest σ_r whose |v_r·(W − X⁺y)| is above tolerance·‖X⁺y‖, and slowest_error_share its
    share of ‖W − X⁺y‖² in the row space; both NaN if there is none.
    """

    steps: int
    status: Status
    gradient_norm: float
    tolerance: float
    distance: float
    row_space_leak: float
    steps_to_tolerance: float
    rank: int
    singular_values: np.ndarray
    remaining: np.ndarray
    slowest_singular_value: float
    slowest_error_share: float

    def __str__(self) -> str:
        text = (
            f"{self.status} after {self.steps:,} steps: the gradient is {self.gradient_norm:.1e} of its largest "
            f"(tolerance {self.tolerance:.1e}), ‖W − X⁺y‖/‖X⁺y‖ is {self.distance:.2g}"
        )
        if 0 < self.steps_to_tolerance < np.inf:
            text += f", and {self.steps_to_tolerance:,.0f} more steps would bring the gradient to the tolerance"
        if self.slowest_error_share > 0.5:
            share, kappa = self.slowest_error_share, self.singular_values[0] / self.slowest_singular_value
            text += f"; {share:.0%} of what is left lies in the mode σ₁/σ = {kappa:.3g}"
        return text


def certified(
    problem: Regression,
    spec: Spectrum,
    W0: Tensor | None,
    step_size: Tensor | None,
    last: State,
    tolerance: float,
    unit_of_weights: Tensor,
) -> Certificate:
    """Of the last state of a training. step_size: η without units, where it says how fast modes are learnt.
    tolerance: what was asked for. unit_of_weights: e, of whose 4ᵉ they were freed."""
    x_unit = problem.x_unit + unit_of_weights
    unit = problem.y_unit - problem.x_unit
    limit = spec.solve(problem.Y)
    W = times_power_of_two(last.W.to(torch.float64), -unit)
    remaining = left_to_learn(spec, W[None], limit[None])
    slowest, share = slowest_mode(spec.s[None], remaining, tolerance * frobenius(limit)[None])
    more = torch.tensor([torch.nan])
    if step_size is not None:
        largest = frobenius(problem.X.mT @ problem.Y)
        if W0 is not None:
            start = times_power_of_two(W0.to(torch.float64), -unit)
            largest = torch.maximum(largest, frobenius(problem.X.mT @ (problem.Y - problem.X @ start)))
        more = steps_to_gradient(spec.s[None], step_size[None], remaining, tolerance * largest[None])
    return Certificate(
        steps=int(last.steps),
        status=Status(last.status),
        gradient_norm=float(last.gradient_norm),
        tolerance=tolerance,
        distance=float(relative_distance(W, limit)),
        row_space_leak=float(row_space_leak(W, spec.Vt, spec.nonzero)),
        steps_to_tolerance=float(more[0]),
        rank=int(spec.rank),
        singular_values=times_power_of_two(spec.s, x_unit).numpy(),
        remaining=times_power_of_two(remaining[0], unit).numpy(),
        slowest_singular_value=float(times_power_of_two(slowest[0], x_unit)),
        slowest_error_share=float(share[0]),
    )
