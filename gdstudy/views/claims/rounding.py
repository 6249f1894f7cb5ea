"""What rounding alone can make of identities, which no computation meets exactly.

Each gives the values that a claim's number is the largest of, and a bound of what rounding does to each of them.
"""

from __future__ import annotations

import numpy as np
from pandas import DataFrame, Series

from gdstudy.views.claims.rule import Rounding, deviations
from gdstudy.views.summary import select
from gdstudy.views.sweeps import Sweep


def _rounding(values: Series, bounds: Series) -> Rounding:
    return values.to_numpy(), bounds.to_numpy()


def of_mode_sum(sweep: Sweep) -> Rounding:
    rows = sweep.rows
    error = rows["variance_mean_of_squares"] ** 0.5 + rows["bias_mean_of_squares"] ** 0.5
    return _rounding(rows["mode_sum_error"], rows["rounding"] / error)


def of_bias(sweep: Sweep) -> Rounding:
    rows = sweep.rows[["n_train", "n_parameters", "rank", "bias_mean_of_squares", "test_mse", "rounding"]]
    rows = rows[(rows["n_train"] >= rows["n_parameters"]) & (rows["rank"] == rows["n_parameters"])]
    return _rounding(rows["bias_mean_of_squares"] / rows["test_mse"], rows["rounding"] ** 2 / rows["test_mse"])


def of_no_residuals(sweep: Sweep) -> Rounding:
    """Of the median at N = P: half of the cells, at least, are within it."""
    ablated = sweep.ablation("no_residuals", np.max)
    assert ablated is not None  # there is a number
    ablated, whole = ablated.assign(rounding=ablated["rounding"] ** 2), sweep.at(sweep.rows, sweep.threshold)
    left, rounding = (sweep.at(ablated, sweep.threshold, value) / whole for value in ("test_mse", "rounding"))
    return np.array([left]), np.array([rounding])


def of_leak(sweep: Sweep) -> Rounding:
    rows = sweep.trained[["row_space_leak", "precision", "condition_number", "status"]]
    rows = rows[rows["status"] != "diverged"]
    return _rounding(rows["row_space_leak"], 10 * (rows["precision"] * rows["condition_number"]))


def _tolerance(sweep: Sweep, rows: DataFrame) -> Series:
    """What the gradient norm of a converged cell may be of its largest, ‖XᵀY‖ ≤ σ₁‖Y‖."""
    return (100 * rows["precision"]).clip(lower=sweep.study.trained[sweep.main].tolerance)


def of_train_error(sweep: Sweep) -> Rounding:
    """‖XᵀR‖ ≤ tolerance·σ₁‖Y‖ leaves ‖R‖ ≤ tolerance·κ‖Y‖."""
    rows = select(sweep.trained, status="converged")
    rows = rows[(rows["n_train"] < rows["n_parameters"]) & (rows["rank"] == rows["n_train"])]
    left = (_tolerance(sweep, rows) * rows["condition_number"]) ** 2
    bounds = left * rows["target_mean_square"] / rows["test_mse"]
    return _rounding(rows["train_mse"] / rows["test_mse"], bounds)


def of_distance(sweep: Sweep) -> Rounding:
    """A gradient of relative size 100 eps, the least tolerance, leaves κ² times that of the distance."""
    rows = select(sweep.trained, status="converged")
    return _rounding(rows["distance"], 100 * rows["precision"] * rows["condition_number"] ** 2)


def of_saddle(sweep: Sweep) -> Rounding:
    """Where the last mode has not been learnt, its gradient is about init_scale/κ² of the largest: within the tolerance
    it counts as converged."""
    rows = select(sweep.trained, status="converged")
    scale = sweep.study.trained[sweep.main].init_scale
    return _rounding(rows["distance"], _tolerance(sweep, rows) * rows["condition_number"] ** 2 / scale)


def of_deviation(sweep: Sweep) -> Rounding:
    """Each step adds rounding errors of some eps."""
    rows = deviations(sweep)
    rows = rows[np.isfinite(rows["deviation"])]
    return _rounding(rows["deviation"], 10 * sweep.trained["precision"].max() * rows["step"])


def of_ridge(sweep: Sweep) -> Rounding:
    """Both readouts are sums of the same modes: what rounding leaves of their difference is some eps of them."""
    rows = select(sweep.results, estimator="ridge")
    allowed = rows["penalty"] / (rows["smallest_singular_value"] ** 2 + rows["penalty"])
    rows, allowed = rows[allowed > 0], allowed[allowed > 0]
    return _rounding(rows["distance"] / allowed, 1 + 100 * np.finfo(float).eps / allowed)
