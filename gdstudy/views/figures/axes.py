"""Axes, thresholds, ranges, notes, legends and colour bars of panels."""

from __future__ import annotations

import textwrap
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import LogLocator, NullLocator

from gdstudy.views.figures.style import GREY, MEAN, ROUNDING


def threshold(axis: Axes, value: float, label: str = "threshold N = P") -> None:
    axis.axvline(value, color=GREY, linestyle=":", linewidth=1.2, label=label)


def log_axes(axis: Axes, xlabel: str, ylabel: str) -> None:
    axis.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)


def count_ticks(axis: Axes, both: bool = False) -> None:
    """1, 2, 5, 10, … rather than powers of ten along a counted quantity: x, or x and y."""
    for scale in (axis.xaxis, axis.yaxis) if both else (axis.xaxis,):
        scale.set_major_locator(LogLocator(subs=(1, 2, 5)))
        scale.set_major_formatter("{x:g}")
        scale.set_minor_locator(
            NullLocator()
        )  # between these they say little, and take a sixth of the time of a drawing


def fit_y(axis: Axes, floor: float = 0.0, note: str = ROUNDING, left: bool = False) -> None:
    """A log axis around what is drawn above the floor; what lies below runs along its lower edge, with a note.

    Means may leave the panel: one split of fifty can lie decades above all quartiles.
    """
    lines = [line for line in axis.lines if line.get_transform() == axis.transData and line.get_gid() != MEAN]
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in lines]
    bands = [cast(np.ndarray, path.vertices) for shape in axis.collections for path in shape.get_paths()]
    values = np.concatenate([*drawn, *(vertices[:, 1] for vertices in bands), [0.0]])
    shown = values[np.isfinite(values) & (values > floor)]
    if not len(shown):
        note_in(axis, "nothing finite to show:\nmost cells diverged")
        axis.set(xlim=(1, 10), ylim=(1, 10))
        return
    # Between bounds matplotlib can draw: what diverges reaches 10³⁰⁰.
    low, high = np.log10(np.clip([shown.min(), shown.max()], 1e-250, 1e250))
    margin = 0.05 * (high - low) + 0.04
    bottom = float(10 ** (low - margin))
    axis.set_ylim(bottom, 10 ** (high + margin))
    if any((part <= floor).any() for part in drawn):
        note_in(axis, note, left)
    # A line to 10⁻³⁰ would leave the panel where the last value above it stands, not where it gets there.
    for line, part in zip(lines, drawn, strict=True):
        line.set_ydata(np.maximum(part, bottom))
    for vertices in bands:
        vertices[:, 1] = np.maximum(vertices[:, 1], bottom)


def note_in(axis: Axes, text: str, left: bool = False) -> None:
    """A remark in the lower right corner, where few curves come, or in the left one."""
    style: Any = {"fontsize": 7.5, "color": "0.3", "style": "italic", "linespacing": 1}
    x, side = (0.015, "left") if left else (0.985, "right")
    axis.text(x, 0.04, text, ha=side, transform=axis.transAxes, **style)


def shared_legend(figure: Figure, *axes: Axes, note: str = "") -> None:
    """One legend below all panels, with each label once, as wide as the figure; the note stands above it."""
    entries: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    width = figure.get_figwidth() * 72  # points; a letter takes about five, a handle and its gap fifty
    columns = max(1, min(len(entries), int(width / (4.6 * max(map(len, entries)) + 50))))
    legend = figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns)
    if note:
        legend.set_title(textwrap.fill(note, int(width / 4.8)), prop=FontProperties(size=8.5))


def level_bar(figure: Figure, axes: np.ndarray, colours: dict[float, Any], label: str) -> None:
    """The shared colour bar of levels, a field each."""
    n = len(colours)
    norm = BoundaryNorm(np.arange(n + 1) - 0.5, n)
    scale = ScalarMappable(norm, ListedColormap(list(colours.values())))
    bar = figure.colorbar(scale, ax=axes, ticks=np.arange(n), label=label, pad=0.01, aspect=40)
    bar.ax.set_yticklabels([f"{level:.3g}" for level in colours])
    bar.ax.minorticks_off()


def cell_edges(values: np.ndarray) -> np.ndarray:
    """Edges of cells around values on a log axis: their geometric midpoints, (n + 1,)."""
    logs = np.log(values)
    middle = (logs[1:] + logs[:-1]) / 2
    return np.exp(np.r_[2 * logs[0] - middle[0], middle, 2 * logs[-1] - middle[-1]])
