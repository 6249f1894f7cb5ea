"""Sections on readouts: pure steps, `gradient_descent` end to end, and the time until all cells are there."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator

import numpy as np
import torch

from gdstudy import gradient_descent
from tests.benchmarks import ours, peers
from tests.benchmarks.cells import Cells, cells
from tests.benchmarks.measure import (
    Contestant,
    Row,
    Settings,
    check_agreement,
    rows,
    side_by_side,
    steps_that_take,
)

HAS_JAX = importlib.util.find_spec("jax") is not None
CHECKED = 64  # steps after which all must have the same weights


def seeds_of(P: int) -> int:
    return 50 if P < 64 else 5


def steppers() -> dict[str, Callable[[Cells], peers.Stepper]]:
    """Who takes steps beside gdstudy, of those that are installed."""
    from_torch = {
        "a: nn.Linear + SGD, a loop over cells": peers.torch_loop,
        "b: torch.func.vmap(grad)": peers.torch_vmap,
    }
    if not HAS_JAX:
        return {**from_torch, "e: NumPy, one cell at a time": peers.numpy_loop}
    from tests.benchmarks import jax_peers

    from_jax = {"c: JAX vmap(grad) + scan": jax_peers.vmap, "d: JAX on Gram matrices": jax_peers.gram}
    return {**from_torch, **from_jax, "e: NumPy, one cell at a time": peers.numpy_loop}


def steps(P: int, k: int, settings: Settings) -> list[Row]:
    """One step of all cells, by everyone; set-up is not timed."""
    of = cells(P, k, seeds_of(P))
    own, way = ours.stepper(of)
    takers = {"gdstudy": own, **{name: make(of) for name, make in steppers().items()}}
    for taker in takers.values():
        taker.advance(CHECKED)
    reached = own.weights()
    contestants = {}
    for name, taker in takers.items():
        check_agreement(reached[taker.cells], taker.weights(), f"steps, P={P}, k={k}, {name}")
        n_steps = steps_that_take(settings.seconds, taker.advance)
        share, scale = len(taker.cells) < len(of), len(of) / len(taker.cells)
        contestants[name] = Contestant(
            lambda taker=taker, n_steps=n_steps: taker.advance(n_steps),
            units=n_steps,
            scale=scale,
            sampled=f"{len(taker.cells)} of {len(of)} cells, scaled" if share else "",
            compile_seconds=taker.compile_seconds or None,
        )
    base = Row("steps", "one step of all cells", "", P=P, k=k, cells=len(of), note=f"by {way}")
    thousand = {"a:": 1000.0} if P <= 20 and k == 1 else {}
    return rows(base, contestants, side_by_side(contestants, settings), {"c:": 4.0, "d:": 1.5, **thousand})


def fit(P: int, k: int, settings: Settings) -> list[Row]:
    """1000 steps by the public function, over its own pure steps, and over JAX, both from arrays to weights."""
    n_steps = 1000
    of = cells(P, k, seeds_of(P))
    gram, reached = ours.engine(of), []

    def whole() -> None:
        (state,) = gradient_descent(of.X, of.Y, n_steps, step_size=of.eta, tolerance=0, n_rows=of.n_rows)
        reached[:] = [state.W]

    contestants = {"gdstudy.gradient_descent": Contestant(whole)}
    contestants["its own steps alone"] = Contestant(lambda: gram.advance(n_steps))
    whole()
    if HAS_JAX:
        from tests.benchmarks import jax_peers

        def by_jax() -> np.ndarray:
            descent = jax_peers.Gram(of)
            descent.advance(n_steps)
            return descent.weights()

        compiled = jax_peers.gram(of).compile_seconds
        # Cells that take so many steps as they have modes left to learn differ by κ² roundings.
        check_agreement(reached[0], by_jax(), f"fit, P={P}, k={k}, JAX")
        contestants["d: JAX on Gram matrices"] = Contestant(by_jax, compile_seconds=compiled)
    gram.advance(8)
    base = Row("fit", f"{n_steps} steps end to end", "", "a fit", P, k, len(of), n_steps, note=f"by {ours.way(gram)}")
    wanted = {"its own": 1 / 1.3, "d:": 1.0}
    return rows(base, contestants, side_by_side(contestants, settings), wanted)


CERTIFIED, MOST_STEPS = 1e-6, 100_000


def reachable(of: Cells) -> tuple[np.ndarray, np.ndarray]:
    """(cells whose ‖W_t − X⁺Y‖_F falls to 1e-6 of ‖X⁺Y‖_F within 10⁵ steps, their limits (c, P, k))."""
    U, s, Vt = np.linalg.svd(of.X, full_matrices=False)
    there = s > 1e-12 * s[:, :1]
    share = np.where(there, (U.mT @ of.Y).transpose(2, 0, 1) / np.where(there, s, 1), 0)  # (k, C, R)
    left = np.where(there, 1 - of.eta[:, None] * s**2, 0) ** MOST_STEPS
    distance = np.linalg.norm(share * left, axis=(0, 2)) / np.linalg.norm(share, axis=(0, 2))
    # Not those that are just there at the end: with them it would be a matter of rounding.
    some = np.flatnonzero(distance <= 0.9 * CERTIFIED)
    return some, (Vt.mT @ share.transpose(1, 2, 0))[some]


def intervals() -> Iterator[int]:
    """Steps from look to look: after every 64th part of those taken."""
    t = 0
    while t < MOST_STEPS:
        n_steps = min(MOST_STEPS - t, max(1, t // 64))
        t += n_steps
        yield n_steps


def certificate(P: int, settings: Settings) -> list[Row]:
    """Until all cells that can are within 1e-6 of X⁺y. Finished cells leave ours; JAX looks as often, and keeps them.

    The public function stops by the gradient, with the tolerance that says so of every cell: it takes more steps.
    """
    of = cells(P, 1, seeds_of(P))
    some, limit = reachable(of)
    of = of.at(some)
    size = np.linalg.norm(limit, axis=(1, 2))
    limits, sizes = torch.from_numpy(limit), torch.from_numpy(size)

    # Of the gradient, which is what the public function is told: what every cell has at that distance.
    X, Y, n_rows = of.X, of.Y, of.n_rows
    s = np.linalg.svd(X, compute_uv=False)
    least = np.array([row[row > 1e-12 * row[0]][-1] for row in s])
    tolerance = float((CERTIFIED * least**2 * size / np.linalg.norm(X.mT @ Y, axis=(1, 2))).min())

    def public() -> None:
        *_, state = gradient_descent(X, Y, 2 * MOST_STEPS, step_size=of.eta, tolerance=tolerance, n_rows=n_rows)
        assert (state.distance <= CERTIFIED).all()

    contestants = {"gdstudy.gradient_descent": Contestant(public)}

    def dropping() -> None:
        engine, looks = ours.engine(of), intervals()
        while len(engine.cells):
            engine.advance(next(looks))
            gap = torch.linalg.vector_norm(engine.solution() - limits[engine.cells], dim=(1, 2))
            engine.keep(gap > CERTIFIED * sizes[engine.cells])

    contestants["its engine, stopped by distance"] = Contestant(dropping)
    if HAS_JAX:
        from tests.benchmarks import jax_peers

        compiled = jax_peers.gram(of).compile_seconds

        def by_jax() -> None:
            descent = jax_peers.Gram(of)
            for n_steps in intervals():
                descent.advance(n_steps)
                if (np.linalg.norm(descent.weights() - limit, axis=(1, 2)) <= CERTIFIED * size).all():
                    return

        contestants["d: JAX on Gram matrices"] = Contestant(by_jax, compile_seconds=compiled)
    base = Row(
        "certificate", "distance ≤ 1e-6", "", "for all cells", P, 1, len(of), note=f"by {ours.way(ours.engine(of))}"
    )
    samples = side_by_side(contestants, settings, rounds=2 if settings.quick else 3)
    return rows(base, contestants, samples, {"d:": 5.0})
