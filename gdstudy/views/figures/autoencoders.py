"""Autoencoders with a linear readout: where they diverge, what they give back, what they store (App. C).

Their errors are drawn as the share of the inputs' energy that is lost: 1 for an output of zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gdstudy.experiment.tables import Run, Table
from gdstudy.views.figures.style import (
    BLUE,
    EXACT,
    FEATURES,
    LOST,
    ORANGE,
    OWN,
    ROUNDING,
    ROWS,
    count_ticks,
    decades,
    draw,
    draw_at_steps,
    draw_expectation,
    draw_mean,
    fit_y,
    grid,
    log_axes,
    most_steps,
    panel_title,
    readable,
    several,
    shared_legend,
    sign,
    threshold,
)
from gdstudy.views.summary import Sweep, relative, representative_sizes, select, sweeps

_TEST, _TRAIN = "relative_test_mse", "relative_train_mse"
_ZERO = 1e-10  # shares below this are zero up to rounding, or to the tolerance of training
_ZERO_NOTE = ROUNDING + " or\ntolerance"
_DIGITS = 4  # test digits that are pictured
_SIDE = 8  # pixels


def _sweeps(run: Run, size: str, about: Callable[[Sweep], bool] = lambda sweep: True) -> list[Sweep]:
    """Readout autoencoders at more than one N (or P), with all errors as shares of the inputs' energy."""
    keep = np.isin(run.results["model"], READOUT_AUTOENCODERS)
    results = relative({name: column[keep] for name, column in run.results.items()})
    found: dict[str, list[Sweep]] = {}
    for sweep in sweeps(results, run.curves):
        if sweep.size == size and several(sweep.rows, size) and about(sweep):
            lost = sweep.curves["test_mse"] / sweep.rows["target_mean_square"][0]
            found.setdefault(sweep.dataset, []).append(replace(sweep, curves={**sweep.curves, _TEST: lost}))
    return [s for group in found.values() for s in sorted(group, key=lambda s: READOUT_AUTOENCODERS.index(s.model))]


def _noisy(sweep: Sweep) -> bool:
    return "+noise" in sweep.dataset


def _linear(run: Run, noisy: bool) -> list[Sweep]:
    return _sweeps(run, "n_train", lambda sweep: sweep.model == "linear_autoencoder" and _noisy(sweep) == noisy)


def _random(run: Run, size: str) -> list[Sweep]:
    """Random features: those without noise, unless all have some."""
    found = _sweeps(run, size, lambda sweep: sweep.model != "linear_autoencoder")
    return [sweep for sweep in found if not _noisy(sweep)] or found


def wanted(run: Run) -> bool:
    """A linear autoencoder saw inputs without noise."""
    return bool(_linear(run, noisy=False))


def wanted_denoising(run: Run) -> bool:
    return bool(_linear(run, noisy=True))


def wanted_random_features(run: Run) -> bool:
    return bool(_random(run, "n_train") or _random(run, "n_parameters"))


def wanted_dimensions(run: Run) -> bool:
    return bool(_sweeps(run, "n_train"))


def _model(sweep: Sweep) -> str:
    """What a title says of the model: nothing of a linear one."""
    return "" if sweep.model == "linear_autoencoder" else sweep.model


def _finish(axis: Axes, sweep: Sweep, left: bool = False) -> None:
    """Axes, range and threshold of a panel of errors. left: a note is to stand there."""
    along_n = sweep.size == "n_train"
    log_axes(axis, ROWS if along_n else FEATURES, LOST)
    fit_y(axis, _ZERO, _ZERO_NOTE, left)
    threshold(axis, sweep.threshold)
    count_ticks(axis)


def _theory(sweep: Sweep) -> Table | None:
    rows = select(sweep.results, estimator="theory")
    return rows if len(rows["n_train"]) else None


def autoencoder(run: Run) -> Figure:
    """Test and train error of a linear autoencoder without noise: trained GD over its limit X⁺X, and what is exact."""
    shown = _linear(run, noisy=False)
    figure, axes = grid("Does a linear autoencoder diverge at N = P when nothing is noisy?", len(shown), height=3)
    for axis, sweep in zip(axes[0], shown, strict=True):
        for value, colour in ((_TEST, BLUE), (_TRAIN, ORANGE)):
            name = "test" if value == _TEST else "train"
            if len(sweep.trained["step"]):
                draw(axis, sweep.median(sweep.trained, value), f"{name}, trained GD", colour, linewidth=2)
                draw(axis, sweep.median(sweep.rows, value), "X⁺X", band=0, **EXACT)
            else:
                draw(axis, sweep.median(sweep.rows, value), f"{name}, X⁺X", colour)
        if (theory := _theory(sweep)) is not None:
            thick: Any = {"linestyle": "-", "linewidth": 6, "alpha": 0.45}  # it lies on the lower edge
            draw_expectation(axis, theory, sweep.threshold, _TEST, shade=False, **thick)
        _finish(axis, sweep)
        axis.set_title(panel_title(sweep.dataset, sweep.threshold))
    shared_legend(figure, *axes[0], note="P: columns of the data. " + most_steps([sweep.results for sweep in shown]))
    return figure


def denoising_autoencoder(run: Run) -> Figure:
    """Noisy inputs, clean targets: error of the closed form over its exact expectation; below, of GD after t steps."""
    shown = _linear(run, noisy=True)
    trained = [sweep.curves for sweep in shown if len(sweep.curves["step"])]
    title = "Does a denoising autoencoder diverge at N = P, though no target is noisy?"
    figure, axes = grid(title, len(shown), 2 if trained else 1, height=2.6)
    for column, sweep in zip(axes.T, shown, strict=True):
        test = sweep.median(sweep.rows, _TEST)
        draw(column[0], test, "test, median and quartiles", BLUE)
        draw_mean(column[0], test, "test, mean (may leave the panel)", BLUE)
        draw(column[0], sweep.median(sweep.rows, _TRAIN), "train, median and quartiles", ORANGE)
        if (theory := _theory(sweep)) is not None:
            draw_expectation(column[0], theory, sweep.threshold, _TEST)
        if trained:
            draw_at_steps(column[1], sweep.curves, _TEST, decades(trained))
            draw(column[1], test, "t = ∞, closed form X̃⁺X", band=0, **EXACT)
        for axis in column:
            _finish(axis, sweep, left=True)
        column[0].set_title(panel_title(sweep.dataset, sweep.threshold))
    note = "Above: the closed form X̃⁺X of noisy inputs X̃ and clean targets X. "
    shared_legend(figure, *axes.flat, note=note + ("Below: trained GD, medians of test errors." if trained else ""))
    return figure


def random_feature_autoencoder(run: Run) -> Figure:
    """Test error of a readout of random features, along N and along P, in closed form and after t steps of GD."""
    rows = [found for size in ("n_train", "n_parameters") if (found := _random(run, size))]
    trained = [sweep.curves for found in rows for sweep in found if len(sweep.curves["step"])]
    condition = " without any noise" if not any(_noisy(sweep) for sweep in rows[0]) else ""
    title = f"Does an autoencoder with random features diverge{condition}?"
    figure, axes = grid(title, max(map(len, rows)), len(rows), height=2.6)
    for line, found in zip(axes, rows, strict=True):
        for axis, sweep in zip(line, found, strict=True):
            if trained:
                draw_at_steps(axis, sweep.curves, _TEST, decades(trained), sweep.size)
            draw(axis, sweep.median(sweep.rows, _TEST), "t = ∞, closed form H⁺X, median and quartiles", **EXACT)
            _finish(axis, sweep, left=True)
            held = f"P = {sweep.threshold}" if sweep.size == "n_train" else f"N = {sweep.threshold}"
            axis.set_title(f"{readable(sweep.dataset)}\n{readable(sweep.model)}, {held}")
    shared_legend(figure, *axes.flat, note="H: random features of the training rows. GD: medians.")
    return figure


def dimensions(run: Run) -> Figure:
    """Mean leverage of training rows and of features, R/N and R/P, with what trained GD's own map says."""
    shown = _sweeps(run, "n_train")
    figure, axes = grid("Does the solution store data points or features?", len(shown), height=2.7)
    kinds = (("data_point_dimension", "a data point, R/N", BLUE), ("feature_dimension", "a feature, R/P", ORANGE))
    for axis, sweep in zip(axes[0], shown, strict=True):
        own = select(sweep.trained, model="linear_autoencoder")
        for value, name, colour in kinds:
            draw(axis, sweep.median(sweep.rows, value), name, colour, linewidth=2.2, alpha=0.6)
            if np.isfinite(own[value]).any():
                label = f"{name.replace('R', 'tr W')} of trained GD"
                style = {"linestyle": "", "marker": "o", "markersize": 3.5, "markerfacecolor": "none"}
                draw(axis, sweep.median(own, value), label, colour, band=0, **style)
        axis.set(xscale="log", xlabel=ROWS, ylabel=OWN, ylim=(0, 1.05))
        threshold(axis, sweep.threshold)
        count_ticks(axis)
        axis.set_title(panel_title(sweep.dataset, sweep.threshold, _model(sweep)))
    note = (
        "R: rank of the training features. Data points at 1: the Gram matrix is invertible. Features at 1: "
        f"the second-moment matrix is. {most_steps([sweep.results for sweep in shown])}"
    )
    shared_legend(figure, *axes[0], note=note)
    return figure


def _pictured(run: Run) -> list[tuple[Sweep, Table]]:
    """Sweeps of N on digits, each with the pictures of its P."""
    found = []
    for sweep in _sweeps(run, "n_train", lambda sweep: sweep.dataset.startswith("digits")):
        pictures = select(run.arrays, dataset=sweep.dataset, model=sweep.model, n_parameters=sweep.threshold)
        if len(pictures["name"]) and pictures["value"][0].shape[-1] == _SIDE**2:
            found.append((sweep, pictures))
    return found


def wanted_reconstructions(run: Run) -> bool:
    return bool(_pictured(run))


def mosaic(rows: list[np.ndarray]) -> np.ndarray:
    """Digits (n, 64) of each row side by side, row under row, a pixel apart, clipped to [0, 1]; NaN between."""
    step = _SIDE + 1
    image = np.full((step * len(rows) - 1, step * len(rows[0]) - 1), np.nan)
    for r, digits in enumerate(rows):
        for c, digit in enumerate(digits):
            top, left = step * r, step * c
            image[top : top + _SIDE, left : left + _SIDE] = digit.reshape(_SIDE, _SIDE).clip(0, 1)
    return image


def reconstructions(run: Run) -> Figure:
    """Test digits of seed 0 and what becomes of them below, at and above the threshold: GD, and the closed form."""
    shown = _pictured(run)
    sizes = [representative_sizes(pictures["n_train"], sweep.threshold) for sweep, pictures in shown]
    title = "Does the divergence show in what an autoencoder gives back?"
    # Noisy inputs have clean targets, which are a row of pictures more.
    height = 2.9 if any(_noisy(sweep) for sweep, _ in shown) else 2.3
    figure, axes = grid(title, max(map(len, sizes)), len(shown), height=height)
    figure.set_figwidth(3.1 * len(axes[0]) + 1)
    for line, (sweep, pictures), studied in zip(axes, shown, sizes, strict=True):
        for axis in line[len(studied) :]:
            axis.remove()
        for axis, n in zip(line, studied, strict=False):
            _draw_digits(axis, select(pictures, n_train=n), _noisy(sweep))
            name = "\n".join(readable(name) for name in (sweep.dataset, _model(sweep)) if name)
            axis.set_title(f"{name}\nN = {n} {sign(n, sweep.threshold)} P = {sweep.threshold}")
            if axis is not line[0]:
                axis.set_yticklabels([])
    return figure


def _draw_digits(axis: Axes, pictures: Table, noisy: bool) -> None:
    columns = (pictures[name] for name in ("estimator", "name", "value"))
    values = {(estimator, name): value[:_DIGITS] for estimator, name, value in zip(*columns, strict=True)}
    rows = {"input": values["min_norm", "inputs"]}
    if noisy:
        rows["target"] = values["min_norm", "targets"]
    if ("gd", "outputs") in values:
        rows["trained GD"] = values["gd", "outputs"]
    rows["closed form"] = values["min_norm", "outputs"]
    axis.imshow(mosaic(list(rows.values())), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_yticks([(_SIDE + 1) * r + (_SIDE - 1) / 2 for r in range(len(rows))], list(rows))
    axis.set_xticks([])
    axis.set(xlabel=f"test digits of seed 0 ({_SIDE}×{_SIDE} pixels)", ylabel="grey, 0 to 1 (no unit)")
    axis.grid(False)
    axis.tick_params(length=0)
