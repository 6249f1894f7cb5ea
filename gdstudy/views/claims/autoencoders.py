"""What App. C says of nonlinear models, on autoencoders: where they diverge without noise, and what they store."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pandas import DataFrame, Series

from gdstudy.views.claims.rule import Rule, at_least, at_most, spike
from gdstudy.views.summary import CELL, select
from gdstudy.views.sweeps import Sweep


def _is_readout(sweep: Sweep) -> bool:
    return sweep.model.autoencoder and not sweep.model.layered


def _misfits(sweep: Sweep) -> bool:
    """A readout that cannot give its inputs back exactly, whatever its weights, though nothing is noisy."""
    return _is_readout(sweep) and not sweep.model.realises and not sweep.noisy


def _realises(sweep: Sweep) -> bool:
    """The best readout of all rows has no residuals, so that X⁺E of every cell is zero up to rounding."""
    if not (_is_readout(sweep) and sweep.model.realises):
        return False
    return bool((sweep.rows["variance_mean_of_squares"] / sweep.rows["target_mean_square"]).max() < 1e-9)


def _is_linear(sweep: Sweep) -> bool:
    return sweep.model.autoencoder and sweep.model.plain


def _rise(sweep: Sweep) -> float:
    curve = sweep.median(sweep.rows, "relative_test_mse")
    return float(curve.median.max() / curve.median[0]) if len(curve.x) > 2 else np.nan


def _left_beyond(sweep: Sweep) -> float:
    """Largest median share that is lost at any N above the largest rank of the training features."""
    curve = sweep.median(sweep.rows, "relative_test_mse")
    enough = curve.x > sweep.rows["rank"].max()
    return float(curve.median[enough].max()) if sweep.size == "n_train" and enough.any() else np.nan


def _smallest(value: str, side: Callable[[DataFrame], Series]) -> Callable[[Sweep], float]:
    return lambda sweep: float(sweep.rows.loc[side(sweep.rows), value].min())


def _stored_alone(sweep: Sweep) -> float:
    largest = sweep.rows["n_train"].max()
    beyond = sweep.size == "n_train" and largest >= 2 * sweep.threshold
    return sweep.at(sweep.rows, largest, "data_point_dimension") if beyond else np.nan


def _trained_dimensions(sweep: Sweep) -> float:
    """Largest gap between what trained GD's own map says, tr W/N, and R/N of the closed form, converged cells."""
    closed = sweep.rows[[*CELL, "data_point_dimension"]]
    trained = select(sweep.trained[[*closed, "status"]], status="converged")
    cells = trained.merge(closed, on=CELL, suffixes=("", "_closed"))
    gaps = (cells["data_point_dimension"] - cells["data_point_dimension_closed"]).abs()
    return float(gaps.max(skipna=False))


_SPIKE = "median test error at the threshold over the larger of those at half and twice"
AUTOENCODERS = (
    Rule(
        claim="an autoencoder diverges without label noise",
        where="App. C (1)",
        measure=_SPIKE,
        number=spike,
        bound=at_least(5, partly=2),
        about=_misfits,
    ),
    Rule(
        claim="a linear autoencoder diverges where its inputs are noisy",
        where="App. C (1), Eqn. 1",
        measure=_SPIKE,
        number=spike,
        bound=at_least(5, partly=2),
        about=lambda s: _is_linear(s) and s.noisy,
    ),
    Rule(
        claim="the best map of rank k from noisy inputs diverges too",
        where="App. C (1), Eqn. 1",
        measure=_SPIKE,
        number=spike,
        bound=at_least(5, partly=2),
        # It is the same map whatever the start: one of them says it.
        about=lambda s: s.model.reference == "reduced_rank" and s.model.start == "small" and s.noisy,
    ),
    Rule(
        claim="without residuals there is no divergence, though the model is the same",
        where="App. C (1), Fig. 4",
        measure="largest median test error over that at the smallest size",
        number=_rise,
        bound=at_most(2, partly=5),
        about=_realises,
    ),
    Rule(
        claim="and nothing is lost once all directions were seen",
        where="App. C (1), Fig. 4",
        measure="largest median share of the inputs that is lost, N above the largest rank",
        number=_left_beyond,
        bound=at_most(1e-8, partly=1e-4),
        about=_realises,
    ),
    Rule(
        claim="N < P: the Gram matrix is invertible, every data point is stored",
        where="App. C (2)",
        measure="smallest mean leverage of a training row, R/N, N < P",
        number=_smallest("data_point_dimension", lambda t: t["n_train"] < t["n_parameters"]),
        bound=at_least(0.999, partly=0.9),
        about=_is_readout,
    ),
    Rule(
        claim="N > P: the second-moment matrix is invertible, every feature is known",
        where="App. C (2)",
        measure="smallest mean leverage of a feature, R/P, N > P",
        number=_smallest("feature_dimension", lambda t: t["n_train"] > t["n_parameters"]),
        bound=at_least(0.999, partly=0.9),
        about=_is_readout,
    ),
    Rule(
        claim="N > P: no data point is stored alone",
        where="App. C (2)",
        measure="median mean leverage of a training row at the largest N",
        number=_stored_alone,
        bound=at_most(0.5, partly=0.9),
        about=_is_readout,
    ),
    Rule(
        claim="trained GD divides its dimensions between data points as X⁺X does",
        where="App. C (2), App. D",
        measure="largest |tr W − R|/N of converged cells",
        number=_trained_dimensions,
        trained=True,
        bound=at_most(1e-4, partly=1e-2),
        about=lambda s: _is_linear(s) and not s.noisy and s.descends,
    ),
)
