"""TensorBoard: one run per estimator, the same tags in each, so that curves overlay in one card.

Each level of an ablation is a run of its own under its estimator, with the tags of the unablated one.
Written once, at the end, in increasing step: TensorBoard drops what comes out of order.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import isfinite
from pathlib import Path

import numpy as np
from pandas import DataFrame
from tensorboard.compat.proto.summary_pb2 import Summary

from gdstudy.experiment.tables import Run
from gdstudy.study.estimators import CLOSED_FORMS, written
from gdstudy.study.models import REFERENCES, Model
from gdstudy.views.events import EVENTS, Events, Write, write_new
from gdstudy.views.summary import SEEN, Curve, by_size, by_step, groups, representative_sizes, seen_as, select
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
Scalars = Iterator[tuple[str, Curve]]


def write_board(
    run_dir: Path, texts: dict[str, str], run: Run, images: dict[str, np.ndarray], write: Write = write_new
) -> None:
    """Write <dataset>/<estimator>/events… and, for texts and figures, events… of the run itself.

    Models other than linear regression have a folder of their own: <dataset>/<model>/<estimator>; levels of an
    ablation: …/<estimator>/<ablation>/<level>; those of ridge and the exact iterate: …/ridge/lambda=0.01,
    …/gd_exact/t=1000. texts: name → Markdown; images: figure name → (H, W, 3) uint8.
    An earlier board of the same run is replaced. write: puts the content of a file in its place, whole.
    """
    for old in run_dir.glob(f"{EVENTS}*"):
        old.unlink()
    of_the_run = Events()
    for name, text in texts.items():
        of_the_run.add_text(name, text)
    for name, pixels in images.items():
        of_the_run.add_image(name, pixels, dataformats="HWC")
    write(run_dir / of_the_run.name, of_the_run.content)
    for seen, _ in groups(run.results[list(SEEN)], *SEEN):
        _remove_events(run_dir / seen_as(*seen))
    found: dict[Path, Events] = {}
    for sweep in sweeps(run):
        for (estimator, ablation, level), rows in groups(sweep.results, "estimator", "ablation", "level"):
            folder = _folder(run_dir, sweep, estimator, ablation, level)
            if first := folder not in found:
                found[folder] = Events()
            _write_curves(found[folder], _scalars(sweep, estimator, ablation, rows))
            if first and ablation == "none" and estimator != "theory":
                _write_hparams(found[folder], sweep, estimator, rows)
    for folder, events in found.items():
        write(folder / events.name, events.content)


def _folder(run_dir: Path, sweep: Sweep, estimator: str, ablation: str, level: float) -> Path:
    folder = run_dir / sweep.dataset / ("" if sweep.model.regression else sweep.model.name) / estimator
    if ablation != "none":
        folder /= ablation if np.isnan(level) else f"{ablation}/{level:.3g}"
    elif not np.isnan(level):
        folder /= f"{CLOSED_FORMS[estimator].folder}={written(level)}"
    return folder


def _scalars(sweep: Sweep, estimator: str, ablation: str, rows: DataFrame) -> Scalars:
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


def _convergence(sweep: Sweep, estimator: str, rows: DataFrame) -> Scalars:
    """Tags `convergence/…` have t as their step: of a training, of its exact iterate, and of the limit as a line."""
    exact = {f"{name}_closed_form": name for name in sweep.study.trained}
    checkpoints = sweep.checkpoints
    if estimator not in REFERENCES:
        checkpoints = select(checkpoints, estimator=exact.get(estimator, estimator))
    values: tuple[str, ...] = ("distance", *SHARES) if sweep.model.autoencoder else CONVERGENCE
    values = (*values, *ACCURACIES[:1]) if sweep.classes else values
    for n in representative_sizes(rows["n_train"], sweep.threshold):
        here = select(checkpoints, n_train=n)
        for value in values:
            tag, name = f"convergence/N={n}/{value}", f"exact_{value}" if estimator in exact else value
            if estimator in REFERENCES:
                limit, steps = by_size(select(rows, n_train=n), value), np.unique(here["step"])
                bands = (limit.low, limit.median, limit.high, limit.mean)
                yield tag, Curve(steps, *(np.repeat(band, len(steps)) for band in bands))
            elif np.isfinite(here[name]).any():
                yield tag, by_step(here, name)


def _write_curves(writer: Events, curves: Scalars) -> None:
    """One event a step with the points of all curves there: an event a point would take several times as long."""
    points: dict[int, list[Summary.Value]] = {}
    for tag, curve in curves:
        bands = {tag: curve.median}
        if not np.array_equal(curve.low, curve.high):
            bands |= {f"{tag}_q25": curve.low, f"{tag}_q75": curve.high}
        for name, values in bands.items():
            for x, y in zip(curve.x.tolist(), values.tolist(), strict=True):
                if isfinite(y):
                    points.setdefault(int(x), []).append(Summary.Value(tag=name, simple_value=y))
    for step in sorted(points):
        writer.add_summary(Summary(value=points[step]), step)


def _write_hparams(writer: Events, sweep: Sweep, estimator: str, rows: DataFrame) -> None:
    sizes = representative_sizes(rows[sweep.size], sweep.threshold)
    at = min(sizes, key=lambda n: abs(n - sweep.threshold))
    hparams = {"dataset": sweep.dataset, "model": sweep.model.name, "estimator": estimator}
    metrics = {"final/test_mse_at_threshold": sweep.at(rows, at)}
    if np.isfinite(rows["distance"]).any():
        metrics["final/median_distance"] = float(rows["distance"].median())
    writer.add_hparams({**hparams, "n_parameters": int(sweep.first("n_parameters"))}, metrics)


def _remove_events(folder: Path) -> None:
    """Take away TensorBoard's event files in a folder and below, and folders that are empty then; nothing else."""
    for path, _, files in os.walk(folder, topdown=False):
        for name in files:
            if name.startswith(EVENTS):
                Path(path, name).unlink()
        if not os.listdir(path):
            os.rmdir(path)
