"""Gradient descent on one bottleneck as machine code: as `kernel.py`, for two layers of which each moves the other.

A step is a few products of k rows, with D × D matrices and with each other: small ones, and PyTorch takes each through
all cells. Here S = XᵀX and G = XᵀY of a cell stay in the core's cache until it has taken its steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from gdstudy.training.kernel import Tiling, available, product
from gdstudy.training.llvm import LANES, Code, registers

# What the machine code is given: addresses of arrays, and after them whether G is another matrix than S, how many
# steps, the first cell, and the last.
_ARRAYS = dict.fromkeys(("A", "B", "S", "G", "Gt", "eta", "U", "V", "T", "Q", "M"), "real")
_COUNTS = ("untied", "n_steps", "begin", "end")
# Of so many hidden units a step takes half as long as by PyTorch, at D = 64 and 784, and of 8 a fifth.
_MOST_HIDDEN = 32


def compiles_bottleneck(device: str, k: int) -> bool:
    """Whether bottlenecks of k hidden units on a device are for machine code: it is there, and faster than PyTorch."""
    return device == "cpu" and k <= _MOST_HIDDEN and available()


@dataclass(frozen=True)
class BottleneckKernel:
    """Descent for one size of bottleneck, D → k → D′.

    gram, across, back: how S (D, D), G (D, D′) and Gᵀ (D′, D) are held, (C, tiles, depth, tile); with them Aᵀ, U and V
    as (k, gram.width), B and T as (k, across.width), all padded with zeros. Q and M: (k, hidden). run(addresses of
    _ARRAYS, _COUNTS) lets other threads of Python go on.
    """

    gram: Tiling
    across: Tiling
    back: Tiling
    hidden: int
    run: Callable[..., None]
    owner: Any  # the machine code lives as long as this


@cache
def bottleneck_kernel(D: int, outputs: int, k: int, single: bool, sums: int | None = None) -> BottleneckKernel:
    """A ← A − η(SA·BBᵀ − GBᵀ), B ← B − η(AᵀSA·B − AᵀG), both from the same A and B, n_steps times for each cell.

    By rows of Aᵀ (k, D) and B (k, D′): with U = AᵀS, V = BGᵀ, T = AᵀG, Q = BBᵀ and M = UA the gradients are QU − V and
    MB − T. eta: (C,). U, V, T, Q, M: room for those of one cell. untied: 0 where G is S, as of inputs without noise, so
    that T is U; else 1. single: float32. sums: as in `Tiling.of`.
    """
    sums = sums or registers() * 3 // 4
    gram, across, back = (Tiling.of(*sizes, k, sums) for sizes in ((D, D), (D, outputs), (outputs, D)))
    c, hidden = Code("descend", _ARRAYS, _COUNTS, single), -(-k // LANES) * LANES
    U, V, T, Q, M, untied = (c.args[name] for name in (*"UVTQM", "untied"))
    aimed = c.b.select(c.b.icmp_signed("==", untied, c.whole(0)), U, T)
    with c.loop(c.args["begin"], c.args["end"]) as cell:
        layers = (("A", gram), ("B", across))
        matrices = (("S", gram), ("G", across), ("Gt", back))
        A, B = (c.at(c.args[name], c.times(cell, t.k * t.width)) for name, t in layers)
        S, G, Gt = (c.at(c.args[name], c.times(cell, t.tiles * t.depth * t.tile)) for name, t in matrices)
        eta = c.splat(c.number(c.args["eta"], cell))
        with c.loop(0, c.args["n_steps"]):
            product(c, gram, S, A, gram.width, _into(c, U))
            product(c, back, Gt, B, across.width, _into(c, V))
            with c.loop(0, untied):
                product(c, across, G, A, gram.width, _into(c, T))
            _overlaps(c, k, across.width, B, B, Q)
            _overlaps(c, k, gram.width, U, A, M)
            _move(c, k, gram.width, A, Q, U, V, eta)
            _move(c, k, across.width, B, M, B, aimed, eta)
    return BottleneckKernel(gram, across, back, hidden, *c.compiled())


def _into(c: Code, result: Any) -> Callable[[Any, Any], None]:
    return lambda at, values: c.store(values, result, at)


def _overlaps(c: Code, k: int, width: int, U: Any, A: Any, M: Any) -> None:
    """M ← UAᵀ, (k, hidden), of rows U and A (k, width)."""
    b = c.b
    hidden = -(-k // LANES) * LANES
    with c.loop(0, k) as i:
        for first in range(0, k, LANES):
            rows = range(first, min(k, first + LANES))
            sums = [c.variable(c.zeros(c.real)) for _ in rows]
            with c.loop(0, width, LANES) as at:
                u = c.load(U, c.add(c.times(i, width), at))
                for j, total in zip(rows, sums, strict=True):
                    b.store(c.fma(u, c.load(A, c.add(at, j * width)), b.load(total)), total)
            c.store(c.totals([b.load(total) for total in sums]), M, c.add(c.times(i, hidden), first))


def _move(c: Code, k: int, width: int, A: Any, Q: Any, U: Any, V: Any, eta: Any) -> None:
    """A ← A − η(QU − V), of rows A, U and V (k, width) and Q (k, hidden). U may be A."""
    hidden = -(-k // LANES) * LANES
    with c.loop(0, width, LANES) as at:
        rows = [c.load(U, c.add(at, j * width)) for j in range(k)]
        with c.loop(0, k) as i:
            here = c.add(c.times(i, width), at)
            gradient = c.b.fneg(c.load(V, here))
            for j, u in enumerate(rows):
                gradient = c.fma(c.splat(c.number(Q, c.add(c.times(i, hidden), j))), u, gradient)
            c.store(c.b.fsub(c.load(A, here), c.b.fmul(eta, gradient)), A, here)
