"""Tables larger than memory: the same DataFrames, their columns mapped from a scratch file that the system pages in."""

from __future__ import annotations

import mmap
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from gdstudy.experiment.tables import starts_of_runs
from gdstudy.study.columns import ORDER, TABLES
from gdstudy.study.errors import StudyError
from gdstudy.study.values import in_bytes

# Rows of a block have all of these in common: the keys of ORDER but for what tells its cells and checkpoints apart.
_WITHIN = ("seed", "step")
_BLOCK = tuple(name for name in ORDER if name not in _WITHIN)
_AT_ONCE = 1 << 20  # rows that are put in order together
Key = tuple[Any, ...]
Read = Callable[[Iterable[str]], Iterator[pa.Table]]


def mapped_frame(table: str, read: Read, folder: Path) -> tuple[pd.DataFrame, Callable[[], None]]:
    """A stored table in the order of its keys, as it is when read at once, in as little memory as is looked at.

    read: the named columns of each part, part after part, and again when it is called again. The scratch file has no
    name in the folder and goes with the DataFrame; it takes 8 bytes a row and column, without those that are empty.
    Beside the DataFrame: what gives back the memory of all that was looked at so far. StudyError where the disk has no
    room for the file, ValueError where the parts changed meanwhile.
    """
    kinds: dict[str, str] = {column.name: column.kind for column in TABLES[table]}
    first = [name for name, kind in kinds.items() if name in _BLOCK or kind in ("text", "whole")]
    layout = _Layout.of(kinds, read(first))
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.truncate(max(1, layout.place(len(kinds))))
            written = _write(layout, read(kinds), file)
            _sort_blocks(layout, written, file)
            file.flush()
            pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        needed = in_bytes(8 * layout.rows * len(kinds))
        raise StudyError(
            f"{folder}: {error}; to show {layout.rows:,} rows takes up to {needed} there for a while: free some"
        ) from None
    frame = pd.DataFrame({name: _column(layout, name, written, pages) for name in kinds}, copy=False)
    return frame, lambda: pages.madvise(mmap.MADV_DONTNEED)  # what is in the file is read again


@dataclass(frozen=True)
class _Layout:
    """Where rows go. starts: block → its first row, in order; words: those of each text, in order; types: column →
    what is stored of it; same: what all rows have in a column of the blocks' keys."""

    rows: int
    starts: dict[Key, int]
    words: dict[str, list[str]]
    types: dict[str, np.dtype]
    same: dict[str, Any]

    @classmethod
    def of(cls, kinds: dict[str, str], parts: Iterator[pa.Table]) -> _Layout:
        counts: Counter[Key] = Counter()
        words: dict[str, set[str]] = {name: set() for name, kind in kinds.items() if kind == "text"}
        has_empty: set[str] = set()
        for part in map(_in_one_piece, parts):
            _, blocks = _blocks(part)
            for key, start, stop in blocks:
                counts[key] += stop - start
            for name in words:
                words[name].update(part.column(name).chunk(0).dictionary.to_pylist())
            has_empty.update(name for name in part.column_names if part.column(name).null_count)
        order = sorted(counts, key=lambda key: [(value is None, value or 0) for value in key])
        ends = np.cumsum([counts[key] for key in order]).tolist()
        in_order = {name: sorted(found) for name, found in words.items()}
        types = {name: np.dtype(float) for name in kinds}
        types |= {name: pd.Categorical.from_codes([], found).codes.dtype for name, found in in_order.items()}
        types |= {name: np.dtype(int) for name in kinds if kinds[name] == "whole" and name not in has_empty}
        values = {name: {key[at] for key in order} for at, name in enumerate(_BLOCK)}
        same = {name: found.pop() for name, found in values.items() if len(found) == 1}
        return cls(sum(counts.values()), dict(zip(order, [0, *ends], strict=False)), in_order, types, same)

    def place(self, column: int) -> int:
        """Where the column of this number begins in the file: on a page."""
        return column * -(-8 * self.rows // mmap.PAGESIZE) * mmap.PAGESIZE

    def at(self, name: str, row: int = 0) -> int:
        return self.place(list(self.types).index(name)) + row * self.types[name].itemsize

    def values(self, part: pa.Table, name: str) -> np.ndarray:
        """A column of a part as it is stored."""
        column = part.column(name)
        if name not in self.words:
            return column.to_numpy().astype(self.types[name], copy=False)
        code = {word: k for k, word in enumerate(self.words[name])}
        texts = column.chunk(0)
        return np.array([code[word] for word in texts.dictionary.to_pylist()], self.types[name])[texts.indices]


def _in_one_piece(part: pa.Table) -> pa.Table:
    return part.unify_dictionaries().combine_chunks()


def _blocks(part: pa.Table) -> tuple[np.ndarray | None, list[tuple[Key, int, int]]]:
    """The order that brings rows of a block together, None if they are; then (block, its first row, its end)."""
    keys = [part.column(name) for name in _BLOCK]
    codes = [key.chunk(0).indices if pa.types.is_dictionary(key.type) else key for key in keys]
    starts = starts_of_runs([code.to_numpy() for code in codes], len(part))
    found = list(zip(*(key.take(starts).to_pylist() for key in keys), strict=True))
    number = {key: k for k, key in enumerate(dict.fromkeys(found))}
    lengths = np.diff([*starts, len(part)])
    order = None
    if len(number) < len(found):
        of_run = np.array([number[key] for key in found])
        order = np.argsort(np.repeat(of_run, lengths), kind="stable")
        lengths = np.bincount(of_run, lengths).astype(int)
    ends = np.cumsum(lengths).tolist()
    return order, list(zip(number, [0, *ends[:-1]], ends, strict=True))


def _write(layout: _Layout, parts: Iterator[pa.Table], file: IO[bytes]) -> set[str]:
    """Every row to its block, and there behind those that were read before. The columns that are not empty."""
    free, written = dict(layout.starts), set()
    left_out: dict[str, list[tuple[int, int]]] = {name: [] for name in layout.types}
    for part in map(_in_one_piece, parts):
        order, blocks = _blocks(part)
        places: list[tuple[int, int, int]] = []
        for key, start, stop in blocks:
            if key not in free:
                raise ValueError("parts changed while they were read")
            place, free[key] = free[key], free[key] + stop - start
            if places and place - places[-1][0] == start - places[-1][1]:  # right behind the last one
                place, start, _ = places.pop()
            places.append((place, start, stop))
        for name in layout.types.keys() - layout.same.keys():
            if part.column(name).null_count == len(part):
                left_out[name] += [(place, stop - start) for place, start, stop in places]
                continue
            written.add(name)
            values = layout.values(part, name)
            values = values if order is None else values[order]
            for place, start, stop in places:
                _put(file, layout.at(name, place), values[start:stop])
    if list(free.values()) != [*layout.starts.values(), layout.rows][1:]:
        raise ValueError("parts changed while they were read")
    for name in written:
        for place, length in left_out[name]:
            _put(file, layout.at(name, place), np.full(length, np.nan, layout.types[name]))
    return written


def _sort_blocks(layout: _Layout, written: set[str], file: IO[bytes]) -> None:
    """The rows of each block by seed and step, where they do not lie so."""
    starts, at = np.array([*layout.starts.values(), layout.rows]), 0
    while at < layout.rows:  # whole blocks
        end = int(starts[np.searchsorted(starts, min(at + _AT_ONCE, layout.rows))])
        keys = [_get(file, layout, name, at, end) if name in written else np.zeros(end - at) for name in _WITHIN]
        keys = [np.searchsorted(starts, np.arange(at, end), "right"), *(np.nan_to_num(key, nan=np.inf) for key in keys)]
        (block, next_block), (seed, next_seed), (step, next_step) = ((key[:-1], key[1:]) for key in keys)
        rises = (next_seed > seed) | ((next_seed == seed) & (next_step >= step))
        if not (rises | (next_block > block)).all():
            order = np.lexsort(keys[::-1])
            for name in written:
                _put(file, layout.at(name, at), _get(file, layout, name, at, end)[order])
        at = end


def _put(file: IO[bytes], at: int, values: np.ndarray) -> None:
    file.seek(at)
    file.write(np.ascontiguousarray(values).data)


def _get(file: IO[bytes], layout: _Layout, name: str, start: int, end: int) -> np.ndarray:
    file.seek(layout.at(name, start))
    return np.frombuffer(file.read((end - start) * layout.types[name].itemsize), layout.types[name])


def _column(layout: _Layout, name: str, written: set[str], pages: mmap.mmap) -> Any:
    """A column over the whole table. What all rows share takes no memory."""
    if name in written:
        values = np.frombuffer(pages, layout.types[name], layout.rows, layout.at(name))
    else:
        one: Any = layout.same.get(name, None)
        code = layout.words[name].index(one) if name in layout.words else np.nan if one is None else one
        values = np.broadcast_to(np.array(code, layout.types[name]), layout.rows)
    if name not in layout.words:
        return values
    return pd.Categorical.from_codes(values, dtype=pd.CategoricalDtype(layout.words[name]), validate=False)
