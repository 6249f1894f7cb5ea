"""The gradient of one toy ReLU autoencoder as machine code, a row at a time: nothing as large as the rows is written.

PyTorch takes a step in nine passes over arrays of the size of all rows of all cells, their padding too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from gdstudy.training.kernel import available
from gdstudy.training.llvm import LANES, Code

# What the machine code is given: addresses of arrays, and after them rows of the stack, the first cell, and the last.
_ARRAYS = {**dict.fromkeys(("X", "W", "b", "weight", "dW", "db", "part"), "real"), "n_rows": "int"}
_COUNTS = ("N", "begin", "end")
# So many rows are added up before their sum is added to that of others.
_ROWS = 64


def compiles_relu(device: str, m: int) -> bool:
    """Whether autoencoders of m hidden units on a device are for machine code: it is there, and faster than PyTorch."""
    return device == "cpu" and m <= LANES and available()


@dataclass(frozen=True)
class ReLUKernel:
    """The gradient for one size. width: of n with padding, which all arrays have; run(addresses of _ARRAYS, _COUNTS)
    lets other threads of Python go on."""

    width: int
    run: Callable[..., None]
    owner: Any  # the machine code lives as long as this


@cache
def relu_kernel(n: int, m: int, single: bool) -> ReLUKernel:
    """∇ of weight·½‖ReLU(XWᵀW + b) − X‖²_F of each cell, over its first n_rows (C,) rows.

    For each row x: h = Wx, z = b + hW, r = z − x where z > 0 and else 0; then ∇_b = Σr, ∇_W = Σ hᵀr + (Wr)ᵀx.
    X: (C, N, width); W and dW: (C, m, width); b and db: (C, width), padded with zeros; weight: (C,). part: (width,),
    room for what some rows add to db, since one sum of all of them would lose digits. single: float32.
    """
    width = -(-n // LANES) * LANES
    c = Code("gradient", _ARRAYS, _COUNTS, single)
    part = c.args["part"]
    with c.loop(c.args["begin"], c.args["end"]) as cell:
        W, dW = (c.at(c.args[name], c.times(cell, m * width)) for name in ("W", "dW"))
        b, db = (c.at(c.args[name], c.times(cell, width)) for name in ("b", "db"))
        X = c.at(c.args["X"], c.times(c.b.mul(cell, c.args["N"]), width))
        for array, size in ((dW, m * width), (db, width)):
            _zero(c, array, size)
        n_rows = c.number(c.args["n_rows"], cell)
        with c.loop(0, n_rows, _ROWS) as begin:
            _zero(c, part, width)
            with c.loop(begin, c.least(c.add(begin, _ROWS), n_rows)) as row:
                _add(c, m, width, c.at(X, c.times(row, width)), W, b, dW, part)
            with c.loop(0, width, LANES) as at:
                c.store(c.b.fadd(c.load(db, at), c.load(part, at)), db, at)
        weight = c.splat(c.number(c.args["weight"], cell))
        for array, size in ((dW, m * width), (db, width)):
            with c.loop(0, size, LANES) as at:
                c.store(c.b.fmul(weight, c.load(array, at)), array, at)
    return ReLUKernel(width, *c.compiled())


def _zero(c: Code, array: Any, size: int) -> None:
    with c.loop(0, size, LANES) as at:
        c.store(c.zeros(c.real), array, at)


def _add(c: Code, m: int, width: int, x: Any, W: Any, b: Any, dW: Any, db: Any) -> None:
    """What one row x adds to the gradients."""
    zeros = c.zeros(c.real)
    hidden = [c.variable(zeros) for _ in range(m)]
    with c.loop(0, width, LANES) as at:
        value = c.load(x, at)
        for j, total in enumerate(hidden):
            c.b.store(c.fma(c.load(W, c.add(at, j * width)), value, c.b.load(total)), total)
    h = _sums(c, hidden)
    back = [c.variable(zeros) for _ in range(m)]
    with c.loop(0, width, LANES) as at:
        weights, z = [c.load(W, c.add(at, j * width)) for j in range(m)], c.load(b, at)
        for j in range(m):
            z = c.fma(h[j], weights[j], z)
        off = c.b.fcmp_ordered("<=", z, zeros)  # what is not a number stays that
        r = c.b.select(off, zeros, c.b.fsub(z, c.load(x, at)))
        c.store(c.b.fadd(c.load(db, at), r), db, at)
        for j, total in enumerate(back):
            here = c.add(at, j * width)
            c.store(c.fma(h[j], r, c.load(dW, here)), dW, here)
            c.b.store(c.fma(weights[j], r, c.b.load(total)), total)
    q = _sums(c, back)
    with c.loop(0, width, LANES) as at:
        value = c.load(x, at)
        for j in range(m):
            here = c.add(at, j * width)
            c.store(c.fma(q[j], value, c.load(dW, here)), dW, here)


def _sums(c: Code, vectors: list[Any]) -> list[Any]:
    """The sum of each, as a vector of that number."""
    sums = c.totals([c.b.load(vector) for vector in vectors])
    return [c.lane(sums, j) for j in range(len(vectors))]
