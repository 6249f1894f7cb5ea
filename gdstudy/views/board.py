"""TensorBoard: one run per estimator, the same tags in each, so that curves overlay in one card.

A training followed through time at one N is a run below its own, and a row of HParams. Written at the end, in
increasing step: TensorBoard drops what comes out of order. What `live` has written by then is completed, or replaced.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np

from gdstudy.experiment.tables import Run
from gdstudy.views.events import EVENTS, Events, Write, write_new
from gdstudy.views.figures import MOVING, shows
from gdstudy.views.growing import Growing
from gdstudy.views.hparams import domains, row_of
from gdstudy.views.layout import OVER_TIME, charts, image_tags
from gdstudy.views.scalars import ABLATED, series
from gdstudy.views.summary import SEEN, groups, seen_as

Images = Mapping[str, np.ndarray]
_TEXTS = {
    "config": "The resolved study. The same command with --config and this file repeats it.",
    "claims": "Each claim that this run can decide, with its number, its threshold and its verdict.",
}
PROGRESS = "progress"  # the folder of what shows how far a run is, while it goes on
_SLIDER = "The slider goes through t, steps of training."


def write_board(
    run_dir: Path,
    texts: dict[str, str],
    run: Run,
    images: Images,
    write: Write = write_new,
    begun: Growing | None = None,
) -> None:
    """Write <dataset>/<estimator>/events… and, for texts, figures and margin charts, events… of the run itself.

    Models other than linear regression have a folder of their own: <dataset>/<model>/<estimator>; levels of ridge and
    the exact iterate: …/ridge/lambda=0.01, …/gd_exact/t=1000; trainings at one N: …/gd/N=20; the strongest level of an
    ablation, of all data sets: ablations/<ablation>. texts: name → Markdown; images: figure name → (H, W, 3) uint8.
    An earlier board of the same run is replaced. write: puts the content of a file in its place, whole. begun: the
    files that have grown while the run went on, which stay and get what they lack.
    """
    found: dict[Path, Events] = {}
    rows: dict[Path, tuple[dict[str, Any], dict[str, float]]] = {}
    tags: set[str] = set()
    for one in series(run):
        folder = run_dir / one.folder
        events = found.setdefault(folder, Events())
        events.add_curves(one.scalars())
        if one.n is not None:
            rows[folder] = row_of(one)
        tags |= events.tags
    words = domains(hparams for hparams, _ in rows.values())
    for folder, row in rows.items():
        found[folder].add_hparams(*row, words)
    of_the_run = Events()
    for title, text in texts.items():
        of_the_run.add_text(title, text, _TEXTS.get(title, title))
    for tag, name in image_tags(images).items():
        of_the_run.add_image(tag, images[name], shows(name))
    for name, frames in MOVING.items() if images else ():
        for t, pixels in frames(run):
            of_the_run.add_image(f"{OVER_TIME}/{name}", pixels, f"{shows(name)} {_SLIDER}", t)
    of_the_run.add_layout(charts(run, tags))
    grown = {} if begun is None else {folder: begun.finish(folder, events) for folder, events in found.items()}
    kept = {path for path in grown.values() if path is not None}
    for name in {*(seen_as(*seen) for seen, _ in groups(run.results[list(SEEN)], *SEEN)), ABLATED, PROGRESS}:
        _remove_events(run_dir / name, kept)
    for old in run_dir.glob(f"{EVENTS}*"):
        old.unlink()
    write(run_dir / of_the_run.name, of_the_run.content)
    for folder, events in found.items():
        if grown.get(folder) is None:
            write(folder / events.name, events.content)


def _remove_events(folder: Path, kept: Set[Path]) -> None:
    """Take away TensorBoard's event files in a folder and below but these, and folders that are empty then; nothing
    else."""
    for path, _, files in os.walk(folder, topdown=False):
        for name in files:
            if name.startswith(EVENTS) and Path(path, name) not in kept:
                Path(path, name).unlink()
        if not os.listdir(path):
            os.rmdir(path)
