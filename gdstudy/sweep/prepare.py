"""Before a run begins: its data are read, and what cannot be run on this machine is said while nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from gdstudy.data.dataset import Dataset
from gdstudy.experiment.plan import check_memory
from gdstudy.study.config import Study
from gdstudy.study.console import tell
from gdstudy.study.errors import StudyError
from gdstudy.study.optimizers import OPTIMIZERS
from gdstudy.sweep.device import on_the_faster
from gdstudy.sweep.executors import check_executor
from gdstudy.sweep.machine import available_memory, n_cores
from gdstudy.sweep.run import load_datasets, resolved
from gdstudy.sweep.worker import Variety
from gdstudy.training.optimizers import torch_optimizer


def prepared(
    study: Study, quiet: bool, given: Iterable[Dataset] = (), earlier: Sequence[Study] = ()
) -> tuple[Study, dict[Variety, Dataset]]:
    """A study that can be run here, with the fingerprints of its own data, and its data. StudyError otherwise.

    given: data sets from Python. earlier: what the study was before it grew.
    """
    auto = study.device == "auto"
    study = _with_device(study)
    _check_optimizer(study)
    check_executor(study.executor)
    study, read = resolved(study, quiet, given)
    check_memory(study, _memory_here(study), earlier, _workers_here(study))
    datasets = load_datasets(study, quiet, read)
    if auto:
        study, why = on_the_faster(study, datasets)
        if why and not quiet:
            tell(why)
    return study, datasets


def _memory_here(study: Study) -> int | None:
    """Bytes that are free for all workers of this machine, or None where they are not known."""
    return None if study.device != "cpu" or study.executor.scheduler else available_memory()


def _workers_here(study: Study) -> int:
    where = study.executor
    return 1 if where.kind == "in_process" else where.workers.value or n_cores()


def _with_device(study: Study) -> Study:
    """The study on a device that is there, on the CPU until it is known whether a GPU is faster (`device`); StudyError
    where the one it names is not."""
    if study.device == "auto":
        return replace(study, device="cpu")
    if study.device != "cpu":
        index = int(study.device.partition(":")[2] or 0)
        if index >= torch.cuda.device_count():
            raise StudyError(
                f"device={study.device!r}: {torch.cuda.device_count()} CUDA devices are here; use cpu, or auto"
            )
    return study


def _check_optimizer(study: Study) -> None:
    """Its options are known to torch alone, and a wrong one is to be said before anything is written."""
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
