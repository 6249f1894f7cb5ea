"""One batch of cells → records. The only place where training meets its closed form."""

from __future__ import annotations

from collections.abc import Callable

import torch

from gdstudy.data.dataset import Dataset
from gdstudy.experiment.bottleneck import BottleneckCells
from gdstudy.experiment.nonlinear import run_nonlinear
from gdstudy.experiment.plan import Batch
from gdstudy.experiment.readouts import run_readouts
from gdstudy.experiment.stack import Columns, Records
from gdstudy.experiment.superposition import SuperpositionCells
from gdstudy.linalg.threads import Pace
from gdstudy.study.config import Study
from gdstudy.study.schema import BOTTLENECKS, SUPERPOSITIONS

__all__ = ["Columns", "Records", "run_batch"]


def run_batch(
    study: Study, dataset: Dataset, batch: Batch, on_check: Callable[[int, int], None] | None = None
) -> Records:
    """The closed form of every cell of a batch and, where wanted, its training beside it.

    on_check(cell-steps taken, cells still running): called many times a second while training.
    """
    largest = max(n_train for n_train, _ in batch.cells)
    cell = max(largest, batch.n_parameters) * batch.n_parameters
    with Pace(cell, torch.device(study.device), study.threads.value).around():
        if batch.model in BOTTLENECKS:
            return run_nonlinear(study, BottleneckCells(study, dataset, batch), on_check)
        if batch.model in SUPERPOSITIONS:
            return run_nonlinear(study, SuperpositionCells(study, dataset, batch), on_check)
        return run_readouts(study, dataset, batch, on_check)
