"""Workers that take batches, wherever they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass

from gdstudy.experiment.plan import Batch
from gdstudy.sweep.worker import Done

Task = Callable[[Sequence[Batch]], "Future[list[Done]]"]


@dataclass(frozen=True)
class Pool:
    """Workers that take tasks. submit: hands some batches to a worker; workers: how many there are just now; died: what
    a task raises whose worker died; shared: so does a task that only waited for the same worker."""

    submit: Task
    workers: Callable[[], int]
    died: tuple[type[BaseException], ...] = (BrokenExecutor,)
    shared: bool = False
