"""Wider feature maps: where the threshold lies in N and P, and what polynomial fits look like (App. C)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from gdstudy.data.features import feature_map
from gdstudy.data.splits import split
from gdstudy.experiment.tables import Run
from gdstudy.study.config import Study
from gdstudy.study.models import Model
from gdstudy.views.figures.axes import cell_edges, count_ticks, fit_y, log_axes, shared_legend, threshold
from gdstudy.views.figures.curves import draw, draw_mean
from gdstudy.views.figures.labels import axis_label, data_label, main_label, sign
from gdstudy.views.figures.style import BLUE, CHOSEN, EXACT, FEATURES, ORANGE, ROWS, TEST, TRAIN, grid
from gdstudy.views.summary import Seen, by_size, closed_forms, median_map, nearest, select, several
from gdstudy.views.sweeps import main_training, parts

if TYPE_CHECKING:
    from gdstudy.data.dataset import Dataset

_TYPICAL = 40  # the swept size that is held nearest to this
_Map = tuple[Seen, Model, DataFrame]  # data set as it was seen, model, unablated rows


def _maps(run: Run) -> list[_Map]:
    """Each feature map with a P of its own."""
    found = [(seen, model, rows) for (seen, model), (rows, _) in parts(run).items()]
    return [(s, m, select(rows, ablation="none")) for s, m, rows in found if not m.autoencoder and not m.plain]


def _polynomials(run: Run) -> list[tuple[int, _Map]]:
    """Maps of one input, with the N at which they are shown, the middle one of several, and rows of X⁺y there."""
    found = []
    for seen, model, rows in _maps(run):
        if model.inputs == "interval":
            sizes = np.unique(rows["n_train"])
            n = int(sizes[len(sizes) // 2])
            found.append((n, (seen, model, select(rows, estimator="min_norm", n_train=n))))
    return found if any(several(rows, "n_parameters") for _, (_, _, rows) in found) else []


def polynomial_error(run: Run) -> Figure | None:
    """Test and train MSE of the least-norm polynomial against its number of coefficients P (App. C)."""
    shown = _polynomials(run)
    if not shown:
        return None
    figure, axes = grid("Does a polynomial without noise diverge too?", len(shown), height=2.8)
    for axis, (n, (seen, _, rows)) in zip(axes[0], shown, strict=True):
        test = by_size(rows, "test_mse", size="n_parameters")
        draw(axis, test, "test, median and quartiles", TEST)
        draw_mean(axis, test, "test, mean (may leave the panel)", TEST)
        draw(axis, by_size(rows, "train_mse", size="n_parameters"), "train, median and quartiles", TRAIN)
        log_axes(axis, FEATURES, axis_label("test_mse", "MSE"))
        fit_y(axis, 1e-6 * float(rows["test_mse"].min()))
        threshold(axis, n, "threshold P = N")
        count_ticks(axis)
        axis.set_title(f"{data_label(*seen)} (N = {n})")
    shared_legend(figure, *axes[0])
    return figure


def polynomial_fits(run: Run) -> Figure | None:
    """The target, the training rows of the first seed and the least-norm fit, below, at and above the threshold."""
    from gdstudy.data.loading import load_dataset  # with PyTorch, which no other figure of stored tables waits for

    if not (shown := _polynomials(run)):
        return None
    n, ((dataset, preprocess, _), model, rows) = shown[0]
    studied = np.unique(rows["n_parameters"])
    widths = sorted({nearest(studied, p) for p in (n / 3, n, 200 / 15 * n)})
    loaded = load_dataset(dataset, preprocess)
    seed = run.study.seeds[0]
    train, _ = split(len(loaded.X), n, seed)
    figure, axes = grid("What do polynomials below, at and above the threshold look like?", len(widths), height=2.4)
    for axis, P in zip(axes[0], widths, strict=True):
        features = partial(feature_map, model, P=P, seed=seed, intercept=run.study.intercept)
        clipped = _draw_fit(axis, features, loaded, train, seed)
        axis.set_title(f"P = {P} {sign(P, n)} N = {n}" + clipped)
    shared_legend(figure, *axes[0])
    return figure


def _draw_fit(
    axis: Axes, features: Callable[[np.ndarray], np.ndarray], loaded: Dataset, train: np.ndarray, seed: int
) -> str:
    """What to say of a fit that leaves the panel."""
    from gdstudy.closed_form.solutions import min_norm_solution

    W = min_norm_solution(features(loaded.X[train]), loaded.Y[train])
    low, high = loaded.X.min(), loaded.X.max()
    x = np.linspace(low, high, 2001)[:, None]
    fit = (features(x) @ W)[:, 0]
    axis.plot(x[:, 0], fit, color=BLUE, linewidth=1.3, label="least-norm polynomial X⁺y")
    axis.plot(loaded.X[:, 0], loaded.Y[:, 0], **EXACT, label="target, all data")
    rows = f"training rows of seed {seed}"
    axis.plot(loaded.X[train, 0], loaded.Y[train, 0], "o", color=ORANGE, markersize=4.5, label=rows)
    reach = np.ptp(loaded.Y)
    bottom, top = loaded.Y.min() - 0.5 * reach, loaded.Y.max() + 0.5 * reach
    axis.set(xlabel="x (no unit)", ylabel="y (no unit)", ylim=(bottom, top))
    outside = fit.min() < bottom or fit.max() > top
    return f"\nclipped: the fit reaches |y| = {np.abs(fit).max():.2g}" if outside else ""


def feature_grid(run: Run) -> Figure | None:
    """Median test MSE of X⁺y over N and P: the ridge follows N = P."""
    shown = [found for found in _maps(run) if several(found[2], "n_train", "n_parameters")]
    if not shown:
        return None
    across = min(len(shown), 2)
    figure, axes = grid("Does the divergence follow N = P whichever is swept?", across, -(-len(shown) // across))
    for axis in axes.flat[len(shown) :]:
        axis.remove()
    for axis, (seen, model, rows) in zip(axes.flat, shown, strict=False):
        exact = select(rows, estimator="min_norm")
        widths, sizes, medians = median_map(exact, "test_mse", "n_parameters")
        values = np.log10(np.where(np.isfinite(medians), medians, np.nan))
        image = axis.pcolormesh(cell_edges(sizes), cell_edges(widths), values, cmap="cividis", rasterized=True)
        log_axes(axis, ROWS, FEATURES)
        both = (max(cell_edges(sizes)[0], cell_edges(widths)[0]), min(cell_edges(sizes)[-1], cell_edges(widths)[-1]))
        axis.plot(both, both, color=ORANGE, linestyle=":", linewidth=1.8, label="threshold N = P")
        count_ticks(axis, both=True)
        axis.grid(False)
        figure.colorbar(image, ax=axis, label="log₁₀ median test MSE", pad=0.02)
        axis.set_title(f"{data_label(*seen)}\n{model.label}")
    shared_legend(figure, *axes.flat[: len(shown)])
    return figure


def feature_sweeps(run: Run) -> Figure | None:
    """Test MSE against N at a fixed P, and against P at a fixed N: X⁺y and trained GD."""
    shown = [
        (seen, model, rows)
        for seen, model, rows in _maps(run)
        # Polynomials along P have a figure of their own.
        if several(rows, "n_train") or (model.inputs == "any" and several(rows, "n_parameters"))
    ]
    if not shown:
        return None
    figure, axes = grid("Does the test error peak at N = P whichever is swept?", len(shown), 2, height=2.2)
    for column, (seen, model, rows) in zip(axes.T, shown, strict=True):
        P, N = (nearest(np.unique(rows[name]), _TYPICAL) for name in ("n_parameters", "n_train"))
        fixed = (
            (select(rows, n_parameters=P), "n_train", ROWS, P),
            (select(rows, n_train=N), "n_parameters", FEATURES, N),
        )
        for axis, (part, size, label, value) in zip(column, fixed, strict=True):
            _draw_sweep(axis, run.study, part, size)
            log_axes(axis, label, axis_label("test_mse"))
            fit_y(axis)
            threshold(axis, value)
            count_ticks(axis)
        column[0].set_title(f"{data_label(*seen)}\n{model.label}, P = {P}".replace(", ", "\n"))
        column[1].set_title(f"{model.label}, N = {N}")
    shared_legend(figure, *axes.flat)
    return figure


def _draw_sweep(axis: Axes, study: Study, rows: DataFrame, size: str) -> None:
    draw(axis, by_size(select(rows, estimator="min_norm"), "test_mse", size), "X⁺y, median and quartiles", BLUE)
    for (form, _), chosen in closed_forms(rows).items():
        if not form.levels:
            draw(axis, by_size(chosen, "test_mse", size), f"{form.label}, median and quartiles", CHOSEN)
    if len(trained := select(rows, estimator=main_training(study))):
        label = f"trained {main_label(study)}, median and quartiles"
        draw(axis, by_size(trained, "test_mse", size), label, ORANGE, linestyle="--")
