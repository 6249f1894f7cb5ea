"""Figures that move with training time: a picture for each t, which TensorBoard's slider goes through."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gdstudy.experiment.tables import Run
from gdstudy.views.figures.axes import shared_legend
from gdstudy.views.figures.curves import draw
from gdstudy.views.figures.labels import axis_label, limit_label
from gdstudy.views.figures.panels import Panel, against_n, swept, trained_panels
from gdstudy.views.figures.style import EXACT, STYLE, TEST, grid
from gdstudy.views.summary import Curve, by_size, by_size_after


def error_at_t(run: Run) -> Iterator[tuple[int, np.ndarray]]:
    """Test MSE against N after t steps of the main training, in front of all other t and of its limit X⁺y.

    Gives t = 1, 3, 10, 32, … and (H, W, 3) uint8 pixels; nothing where nothing was trained at several N.
    """
    shown = trained_panels(run)
    if not swept(shown):
        return
    steps = _half_decades(max(int(panel.curves["step"].max()) for panel in shown))
    with matplotlib.rc_context(STYLE):
        columns = min(len(shown), 2)  # as wide as a card of TensorBoard can show it
        figure, grid_of_axes = grid(" ", columns, -(-len(shown) // columns), height=2.9)
        axes, after = grid_of_axes.ravel()[: len(shown)], []
        for spare in grid_of_axes.ravel()[len(shown) :]:
            spare.remove()
        for axis, panel in zip(axes, shown, strict=True):
            after.append(by_size_after(panel.curves, "test_mse", steps))
            _draw_behind(axis, panel, after[-1], limit_label(run.study, "X⁺y"))
        label = f"{shown[0].who} after t steps"
        lines = [draw(axis, a[0], label, TEST, 0, linewidth=2.4) for axis, a in zip(axes, after, strict=True)]
        shared_legend(figure, *axes)
        yield from _frames(figure, list(zip(axes, lines, after, strict=True)), steps)


def _frames(
    figure: Figure, moving: list[tuple[Axes, Line2D, list[Curve]]], steps: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """One drawing of all that stays, and on it of each t the curve and the title: a tenth of the time."""
    canvas, title = FigureCanvasAgg(figure), figure.suptitle("How far is the spike after t steps?")
    canvas.draw()  # where everything lies
    figure.set_layout_engine("none")
    for artist in (title, *(line for _, line, _ in moving)):
        artist.set_animated(True)
    canvas.draw()
    behind = canvas.copy_from_bbox(figure.bbox)
    for k, t in enumerate(steps):
        canvas.restore_region(behind)
        title.set_text(f"How far is the spike after t = {t:,} steps?")
        figure.draw_artist(title)
        for axis, line, after in moving:
            line.set_data(after[k].x, after[k].median)
            axis.draw_artist(line)
        yield int(t), np.array(canvas.buffer_rgba(), dtype=np.uint8)[..., :3]


def _half_decades(last: int) -> np.ndarray:
    """1, 3, 10, 32, … and the last."""
    return np.unique(np.r_[np.round(10 ** np.arange(0, np.log10(max(last, 1)), 0.5)), last].astype(int))


def _draw_behind(axis: Axes, panel: Panel, after: list[Curve], limit: str) -> None:
    for curve in after:
        draw(axis, curve, "other t", "0.8", band=0, linewidth=0.8)
    draw(axis, by_size(panel.exact, "test_mse"), limit, band=0, **EXACT)
    against_n(axis, panel, axis_label("test_mse", "median test MSE"))
