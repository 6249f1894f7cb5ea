"""The toy ReLU autoencoder of Henighan et al. (2023): its test loss, what it stores, and whether its peak is real.

N: training data, their T; m: hidden units. Losses are shares of the inputs' energy: 1 for an output of zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from pandas import DataFrame

from gdstudy.experiment.tables import Run
from gdstudy.views.figures.axes import cell_edges, count_ticks, fit_y, log_axes, shared_legend, threshold
from gdstudy.views.figures.curves import draw
from gdstudy.views.figures.labels import data_label, main_label
from gdstudy.views.figures.style import BLACK, BLUE, GREEN, GREY, LOST, ORANGE, OWN, PINK, ROWS, grid, level_colours
from gdstudy.views.summary import best_by_training, by_size, median_map, relative, select, several
from gdstudy.views.sweeps import Sweep, main_training, parts, sweeps

_TEST, _TRAIN = "relative_test_mse", "relative_train_mse"
_UPDATE = (
    "Henighan et al. called the peak an artefact of optimisation in their update of July 2023: "
    "with tuned step sizes, memorising is best for longer."
)


def _sweeps(run: Run) -> list[Sweep]:
    """Along N at the smallest m."""
    found = [sweep for sweep in sweeps(run) if sweep.model.has_regimes and sweep.size == "n_train"]
    return [sweep for sweep in found if several(sweep.rows, "n_train")]


def _worst(rows: DataFrame) -> int:
    """The N of the largest median test loss."""
    curve = by_size(rows, _TEST)
    return int(curve.x[curve.median.argmax()])


def _finish(axis: Axes, ylabel: str, worst: int | None = None) -> None:
    axis.set(xscale="log", xlabel=ROWS, ylabel=ylabel)
    axis.set_ylim(bottom=0)
    if worst is not None:
        threshold(axis, worst, "worst median test loss")
    count_ticks(axis)


def superposition_loss(run: Run) -> Figure | None:
    """Along N: test and training loss, dimensions that data points and features have to themselves, ‖W‖."""
    shown = _sweeps(run)
    if not shown:
        return None
    title = "Where between memorising and generalising is the test loss worst?"
    figure, axes = grid(title, 3, len(shown), height=2.3)
    for (loss, dimension, norm), sweep in zip(axes, shown, strict=True):
        rows, worst = sweep.rows, _worst(sweep.rows)
        m = int(sweep.first("n_hidden"))
        draw(loss, sweep.median(rows, _TEST), "test", BLUE, linewidth=2)
        draw(loss, sweep.median(rows, _TRAIN), "train", ORANGE, linewidth=2)
        loss.axhline(1, color=BLACK, linestyle="--", linewidth=1, label="output of zero")
        shared = rows.assign(stored=rows["data_point_dimension"] * np.maximum(1, rows["n_train"] / m))
        draw(dimension, sweep.median(shared, "stored"), "a data point, times N/m", PINK, linewidth=2)
        draw(dimension, sweep.median(rows, "feature_dimension"), "a feature", GREEN, linewidth=2)
        draw(norm, sweep.median(rows, "weight_norm"), "norm of the weights", GREY, linewidth=2)
        _finish(loss, LOST, worst)
        _finish(dimension, OWN, worst)
        _finish(norm, "‖W‖ (no unit)", worst)
        loss.set_title(f"{data_label(*sweep.seen)}, m = {m}: loss")
        dimension.set_title("who shares the hidden dimensions")
        norm.set_title("size of the weights")
    note = f"Trained with {main_label(run.study)}. Data points at 1: all N share the m dimensions. {_UPDATE}"
    shared_legend(figure, *axes.flat, note=note)
    return figure


def _pictures(run: Run) -> tuple[Sweep, DataFrame] | None:
    """The first sweep with pictures of two hidden units, and these."""
    for sweep in _sweeps(run):
        pictures = select(run.arrays, **sweep.keys, n_hidden=2, estimator=sweep.main)
        if len(pictures) and sweep.first("n_hidden") == 2:
            return sweep, pictures
    return None


def superposition_pictures(run: Run) -> Figure | None:
    """Hidden data points Wx above columns of W below, for two hidden units, at a small, the worst and a large N."""
    if (found := _pictures(run)) is None:
        return None
    sweep, pictures = found
    worst = _worst(sweep.rows[sweep.rows["n_train"].isin(pictures["n_train"])])
    sizes = sorted({int(pictures["n_train"].min()), worst, int(pictures["n_train"].max())})
    figure, axes = grid("Do data points or features form polygons in the hidden plane?", len(sizes), 2, height=2.6)
    for column, n in zip(axes.T, sizes, strict=True):
        place = "the worst N" if n == worst else "few data" if n == sizes[0] else "many data"
        here = dict(zip(*(select(pictures, n_train=n)[name] for name in ("name", "value")), strict=True))
        _draw_rays(column[0], here["hidden"], BLUE, "hidden data point Wx")
        _draw_rays(column[1], here["weight"].T, ORANGE, "feature: column of W")
        column[0].set_title(f"N = {n}, {place}: data points")
        column[1].set_title(f"N = {n}, {place}: features")
    shared_legend(
        figure, *axes.flat, note=f"{data_label(*sweep.seen)}, m = 2 hidden units, seed {run.study.seeds[0]}. {_UPDATE}"
    )
    return figure


def _draw_rays(axis: Axes, points: np.ndarray, colour: str, label: str) -> None:
    """Points (n, 2), each with its ray from the origin."""
    ends = np.stack([np.zeros_like(points), points, np.full_like(points, np.nan)], axis=1).reshape(-1, 2)
    axis.plot(*ends.T, color=colour, linewidth=0.8, alpha=max(0.12, min(0.7, 30 / len(points))))
    axis.plot(*points.T, "o", color=colour, markersize=3.5, label=label)
    known = points[np.isfinite(points).all(1)]  # of a cell that diverged there may be none
    reach = 1.1 * float(np.abs(known).max(initial=0)) or 1.0
    axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axis.set(xlabel="hidden unit 1 (no unit)", ylabel="hidden unit 2 (no unit)")


def superposition_grid(run: Run) -> Figure | None:
    """Median test loss over N and m."""
    shown = [
        (seen, relative(rows))
        for (seen, model), (results, _) in parts(run).items()
        if model.has_regimes
        if several(rows := select(results, estimator=main_training(run.study), ablation="none"), "n_train", "n_hidden")
    ]
    if not shown:
        return None
    figure, axes = grid("Does the peak move with the number of hidden units?", len(shown), height=2.6)
    for axis, (seen, rows) in zip(axes[0], shown, strict=True):
        widths, sizes, medians = median_map(rows, _TEST, "n_hidden")
        image = axis.pcolormesh(cell_edges(sizes), cell_edges(widths), medians, cmap="cividis", rasterized=True)
        axis.plot(sizes[np.nanargmax(medians, 1)], widths, "o", color=ORANGE, markersize=6, label="worst N of each m")
        axis.set(xscale="log", yscale="log", xlabel=ROWS, ylabel="hidden units m (number)")
        count_ticks(axis)
        axis.set_yticks(widths, [f"{m:g}" for m in widths])
        axis.yaxis.set_minor_locator(NullLocator())
        axis.grid(False)
        figure.colorbar(image, ax=axis, label="median test loss (share of the inputs lost)", pad=0.02)
        axis.set_title(data_label(*seen))
    shared_legend(figure, *axes[0], note=_UPDATE)
    return figure


def superposition_optimisation(run: Run) -> Figure | None:
    """Test and training loss along N at each step size, at the one that trains each cell best, from the best start."""
    shown = [sweep for sweep in _sweeps(run) if sweep.other_step_sizes or sweep.restarted]
    if not shown:
        return None
    figure, axes = grid("Is the peak an artefact of optimisation?", 2, len(shown), height=2.6)
    for line, sweep in zip(axes, shown, strict=True):
        curves = _optimised(sweep)
        for axis, value in zip(line, (_TEST, _TRAIN), strict=True):
            for label, (rows, style) in curves.items():
                draw(axis, sweep.median(rows, value), label, **style)
            axis.axhline(1, color=GREY, linestyle=":", linewidth=1, label="output of zero")
            _finish(axis, LOST)
            name = "test" if value == _TEST else "train"
            axis.set_title(f"{data_label(*sweep.seen)}, m = {sweep.first('n_hidden'):.0f}: {name}")
        log_axes(line[0], ROWS, LOST)
        fit_y(line[0])
        count_ticks(line[0], both=True)
    note = f"{main_label(run.study)}. Medians over seeds; quartiles of what is chosen by training loss. {_UPDATE}"
    shared_legend(figure, *axes.flat, note=note)
    return figure


def _optimised(sweep: Sweep) -> dict[str, tuple[DataFrame, Any]]:
    """What is compared: label → (rows, look)."""
    base = sweep.first("step_size")
    rates = dict(sorted({base: sweep.rows, **sweep.other_step_sizes}.items()))
    colours = level_colours(list(rates))
    found: dict[str, tuple[DataFrame, Any]] = {}
    for rate, rows in rates.items():
        found[f"step size {rate:.3g}"] = (rows, {"color": colours[rate], "band": 0, "linewidth": 1.4})
    if len(rates) > 1:
        best = best_by_training([sweep.rows, *sweep.other_step_sizes.values()])
        found["step size with the lowest training loss, by cell"] = (best, {"color": BLACK, "linestyle": "--"})
    for k, rows in sweep.restarted.items():
        found[f"best of {k} starts by training loss, step size {base:.3g}"] = (rows, {"color": ORANGE})
    return found
