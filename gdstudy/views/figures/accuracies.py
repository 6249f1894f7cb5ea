"""Accuracies, where targets are classes."""

from __future__ import annotations

from itertools import cycle, product

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gdstudy.experiment.tables import Run
from gdstudy.views.figures.axes import count_ticks, shared_legend, threshold
from gdstudy.views.figures.curves import decades, draw, draw_at_steps
from gdstudy.views.figures.labels import limit_label, main_label, panel_title, training_label
from gdstudy.views.figures.style import CHOSEN, EXACT, FEATURES, ORANGE, ROWS, SKY, grid
from gdstudy.views.summary import several
from gdstudy.views.sweeps import Sweep, sweeps

_SHOWN = ("n_train", "n_parameters")


def accuracy(run: Run) -> Figure | None:
    """Test accuracy against N or P: of the main training after t = 10, 10², … steps, of the others, of the closed forms
    that were asked for, and of X⁺y."""
    shown = [s for s in sweeps(run) if s.classes and s.size in _SHOWN and several(s.rows, s.size)]
    if not shown:
        return None
    figure, axes = grid(
        "How many test rows are put in their class, and does stopping early help?", len(shown), height=2.4
    )
    for axis, sweep in zip(axes[0], shown, strict=True):
        if len(sweep.curves):
            who = main_label(run.study)
            draw_at_steps(axis, sweep.curves, "test_accuracy", decades([sweep.curves]), who, sweep.size)
        others = [name for name in sweep.by_training if name != sweep.main]
        styles = product(("-", "--", ":", "-."), (ORANGE, SKY))
        for name, (line, colour) in zip(others, cycle(styles), strict=False):
            median, label = sweep.median(sweep.by_training[name], "test_accuracy"), training_label(run.study, name)
            draw(axis, median, label, colour, band=0, linestyle=line)
        _draw_beside(axis, sweep)
        draw(axis, sweep.median(sweep.rows, "test_accuracy"), limit_label(run.study, "X⁺y"), **EXACT)
        axis.set(xscale="log", xlabel=ROWS if sweep.size == "n_train" else FEATURES, ylabel="test accuracy (share)")
        threshold(axis, sweep.threshold)
        count_ticks(axis)
        axis.set_title(_title(sweep))
    shared_legend(figure, *axes[0])
    return figure


def _draw_beside(axis: Axes, sweep: Sweep) -> None:
    """Ridge whose λ is chosen and, where nothing was trained, exact descent after t steps."""
    steps = [key for key in sweep.beside if key[0].descends and not len(sweep.curves)]
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.88, max(len(steps), 1)))
    for (form, level), colour in zip(steps, colours, strict=False):
        shown = sweep.median(sweep.beside[form, level], "test_accuracy")
        draw(axis, shown, f"{form.label}, {form.named(level)}", colour, band=0)
    for (form, _), rows in sweep.beside.items():
        if not form.levels:
            draw(axis, sweep.median(rows, "test_accuracy"), form.label, CHOSEN, linewidth=1.8)


def _title(sweep: Sweep) -> str:
    model = "" if sweep.model.regression else sweep.model.label
    return panel_title(sweep.seen, sweep.threshold, model, "P" if sweep.size == "n_train" else "N")
