"""What a study would take, before it is run: cells, batches, memory, disk, and time from some cells that are timed."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from gdstudy.data.dataset import Dataset
from gdstudy.experiment.driver import run_batch
from gdstudy.experiment.plan import LARGE_NUMBERS, Batch, bytes_of, check_memory
from gdstudy.experiment.rows import Columns
from gdstudy.study.config import Study
from gdstudy.study.groups import Training
from gdstudy.study.models import MODELS
from gdstudy.study.values import Threads, in_bytes, log_spaced
from gdstudy.sweep.disk import disk_bytes, runs_of
from gdstudy.sweep.machine import available_memory

# Cells are timed for about so much work, multiplications of an SVD, to which each adds some. Steps are foretold of so
# many cells.
_WORK, _WORK_OF_A_CELL, _SPREAD = 1e9, 3e5, 50
# What is short is timed so often, while it takes so many seconds in all.
_TRIES, _SHORT, _SEEN = 3, 0.5, 0.3
# What the outputs of an autoencoder, which are many, cost beside the SVD.
_OUTPUTS = 4
# They are trained for few steps, and for as many more as take about so many seconds in all.
_FEW_STEPS, _MANY_STEPS, _SECONDS = 10, 10_000, 1.5
# Seconds of drawing for each data set and model; measured, and rough (tests/sweep/test_forecast.py).
_DRAWING = 3.0


@dataclass(frozen=True)
class Forecast:
    """cells, batches: how many; memory, available: bytes of the largest batch and those that are free, None if not
    known; disk: bytes; seconds: of closed forms, training, and figures; steps: what trainings are expected to take, of
    all cells together, and most: what they may."""

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
            training = f", training {duration(trained)} ({self.steps:.1e} steps expected, at most {self.most:.1e})"
        return "\n".join(
            [
                f"cells     {self.cells:,} in {self.batches:,} batches",
                f"memory    {in_bytes(self.memory)} for the largest batch, of memory={self.study.memory}{free}",
                f"disk      about {in_bytes(self.disk)}: store, results.csv, figures and TensorBoard",
                f"time      about {duration(sum(self.seconds))} of one core: closed forms "
                f"{duration(closed)}{training}, figures and tables {duration(drawn)}",
                "nothing was written; leave out --dry_run to run the study",
            ]
        )


def duration(seconds: float) -> str:
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
        timed = _Timed(study, datasets[_data(kind[0])], kind, 1 / len(kinds))
        n = _cells(kind)
        closed += timed.closed * sum(map(_work, kind)) / timed.work
        steps, trained = steps + n * timed.steps, trained + n * timed.training
    most = sum(_most_steps(study, batch) for batch in batches)
    return Forecast(
        study=study,
        cells=_cells(batches),
        batches=len(batches),
        memory=max(bytes_of(study, batch) for batch in batches),
        available=available,
        disk=disk_bytes(study, batches),
        seconds=(closed, trained, _DRAWING * (1 + len(kinds))),
        steps=min(steps, most),
        most=most,
    )


def _cells(batches: Sequence[Batch]) -> int:
    return sum(len(batch.cells) for batch in batches)


def _data(batch: Batch) -> tuple[str, str, float]:
    return batch.dataset, batch.preprocess, batch.input_noise


def _work_of(n: int, P: int) -> float:
    return n * P * min(n, P) + _WORK_OF_A_CELL


def _work(batch: Batch) -> float:
    """Multiplications of the SVDs of a batch, about, and what each cell costs beside."""
    outputs = _OUTPUTS if MODELS[batch.model].autoencoder else 1
    return outputs * sum(_work_of(n, batch.n_parameters) for n, _ in batch.cells)


def _middle(kind: Sequence[Batch], work: float) -> Batch:
    """The batch in the middle of those of one data set and model, with as many of its cells as this work allows."""
    batch = sorted(kind, key=lambda b: (b.n_parameters, b.n_hidden or 0, b.number))[len(kind) // 2]
    return replace(batch, cells=batch.cells[: max(1, int(work / _work(batch) * len(batch.cells)))])


def _spread(kind: Sequence[Batch], like: Batch) -> Batch:
    """Some small cells of a width, evenly spaced over all N; where all are large, the given batch."""
    same = [b for b in kind if (b.n_parameters, b.n_hidden) == (like.n_parameters, like.n_hidden)]
    cells = [cell for b in same for cell in b.cells if cell[0] * b.n_parameters <= LARGE_NUMBERS]
    some = cells[:: max(1, len(cells) // _SPREAD)]
    return replace(like, cells=tuple(some)) if some else like


class _Timed:
    """Some cells that were computed. Seconds: of their closed forms (`closed`), and of what trainings of one cell are
    expected to take in all (`training`); `steps` of those trainings; their work."""

    def __init__(self, study: Study, dataset: Dataset, kind: Sequence[Batch], share: float) -> None:
        study = replace(study, threads=Threads("1"))  # of one core: more wait for each other on a busy machine
        batch = _middle(kind, _WORK * share)
        self.work, self.cells = _work(batch), len(batch.cells)
        run_batch(study, dataset, replace(batch, cells=batch.cells[:1], trained=()))  # what is loaded once
        self.closed = _run(study, dataset, replace(batch, trained=())).seconds
        self.training = self.steps = 0.0
        if batch.trained:
            spread = _run(shorter(study, _FEW_STEPS, 1), dataset, _spread(kind, batch))
            self.steps = float(sum(_expected(study.trained[rows["estimator"]], rows) for rows in spread.rows))
            self._train(study, dataset, batch, _SECONDS * share)

    def _train(self, study: Study, dataset: Dataset, batch: Batch, seconds: float) -> None:
        """Few steps, the same with more checkpoints, and more steps: what a cell, a checkpoint and a step cost."""
        few = _run(shorter(study, _FEW_STEPS, 1), dataset, batch)
        often = _run(shorter(study, _FEW_STEPS, 100), dataset, batch)
        # No more steps than take so many seconds if they were all that was timed.
        many = int(np.clip(few.steps / self.cells * seconds / few.seconds, 2 * _FEW_STEPS, _MANY_STEPS))
        of_checkpoint = max(0.0, (often.seconds - few.seconds) / (_looks(often.study) - _looks(few.study)))
        while True:
            more = _run(shorter(study, many, 1), dataset, batch)
            later = more.seconds - few.seconds - of_checkpoint * (_looks(more.study) - _looks(few.study))
            # What the steps take must stand out from what a batch takes without them.
            if later > _SEEN * few.seconds or many == _MANY_STEPS or more.seconds > _SECONDS:
                break
            many = min(10 * many, _MANY_STEPS)
        of_step = max(0.0, later) / max(1.0, more.steps - few.steps)
        looks = _looks(study, self.steps / max(1, len(more.rows))) - _looks(few.study)
        other = max(0.0, few.seconds - self.closed) + of_checkpoint * max(0, looks)
        self.training = other / self.cells + of_step * max(0.0, self.steps - few.steps / self.cells)


@dataclass(frozen=True)
class _Run:
    """A batch that was run: seconds, rows of the trainings, and the cell-steps these took."""

    study: Study
    seconds: float
    rows: list[Columns]

    @property
    def steps(self) -> float:
        return sum(float(np.sum(rows["step"])) for rows in self.rows)


def _run(study: Study, dataset: Dataset, batch: Batch) -> _Run:
    """The soonest of some tries, while they are short: what else the machine does only delays."""
    seconds: list[float] = []
    while not seconds or (len(seconds) < _TRIES and sum(seconds) < _SHORT):
        began = time.process_time()
        rows = run_batch(study, dataset, batch).results
        seconds.append(time.process_time() - began)
    return _Run(study, min(seconds), [group for group in rows if group["estimator"] in study.trained])


def shorter(study: Study, most: int, checkpoints: int) -> Study:
    """The study with few steps in every training, and so many checkpoints for each factor of ten."""
    gd = replace(study.gd, steps=min(most, study.gd.steps), checkpoints_per_decade=checkpoints)
    others = {
        name: values | {"checkpoints_per_decade": checkpoints, "steps": min(most, study.trained[name].steps)}
        for name, values in study.trainings.items()
    }
    return replace(study, gd=gd, trainings=others)


def _looks(study: Study, most: float = math.inf) -> int:
    """Checkpoints of all trainings of a study, of so many steps at most."""
    trainings = study.trained.values()
    return sum(len(log_spaced(max(1, int(min(most, t.steps))), t.checkpoints_per_decade)) for t in trainings)


def _expected(training: Training, rows: Columns) -> float:
    """Steps that a cell would take in all, on average: plain descent says how many it is from its tolerance."""
    step = np.asarray(rows["step"], dtype=float)
    left = np.asarray(rows.get("steps_to_tolerance", np.inf), dtype=float)
    running = np.asarray(rows["status"]) == "max_steps"
    return float(np.where(running, np.minimum(training.steps, step + left), step).mean())


def _most_steps(study: Study, batch: Batch) -> float:
    return float(sum(len(batch.cells) * training.steps * runs for training, runs in runs_of(study, batch)))
