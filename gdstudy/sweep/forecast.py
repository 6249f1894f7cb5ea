"""What a study would take, before it is run: cells, batches, memory, disk, and time from a short timing of some cells."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from gdstudy.data.dataset import Dataset
from gdstudy.experiment.driver import run_batch
from gdstudy.experiment.plan import LARGE_NUMBERS, Batch, bytes_of, check_memory, n_starts
from gdstudy.experiment.rows import Columns
from gdstudy.study.config import Study
from gdstudy.study.estimators import asked_for
from gdstudy.study.groups import Training
from gdstudy.study.models import MODELS
from gdstudy.study.values import in_bytes
from gdstudy.sweep.machine import available_memory
from gdstudy.training.arguments import log_spaced

# Cells are timed for about so much work, multiplications of an SVD; their number adds to it. At most so many cells, and
# steps of each.
_WORK, _WORK_OF_A_CELL, _CELLS, _STEPS, _STEPS_ON_ROWS = 4e9, 1e6, 200, 100, 5
# Bytes of a row in the store and in results.csv, of a run's figures and TensorBoard, and seconds of drawing for each
# data set and model; all measured, and rough (tests/sweep/test_forecast.py).
_RESULT_BYTES, _CURVE_BYTES, _SHOWN_BYTES, _DRAWING = 700, 120, 3 * 10**6, 3.0


@dataclass(frozen=True)
class Forecast:
    """cells, batches: how many; memory, available: bytes of the largest batch and those that are free, None if not
    known; disk: bytes; seconds: of closed forms, training, and figures; steps: cell-steps that trainings are expected to
    take, and most: that they may."""

    study: Study
    cells: int
    batches: int
    memory: int
    available: int | None
    disk: int
    seconds: tuple[float, float, float]
    steps: float
    most: float

    def __str__(self) -> str:
        closed, trained, drawn = self.seconds
        free = "" if self.available is None else f"; {in_bytes(self.available)} are free here"
        training = ""
        if self.most:
            training = f", training {_duration(trained)} ({self.steps:.1e} steps expected, at most {self.most:.1e})"
        return "\n".join(
            [
                f"cells     {self.cells:,} in {self.batches:,} batches",
                f"memory    {in_bytes(self.memory)} for the largest batch, of memory={self.study.memory}{free}",
                f"disk      about {in_bytes(self.disk)}: store, results.csv, figures and TensorBoard",
                f"time      about {_duration(sum(self.seconds))} on this machine as busy as it is now: closed forms "
                f"{_duration(closed)}{training}, figures and tables {_duration(drawn)}",
                "nothing was written; leave out --dry_run to run the study",
            ]
        )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def forecast(study: Study, datasets: Mapping[tuple[str, str, float], Dataset]) -> Forecast:
    """What a study would take. Nothing is written. StudyError where a batch needs more memory than there is."""
    available = available_memory() if study.device == "cpu" else None
    batches = check_memory(study, available)
    kinds = [list(group) for _, group in groupby(batches, key=lambda b: (*_data(b), b.model))]
    closed = trained = steps = 0.0
    for kind in kinds:
        timed = _Timed(study, datasets[_data(kind[0])], _some(kind, _WORK / len(kinds)))
        closed += timed.closed * sum(map(_work, kind)) / timed.work
        expected = timed.steps * sum(len(batch.cells) for batch in kind)
        steps, trained = steps + expected, trained + expected * timed.step
    most = sum(_most_steps(study, batch) for batch in batches)
    return Forecast(
        study=study,
        cells=sum(len(batch.cells) for batch in batches),
        batches=len(batches),
        memory=max(bytes_of(study, batch) for batch in batches),
        available=available,
        disk=sum(_disk(study, batch) for batch in batches) + _SHOWN_BYTES,
        seconds=(closed, trained, _DRAWING * (1 + len(kinds))),
        steps=min(steps, most),
        most=most,
    )


def _data(batch: Batch) -> tuple[str, str, float]:
    return batch.dataset, batch.preprocess, batch.input_noise


def _work_of(n: int, P: int) -> float:
    return n * P * min(n, P) + _WORK_OF_A_CELL


def _work(batch: Batch) -> float:
    """Multiplications of the SVDs of a batch, about, and what each cell costs beside."""
    return sum(_work_of(n, batch.n_parameters) for n, _ in batch.cells)


def _some(kind: Sequence[Batch], work: float) -> list[Batch]:
    """Cells of the middle width of batches of one data set and model, evenly spaced over all N, in batches as planned:
    the large ones with others of their N alone."""
    middle = sorted(kind, key=lambda b: (b.n_parameters, b.n_hidden or 0))[len(kind) // 2]
    same = [b for b in kind if (b.n_parameters, b.n_hidden) == (middle.n_parameters, middle.n_hidden)]
    cells = [cell for batch in same for cell in batch.cells]
    each = sum(map(_work, same)) / len(cells)
    n = int(np.clip(work / each, 1, min(_CELLS, len(cells))))
    chosen = [cells[round((i + 0.5) * len(cells) / n - 0.5)] for i in range(n)]

    def apart(cell: tuple[int, int]) -> int:
        return cell[0] if cell[0] * middle.n_parameters > LARGE_NUMBERS else 0

    return [replace(middle, cells=tuple(some)) for _, some in groupby(chosen, key=apart)]


class _Timed:
    """Some cells that were computed: seconds of their closed forms (`closed`), of a step of one cell (`step`), how many
    steps a cell is expected to take in all (`steps`), and their work."""

    def __init__(self, study: Study, dataset: Dataset, batches: list[Batch]) -> None:
        self.work, n_cells = sum(map(_work, batches)), sum(len(batch.cells) for batch in batches)
        run_batch(study, dataset, replace(batches[0], cells=batches[0].cells[:1], trained=()))  # what is loaded once
        self.closed, _ = _seconds(study, dataset, [replace(batch, trained=()) for batch in batches])
        self.step = self.steps = 0.0
        if batches[0].trained:
            few = _with_few_steps(study, _STEPS_ON_ROWS if MODELS[batches[0].model].on_rows else _STEPS)
            seconds, rows = _seconds(few, dataset, batches)
            rows = [group for group in rows if group["estimator"] in study.trained]
            taken = sum(float(np.sum(group["step"])) for group in rows)
            self.step = max(seconds - self.closed, 0.0) / max(taken, 1.0)
            self.steps = sum(_expected(study.trained[group["estimator"]], group) for group in rows) / n_cells


def _seconds(study: Study, dataset: Dataset, batches: list[Batch]) -> tuple[float, list[Columns]]:
    began = time.perf_counter()
    rows = [group for batch in batches for group in run_batch(study, dataset, batch).results]
    return time.perf_counter() - began, rows


def _with_few_steps(study: Study, most: int) -> Study:
    """The study with few steps in every training, each measured at its end."""
    gd = replace(study.gd, steps=min(most, study.gd.steps), checkpoints_per_decade=1)
    differs = {"checkpoints_per_decade": 1}
    others = {
        name: values | differs | {"steps": min(most, study.trained[name].steps)}
        for name, values in study.trainings.items()
    }
    return replace(study, gd=gd, trainings=others)


def _expected(training: Training, rows: Columns) -> float:
    """Steps that cells would take in all: plain descent says how many it is from its tolerance."""
    step = np.asarray(rows["step"], dtype=float)
    left = np.asarray(rows.get("steps_to_tolerance", np.inf), dtype=float)
    running = np.asarray(rows["status"]) == "max_steps"
    return float(np.where(running, np.minimum(training.steps, step + left), step).sum())


def _runs(study: Study, batch: Batch) -> Iterator[tuple[Training, int]]:
    """Trainings of a batch, and how many rows of each cell they leave."""
    for name, levels in batch.trained:
        training = study.trained[name]
        yield training, len(levels) * n_starts(MODELS[batch.model], training.restarts)


def _most_steps(study: Study, batch: Batch) -> float:
    return float(sum(len(batch.cells) * training.steps * runs for training, runs in _runs(study, batch)))


def _disk(study: Study, batch: Batch) -> int:
    """Bytes of a batch in the store and in results.csv, at most."""
    rows = len(batch.closed) + sum(len(form.levels_in(study)) for form in asked_for(study))
    curves = 0
    for training, runs in _runs(study, batch):
        rows += 2 * runs
        curves += len(log_spaced(training.steps, training.checkpoints_per_decade))
    return len(batch.cells) * (rows * _RESULT_BYTES + curves * _CURVE_BYTES)
