"""What is to be said of a study before it begins: what this machine lacks for it, and what it would take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gdstudy.study.config import Study
from gdstudy.study.errors import StudyError
from gdstudy.study.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from gdstudy.data.dataset import Dataset
    from gdstudy.sweep.run import Variety


def dry_run(study: Study, quiet: bool = False) -> str:
    """What a study would take, as text: cells, batches, memory, disk, and time from some cells. Nothing is written."""
    from gdstudy.sweep.forecast import forecast

    return str(forecast(*prepared(study, quiet)))


def prepared(study: Study, quiet: bool, given: Iterable[Dataset] = ()) -> tuple[Study, dict[Variety, Dataset]]:
    """A study that can be run here, with what its files say, and its data. StudyError says what to put right."""
    from gdstudy.experiment.plan import check_memory
    from gdstudy.sweep.machine import available_memory
    from gdstudy.sweep.run import load_datasets, resolved

    _check_device(study)
    _check_optimizer(study)
    study, read = resolved(study, quiet, given)
    check_memory(study, available_memory() if study.device == "cpu" else None)
    return study, load_datasets(study, quiet, read)


def _check_device(study: Study) -> None:
    import torch

    if study.device != "cpu":
        index = int(study.device.partition(":")[2] or 0)
        if index >= torch.cuda.device_count():
            raise StudyError(f"device={study.device!r}: {torch.cuda.device_count()} CUDA devices are here; use cpu")


def _check_optimizer(study: Study) -> None:
    """Its options are known to torch alone, and a wrong one is to be said before anything is written."""
    import torch

    from gdstudy.training.optimizers import torch_optimizer

    for name, training in study.trained.items():
        group = "gd" if name == "gd" else f"trainings.{name}"
        if OPTIMIZERS[training.optimizer].plain:
            continue
        try:
            number = torch.zeros(1, requires_grad=True)
            number.grad = torch.zeros(1)
            torch_optimizer(training.optimizer, 1.0, training.optimizer_options)([number]).step()
        except (TypeError, ValueError, RuntimeError) as error:
            said = str(error) if "optimizer" in str(error) else f"optimizer_options: {error}"
            raise StudyError(f"{group}.{said}") from None
