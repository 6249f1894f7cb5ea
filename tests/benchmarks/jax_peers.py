"""What a user of JAX would write instead: the plain way, and by hand on Gram matrices. Float64; compiled before timed.

Nothing is imported from gdstudy. The Gram version is meant to be as fast as JAX gets on a CPU; what was tried and was
slower: sums of products instead of dots (which XLA fuses, but not into SIMD lanes), cells in the last axis, unrolled
loops, and whole groups at once, which leave the cache (two to four times slower at P = 20 to 256).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.benchmarks.cells import Cells
from tests.benchmarks.peers import Stepper

jax.config.update("jax_enable_x64", True)

# Gram matrices of this many bytes stay in a core's second cache while all steps are taken on them.
CHUNK_BYTES = 1 << 18
N_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - began


def _loss(W: Any, X: Any, Y: Any) -> Any:
    return 0.5 * jnp.sum((X @ W - Y) ** 2)


@partial(jax.jit, static_argnames="n_steps")
def _scan(W: Any, X: Any, Y: Any, eta: Any, n_steps: int) -> Any:
    gradient = jax.vmap(jax.grad(_loss))

    def step(W: Any, _: None) -> tuple[Any, None]:
        return W - eta[:, None, None] * gradient(W, X, Y), None

    return lax.scan(step, W, None, length=n_steps)[0]


def vmap(cells: Cells) -> Stepper:
    """(c) jit, vmap(grad) and lax.scan, as JAX's own tutorials have it: cells padded to one size."""
    X, Y, eta = (jnp.asarray(a) for a in (cells.X, cells.Y, cells.eta))
    W = jnp.zeros((len(cells), X.shape[2], Y.shape[2]))
    block = 64 if X.nbytes < 1 << 24 else 8  # a scan's length is compiled in
    seconds = timed(lambda: _scan(W, X, Y, eta, block))

    def advance(n_steps: int) -> None:
        nonlocal W
        for _ in range(n_steps // block):
            W = _scan(W, X, Y, eta, block)
        if n_steps % block:
            W = _scan(W, X, Y, eta, n_steps % block)
        W.block_until_ready()

    return Stepper(advance, lambda: np.asarray(W), np.arange(len(cells)), seconds)


@partial(jax.jit, static_argnames="column")
def _descend(n_steps: Any, groups: Any, Z: Any, column: bool) -> Any:
    """Steps of all groups; a chunk of cells takes all of its steps before the next. A: (chunks, c, n, n).

    B, Z: (chunks, c, n, 1) where an output is a column, else (chunks, c, k, n): rows of several are the faster order.
    """

    def chunk(of: Any) -> Any:
        A, B, Z = of
        return lax.fori_loop(0, n_steps, lambda _, Z: Z - ((A @ Z if column else Z @ A) - B), Z)

    return [lax.map(chunk, (A, B, z)) for (A, B), z in zip(groups, Z, strict=True)]


class Gram:
    """(d) By hand: η XᵀX and η XᵀY once, the smaller of N and P (W = Xᵀα where N < P), chunks that stay in cache, a
    thread on each core, and one compiled loop for any number of steps."""

    def __init__(self, cells: Cells) -> None:
        self.shape = (len(cells), cells.X.shape[2], cells.Y.shape[2])
        self.k, P = cells.Y.shape[2], cells.X.shape[2]
        self.descend = partial(_descend, column=self.k == 1)
        unit = max(8, P // 8)  # sizes of dual problems: few loops to compile, little padding
        size = np.minimum(-(-cells.n_rows // unit) * unit, P)
        self.of_group = [(n, np.flatnonzero(size == n)) for n in np.unique(size)]
        self.cells = cells
        groups = [self._chunks(n, some) for n, some in self.of_group]
        self.X = [None if n == P else cells.X[some, :n] for n, some in self.of_group]
        # Whole chunks to each core, the same number to each, so that one loop is compiled for all.
        self.parts = [[(A[core], B[core]) for A, B in groups] for core in range(N_CORES)]
        self.Z = [[jnp.zeros_like(B) for _, B in part] for part in self.parts]

    def _chunks(self, n: int, some: np.ndarray) -> tuple[Any, Any]:
        """η times Gram matrices and right-hand sides: (cores, chunks, c, n, n) and (cores, chunks, c, …)."""
        X, Y, eta = self.cells.X[some], self.cells.Y[some], self.cells.eta[some, None, None]
        if n == X.shape[2]:
            A, B = eta * (X.mT @ X), eta * (X.mT @ Y)
        else:
            A, B = eta * (X[:, :n] @ X[:, :n].mT), eta * Y[:, :n]
        B = B if self.k == 1 else B.mT
        most = max(1, CHUNK_BYTES // A[0].nbytes)
        chunks = -(-len(A) // (most * N_CORES))
        c = -(-len(A) // (chunks * N_CORES))
        padding = ((0, N_CORES * chunks * c - len(A)), (0, 0), (0, 0))
        return tuple(jnp.asarray(np.pad(a, padding).reshape(N_CORES, chunks, c, *a.shape[1:])) for a in (A, B))

    def advance(self, n_steps: int) -> None:
        def one(core: int) -> None:
            self.Z[core] = jax.block_until_ready(self.descend(n_steps, self.parts[core], self.Z[core]))

        if N_CORES == 1:
            return one(0)
        with ThreadPoolExecutor(N_CORES) as pool:
            list(pool.map(one, range(N_CORES)))

    def weights(self) -> np.ndarray:
        W = np.empty(self.shape)
        for number, ((_, some), X) in enumerate(zip(self.of_group, self.X, strict=True)):
            Z = np.concatenate([np.asarray(part[number]) for part in self.Z])
            Z = Z.reshape(-1, *Z.shape[2:])[: len(some)]
            Z = Z if self.k == 1 else Z.mT
            W[some] = Z if X is None else X.mT @ Z
        return W


def gram(cells: Cells) -> Stepper:
    """(d) as a Stepper."""
    descent = Gram(cells)
    seconds = timed(lambda: descent.descend(0, descent.parts[0], descent.Z[0]))
    return Stepper(descent.advance, descent.weights, np.arange(len(cells)), seconds)
