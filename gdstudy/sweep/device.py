"""What `device: auto` is: a GPU, where it is measured to save more time than its start costs, else the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from gdstudy.data.dataset import Dataset
from gdstudy.experiment.driver import run_batch
from gdstudy.experiment.plan import Batch, plan
from gdstudy.study.config import Study
from gdstudy.study.console import one_line
from gdstudy.study.values import Threads
from gdstudy.sweep.executors import default_workers
from gdstudy.sweep.forecast import duration, shorter
from gdstudy.sweep.work import expected_work
from gdstudy.sweep.worker import Variety

# Multiplications of a study for which no GPU is asked: some 20 s of a CPU, as long as it takes to ask.
_SHORT = 2e10
# Seconds that a GPU must save: of a process that starts there, and of steps that are compiled for some sizes.
_START = 10.0
# What is timed has more and more cells, and then more and more steps, until it takes so many seconds.
_MOMENT, _CELLS, _FEW_STEPS, _STEPS = 0.3, 8, 8, 10

Timing = Callable[[Study, Dataset, Batch], float]


def on_the_faster(
    study: Study, datasets: Mapping[Variety, Dataset], seconds: Callable[..., float] | None = None
) -> tuple[Study, str]:
    """The study on cpu or cuda, and why; nothing is said where there is no choice.

    seconds(study, datasets): what it is expected to take on its device; default `expected_seconds`.
    """
    on_cpu, on_gpu = replace(study, device="cpu"), replace(study, device="cuda")
    if not torch.cuda.is_available():
        return on_cpu, ""
    if sum(expected_work(on_cpu, batch) for batch in plan(on_cpu)) < _SHORT:
        return on_cpu, "device: cpu, for a study of seconds; --device cuda computes it on the GPU"
    seconds = seconds or expected_seconds
    cpu = seconds(on_cpu, datasets)
    try:
        gpu = seconds(on_gpu, datasets)
    except RuntimeError as error:  # as where its memory is somebody else's
        return on_cpu, f"device: cpu, as the GPU cannot be used: {one_line(error)[:200]}"
    found = on_gpu if gpu + _START < cpu else on_cpu
    return found, f"device: {found.device}, by what was timed: about {duration(cpu)} on cpu, {duration(gpu)} on cuda"


def _timed(study: Study, dataset: Dataset, batch: Batch) -> float:
    """Seconds of a batch, the second time: not of what is loaded and compiled once."""
    for _ in range(2):
        began = time.perf_counter()
        run_batch(study, dataset, batch)
    return time.perf_counter() - began


def expected_seconds(study: Study, datasets: Mapping[Variety, Dataset], timed: Timing = _timed) -> float:
    """What the batches of a study take on its device, about.

    The largest of them is timed there: as many of its cells as take a moment, which are all on a device that computes
    them side by side, and as many of their steps. The rest is in proportion to the work that is expected of it.
    """
    batches, workers = plan(study), 1
    if study.executor.kind != "in_process":
        workers, study = study.executor.workers.value or default_workers(study), replace(study, threads=Threads("1"))
    works = [expected_work(study, batch) for batch in batches]
    batch = batches[works.index(max(works))]
    dataset = datasets[batch.dataset, batch.preprocess, batch.input_noise]
    few, n_cells = shorter(study, _FEW_STEPS, 1), 1
    while (seconds := timed(few, dataset, part := _part(batch, n_cells))) < _MOMENT and part.cells != batch.cells:
        n_cells *= _CELLS
    work, begun = expected_work(study, part), expected_work(few, part)
    steps, most = _FEW_STEPS, max((training.steps for training in study.trained.values()), default=0)
    while work > begun and steps < most:
        steps *= _STEPS
        more = shorter(study, steps, 1)
        taken, done = timed(more, dataset, part) - seconds, expected_work(more, part) - begun
        if taken > _MOMENT or steps >= most:
            seconds += max(0.0, taken) / done * (work - begun)
            break
    return seconds * sum(works) / work / min(workers, len(batches))


def _part(batch: Batch, n_cells: int) -> Batch:
    """The batch with at most so many of its cells, evenly spaced."""
    every = len(batch.cells)
    n_cells = min(n_cells, every)
    return replace(batch, cells=tuple(batch.cells[i * every // n_cells] for i in range(n_cells)))
