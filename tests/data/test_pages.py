"""What the pages of a Parquet file say they unpack to is known before they are, whatever its footer says."""

import io
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdstudy.data.pages import unpacked_size


def written(rows=3000, **options):
    draw = np.random.default_rng(0)
    texts = pa.array([f"name {k % 50}" for k in range(rows)])
    numbers = pa.array(draw.standard_normal(rows), mask=draw.random(rows) < 0.1)
    table = pa.table({"text": texts, "number": numbers, "lists": [[1, 2]] * rows, "flag": [True] * rows})
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


OPTIONS = {
    "zstd": {"compression": "zstd", "write_page_checksum": True},
    "snappy, statistics": {"write_statistics": True},
    "no dictionaries": {"use_dictionary": False},
    "small pages": {"data_page_size": 100, "write_batch_size": 50},
    "pages of version 2": {"data_page_version": "2.0"},
    "several groups": {"row_group_size": 500},
    "nothing packed": {"compression": "none"},
    "no rows": {"rows": 0},
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_pages_of_all_kinds_say_what_an_honest_footer_says_less_their_heads(kind):
    content = written(**OPTIONS[kind])
    about = pq.read_metadata(io.BytesIO(content))
    columns = [about.row_group(g).column(c) for g in range(about.num_row_groups) for c in range(about.num_columns)]
    said = sum(column.total_uncompressed_size for column in columns)
    size = unpacked_size(io.BytesIO(content), len(content))
    assert size <= said
    if about.num_rows:
        assert size > 0.3 * said
    if kind == "nothing packed":
        assert size < len(content)


def test_a_page_is_believed_and_not_the_footer():
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["x" * 50_000_000]}), sink, compression="zstd")
    content = sink.getvalue()
    assert len(content) < 50_000
    said = pq.read_metadata(sink).row_group(0).total_byte_size
    lying = content.replace(_varint(said), bytes([*(byte | 128 for byte in _varint(200)), 128, 0]))
    assert len(lying) == len(content)
    assert pq.read_metadata(io.BytesIO(lying)).row_group(0).total_byte_size == 200
    assert unpacked_size(io.BytesIO(lying), len(lying)) >= 50_000_000


def _varint(number):
    """As Thrift's compact protocol writes a whole number."""
    number, found = 2 * number, []
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=8))
def test_whatever_pages_and_footer_say_it_is_a_size_or_a_value_error(edits):
    content = bytearray(_SMALL)
    for at, byte in edits:
        content[4 + at % (len(content) - 12)] = byte
    with suppress(ValueError):
        assert unpacked_size(io.BytesIO(content), len(content)) >= 0


_SMALL = written(rows=5)
