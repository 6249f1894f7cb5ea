"""What the pages of a Parquet file say they unpack to is known before they are, whatever its footer says."""

import io
from contextlib import suppress
from types import SimpleNamespace

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
    size = unpacked_size(io.BytesIO(content), about)
    assert size <= said
    if about.num_rows:
        assert size > 0.3 * said
    if kind == "nothing packed":
        assert size < len(content)


def lying(content):
    """Its footer as it is, but for what it says of sizes."""
    about = pq.read_metadata(io.BytesIO(content))

    def column(group, k):
        one = group.column(k)
        names = ("data_page_offset", "dictionary_page_offset", "total_compressed_size", "num_values")
        return SimpleNamespace(total_uncompressed_size=1, **{name: getattr(one, name) for name in names})

    def group(g):
        one = about.row_group(g)
        return SimpleNamespace(num_columns=about.num_columns, total_byte_size=1, column=lambda k: column(one, k))

    return SimpleNamespace(num_row_groups=about.num_row_groups, row_group=group)


def test_a_footer_that_lies_hides_nothing():
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["x" * 50_000_000]}), sink, compression="zstd")
    assert len(sink.getvalue()) < 50_000
    assert unpacked_size(sink, lying(sink.getvalue())) >= 50_000_000


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=8))
def test_whatever_a_page_says_it_is_a_size_or_a_value_error(edits):
    content = bytearray(_SMALL)
    for at, byte in edits:
        content[4 + at % (len(content) - 4)] = byte
    with suppress(ValueError):
        assert unpacked_size(io.BytesIO(content), _ABOUT) >= 0


_SMALL = written(rows=5)
_ABOUT = pq.read_metadata(io.BytesIO(_SMALL))
