"""Which seeds a study has, and which share of its batches a process computes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gdstudy.study.errors import StudyError, shown
from gdstudy.study.values import in_ranges, items_of, range_of, whole

# More is no study but a slip of the pen, and NumPy's RandomState takes no larger seed.
MOST_SEEDS, LARGEST_SEED, MOST_SHARDS = 10**6, 2**32 - 1, 10**5


class Seeds(tuple):
    """Seeds, each once, in the order they were given. A number counts them: `50` is 0 … 49. A range, `100-199` or
    `100-199/10`, a text such as `0-9, 20`, and a list name them: `[5]` is seed 5 alone."""

    @classmethod
    def parse(cls, value: Any) -> Seeds:
        if isinstance(value, cls):
            return value
        if isinstance(value, range) and len(value) and value.step > 0:
            value = [f"{value[0]}-{value[-1]}/{value.step}"]
        if cls._names(value):
            ranges = [range_of(item, value, "seeds", 0, LARGEST_SEED) for item in items_of(value)]
        else:
            ranges = [range(max(0, whole(value)))]
        if not 1 <= sum(map(len, ranges)) <= MOST_SEEDS:
            raise ValueError(f"{shown(value)} must be 1 … {MOST_SEEDS} seeds, such as 50, 100-199 or [3, 7]")
        return cls(dict.fromkeys(seed for part in ranges for seed in part))

    @staticmethod
    def _names(value: Any) -> bool:
        if isinstance(value, str):
            return any(mark in value for mark in "-,[")
        return isinstance(value, Iterable) and getattr(value, "ndim", 1) > 0

    @property
    def written(self) -> int | str | list[int]:
        """As in a YAML file."""
        if self == tuple(range(len(self))):
            return len(self)
        return list(self) if len(self) == 1 else in_ranges(self)

    def __str__(self) -> str:
        return str(self.written)

    __repr__ = __str__


@dataclass(frozen=True, order=True)
class Shard:
    """Every n-th batch of a study, beginning with the k-th: written `k/n`, as 3/16."""

    k: int
    n: int

    @classmethod
    def parse(cls, value: Any) -> Shard:
        if isinstance(value, cls):
            return value
        found = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", value) if isinstance(value, str) else None
        if found is None or not 1 <= int(found[1]) <= int(found[2]) <= MOST_SHARDS:
            bounds = f"k counts from 1 to n, and n to {MOST_SHARDS}"
            raise ValueError(f"{shown(value)} must be k/n, the k-th of n shards, as 3/16: {bounds}")
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def of(cls, option: str | None) -> Shard | None:
        """That of --shard, if it was given. StudyError for what is none."""
        try:
            return None if option is None else cls.parse(option)
        except ValueError as error:
            raise StudyError(f"--shard: {error}") from None

    def has(self, number: int) -> bool:
        """Whether the batch of this number, counted from 0, is in it."""
        return number % self.n == self.k - 1

    def __str__(self) -> str:
        return f"{self.k}/{self.n}"
