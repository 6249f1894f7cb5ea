"""The chart of two runs as a picture, for readers without a script."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib

from gdstudy.views.figures.axes import count_ticks, fit_y, log_axes, shared_legend, threshold
from gdstudy.views.figures.curves import draw
from gdstudy.views.figures.files import as_files
from gdstudy.views.figures.style import BLUE, ORANGE, STYLE, grid
from gdstudy.views.html.explorer import AXES, error_label, lines, title
from gdstudy.views.summary import by_size
from gdstudy.views.sweeps import Sweep

_MOST = 4  # panels
_LINES = ("--", "-", "-.", ":")  # of the closed form and of trainings


def compared(pairs: Sequence[tuple[Sweep, Sweep]]) -> bytes:
    """Median test errors of both runs, A and B, of the first sweeps that both have, as PNG."""
    pairs = pairs[:_MOST]
    with matplotlib.rc_context(STYLE):
        figure, axes = grid("Where do the test errors of the two runs differ?", len(pairs))
        for axis, pair in zip(axes[0], pairs, strict=True):
            for sweep, run, colour in zip(pair, "AB", (BLUE, ORANGE), strict=True):
                for (label, rows), style in zip(lines(sweep), _LINES * len(sweep.by_training) or _LINES, strict=False):
                    curve = by_size(rows, sweep.error(), sweep.size)
                    draw(axis, curve, f"{run}: {label}", colour, band=0.1, linestyle=style)
            log_axes(axis, AXES[pair[0].size], f"median test {error_label(pair[0])}")
            fit_y(axis)
            if pair[0].model.has_threshold and pair[0].size != "n_hidden":
                threshold(axis, pair[0].threshold)
            count_ticks(axis)
            axis.set_title(title(pair[0]).replace(", ", "\n"))
        shared_legend(figure, *axes[0])
        return as_files(figure)[1]
