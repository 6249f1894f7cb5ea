"""What rounding alone can make of identities, which no computation meets exactly.

Each gives the values that a claim's number is the largest of, and a bound of what rounding does to each of them.
"""

from __future__ import annotations

import numpy as np

from gdstudy.views.claims.rule import Rounding
from gdstudy.views.summary import Sweep


def of_mode_sum(sweep: Sweep) -> Rounding:
    rows = sweep.rows
    error = np.sqrt(rows["variance_mean_of_squares"]) + np.sqrt(rows["bias_mean_of_squares"])
    return rows["mode_sum_error"], rows["rounding"] / error


def of_bias(sweep: Sweep) -> Rounding:
    rows = sweep.rows
    enough = (rows["n_train"] >= rows["n_parameters"]) & (rows["rank"] == rows["n_parameters"])
    values, bounds = rows["bias_mean_of_squares"] / rows["test_mse"], rows["rounding"] ** 2 / rows["test_mse"]
    return values[enough], bounds[enough]


def of_no_residuals(sweep: Sweep) -> Rounding:
    """Of the median at N = P: half of the cells, at least, are within it."""
    ablated = sweep.ablation("no_residuals", np.max)
    assert ablated is not None  # there is a number
    spike_size = sweep.at(sweep.rows, sweep.threshold)
    left = sweep.at(ablated, sweep.threshold) / spike_size
    rounding = sweep.at({**ablated, "rounding": ablated["rounding"] ** 2}, sweep.threshold, "rounding") / spike_size
    return np.array([left]), np.array([rounding])


def of_leak(sweep: Sweep) -> Rounding:
    rows = sweep.trained
    kept = rows["status"] != "diverged"
    return rows["row_space_leak"][kept], 10 * (rows["precision"] * rows["condition_number"])[kept]


def of_train_error(sweep: Sweep) -> Rounding:
    rows = sweep.trained
    below = (rows["n_train"] < rows["n_parameters"]) & (rows["rank"] == rows["n_train"])
    below &= rows["status"] == "converged"
    bounds = (100 * rows["precision"] * rows["condition_number"]) ** 2 * rows["target_mean_square"] / rows["test_mse"]
    return (rows["train_mse"] / rows["test_mse"])[below], bounds[below]


def of_distance(sweep: Sweep) -> Rounding:
    """A gradient of relative size 100 eps, the least tolerance, leaves κ² times that of the distance."""
    rows = sweep.trained
    ended = rows["status"] == "converged"
    return rows["distance"][ended], 100 * rows["precision"][ended] * rows["condition_number"][ended] ** 2


def of_deviation(sweep: Sweep) -> Rounding:
    """Each step adds rounding errors of some eps."""
    rows = sweep.curves
    kept = np.isfinite(rows["deviation"]) & (rows["status"] != "diverged")
    return rows["deviation"][kept], 10 * np.max(sweep.trained["precision"]) * rows["step"][kept]
