"""Batches → store: runs what is missing of a study."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from gdstudy.data.dataset import Dataset
from gdstudy.data.loading import load_dataset
from gdstudy.data.reading import differences
from gdstudy.data.sources import read_source
from gdstudy.experiment.plan import Batch, variants
from gdstudy.study.config import Study
from gdstudy.study.console import tell, typed
from gdstudy.study.ending import NEVER, Deadline
from gdstudy.study.entries import code
from gdstudy.study.errors import StudyError, Unfinished
from gdstudy.sweep.disk import said_of_size
from gdstudy.sweep.executors import pool_of
from gdstudy.sweep.folder import SUMMARY
from gdstudy.sweep.pool import Pool
from gdstudy.sweep.progress import Observer, Progress
from gdstudy.sweep.store import Store
from gdstudy.sweep.tasks import Tasks
from gdstudy.sweep.work import expected_work
from gdstudy.sweep.worker import Done, Job, Variety, compute

# Seconds after which it is looked whether workers came or went, and after which it is said that there are none: one
# that died has its successor by then. A batch whose worker died so often is given up.
LOOK_SECONDS, PATIENCE, MOST_DEATHS = 1.0, 30.0, 3


def resolved(study: Study, quiet: bool = True, given: Iterable[Dataset] = ()) -> tuple[Study, dict[str, Dataset]]:
    """The study with the fingerprints of all data sets that are somebody's own, and these as they are, by name.

    given: those that come from Python. StudyError for what cannot be read, for data that are not those of the study's
    fingerprints, and for a study that does not fit them.
    """
    by_name, found, prints = {data.name: data for data in given}, {}, {}
    for source in study.sources:
        if not study.facts(source.name).external:
            continue
        reading = read_source(source, by_name)
        for note in reading.notes if not quiet else ():
            tell(note)
        before = study.fingerprints.get(source.name, reading.fingerprint)
        if differing := differences(before, reading.fingerprint):
            raise StudyError(
                f"{source.entry} is not what it was when the run began: {differing}; put it back, or start a new run "
                "(without its `fingerprints`)"
            )
        found[source.name], prints[source.name] = reading.data, reading.fingerprint
    return (replace(study, fingerprints=prints), found) if found else (study, {})


def load_datasets(
    study: Study, quiet: bool = True, read: Mapping[str, Dataset] | None = None
) -> dict[Variety, Dataset]:
    """The study's data as its batches see them. read: those that are somebody's own, by name (`resolved`).

    StudyError for a file that cannot be downloaded or is damaged.
    """
    for facts in map(study.facts, study.names):
        if facts.missing is not None and (note := code(facts.missing)()) and not quiet:
            tell(note)
    found = [(variant.dataset, variant.preprocess, variant.input_noise) for variant in variants(study)]
    return {key: load_dataset(*key, study.synthetic, data=(read or {}).get(key[0])) for key in found}


def run_missing(
    study: Study,
    datasets: dict[Variety, Dataset],
    store: Store,
    quiet: bool = False,
    deadline: Deadline = NEVER,
    executor: Executor | None = None,
    observer: Observer | None = None,
) -> None:
    """Train and store every batch the store lacks; what it has and cannot use is named.

    executor: computes them; default, what the study asks for. observer: shows how far they are. Stopped where the
    deadline passes first, StudyError where a batch cannot be stored or the folder is gone, Unfinished where workers die
    of some batches.
    """
    batches = store.planned()
    finished = store.finished(batches, tell)
    missing = [batch for batch in batches if batch.number not in finished]
    job = Job(study, datasets, store.facts, store.batches, store.token)
    if missing:  # what was shown before is of fewer batches
        with suppress(OSError):
            (store.run_dir / SUMMARY).unlink(missing_ok=True)
    if missing and not quiet:
        tell(said_of_size(study, batches, missing, store.run_dir))
        if observer is not None:
            tell(observer.hint)
    with (
        Progress(study, batches, quiet, deadline, observer=observer) as progress,
        pool_of(study, job, executor) as pool,
    ):
        for batch in batches:
            if batch.number in finished:
                progress.skip(batch)
        if pool is None:
            for batch in missing:
                deadline.check()
                store.check_place()  # before hours of training for nothing
                progress.begin(batch)
                done = compute(job, batch, progress)
                store.put(batch.number, done.parts or {})
                progress.end(batch, done.seconds)
        else:
            _Handing(pool, Tasks(missing, partial(expected_work, study)), store, progress, deadline).run()


@dataclass
class _Handing:
    """Batches handed to workers, and stored as they come back."""

    pool: Pool
    tasks: Tasks
    store: Store
    progress: Progress
    deadline: Deadline
    running: dict[Future[list[Done]], list[Batch]] = field(default_factory=dict)
    deaths: Counter[int] = field(default_factory=Counter)
    trial: bool = False  # what is running is given away alone, so that its death is its own
    lost: list[Batch] = field(default_factory=list)
    since: float | None = None  # when it was first seen that there are no workers

    def run(self) -> None:
        while self.tasks or self.running:
            self.deadline.check()
            self.store.check_place()
            workers = self.pool.workers()
            while self.tasks and self._has_room(workers):
                self.trial = self.tasks.suspects
                batches = self.tasks.take(workers)
                self.running[self.pool.submit(batches)] = batches
            self.progress.workers(workers)
            if self.running:
                self.since = None
            else:
                self._wait_for_workers()
            for future in wait(self.running, LOOK_SECONDS, FIRST_COMPLETED).done:
                self._take_back(future, self.running.pop(future))
        if self.lost:
            raise Unfinished(_said_of_lost(self.lost, self.store.run_dir))

    def _has_room(self, workers: int) -> bool:
        if self.pool.shared and (self.trial or self.tasks.suspects):
            return bool(workers) and not self.running
        return len(self.running) < workers

    def _wait_for_workers(self) -> None:
        now = time.monotonic()
        self.since = now if self.since is None else self.since
        if now - self.since > PATIENCE:
            tell("waiting for workers: the Dask scheduler has none; start `dask worker ADDRESS`")
            self.since = math.inf  # said
        time.sleep(LOOK_SECONDS)

    def _take_back(self, future: Future[list[Done]], batches: list[Batch]) -> None:
        try:
            found = future.result()
        except self.pool.died:
            self._count_death(batches)
            return
        for done in found:
            if done.parts is not None:
                self.store.put(done.batch.number, done.parts)
            self.tasks.done(done.batch, done.seconds)
            self.progress.end(done.batch, done.seconds)

    def _count_death(self, batches: list[Batch]) -> None:
        """Each is tried again alone, so that it is known which one its worker dies of."""
        if len(batches) == 1 and (self.trial or not self.pool.shared):
            self.deaths[batches[0].number] += 1
        lost = [batch for batch in batches if self.deaths[batch.number] >= MOST_DEATHS]
        self.lost += lost
        self.tasks.again([batch for batch in batches if batch not in lost])


def _said_of_lost(lost: list[Batch], run_dir: Path) -> str:
    named = "; ".join(_named(batch) for batch in lost[:3]) + (f"; and {len(lost) - 3} more" if len(lost) > 3 else "")
    return (
        f"{len(lost)} of the batches killed their worker {MOST_DEATHS} times: {named}. All others are stored; give "
        f"workers more memory (or lower `memory`), then --resume {typed(run_dir)}"
    )


def _named(batch: Batch) -> str:
    """A batch as a person tells it from others."""
    sizes, seeds = [n for n, _ in batch.cells], [seed for _, seed in batch.cells]
    width = "" if batch.n_hidden is None else f", n_hidden={batch.n_hidden}"
    return (
        f"batch {batch.number} ({batch.dataset}, {batch.model}, P={batch.n_parameters}{width}, "
        f"N={min(sizes)}-{max(sizes)}, seeds {min(seeds)}-{max(seeds)})"
    )
