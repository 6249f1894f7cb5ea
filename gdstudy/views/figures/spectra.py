"""Singular values near N = P: how small they get (Fig. 5), why (App. A), and whose they are (App. C, D)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from gdstudy.data.features import feature_map
from gdstudy.data.splits import split
from gdstudy.experiment.tables import Run
from gdstudy.study.datasets import PREPROCESSES, known
from gdstudy.views.figures.axes import fit_y, shared_legend
from gdstudy.views.figures.curves import draw, draw_mean
from gdstudy.views.figures.labels import axis_label, place, sign
from gdstudy.views.figures.panels import Panel, against_n, panels, swept, trained_panels
from gdstudy.views.figures.style import BLUE, ORANGE, SKY, WIDEST, blank, grid
from gdstudy.views.summary import by_size, representative_sizes

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
    """Why σ_R is smallest at N = P, in three dimensions (App. A): N rows of a cloud, and their singular directions.

    Fewer rows than features lie far apart and span few directions; many rows fill all of them. As many rows as
    features span all directions, but the last one only by what the other rows happen to leave of it.
    """
    if not swept(panels(run)):
        return None
    X = _cloud(typical_seed())
    figure = blank("Why is the smallest singular value smallest at N = P?", WIDEST, 2.6)
    for k, n in enumerate(_SIZES):
        _draw_directions(figure.add_subplot(1, len(_SIZES), k + 1, projection="3d"), X, n)
    shared_legend(
        figure,
        *figure.axes,
        note=f"P = 3 features, in units of X. Bars: right singular vectors v_r of the training rows, ± 2σ_r/√N long. "
        f"Of {_SEEDS} random clouds, the one whose three smallest σ rank nearest to their medians.",
    )
    return figure


def _draw_directions(axis: Any, X: np.ndarray, n: int) -> None:
    rows = X[:n]
    _, s, Vt = np.linalg.svd(rows, full_matrices=False)
    inside = X[n:][(np.abs(X[n:]) < 2).all(1)]
    axis.computed_zorder = False  # the shortest bar is to be seen
    axis.scatter(*inside.T, color="0.6", s=4, alpha=0.3, linewidth=0, label="_data", depthshade=False)
    axis.plot([], [], [], "o", color="0.6", markersize=3, label="data")  # in the legend, where it is seen
    for r, (sigma, v) in enumerate(zip(s, Vt, strict=True)):
        last, end = r == len(s) - 1, 2 * v * sigma / np.sqrt(n)
        colour, label = (ORANGE, "weakest direction") if last else (SKY, "other directions")
        axis.plot(*zip(-end, end, strict=True), color=colour, linewidth=3.5, label=label, zorder=4 if last else 2)
    for row in rows:
        axis.plot(*zip(np.zeros(3), row, strict=True), color=BLUE, linewidth=0.9, label="_from the origin", zorder=3)
    axis.plot(*rows.T, "o", color=BLUE, markersize=5, label="training rows", zorder=3)
    axis.set_title(f"N = {n} {sign(n, 3)} P\nσ_R = {s[-1]:.2f}, σ_R/√N = {s[-1] / np.sqrt(n):.2f}", y=0.94)
    axis.set(xlabel="x₁", ylabel="x₂", zlabel="x₃", xlim=(-2, 2), ylim=(-2, 2), zlim=(-2, 2))
    axis.set_box_aspect((1, 1, 1), zoom=0.92)
    axis.view_init(elev=15, azim=60)
    for scale in (axis.xaxis, axis.yaxis, axis.zaxis):
        scale.set_ticks([-2, 2])  # between them stand the labels
        scale.labelpad = -10


def shared_spectrum(run: Run) -> Figure | None:
    """Eigenvalues of XXᵀ (N × N) and of XᵀX (P × P) of the first seed below, at and above N = P (App. C, D).

    They are the same but for |N − P| zeros: XXᵀ, along which the residuals of descent fall, is invertible where
    N ≤ P, and XᵀX, of which the solution is made, where N ≥ P.
    """
    shown = [
        (panel, X) for panel in trained_panels(run) or panels(run, raw=True) if (X := _features(panel)) is not None
    ]
    if not shown or not swept([panel for panel, _ in shown]):
        return None
    figure, axes = grid("Do XXᵀ and XᵀX share their spectrum?", len(shown))
    seed = run.study.seeds[0]
    for axis, (panel, X) in zip(axes[0], shown, strict=True):
        sizes = representative_sizes(panel.exact["n_train"].to_numpy(), panel.P)
        for n in sizes:
            colour, label = place(n, panel.P)
            rows = X[split(len(X), n, seed)[0]]
            gram, moments = _eigenvalues(rows @ rows.T, max(rows.shape)), _eigenvalues(rows.T @ rows, max(rows.shape))
            axis.plot(np.arange(n) + 1, gram, "o", color=colour, markersize=6, fillstyle="none", label=f"XXᵀ, {label}")
            axis.plot(np.arange(panel.P) + 1, moments, ".-", color=colour, linewidth=0.8, label=f"XᵀX, {label}")
        axis.set(yscale="log", xlabel="eigenvalue r (number)", ylabel="eigenvalue (squared units of X)")
        axis.xaxis.get_major_locator().set_params(integer=True)
        fit_y(axis)
        axis.set_title(f"{panel.title()}\nN = {', '.join(map(str, sizes))}")
    note = (
        f"Training rows of seed {seed}. All but |N − P| zeros are shared: the Gram matrix XXᵀ, by which residuals of "
        "descent fall, is invertible where N ≤ P, the second-moment matrix XᵀX where N ≥ P."
    )
    shared_legend(figure, *axes[0], note=note)
    return figure


def _features(panel: Panel) -> np.ndarray | None:
    """All rows as the panel's model saw them; None of what is somebody's own or downloaded: a run names it only."""
    from gdstudy.data.loading import load_dataset  # with PyTorch, which no other figure of stored tables waits for

    dataset, preprocess, noise = panel.seen
    facts = known(dataset)
    if facts.external or facts.missing or noise or PREPROCESSES[preprocess].by_training:
        return None
    X = load_dataset(dataset, preprocess, synthetic=panel.study.synthetic).clean()
    return feature_map(panel.model, X, P=panel.P, seed=panel.study.seeds[0], intercept=panel.study.intercept)


def _eigenvalues(symmetric: np.ndarray, of: int) -> np.ndarray:
    """In decreasing order; 0 where rounding cannot tell them from it, in matrices of so many rows or columns."""
    values = np.linalg.eigvalsh(symmetric)[::-1]
    return np.where(values > of * np.finfo(float).eps * values[0], values, 0)
