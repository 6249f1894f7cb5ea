"""Linear autoencoders through a bottleneck: their error, when each component is learnt, what their start decides."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from gdstudy.experiment.tables import Run
from gdstudy.study.models import MODELS, REFERENCES, Model
from gdstudy.views.figures.axes import count_ticks, fit_y, level_bar, log_axes, log_x, shared_legend, threshold
from gdstudy.views.figures.curves import draw
from gdstudy.views.figures.labels import data_label, main_label, most_steps, panel_title
from gdstudy.views.figures.style import BLACK, BLUE, EXACT, GREEN, GREY, LOST, ROWS, STEPS, grid, level_colours
from gdstudy.views.summary import SEEN, Seen, by_size, by_step, groups, nearest, relative, select, several
from gdstudy.views.sweeps import main_training, parts

_STARTS = {"small": ("small start", BLUE), "aligned": ("aligned start", GREEN), "zero": ("zero start", BLACK)}


def _is_bottleneck(model: Model) -> bool:
    return model.reference == "reduced_rank"


def _held(table: DataFrame) -> DataFrame:
    """Rows at the largest hidden width and, of its N, the one nearest to 2 D."""
    widest = select(table, n_hidden=table["n_hidden"].max())
    return select(widest, n_train=nearest(np.unique(widest["n_train"]), 2 * widest["n_parameters"].iloc[0]))


def _what(table: DataFrame) -> str:
    """Data set, D, k and N of a panel where they are held."""
    *seen, D, k, n = (table[name].iloc[0] for name in (*SEEN, "n_parameters", "n_hidden", "n_train"))
    name = data_label(*seen).replace(", ", "\n")
    return f"{name}\nD = {D:.0f}, k = {k:.0f}, N = {n:.0f}"


def bottleneck_error(run: Run) -> Figure | None:
    """Test error against N for each hidden width k: trained from a small start, over the best map of rank k."""
    shown = [
        (seen, relative(select(rows, ablation="none")))
        for (seen, model), (rows, _) in parts(run).items()
        if _is_bottleneck(model) and model.start == "small" and several(rows, "n_train")
    ]
    if not shown:
        return None
    widths = sorted({int(k) for _, rows in shown for k in np.unique(rows["n_hidden"])})
    colours = level_colours(widths)
    figure, axes = grid("Does an autoencoder with a bottleneck diverge too?", len(shown), height=2.4)
    for axis, (seen, rows) in zip(axes[0], shown, strict=True):
        for k in widths:
            here = select(rows, n_hidden=k)
            closed = here[here["estimator"].isin(REFERENCES)]
            if len(trained := select(here, estimator=main_training(run.study))):
                label = f"k = {k}, trained {main_label(run.study)} from a small start"
                draw(axis, by_size(trained, "relative_test_mse"), label, colours[k], linewidth=3.5, alpha=0.4)
            darker = tuple(0.65 * part for part in colours[k][:3])
            style: Any = {"color": darker, "linestyle": "--", "linewidth": 1.5}
            draw(axis, by_size(closed, "relative_test_mse"), f"k = {k}, best map", band=0, **style)
        log_axes(axis, ROWS, LOST)
        fit_y(axis)
        D = int(rows["n_parameters"].iloc[0])
        threshold(axis, D, "threshold N = D")
        count_ticks(axis, both=True)
        axis.set_title(panel_title(seen, D, symbol="D"))
    note = (
        "k: hidden width. Best map: the projector on k principal components or, from noisy inputs, reduced-rank "
        f"regression. {most_steps(run.study, [rows for _, rows in shown])}"
    )
    shared_legend(figure, *axes[0], note=note)
    return figure


def _modes(run: Run) -> list[list[DataFrame]]:
    """For each data set, the arrays of the small and of the aligned start; without noise unless all have some."""
    found: dict[tuple, list[DataFrame]] = {}
    for (*seen, model), rows in groups(select(run.arrays, estimator=main_training(run.study)), *SEEN, "model"):
        if _is_bottleneck(MODELS[model]) and not MODELS[model].stalls:
            found.setdefault(tuple(seen), []).append(_held(rows))
    return [tables for (*_, noise), tables in found.items() if not noise] or list(found.values())


def bottleneck_modes(run: Run) -> Figure | None:
    """Strength of each leading component against t, trained, in the exact map and in the gradient flow; first seed."""
    shown = _modes(run)
    if not shown:
        return None
    figure, axes = grid("When is each principal component learnt?", max(map(len, shown)), len(shown), height=2.2)
    n_modes = max(int(tables[0]["n_hidden"].iloc[0]) for tables in shown)
    colours = level_colours(range(1, n_modes + 1))
    for line, tables in zip(axes, shown, strict=True):
        for axis, table in zip(line, tables, strict=True):
            _draw_modes(axis, table, colours, main_label(run.study))
            start, _ = _STARTS[MODELS[table["model"].iloc[0]].start]
            axis.set_title(f"{_what(table)}\n{start}")
    level_bar(figure, axes, colours, "component, strongest first (number)")
    note = (
        "A, B: encoder and decoder; v: a component of the training inputs of seed "
        f"{run.study.seeds[0]}. Aligned: started on these components. Gradient flow: of infinitely small steps."
    )
    shared_legend(figure, *axes.flat, note=note)
    return figure


def _draw_modes(axis: Axes, table: DataFrame, colours: dict[float, Any], trained_by: str) -> None:
    styles: dict[str, tuple[str, Any]] = {
        "mode_strengths": (f"trained {trained_by}", {"linewidth": 2.5, "alpha": 0.7}),
        "exact_strengths": ("exact map, step by step", EXACT),
        "flow_strengths": ("gradient flow (Saxe et al. 2014)", {"color": GREY, "linestyle": ":", "linewidth": 1.6}),
    }
    for name, (label, style) in styles.items():
        part = select(table, name=name)
        if len(part):
            for r, strength in enumerate(np.stack(list(part["value"])).T):
                axis.plot(part["step"], strength, label=label, **{"color": colours[r + 1], **style})
    log_x(axis)
    axis.set(xlabel=STEPS, ylabel="strength v·(AB)v (share learnt)", ylim=(-0.03, 1.08))


def _starts(run: Run) -> list[dict[str, DataFrame]]:
    """For each data set, checkpoints of the starts at one N and k; where there is more than one start."""
    found: dict[Seen, dict[str, DataFrame]] = {}
    for (seen, model), (_, curves) in parts(run).items():
        rows = select(curves, estimator=main_training(run.study))
        if _is_bottleneck(model) and len(rows):
            found.setdefault(seen, {})[model.start] = _held(rows)
    return [tables for tables in found.values() if len(tables) > 1]


def bottleneck_starts(run: Run) -> Figure | None:
    """Distance to the best map of rank k against t, by start."""
    shown = _starts(run)
    if not shown:
        return None
    figure, axes = grid("Does the start decide where a bottleneck ends?", len(shown), height=2.4)
    for axis, tables in zip(axes[0], shown, strict=True):
        last = max(table["step"].max() for table in tables.values())
        for start, (label, colour) in _STARTS.items():
            if start in tables:
                stalled = " (stalled)" if (tables[start]["status"] == "stalled").any() else ""
                # From t = 1 to the last step of all: what has finished stands where it finished.
                steps = np.unique(np.r_[1, by_step(tables[start], "distance").x, last])
                curve = by_step(tables[start], "distance", steps[steps > 0])
                draw(axis, curve, label + stalled, colour, linewidth=1.8, linestyle="--" if stalled else "-")
        log_axes(axis, STEPS, "‖AB − best‖ / ‖best‖ (no unit)")
        fit_y(axis, 1e-16)
        axis.set_title(_what(next(iter(tables.values()))))
    shared_legend(
        figure,
        *axes[0],
        note="A, B: encoder and decoder. Best: the best map of rank k. Bands: quartiles over seeds.",
    )
    return figure
