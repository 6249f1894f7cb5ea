"""Where batches are computed: any `concurrent.futures.Executor`; in this process, in processes, or on Dask."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

from gdstudy.experiment.plan import Batch
from gdstudy.study import groups
from gdstudy.study.config import Study
from gdstudy.study.console import one_line, typed
from gdstudy.study.errors import StudyError
from gdstudy.sweep.machine import n_cores
from gdstudy.sweep.worker import Done, Job, compute_apart

Task = Callable[[Sequence[Batch]], "Future[list[Done]]"]


@dataclass(frozen=True)
class Pool:
    """Workers that take tasks. submit: hands some batches to a worker; workers: how many there are just now; died: what
    a task raises whose worker died; shared: so does a task that only waited for the same worker."""

    submit: Task
    workers: Callable[[], int]
    died: tuple[type[BaseException], ...] = (BrokenExecutor,)
    shared: bool = False


@contextmanager
def pool_of(study: Study, job: Job, executor: Executor | None = None) -> Iterator[Pool | None]:
    """The workers of a study, or of any executor that is given; None where batches are computed in this process.

    On the way out after an error what they have under way is dropped.
    """
    asked = study.executor
    if executor is not None:
        yield _of(executor, job)
    elif asked.kind == "processes":
        with _processes(asked.workers.value or default_workers(study), study.device, job) as pool:
            yield pool
    elif asked.kind == "dask":
        with _dask(asked, study, job) as pool:
            yield pool
    else:
        yield None


def _of(executor: Executor, job: Job) -> Pool:
    """Somebody's own executor, which they shut down themselves."""
    workers = max(n_cores(), getattr(executor, "_max_workers", 0))
    return Pool(lambda batches: executor.submit(compute_apart, job, batches), lambda: workers)


def default_workers(study: Study) -> int:
    """One a core, or one a GPU."""
    return n_cores() if study.device == "cpu" else max(1, len(_gpus()))


def _gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(k) for k in range(torch.cuda.device_count())]


# Processes of this machine


_STARTED = 60.0  # seconds in which a process has started
_held: list[Job] = []  # of a process that works for one run


def _begin(parent: Connection, gpu: str | None) -> None:
    """A new process, which is sent its job: Ctrl-C is its parent's, and it leaves with its parent however that ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
    with suppress(AttributeError):  # where there are no such masks
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    try:
        _held[:] = [parent.recv()]
    except (EOFError, OSError):
        os._exit(1)
    Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: Connection) -> None:
    with suppress(EOFError, OSError):
        parent.recv_bytes()
    os._exit(1)


def _send(pipe: Connection, job: Job) -> None:
    with suppress(OSError):  # it is gone, as its task says
        pipe.send(job)


def _work(batches: Sequence[Batch]) -> list[Done]:
    return compute_apart(_held[0], batches)


_SIGNALS = {signal.SIGINT, signal.SIGTERM}


@dataclass
class _Process:
    """One process, and the end of a pipe that it watches; `task`: what it does or did last."""

    gpu: str | None
    pool: ProcessPoolExecutor | None = None
    pipe: Connection | None = None
    sender: Thread | None = None
    task: Future[list[Done]] | None = None

    @property
    def idle(self) -> bool:
        return self.task is None or self.task.done()

    def begin(self, job: Job, batches: Sequence[Batch]) -> None:
        """Start the process with its first task.

        The job is sent to it: given with its other arguments, it would be written to a pipe whose other end this
        process has as well, and wait for ever where the process dies as it starts.
        """
        there, self.pipe = multiprocessing.Pipe(duplex=False)
        self.pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin, (there, self.gpu))
        self.task = self.pool.submit(_work, batches)
        there.close()
        self.sender = Thread(target=_send, args=(self.pipe, job), daemon=True)
        self.sender.start()

    def end(self) -> None:
        if self.pipe is not None:
            if self.sender is not None:
                self.sender.join(_STARTED)  # what is being written to is not to be closed
            self.pipe.close()
        if self.pool is not None:
            # One that has nothing to do is gone at once. Its pool's thread is not to run into Python's own end, where
            # each may close what the other writes to.
            self.pool.shutdown(wait=self.idle, cancel_futures=True)
        self.pool = self.pipe = None


@dataclass
class _Processes:
    """Processes of one task each at a time: one that dies fails its own task alone, and another takes its place."""

    job: Job
    workers: list[_Process] = field(default_factory=list)

    def submit(self, batches: Sequence[Batch]) -> Future[list[Done]]:
        worker = next(worker for worker in self.workers if worker.idle)
        with _no_signals():  # what is sent to all processes of a terminal is for this one
            try:
                if worker.pool is None:
                    worker.begin(self.job, batches)
                else:
                    worker.task = worker.pool.submit(_work, batches)
            except BrokenExecutor:  # it died at its last task, or since
                worker.end()
                worker.begin(self.job, batches)
        assert worker.task is not None
        return worker.task


@contextmanager
def _no_signals() -> Iterator[None]:
    """Signals wait meanwhile; processes that are started in it never get them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _processes(workers: int, device: str, job: Job) -> Iterator[Pool]:
    gpus = _gpus() if device == "cuda" else []
    processes = _Processes(job, [_Process(gpus[k % len(gpus)] if gpus else None) for k in range(workers)])
    try:
        yield Pool(processes.submit, lambda: workers)
    finally:
        for worker in processes.workers:
            worker.end()


# Dask


ANSWER_SECONDS = 30.0  # in which a scheduler answers


def check_executor(asked: groups.Executor) -> None:
    """StudyError where Dask is asked for and not installed, or its scheduler does not answer."""
    if asked.kind == "dask":
        try:
            from distributed import Client
        except ImportError:
            raise StudyError(
                "executor.kind=dask: Dask is not installed; in the clone, pip install -e '.[dask]'"
            ) from None
        if asked.scheduler:
            with _client(Client, asked.scheduler):
                pass


@contextmanager
def _dask(asked: groups.Executor, study: Study, job: Job) -> Iterator[Pool]:
    """The workers of a scheduler, or of a cluster on this machine that ends with the run."""
    import dask
    from distributed import Client, LocalCluster
    from distributed.scheduler import KilledWorker

    # A cluster of our own reports each death of a worker, and they are counted as those of processes are.
    own = {"distributed.scheduler.allowed-failures": 0, "distributed.admin.large-graph-warning-threshold": "1GB"}
    with dask.config.set(own), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster, wanted = None, asked.workers.value or default_workers(study)
        if not asked.scheduler:
            cluster = LocalCluster(wanted, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL)

        def workers() -> int:
            there = sum(client.nthreads().values())
            if cluster is not None and there < wanted:
                cluster.scale(wanted)  # it gives up a worker that takes long to come back, as on a busy machine
            return there

        try:
            with _client(Client, cluster or asked.scheduler) as client:
                # The job is a task of its own, not data: whoever has lost it computes it again, and where its worker
                # died of that too it is given anew.
                executor, held = client.get_executor(pure=False), client.submit(_same, job, pure=False)

                def submit(batches: Sequence[Batch]) -> Future[list[Done]]:
                    nonlocal held
                    if held.status == "error":
                        held = client.submit(_same, job, pure=False)
                    return executor.submit(compute_apart, held, batches)

                with _gone_explained(client, asked, job):
                    yield Pool(submit, workers, died=(KilledWorker,), shared=True)
        finally:
            if cluster is not None:
                cluster.close()


@contextmanager
def _gone_explained(client: Any, asked: groups.Executor, job: Job) -> Iterator[None]:
    """StudyError for whatever is raised where the scheduler is gone."""
    try:
        yield
    except StudyError:
        raise
    except Exception as error:
        if client.status == "running" and not isinstance(error, CancelledError):
            raise
        raise StudyError(
            f"executor.scheduler={asked.scheduler}: the Dask scheduler is gone, or drops what it was given; finished "
            f"batches are kept: start it anew, then --resume {typed(job.batches.parent)}"
        ) from error


def _same(job: Job) -> Job:
    return job


@contextmanager
def _client(connect: Callable[..., Any], where: Any) -> Iterator[Any]:
    try:
        client = connect(where, timeout=ANSWER_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise StudyError(
            f"executor.scheduler={where}: no Dask scheduler answers ({one_line(error)[:200]}); start `dask scheduler` "
            "and `dask worker ADDRESS`, or leave the address out"
        ) from None
    log = logging.getLogger("distributed.client")  # of a scheduler that is gone: pages
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield client
    finally:
        client.close()
        log.setLevel(before)
