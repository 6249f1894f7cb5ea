"""What is checked of a file before it is read, and how it is said: memory and time are bounded whatever it holds."""

from __future__ import annotations

import gzip
import io
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gdstudy.study.console import one_line
from gdstudy.study.errors import StudyError

# Bytes of a file, and numbers and columns of a table.
LARGEST, MOST_NUMBERS, MOST_COLUMNS = 1 << 30, 10**8, 10**5
# A packed file that holds more than this, and more than a hundredfold of its own size, is a bomb.
_MOST_UNPACKED, _MOST_DENSE, _MOST_MEMBERS = 1 << 26, 100, 10_000


def read_whole(path: Path) -> bytes:
    """The bytes of a regular file of at most LARGEST. StudyError for anything else that a path can name."""
    try:
        # Without waiting for whoever writes to a pipe.
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        lacks = isinstance(error, FileNotFoundError) and not path.is_absolute()
        where = f" (looked in {Path.cwd()}; go to the folder that its path starts from)" if lacks else ""
        raise StudyError(f"{path}: {error.strerror or one_line(error)}{where}") from None
    except ValueError as error:  # a path with a zero byte
        raise StudyError(f"{one_line(ascii(str(path)))}: {one_line(error)}") from None
    about = os.fstat(number)
    if not stat.S_ISREG(about.st_mode):
        os.close(number)
        what = "a folder" if stat.S_ISDIR(about.st_mode) else "no regular file"
        raise StudyError(f"{path}: is {what}; name a file")
    with open(number, "rb") as file:
        if about.st_size > LARGEST:
            raise StudyError(
                f"{path}: has {about.st_size:,} bytes, more than {LARGEST:,}; keep fewer rows, or float32 in .npy"
            )
        if not about.st_size:
            raise StudyError(f"{path}: is empty")
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise StudyError(f"{path}: grows while it is read; wait until it is written")
    return content


def most_unpacked(size: int) -> int:
    """Bytes that a packed file of this size may hold."""
    return min(LARGEST, max(_MOST_UNPACKED, _MOST_DENSE * size))


def unpacked(where: str, content: bytes) -> bytes:
    """What a .gz holds. StudyError for a damaged one, and for one that holds too much, without unpacking the rest."""
    most = most_unpacked(len(content))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            found = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise StudyError(f"{where}: is no whole .gz file ({one_line(error)}); make it again") from None
    if len(found) > most:
        raise _bomb(where, len(content), most)
    if not found:
        raise StudyError(f"{where}: is empty")
    return found


def check_zip(where: str, content: bytes) -> None:
    """StudyError for what is no archive, or one whose members say that they hold too much."""
    with explained(where, "no archive of arrays, or cut off"), zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
    if len(members) > _MOST_MEMBERS or sum(member.file_size for member in members) > most_unpacked(len(content)):
        raise _bomb(where, len(content), most_unpacked(len(content)))


def _bomb(where: str, size: int, most: int) -> StudyError:
    return StudyError(f"{where}: unpacks to more than {most:,} bytes, which {size:,} bytes of data do not hold")


def check_size(where: str, rows: int, columns: int) -> None:
    """StudyError for a table that is too large, or that can be no data."""
    if columns > MOST_COLUMNS:
        raise StudyError(f"{where}: has {columns:,} columns, more than {MOST_COLUMNS:,}; keep fewer")
    if rows * columns > MOST_NUMBERS:
        raise StudyError(
            f"{where}: has {rows:,} rows of {columns:,} columns, more than {MOST_NUMBERS:,} numbers; keep fewer rows"
        )


@contextmanager
def explained(where: str, what: str) -> Iterator[None]:
    """What a library says of a file that it cannot read, as one line: `{where}: {what} (…)`."""
    try:
        yield
    except StudyError:
        raise
    except MemoryError:
        raise StudyError(f"{where}: needs more memory than there is") from None
    except Exception as error:  # of a damaged file decoders raise whatever they stumble over
        said = one_line(error)
        raise StudyError(f"{where}: {what} ({said[:120]}{'…' * (len(said) > 120)})") from None
