"""A training of a study, handed to the optimizers of `training`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from gdstudy.study.config import Training
from gdstudy.study.optimizers import OPTIMIZERS
from gdstudy.training.arguments import check_tolerance
from gdstudy.training.descent import State, descend
from gdstudy.training.objectives import Objective
from gdstudy.training.optimised import Optimised
from gdstudy.training.optimizers import schedule_of, torch_optimizer


def weights(training: Training, step_size: Tensor) -> Tensor:
    """The weight of each cell in its objective, (C,): plain descent's own step size, or 1."""
    return step_size if OPTIMIZERS[training.optimizer].plain else torch.ones_like(step_size)


def train(
    objective: Objective,
    training: Training,
    step_size: Tensor,
    checkpoints: Sequence[int],
    threads: int | None,
    on_check: Callable[[int, int], None] | None,
) -> Iterator[State]:
    """Train a stack of cells, one State a checkpoint. step_size: (C,); one number where the optimizer is not plain."""
    optimizer = OPTIMIZERS[training.optimizer]
    build, tolerance = None, check_tolerance(training.tolerance, objective.weight.dtype)
    if not optimizer.plain:
        build = torch_optimizer(optimizer.name, float(step_size[0]), training.optimizer_options)
        tolerance = 0.0  # it takes all its steps: its schedule and weight decay belong to what it is
    schedule = schedule_of(training.steps, training.warmup, training.schedule)
    return descend(Optimised(objective, build, schedule, threads=threads), checkpoints, tolerance, on_check)
