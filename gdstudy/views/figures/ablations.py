"""What is left of the divergence when one factor of Eqn. 1 is taken out: Figs. 2–4, and adversarial data."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from gdstudy.experiment.tables import Run
from gdstudy.study.ablations import ABLATIONS, Ablation
from gdstudy.views.figures.axes import count_ticks, fit_y, level_bar, log_axes, shared_legend, threshold
from gdstudy.views.figures.curves import draw
from gdstudy.views.figures.labels import axis_label
from gdstudy.views.figures.panels import Panel, panels, swept
from gdstudy.views.figures.style import BLACK, BLUE, ROUNDING, ROWS, TOLERANCE, grid, level_colours
from gdstudy.views.summary import by_size, groups
from gdstudy.views.sweeps import main_training

_MOST_LEVELS = 7


def ablation(run: Run, name: str) -> Figure | None:
    """Test and train MSE of X⁺y against N at each level of an ablation, over nothing ablated."""
    shown = panels(run, ("min_norm", name), raw=True)
    return _figure(shown, ABLATIONS[name], ABLATIONS[name].question) if swept(shown) else None


def ablation_trained(run: Run, name: str) -> Figure | None:
    """The same for trained GD, with X⁺y of the same data as thin dashed lines."""
    main = main_training(run.study)
    shown = panels(run, ("min_norm", name), (main, name), (main, "none"))
    return _figure(shown, ABLATIONS[name], ABLATIONS[name].of_gd, main) if swept(shown) else None


def _levels(panel: Panel, ablation: Ablation, estimator: str) -> dict[float, DataFrame]:
    """Rows of each level; an ablation without levels has one, 0."""
    rows = panel.rows[estimator, ablation.name]
    return {level: part for (level,), part in groups(rows, "level")} if ablation.has_levels else {0.0: rows}


def drawn_levels(studied: list[dict[float, DataFrame]]) -> list[float]:
    """Of the levels of every panel the weakest and the strongest and, up to seven in all, those farthest from what is
    drawn already: more colours could not be told apart. The store keeps all."""
    levels = sorted({level for of_panel in studied for level in of_panel})
    drawn = {levels.index(end) for of_panel in studied for end in (min(of_panel), max(of_panel))}
    while len(drawn) < min(_MOST_LEVELS, len(levels)):
        drawn.add(max(range(len(levels)), key=lambda k: min(abs(k - other) for other in drawn)))
    return [levels[k] for k in sorted(drawn)]


def _figure(shown: list[Panel], ablation: Ablation, question: str, trained: str = "") -> Figure:
    """trained: the estimator of what was trained, if that is what is shown. Train errors are drawn where the ablation
    changes the training problem."""
    levels = drawn_levels([_levels(panel, ablation, "min_norm") for panel in shown])
    colours = level_colours(levels) if ablation.has_levels else {0.0: BLUE}
    errors = ("test_mse", "train_mse") if ablation.retrains else ("test_mse",)
    figure, axes = grid(question, len(shown), len(errors), height=1.75 if ablation.retrains else 2.1)
    for column, panel in zip(axes.T, shown, strict=True):
        for axis, value in zip(column, errors, strict=True):
            _draw_levels(axis, panel, ablation, value, colours, trained)
            log_axes(axis, ROWS, axis_label(value))
            fit_y(axis, panel.floor(1e-10 if ablation.exact else 1e-6), TOLERANCE if trained else ROUNDING)
            threshold(axis, panel.P)
            count_ticks(axis)
        column[0].set_title(panel.title())
    note = ""
    if ablation.has_levels:
        level_bar(figure, axes, colours, ablation.level)
        note = "Lines: medians over seeds. Bands: quartiles, of the strongest level and of nothing ablated."
    shared_legend(figure, *axes.flat, note=note)
    return figure


def _draw_levels(
    axis: Axes, panel: Panel, ablation: Ablation, value: str, colours: dict[float, Any], trained: str
) -> None:
    """Medians of levels with a colour; quartiles of the strongest and of nothing ablated: more hide each other."""
    who = f"trained {panel.who}" if trained else "X⁺y"
    what = "ablated" if ablation.has_levels else ablation.name.replace("_", " ")
    levels = _levels(panel, ablation, trained or "min_norm")
    strongest = min(levels) if ablation.weakest_last else max(levels)
    for level, rows in _in(colours, levels):
        band = 0.2 if level == strongest else 0
        draw(axis, by_size(rows, value), f"{who}, {what}", colours[level], band, linewidth=1.4)
    if trained:
        for level, rows in _in(colours, _levels(panel, ablation, "min_norm")):
            style: Any = {"linestyle": "--", "linewidth": 0.8}
            draw(axis, by_size(rows, value), f"X⁺y, {what}", colours[level], 0, **style)
    dashes: Any = {"linewidth": 1.4, "linestyle": (0, (4, 2))}
    whole = panel.rows[trained or "min_norm", "none"]
    draw(axis, by_size(whole, value), f"{who}, nothing ablated", BLACK, 0.12, **dashes)


def _in(colours: dict[float, Any], levels: dict[float, DataFrame]) -> list[tuple[float, DataFrame]]:
    """Those levels that have a colour."""
    return [(level, rows) for level, rows in levels.items() if level in colours]
