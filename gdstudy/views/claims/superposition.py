"""What is said of the toy ReLU autoencoder: three regimes along T, and whether optimisation makes the peak."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from pandas import DataFrame

from gdstudy.views.claims.rule import Rule, at_least, at_most
from gdstudy.views.summary import best_by_training, measured
from gdstudy.views.sweeps import Sweep


def _is_superposition(sweep: Sweep) -> bool:
    return sweep.model.has_regimes


def _by_seed(rows: DataFrame) -> np.ndarray:
    """Test losses (seeds, T), infinite where the cell diverged."""
    losses = rows.assign(loss=measured(rows, "relative_test_mse"))
    return losses.pivot(index="seed", columns="n_train", values="loss").to_numpy()


def _peaks(rows: DataFrame) -> float:
    """Share of seeds whose test loss at the T where their median is worst is above that at both ends."""
    values = _by_seed(rows)
    median = np.median(values, axis=0)
    if values.shape[1] < 3 or not np.isfinite(median).all():
        return np.nan
    return float((values[:, median.argmax()] > np.maximum(values[:, 0], values[:, -1])).mean())


def _has_peak(sweep: Sweep) -> bool:
    """There is something to go."""
    return _peaks(sweep.rows) >= 0.5


def _peaks_of_best_rate(sweep: Sweep) -> float:
    """The same where each cell has the step size, of all tried, that trains it best."""
    others = sweep.other_step_sizes.values()
    return _peaks(best_by_training([sweep.rows, *others])) if others and _has_peak(sweep) else np.nan


def _peaks_of_best_start(sweep: Sweep) -> float:
    restarted = sweep.restarted
    return _peaks(restarted[max(restarted)]) if restarted and _has_peak(sweep) else np.nan


def _stored(end: int) -> Callable[[Sweep], float]:
    def number(sweep: Sweep) -> float:
        curve = sweep.median(sweep.rows, "data_point_dimension")
        if len(curve.x) < 3 or not np.isfinite(curve.median).all():
            return np.nan
        return float(curve.median[end] * max(1, curve.x[end] / sweep.first("n_hidden")))

    return number


def _gap_at_largest(sweep: Sweep) -> float:
    sizes = np.unique(sweep.rows["n_train"])
    test, train = (sweep.at(sweep.rows, sizes[-1], f"relative_{name}_mse") for name in ("test", "train"))
    return test / train if len(sizes) > 2 else np.nan


_SEEDS = "share of seeds whose test loss at the worst T is above that at the smallest and at the largest T"
_rule = partial(Rule, source=("henighan2023", "schaeffer2023"), about=_is_superposition)
SUPERPOSITION = (
    _rule(
        claim="the test loss is worst between two regimes",
        where="App. C",
        measure=_SEEDS,
        number=lambda s: _peaks(s.rows),
        bound=at_least(0.9, partly=0.5),
    ),
    _rule(
        claim="few data: data points are stored",
        where="App. C (2)",
        measure="median dimensionality of data points over that of all alike (m/T, at most 1), smallest T",
        number=_stored(0),
        bound=at_least(0.8, partly=0.5),
    ),
    _rule(
        claim="many data: they are not",
        where="App. C (2)",
        measure="median dimensionality of data points over that of all alike, largest T",
        number=_stored(-1),
        bound=at_most(0.2, partly=0.5),
    ),
    _rule(
        claim="many data: what is stored generalises",
        where="App. C (2)",
        measure="median test loss over median training loss, largest T",
        number=_gap_at_largest,
        bound=at_most(1.1, partly=1.3),
    ),
    _rule(
        claim="the peak goes with a step size chosen by training loss",
        source=("henighan2023",),
        where="update of July 2023",
        measure=_SEEDS,
        number=_peaks_of_best_rate,
        bound=at_most(0.1, partly=0.5),
    ),
    _rule(
        claim="the peak goes with the best of several starts by training loss",
        source=("henighan2023",),
        where="update of July 2023",
        measure=_SEEDS,
        number=_peaks_of_best_start,
        bound=at_most(0.1, partly=0.5),
    ),
)
