"""Feather (Arrow) files → a DataFrame, once what they say they unpack to is known to be no bomb."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pyarrow as pa

from gdstudy.data.guards import LARGEST, check_size, explained
from gdstudy.data.tabular import Read, as_read, is_flat
from gdstudy.study.errors import StudyError
from gdstudy.study.sources import File


def read_feather(where: str, content: bytes, keys: File) -> Read:
    """A Feather (Arrow) file of version 2."""
    if not content.startswith(b"ARROW1\0\0"):
        raise StudyError(f"{where}: no Feather file of version 2; write it again by pandas' to_feather")
    with explained(where, "no Feather file, or damaged"):
        stream = pa.BufferReader(content).read_buffer()[8:]  # the same messages as of a stream
        if (size := sum(_declared(stream))) > LARGEST:
            raise StudyError(f"{where}: unpacks to {size:,} bytes, more than {LARGEST:,}; keep fewer rows")
        with pa.ipc.open_stream(stream) as reader:
            table = reader.read_all()
        table.validate(full=True)
        check_size(where, table.num_rows, table.num_columns)
        flat = [k for k, field in enumerate(table.schema) if is_flat(field.type)]
        return as_read(table.select(flat), table.schema)


def _declared(stream: pa.Buffer) -> Iterator[int]:
    """Bytes that each buffer of an Arrow stream says it unpacks to: packed ones begin with that number."""
    for message in pa.ipc.MessageReader.open_stream(stream):
        if message.type == "schema":
            continue
        meta, body = message.metadata.to_pybytes(), message.body
        batch = _child(meta, _root(meta), 2)
        if message.type == "dictionary":
            batch = _child(meta, batch, 1)
        packed = _field(meta, batch, 3)
        start = _child(meta, batch, 2)
        for k in range(struct.unpack_from("<I", meta, start)[0]):
            offset, length = struct.unpack_from("<qq", meta, start + 4 + 16 * k)
            yield int(struct.unpack_from("<q", body, offset)[0]) if packed and length >= 8 else length


# Flatbuffers, as far as it takes to find the buffers of a batch: a table begins with the way to its fields' places.


def _root(meta: bytes) -> int:
    return int(struct.unpack_from("<I", meta, 0)[0])


def _field(meta: bytes, table: int, number: int) -> int:
    """Where a field of a table lies, 0 where it is not there."""
    places = table - struct.unpack_from("<i", meta, table)[0]
    if 4 + 2 * number >= struct.unpack_from("<H", meta, places)[0]:
        return 0
    offset = struct.unpack_from("<H", meta, places + 4 + 2 * number)[0]
    return table + offset if offset else 0


def _child(meta: bytes, table: int, number: int) -> int:
    """Where the table or list that a field points to lies."""
    place = _field(meta, table, number)
    return place + int(struct.unpack_from("<I", meta, place)[0])
