"""Processes of this machine that compute batches: each is sent what they have in common, and leaves with its parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from threading import Event, Thread

from gdstudy.experiment.plan import Batch
from gdstudy.experiment.rows import Records
from gdstudy.study.ending import SIGNALS, Ended
from gdstudy.sweep.pool import Pool
from gdstudy.sweep.worker import Done, Job, compute_apart

# Seconds in which a process has started, and in which one that is asked to end has saved what it has come to.
_STARTED, _SAVED = 60.0, 10.0
_held: list[Job] = []  # of a process that works for one run
_asked_to_end = Event()  # which it is


def _begin(parent: Connection, gpu: str | None) -> None:
    """A new process, which is sent its job. Ctrl-C and a terminal that goes are its parent's matter, and it leaves with
    its parent however that ends. SIGTERM ends it, as its pool may want."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
    with suppress(AttributeError):  # where there are no such masks
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    try:
        _held[:] = [parent.recv()]
        parent.send_bytes(b"begun")
    except (EOFError, OSError):
        os._exit(1)
    Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: Connection) -> None:
    with suppress(EOFError, OSError):
        parent.recv_bytes()
        _asked_to_end.set()
        parent.recv_bytes()
    os._exit(1)


class _Asked:
    """The Monitor of a process: asked to end, it saves the batch under way, as a run in one process does."""

    def start(self, cells: int, steps: int) -> None:
        self.check(0, cells)

    def check(self, cell_steps: int, running: int) -> None:
        if _asked_to_end.is_set():
            raise Ended

    def measured(self, so_far: Callable[[], Records]) -> None:
        pass


def _send(pipe: Connection, job: Job) -> None:
    with suppress(OSError):  # it is gone, as its task says
        pipe.send(job)


def _work(batches: Sequence[Batch]) -> list[Done]:
    return compute_apart(_held[0], batches, _Asked())


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
        there, self.pipe = multiprocessing.Pipe()
        self.pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin, (there, self.gpu))
        self.task = self.pool.submit(_work, batches)
        there.close()
        self.sender = Thread(target=_send, args=(self.pipe, job), daemon=True)
        self.sender.start()

    def ask_to_end(self) -> None:
        """One that has not begun has nothing to save, and would first come up: it is killed."""
        if self.pipe is None or self.pool is None or self.idle:
            return
        with suppress(OSError):  # it is gone
            if self.pipe.poll():
                self.pipe.send_bytes(b"end")
                return
        for process in (getattr(self.pool, "_processes", None) or {}).values():
            process.kill()

    def end(self) -> None:
        if self.pipe is not None:
            if self.sender is not None:
                self.sender.join(_STARTED)  # what is being written to is not to be closed
            self.pipe.close()
        if self.pool is not None:
            if self.task is not None:
                wait([self.task], _SAVED)  # it leaves at once
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
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def processes(workers: int, device: str, job: Job) -> Iterator[Pool]:
    gpus = gpus_here() if device == "cuda" else []
    all_of_them = _Processes(job, [_Process(gpus[k % len(gpus)] if gpus else None) for k in range(workers)])
    try:
        yield Pool(all_of_them.submit, lambda: workers)
    except KeyboardInterrupt:
        under_way = [worker for worker in all_of_them.workers if not worker.idle]
        for worker in under_way:
            worker.ask_to_end()
        wait([worker.task for worker in under_way if worker.task is not None], _SAVED)
        raise
    finally:
        for worker in all_of_them.workers:
            worker.end()


def gpus_here() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(k) for k in range(torch.cuda.device_count())]
