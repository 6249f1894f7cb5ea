"""The paper's claims on the spike of least squares, and on which part of the error makes it: Figs. 1, 5 and Eqn. 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pandas import DataFrame, Series

from gdstudy.views.claims import rounding
from gdstudy.views.claims.rule import Rule, at_least, at_most, spike
from gdstudy.views.summary import select
from gdstudy.views.sweeps import Sweep


def _surrounds(sizes: np.ndarray, threshold: int) -> bool:
    """Whether there are several sizes, the threshold among them, and on both sides: elsewhere a curve may only rise."""
    return len(sizes) >= 5 and threshold in sizes and bool(sizes.min() < threshold < sizes.max())


def _offset(sweep: Sweep, value: str, extreme: Callable[[np.ndarray], np.intp]) -> float:
    curve = sweep.median(sweep.rows, value)
    # Of a curve that is level everywhere each size is the largest.
    if not _surrounds(curve.x, sweep.threshold) or curve.median.min() == curve.median.max():
        return np.nan
    return float(abs(curve.x[extreme(curve.median)] - sweep.threshold))


def _share_smallest_near(sweep: Sweep) -> float:
    """Share of seeds whose smallest σ_R over all N stands at N = P or next to it."""
    table = sweep.rows[["seed", sweep.size, "smallest_singular_value"]]
    by_seed = table.pivot(index="seed", columns=sweep.size, values="smallest_singular_value")
    if not _surrounds(by_seed.columns.to_numpy(), sweep.threshold):
        return np.nan
    return float((abs(by_seed.idxmin(axis=1) - sweep.threshold) <= 1).mean())


def _median_at_threshold(value: Callable[[DataFrame], Series]) -> Callable[[Sweep], float]:
    return lambda sweep: float(value(select(sweep.rows, **{sweep.size: sweep.threshold})).median(skipna=False))


def _bias_beyond_threshold(sweep: Sweep) -> float:
    rows = sweep.rows[["n_train", "n_parameters", "rank", "bias_mean_of_squares", "test_mse"]]
    enough = rows[(rows["n_train"] >= rows["n_parameters"]) & (rows["rank"] == rows["n_parameters"])]
    return float((enough["bias_mean_of_squares"] / enough["test_mse"]).max())


LEAST_SQUARES = (
    Rule(
        claim="the test error spikes at the interpolation threshold",
        where="Fig. 1, App. C",
        measure="median test MSE at N = P over the larger of those at half and twice",
        number=spike,
        bound=at_least(5, partly=2),
        at_threshold=True,
    ),
    Rule(
        claim="the test error is largest at the threshold",
        where="Fig. 1, App. C",
        measure="distance from N = P of the largest median test MSE, in rows or parameters",
        number=lambda s: _offset(s, "test_mse", np.argmax),
        bound=at_most(1, partly=3),
        at_threshold=True,
    ),
    Rule(
        claim="smallest non-zero singular value: smallest near N = P",
        where="Fig. 5, App. A",
        measure="distance from N = P of the smallest median σ_R, in rows or parameters",
        number=lambda s: _offset(s, "smallest_singular_value", np.argmin),
        bound=at_most(1, partly=3),
        at_threshold=True,
    ),
    Rule(
        claim="the smallest non-zero singular value is most likely smallest near N = P",
        where="Fig. 5, App. A",
        measure="share of seeds whose σ_R is the smallest over all sizes within one row or parameter of N = P",
        number=_share_smallest_near,
        bound=at_least(0.5, partly=0.25),
        at_threshold=True,
    ),
    Rule(
        claim="prediction error = sum over modes + bias",
        where="Eqn. 1",
        measure="largest relative RMS of what modes and bias leave of ŷ − y*, over all cells",
        number=lambda s: float(s.rows["mode_sum_error"].max()),
        bound=at_most(1e-10, partly=1e-6),
        rounding=rounding.of_mode_sum,
    ),
    Rule(
        claim="the variance term makes the spike",
        where="Eqn. 1",
        measure="median share of X⁺E's mean square in the test MSE at N = P",
        number=_median_at_threshold(lambda rows: rows["variance_mean_of_squares"] / rows["test_mse"]),
        bound=at_least(0.9, partly=0.5),
        at_threshold=True,
    ),
    Rule(
        claim="a single mode carries most of it",
        where="Eqn. 1",
        measure="median share of the worst mode at N = P",
        number=_median_at_threshold(lambda rows: rows["worst_mode_share"]),
        bound=at_least(0.5, partly=0.3),
        at_threshold=True,
    ),
    Rule(
        claim="no bias once N ≥ P",
        where="Eqn. 1",
        measure="largest bias (mean of squares) over test MSE, cells with N ≥ P of full rank",
        number=_bias_beyond_threshold,
        bound=at_most(1e-12, partly=1e-6),
        rounding=rounding.of_bias,
    ),
)
