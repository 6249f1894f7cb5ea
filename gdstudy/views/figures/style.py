"""The look all figures share: colours, fonts, the words of axes, an empty grid of panels.

Colours are Okabe and Ito's (2008), told apart by colour-blind readers; levels are steps of viridis.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ft2font import LoadFlags
from matplotlib.layout_engine import ConstrainedLayoutEngine

BLACK, BLUE, ORANGE, GREEN, PINK, SKY = "#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"
GREY = "0.45"
TEST, TRAIN = BLUE, ORANGE  # of errors
CHOSEN, DESCENT = PINK, BLACK  # of ridge at the λ it chooses, and of descent beside it
EXACT: Any = {"color": BLACK, "linestyle": "--", "linewidth": 1.0}  # what a trained line is to lie on
DPI = 100
STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "figure.titlesize": 11,
    "axes.titley": 1.0,  # there it stands, with nothing above the panels: to find that out takes a tenth of a drawing
    "legend.fontsize": 8.5,
    "axes.labelpad": 2,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "axes.axisbelow": True,
}
LOST = "share of the inputs lost (no unit)"  # an autoencoder's MSE over the mean square of its inputs
OWN = "dimensions of its own (number)"
ROWS = "N (training rows)"
FEATURES = "P (parameters)"
TIME, STEPS = "t (GD steps)", "t (steps)"  # the second of any training
ROUNDING, TOLERANCE = "zero up to rounding", "zero up to rounding or tolerance"
WIDEST = 7.4  # inches: TensorBoard's cards are about 500 pixels wide, where smaller type could not be read
LINE = 0.17  # inches that a line of a legend takes
MEAN = "mean"  # marks lines that may leave their panel


def grid(title: str, n_columns: int, n_rows: int = 1, height: float = 2.1) -> tuple[Figure, np.ndarray]:
    """A figure titled with the question it answers, and its axes: (n_rows, n_columns).

    height: inches of a panel with its labels; `shared_legend` adds its own.
    """
    width = max(5.2, min(2.3 * n_columns + 0.4, WIDEST), 1.5 * n_columns + 0.4)
    figure = blank(title, width, height * n_rows)
    return figure, figure.subplots(n_rows, n_columns, squeeze=False)


def blank(title: str, width: float, height: float) -> Figure:
    """A figure of this width and, without its title, this height in inches."""
    said = wrapped(title, width, STYLE["figure.titlesize"])
    size = (width, height + 0.2 * len(said.splitlines()) + 0.1)
    beside = ConstrainedLayoutEngine(rect=(0, 0, 1 - 0.13 / width, 1))  # a title may be wider than the last panel
    figure = Figure(figsize=size, layout=beside, dpi=DPI)
    figure.suptitle(said)
    return figure


def wrapped(text: str, inches: float, points: float = 9) -> str:
    """Each line of a text broken where it is wider, at this size of type: before a bracket, or else between words;
    `N = P` stays in one piece."""
    kept = re.sub(r" ([=<>]) ", "\u00a0\\1\u00a0", text)
    lines = (line for whole in kept.split("\n") for line in _at_bracket(whole, inches, points))
    return "\n".join(_broken(line, inches, points) for line in lines).replace("\u00a0", " ")


def _at_bracket(line: str, inches: float, points: float) -> list[str]:
    before, bracket, inside = line.rpartition(" (")
    parts = [before, f"({inside}"]
    whole = not bracket or extent(line, points) <= inches or any(extent(part, points) > inches for part in parts)
    return [line] if whole else parts


def _broken(line: str, inches: float, points: float) -> str:
    lines = [""]
    for word in line.split(" "):
        longer = f"{lines[-1]} {word}".lstrip(" ")
        lines[-1:] = [longer] if not lines[-1] or extent(longer, points) <= inches else [lines[-1], word]
    return "\n".join(lines)


@cache
def extent(text: str, points: float) -> float:
    """How wide a line of text is at this size of type, inches."""
    font = get_font(findfont(FontProperties()))
    font.set_size(points, 72)
    font.set_text(text, flags=LoadFlags.NO_HINTING)
    return font.get_width_height()[0] / 64 / 72


def level_colours(levels: Sequence[float]) -> dict[float, Any]:
    """One colour a level, the same in all panels."""
    steps = matplotlib.colormaps["viridis"](np.linspace(0, 0.92, len(levels)))
    return {float(level): tuple(step) for level, step in zip(levels, steps, strict=True)}
