"""Who may write a run: one process that computes all of it, or several that each compute one of its n shards.

Who has the whole run holds `lock`, and shard k of n `lock.k-n`. Each is looked at and taken behind the `gate`, which is
held for a moment only. The system frees the locks of a process that died, however it died.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from gdstudy.study.errors import StudyError
from gdstudy.study.seeds import Shard
from gdstudy.sweep.folder import BATCHES, GATE, LOCK, WRITER, check_file, write_whole

# How long a gate is waited for, and a lock, which `gdstudy runs` may have for a moment to see that nobody has it.
GATE_SECONDS, LOCK_SECONDS = 60.0, 0.5
_OF_SHARD = re.compile(re.escape(LOCK) + r"(\.([0-9]+)-([0-9]+))")


@dataclass(frozen=True)
class Held:
    """What a process holds. name: of its lock's file; writer: of the file that says which process that is."""

    lock: FileLock
    name: str
    writer: str

    def release(self) -> None:
        self.lock.release()


@contextmanager
def gate(run_dir: Path) -> Iterator[None]:
    """One process at a time looks at who writes a run. StudyError where that takes too long."""
    lock = _lock(run_dir / BATCHES / GATE, GATE_SECONDS)
    try:
        lock.acquire()
    except Timeout:
        raise StudyError(f"{run_dir} is busy: {lock.lock_file} was held for {GATE_SECONDS:.0f} s; try again") from None
    try:
        yield
    finally:
        lock.release()


def hold(run_dir: Path, shard: Shard | None = None) -> Held:
    """Lock a run, or one shard of it, for this process until it ends or releases it.

    StudyError, naming who, where another process holds the run or this shard, or one of another number of shards.
    """
    batches = run_dir / BATCHES
    own = "" if shard is None else f".{shard.k}-{shard.n}"
    with gate(run_dir):
        lock = _take(run_dir, own)
        try:
            for other in _excluded(batches, shard):
                _take(run_dir, other).release()
                if shard is None:  # held by nobody: what shards that ended have left
                    for name in (LOCK, WRITER):
                        (batches / f"{name}{other}").unlink(missing_ok=True)
            writer = batches / f"{WRITER}{own}"
            check_file(writer)
            write_whole(writer, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        except BaseException:
            lock.release()
            raise
    return Held(lock, f"{LOCK}{own}", writer.name)


def writer_of(run_dir: Path) -> str | None:
    """Who writes a run just now, as it is said; None where nobody does. Nothing is made or changed."""
    batches = run_dir / BATCHES
    for name in sorted(os.listdir(batches)):
        if name == LOCK or _OF_SHARD.fullmatch(name):
            try:
                _take(run_dir, name.removeprefix(LOCK), 0).release()
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                    raise
                continue  # of somebody else's run, or where nothing is written: not known
            except StudyError:
                return _said_of(batches / f"{WRITER}{name.removeprefix(LOCK)}")
    return None


def shards_of(run_dir: Path) -> list[Shard]:
    """The shards that were begun in a run which nobody has held as a whole since."""
    found = []
    for match in filter(None, map(_OF_SHARD.fullmatch, os.listdir(run_dir / BATCHES))):
        with suppress(ValueError):  # a name that is no shard's
            found.append(Shard.parse(f"{match[2]}/{match[3]}"))
    return sorted(found)


def _excluded(batches: Path, shard: Shard | None) -> list[str]:
    """What is added to `lock` in the names of those that nobody else may hold beside this one."""
    found = [match for match in map(_OF_SHARD.fullmatch, sorted(os.listdir(batches))) if match]
    if shard is None:
        return [match[1] for match in found]
    return ["", *(match[1] for match in found if int(match[3]) != shard.n)]


def _take(run_dir: Path, suffix: str, patience: float = LOCK_SECONDS) -> FileLock:
    lock, writer = _lock(run_dir / BATCHES / f"{LOCK}{suffix}", patience), run_dir / BATCHES / f"{WRITER}{suffix}"
    try:
        lock.acquire()
    except Timeout:
        who = _said_of(writer)
        shard = f" (shard {suffix[1:].replace('-', '/')})" if suffix else ""
        raise StudyError(f"{run_dir} is being written by {who}{shard}; wait until it ends, or stop it") from None
    return lock


def _said_of(writer: Path) -> str:
    check_file(writer)
    if not writer.is_file():
        return "another process"
    with writer.open("rb") as file:
        return file.read(300).decode("utf-8", "replace").strip()


def _lock(path: Path, timeout: float) -> FileLock:
    check_file(path)
    if path.exists() and (path.is_dir() or path.stat().st_nlink > 1):
        raise StudyError(f"{path} is a folder or has a second name somewhere else; remove it")
    return FileLock(path, timeout=timeout, poll_interval=0.02)
