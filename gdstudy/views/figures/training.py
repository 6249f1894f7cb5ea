"""Gradient descent beside what it approaches: against N, at finite t, and as a filter on singular values."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from gdstudy.experiment.tables import Run
from gdstudy.views.figures.axes import fit_y, log_axes, shared_legend
from gdstudy.views.figures.curves import decades, draw, draw_at_steps
from gdstudy.views.figures.labels import axis_label, limit_label, place
from gdstudy.views.figures.panels import Panel, against_n, draw_chosen, panels, swept, trained_panels
from gdstudy.views.figures.style import (
    BLACK,
    BLUE,
    EXACT,
    ORANGE,
    STEPS,
    TEST,
    TIME,
    TOLERANCE,
    TRAIN,
    WIDEST,
    blank,
    grid,
)
from gdstudy.views.summary import by_size, by_step, representative_sizes, select
from gdstudy.views.sweeps import descends, main_training

_TIMES = (10, 100, 1000, 10_000)
# Of the first training and the others.
_LINES = ("-", "-.", ":", (0, (6, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (9, 2, 2, 2)), (0, (2, 2)))


def mse_against_n(run: Run) -> Figure | None:
    """Test and train MSE against N of every training, over X⁺y of the same data."""
    shown = [panel for panel in panels(run) if panel.trainings]
    if not swept(shown):
        return None
    trained = "gradient descent from zero" if descends(run.study) else "what was trained"
    figure, axes = grid(f"Does {trained} follow X⁺y, up to the divergence?", len(shown), height=2.3)
    for axis, panel in zip(axes[0], shown, strict=True):
        for value, colour in (("test_mse", TEST), ("train_mse", TRAIN)):
            for (who, rows), line in zip(panel.trainings.items(), cycle(_LINES), strict=False):
                label = f"{value[:-4]}, trained {who}"
                draw(axis, by_size(rows, value), label, colour, linewidth=2, linestyle=line)
            draw(axis, by_size(panel.exact, value), "X⁺y", band=0, **EXACT)
        draw_chosen(axis, panel)
        against_n(axis, panel, axis_label("test_mse", "MSE"), panel.floor(1e-6), TOLERANCE)
    shared_legend(figure, *axes[0])
    return figure


def test_mse_by_steps(run: Run) -> Figure | None:
    """Test MSE against N after t = 10, 10², … steps and at t = ∞: unfinished GD hides the spike."""
    shown = trained_panels(run)
    if not swept(shown):
        return None
    figure, axes = grid("How many steps until gradient descent shows the spike at N = P?", len(shown), height=2.3)
    steps = decades([panel.curves for panel in shown])
    for axis, panel in zip(axes[0], shown, strict=True):
        draw_at_steps(axis, panel.curves, "test_mse", steps, panel.who)
        draw(axis, by_size(panel.exact, "test_mse"), limit_label(run.study, "X⁺y"), band=0, **EXACT)
        against_n(axis, panel, axis_label("test_mse", "median test MSE"))
    shared_legend(figure, *axes[0])
    return figure


def distance_by_steps(run: Run) -> Figure | None:
    """Distance to X⁺y against t below, at and above the threshold, trained over predicted."""
    shown = trained_panels(run)
    if not shown:
        return None
    exact = run.study.trained[main_training(run.study)].plain
    title = "How long until gradient descent reaches its limit, and as predicted?"
    if descends(run.study):
        title = "How long until gradient descent reaches X⁺y, and as predicted?"
    elif not exact:
        title = f"How long until {shown[0].who} reaches X⁺y, if it does?"
    figure, axes = grid(title, len(shown), height=2.3)
    for axis, panel in zip(axes[0], shown, strict=True):
        sizes = representative_sizes(panel.curves["n_train"].to_numpy(), panel.P)
        for n in sizes:
            cells = select(panel.curves, n_train=n)
            colour, label = place(n, panel.P)
            draw(axis, by_step(cells, "distance"), f"{label}, trained", colour, linewidth=2.5, alpha=0.6)
            if exact:
                draw(axis, by_step(cells, "exact_distance"), "predicted, exact iterate", band=0, **EXACT)
        limit = "X⁺y" if descends(run.study) or not exact else "limit"
        log_axes(axis, TIME if descends(run.study) else STEPS, f"‖W_t − {limit}‖ / ‖{limit}‖ (no unit)")
        fit_y(axis, 1e-16)
        axis.set_title(f"{panel.title()}\nN = {', '.join(map(str, sizes))}")
    shared_legend(figure, *axes[0])
    return figure


def _cut_and_trained(run: Run) -> list[tuple[Panel, DataFrame, DataFrame]]:
    """Data sets trained by plain descent at N = P and cut off there too: each with checkpoints and cutoff rows of
    N = P."""
    found = []
    for panel in trained_panels(run) if descends(run.study) else []:
        if ("min_norm", "singular_value_cutoff") in panel.rows:
            trained = select(panel.curves, n_train=panel.P)
            cut = select(panel.rows["min_norm", "singular_value_cutoff"], n_train=panel.P)
            if len(trained) and len(cut):
                found.append((panel, trained, cut))
    return found


def early_stopping(run: Run) -> Figure | None:
    """GD stopped after t steps learns the modes above σ₁/√t (as 1/√(ηt)): beside a hard cutoff there."""
    shown = _cut_and_trained(run)
    if not shown:
        return None
    figure = blank("Does stopping early act like a cutoff of singular values?", WIDEST, 4.5)
    cells = figure.add_gridspec(2, len(shown), height_ratios=(1, 1.1))
    top = figure.add_subplot(cells[0, :])
    _draw_filters(top)
    axes = [figure.add_subplot(cells[1, k]) for k in range(len(shown))]
    for axis, (panel, trained, cut) in zip(axes, shown, strict=True):
        _draw_cutoffs(axis, panel, trained, cut)
    shared_legend(figure, top, *axes)
    return figure


def _draw_filters(axis: Axes) -> None:
    share = np.geomspace(1e-3, 1, 400)  # σ/σ₁
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.88, len(_TIMES)))
    for t, colour in zip(_TIMES, colours, strict=True):
        # At σ = σ₁ one step learns all: log1p(−1) = −∞ is meant.
        with np.errstate(divide="ignore"):
            learnt = -np.expm1(t * np.log1p(-(share**2)))
        axis.plot(share, learnt, color=colour, linewidth=2, label=f"GD, t = {t:,}")
        cutoff = 1 / np.sqrt(t)
        axis.plot([share[0], cutoff, cutoff, 1], [0, 0, 1, 1], color=colour, linestyle="--", linewidth=1)
    axis.plot([], [], color=BLACK, linestyle="--", linewidth=1, label="hard cutoff at 1/√t")
    axis.set(xscale="log", xlabel="singular value σ/σ₁ (no unit)", ylabel="share of a mode learnt (no unit)")
    axis.set(xlim=(1e-3, 1), ylim=(-0.03, 1.05))
    axis.set_title("Filter factors 1 − (1 − σ²/σ₁²)ᵗ of gradient descent at η = 1/σ₁², and of hard cutoffs")


def _draw_cutoffs(axis: Axes, panel: Panel, trained: DataFrame, cut: DataFrame) -> None:
    """Test MSE at N = P against the effective cutoff, 1/√(ηt) for GD; median and quartiles over seeds."""
    (gd, *_), whole = panel.trainings.values(), select(panel.exact, n_train=panel.P)
    eta = float(select(gd, n_train=panel.P)["step_size"].median())
    curve = by_step(trained, "test_mse")
    started = replace(curve, x=1 / np.sqrt(eta * np.where(curve.x > 0, curve.x, np.nan)))
    draw(axis, started, f"trained {panel.who} after t steps, at 1/√(ηt)", BLUE, linewidth=2)
    hard = by_size(cut, "test_mse", size="level")
    draw(axis, hard, "hard cutoff of σ (X⁺y)", ORANGE, marker="o", markersize=4)
    level = float(by_size(whole, "test_mse").median[0])
    axis.axhline(level, color=BLACK, linestyle="--", linewidth=1, label="X⁺y, nothing cut off, median")
    log_axes(axis, "effective cutoff of σ (units of X)", axis_label("test_mse", "test MSE at N = P"))
    axis.set_title(panel.title().replace("(P", "(N = P"))
