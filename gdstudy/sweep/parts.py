"""Parts of a store: one table of one batch as a Parquet file that is never changed and says what computed it."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gdstudy.data.pages import unpacked_size
from gdstudy.experiment.tables import Texts, gathered
from gdstudy.study.columns import TABLES
from gdstudy.study.console import one_line
from gdstudy.study.errors import StudyError, shown
from gdstudy.sweep.folder import check_file

# Number of the layout of parts; 1 was the SQLite store of version 0.1. Earlier ones that can be read, with the columns
# that they lack, which are empty then.
SCHEMA = "4"
_LACKED: dict[str, tuple[str, ...]] = {"3": ("target_variance",), SCHEMA: ()}
_PREFIX, _NAME = "gdstudy.", re.compile(rf"([0-9]{{6}}|[1-9][0-9]{{6,}})\.({'|'.join(TABLES)})\.parquet")
# Texts in tables are names: no longer (in bytes), and no more different ones, than these.
_LONGEST_WORD, _MOST_WORDS = 200, 10_000
# Measured numbers hardly compress: a file that claims to hold more than this, and than a hundredfold of it, is no part.
_MOST_BYTES, _MOST_DENSE = 1 << 28, 100
# Bytes of a part's seal, of what is read of it at once, and of the largest part. Axes of an array, and their length.
_SEAL, _CHUNK, _LARGEST = 32, 1 << 20, 1 << 32
_MOST_AXES, _LONGEST_AXIS = 8, 1 << 31
_TYPES = {
    "text": pa.dictionary(pa.int32(), pa.string()),
    "whole": pa.int64(),
    "real": pa.float64(),
    "array": pa.binary(),  # numbers of single precision in C order, beside a column of their shapes
}


def _schema(table: str) -> pa.Schema:
    fields = [pa.field(column.name, _TYPES[column.kind]) for column in TABLES[table]]
    shapes = [pa.field("shape", pa.list_(pa.int64()))] if table == "arrays" else []
    return pa.schema(fields + shapes)


SCHEMAS = {table: _schema(table) for table in TABLES}
# Columns whose few values are written once. Of measured numbers nearly each is another: a dictionary of them is built,
# overflows, and is given up, in up to twice the time that the rest takes, and in more room.
_REPEATED = {
    table: [column.name for column in columns if column.kind in ("text", "whole")] for table, columns in TABLES.items()
}


# Path → its inode, size and time of change when it was looked through, and bytes in memory (`Part.decoded`).
Whole = dict[Path, tuple[tuple[int, int, int], int]]


class Damaged(Exception):
    """A part that cannot be used, and has to be computed again: one line that names it."""


class Unreadable(StudyError):
    """A part that the system does not give now, and perhaps later: nothing is known of what it holds."""


def part_path(batches: Path, number: int, table: str) -> Path:
    return batches / f"{number:06d}.{table}.parquet"


def part_numbers(batches: Path, table: str = "results") -> list[int]:
    """Numbers of the batches of which there is a part of this table, ascending."""
    found = (_NAME.fullmatch(path.name) for path in batches.iterdir())
    return sorted(int(match[1]) for match in found if match and match[2] == table)


def as_arrow(table: str, frame: pd.DataFrame) -> pa.Table:
    """A table as it is stored: NaN is empty."""
    if table == "arrays":
        values = frame["value"].tolist()
        shapes = [list(value.shape) for value in values]
        frame = frame.assign(value=[value.tobytes() for value in values], shape=shapes)
    return pa.Table.from_pandas(frame, schema=SCHEMAS[table], preserve_index=False)


def gathered_arrow(table: str, groups: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Groups of columns (`experiment.tables.gathered`) as they are stored, without a DataFrame in between."""
    found, rows = gathered(table, groups)
    columns = [_column(found[column.name], column.kind, rows) for column in TABLES[table]]
    if table == "arrays":
        shapes = [group["value"].shape for group in groups]  # of one row each
        columns.append(pa.array(shapes, SCHEMAS[table].field("shape").type))
    return pa.Table.from_arrays(columns, schema=SCHEMAS[table])


def _column(values: np.ndarray | Texts | None, kind: str, rows: int) -> pa.Array:
    if values is None:
        return pa.nulls(rows, _TYPES[kind])
    if isinstance(values, Texts):
        numbers = pa.array(values.numbers, mask=values.numbers < 0)
        return pa.DictionaryArray.from_arrays(numbers, pa.array(values.words, pa.string()))
    if kind == "array":
        return pa.array([value.tobytes() for value in values], _TYPES[kind])
    if kind == "whole" and values.dtype.kind == "f":
        empty = np.isnan(values)
        return pa.array(np.where(empty, 0, values).astype(np.int64), mask=empty)
    return pa.array(values, from_pandas=True)


def encoded_part(table: str, groups: Sequence[Mapping[str, Any]], facts: Mapping[str, str]) -> bytes:
    """The content of a part. facts: what is to be known of it beside its table, as texts."""
    return encoded_table(table, gathered_arrow(table, groups), facts)


def encoded_table(table: str, stored: pa.Table, facts: Mapping[str, str]) -> bytes:
    """The content of a part that holds these rows."""
    said = {f"{_PREFIX}{name}": value for name, value in {"schema": SCHEMA, "table": table, **facts}.items()}
    stored, sink = stored.replace_schema_metadata(said), pa.BufferOutputStream()
    how = {"compression": "zstd", "write_page_checksum": True, "write_statistics": False}
    pq.write_table(stored, sink, use_dictionary=_REPEATED[table], **how)
    return sealed(sink.getvalue().to_pybytes())


def sealed(content: bytes) -> bytes:
    """A Parquet file with the SHA-256 of all of it before its footer, where readers pass over it.

    Page checksums leave out the footer and the heads of pages, and pyarrow may abort where these are damaged.
    """
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    return content[:footer] + hashlib.sha256(content).digest() + content[footer:]


def _is_whole(path: Path, size: int) -> bool:
    """Whether a file is as it was sealed."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(max(0, size - 8))
        footer = size - 8 - int.from_bytes(file.read(4), "little")
        if size > _LARGEST or footer < _SEAL or file.read() != b"PAR1":
            return False
        file.seek(0)
        for length in [_CHUNK] * ((footer - _SEAL) // _CHUNK) + [(footer - _SEAL) % _CHUNK]:
            found.update(file.read(length))
        seal = file.read(_SEAL)
        found.update(file.read())
    return found.digest() == seal


@dataclass(frozen=True)
class Part:
    """A part that was opened. facts: what it says of itself; size, decoded: bytes on the disk and in memory."""

    path: Path
    table: str
    facts: Mapping[str, str]
    file: pq.ParquetFile
    size: int
    decoded: int

    def read(self, columns: Iterable[str] | None = None) -> pa.Table:
        """All of it or these columns, its checksums verified. Damaged where it is not as it was written."""
        wanted = SCHEMAS[self.table].names if columns is None else list(columns)
        lacked = [name for name in wanted if name in _LACKED[self.facts["schema"]]]
        with self.file, _explained(self.path):
            found = self.file.read([name for name in wanted if name not in lacked])
            found.validate(full=True)
        if len(found) != self.file.metadata.num_rows:
            raise Damaged(f"{self.path}: damaged (rows are missing)")
        for name in lacked:
            field = SCHEMAS[self.table].field(name)
            found = found.append_column(field, pa.nulls(len(found), field.type))
        found = found.select(wanted)
        for column in TABLES[self.table]:
            if column.kind == "text" and column.name in found.column_names:
                self._check_texts(column.name, found.column(column.name))
        if self.table == "arrays":
            self._check_shapes(found)
        return found

    def _check_texts(self, name: str, texts: pa.ChunkedArray) -> None:
        if texts.null_count:
            raise Damaged(f"{self.path}: damaged ({name} is empty somewhere)")
        for chunk in texts.chunks:
            words = chunk.dictionary
            if len(words) > _MOST_WORDS or (pc.max(pc.binary_length(words)).as_py() or 0) > _LONGEST_WORD:
                raise Damaged(f"{self.path}: damaged ({name} holds more or longer names than any study has)")

    def _check_shapes(self, found: pa.Table) -> None:
        sizes = pc.binary_length(found.column("value")).to_pylist()
        for size, shape in zip(sizes, found.column("shape").to_pylist(), strict=True):
            axes = [-1] if shape is None else [-1 if axis is None else axis for axis in shape]
            if len(axes) > _MOST_AXES or not all(0 <= axis <= _LONGEST_AXIS for axis in axes):
                raise Damaged(f"{self.path}: damaged (an array of no shape)")
            if size != math.prod(axes) * np.dtype(np.float32).itemsize:
                raise Damaged(f"{self.path}: damaged (an array has another shape)")


def open_part(path: Path, table: str, whole: Whole | None = None, **expected: str) -> Part:
    """A part of this table with the expected facts, without its rows. Damaged where it is another or none.

    whole: files that were found as they were sealed, and are not looked through again while they stay as they are; this
    one is added if it is. Unreadable where the system does not give it. StudyError for a part of another schema, which
    is not damaged: it is to be read by the version that wrote it.
    """
    check_file(path)
    try:
        str(path).encode()
    except UnicodeEncodeError:  # Arrow takes no other paths
        raise StudyError(f"{shown(str(path))} is no UTF-8 text, which paths of runs must be; rename it") from None
    if path.is_dir():
        raise StudyError(f"{path} is a folder, where a part of the run should be; remove it, then --resume")
    with _explained(path):
        found = path.stat()
        size, state = found.st_size, (found.st_ino, found.st_size, found.st_mtime_ns)
        known, decoded = (whole or {}).get(path, (None, 0))
        if known != state and not _is_whole(path, size):
            raise Damaged(f"{path}: damaged (its checksum is another)")
        file = pq.ParquetFile(path, page_checksum_verification=True)
        said = {key.decode(): value.decode() for key, value in (file.metadata.metadata or {}).items()}
        columns = file.schema_arrow.remove_metadata()
        decoded = decoded if known == state else _decoded(path, size, file, table)
    facts = {name.removeprefix(_PREFIX): value for name, value in said.items() if name.startswith(_PREFIX)}
    if (schema := facts.get("schema", SCHEMA)) not in _LACKED:
        raise StudyError(
            f"{path}: its schema is {shown(schema)}, and this version of gdstudy knows {SCHEMA}; use version "
            f"{shown(facts.get('gdstudy', 'unknown'))}, which wrote it, or run the study anew"
        )
    for name, value in {"schema": schema, "table": table, **expected}.items():
        if facts.get(name) != value:
            raise Damaged(f"{path}: is of another {name}")
    if columns != pa.schema([field for field in SCHEMAS[table] if field.name not in _LACKED[schema]]):
        raise Damaged(f"{path}: damaged (its columns are not those of {table})")
    check_size(path, decoded, size)
    if whole is not None:
        whole[path] = state, decoded
    return Part(path, table, facts, file, size, decoded)


def _decoded(path: Path, size: int, file: pq.ParquetFile, table: str) -> int:
    """Bytes in memory of a part, as far as its pages and its number of rows say."""
    with path.open("rb") as pages:
        return max(unpacked_size(pages, size), file.metadata.num_rows * 8 * len(SCHEMAS[table]))


def check_size(path: Path, decoded: int, size: int) -> None:
    """Damaged where so many bytes in memory cannot come from so many on the disk."""
    if decoded > max(_MOST_BYTES, _MOST_DENSE * size):
        raise Damaged(f"{path}: damaged ({size} bytes cannot hold what it says it does)")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What pyarrow says of a file that is not as it was written, as Damaged; what the system says, as Unreadable.

    No memory is MemoryError as ever. EINVAL is what comes of seeking before the file, where a damaged one leads.
    """
    try:
        yield
    except FileNotFoundError:
        raise Damaged(f"{path}: is missing") from None
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            why = os.strerror(error.errno)
            raise Unreadable(f"{path}: cannot be read now ({why}); put that right and try again") from None
        raise Damaged(f"{path}: damaged ({one_line(error)[:200]})") from None


def as_frame(table: str, parts: list[pa.Table]) -> pd.DataFrame:
    """Parts one after the other. Texts are categories in alphabetical order. ValueError for an array of no shape."""
    found = pa.concat_tables(parts or [SCHEMAS[table].empty_table()]).unify_dictionaries()
    frame = found.to_pandas()
    for column in TABLES[table]:
        if column.kind == "text" and column.name in frame:
            texts = frame[column.name].cat
            frame[column.name] = texts.set_categories(sorted(texts.categories))
    if table == "arrays":
        frame["value"] = _arrays(frame["value"], frame.pop("shape"))
    return frame


def _arrays(values: Any, shapes: Any) -> np.ndarray:
    arrays = np.empty(len(values), dtype=object)
    for k, (value, shape) in enumerate(zip(values, shapes, strict=True)):
        arrays[k] = np.frombuffer(value, np.float32).reshape(shape)
    return arrays
