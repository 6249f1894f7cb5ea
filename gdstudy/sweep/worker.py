"""What a worker does: some batches of a run, here or in another process, on this machine or on another."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from threadpoolctl import threadpool_limits

from gdstudy.data.dataset import Dataset
from gdstudy.experiment.driver import Monitor, run_batch
from gdstudy.experiment.plan import Batch
from gdstudy.study.config import Study
from gdstudy.study.console import tell
from gdstudy.study.errors import StudyError
from gdstudy.study.values import Threads
from gdstudy.study.version import __version__
from gdstudy.sweep.generations import cells_of
from gdstudy.sweep.machine import keep_freed_pages, provenance
from gdstudy.sweep.partial import Partial, partial_path
from gdstudy.sweep.store import encoded, write_batch

Variety = tuple[str, str, float]  # data set, preprocessing, input noise


@dataclass(frozen=True)
class Job:
    """What all batches of a run have in common, as workers need it.

    facts: what all parts say; datasets: as batches see them. batches, token: the folder to write to, and what a file
    there says while this run is under way: a worker that reads the same sees the same disk.
    """

    study: Study
    datasets: Mapping[Variety, Dataset]
    facts: Mapping[str, str]
    batches: Path
    token: tuple[Path, bytes]

    @property
    def seen(self) -> bool:
        """Whether the run's folder is seen from here."""
        path, content = self.token
        try:
            return path.read_bytes() == content
        except OSError:
            return False


@dataclass(frozen=True)
class Done:
    """A batch that was computed, in so many seconds. parts: its tables as they are to be stored, or None where they
    have been."""

    batch: Batch
    seconds: float
    parts: dict[str, bytes] | None


def compute(job: Job, batch: Batch, monitor: Monitor | None = None) -> Done:
    """Compute a batch in this process, for somebody else to store. One that is long is saved where the run is seen."""
    began, dataset = time.monotonic(), job.datasets[batch.dataset, batch.preprocess, batch.input_noise]
    run = partial(run_batch, job.study, dataset, batch, monitor)
    records = _under_way(job, batch).through(run) if job.seen else run()
    seconds = time.monotonic() - began
    return Done(batch, seconds, encoded(batch, records, {**job.facts, "seconds": f"{seconds:.3f}"}))


def compute_apart(job: Job, batches: Sequence[Batch], monitor: Monitor | None = None) -> list[Done]:
    """Compute batches in a worker, on one thread, and store them where the run's folder is seen from here.

    StudyError where another version of gdstudy is installed here than where the run was begun, or of llvmlite, which
    takes the steps.
    """
    keep_freed_pages()
    here = _made_here(job.study.device)
    for package in ("gdstudy", "llvmlite"):
        if here[package] != job.facts.get(package, here[package]):
            raise StudyError(
                f"a worker has {package} {here[package]}, and the run is of {job.facts[package]}; install one version "
                "on all machines"
            )
    study = replace(job.study, threads=Threads("1"))
    job = replace(job, study=study, facts={**job.facts, **here})
    with threadpool_limits(1):
        return [_stored(job, compute(job, batch, monitor)) for batch in batches]


def _under_way(job: Job, batch: Batch) -> Partial:
    """Where a batch is kept while it is computed."""
    same = {name: job.facts.get(name, "") for name in ("gdstudy", "torch", "llvmlite", "study")}
    facts = {**same, "cells": cells_of(batch)}
    return Partial(partial_path(job.batches, batch.number), facts, job.study, tell)


@cache
def _made_here(device: str) -> dict[str, str]:
    return provenance(Study(device=device, threads=Threads("1")), __version__)


def _stored(job: Job, done: Done) -> Done:
    """The same without its parts where this worker could write them: the one who asked need not."""
    assert done.parts is not None
    if not job.seen:
        return done
    try:
        write_batch(job.batches, done.batch.number, done.parts)
    except OSError:  # whoever asked says what is wrong with that folder
        return done
    return replace(done, parts=None)
