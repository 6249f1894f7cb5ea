"""The evidence of a diagnosis as tables, in the units of what was given, and beside it the errors on test rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gdstudy.closed_form.leave_one_out import FOLDS
from gdstudy.experiment.candidates import Fit
from gdstudy.experiment.evidence import Evidence
from gdstudy.experiment.preprocessed import Preprocessed


@dataclass(frozen=True, eq=False)
class Units:
    """Powers of two: X was given in units of 2^x, Y in units of 2^y. classes: Y holds one output a class."""

    x: int
    y: int
    classes: bool

    def of(self, value: Any, x: int = 0, y: int = 0) -> Any:
        """A number or array without units, of so many powers of X and Y, as it was given."""
        with np.errstate(over="ignore", under="ignore"):  # squares of units may leave float64
            return np.ldexp(np.asarray(value, dtype=np.float64), x * self.x + y * self.y)[()]


def fits_table(evidence: Evidence, units: Units, X_test: Tensor | None, Y_test: Tensor | None) -> pd.DataFrame:
    """A row for each preprocessing and estimator. X_test: (M, P); Y_test: (M, k): without units, or None.

    preprocessing, estimator: as of `Fit`. left_out_mse: mean square of y_i − x_i·W₋ᵢ, left_out_median its median over
    rows, squared units of y; left_out: how, `leave-one-out` or in folds; *_accuracy: share of rows in their class.
    weight_norm: ‖W‖_F, units of y per unit of X, or of y where features are scaled. penalty: λ, units of X², or of
    scaled X²; step: t.
    """
    data = {d.name: d for d in (evidence.given, evidence.base, evidence.scaled)}
    rows = []
    for (name, estimator), fit in evidence.fits.items():
        of_descent = fit.step is not None and not evidence.left_out_singly
        here = data.get(name)
        if here is None:
            here = Preprocessed.of(evidence.given.X, evidence.given.Y, evidence.given.eps, True)
        truth = here.Y + here.offset
        square = fit.left_out.square().mean(1)
        tested = here.predicted(fit.W, X_test) if X_test is not None else None
        scaled = here.scaled
        known = estimator != "null" or here.intercept
        rows.append(
            {
                "preprocessing": name,
                "estimator": estimator,
                "left_out_mse": units.of(square.mean(), y=2),
                "left_out_median": units.of(np.median(square.numpy()), y=2),
                "left_out_accuracy": _accuracy(truth - fit.left_out, truth, units.classes and known),
                "test_mse": units.of(_mean_square(tested, Y_test), y=2),
                "test_accuracy": _accuracy(tested, Y_test, units.classes and known),
                "weight_norm": units.of(fit.W.norm(), x=0 if scaled else -1, y=1),
                "penalty": np.nan if fit.penalty is None else units.of(fit.penalty, x=0 if scaled else 2),
                "step": np.nan if fit.step is None else fit.step,
                "left_out": f"{FOLDS} folds" if of_descent else "leave-one-out",
            }
        )
    return pd.DataFrame(rows)


def _mean_square(predicted: Tensor | None, truth: Tensor | None) -> float:
    return float("nan") if predicted is None or truth is None else float((predicted - truth).square().mean())


def _accuracy(predicted: Tensor | None, truth: Tensor | None, known: bool) -> float:
    if predicted is None or truth is None or not known:
        return float("nan")
    return float((predicted.argmax(1) == truth.argmax(1)).to(torch.float64).mean())


def path_table(evidence: Evidence, units: Units) -> pd.DataFrame:
    """Gradient descent on rows held out: step t, the last infinite, left_out_mse, squared units of y, and best: where
    it is smallest."""
    path = evidence.path
    best = np.arange(len(path.steps)) == path.best
    return pd.DataFrame({"step": path.steps, "left_out_mse": units.of(path.errors, y=2), "best": best})


def modes_table(evidence: Evidence, units: Units) -> pd.DataFrame:
    """Eqn. 1 by mode, the strongest first: the three factors, in units of X, of X and of y, and the share of each mode
    in the variance of X⁺y on rows held out."""
    modes = evidence.modes
    return pd.DataFrame(
        {
            "singular_value": units.of(modes.singular_values, x=1),
            "test_projection": units.of(modes.test_projections, x=1),
            "residual_projection": units.of(modes.residual_projections, y=1),
            "share": modes.shares,
        }
    )


def learning_table(evidence: Evidence, units: Units) -> pd.DataFrame:
    """Errors of n of the rows on others: medians over random subsamples, squared units of y."""
    curve = evidence.learning
    errors = {"min_norm": units.of(curve.min_norm, y=2), "ridge_loo": units.of(curve.ridge, y=2)}
    return pd.DataFrame({"n_train": curve.sizes, **errors})


def one_row_share(fit: Fit) -> float:
    """The largest share of one row in the squared error on rows left out."""
    square = fit.left_out.square().sum(1)
    return float(square.max() / square.sum()) if bool(square.sum() > 0) else 0.0
