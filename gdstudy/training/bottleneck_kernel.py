"""Gradient descent on one bottleneck as machine code: as `kernel.py`, for two layers of which each moves the other.

A step is a few products of k rows, with D × D matrices and with each other: small ones, and PyTorch takes each through
all cells. Here S = XᵀX and G = XᵀY of a cell stay in the core's cache until it has taken its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from gdstudy.training.kernel import available
from gdstudy.training.llvm import LANES, Code, registers
from gdstudy.training.tiles import Tiling, product

# What the machine code is given: addresses of arrays, and after them whether G is another matrix than S, how many
# steps, whether to look after them, the first cell, and the last.
_REAL = ("A", "B", "S", "G", "Gt", "eta", "dA", "dB", "U", "V", "T", "Q", "M")
_ARRAYS = {**dict.fromkeys(_REAL, "real"), "loss": "double"}
_COUNTS = ("untied", "n_steps", "look", "begin", "end")
# Of so many hidden units a step takes a third of PyTorch's time at D = 64 and half at 784, of 8 a sixth to a fifth.
_MOST_HIDDEN = 32


def compiles_bottleneck(device: str, k: int) -> bool:
    """Whether bottlenecks of k hidden units on a device are for machine code: it is there, and faster than PyTorch."""
    return device == "cpu" and k <= _MOST_HIDDEN and available()


@dataclass(frozen=True)
class BottleneckKernel:
    """Descent for one size of bottleneck, D → k → D′.

    gram, across, back: how S (D, D), G (D, D′) and Gᵀ (D′, D) are held, (C, tiles, depth, tile); with them Aᵀ, dA, U
    and V as (k, gram.width), B, dB and T as (k, across.width), all padded with zeros. Q and M: (k, hidden).
    run(addresses of _ARRAYS, _COUNTS) lets other threads of Python go on.
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
    that T is U; else 1. look: 1 for dA and dB, η times the gradients after the steps, and loss (C,), ½‖XAB − Y‖² less
    ½‖Y‖²; else 0. single: float32; losses are float64. sums: as in `Tiling.of`.
    """
    sums = sums or registers() * 3 // 4
    gram, across, back = (Tiling.of(*sizes, k, sums) for sizes in ((D, D), (D, outputs), (outputs, D)))
    c = Code("descend", _ARRAYS, _COUNTS, single)
    with c.loop(c.args["begin"], c.args["end"]) as cell:
        layers = (("A", gram), ("B", across), ("dA", gram), ("dB", across))
        matrices = (("S", gram), ("G", across), ("Gt", back))
        at = {name: c.at(c.args[name], c.times(cell, t.k * t.width)) for name, t in layers}
        at |= {name: c.at(c.args[name], c.times(cell, t.numbers)) for name, t in matrices}
        eta = c.splat(c.number(c.args["eta"], cell))
        n_steps, look = c.args["n_steps"], c.args["look"]
        with c.loop(0, c.add(n_steps, look)) as t:
            _multiply(c, k, gram, across, back, at)
            steps = c.b.zext(c.b.icmp_signed("<", t, n_steps), c.int)
            with c.loop(0, steps):
                _gradients(c, k, gram.width, across.width, at, _step(c, eta, at["A"]), _step(c, eta, at["B"]))
            with c.loop(steps, 1):
                _look(c, k, gram.width, across.width, at, eta, c.at(c.args["loss"], cell))
    return BottleneckKernel(gram, across, back, _padded(k), *c.compiled())


def _padded(k: int) -> int:
    return -(-k // LANES) * LANES


def _multiply(c: Code, k: int, gram: Tiling, across: Tiling, back: Tiling, at: Mapping[str, Any]) -> None:
    """U, V, T, Q and M of a cell whose arrays are `at`."""
    U, V, T, Q, M = (c.args[name] for name in "UVTQM")
    product(c, gram, at["S"], at["A"], gram.width, _into(c, U))
    product(c, back, at["Gt"], at["B"], across.width, _into(c, V))
    with c.loop(0, c.args["untied"]):
        product(c, across, at["G"], at["A"], gram.width, _into(c, T))
    _overlaps(c, k, across.width, at["B"], at["B"], Q)
    _overlaps(c, k, gram.width, U, at["A"], M)


def _into(c: Code, result: Any) -> Callable[[Any, Any], None]:
    return lambda at, values: c.store(values, result, at)


def _overlaps(c: Code, k: int, width: int, U: Any, A: Any, M: Any) -> None:
    """M ← UAᵀ, (k, hidden), of rows U and A (k, width)."""
    b = c.b
    with c.loop(0, k) as i:
        for first in range(0, k, LANES):
            rows = range(first, min(k, first + LANES))
            sums = [c.variable(c.zeros(c.real)) for _ in rows]
            with c.loop(0, width, LANES) as at:
                u = c.load(U, c.add(c.times(i, width), at))
                for j, total in zip(rows, sums, strict=True):
                    b.store(c.fma(u, c.load(A, c.add(at, j * width)), b.load(total)), total)
            c.store(c.totals([b.load(total) for total in sums]), M, c.add(c.times(i, _padded(k)), first))


Finish = Callable[[Any, Any, Any], None]


def _gradients(c: Code, k: int, width: int, outputs: int, at: Mapping[str, Any], of_A: Finish, of_B: Finish) -> None:
    """finish(index, QU − V there, V there), and of B the same with MB − T; a layer's vectors are read before."""
    tied = c.b.icmp_signed("==", c.args["untied"], c.whole(0))
    target = c.b.select(tied, c.args["U"], c.args["T"])
    _combined(c, k, width, c.args["Q"], c.args["U"], c.args["V"], of_A)
    _combined(c, k, outputs, c.args["M"], at["B"], target, of_B)


def _combined(c: Code, k: int, width: int, Q: Any, U: Any, V: Any, finish: Finish) -> None:
    with c.loop(0, width, LANES) as at:
        rows = [c.load(U, c.add(at, j * width)) for j in range(k)]
        with c.loop(0, k) as i:
            here = c.add(c.times(i, width), at)
            target = c.load(V, here)
            gradient = c.b.fneg(target)
            for j, row in enumerate(rows):
                gradient = c.fma(c.splat(c.number(Q, c.add(c.times(i, _padded(k)), j))), row, gradient)
            finish(here, gradient, target)


def _step(c: Code, eta: Any, A: Any) -> Finish:
    """A ← A − η·gradient."""
    return lambda at, gradient, _: c.store(c.b.fsub(c.load(A, at), c.b.fmul(eta, gradient)), A, at)


def _look(c: Code, k: int, width: int, outputs: int, at: Mapping[str, Any], eta: Any, loss: Any) -> None:
    """η times both gradients, and ½‖XAB‖² − ⟨XAB, Y⟩ = ½ Σ A(QU − 2V)."""
    b, total = c.b, c.variable(c.zeros(c.double))

    def of_A(here: Any, gradient: Any, target: Any) -> None:
        c.store(b.fmul(eta, gradient), at["dA"], here)
        apart, layer = b.fsub(gradient, target), c.load(at["A"], here)
        b.store(c.fma(c.doubles(layer), c.doubles(apart), b.load(total)), total)

    def of_B(here: Any, gradient: Any, _: Any) -> None:
        c.store(b.fmul(eta, gradient), at["dB"], here)

    _gradients(c, k, width, outputs, at, of_A, of_B)
    b.store(b.fmul(c.total(b.load(total)), c.ir.Constant(c.double, 0.5)), loss)
