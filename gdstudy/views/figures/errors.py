"""The divergence itself, and which part of the error carries it: Fig. 1 and Eqn. 1 of the paper."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gdstudy.experiment.tables import Run
from gdstudy.views.figures.axes import count_ticks, fit_y, log_axes, shared_legend, threshold
from gdstudy.views.figures.curves import draw, draw_expectation, draw_mean
from gdstudy.views.figures.labels import axis_label
from gdstudy.views.figures.panels import Panel, against_n, draw_chosen, panels, swept
from gdstudy.views.figures.style import BLACK, BLUE, DESCENT, ORANGE, PINK, ROWS, TEST, TRAIN, grid
from gdstudy.views.summary import by_size

_MEANS = "Near N = P the mean need not exist: it follows the worst split. "
_LUCK = (
    "Shaded: |N − P| ≤ 1, where the expected test error is infinite. The expectation is over fresh samples; "
    "all splits here are of one fixed sample of 1000 rows and share its luck."
)


def divergence(run: Run) -> Figure | None:
    """Test and train MSE of X⁺y against N (Fig. 1), over the exact expected risk where there is one."""
    shown = panels(run, raw=True)
    if not swept(shown):
        return None
    figure, axes = grid("Where does the test error of least squares diverge?", len(shown))
    for axis, panel in zip(axes[0], shown, strict=True):
        rows = panel.exact
        test = by_size(rows, "test_mse")
        draw(axis, test, "test, median and quartiles", TEST)
        draw_mean(axis, test, "test, mean (may leave the panel)", TEST)
        draw(axis, by_size(rows, "train_mse"), "train, median and quartiles", TRAIN)
        if panel.beside:
            draw_chosen(axis, panel)
            _draw_descent(axis, panel)
        log_axes(axis, ROWS, axis_label("test_mse", "MSE"))
        fit_y(axis, panel.floor(1e-6))
        if ("theory", "none") in panel.rows:
            draw_expectation(axis, panel.rows["theory", "none"], panel.P)
        threshold(axis, panel.P)
        count_ticks(axis)
        axis.set_title(panel.title())
    theory = any(("theory", "none") in panel.rows for panel in shown)
    shared_legend(figure, *axes[0], note=_MEANS + (_LUCK if theory else ""))
    return figure


def _draw_descent(axis: Axes, panel: Panel) -> None:
    """Test errors of what was trained or, where nothing was, of the exact iterate at its largest t."""
    exact = [(f"{form.label}, {form.named(t)}", rows) for (form, t), rows in panel.beside.items() if form.descends]
    trained = [(f"trained {who}", rows) for who, rows in panel.trainings.items()]
    for label, rows in trained[:1] or exact[-1:]:
        draw(axis, by_size(rows, "test_mse"), f"test, {label}", DESCENT, 0, linestyle=":", linewidth=1.6)


def bias(run: Run) -> Figure | None:
    """Bias both ways, beside variance: mean over test rows of squares, and square of the mean (Eqn. 1)."""
    shown = panels(run, raw=True)
    if not swept(shown):
        return None
    figure, axes = grid("Is it variance or bias that diverges?", len(shown))
    parts = (
        ("variance_mean_of_squares", "variance, mean of squares", BLUE),
        ("bias_mean_of_squares", "bias, mean of squares", ORANGE),
        ("bias_square_of_mean", "bias, square of the mean", PINK),
    )
    for axis, panel in zip(axes[0], shown, strict=True):
        rows = panel.exact
        for column, label, colour in parts:
            draw(axis, by_size(rows, column), label, colour)
        draw(axis, by_size(rows, "test_mse"), "test error", BLACK, band=0, linewidth=0.8)
        against_n(axis, panel, axis_label("test_mse", "mean over test rows"), panel.floor(1e-6))
    shared_legend(figure, *axes[0])
    return figure


def worst_mode(run: Run) -> Figure | None:
    """The largest share of one singular mode in the variance term of Eqn. 1, against N."""
    shown = panels(run, raw=True)
    if not swept(shown):
        return None
    figure, axes = grid("Does one singular mode carry the divergence?", len(shown))
    for axis, panel in zip(axes[0], shown, strict=True):
        curve = by_size(panel.exact, "worst_mode_share")
        draw(axis, curve, "largest share of one mode, median and quartiles", BLUE)
        draw_mean(axis, curve, "mean", BLUE)
        equal = 1 / np.minimum(curve.x, panel.P)
        axis.plot(curve.x, equal, color=BLACK, linestyle="--", linewidth=1, label="all modes alike, 1/min(N, P)")
        axis.set(xscale="log", xlabel=ROWS, ylabel=axis_label("worst_mode_share", "share of variance"), ylim=(0, 1.03))
        threshold(axis, panel.P)
        count_ticks(axis)
        axis.set_title(panel.title())
    shared_legend(figure, *axes[0])
    return figure
