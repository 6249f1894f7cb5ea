"""The pages of a Parquet file: what they say they unpack to, before they are.

A footer may say anything of its columns' sizes; Arrow makes room for a page, up to 2 GiB, by the page's own head. The
footer is read here too: pyarrow's way to its columns may end the process where they contradict each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

# Pages of a file; bytes of a page; of one head: enough for most, and what none exceeds.
_MOST_PAGES, _LARGEST = 10**5, (1 << 31) - 1
_HEAD, _LONGEST_HEAD, _MOST_DEEP = 1 << 9, 1 << 20, 8


def unpacked_size(file: BinaryIO, size: int) -> int:
    """Bytes that all pages of a file of this size say they unpack to. ValueError for what no writer makes."""
    unpacked = pages = 0
    try:
        for at, end in _chunks(_footer(file, size)):
            while at < end:
                head, more, packed = _page(file, at)
                at, unpacked, pages = at + head + packed, unpacked + more, pages + 1
                if min(more, packed) < 0 or more > _LARGEST or at > end or pages > _MOST_PAGES:
                    raise ValueError("pages of no size, or too many")
    except (IndexError, KeyError):
        raise ValueError("pages without their places or sizes") from None
    return unpacked


def _footer(file: BinaryIO, size: int) -> bytes:
    file.seek(max(0, size - 8))
    length = int.from_bytes(file.read(4), "little")
    file.seek(max(0, size - 8 - length))
    return file.read(length)


def _chunks(footer: bytes) -> Iterator[tuple[int, int]]:
    """Where the pages of each column of each group of rows begin and end."""
    for groups in _inside(footer, 0, 4):
        for group in _elements(footer, groups):
            for columns in _inside(footer, group, 1):
                for column in _elements(footer, columns):
                    for about in _inside(footer, column, 3):
                        found: dict[int, int] = {}
                        _fields(footer, about, found)
                        # Values, bytes, first page, first page where it is a dictionary: without values none is read.
                        at = min(found[9], found.get(11, found[9]))
                        yield at, at + (found[7] if found[5] else 0)


def _page(file: BinaryIO, at: int) -> tuple[int, int, int]:
    """Bytes of the head of the page that begins there, and of what follows it unpacked and as it is."""
    file.seek(at)
    head = file.read(_HEAD)
    try:
        return _sizes(head)
    except (IndexError, KeyError):
        return _sizes(head + file.read(_LONGEST_HEAD))


def _sizes(head: bytes) -> tuple[int, int, int]:
    found: dict[int, int] = {}
    end = _fields(head, 0, found)
    return end, found[2], found[3]


# Thrift's compact protocol: a structure is fields, each a byte with its type and how much larger its number is than the
# last one's, and a zero. What could be taken in two ways (numbers that do not grow, other types) is refused.


def _fields(text: bytes, at: int, found: dict[int, int] | None = None, depth: int = 0) -> int:
    """Where a structure ends. found: takes its whole numbers by the number of their field."""
    number = 0
    while head := text[at]:
        kind, more, at = head & 15, head >> 4, at + 1
        if not more:
            raise ValueError("a field whose number does not grow")
        number += more
        if found is not None and kind in (5, 6):
            value, at = _natural(text, at)
            found[number] = value >> 1 ^ -(value & 1)
        elif kind > 2:  # others than true and false, which are their types
            at = _after(text, at, kind, depth)
    return at + 1


def _inside(text: bytes, at: int, wanted: int) -> Iterator[int]:
    """Where the structure or list of one field of a structure begins, if it is there."""
    number = 0
    while head := text[at]:
        kind, more, at = head & 15, head >> 4, at + 1
        number += more
        if not more or (number == wanted and kind not in (9, 12)):
            raise ValueError("a field whose number does not grow, or of another type")
        if number == wanted:
            yield at
        at = _after(text, at, kind, 0) if kind > 2 else at


def _elements(text: bytes, at: int) -> Iterator[int]:
    """Where each structure of a list begins."""
    kind, count, at = _list(text, at)
    if kind != 12:
        raise ValueError("a list of another type")
    for _ in range(count):
        yield at
        at = _fields(text, at, None, 1)


def _list(text: bytes, at: int) -> tuple[int, int, int]:
    """The type of its elements, their number, and where the first one begins."""
    kind, count, at = text[at] & 15, text[at] >> 4, at + 1
    if count == 15:
        count, at = _natural(text, at)
    return kind, count, at


def _natural(text: bytes, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and where it ends."""
    value = text[at] & 127
    shift = 7
    while text[at] > 127:
        at += 1
        value |= (text[at] & 127) << shift
        shift += 7
        if shift > 63:
            raise ValueError("a number that does not end")
    return value, at + 1


def _after(text: bytes, at: int, kind: int, depth: int) -> int:
    """Where a value ends."""
    if kind in (4, 5, 6):
        while text[at] > 127:
            at += 1
        return at + 1
    if kind == 8:  # bytes
        length, at = _natural(text, at)
        return at + length
    if kind in (9, 12) and depth > _MOST_DEEP:
        raise ValueError("structures in structures")
    if kind == 12:
        return _fields(text, at, None, depth + 1)
    if kind == 9:
        kind, count, at = _list(text, at)
        for _ in range(count):
            at = at + 1 if kind in (1, 2) else _after(text, at, kind, depth + 1)
        return at
    if kind in (3, 7):  # a byte, a real number
        return at + (1 if kind == 3 else 8)
    raise ValueError("a field of another type")
