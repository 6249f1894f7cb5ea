"""Gradient descent as machine code: a cell takes all its steps at once, in registers and a core's own cache.

Products of small matrices cost PyTorch several times what their arithmetic does: each step goes through all cells, and
so through memory, and through a call. Here a cell stays until it has taken its steps, small ones some side by side
(`lanes.py`), others each by itself (`tiles.py`), the largest by half of their Gram matrix (`triangles.py`). Written in
LLVM's language for the sizes at hand, by llvmlite (the extra `fast`); compiled in some .1 s a size.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from gdstudy.training import lanes, tiles, triangles
from gdstudy.training.lanes import Blocking
from gdstudy.training.llvm import Code, lanes_held, registers
from gdstudy.training.tiles import Tiling
from gdstudy.training.triangles import Triangle

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


Layout = Tiling | Blocking | Triangle


@dataclass(frozen=True)
class Kernel:
    """Descent for one size of Gram matrix.

    gram: how A is held, (C, its numbers); with it B, Z and V as (C, k, width), all padded with
    zeros. features: how X is, where the gradient norm needs it. beside: cells side by side. scratch: numbers of the
    memory that each who runs it lends it, as G. run(addresses of _ARRAYS, _COUNTS) lets other threads of Python go on.
    """

    gram: Layout
    features: Tiling | Blocking | None
    beside: int
    scratch: int
    run: Callable[..., None]
    owner: Any  # the machine code lives as long as this


@cache
def kernel(
    n: int,
    k: int,
    P: int,
    single: bool,
    momentum: bool,
    beside: bool = False,
    sums: int | None = None,
    held: int | None = None,
) -> Kernel:
    """W ← W − η∇L for cells of Gram matrices (n, n) and k outputs, with looks at ‖∇L‖ between.

    Of each cell A = ηXXᵀ or ηXᵀX, B and Z as in `gram.py`. A step is Z ← Z − (ZA − B), with momentum V ← βV + (ZA − B),
    Z ← Z − V. After looks[0], looks[1], … steps ‖∇L‖ = ‖ZA − B‖ or, with P > 0, ‖(ZA − B)X‖, X (n, P), each times and
    over the cell's scale (2,), a power of two and what makes the norm whole; it ends where that norm is at most
    tolerance times the `largest` it had or, over the `first`, not at most divergence. norm: at its end; taken: looks.
    bounds: tolerance, divergence, momentum. single: float32; norms are float64. beside: cells side by side, to the same
    digits. sums: how many vectors the registers hold beside what is being multiplied. held: numbers of one of them.
    """
    sums, held = sums or registers() * 3 // 4, held or lanes_held(single)
    gram: Layout
    if beside:
        gram = Blocking.of(n, n, k, sums)
    elif triangles.fit(n, k, single):
        gram = Triangle.of(n, sums)
    else:
        gram = Tiling.of(n, n, k, sums, held)
    way, divided = (lanes, Blocking) if beside else (tiles, Tiling)
    features = divided.of(n, P, k, sums) if P else None
    code = Code("descent", _ARRAYS, _COUNTS, single)
    way.descend(code, gram, features, momentum)
    return Kernel(gram, features, way.BESIDE, way.scratch(gram, features, momentum), *code.compiled())
