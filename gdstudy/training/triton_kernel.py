"""Gradient descent on one cell as one program of a GPU, all its steps and looks in one launch, by Triton (`fused.py`).

Of each cell A = ηXXᵀ or ηXᵀX, (width, width), and B, Z, V, (k, width), are as in `gram.py`, X is (width, P); what is
beyond the cell's own size is zero. Nothing that a program computes depends on another.
"""

import triton
import triton.language as tl


@triton.jit
def _product(held, A, Z, z, width, SIZE: tl.constexpr, ROWS: tl.constexpr):
    """zA of z (SIZE,), with A held in registers or, where ROWS < SIZE, read from memory by ROWS rows, as is z from Z.

    Sums go down the columns of A: within a thread as far as they can, and between threads once.
    """
    if ROWS == SIZE:
        total = held * z[:, None]
    else:
        column = tl.arange(0, SIZE)[None, :]
        total = tl.zeros([ROWS, SIZE], held.dtype)
        for begin in range(0, width, ROWS):  # both are multiples of 8
            row = begin + tl.arange(0, ROWS)
            part = tl.load(A + row[:, None] * width + column, mask=column < width, other=0.0)
            total += part * tl.load(Z + row)[:, None]
    return tl.sum(total, 0)


@triton.jit
def _square(values, unit):
    """In float64, without the unit of what is squared."""
    plain = values.to(tl.float64) * unit
    return plain * plain


@triton.jit
def _squares(g, unit, X, P, width, SIZE: tl.constexpr, FEATURES: tl.constexpr):
    """What ‖gX‖² is the sum of, times unit²: (FEATURES,)."""
    row = tl.arange(0, SIZE)[:, None]
    total = tl.zeros([FEATURES], tl.float64)
    for begin in range(0, P, FEATURES):
        feature = begin + tl.arange(0, FEATURES)[None, :]
        part = tl.load(X + row * P + feature, mask=(row < width) & (feature < P), other=0.0)
        total += _square(tl.sum(part * g[:, None], 0), unit)
    return total


@triton.jit
def _steps(held, A, B, Z, V, beta, steps, width, SIZE: tl.constexpr, ROWS: tl.constexpr, MOMENTUM: tl.constexpr):
    """So many steps of one output; B, Z, V: its rows. Z and V are in memory then, and z (SIZE,) and b are returned."""
    at = tl.arange(0, SIZE)
    inside = at < width
    b = tl.load(B + at, mask=inside, other=0.0)
    z = tl.load(Z + at, mask=inside, other=0.0)
    v = z
    if MOMENTUM:
        v = tl.load(V + at, mask=inside, other=0.0)
    for _ in range(0, steps):
        g = _product(held, A, Z, z, width, SIZE, ROWS) - b
        if MOMENTUM:
            v = beta * v + g
            z = z - v
        else:
            z = z - g
        if ROWS < SIZE:
            # Threads read what others have stored: not before it is there, and before it goes.
            tl.debug_barrier()
            tl.store(Z + at, z, mask=inside)
            tl.debug_barrier()
    if ROWS == SIZE:
        tl.store(Z + at, z, mask=inside)
    if MOMENTUM:
        tl.store(V + at, v, mask=inside)
    tl.debug_barrier()
    return z, b


@triton.jit(do_not_specialize=["n_looks", "looking", "k", "P"])
def descent(
    A, B, Z, V, X, first, largest, norm, scale, bounds, looks, taken, running,
    n_looks, looking, k, width, P,
    SIZE: tl.constexpr, ROWS: tl.constexpr, FEATURES: tl.constexpr, MOMENTUM: tl.constexpr,
):  # fmt: skip
    """Z ← Z − (ZA − B) or, with MOMENTUM, V ← βV + (ZA − B), Z ← Z − V: looks[0], looks[1], … steps of a cell.

    After each, if `looking`, ‖∇L‖ = ‖ZA − B‖ or, with FEATURES > 0, ‖(ZA − B)X‖, and the end of a cell, as in
    `kernel.kernel`, whose norm, largest, taken, scale and bounds these are; running (C,): it has not ended.
    SIZE: the power of two that holds width. FEATURES: columns of X at once.
    """
    cell = tl.program_id(0).to(tl.int64)  # offsets of many cells go beyond 32 bits
    A += cell * width * width
    X += cell * width * P
    rows = cell * k * width  # of B, Z and V
    column = tl.arange(0, SIZE)
    held = tl.zeros([ROWS, SIZE], A.dtype.element_ty)
    if ROWS == SIZE:
        inside = (column[:, None] < width) & (column[None, :] < width)
        held = tl.load(A + column[:, None] * width + column[None, :], mask=inside, other=0.0)
    tolerance, divergence = tl.load(bounds), tl.load(bounds + 1)
    beta = tl.load(bounds + 2).to(A.dtype.element_ty)
    unit, whole = tl.load(scale + 2 * cell), tl.load(scale + 2 * cell + 1)
    going = tl.load(running + cell) != 0
    for look in range(0, n_looks):
        if going:
            steps = tl.load(looks + look)
            squares = tl.zeros([FEATURES if FEATURES > 0 else SIZE], tl.float64)
            for output in range(0, k):
                row = rows + output * width
                z, b = _steps(held, A, B + row, Z + row, V + row, beta, steps, width, SIZE, ROWS, MOMENTUM)
                if looking != 0:
                    g = _product(held, A, Z + row, z, width, SIZE, ROWS) - b
                    if FEATURES > 0:
                        squares += _squares(g, unit, X, P, width, SIZE, FEATURES)
                    else:
                        squares += _square(g, unit)
            if looking != 0:
                size = tl.sqrt(tl.sum(squares, 0)) * whole
                top = tl.load(largest + cell)
                top = tl.where(size > top, size, top)
                tl.store(norm + cell, size)
                tl.store(largest + cell, top)
                tl.store(taken + cell, tl.load(taken + cell) + 1)
                going = (size / tl.load(first + cell) <= divergence) & (size > tolerance * top)
                tl.debug_barrier()
    tl.store(running + cell, going.to(tl.int32))
