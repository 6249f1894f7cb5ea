"""The paper's claims on least squares and on gradient descent from zero."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gdstudy.experiment.tables import Table
from gdstudy.views.claims import rounding
from gdstudy.views.claims.rule import Rule, deviation, distance_of_converged, spike
from gdstudy.views.summary import Sweep, at_steps, quantiles, select


def _is_readout(sweep: Sweep) -> bool:
    return sweep.reference == "min_norm"


def _spikes(sweep: Sweep) -> bool:
    """A readout with a spike that training can be late for."""
    return _is_readout(sweep) and spike(sweep) >= 2


def _offset(sweep: Sweep, value: str, extreme: Callable[[np.ndarray], np.intp]) -> float:
    curve = sweep.median(sweep.rows, value)
    if len(curve.x) < 5 or sweep.threshold not in curve.x:
        return np.nan
    return float(abs(curve.x[extreme(curve.median)] - sweep.threshold))


def _left(name: str, level: Callable[[np.ndarray], float]) -> Callable[[Sweep], float]:
    """What an ablation leaves of the median test error at N = P, as a share of the unablated one."""

    def number(sweep: Sweep) -> float:
        ablated = sweep.ablation(name, level)
        if ablated is None:
            return np.nan
        return sweep.at(ablated, sweep.threshold) / sweep.at(sweep.rows, sweep.threshold)

    return number


def _median_at_threshold(value: Callable[[Table], np.ndarray]) -> Callable[[Sweep], float]:
    def number(sweep: Sweep) -> float:
        here = sweep.rows[sweep.size] == sweep.threshold
        return float(np.median(value(sweep.rows)[here])) if here.any() else np.nan

    return number


def _largest(value: np.ndarray, where: np.ndarray) -> float:
    return float(np.nanmax(value[where])) if where.any() else np.nan


def _bias_beyond_threshold(sweep: Sweep) -> float:
    rows = sweep.rows
    enough = (rows["n_train"] >= rows["n_parameters"]) & (rows["rank"] == rows["n_parameters"])
    return _largest(rows["bias_mean_of_squares"] / rows["test_mse"], enough)


def _leak(sweep: Sweep) -> float:
    rows = sweep.trained
    return _largest(rows["row_space_leak"], rows["status"] != "diverged")


def _train_error_below(sweep: Sweep) -> float:
    rows = sweep.trained
    below = (rows["n_train"] < rows["n_parameters"]) & (rows["rank"] == rows["n_train"])
    return _largest(rows["train_mse"] / rows["test_mse"], below & (rows["status"] == "converged"))


def _slowest(sweep: Sweep) -> float:
    rows = sweep.trained
    needed = {**rows, "needed": rows["step"] + rows["steps_to_tolerance"]}
    twice = sweep.at(needed, 2 * sweep.threshold, "needed")
    return sweep.at(needed, sweep.threshold, "needed") / twice


def _early(sweep: Sweep) -> float:
    here = sweep.curves[sweep.size] == sweep.threshold
    if not here.any():
        return np.nan
    _, values = at_steps({name: column[here] for name, column in sweep.curves.items()}, "test_mse", np.array([100]))
    return float(quantiles(values[:, 0])[1]) / sweep.at(sweep.rows, sweep.threshold)


def _theory(sweep: Sweep) -> float:
    exact = select(sweep.results, estimator="theory")
    if not len(exact["test_mse"]) or sweep.size != "n_train":
        return np.nan
    measured = sweep.median(sweep.rows)
    away = (measured.x <= sweep.threshold / 2) | (measured.x >= 1.5 * sweep.threshold)
    risk = dict(zip(exact["n_train"].tolist(), exact["test_mse"].tolist(), strict=True))
    expected = np.array([risk.get(n, np.nan) for n in measured.x.tolist()])  # not known for every N, or nothing
    known = away & (expected > 0)
    return float(np.abs(measured.mean[known] / expected[known] - 1).max()) if known.any() else np.nan


_AT_P = "median test MSE at N = P over that without the ablation"
LEAST_SQUARES = (
    Rule(
        "the test error spikes at the interpolation threshold",
        "Fig. 1, App. C",
        "median test MSE at N = P over the larger of those at half and twice",
        spike,
        "≥",
        5,
        2,
    ),
    Rule(
        "the test error is largest at the threshold",
        "Fig. 1, App. C",
        "distance from N = P of the largest median test MSE, in rows or parameters",
        lambda s: _offset(s, "test_mse", np.argmax),
        "≤",
        1,
        3,
    ),
    Rule(
        "smallest non-zero singular value: smallest near N = P",
        "Fig. 5, App. A",
        "distance from N = P of the smallest median σ_R, in rows or parameters",
        lambda s: _offset(s, "smallest_singular_value", np.argmin),
        "≤",
        1,
        3,
    ),
    Rule(
        "prediction error = sum over modes + bias",
        "Eqn. 1",
        "largest relative RMS of what modes and bias leave of ŷ − y*, over all cells",
        lambda s: float(np.nanmax(s.rows["mode_sum_error"])),
        "≤",
        1e-10,
        1e-6,
        rounding=rounding.of_mode_sum,
    ),
    Rule(
        "the variance term makes the spike",
        "Eqn. 1",
        "median share of X⁺E's mean square in the test MSE at N = P",
        _median_at_threshold(lambda rows: rows["variance_mean_of_squares"] / rows["test_mse"]),
        "≥",
        0.9,
        0.5,
    ),
    Rule(
        "a single mode carries most of it",
        "Eqn. 1",
        "median share of the worst mode at N = P",
        _median_at_threshold(lambda rows: rows["worst_mode_share"]),
        "≥",
        0.5,
        0.3,
    ),
    Rule(
        "no bias once N ≥ P",
        "Eqn. 1",
        "largest bias (mean of squares) over test MSE, cells with N ≥ P of full rank",
        _bias_beyond_threshold,
        "≤",
        1e-12,
        1e-6,
        rounding=rounding.of_bias,
    ),
    Rule(
        "factor 1: without small singular values the spike goes (largest cutoff)",
        "Fig. 2",
        _AT_P,
        _left("singular_value_cutoff", np.max),
        "≤",
        0.1,
        0.5,
    ),
    Rule(
        "factor 1: the smallest cutoff leaves the spike",
        "Fig. 2",
        _AT_P,
        _left("singular_value_cutoff", np.min),
        "≥",
        0.9,
        0.5,
    ),
    Rule(
        "factor 2: test features in the leading modes, and the spike goes (fewest modes)",
        "Fig. 3",
        _AT_P,
        _left("leading_modes", np.min),
        "≤",
        0.1,
        0.5,
    ),
    Rule(
        "factor 2: the most modes leave the spike",
        "Fig. 3",
        _AT_P,
        _left("leading_modes", np.max),
        "≥",
        0.9,
        0.5,
    ),
    Rule(
        "factor 3: without residuals the spike goes",
        "Fig. 4",
        _AT_P,
        _left("no_residuals", np.max),
        "≤",
        1e-6,
        0.5,
        rounding=rounding.of_no_residuals,
    ),
    Rule(
        "adversarial test data, moved along v_R, raise the spike (strongest)",
        "longer paper",
        _AT_P,
        _left("adversarial_test", np.max),
        "≥",
        5,
        1.5,
    ),
    Rule(
        "adversarial test data of strength 0 change nothing (weakest)",
        "longer paper",
        _AT_P + ", minus 1",
        lambda s: abs(_left("adversarial_test", np.min)(s) - 1),
        "≤",
        1e-9,
        0.1,
    ),
    Rule(
        "adversarial training data, moved along u_R, raise the spike (strongest)",
        "longer paper",
        _AT_P,
        _left("adversarial_train", np.max),
        "≥",
        5,
        1.5,
    ),
    Rule(
        "adversarial training data of strength 0 change nothing (weakest)",
        "longer paper",
        _AT_P + ", minus 1",
        lambda s: abs(_left("adversarial_train", np.min)(s) - 1),
        "≤",
        1e-9,
        0.1,
    ),
    Rule(
        "the mean test error is the exact expected risk away from N = P",
        "Hastie et al. 2022",
        "largest relative gap of the mean over seeds to theory, N ≤ P/2 or N ≥ 1.5 P; splits share one sample",
        _theory,
        "≤",
        0.1,
        0.3,
        _is_readout,
    ),
    Rule(
        "trained GD from zero ends at X⁺y",
        "App. D",
        "largest ‖W − X⁺y‖ / ‖X⁺y‖ of the converged cells",
        distance_of_converged,
        "≤",
        1e-4,
        1e-2,
        _is_readout,
        rounding=rounding.of_distance,
    ),
    Rule(
        "GD from zero never leaves the row space",
        "App. D",
        "largest ‖(I − X⁺X)W‖ / ‖W‖ of all trained cells",
        _leak,
        "≤",
        1e-10,
        1e-6,
        _is_readout,
        rounding=rounding.of_leak,
    ),
    Rule(
        "trained GD is its closed form at every step",
        "App. D",
        "largest ‖W_t − exact W_t‖ / ‖exact W_t‖ over all checkpoints",
        deviation,
        "≤",
        1e-8,
        1e-4,
        _is_readout,
        rounding=rounding.of_deviation,
    ),
    Rule(
        "with N < P, GD fits the training data exactly",
        "App. D",
        "largest train over test MSE of converged cells, N < P",
        _train_error_below,
        "≤",
        1e-9,
        1e-4,
        _is_readout,
        rounding=rounding.of_train_error,
    ),
    Rule(
        "GD is slowest at N = P",
        "App. D",
        "median steps to the tolerance at N = P over those at 2 P",
        _slowest,
        "≥",
        5,
        2,
        _spikes,
    ),
    Rule(
        "GD stopped early hides the spike",
        "App. D",
        "median test MSE after 100 steps at N = P over that of X⁺y",
        _early,
        "≤",
        0.5,
        0.9,
        _spikes,
    ),
)
