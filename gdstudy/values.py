"""Values of a study that are written in a way of their own: sizes, levels, step sizes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from jsonargparse.typing import register_type


class Sizes(tuple):
    """Whole numbers from 1, increasing. Written `1-60`, `5, 10, 20` or `1-40, 50`, or as a YAML list; may be empty."""

    @classmethod
    def parse(cls, value: Any) -> Sizes:
        text = str(value).strip("[] ")
        items: Iterable[Any] = value if isinstance(value, list | tuple) else text.split(",") if text else ()
        sizes: set[int] = set()
        for item in items:
            match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", str(item))
            if not match:
                raise ValueError(f"{value!r} is no list of sizes; write 1-60 or [5, 10, 20]")
            first, last = int(match[1]), int(match[2] or match[1])
            if not 1 <= first <= last:
                raise ValueError(f"{item!r} must count up from at least 1, as in 1-60")
            sizes.update(range(first, last + 1))
        return cls(sorted(sizes))

    def __str__(self) -> str:
        starts = [n for n in self if n - 1 not in self]
        ends = [n for n in self if n + 1 not in self]
        return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))

    __repr__ = __str__


class Levels(tuple):
    """Levels of an ablation: numbers from 0, increasing. A YAML list, or `0.1, 1, 10`; may be empty."""

    @classmethod
    def parse(cls, value: Any) -> Levels:
        text = str(value).strip("[] ")
        items = value if isinstance(value, list | tuple) else text.split(",") if text else ()
        try:
            numbers = sorted({float(item) for item in items})
        except (TypeError, ValueError):
            raise ValueError(f"{value!r} is no list of numbers; write [0.1, 1, 10], or [] for none") from None
        if any(not 0 <= number < float("inf") for number in numbers):
            raise ValueError(f"{value!r} must hold finite numbers of at least 0")
        return cls(numbers)

    def __str__(self) -> str:
        return ", ".join(f"{number:g}" for number in self)

    __repr__ = __str__


class StepSize(str):
    """`auto` or a number above 0."""

    @classmethod
    def parse(cls, value: Any) -> StepSize:
        try:
            good = value == "auto" or 1e-30 <= float(value) <= 1e30  # what float32 holds
        except (TypeError, ValueError):
            good = False
        if not good:
            raise ValueError(f"{value!r} must be `auto` (1/σ₁² of each cell) or a number in 1e-30 … 1e30")
        return cls(value)

    @property
    def value(self) -> float | str:
        return "auto" if self == "auto" else float(self)


register_type(Sizes, serializer=str, deserializer=Sizes.parse)
register_type(Levels, serializer=str, deserializer=Levels.parse)
register_type(StepSize, serializer=str, deserializer=StepSize.parse)
