"""A run's folder, which may come from somebody else: files are written whole and inside it, links are not followed."""

from __future__ import annotations

import os
import secrets
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gdstudy.study.errors import StudyError

CONFIG, BATCHES, STUDY = "config.yaml", "batches", "study.yaml"
OLD_STORE = "results.sqlite"  # of version 0.1
_LOCK, _WRITER, _PART = "lock", "writer", ".part"


def check_folder(run_dir: Path) -> None:
    """StudyError for a run of version 0.1, and for what could lead out of a run: links, and files that are none."""
    _refuse_old(run_dir)
    for folder, names, files in os.walk(run_dir):
        for name in (*names, *files):
            check_file(Path(folder, name))


def check_file(path: Path) -> None:
    """StudyError for a link, or what is neither a file nor a folder. What is gone by now is no matter."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        what = "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"
        raise StudyError(f"{path} is {what}; a run's folder holds none: remove it, or start a new run")


def check_run(run_dir: Path) -> Path:
    """The folder of a run's batches. StudyError where there is none, or where it is a link."""
    _refuse_old(run_dir)
    batches = run_dir / BATCHES
    for path in (batches, batches / STUDY):
        check_file(path)
    if not (batches / STUDY).is_file():
        raise StudyError(f"{run_dir} is no run: it has no {BATCHES}/{STUDY}")
    return batches


def is_old(run_dir: Path) -> bool:
    """Whether it is a run of version 0.1, whose store was one file."""
    return (run_dir / OLD_STORE).exists() and not (run_dir / BATCHES).exists()


def _refuse_old(run_dir: Path) -> None:
    if is_old(run_dir):
        raise StudyError(
            f"{run_dir} is a run of gdstudy 0.1 ({OLD_STORE}), which this version does not read; use that version, or "
            "run its study anew, in which dtype is gd.dtype now"
        )


def is_unused(run_dir: Path) -> bool:
    """Whether there is nothing, or only what is left of a run that was killed as it began."""
    batches = run_dir / BATCHES
    rest = [path for path in run_dir.iterdir() if path != batches]
    if batches.is_dir() and not batches.is_symlink():
        rest += [path for path in batches.iterdir() if path.name not in (_LOCK, _WRITER)]
    elif batches.exists():
        rest.append(batches)
    return all(_is_remains(path) for path in rest)


def _is_remains(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(_PART) and stat.S_ISREG(path.lstat().st_mode)


def clear_remains(run_dir: Path) -> None:
    """Remove what is left of files that were being written when a run was killed. For who holds the run alone."""
    for folder, _, files in os.walk(run_dir):
        for path in (Path(folder, name) for name in files):
            if _is_remains(path):
                path.unlink()


def hold(run_dir: Path) -> FileLock:
    """Lock a run for this process until it ends or releases it. StudyError, naming who holds it, where another does.

    The system frees the lock of a process that died, however it died.
    """
    path, writer = run_dir / BATCHES / _LOCK, run_dir / BATCHES / _WRITER
    for file in (path, writer):
        check_file(file)
    if path.exists() and (path.is_dir() or path.stat().st_nlink > 1):
        raise StudyError(f"{path} is a folder or has a second name somewhere else; remove it")
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        who = _first_bytes(writer).decode("utf-8", "replace").strip() if writer.is_file() else "another process"
        raise StudyError(f"{run_dir} is being written by {who}; wait until it ends, or stop it") from None
    write_whole(writer, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    return lock


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(300)


def abandon(run_dir: Path) -> None:
    """Remove what a run that could not begin has written. For who holds it."""
    for name in (CONFIG, f"{BATCHES}/{STUDY}", f"{BATCHES}/{_WRITER}", f"{BATCHES}/{_LOCK}"):
        (run_dir / name).unlink(missing_ok=True)
    (run_dir / BATCHES).rmdir()


@contextmanager
def whole_file(path: Path, flush: bool = False) -> Iterator[Path]:
    """A new file to write that becomes `path` at the end, so that `path` is there whole or not at all.

    flush: its content is on the disk before its name is, so that this holds even where the machine stops.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_PART}")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # a link of this name would fail
        yield part
        if flush:
            _flush(part)
        os.replace(part, path)
        if flush:
            _flush(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def write_whole(path: Path, content: bytes, flush: bool = False) -> None:
    with whole_file(path, flush) as part:
        part.write_bytes(content)
