"""The pages of a Parquet file: what they say they unpack to, before they are.

A footer may say anything of its columns; Arrow makes room for a page, up to 2 GiB, by the page's own head.
"""

from __future__ import annotations

from typing import BinaryIO

from pyarrow.parquet import FileMetaData

# Pages of a file; bytes of a page; of one head: enough for most, and what none exceeds.
_MOST_PAGES, _LARGEST = 10**5, (1 << 31) - 1
_HEAD, _LONGEST_HEAD, _MOST_DEEP = 1 << 9, 1 << 20, 8


def unpacked_size(file: BinaryIO, about: FileMetaData) -> int:
    """Bytes that all pages of a file, together, say they unpack to. ValueError for pages that no writer makes."""
    size = pages = 0
    for group in map(about.row_group, range(about.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            starts = (column.data_page_offset, column.dictionary_page_offset)
            at = min(start for start in starts if start is not None)
            end = at + (column.total_compressed_size if column.num_values else 0)  # without values none is read
            while at < end:
                head, unpacked, packed = _page(file, at)
                at, size, pages = at + head + packed, size + unpacked, pages + 1
                if min(unpacked, packed) < 0 or unpacked > _LARGEST or at > end or pages > _MOST_PAGES:
                    raise ValueError("pages of no size, or too many")
    return size


def _page(file: BinaryIO, at: int) -> tuple[int, int, int]:
    """Bytes of the head of the page that begins there, and of what follows it unpacked and as it is."""
    file.seek(at)
    head = file.read(_HEAD)
    try:
        return _sizes(head)
    except (IndexError, KeyError):
        head += file.read(_LONGEST_HEAD)
    try:
        return _sizes(head)
    except (IndexError, KeyError):
        raise ValueError("a page without its sizes") from None


# Heads are structures of Thrift's compact protocol: a byte a field with its type and how much its number is larger
# than the last one's.


def _sizes(head: bytes) -> tuple[int, int, int]:
    found: dict[int, int] = {}
    end = _fields(head, 0, found)
    return end, found[2], found[3]


def _fields(head: bytes, at: int, found: dict[int, int] | None = None, depth: int = 0) -> int:
    """Where a structure ends. found: takes its whole numbers by the number of their field."""
    number = 0
    while head[at]:
        kind, more = head[at] & 15, head[at] >> 4
        if not more or depth > _MOST_DEEP:
            raise ValueError("a page of another kind")
        number, at = number + more, at + 1
        if found is not None and kind == 5:
            found[number] = _whole(head, at)
        at = _fields(head, at, None, depth + 1) if kind == 12 else _after(head, at, kind)
    return at + 1


def _whole(head: bytes, at: int) -> int:
    """A whole number of 7 bits a byte, its sign in the lowest bit."""
    value, _ = _natural(head, at)
    return value >> 1 ^ -(value & 1)


def _natural(head: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        value |= (head[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if head[at - 1] < 128:
            return value, at
    raise ValueError("a number that does not end")


def _after(head: bytes, at: int, kind: int) -> int:
    """Where a value that is no structure ends."""
    if kind in (1, 2):  # true, false
        return at
    if kind not in (4, 5, 6, 8):
        raise ValueError("a page of another kind")
    length, at = _natural(head, at)
    return at + length if kind == 8 else at
