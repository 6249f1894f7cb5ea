"""Gradient descent on one cell as machine code: all its steps at once, in registers and a core's own cache.

Products of small matrices cost PyTorch several times what their arithmetic does: each step goes through all cells, and
so through memory, and through a call. Here a cell stays until it has taken its steps. Written in LLVM's language for
the sizes at hand, by llvmlite (the extra `fast`); compiled in some .1 s a size.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from gdstudy.training.llvm import LANES, Code, registers

# What the machine code is given: addresses of arrays, and after them how many looks, the first cell, and the last.
_REAL, _DOUBLE, _INT = (
    ("A", "B", "Z", "V", "X", "G"),
    ("first", "largest", "norm", "scale", "bounds"),
    ("looks", "taken"),
)
_ARRAYS = {**dict.fromkeys(_REAL, "real"), **dict.fromkeys(_DOUBLE, "double"), **dict.fromkeys(_INT, "int")}
_COUNTS = ("n_looks", "begin", "end")
# Products of many outputs are BLAS's strength: at 64 of them and 256 rows it is as fast, at 768 rows a quarter faster.
_MOST_OUTPUTS, _SMALL = 48, 128


def available() -> bool:
    """Whether llvmlite is installed, and GDSTUDY_FAST is not 0."""
    if os.environ.get("GDSTUDY_FAST") == "0":
        return False
    try:
        import llvmlite.binding  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


def compiles(device: str, N: int, P: int, k: int) -> bool:
    """Whether cells of N rows and k outputs on a device are for machine code: it is there, and faster than PyTorch."""
    return device == "cpu" and (k <= _MOST_OUTPUTS or max(N, P) <= _SMALL) and available()


@dataclass(frozen=True)
class Tiling:
    """How a product of k vectors with a matrix M (depth, rows) is divided, so that its sums stay in registers.

    A tile is `vectors` of LANES rows for `outputs` of the k vectors at once. chains: sums that one number is added up
    in, side by side, where there would be too few to keep the processor busy; they depend on k alone, and so do digits.
    """

    depth: int
    tiles: int
    vectors: int
    passes: int
    outputs: int
    chains: int

    @classmethod
    def of(cls, depth: int, rows: int, k: int, sums: int) -> Tiling:
        """sums: how many vectors the registers hold beside what is being multiplied."""
        chains = 4 if k == 1 else 2 if k < 4 else 1
        passes = -(-k // 5)
        outputs = -(-k // passes)
        vectors = -(-rows // LANES)
        tiles = -(-vectors // max(1, sums // (chains * outputs)))
        return cls(-(-depth // chains) * chains, tiles, -(-vectors // tiles), passes, outputs, chains)

    @property
    def tile(self) -> int:
        """Rows of a tile."""
        return self.vectors * LANES

    @property
    def width(self) -> int:
        """Rows with their padding."""
        return self.tiles * self.tile

    @property
    def k(self) -> int:
        """Vectors with their padding."""
        return self.passes * self.outputs


@dataclass(frozen=True)
class Kernel:
    """Descent for one size of Gram matrix.

    gram: how A is held, (C, tiles, depth, tile); with it B, Z and V as (C, k, width), all padded with zeros. features:
    so X, where the gradient norm needs it. run(addresses of _ARRAYS, _COUNTS) lets other threads of Python go on.
    """

    gram: Tiling
    features: Tiling | None
    run: Callable[..., None]
    owner: Any  # the machine code lives as long as this


@cache
def kernel(n: int, k: int, P: int, single: bool, momentum: bool, sums: int | None = None) -> Kernel:
    """W ← W − η∇L for cells of Gram matrices (n, n) and k outputs, with looks at ‖∇L‖ between.

    Of each cell A = ηXXᵀ or ηXᵀX, B and Z as in `gram.py`. A step is Z ← Z − (ZA − B), with momentum V ← βV + (ZA − B),
    Z ← Z − V. After looks[0], looks[1], … steps ‖∇L‖ = ‖ZA − B‖ or, with P > 0, ‖(ZA − B)X‖, X (n, P), each times and
    over the cell's scale (2,), a power of two and what makes the norm whole; it ends where that norm is at most
    tolerance times the `largest` it had or, over the `first`, not at most divergence. norm: at its end; taken: looks.
    bounds: tolerance, divergence, momentum. single: float32; norms are float64. sums: as in `Tiling.of`.
    """
    sums = sums or registers() * 3 // 4
    gram, features = Tiling.of(n, n, k, sums), Tiling.of(n, P, k, sums) if P else None
    code = Code("descent", _ARRAYS, _COUNTS, single)
    with code.loop(code.args["begin"], code.args["end"]) as cell:
        _descend(code, gram, features, cell, momentum)
    return Kernel(gram, features, *code.compiled())


def _descend(c: Code, gram: Tiling, features: Tiling | None, cell: Any, momentum: bool) -> None:
    """All steps of one cell, to its last look or its end."""
    b, G = c.b, c.args["G"]
    A = c.at(c.args["A"], c.times(cell, gram.tiles * gram.depth * gram.tile))
    B, Z, V = (c.at(c.args[name], c.times(cell, gram.k * gram.width)) for name in "BZV")
    X = c.args["X"]
    if features:
        X = c.at(X, c.times(cell, features.tiles * features.depth * features.tile))
    tolerance, divergence, beta = (c.number(c.args["bounds"], i) for i in range(3))
    beta = c.splat(beta if c.real == c.double else b.fptrunc(beta, c.real)) if momentum else None
    first = c.number(c.args["first"], cell)
    largest, norm, taken = (c.at(c.args[name], cell) for name in ("largest", "norm", "taken"))
    scale = tuple(c.number(c.args["scale"], c.add(c.times(cell, 2), i)) for i in range(2))

    def gradient() -> None:
        """G ← ZA − B."""
        product(c, gram, A, Z, gram.width, lambda at, g: c.store(g, G, at), lambda at: b.fneg(c.load(B, at)))

    gradient()
    with c.block() as end, c.loop(0, c.args["n_looks"]) as look:
        with c.loop(0, c.number(c.args["looks"], look)):
            _step(c, gram, Z, V, beta)
            gradient()
        size, top = _norm(c, gram, features, X, scale), b.load(largest)
        top = b.select(b.fcmp_ordered(">", size, top), size, top)
        for value, where in ((size, norm), (top, largest), (c.add(look, 1), taken)):
            b.store(value, where)
        within = b.fcmp_ordered("<=", b.fdiv(size, first), divergence)
        c.go_on(b.and_(within, b.fcmp_ordered(">", size, b.fmul(tolerance, top))), end)


def _step(c: Code, gram: Tiling, Z: Any, V: Any, beta: Any) -> None:
    """Z ← Z − G or, with momentum, V ← βV + G, Z ← Z − V."""
    with c.loop(0, gram.k * gram.width, LANES) as at:
        change = c.load(c.args["G"], at)
        if beta is not None:
            change = c.fma(beta, c.load(V, at), change)
            c.store(change, V, at)
        c.store(c.b.fsub(c.load(Z, at), change), Z, at)


def _norm(c: Code, gram: Tiling, features: Tiling | None, X: Any, scale: tuple[Any, Any]) -> Any:
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

    M (tiles, depth, tile) as tiled; v (k, stride), its first `depth` numbers each.
    """
    b, t = c.b, tiling
    with c.loop(0, t.tiles) as tile, c.loop(0, t.passes) as pass_:
        M = c.at(M, c.times(tile, t.depth * t.tile))
        outputs = [c.add(c.times(pass_, t.outputs), o) for o in range(t.outputs)]
        rows = [c.add(c.times(tile, t.tile), i * LANES) for i in range(t.vectors)]
        place = {
            (i, o): c.add(row, c.times(output, t.width))
            for i, row in enumerate(rows)
            for o, output in enumerate(outputs)
        }
        sums = {
            (chain, *spot): c.variable(start(at) if start and chain == 0 else c.zeros(c.real))
            for chain in range(t.chains)
            for spot, at in place.items()
        }
        with c.loop(0, t.depth, t.chains) as depth:
            for chain in range(t.chains):
                j = c.add(depth, chain)
                column = [c.load(M, c.add(c.times(j, t.tile), i * LANES)) for i in range(t.vectors)]
                for o, output in enumerate(outputs):
                    x = c.splat(c.number(v, c.add(c.times(output, stride), j)))
                    for i, values in enumerate(column):
                        total = sums[chain, i, o]
                        b.store(c.fma(values, x, b.load(total)), total)
        for spot, at in place.items():
            parts = [b.load(sums[chain, *spot]) for chain in range(t.chains)]
            while len(parts) > 1:
                parts = [b.fadd(x, y) for x, y in zip(parts[::2], parts[1::2], strict=True)]
            finish(at, parts[0])
