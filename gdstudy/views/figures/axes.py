"""Axes, thresholds, ranges, notes, legends and colour bars of panels."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from gdstudy.views.figures.style import DPI, GREY, LINE, MEAN, ROUNDING, STYLE, extent, wrapped


def threshold(axis: Axes, value: float, label: str = "threshold N = P") -> None:
    axis.axvline(value, color=GREY, linestyle=":", linewidth=1.2, label=label)


def log_axes(axis: Axes, xlabel: str, ylabel: str) -> None:
    log_x(axis)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    if axis.dataLim.y1 > 0:  # else all that is drawn is zero, as where all targets are
        axis.set_yscale("log")


def log_x(axis: Axes) -> None:
    if not axis.dataLim.x1 > 0:  # nothing is drawn, or at 0 alone
        axis.set_xlim(1, 10)
    axis.set_xscale("log")


def count_ticks(axis: Axes, both: bool = False) -> None:
    """1, 2, 5, 10, … (in narrow panels 1, 3, 10, …) rather than powers of ten along what is counted: x, or both."""
    spec = axis.get_subplotspec()
    narrow = spec is not None and axis.figure.bbox.width / spec.get_gridspec().ncols < 2.5 * DPI
    for scale in (axis.xaxis, axis.yaxis) if both else (axis.xaxis,):
        low, high = scale.get_view_interval()
        few = MaxNLocator(4, steps=[1, 2, 5, 10])
        scale.set_major_locator(few if high < 8 * low else LogLocator(subs=(1, 3) if narrow else (1, 2, 5)))
        scale.set_major_formatter("{x:g}")
        scale.set_minor_locator(
            NullLocator()
        )  # between these they say little, and take a sixth of the time of a drawing


def fit_y(axis: Axes, floor: float = 0.0, zero: str = ROUNDING) -> None:
    """A log axis around what is drawn above the floor; what lies below runs along its lower edge, in a strip that the
    legend explains in the words `zero`.

    Means may leave the panel: one split of fifty can lie decades above all quartiles.
    """
    lines = [line for line in axis.lines if line.get_transform() == axis.transData and line.get_gid() != MEAN]
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in lines]
    bands = [cast(np.ndarray, path.vertices) for shape in axis.collections for path in shape.get_paths()]
    values = np.concatenate([*drawn, *(vertices[:, 1] for vertices in bands), [0.0]])
    shown = values[np.isfinite(values) & (values > floor)]
    if not len(shown):
        if any(np.isfinite(part).any() for part in drawn):
            note_in(axis, f"nothing to show:\n{zero} everywhere")
        else:
            note_in(axis, "nothing finite to show:\nmost cells diverged")
            axis.set(xlim=(1, 10))
        axis.set(ylim=(1, 10))
        return
    # Between bounds matplotlib can draw: what diverges reaches 10³⁰⁰.
    low, high = np.log10(np.clip([shown.min(), shown.max()], 1e-250, 1e250))
    margin = 0.05 * (high - low) + 0.04
    bottom = float(10 ** (low - margin))
    axis.set_ylim(bottom, 10 ** (high + margin))
    if any((part <= floor).any() for part in drawn):
        strip = Rectangle((0, 0), 1, 0.025, transform=axis.transAxes, color=GREY, alpha=0.3, linewidth=0, label=zero)
        axis.add_patch(strip)
    # A line to 10⁻³⁰ would leave the panel where the last value above it stands, not where it gets there.
    for line, part in zip(lines, drawn, strict=True):
        line.set_ydata(np.maximum(part, bottom))
    for vertices in bands:
        vertices[:, 1] = np.maximum(vertices[:, 1], bottom)


def note_in(axis: Axes, text: str) -> None:
    """A remark in a panel in which nothing is drawn. What is to be said of curves stands in legend or title."""
    style: Any = {"color": "0.3", "style": "italic", "linespacing": 1}
    axis.text(0.5, 0.75, text, ha="center", va="center", transform=axis.transAxes, **style)


def shared_legend(figure: Figure, *axes: Axes, note: str = "") -> None:
    """One legend below all panels, with each label once, as wide as the figure; the note stands above it.

    The figure grows by as much, and what panels side by side would say twice is said once (`tidy`).
    """
    tidy(figure, *axes)
    entries: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    width, points = figure.get_figwidth(), STYLE["legend.fontsize"]
    columns = _columns([extent(label, points) for label in entries], width)
    legend = figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns, **_NARROW)
    said = wrapped(note, width - 0.35, points) if note else ""
    if said:
        legend.set_title(said, prop=FontProperties(size=points))
    lines = -(-len(entries) // columns) + len(said.splitlines())
    figure.set_figheight(figure.get_figheight() + LINE * lines + 0.1)


_NARROW: Any = {"handlelength": 1.6, "handletextpad": 0.5, "columnspacing": 1.2, "borderaxespad": 0.2}


def _columns(labels: list[float], width: float) -> int:
    """How many columns of these labels fit, in inches; a legend fills one column after the other."""
    for columns in range(len(labels), 1, -1):
        widest = [part.max() for part in np.array_split(np.array(labels), columns)]
        if sum(widest) + 0.4 * columns < width:
            return -(-len(labels) // -(-len(labels) // columns))  # no more than so many lines need
    return 1


def tidy(figure: Figure, *axes: Axes) -> None:
    """Labels that panels in a row or column share stand at the outer ones alone, and all are broken to fit."""
    cells = {axis: spec for axis in axes if (spec := axis.get_subplotspec()) is not None}
    first = {spec.rowspan: axis for axis, spec in cells.items() if spec.is_first_col()}
    last = {spec.colspan: axis for axis, spec in cells.items() if spec.is_last_row()}
    ending = {(spec.rowspan, spec.colspan.stop): axis.get_ylabel() for axis, spec in cells.items()}
    for axis, spec in cells.items():
        left, neighbours = first.get(spec.rowspan, axis), ending.get((spec.rowspan, spec.colspan.start))
        if left is not axis and left.get_ylabel() == axis.get_ylabel() == neighbours:
            axis.set_ylabel("")
        if (below := last.get(spec.colspan, axis)) is not axis and below.get_xlabel() == axis.get_xlabel():
            axis.set_xlabel("")
    bars = [bar for bar in figure.axes if bar.get_label() == "<colorbar>"]
    for axis, spec in cells.items():
        rows, columns = spec.get_gridspec().get_geometry()
        beside = 0.9 if len(bars) == 1 else 0.6 * min(len(bars), columns)
        wide = (figure.get_figwidth() - beside) / columns * len(spec.colspan)
        high = (figure.get_figheight() - 0.3) / rows * len(spec.rowspan) - 0.5
        axis.set_title(wrapped(axis.get_title(), wide - (0.2 if bars else 0.33)))
        axis.set_xlabel(wrapped(axis.get_xlabel(), wide - 0.45))
        axis.set_ylabel(wrapped(axis.get_ylabel(), high))
    for bar in bars:
        bar.set_ylabel(wrapped(bar.get_ylabel(), figure.get_figheight() - 0.9))


def level_bar(figure: Figure, axes: np.ndarray, colours: dict[float, Any], label: str) -> None:
    """The shared colour bar of levels, a field each."""
    n = len(colours)
    norm = BoundaryNorm(np.arange(n + 1) - 0.5, n)
    scale = ScalarMappable(norm, ListedColormap(list(colours.values())))
    bar = figure.colorbar(scale, ax=axes, ticks=np.arange(n), label=label, pad=0.04, aspect=40)
    bar.ax.set_yticklabels([f"{level:.3g}" for level in colours])
    bar.ax.minorticks_off()


def cell_edges(values: np.ndarray) -> np.ndarray:
    """Edges of cells around values on a log axis: their geometric midpoints, (n + 1,)."""
    logs = np.log(values)
    middle = (logs[1:] + logs[:-1]) / 2
    return np.exp(np.r_[2 * logs[0] - middle[0], middle, 2 * logs[-1] - middle[-1]])
