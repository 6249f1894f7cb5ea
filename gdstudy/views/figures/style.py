"""The look all figures share: colours, fonts, the words of axes, an empty grid of panels.

Colours are Okabe and Ito's (2008), told apart by colour-blind readers; levels are steps of viridis.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

BLACK, BLUE, ORANGE, GREEN, PINK, SKY = "#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"
GREY = "0.45"
TEST, TRAIN = BLUE, ORANGE  # of errors
CHOSEN, DESCENT = PINK, BLACK  # of ridge at the λ it chooses, and of descent beside it
EXACT: Any = {"color": BLACK, "linestyle": "--", "linewidth": 1.0}  # what a trained line is to lie on
DPI = 100
STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "figure.titlesize": 12,
    "legend.fontsize": 8.5,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "axes.axisbelow": True,
}
LOST = "share of the inputs lost (no unit)"  # an autoencoder's MSE over the mean square of its inputs
OWN = "dimensions of its own (number)"
ROWS = "training data N (rows)"
FEATURES = "model parameters P (features)"
TIME = "training time t (GD steps)"
ROUNDING = "lower edge:\nzero up to\nrounding"
_LETTERS = 10  # of a title, an inch
MEAN = "mean"  # marks lines that may leave their panel


def grid(title: str, n_columns: int, n_rows: int = 1, height: float = 2.5) -> tuple[Figure, np.ndarray]:
    """A figure titled with the question it answers, and its axes: (n_rows, n_columns)."""
    width = max(2.9 * n_columns, 5) + 0.6
    figure = Figure(figsize=(width, height * n_rows + 1.1), layout="constrained", dpi=DPI)
    figure.suptitle(textwrap.fill(title, round(_LETTERS * width)))
    return figure, figure.subplots(n_rows, n_columns, squeeze=False)


def level_colours(levels: Sequence[float]) -> dict[float, Any]:
    """One colour a level, the same in all panels."""
    steps = matplotlib.colormaps["viridis"](np.linspace(0, 0.92, len(levels)))
    return {float(level): tuple(step) for level, step in zip(levels, steps, strict=True)}
