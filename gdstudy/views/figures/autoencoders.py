"""Autoencoders with a linear readout: where they diverge, what they give back, what they store (App. C).

Their errors are drawn as the share of the inputs' energy that is lost: 1 for an output of zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from gdstudy.experiment.tables import Run
from gdstudy.study.datasets import known
from gdstudy.study.models import MODELS
from gdstudy.views.figures.axes import count_ticks, fit_y, log_axes, shared_legend, threshold, tidy
from gdstudy.views.figures.curves import decades, draw, draw_at_steps, draw_expectation, draw_mean
from gdstudy.views.figures.labels import data_label, limit_label, main_label, most_steps, panel_title, sign
from gdstudy.views.figures.style import BLUE, EXACT, FEATURES, LOST, ORANGE, OWN, ROWS, TEST, TOLERANCE, TRAIN, grid
from gdstudy.views.summary import representative_sizes, select, several
from gdstudy.views.sweeps import Sweep, sweeps

_TEST, _TRAIN = "relative_test_mse", "relative_train_mse"
_ZERO = 1e-10  # shares below this are zero up to rounding, or to the tolerance of training
_PICTURES = 4  # test rows that are pictured


def _sweeps(run: Run, size: str, about: Callable[[Sweep], bool] = lambda sweep: True) -> list[Sweep]:
    """Readout autoencoders at more than one N (or P), data set by data set in the order of the models."""
    found = [s for s in sweeps(run) if s.model.autoencoder and not s.model.layered and s.size == size]
    places, datasets = list(MODELS), list(dict.fromkeys(sweep.dataset for sweep in found))
    found.sort(key=lambda s: (datasets.index(s.dataset), places.index(s.model.name)))
    return [sweep for sweep in found if several(sweep.rows, size) and about(sweep)]


def _linear(run: Run, noisy: bool) -> list[Sweep]:
    return _sweeps(run, "n_train", lambda sweep: sweep.model.plain and sweep.noisy == noisy)


def _random(run: Run, size: str) -> list[Sweep]:
    """Other features than the inputs: those without noise, unless all have some."""
    found = _sweeps(run, size, lambda sweep: not sweep.model.plain)
    return [sweep for sweep in found if not sweep.noisy] or found


def _model(sweep: Sweep) -> str:
    """What a title says of the model: nothing of a linear one."""
    return "" if sweep.model.plain else sweep.model.label


def _finish(axis: Axes, sweep: Sweep) -> None:
    """Axes, range and threshold of a panel of errors."""
    along_n = sweep.size == "n_train"
    log_axes(axis, ROWS if along_n else FEATURES, LOST)
    fit_y(axis, _ZERO, TOLERANCE)
    threshold(axis, sweep.threshold)
    count_ticks(axis)


def _theory(sweep: Sweep) -> DataFrame | None:
    rows = select(sweep.results, estimator="theory")
    return rows if len(rows) else None


def autoencoder(run: Run) -> Figure | None:
    """Test and train error of a linear autoencoder without noise: trained GD over its limit X⁺X, and what is exact."""
    shown = _linear(run, noisy=False)
    if not shown:
        return None
    figure, axes = grid("Does a linear autoencoder diverge at N = P when nothing is noisy?", len(shown), height=2.4)
    for axis, sweep in zip(axes[0], shown, strict=True):
        for value, colour in ((_TEST, TEST), (_TRAIN, TRAIN)):
            name = "test" if value == _TEST else "train"
            if len(sweep.trained):
                label = f"{name}, trained {main_label(run.study)}"
                draw(axis, sweep.median(sweep.trained, value), label, colour, linewidth=2)
                draw(axis, sweep.median(sweep.rows, value), "X⁺X", band=0, **EXACT)
            else:
                draw(axis, sweep.median(sweep.rows, value), f"{name}, X⁺X", colour)
        if (theory := _theory(sweep)) is not None:
            thick: Any = {"linestyle": "-", "linewidth": 6, "alpha": 0.45}  # it lies on the lower edge
            draw_expectation(axis, theory, sweep.threshold, _TEST, shade=False, **thick)
        _finish(axis, sweep)
        axis.set_title(panel_title(sweep.seen, sweep.threshold))
    note = "P: columns of the data. " + most_steps(run.study, [sweep.results for sweep in shown])
    shared_legend(figure, *axes[0], note=note)
    return figure


def denoising_autoencoder(run: Run) -> Figure | None:
    """Noisy inputs, clean targets: error of the closed form over its exact expectation; below, of GD after t steps."""
    shown = _linear(run, noisy=True)
    if not shown:
        return None
    trained = [sweep.curves for sweep in shown if len(sweep.curves)]
    title = "Does a denoising autoencoder diverge at N = P, though no target is noisy?"
    figure, axes = grid(title, len(shown), 2 if trained else 1, height=2.2)
    for column, sweep in zip(axes.T, shown, strict=True):
        test = sweep.median(sweep.rows, _TEST)
        draw(column[0], test, "test, median and quartiles", TEST)
        draw_mean(column[0], test, "test, mean (may leave the panel)", TEST)
        draw(column[0], sweep.median(sweep.rows, _TRAIN), "train, median and quartiles", TRAIN)
        if (theory := _theory(sweep)) is not None:
            draw_expectation(column[0], theory, sweep.threshold, _TEST)
        if trained:
            draw_at_steps(column[1], sweep.curves, _TEST, decades(trained), main_label(run.study))
            draw(column[1], test, limit_label(run.study, "closed form X̃⁺X"), band=0, **EXACT)
        for axis in column:
            _finish(axis, sweep)
        column[0].set_title(panel_title(sweep.seen, sweep.threshold))
    note = "Above: the closed form X̃⁺X of noisy inputs X̃ and clean targets X. "
    if trained:
        note += f"Below: trained {main_label(run.study)}, medians of test errors."
    shared_legend(figure, *axes.flat, note=note)
    return figure


def random_feature_autoencoder(run: Run) -> Figure | None:
    """Test error of a readout of random features, along N and along P, in closed form and after t steps of GD."""
    rows = [found for size in ("n_train", "n_parameters") if (found := _random(run, size))]
    if not rows:
        return None
    trained = [sweep.curves for found in rows for sweep in found if len(sweep.curves)]
    condition = " without any noise" if not any(sweep.noisy for sweep in rows[0]) else ""
    title = f"Does an autoencoder with random features diverge{condition}?"
    figure, axes = grid(title, max(map(len, rows)), len(rows), height=2.2)
    for line, found in zip(axes, rows, strict=True):
        for axis, sweep in zip(line, found, strict=True):
            if trained:
                draw_at_steps(axis, sweep.curves, _TEST, decades(trained), main_label(run.study), sweep.size)
            limit = limit_label(run.study, "closed form H⁺X, median and quartiles")
            draw(axis, sweep.median(sweep.rows, _TEST), limit, **EXACT)
            _finish(axis, sweep)
            held = f"P = {sweep.threshold}" if sweep.size == "n_train" else f"N = {sweep.threshold}"
            axis.set_title(f"{data_label(*sweep.seen)}\n{sweep.model.label}, {held}")
    note = "H: random features of the training rows." + (f" {main_label(run.study)}: medians." if trained else "")
    shared_legend(figure, *axes.flat, note=note)
    return figure


def dimensions(run: Run) -> Figure | None:
    """Mean leverage of training rows and of features, R/N and R/P, with what trained GD's own map says."""
    shown = _sweeps(run, "n_train")
    if not shown:
        return None
    figure, axes = grid("Does the solution store data points or features?", len(shown), height=2.3)
    kinds = (("data_point_dimension", "a data point, R/N", BLUE), ("feature_dimension", "a feature, R/P", ORANGE))
    for axis, sweep in zip(axes[0], shown, strict=True):
        own = sweep.trained  # the map itself is known of a linear one without noise
        for value, name, colour in kinds:
            draw(axis, sweep.median(sweep.rows, value), name, colour, linewidth=2.2, alpha=0.6)
            if np.isfinite(own[value]).any():
                label = f"{name.replace('R', 'tr W')} of trained {main_label(run.study)}"
                style = {"linestyle": "", "marker": "o", "markersize": 3.5, "markerfacecolor": "none"}
                draw(axis, sweep.median(own, value), label, colour, band=0, **style)
        axis.set(xscale="log", xlabel=ROWS, ylabel=OWN, ylim=(0, 1.05))
        threshold(axis, sweep.threshold)
        count_ticks(axis)
        axis.set_title(panel_title(sweep.seen, sweep.threshold, _model(sweep)))
    note = (
        "R: rank of the training features. Data points at 1: the Gram matrix is invertible. Features at 1: "
        f"the second-moment matrix is. {most_steps(run.study, [sweep.results for sweep in shown])}"
    )
    shared_legend(figure, *axes[0], note=note)
    return figure


def _pictured(run: Run) -> list[tuple[Sweep, int, DataFrame]]:
    """Sweeps of N on pictures, each with their side in pixels and the arrays of its P."""
    found = []
    for sweep in _sweeps(run, "n_train"):
        pictures = select(run.arrays, **sweep.keys, n_parameters=sweep.threshold)
        if sweep.seen[1] != "none":  # what is centred or scaled is no grey
            continue
        if len(pictures) and (side := known(sweep.seen[0]).image_side):
            found.append((sweep, side, pictures))
    return found


def mosaic(rows: list[np.ndarray], side: int) -> np.ndarray:
    """Pictures (n, side²) of each row side by side, row under row, a pixel apart, clipped to [0, 1]; NaN between."""
    step = side + 1
    image = np.full((step * len(rows) - 1, step * len(rows[0]) - 1), np.nan)
    for r, pictures in enumerate(rows):
        for c, picture in enumerate(pictures):
            top, left = step * r, step * c
            image[top : top + side, left : left + side] = picture.reshape(side, side).clip(0, 1)
    return image


def reconstructions(run: Run) -> Figure | None:
    """Test pictures of the first seed and their reconstructions below, at and above the threshold."""
    shown = _pictured(run)
    if not shown:
        return None
    sizes = [representative_sizes(pictures["n_train"], sweep.threshold) for sweep, _, pictures in shown]
    title = "Does the divergence show in what an autoencoder gives back?"
    # Noisy inputs have clean targets, which are a row of pictures more.
    height = 2.9 if any(sweep.noisy for sweep, *_ in shown) else 2.3
    figure, axes = grid(title, max(map(len, sizes)), len(shown), height=height)
    for line, (sweep, side, pictures), studied in zip(axes, shown, sizes, strict=True):
        for axis in line[len(studied) :]:
            axis.remove()
        for axis, n in zip(line, studied, strict=False):
            _draw_pictures(axis, sweep, side, select(pictures, n_train=n))
            name = "\n".join(name for name in (data_label(*sweep.seen), _model(sweep)) if name)
            axis.set_title(f"{name}\nN = {n} {sign(n, sweep.threshold)} P = {sweep.threshold}")
            if axis is not line[0]:
                axis.set_yticklabels([])
    tidy(figure, *figure.axes)
    return figure


def _draw_pictures(axis: Axes, sweep: Sweep, side: int, pictures: DataFrame) -> None:
    columns = (pictures[name] for name in ("estimator", "name", "value"))
    values = {(estimator, name): value[:_PICTURES] for estimator, name, value in zip(*columns, strict=True)}
    rows = {"input": values["min_norm", "inputs"]}
    if sweep.noisy:
        rows["target"] = values["min_norm", "targets"]
    if (sweep.main, "outputs") in values:
        rows[f"trained {main_label(sweep.study)}"] = values[sweep.main, "outputs"]
    rows["closed form"] = values["min_norm", "outputs"]
    axis.imshow(mosaic(list(rows.values()), side), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_yticks([(side + 1) * r + (side - 1) / 2 for r in range(len(rows))], list(rows))
    axis.set_xticks([])
    what = known(sweep.seen[0]).label.lower()
    axis.set(
        xlabel=f"test {what} of seed {sweep.study.seeds[0]}\n({side}×{side} pixels)", ylabel="grey, 0 to 1 (no unit)"
    )
    axis.grid(False)
    axis.tick_params(length=0)
