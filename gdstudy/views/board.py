"""TensorBoard: one run per estimator, the same tags in each, so that curves overlay in one card.

Each level of an ablation is a run of its own under its estimator, with the tags of the unablated one.
Written at the end, in increasing step: TensorBoard drops what comes out of order. What `live` has written while the
run went on is completed, or replaced.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Set
from math import isfinite
from pathlib import Path

import numpy as np
from pandas import DataFrame
from tensorboard.compat.proto.summary_pb2 import Summary

from gdstudy.experiment.tables import Run
from gdstudy.views.events import EVENTS, Events, Growing, Write, write_new
from gdstudy.views.scalars import series
from gdstudy.views.summary import SEEN, Curve, groups, representative_sizes, seen_as
from gdstudy.views.sweeps import Sweep

PROGRESS = "progress"  # the folder of what shows how far a run is, while it goes on


def write_board(
    run_dir: Path,
    texts: dict[str, str],
    run: Run,
    images: dict[str, np.ndarray],
    write: Write = write_new,
    begun: Growing | None = None,
) -> None:
    """Write <dataset>/<estimator>/events… and, for texts and figures, events… of the run itself.

    Models other than linear regression have a folder of their own: <dataset>/<model>/<estimator>; levels of an
    ablation: …/<estimator>/<ablation>/<level>; those of ridge and the exact iterate: …/ridge/lambda=0.01,
    …/gd_exact/t=1000. texts: name → Markdown; images: figure name → (H, W, 3) uint8.
    An earlier board of the same run is replaced. write: puts the content of a file in its place, whole. begun: the
    files that have grown while the run went on, which stay as they are and get what they lack.
    """
    for old in run_dir.glob(f"{EVENTS}*"):
        old.unlink()
    of_the_run = Events()
    for name, text in texts.items():
        of_the_run.add_text(name, text)
    for name, pixels in images.items():
        of_the_run.add_image(name, pixels, dataformats="HWC")
    write(run_dir / of_the_run.name, of_the_run.content)
    found: dict[Path, Events] = {}
    for one in series(run):
        folder = run_dir / one.folder
        if first := folder not in found:
            found[folder] = Events()
        write_curves(found[folder], one.scalars())
        if first and one.ablation == "none" and one.estimator != "theory":
            _write_hparams(found[folder], one.sweep, one.estimator, one.rows)
    whole = {folder: begun.finish(folder, events) for folder, events in found.items()} if begun is not None else {}
    kept = {path for path in whole.values() if path is not None}
    for seen, _ in groups(run.results[list(SEEN)], *SEEN):
        _remove_events(run_dir / seen_as(*seen), kept)
    _remove_events(run_dir / PROGRESS, kept)
    for folder, events in found.items():
        if whole.get(folder) is None:
            write(folder / events.name, events.content)


def write_curves(writer: Events, curves: Iterable[tuple[str, Curve]]) -> None:
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


def _remove_events(folder: Path, kept: Set[Path]) -> None:
    """Take away TensorBoard's event files in a folder and below but those that are kept, and folders that are empty
    then; nothing else."""
    for path, _, files in os.walk(folder, topdown=False):
        for name in files:
            if name.startswith(EVENTS) and Path(path, name) not in kept:
                Path(path, name).unlink()
        if not os.listdir(path):
            os.rmdir(path)
