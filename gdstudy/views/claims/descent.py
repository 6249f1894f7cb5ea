"""The paper's claims on gradient descent from zero (App. D), of readouts that plain descent was trained on."""

from __future__ import annotations

from functools import partial

import numpy as np

from gdstudy.views.claims import rounding
from gdstudy.views.claims.rule import Rule, at_least, at_most, deviation, distance_of_converged, spike
from gdstudy.views.summary import by_size_after, select
from gdstudy.views.sweeps import Sweep


def _descends(sweep: Sweep) -> bool:
    return sweep.reference == "min_norm" and sweep.descends


def _spikes(sweep: Sweep) -> bool:
    """A readout with a spike that training can be late for."""
    return _descends(sweep) and spike(sweep) >= 2


def _leak(sweep: Sweep) -> float:
    return float(sweep.trained.loc[sweep.trained["status"] != "diverged", "row_space_leak"].max())


def _train_error_below(sweep: Sweep) -> float:
    rows = select(
        sweep.trained[["n_train", "n_parameters", "rank", "train_mse", "test_mse", "status"]], status="converged"
    )
    below = rows[(rows["n_train"] < rows["n_parameters"]) & (rows["rank"] == rows["n_train"])]
    return float((below["train_mse"] / below["test_mse"]).max())


def _slowest(sweep: Sweep) -> float:
    rows = sweep.trained
    needed = rows.assign(needed=rows["step"] + rows["steps_to_tolerance"])
    twice = sweep.at(needed, 2 * sweep.threshold, "needed")
    return sweep.at(needed, sweep.threshold, "needed") / twice


def _early(sweep: Sweep) -> float:
    here = select(sweep.curves, **{sweep.size: sweep.threshold})
    if here.empty or sweep.study.trained[sweep.main].steps < 100:
        return np.nan
    (after,) = by_size_after(here, "test_mse", [100], sweep.size)
    early = float(after.median[0])  # infinite where most have diverged
    return early / sweep.at(sweep.rows, sweep.threshold) if np.isfinite(early) else np.nan


_rule = partial(Rule, where="App. D", about=_descends, trained=True)
DESCENT = (
    _rule(
        claim="trained GD from zero ends at X⁺y",
        measure="largest ‖W − X⁺y‖ / ‖X⁺y‖ of the converged cells",
        number=distance_of_converged,
        bound=at_most(1e-4, partly=1e-2),
        rounding=rounding.of_distance,
    ),
    _rule(
        claim="GD from zero never leaves the row space",
        measure="largest ‖(I − X⁺X)W‖ / ‖W‖ of all cells of the main training",
        number=_leak,
        bound=at_most(1e-10, partly=1e-6),
        rounding=rounding.of_leak,
    ),
    _rule(
        claim="trained GD is its closed form at every step",
        measure="largest ‖W_t − exact W_t‖ / ‖exact W_t‖ over all checkpoints",
        number=deviation,
        bound=at_most(1e-8, partly=1e-4),
        rounding=rounding.of_deviation,
    ),
    _rule(
        claim="with N < P, GD fits the training data exactly",
        measure="largest train over test MSE of converged cells, N < P",
        number=_train_error_below,
        bound=at_most(1e-9, partly=1e-4),
        rounding=rounding.of_train_error,
        within="the tolerance",
    ),
    _rule(
        claim="GD is slowest at N = P",
        measure="median steps to the tolerance at N = P over those at 2 P",
        number=_slowest,
        bound=at_least(5, partly=2),
        about=_spikes,
        at_threshold=True,
    ),
    _rule(
        claim="GD stopped early hides the spike",
        measure="median test MSE after 100 steps at N = P over that of X⁺y",
        number=_early,
        bound=at_most(0.5, partly=0.9),
        about=_spikes,
        at_threshold=True,
    ),
)
