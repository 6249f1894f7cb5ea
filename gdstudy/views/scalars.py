"""What TensorBoard shows of a run as curves: the folder of each estimator, its tags, and the points of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pandas import DataFrame

from gdstudy.experiment.tables import Run
from gdstudy.study.estimators import CLOSED_FORMS, written
from gdstudy.study.models import REFERENCES, Model
from gdstudy.views.summary import Curve, by_size, by_step, groups, representative_sizes, select
from gdstudy.views.sweeps import Sweep, sweeps

VALUES = ("test_mse", "train_mse", "smallest_singular_value", "distance")
PARTS = ("variance_mean_of_squares", "bias_mean_of_squares", "bias_square_of_mean", "worst_mode_share")
ACCURACIES = ("test_accuracy", "train_accuracy")  # where targets are classes
CONVERGENCE = ("distance", "test_mse", "train_mse")
# Of an autoencoder: errors over the mean square of its inputs, and what it stores.
SHARES = ("relative_test_mse", "relative_train_mse")
DIMENSIONS = ("data_point_dimension", "feature_dimension", "weight_norm")
# Of ridge and the exact iterate.
OF_CLOSED_FORMS = (*VALUES, "weight_norm", "penalty", "loo_mse")
GROUPS = {"n_train": "sweep", "n_parameters": "sweep_p", "n_hidden": "sweep_hidden"}


@dataclass(frozen=True)
class Series:
    """The curves of one estimator, or of one level of an ablation, along one sweep. folder: below the run's."""

    folder: Path
    sweep: Sweep
    estimator: str
    ablation: str
    rows: DataFrame

    def scalars(self) -> Iterator[tuple[str, Curve]]:
        """Tags and their curves."""
        return _scalars(self.sweep, self.estimator, self.ablation, self.rows)


def series(run: Run) -> Iterator[Series]:
    """All of a run; several have the same folder where it sweeps several sizes."""
    for sweep in sweeps(run):
        for (estimator, ablation, level), rows in groups(sweep.results, "estimator", "ablation", "level"):
            yield Series(_folder(sweep, estimator, ablation, level), sweep, estimator, ablation, rows)


def _folder(sweep: Sweep, estimator: str, ablation: str, level: float) -> Path:
    folder = Path(sweep.dataset) / ("" if sweep.model.regression else sweep.model.name) / estimator
    if ablation != "none":
        folder /= ablation if np.isnan(level) else f"{ablation}/{level:.3g}"
    elif not np.isnan(level):
        folder /= f"{CLOSED_FORMS[estimator].folder}={written(level)}"
    return folder


def _scalars(sweep: Sweep, estimator: str, ablation: str, rows: DataFrame) -> Iterator[tuple[str, Curve]]:
    """Tags `sweep/…` have N as their step, `sweep_p/…` P, `sweep_hidden/…` the hidden width. Ablation levels have test
    and train MSE only."""
    group = GROUPS[sweep.size]
    for value in _values(sweep.model, estimator, ablation):
        if np.isfinite(rows[value]).any():
            yield f"{group}/{value}", by_size(rows, value, sweep.size)
    if estimator in sweep.study.trained and ablation == "none":
        share = (rows["status"] == "converged").groupby(rows[sweep.size]).mean()
        yield f"{group}/fraction_converged", Curve(share.index.to_numpy(), *[share.to_numpy()] * 4)
    moves = ablation == "none" and estimator not in ("theory", *CLOSED_FORMS)
    if sweep.size == "n_train" and moves and len(sweep.checkpoints):
        yield from _convergence(sweep, estimator, rows)


def _values(model: Model, estimator: str, ablation: str) -> tuple[str, ...]:
    shares = SHARES if model.autoencoder else ()
    if estimator == "theory":
        return ("test_mse", *shares[:1])
    if ablation != "none":
        return (*VALUES[:2], *shares, *ACCURACIES)
    if estimator in CLOSED_FORMS:
        return (*OF_CLOSED_FORMS, *shares, *ACCURACIES)
    if model.autoencoder:
        return (*VALUES, *shares, *DIMENSIONS)
    return (*VALUES, *ACCURACIES, *PARTS) if estimator == "min_norm" else (*VALUES, *ACCURACIES)


def _convergence(sweep: Sweep, estimator: str, rows: DataFrame) -> Iterator[tuple[str, Curve]]:
    """Tags `convergence/…` have t as their step: of a training, of its exact iterate, and of the limit as a line."""
    exact = {f"{name}_closed_form": name for name in sweep.study.trained}
    checkpoints = sweep.checkpoints
    if estimator not in REFERENCES:
        checkpoints = select(checkpoints, estimator=exact.get(estimator, estimator))
    values: tuple[str, ...] = ("distance", *SHARES) if sweep.model.autoencoder else CONVERGENCE
    values = (*values, *ACCURACIES[:1]) if sweep.classes else values
    for n in representative_sizes(sweep.sizes, sweep.threshold):
        here = select(checkpoints, n_train=n)
        for value in values:
            tag, name = f"convergence/N={n}/{value}", f"exact_{value}" if estimator in exact else value
            if estimator in REFERENCES:
                limit, steps = by_size(select(rows, n_train=n), value), np.unique(here["step"])
                bands = (limit.low, limit.median, limit.high, limit.mean)
                yield tag, Curve(steps, *(np.repeat(band, len(steps)) for band in bands))
            elif np.isfinite(here[name]).any():
                yield tag, by_step(here, name)
