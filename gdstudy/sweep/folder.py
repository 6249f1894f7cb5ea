"""A run's folder, which may come from somebody else: files are written whole and inside it, links are not followed."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gdstudy.study.errors import StudyError

CONFIG, BATCHES, STUDY = "config.yaml", "batches", "study.yaml"
SUMMARY = "summary.csv"  # the last that is written of what shows a run: where it is, all is shown
OLD_STORE = "results.sqlite"  # of version 0.1
LOCK, WRITER, GATE = "lock", "writer", "gate"  # see `lock`; the second says who writes a run
LOCKS, PART = re.compile(rf"{GATE}|({LOCK}|{WRITER})(\.[0-9]+-[0-9]+)?"), ".part"
_NFS = ".nfs"  # of NFS: files that were removed while somebody had them open


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


def is_unused(run_dir: Path, starts: re.Pattern[str]) -> bool:
    """Whether there is nothing, or only what is left of a run that was killed as it began.

    starts: names of folders in which others begin just now; which of them is first, the rename says.
    """
    batches = run_dir / BATCHES
    rest = [path for path in run_dir.iterdir() if path != batches and not starts.fullmatch(path.name)]
    if batches.is_dir() and not batches.is_symlink():
        rest += [path for path in batches.iterdir() if not LOCKS.fullmatch(path.name)]
    elif batches.exists():
        rest.append(batches)
    return all(_is_remains(path) or path.name.startswith(_NFS) for path in rest)


def is_blank(path: Path) -> bool:
    """Whether a file is not there, or empty, as a machine that stopped may leave it."""
    check_file(path)
    if not path.is_file():
        return True
    with path.open("rb") as file:
        return not file.read(1 << 16).strip(b"\0 \t\r\n")


def _is_remains(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(PART) and stat.S_ISREG(path.lstat().st_mode)


def clear_remains(run_dir: Path) -> None:
    """Remove what is left of files that were being written when a run was killed. For who holds the run alone."""
    for folder, _, files in os.walk(run_dir):
        for path in (Path(folder, name) for name in files):
            if _is_remains(path):
                path.unlink(missing_ok=True)


def remedy(error: OSError) -> str:
    """What to do about a write that failed."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "free some space"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):  # something that is no run's
        return "take that away"
    return "put that right"


Place = tuple[int, int]  # device and inode


def place(path: Path) -> Place:
    found = path.stat()
    return found.st_dev, found.st_ino


def check_place(run_dir: Path, lock: str, held: Place) -> None:
    """StudyError where the folder of this name is not the one whose lock is held: then nothing is to be written there.

    held: the `place` of that lock, which stays open while it is held, so that no other file gets its number.
    """
    try:
        if place(run_dir / BATCHES / lock) == held:
            return
    except (FileNotFoundError, NotADirectoryError):
        pass
    raise StudyError(
        f"{run_dir} was removed, renamed or replaced while its run went on; nothing was written to a new folder. "
        "Where it is now, go on with --resume"
    )


@contextmanager
def whole_file(path: Path, flush: bool = False) -> Iterator[Path]:
    """A new file to write that becomes `path` at the end, so that `path` is there whole or not at all.

    flush: its content is on the disk before its name is, so that this holds even where the machine stops.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}{PART}")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # a link of this name would fail
        yield part
        if flush:
            flush_to_disk(part)
        rename(part, path)
        if flush:
            flush_to_disk(path.parent)
    finally:
        part.unlink(missing_ok=True)


def rename(path: Path, to: Path) -> None:
    """os.replace. NFS may answer that nothing is there where it asks a second time and was obeyed the first."""
    before = place(path)
    try:
        os.replace(path, to)
    except FileNotFoundError:
        if not to.exists() or place(to) != before:
            raise


def flush_to_disk(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def write_output(path: Path, content: bytes) -> None:
    """Write a file that somebody has named. StudyError where it would take the place of something that is no file."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise StudyError(f"{path} is a link, a folder or a device; name a file")
    if not path.parent.is_dir():
        raise StudyError(f"{path}: there is no folder {path.parent}; make it first")
    write_whole(path, content)


def write_whole(path: Path, content: bytes, flush: bool = False) -> None:
    with whole_file(path, flush) as part:
        part.write_bytes(content)
