"""A training of a study, handed to the optimizers of `training`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from gdstudy.experiment.plan import Batch
from gdstudy.study.errors import StudyError
from gdstudy.study.groups import Training
from gdstudy.training.arguments import check_tolerance
from gdstudy.training.descent import State, descend
from gdstudy.training.engine import Saver
from gdstudy.training.objectives import Objective
from gdstudy.training.optimised import optimised
from gdstudy.training.optimizers import is_plain, schedule_of


def check_squares(X: Tensor, dtype: torch.dtype, batch: Batch) -> None:
    """StudyError unless a dtype holds ‖X‖² of each cell (C, N, n), of which losses and gradients are made."""
    norms, limits = X.to(torch.float64).flatten(1).norm(dim=1), torch.finfo(dtype)
    lost = (norms > limits.max**0.5) | ((norms < limits.tiny**0.5) & (norms > 0))
    if bool(lost.any()):
        size, more = float(norms[lost][0]), ", or gd.dtype: float64" if dtype == torch.float32 else ""
        raise StudyError(
            f"{batch.dataset}, {batch.model}, P={batch.n_parameters}: training rows of the size {size:.0e}, whose "
            f"squares {str(dtype)[6:]} does not hold; give the data in other units{more}"
        )


def weights(training: Training, step_size: Tensor) -> Tensor:
    """The weight of each cell in its objective, (C,): plain descent's own step size, or 1."""
    return step_size if is_plain(training.optimizer) else torch.ones_like(step_size)


def train(
    objective: Objective,
    training: Training,
    step_size: Tensor,
    checkpoints: Sequence[int],
    threads: int | None,
    on_check: Callable[[int, int], None] | None,
    saver: Saver | None = None,
) -> Iterator[State]:
    """Train a stack of cells, one State a checkpoint. step_size: (C,); one number where the optimizer is not plain."""
    schedule = schedule_of(training.steps, training.warmup, training.schedule)
    engine = optimised(objective, training.optimizer, step_size, training.optimizer_options, schedule, threads)
    # Another optimizer takes all its steps: its schedule and weight decay belong to what it is.
    plain = is_plain(training.optimizer)
    tolerance = check_tolerance(training.tolerance, objective.weight.dtype) if plain else 0.0
    return descend(engine, checkpoints, tolerance, on_check, saver=saver)
