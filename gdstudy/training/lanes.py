"""Machine code that takes small cells through their steps LANES at a time: each has one lane of every vector.

A product with one small matrix waits for its sums, and pads its rows to whole vectors. Here a number of each of LANES
cells makes a vector, no sum waits for another, and nothing is padded. The sums of a cell are those of `tiles.py`, in
the same order: it comes to the same digits here and there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from gdstudy.training.llvm import LANES, Code
from gdstudy.training.tiles import chains_of

BESIDE = LANES  # cells that are side by side

# Cells whose LANES Gram matrices take more bytes are as fast each by itself: half a core's first cache.
_MOST_BYTES = 13_000
# So are products of more outputs, none of which waits for another, and cells too few to fill their vectors.
_MOST_OUTPUTS, _FEWEST = 3, 3 * LANES
# A loop through no more than this is written out.
_UNROLLED = 8


def fit(n: int, k: int, single: bool, cells: int) -> bool:
    """Whether cells of Gram matrices (n, n) and k outputs, so many of them, are faster side by side."""
    return cells >= _FEWEST and k <= _MOST_OUTPUTS and LANES * n * n * (4 if single else 8) <= _MOST_BYTES


@dataclass(frozen=True)
class Blocking:
    """How a product of k vectors with matrices M (depth, width) is divided: `rows` of the result at once, for all k.

    chains: as in `tiles.Tiling`.
    """

    depth: int
    width: int
    k: int
    rows: int
    chains: int

    @classmethod
    def of(cls, depth: int, width: int, k: int, sums: int) -> Blocking:
        """sums: how many vectors the registers hold beside what is being multiplied."""
        chains = chains_of(k)
        rows = max(1, min(4, sums // (chains * k)))
        return cls(depth, width, k, -(-width // -(-width // rows)), chains)

    @property
    def tiles(self) -> list[int]:
        """As of `tiles.Tiling`: all rows together."""
        return [self.width]

    @property
    def numbers(self) -> int:
        return self.depth * self.width


@dataclass(frozen=True)
class _Places:
    """Where the numbers of a group of cells lie in what a thread was lent: LANES of one place after another."""

    A: Any
    B: Any
    Z: Any
    V: Any
    X: Any
    G: Any


def _sizes(gram: Blocking, features: Blocking | None, momentum: bool) -> dict[str, int]:
    """Numbers of a cell under each name."""
    row = gram.k * gram.width
    of_features = features.depth * features.width if features else 0
    return {"A": gram.depth * gram.width, "B": row, "Z": row, "V": row if momentum else 0, "X": of_features, "G": row}


def scratch(gram: Blocking, features: Blocking | None, momentum: bool) -> int:
    """Numbers that `descend` takes as G: copies of those of a group of cells, and their gradients."""
    return LANES * sum(_sizes(gram, features, momentum).values())


def descend(c: Code, gram: Blocking, features: Blocking | None, momentum: bool) -> None:
    """All steps of the cells from `begin` to `end`, as `kernel.kernel` has them."""
    with c.loop(c.args["begin"], c.args["end"], LANES) as cell:
        last = c.add(c.args["end"], -1)
        # Beyond the end the last cell comes again, and to the same numbers.
        _descend(c, gram, features, momentum, lambda lane: c.least(c.add(cell, lane), last))


def _descend(c: Code, gram: Blocking, features: Blocking | None, momentum: bool, cell_of: Callable[[Any], Any]) -> None:
    """All steps of a group of cells, until none of them goes on. cell_of: the cell in a lane."""
    b, sizes, cells = c.b, _sizes(gram, features, momentum), [cell_of(lane) for lane in range(LANES)]
    own = _gathered(c, sizes, cell_of)
    tolerance, divergence, beta = (c.splat(c.number(c.args["bounds"], i)) for i in range(3))
    first, largest = (c.vector_of(c.number(c.args[name], cell) for cell in cells) for name in ("first", "largest"))
    scale = [c.vector_of(c.number(c.args["scale"], c.add(c.times(cell, 2), i)) for cell in cells) for i in range(2)]
    top, running = c.variable(largest), c.variable(c.truths(True))

    def gradient() -> None:
        """G ← ZA − B."""
        product(c, gram, own.A, own.Z, lambda at, _, g: c.store(g, own.G, at), lambda at: b.fneg(c.load(own.B, at)))

    with c.block() as end, c.loop(0, c.args["n_looks"]) as look:
        with c.steps(look) as takes:
            with takes:
                _step(c, gram, own, c.reals(beta) if momentum else None)
            gradient()
        norm, before = _norm(c, gram, features, own, scale), b.load(running)
        b.store(b.select(b.fcmp_ordered(">", norm, b.load(top)), norm, b.load(top)), top)
        within = b.fcmp_ordered("<=", b.fdiv(norm, first), divergence)
        goes_on = b.and_(within, b.fcmp_ordered(">", norm, b.fmul(tolerance, b.load(top))))
        after, n = b.and_(before, goes_on), c.add(look, 1)
        b.store(after, running)
        with b.if_then(b.or_(b.icmp_signed("==", n, c.args["n_looks"]), c.any(b.xor(before, after)))):
            _put_back(c, sizes, own, cell_of, before, {"norm": norm, "largest": b.load(top)}, n)
        c.go_on(c.any(after), end)


def _gathered(c: Code, sizes: dict[str, int], cell_of: Callable[[Any], Any]) -> _Places:
    """Copies of the numbers of a group, and room for their gradients."""
    at, places = 0, {}
    for name, size in sizes.items():
        places[name] = c.at(c.args["G"], LANES * at)
        at += size
        if name == "G" or not size:
            continue
        with c.loop(0, LANES) as lane:
            source = c.at(c.args[name], c.times(cell_of(lane), size))
            with c.loop(0, size) as i:
                c.b.store(c.number(source, i), c.at(places[name], c.add(c.times(i, LANES), lane)))
    return _Places(**places)


def _put_back(
    c: Code,
    sizes: dict[str, int],
    own: _Places,
    cell_of: Callable[[Any], Any],
    running: Any,
    seen: dict[str, Any],
    n: Any,
) -> None:
    """What the running cells of a group have come to after n looks: Z, V and what was seen of them.

    Also of those that go on from here; theirs are put back again.
    """
    b = c.b
    with c.loop(0, LANES) as lane, b.if_then(b.extract_element(running, lane)):
        cell = cell_of(lane)
        for name in ("Z", "V") if sizes["V"] else ("Z",):
            target = c.at(c.args[name], c.times(cell, sizes[name]))
            with c.loop(0, sizes[name]) as i:
                b.store(c.number(getattr(own, name), c.add(c.times(i, LANES), lane)), c.at(target, i))
        for name, values in seen.items():
            b.store(b.extract_element(values, lane), c.at(c.args[name], cell))
        b.store(n, c.at(c.args["taken"], cell))


def _step(c: Code, gram: Blocking, own: _Places, beta: Any) -> None:
    """Z ← Z − G or, with momentum, V ← βV + G, Z ← Z − V."""

    def of_one(i: Any, _: int) -> None:
        at = c.times(i, LANES)
        change = c.load(own.G, at)
        if beta is not None:
            change = c.fma(beta, c.load(own.V, at), change)
            c.store(change, own.V, at)
        c.store(c.b.fsub(c.load(own.Z, at), change), own.Z, at)

    _in_blocks(c, gram.k * gram.width, 1, of_one)


def _norm(c: Code, gram: Blocking, features: Blocking | None, own: _Places, scale: list[Any]) -> Any:
    """‖G‖ or ‖GX‖ of each cell, without units while it is squared; summed as by a vector of one cell's rows."""
    squares = [c.variable(c.zeros(c.double)) for _ in range(LANES)]

    def add(_: Any, row: int, values: Any) -> None:
        values = c.b.fmul(scale[0], c.doubles(values))
        c.b.store(c.fma(values, values, c.b.load(squares[row])), squares[row])

    def add_rows(output: int, at: Any, n: int) -> None:
        for row in range(n):
            add(None, row, c.load(own.G, c.times(c.add(at, output * gram.width + row), LANES)))

    if features:
        product(c, features, own.X, own.G, add, together=LANES)
    else:
        for output in range(gram.k):
            _in_blocks(c, gram.width, LANES, partial(add_rows, output))
    total = c.zeros(c.double)
    for part in squares:
        total = c.b.fadd(total, c.b.load(part))
    return c.b.fmul(c.call(f"llvm.sqrt.v{LANES}f64", total), scale[1])


def product(
    c: Code,
    side: Blocking,
    M: Any,
    v: Any,
    finish: Callable[[Any, int, Any], None],
    start: Any = None,
    together: int | None = None,
) -> None:
    """finish(place in the result (k, width, LANES), row, the vector there) for all of vM + start(place).

    M (depth, width, LANES); v (k, depth, LANES). row: within `together` rows, by default those of a block.
    """

    def blocks(row: Any, rows: int) -> None:
        for first in range(0, rows, side.rows):
            _block(c, side, M, v, finish, start, row, range(first, min(rows, first + side.rows)))

    _in_blocks(c, side.width, together or side.rows, blocks)


def _block(c: Code, side: Blocking, M: Any, v: Any, finish: Any, start: Any, row: Any, rows: range) -> None:
    """These rows of a product, from `row` on."""
    b, spots = c.b, [(i, output) for i in rows for output in range(side.k)]
    place = {(i, output): c.times(c.add(row, i, output * side.width), LANES) for i, output in spots}
    sums = {
        (chain, *spot): c.variable(start(place[spot]) if start and chain == 0 else c.zeros(c.real))
        for chain in range(side.chains)
        for spot in spots
    }

    def add(j: Any, chain: int) -> None:
        column = {i: c.load(M, c.times(c.add(c.times(j, side.width), row, i), LANES)) for i in rows}
        factors = [c.load(v, c.times(c.add(j, output * side.depth), LANES)) for output in range(side.k)]
        for i, output in spots:
            total = sums[chain, i, output]
            b.store(c.fma(column[i], factors[output], b.load(total)), total)

    looped = 0 if side.depth <= _UNROLLED else side.depth // side.chains * side.chains
    if looped:
        with c.loop(0, looped, side.chains) as j:
            for chain in range(side.chains):
                add(c.add(j, chain), chain)
    for last in range(looped, side.depth):
        add(last, last % side.chains)
    for spot in spots:
        finish(place[spot], spot[0], c.in_pairs([b.load(sums[chain, *spot]) for chain in range(side.chains)]))


def _in_blocks(c: Code, total: int, size: int, body: Callable[[Any, int], Any]) -> None:
    """body(begin, how many) for all of 0 … total, so many at once, and the rest."""
    looped = 0 if total <= _UNROLLED else total // size * size
    if looped:
        with c.loop(0, looped, size) as at:
            body(at, size)
    for rest in range(looped, total, size):
        body(rest, min(size, total - rest))
