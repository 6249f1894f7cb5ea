"""Counts what a process does to files below a folder, and lets something happen at the k-th time."""

import builtins
import io
import os
import signal
import sys
from errno import ENOSPC

from matplotlib.figure import Figure

_MAKES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# What a full disk refuses; it lets files be renamed and removed.
_TAKES_SPACE = ("open", "write", "fsync", "os.mkdir")
_OPEN = io.open


class Points:
    """Every file that is opened for writing, written, flushed to the disk, renamed or removed, every folder made.

    act: called with the kind of the k-th of them, just before it; in the middle of what is written.
    """

    def __init__(self, home, k=0, act=lambda kind: None, ever_after=False):
        self.home, self.k, self.act, self.ever_after = os.fspath(home), k, act, ever_after
        self.kinds = []
        sys.addaudithook(self._hear)
        self._fsync = os.fsync
        os.fsync = self.fsync
        io.open = builtins.open = self.open

    def meet(self, kind):
        self.kinds.append(kind)
        if len(self.kinds) == self.k or (self.ever_after and len(self.kinds) > self.k):
            self.act(kind)

    def _is_ours(self, path):
        return isinstance(path, str | bytes | os.PathLike) and os.path.abspath(os.fsdecode(path)).startswith(self.home)

    def _hear(self, event, arguments):
        if event == "open":
            if arguments[2] & _MAKES and self._is_ours(arguments[0]):
                self.meet(event)
        elif event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir") and self._is_ours(arguments[0]):
            self.meet(event)

    def fsync(self, number):
        self.meet("fsync")
        self._fsync(number)

    def open(self, file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
        if not set(mode) & set("wax+") or not self._is_ours(file):
            return _OPEN(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = _Raw(file, mode.replace("b", "").replace("t", ""))
        raw.points = self
        buffered = io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)


class _Raw(io.FileIO):
    def write(self, content):
        half = bytes(content)[: len(content) // 2]
        points = self.points
        if len(points.kinds) + 1 == points.k:  # what a process that dies, or a disk, has taken of it
            super().write(half)
        points.meet("write")
        return super().write(content)


def kill(kind):
    os.kill(os.getpid(), signal.SIGKILL)


def fill(kind):
    if kind in _TAKES_SPACE:
        raise OSError(ENOSPC, os.strerror(ENOSPC))


def small_figure(run):
    """In place of all figures, which take seconds."""
    figure = Figure((2, 1))
    figure.add_subplot().plot(run.results["n_train"], run.results["test_mse"])
    return figure
