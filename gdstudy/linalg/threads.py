"""How many threads PyTorch uses inside one operation: one for small ones, more where that has been measured to help.

The threads of an operation wait for each other in a loop that burns their time. On an idle machine that costs little
and halves the time of a step; beside another busy process the one waits for a slice of the other's, a hundred times as
long as the step itself. Neither number of threads is right by itself, so steps are timed while they run.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache
from itertools import pairwise
from typing import Any, ClassVar, TypeVar

import threadpoolctl
import torch

from gdstudy.study.values import MOST_THREADS

# A single cell of more numbers than this is a large product, which PyTorch divides among all threads.
SMALL_CELL = 1 << 15
# Beyond this many the cells of a stack, however few, are divided among threads.
LARGE_CELL = 1 << 16
# Up to so many, NumPy's BLAS does not divide a product or factorisation among threads.
_UNDIVIDED = 1 << 10
# Seconds: how long steps are timed; how soon speeds are compared again, and how far apart that may come to be.
_TIMED, _SOON, _LATE = 0.01, 0.25, 16.0
# Operations that take some .1 ms, well above what it takes to hand them to a thread; parts for each to take.
_WORTH_A_THREAD, _PARTS = 1 << 20, 4
# More threads must be this much faster to be worth it; this much slower, and it is the machine that is busy.
_GAIN, _STALL = 0.9, 2.0

_outside: ContextVar[int | None] = ContextVar("threads outside", default=None)


def all_threads() -> int:
    """As many as the user lets PyTorch have, also inside `one_thread`."""
    return _outside.get() or torch.get_num_threads()


@contextmanager
def intra_op(threads: int) -> Iterator[None]:
    """So many threads an operation; the number before is restored after."""
    before = torch.get_num_threads()
    token = _outside.set(all_threads())
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _outside.reset(token)


@contextmanager
def one_blas_thread(cell: int | None = None) -> Iterator[None]:
    """NumPy's products and factorisations of matrices of so many numbers, or any, on one thread each.

    Its BLAS would divide each of them among all threads, which wait for each other: beside other busy processes two
    took 15 ms for an SVD of 64 × 64 and 7 s for one of 3072 × 768, where one took .8 ms and .8 s. And the digits of a
    product of 127 × 64 depend on how many there are.
    """
    with nullcontext() if cell is not None and cell <= _UNDIVIDED else _LIMIT.held():
        yield


class _BlasLimit:
    """One thread for NumPy's BLAS while any of Python's threads is in `held`: their number is one for all of these, so
    that the first that comes sets it, and the last that goes sets it back."""

    def __init__(self) -> None:
        self._lock, self._holders = threading.Lock(), 0
        self._controller: Any = None
        self._limiter: Any = None

    @contextmanager
    def held(self) -> Iterator[None]:
        with self._lock:
            if not self._holders:
                self._controller = self._controller or threadpoolctl.ThreadpoolController()
                self._limiter = self._controller.limit(limits=1, user_api="blas")
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if not self._holders:
                    _let_any_thread_set_it()
                    self._limiter.restore_original_limits()
                    _let_any_thread_set_it()


def _let_any_thread_set_it() -> None:
    """Since threadpoolctl 3.8 only the thread that set OpenBLAS's number of threads may change it, while it lives."""
    openblas = getattr(threadpoolctl, "OpenBLASController", None)
    if clear := getattr(openblas, "clear_controlling_thread", None):
        clear(force=True)


_LIMIT = _BlasLimit()


Result = TypeVar("Result")


def share(
    work: Callable[[int, int], Result], n: int, threads: int, operations: int, parts: int = _PARTS
) -> list[Result]:
    """work(begin, end) for all of 0 … n, of so many operations together, on several of Python's threads.

    For work that lets other threads go on. Who is done takes the next part, of so many for each thread: nobody waits
    but at the end, and a busy core costs no more than its share. What is cut off leaves no part running.
    """
    threads = min(threads, n, 1 + operations // _WORTH_A_THREAD)
    if threads <= 1:
        return [work(0, n)]
    parts = min(n, parts * threads)
    ends = [n * part // parts for part in range(parts + 1)]
    rest, found = deque(enumerate(pairwise(ends))), dict[int, Result]()

    def take() -> None:
        try:
            while True:
                try:
                    number, part = rest.popleft()
                except IndexError:
                    return
                found[number] = work(*part)
        finally:
            rest.clear()  # nothing is left, or something has gone wrong

    futures = [_pool().submit(take) for _ in range(threads)]
    try:
        for future in futures:
            future.result()
    except BaseException:
        rest.clear()
        wait(futures)
        raise
    return [found[number] for number in range(parts)]


@cache
def _pool() -> ThreadPoolExecutor:
    """Kept: to start a thread takes longer than many a part of a work. It has as many as were busy at once."""
    return ThreadPoolExecutor(MOST_THREADS)


if hasattr(os, "register_at_fork"):  # a child has the pool of its parent, and none of its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


class Pace:
    """Repeats a step on one thread, or on more where that is faster just now.

    It times some steps on one thread and some on all, goes on with the faster, and compares again: the more rarely, the
    more often one thread was ahead. On all threads it falls back to one as soon as they are slower than it was.
    There are never more threads than cells: then each cell is one thread's, and its digits do not depend on how many
    there are (tests/linalg/test_threads.py). threads: a fixed number instead.
    """

    # How busy the machine is, is no matter of one stack: all wait together before they try again.
    _busy_until: ClassVar[float] = 0.0
    _busy_pause: ClassVar[float] = _SOON

    def __init__(self, cell: int, device: torch.device | None = None, threads: int | None = None) -> None:
        """cell: numbers that a step goes through for one cell. What runs on a GPU has no use for threads."""
        self.fixed = threads
        self.large, self.on_cpu = cell > SMALL_CELL, device is None or device.type == "cpu"
        self._phase = "one"
        self._until, self._pause = 0.0, _SOON  # when to compare again, and how long after that
        self._on_one = math.inf  # seconds a step
        self._seconds, self._steps = 0.0, 0

    def around(self) -> AbstractContextManager[None]:
        """The threads for what is done between the steps."""
        if not self.on_cpu:
            return nullcontext()
        return intra_op(self.fixed or (all_threads() if self.large else 1))

    def repeat(self, step: Callable[[], None], n_steps: int, cells: int) -> None:
        """So many steps of a stack of so many cells."""
        most = all_threads() if self.large and cells == 1 else min(all_threads(), cells)
        fixed = self.fixed or (most if most == 1 or cells == 1 else None)
        with nullcontext() if not self.on_cpu else intra_op(fixed or 1):
            if fixed or not self.on_cpu:
                for _ in range(n_steps):
                    step()
                return
            while n_steps:
                torch.set_num_threads(most if self._phase in ("trial", "all") else 1)
                done, start = 0, time.perf_counter()
                while done < n_steps:
                    step()
                    done += 1
                    if time.perf_counter() - start > _TIMED:
                        break
                self._learn(time.perf_counter() - start, done)
                n_steps -= done

    def _learn(self, seconds: float, steps: int) -> None:
        """What the time of the last steps says of the next."""
        self._seconds, self._steps = self._seconds + seconds, self._steps + steps
        if self._seconds < _TIMED:
            return
        per_step, now = self._seconds / self._steps, time.perf_counter()
        self._seconds, self._steps = 0.0, 0
        due = now >= max(self._until, Pace._busy_until)
        if self._phase == "timing":
            self._phase, self._on_one = "trial", per_step
        elif self._phase == "trial" and per_step < _GAIN * self._on_one:
            self._phase, self._until, self._pause = "all", now + _SOON, _SOON
            Pace._busy_pause = _SOON
        elif self._phase == "trial" or (self._phase == "all" and per_step > self._on_one):
            self._phase, self._until, self._pause = "one", now + self._pause, min(2 * self._pause, _LATE)
            if per_step > _STALL * self._on_one:
                Pace._busy_until, Pace._busy_pause = now + Pace._busy_pause, min(2 * Pace._busy_pause, _LATE)
        elif due:
            self._phase = "timing"
