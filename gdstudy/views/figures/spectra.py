"""Singular values near N = P: how small they get (Fig. 5), and why (App. A)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from gdstudy.experiment.tables import Run
from gdstudy.views.figures.axes import shared_legend
from gdstudy.views.figures.curves import draw, draw_mean
from gdstudy.views.figures.labels import axis_label, sign
from gdstudy.views.figures.panels import against_n, panels, swept
from gdstudy.views.figures.style import BLUE, DPI, ORANGE, SKY, grid
from gdstudy.views.summary import by_size

_SCALES = np.array([1.0, 0.7, 0.5])  # standard deviations of the cloud's three features
_SIZES = (2, 3, 12)
_SEEDS = 101


def smallest_singular_value(run: Run) -> Figure | None:
    """The smallest non-zero singular value of the training features against N (Fig. 5)."""
    shown = panels(run, raw=True)
    if not swept(shown):
        return None
    figure, axes = grid("Where are the training features weakest?", len(shown))
    for axis, panel in zip(axes[0], shown, strict=True):
        curve = by_size(panel.exact, "smallest_singular_value")
        draw(axis, curve, "smallest non-zero singular value, median and quartiles", BLUE)
        draw_mean(axis, curve, "mean", BLUE)
        against_n(axis, panel, axis_label("smallest_singular_value"))
    shared_legend(figure, *axes[0])
    return figure


def _cloud(seed: int) -> np.ndarray:
    """300 points of a Gaussian cloud with three features; the first N are the training rows."""
    return np.random.default_rng(seed).standard_normal((300, 3)) * _SCALES


def typical_seed() -> int:
    """The seed of 101 whose smallest singular values at N = 2, 3, 12 rank nearest to the middle, all in all."""
    smallest = np.array([[np.linalg.svd(_cloud(s)[:n])[1][-1] for n in _SIZES] for s in range(_SEEDS)])
    ranks = smallest.argsort(0).argsort(0)
    return int(np.abs(ranks - _SEEDS // 2).sum(1).argmin())


def singular_directions(run: Run) -> Figure | None:
    """Why σ_R is smallest at N = P, in three dimensions (App. A): a cloud, N of its rows, their directions.

    Fewer rows than features lie far apart and span few directions; many rows fill all of them. As many rows as
    features span all directions, but the last one only by what the other rows happen to leave of it.
    """
    if not swept(panels(run)):
        return None
    X = _cloud(typical_seed())
    figure = Figure(figsize=(11.5, 4.4), layout="constrained", dpi=DPI)
    figure.suptitle("Why is the smallest singular value smallest at N = P?")
    for k, n in enumerate(_SIZES):
        _draw_directions(figure.add_subplot(1, 3, k + 1, projection="3d"), X, n)
    shared_legend(
        figure,
        *figure.axes,
        note=f"P = 3 features. Lines: right singular vectors of the training rows, ± σ/√N long. "
        f"Of {_SEEDS} random clouds, the one whose three smallest σ rank nearest to their medians.",
    )
    return figure


def _draw_directions(axis: Any, X: np.ndarray, n: int) -> None:
    rows = X[:n]
    _, s, Vt = np.linalg.svd(rows, full_matrices=False)
    inside = X[(np.abs(X) < 2).all(1)]
    axis.scatter(*inside.T, color="0.55", s=7, alpha=0.45, linewidth=0, label="data", depthshade=False)
    axis.scatter(*rows.T, color=BLUE, s=36, depthshade=False, label="training rows")
    for r, (sigma, v) in enumerate(zip(s, Vt, strict=True)):
        last = r == len(s) - 1
        end = v * sigma / np.sqrt(n)
        colour, width = (ORANGE, 3.5) if last else (SKY, 2)
        label = "weakest direction" if last else "other directions"
        axis.plot(*zip(-end, end, strict=True), color=colour, linewidth=width, label=label)
    axis.set_title(f"N = {n} {sign(n, 3)} P: smallest σ = {s[-1]:.2f}, σ/√N = {s[-1] / np.sqrt(n):.2f}")
    axis.set(xlabel="x₁ (units of X)", ylabel="x₂ (units of X)", zlabel="x₃ (units of X)")
    axis.set(xlim=(-2, 2), ylim=(-2, 2), zlim=(-2, 2))
    axis.set_box_aspect((1, 1, 1), zoom=0.85)
    axis.view_init(elev=20, azim=-60)
    for scale in (axis.xaxis, axis.yaxis, axis.zaxis):
        scale.set_ticks([-2, 0, 2])
