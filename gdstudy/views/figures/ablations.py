"""What is left of the divergence when one factor of Eqn. 1 is taken out: Figs. 2–4, and adversarial data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gdstudy.experiment.tables import Run, Table
from gdstudy.views.figures.style import (
    BLACK,
    BLUE,
    ROUNDING,
    ROWS,
    Panel,
    count_ticks,
    draw,
    fit_y,
    grid,
    level_bar,
    level_colours,
    log_axes,
    panels,
    shared_legend,
    swept,
    threshold,
)
from gdstudy.views.summary import by_size, groups


@dataclass(frozen=True)
class _Ablation:
    question: str
    of_gd: str
    level: str


_ABLATIONS = {
    "singular_value_cutoff": _Ablation(
        "Does the divergence go when small singular values are removed?",
        "Does the divergence of trained GD go when small singular values are removed?",
        "cutoff of σ (units of X)",
    ),
    "leading_modes": _Ablation(
        "Does the divergence go when test features lie in the leading modes of the training features?",
        "Does the divergence of trained GD go when test features lie in the leading modes?",
        "leading modes kept (number)",
    ),
    "no_residuals": _Ablation(
        "Does the divergence go when the targets have no residuals?",
        "Does the divergence of trained GD go when the targets have no residuals?",
        "",
    ),
    "adversarial_test": _Ablation(
        "How much worse are test rows moved along the weakest training direction?",
        "How much worse are test rows moved along the weakest direction for trained GD?",
        "shift along v_R (units of X)",
    ),
    "adversarial_train": _Ablation(
        "How much worse are training targets moved along the weakest direction?",
        "How much worse are training targets moved along the weakest direction for trained GD?",
        "shift along u_R (units of y)",
    ),
}


def wanted(run: Run, name: str) -> bool:
    return swept(panels(run.results, ("min_norm", name)))


def wanted_trained(run: Run, name: str) -> bool:
    return swept(panels(run.results, ("min_norm", name), ("gd", name), ("gd", "none")))


def ablation(run: Run, name: str) -> Figure:
    """Test and train MSE of X⁺y against N at each level of an ablation, over nothing ablated."""
    shown = panels(run.results, ("min_norm", name), raw=True)
    return _figure(shown, name, _ABLATIONS[name].question, "min_norm")


def ablation_trained(run: Run, name: str) -> Figure:
    """The same for trained GD, with X⁺y of the same data as thin dashed lines."""
    shown = panels(run.results, ("min_norm", name), ("gd", name), ("gd", "none"))
    return _figure(shown, name, _ABLATIONS[name].of_gd, "gd")


def _levels(panel: Panel, name: str, estimator: str) -> dict[float, Table]:
    """Rows of each level; an ablation without levels has one, 0."""
    return {0.0 if level != level else level: rows for (level,), rows in groups(panel.rows[estimator, name], "level")}


def _figure(shown: list[Panel], name: str, question: str, estimator: str) -> Figure:
    levels = sorted({level for panel in shown for level in _levels(panel, name, "min_norm")})
    colours = {0.0: BLUE} if name == "no_residuals" else level_colours(levels)
    figure, axes = grid(question, len(shown), 2, height=2.2)
    for column, panel in zip(axes.T, shown, strict=True):
        for axis, value in zip(column, ("test_mse", "train_mse"), strict=True):
            _draw_levels(axis, panel, name, value, colours, estimator)
            log_axes(axis, ROWS if value == "train_mse" else "", f"{value[:-4]} MSE (squared units of y)")
            note = ROUNDING + (" or\ntolerance" if estimator == "gd" else "")
            fit_y(axis, panel.floor(1e-10 if name == "no_residuals" else 1e-6), note)
            threshold(axis, panel.P)
            count_ticks(axis)
        column[0].set_title(panel.title())
    if name != "no_residuals":
        level_bar(figure, axes, colours, _ABLATIONS[name].level)
    note = "Lines: medians over seeds. Bands: quartiles, of the strongest level and of nothing ablated."
    shared_legend(figure, *axes.flat, note="" if name == "no_residuals" else note)
    return figure


def _draw_levels(axis: Axes, panel: Panel, name: str, value: str, colours: dict[float, Any], estimator: str) -> None:
    """Medians of all levels; quartiles of the strongest one and of nothing ablated: more would hide each other."""
    who, what = (
        ("trained GD" if estimator == "gd" else "X⁺y"),
        ("no residuals" if name == "no_residuals" else "ablated"),
    )
    levels = _levels(panel, name, estimator)
    strongest = min(levels) if name == "leading_modes" else max(levels)
    for level, rows in levels.items():
        band = 0.2 if level == strongest else 0
        draw(axis, by_size(rows, value), f"{who}, {what}", colours[level], band, linewidth=1.4)
    if estimator == "gd":
        for level, rows in _levels(panel, name, "min_norm").items():
            style: Any = {"linestyle": "--", "linewidth": 0.8}
            draw(axis, by_size(rows, value), f"X⁺y, {what}", colours[level], 0, **style)
    dashes: Any = {"linewidth": 1.4, "linestyle": (0, (4, 2))}
    draw(axis, by_size(panel.rows[estimator, "none"], value), f"{who}, nothing ablated", BLACK, 0.12, **dashes)
