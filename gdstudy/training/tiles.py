"""Machine code that takes cells through their steps one after the other, a tile of sums in registers at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from gdstudy.training import triangles
from gdstudy.training.llvm import LANES, Code
from gdstudy.training.triangles import Triangle

BESIDE = 1  # cells that are side by side


def chains_of(k: int) -> int:
    """Sums, side by side, that one number of a product of k vectors is added up in: digits depend on it."""
    return 4 if k == 1 else 2 if k < 4 else 1


@dataclass(frozen=True)
class Tiling:
    """How a product of k vectors with a matrix M (depth, rows) is divided, so that its sums stay in registers.

    vectors: of each tile how many, each of `lanes` rows, as many of all but the last; a tile is taken for `outputs` of
    the k vectors at once. chains: sums that one number is added up in, side by side, where there would be too few to
    keep the processor busy; they depend on k alone, and so do digits.
    """

    depth: int
    vectors: tuple[int, ...]
    lanes: int
    passes: int
    outputs: int
    chains: int

    @classmethod
    def of(cls, depth: int, rows: int, k: int, sums: int, lanes: int = LANES) -> Tiling:
        """sums: how many vectors of LANES numbers the registers hold beside what is being multiplied."""
        chains = chains_of(k)
        passes = -(-k // 5)
        outputs = -(-k // passes)
        vectors = -(-rows // lanes)
        tiles = -(-vectors // max(1, sums * LANES // lanes // (chains * outputs)))
        each = -(-vectors // tiles)
        tiled = tuple(min(each, vectors - begin) for begin in range(0, vectors, each))
        return cls(-(-depth // chains) * chains, tiled, lanes, passes, outputs, chains)

    @property
    def tiles(self) -> list[int]:
        """Rows of each tile."""
        return [vectors * self.lanes for vectors in self.vectors]

    @property
    def rows(self) -> int:
        """Rows with their padding, as many as are taken."""
        return sum(self.tiles)

    @property
    def width(self) -> int:
        """Rows as vectors of LANES have them."""
        return -(-self.rows // LANES) * LANES

    @property
    def k(self) -> int:
        """Vectors with their padding."""
        return self.passes * self.outputs

    @property
    def numbers(self) -> int:
        """Of a matrix, as it is held: one tile (depth, its rows) after the other."""
        return self.depth * self.rows


def scratch(gram: Tiling | Triangle, features: Tiling | None, momentum: bool) -> int:
    """Numbers that `descend` takes as G, the gradient of a cell."""
    return gram.k * gram.width


def descend(c: Code, gram: Tiling | Triangle, features: Tiling | None, momentum: bool) -> None:
    """All steps of the cells from `begin` to `end`, as `kernel.kernel` has them."""
    with c.loop(c.args["begin"], c.args["end"]) as cell:
        _descend(c, gram, features, cell, momentum)


def _descend(c: Code, gram: Tiling | Triangle, features: Tiling | None, cell: Any, momentum: bool) -> None:
    """All steps of one cell, to its last look or its end."""
    b, G = c.b, c.args["G"]
    A = c.at(c.args["A"], c.times(cell, gram.numbers))
    B, Z, V = (c.at(c.args[name], c.times(cell, gram.k * gram.width)) for name in "BZV")
    X = c.args["X"]
    if features:
        X = c.at(X, c.times(cell, features.numbers))
    tolerance, divergence, beta = (c.number(c.args["bounds"], i) for i in range(3))
    beta = c.splat(beta if c.real == c.double else b.fptrunc(beta, c.real)) if momentum else None
    first = c.number(c.args["first"], cell)
    largest, norm, taken = (c.at(c.args[name], cell) for name in ("largest", "norm", "taken"))
    scale = tuple(c.number(c.args["scale"], c.add(c.times(cell, 2), i)) for i in range(2))

    def gradient() -> None:
        """G ← ZA − B."""
        if isinstance(gram, Triangle):
            triangles.product(c, gram, A, Z, G, lambda at: b.fneg(c.load(B, at)))
        else:
            start = lambda at: b.fneg(c.load(B, at, gram.lanes))  # noqa: E731
            product(c, gram, A, Z, gram.width, lambda at, g: c.store(g, G, at), start)

    with c.loop(0, gram.k * gram.width, LANES) as at:
        c.store(c.zeros(c.real), G, at)  # also where no tile is
    with c.block() as end, c.loop(0, c.args["n_looks"]) as look:
        with c.steps(look) as takes:
            with takes:
                _step(c, gram, Z, V, beta)
            gradient()
        size, top = _norm(c, gram, features, X, scale), b.load(largest)
        top = b.select(b.fcmp_ordered(">", size, top), size, top)
        for value, where in ((size, norm), (top, largest), (c.add(look, 1), taken)):
            b.store(value, where)
        within = b.fcmp_ordered("<=", b.fdiv(size, first), divergence)
        c.go_on(b.and_(within, b.fcmp_ordered(">", size, b.fmul(tolerance, top))), end)


def _step(c: Code, gram: Tiling | Triangle, Z: Any, V: Any, beta: Any) -> None:
    """Z ← Z − G or, with momentum, V ← βV + G, Z ← Z − V."""
    with c.loop(0, gram.k * gram.width, LANES) as at:
        change = c.load(c.args["G"], at)
        if beta is not None:
            change = c.fma(beta, c.load(V, at), change)
            c.store(change, V, at)
        c.store(c.b.fsub(c.load(Z, at), change), Z, at)


def _norm(c: Code, gram: Tiling | Triangle, features: Tiling | None, X: Any, scale: tuple[Any, Any]) -> Any:
    """‖G‖ or ‖GX‖, without units while it is squared."""
    unit, squares, G = c.splat(scale[0]), c.variable(c.zeros(c.double)), c.args["G"]

    def add(at: Any, values: Any) -> None:
        values = c.b.fmul(unit, c.doubles(values))
        c.b.store(c.fma(values, values, c.b.load(squares)), squares)

    if features:
        product(c, features, X, G, gram.width, add)
    else:
        with c.loop(0, gram.k * gram.width, LANES) as at:
            add(at, c.load(G, at))
    return c.b.fmul(c.call("llvm.sqrt.f64", c.total(c.b.load(squares))), scale[1])


def product(
    c: Code, tiling: Tiling, M: Any, v: Any, stride: int, finish: Callable[[Any, Any], None], start: Any = None
) -> None:
    """finish(index in the result (k, width), the vector there) for all of vM + start(index).

    M as tiled; v (k, stride), its first `depth` numbers each.
    """
    row = 0
    for vectors, equal in groupby(tiling.vectors):
        tiles, rows = len(list(equal)), vectors * tiling.lanes
        with c.loop(0, tiles) as tile:
            begin = c.add(c.times(tile, rows), row)
            _tile(c, tiling, vectors, c.at(M, c.times(begin, tiling.depth)), begin, v, stride, finish, start)
        row += tiles * rows


def _tile(
    c: Code,
    tiling: Tiling,
    vectors: int,
    M: Any,
    begin: Any,
    v: Any,
    stride: int,
    finish: Callable[[Any, Any], None],
    start: Any,
) -> None:
    """The rows of a product from `begin` on, so many vectors of them. M (depth, the tile's rows)."""
    b, t = c.b, tiling
    with c.loop(0, t.passes) as pass_:
        outputs = [c.add(c.times(pass_, t.outputs), o) for o in range(t.outputs)]
        rows = [c.add(begin, i * t.lanes) for i in range(vectors)]
        place = {
            (i, o): c.add(row, c.times(output, t.width))
            for i, row in enumerate(rows)
            for o, output in enumerate(outputs)
        }
        sums = {
            (chain, *spot): c.variable(start(at) if start and chain == 0 else c.zeros(c.real, t.lanes))
            for chain in range(t.chains)
            for spot, at in place.items()
        }
        with c.loop(0, t.depth, t.chains) as depth:
            for chain in range(t.chains):
                j = c.add(depth, chain)
                first = c.times(j, vectors * t.lanes)
                column = [c.load(M, c.add(first, i * t.lanes), t.lanes) for i in range(vectors)]
                for o, output in enumerate(outputs):
                    x = c.splat(c.number(v, c.add(c.times(output, stride), j)), t.lanes)
                    for i, values in enumerate(column):
                        total = sums[chain, i, o]
                        b.store(c.fma(values, x, b.load(total)), total)
        for spot, at in place.items():
            finish(at, c.in_pairs([b.load(sums[chain, *spot]) for chain in range(t.chains)]))
