"""A run's folder, which may come from somebody else: files are written whole and inside it, links are not followed."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gdstudy.study.errors import StudyError

STORE = "results.sqlite"
_PART = ".part"
# The last bytes of a journal that names a second one, which SQLite would delete wherever it is.
_SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")


def check_folder(run_dir: Path) -> None:
    """StudyError for what could lead out of a run's folder: links, and files that are none.

    Remains of files that were being written when a run was killed are removed.
    """
    check_store(run_dir)
    for folder, names, files in os.walk(run_dir):
        for name in (*names, *files):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                what = "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"
                raise StudyError(f"{path} is {what}; a run's folder holds none: remove it, or start a new run")
            if name.startswith(".") and name.endswith(_PART) and stat.S_ISREG(mode):
                path.unlink()


def check_store(run_dir: Path) -> Path:
    """The store of a run. StudyError where there is none, or where reading it would touch other files."""
    path = run_dir / STORE
    if not path.is_file():
        raise StudyError(f"{run_dir} is no run: it has no {STORE}")
    for suffix in ("", "-wal", "-shm", "-journal"):
        file = Path(f"{path}{suffix}")
        try:
            found = file.lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            raise StudyError(f"{file} is a link or no regular file; put a copy of the file itself in its place")
        if suffix == "-journal" and found.st_size >= 8:
            with file.open("rb") as journal:
                journal.seek(-8, os.SEEK_END)
                if journal.read() == _SUPER_JOURNAL:
                    raise StudyError(f"{file} names another journal, which no run's does; remove it")
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A new file to write that becomes `path` at the end, so that `path` is there whole or not at all."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_PART}")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # a link of this name would fail
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    with whole_file(path) as part:
        part.write_bytes(content)
