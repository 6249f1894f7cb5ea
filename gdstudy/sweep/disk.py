"""What a run takes on the disk, before it is there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from gdstudy.experiment.plan import Batch, n_starts
from gdstudy.study.config import Study
from gdstudy.study.estimators import asked_for
from gdstudy.study.groups import Training
from gdstudy.study.models import MODELS
from gdstudy.study.values import in_bytes, log_spaced

# Bytes of a row in the store and in results.csv, of a checkpoint, and of what is shown of a run: figures, TensorBoard,
# its page. All rough, of linear.yaml and paper.yaml by `du` (and tests/sweep/test_forecast.py).
_RESULT_BYTES, _CSV_BYTES, _CURVE_BYTES, _SHOWN_BYTES = 80, 320, 90, 5 * 10**6


def disk_bytes(study: Study, batches: Sequence[Batch]) -> int:
    """Bytes that a run of these batches leaves, at most."""
    rows, curves = (sum(numbers) for numbers in zip(*(_rows(study, batch) for batch in batches), strict=True))
    csv = rows if rows <= study.csv_rows else 0
    return rows * _RESULT_BYTES + csv * _CSV_BYTES + curves * _CURVE_BYTES + _SHOWN_BYTES


def _rows(study: Study, batch: Batch) -> tuple[int, int]:
    """Rows of a batch in table `results`, and in `curves`, at most."""
    rows, curves = len(batch.closed) + sum(len(form.levels_in(study)) for form in asked_for(study)), 0
    for training, runs in runs_of(study, batch):
        rows += 2 * runs
        curves += len(log_spaced(training.steps, training.checkpoints_per_decade))
    return rows * len(batch.cells), curves * len(batch.cells)


def runs_of(study: Study, batch: Batch) -> Iterator[tuple[Training, int]]:
    """Trainings of a batch, and how many rows of each cell they leave."""
    for name, levels in batch.trained:
        training = study.trained[name]
        yield training, len(levels) * n_starts(MODELS[batch.model], training.restarts)


def said_of_size(study: Study, batches: Sequence[Batch], missing: Sequence[Batch], folder: Path) -> str:
    """The line with which a run begins or goes on: how much there is to do, and what that takes on the disk.

    missing: those that are still to be stored, one at least.
    """
    cells, stored = sum(len(batch.cells) for batch in batches), len(batches) - len(missing)
    done, more = (f", stored are {stored:,}", " more") if stored else ("", "")
    needed = disk_bytes(study, missing)
    said = f"{cells:,} cells in {len(batches):,} batches{done}; about {in_bytes(needed)}{more} on the disk"
    with suppress(OSError):
        free = shutil.disk_usage(folder).free
        said += f", where {in_bytes(free)} are free"
        if needed > free:
            said += ": that is hardly enough; make room, or ask for fewer seeds"
    return said
