"""Values of a study as people write them: in YAML, as options, in Python. Each kind says what it takes."""

from __future__ import annotations

import itertools
import math
import numbers
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, get_args, get_origin

from gdstudy.study.errors import shown, suggestion

# More of one kind is no study but a slip of the pen.
MOST_SIZES, MOST_LEVELS, MOST_NAMED, MOST_THREADS, LARGEST_SIZE = 10**5, 1000, 32, 1024, 10**9
_LARGEST_WHOLE = 10**15


def whole(value: Any) -> int:
    """A whole number: 50, 50.0, "1e5"."""
    number = _number(value, "no whole number; write one such as 50 or 1e5")
    if number != math.floor(number) or abs(number) > _LARGEST_WHOLE:
        raise ValueError(f"{shown(value)} is no whole number; write one such as 50 or 1e5")
    return int(number)


def real(value: Any) -> float:
    """A finite number: 0.1, "1e-10"."""
    return float(_number(value, "no number; write one such as 0.1 or 1e-10"))


def _number(value: Any, complaint: str) -> float | int:
    if getattr(value, "ndim", None) == 0:  # of NumPy or torch
        value = value.item()
    if isinstance(value, str) and len(value) <= 40 and re.fullmatch(r"[-+.\deE]+", value):
        try:
            value = float(value)
        except ValueError:
            raise ValueError(f"{shown(value)} is {complaint}") from None
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise ValueError(f"{shown(value)} is {complaint}")
    if isinstance(value, numbers.Integral):
        if abs(int(value)) > _LARGEST_WHOLE:
            raise ValueError(f"{shown(value)} is out of reach; the largest number is 1e15")
        return int(value)
    try:
        number = float(value)
    except OverflowError:  # a fraction
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{shown(value)} is {complaint}")
    return number


def items_of(value: Any) -> list[Any]:
    """The items of a list, also of one written as text, `5, 10` or `[5, 10]`, and of a single value."""
    if isinstance(value, str):
        text = value.strip()
        if text[:1] == "[" and text[-1:] == "]":
            text = text[1:-1]
        return [item.strip() for item in text.split(",")] if text.strip() else []
    if getattr(value, "ndim", None) == 0:  # of NumPy or torch
        return items_of(value.item())
    if isinstance(value, Iterable) and not isinstance(value, Mapping | bytes):
        items = list(itertools.islice(value, MOST_SIZES + 1))  # some never end
        if len(items) > MOST_SIZES:
            raise ValueError(f"{shown(value)} has more than {MOST_SIZES:,} values; give fewer")
        return items
    return [value]


class Sizes(tuple):
    """Whole numbers from 1, increasing. Written `1-60`, with a stride `1-60/5` (1, 6, …, 56), `5, 10, 20` or
    `1-40, 50`, or as a YAML list; may be empty."""

    @classmethod
    def parse(cls, value: Any) -> Sizes:
        if isinstance(value, cls):
            return value
        if isinstance(value, range) and len(value) and value.step > 0:
            value = f"{value[0]}-{value[-1]}/{value.step}"
        ranges = [range_of(item, value, "sizes", 1, LARGEST_SIZE) for item in items_of(value)]
        if (count := sum(map(len, ranges))) > MOST_SIZES:
            raise ValueError(
                f"{shown(value)} names {count:,} sizes, more than {MOST_SIZES:,}; write a stride, such as 1-10000/100"
            )
        return cls(sorted({size for part in ranges for size in part}))

    def __str__(self) -> str:
        return in_ranges(self)

    __repr__ = __str__


def range_of(item: Any, value: Any, what: str, low: int, high: int) -> range:
    """The numbers of one item of a list: `5`, `1-60`, `1-60/5`. ValueError, naming the whole value, for another."""
    if isinstance(item, str) and (
        match := re.fullmatch(r"(\d{1,19})\s*(?:-\s*(\d{1,19})\s*(?:/\s*(\d{1,19})\s*)?)?", item)
    ):
        first, last, stride = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
    else:
        try:
            first = last = whole(item)
        except ValueError:
            raise ValueError(f"{shown(value)} is no list of {what}; write 1-60, 1-60/5 or [5, 10, 20]") from None
        stride = 1
    if not low <= first <= last <= high or stride < 1:
        most = "1e9" if high == LARGEST_SIZE else f"{high}"
        raise ValueError(f"{shown(item)} must count up from at least {low}, to at most {most}, as in 1-60 or 1-60/5")
    return range(first, last + 1, stride)


def in_ranges(numbers: Sequence[int]) -> str:
    """Whole numbers as they are written in short: `1-40, 50`, `1-56/5`. Their order is kept."""
    parts, k = [], 0
    while k < len(numbers):
        step = numbers[k + 1] - numbers[k] if k + 1 < len(numbers) else 1
        last = k
        while step > 0 and last + 1 < len(numbers) and numbers[last + 1] - numbers[last] == step:
            last += 1
        if step > 1 and last - k < 3:  # too few for a stride
            last = k
        stride = f"/{step}" if step > 1 else ""
        parts.append(f"{numbers[k]}" if last == k else f"{numbers[k]}-{numbers[last]}{stride}")
        k = last + 1
    return ", ".join(parts)


class Levels(tuple):
    """Levels of an ablation: numbers from 0, increasing. A YAML list, or `0.1, 1, 10`; may be empty."""

    @classmethod
    def parse(cls, value: Any) -> Levels:
        items = items_of(value)
        if len(items) > MOST_LEVELS:
            raise ValueError(f"{len(items):,} numbers are too many; give at most {MOST_LEVELS:,}")
        try:
            numbers_given = sorted({real(item) for item in items})
        except ValueError:
            raise ValueError(f"{shown(value)} is no list of numbers; write [0.1, 1, 10], or [] for none") from None
        if any(number < 0 for number in numbers_given):
            raise ValueError(f"{shown(value)} must hold finite numbers of at least 0")
        return cls(numbers_given)

    def __str__(self) -> str:
        return ", ".join(f"{number:g}" for number in self)

    __repr__ = __str__


class StepSize(str):
    """`auto` or a number above 0."""

    @classmethod
    def parse(cls, value: Any) -> StepSize:
        try:
            good = value == "auto" or 1e-30 <= real(value) <= 1e30  # what float32 holds
        except ValueError:
            good = False
        if not good:
            raise ValueError(f"{shown(value)} must be `auto` (1/σ₁² of each cell) or a number in 1e-30 … 1e30")
        return cls(value if isinstance(value, str) else f"{_number(value, 'no number')!r}")

    @property
    def value(self) -> float | str:
        return "auto" if self == "auto" else float(self)


class Threads(str):
    """`auto` or a whole number from 1."""

    @classmethod
    def parse(cls, value: Any) -> Threads:
        try:
            good = value == "auto" or 1 <= whole(value) <= MOST_THREADS
        except ValueError:
            good = False
        if not good:
            raise ValueError(f"{shown(value)} must be `auto` or a whole number in 1 … {MOST_THREADS}")
        return cls("auto" if value == "auto" else whole(value))

    @property
    def value(self) -> int | None:
        return None if self == "auto" else int(self)


class Ternary(str):
    """`auto`, `true` or `false`."""

    @classmethod
    def parse(cls, value: Any) -> Ternary:
        text = str(value).lower() if isinstance(value, bool | str) else ""
        if text not in ("auto", "true", "false"):
            raise ValueError(f"{shown(value)} must be auto, true or false")
        return cls(text)


class Columns(tuple):
    """Columns of a table by name or place: one, or a list. What a range is, only the table's names say."""

    @classmethod
    def parse(cls, value: Any) -> Columns:
        return cls(_as_texts(value, str | int, "columns", "names or places, such as [age, 3-10]"))


class Texts(tuple):
    """Texts: one, or a list; numbers as they are written."""

    @classmethod
    def parse(cls, value: Any) -> Texts:
        return cls(_as_texts(value, str | int | float, "texts", "one such as ['?', -99.9]"))


def _as_texts(value: Any, kinds: Any, what: str, such: str) -> list[str]:
    items = list(value) if isinstance(value, list | tuple) else [value]
    if not all(isinstance(item, kinds) and not isinstance(item, bool) for item in items):
        raise ValueError(f"{shown(value)} is no list of {what}; write {such}")
    if len(items) > MOST_SIZES or any(len(str(item)) > 1000 for item in items):
        raise ValueError(f"{shown(value)} is too long for a list of {what}; write {such}")
    return [str(item) for item in items]


def in_bytes(number: float) -> str:
    """Bytes as one says them: `1.2 GB`, `340 MB`, `12 kB`."""
    unit = next((unit for unit in ("GB", "MB") if number >= _UNITS[unit]), "kB")
    return f"{number / _UNITS[unit.upper()]:.3g} {unit}"


_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


class Memory(str):
    """Bytes: `2GB`, `500MB`, or a whole number of them; at least 100MB, as libraries take some."""

    @classmethod
    def parse(cls, value: Any) -> Memory:
        given = 0
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            with suppress(ValueError, KeyError):
                given = cls._bytes(f"{value}")
        if not 10**8 <= given <= _LARGEST_WHOLE:
            raise ValueError(f"{shown(value)} must be bytes, at least 100MB, such as 2GB or 500MB")
        return cls(value if isinstance(value, str) else given)

    @staticmethod
    def _bytes(text: str) -> int:
        parts = re.fullmatch(r"\s*([\d.eE+]{1,20})\s*([kmgt]?b?)\s*", text, re.IGNORECASE)
        return round(real(parts[1]) * _UNITS[parts[2].upper()]) if parts else 0

    @property
    def value(self) -> int:
        """In bytes."""
        return self._bytes(self)


def _names(value: Any) -> list[str]:
    names = items_of(value)
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"{shown(name)} is no name; write a list of names, such as [diabetes]")
    if len(names) > MOST_LEVELS:
        raise ValueError(f"{len(names):,} names are too many; give at most {MOST_LEVELS:,}")
    return [str(name) for name in names]


def convert(kind: Any, value: Any) -> Any:
    """A value as a field of this type is to have it. ValueError says what is allowed.

    kind: int, float, bool, str, list[str], dict[str, …], a Literal of texts, or a class with `parse`.
    """
    if value is None:
        raise ValueError("is blank; give it a value, or leave the key out")
    if get_origin(kind) is Literal:
        allowed = get_args(kind)
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"{shown(value)} must be one of {', '.join(allowed)}{suggestion(str(value), allowed)}")
        return str(value)
    if get_origin(kind) is dict:
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise ValueError(f"{shown(value)} must be a mapping of names to values, such as {{name: 1}}")
        if len(value) > MOST_NAMED:
            raise ValueError(f"{len(value):,} names are too many; give at most {MOST_NAMED}")
        of = get_args(kind)[1]
        return {str(name): item if of is Any else convert(of, item) for name, item in value.items()}
    if kind in (bool, str):
        if not isinstance(value, kind):
            raise ValueError(f"{shown(value)} must be {'true or false' if kind is bool else 'a text'}")
        return kind(value)
    parsers = {int: whole, float: real, list[str]: _names}
    return parsers[kind](value) if kind in parsers else kind.parse(value)


def log_spaced(steps: int, per_decade: int) -> list[int]:
    """Checkpoints 1 … steps, `per_decade` for each factor of ten (fewer where they coincide), the last included."""
    exponents = range(math.ceil(math.log10(steps) * per_decade + 1e-9))
    return sorted({round(10 ** (e / per_decade)) for e in exponents} | {steps})
