"""Products with a symmetric matrix of which one half is held: each of its numbers is read once, and counts twice.

A step with one output takes a number of the Gram matrix for each product of two, so that it waits for them wherever
they do not fit a core's first cache; half of them are half of the wait, and fit twice as often.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gdstudy.training.llvm import LANES, Code

# Gram matrices of fewer bytes fit the first cache with all else, and are as fast there whole.
_FEWEST_BYTES = 32_768


def fit(n: int, k: int, single: bool) -> bool:
    """Whether descent on Gram matrices (n, n) with k outputs is faster by their halves."""
    return k == 1 and n * n * (4 if single else 8) >= _FEWEST_BYTES


@dataclass(frozen=True)
class Triangle:
    """How the half of a symmetric matrix is held: of each LANES rows the blocks (LANES, LANES) from the diagonal on.

    Rows are taken `strip` at once. A strip lies as (its blocks, strip, LANES), one strip after the other.
    """

    blocks: int
    strip: int
    k = 1

    @classmethod
    def of(cls, n: int, sums: int) -> Triangle:
        """sums: how many vectors the registers hold beside what is being multiplied."""
        strip = LANES
        while strip > 1 and strip > sums:
            strip //= 2
        return cls(-(-n // LANES), strip)

    @property
    def width(self) -> int:
        """Rows with their padding."""
        return self.blocks * LANES

    @property
    def depth(self) -> int:
        return self.width

    @property
    def numbers(self) -> int:
        """Of a matrix, as it is held."""
        return LANES**2 * self.blocks * (self.blocks + 1) // 2


def product(c: Code, half: Triangle, M: Any, v: Any, result: Any, start: Callable[[Any], Any]) -> None:
    """result ← vM + start(index of a vector of it), for v (width,)."""
    with c.loop(0, half.width, LANES) as at:
        c.store(start(at), result, at)
    with c.loop(0, half.blocks) as block:
        left, row = c.b.sub(c.whole(half.blocks), block), c.times(block, LANES)
        before = c.b.mul(block, c.add(left, half.blocks + 1))  # twice the blocks before this row's
        M = c.at(M, c.times(before, LANES**2 // 2))
        beyond = c.variable(c.zeros(c.real))  # what these rows are given by the columns beyond the diagonal's
        for first in range(0, LANES, half.strip):
            strip = c.at(M, c.times(left, first * LANES))
            found = _strip(c, half.strip, strip, c.at(v, row), c.at(result, row), first, left)
            c.b.store(c.blend(c.b.load(beyond), found, range(first, first + half.strip)), beyond)
        c.store(c.b.fadd(c.load(result, row), c.b.load(beyond)), result, row)


def _strip(c: Code, strip: int, M: Any, v: Any, result: Any, first: int, blocks: Any) -> Any:
    """What the rows from `first` on give to the result, and what the result of these is given beyond the diagonal.

    M (blocks, strip, LANES); v and result from the place of the diagonal's block on. The second is a vector that has
    it, and again, in its lanes.
    """
    b, rows = c.b, range(strip)
    factors = [c.splat(c.number(v, first + i)) for i in rows]
    sums = [c.variable(c.zeros(c.real)) for _ in rows]

    def give(block: Any, also: Callable[[int, Any], None] | None) -> None:
        at = c.times(block, LANES)
        given = c.load(result, at)
        for i in rows:
            numbers = c.load(M, c.add(c.times(block, strip * LANES), i * LANES))
            given = c.fma(numbers, factors[i], given)
            if also:
                also(i, numbers)
        c.store(given, result, at)

    give(0, None)  # the diagonal's block is whole: its numbers count once
    with c.loop(1, blocks) as block:
        other = c.load(v, c.times(block, LANES))
        give(block, lambda i, numbers: b.store(c.fma(numbers, other, b.load(sums[i])), sums[i]))
    return c.totals([b.load(total) for total in sums])
