"""Linear autoencoders through a bottleneck: their error, when each component is learnt, what their start decides."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gdstudy.experiment.tables import Run, Table
from gdstudy.views.figures.style import (
    BLACK,
    BLUE,
    EXACT,
    GREEN,
    GREY,
    LOST,
    ROWS,
    TIME,
    count_ticks,
    draw,
    fit_y,
    grid,
    level_bar,
    level_colours,
    log_axes,
    most_steps,
    nearest,
    panel_title,
    readable,
    several,
    shared_legend,
    threshold,
    trainer,
)
from gdstudy.views.summary import (
    REFERENCES,
    Curve,
    at_steps,
    by_size,
    by_step,
    groups,
    quantiles,
    relative,
    select,
    trained_rows,
)

_STARTS = {
    "bottleneck": ("small start", BLUE),
    "bottleneck_aligned": ("aligned start", GREEN),
    "bottleneck_zero": ("zero start", BLACK),
}


def _held(table: Table) -> Table:
    """Rows at the largest hidden width and the N nearest to 2 D."""
    n = nearest(np.unique(table["n_train"]), 2 * table["n_parameters"][0])
    return select(table, n_train=n, n_hidden=table["n_hidden"].max())


def _what(table: Table) -> str:
    """Data set, D, k and N of a panel where they are held."""
    D, k, n = (int(table[name][0]) for name in ("n_parameters", "n_hidden", "n_train"))
    name = readable(str(table["dataset"][0])).replace(", ", "\n")
    return f"{name}\nD = {D}, k = {k}, N = {n}"


def _errors(run: Run) -> list[tuple[str, Table]]:
    """(data set, rows of the bottleneck started small), studied at more than one N."""
    table = select(relative(run.results), model="bottleneck", ablation="none")
    return [(dataset, rows) for (dataset,), rows in groups(table, "dataset") if several(rows, "n_train")]


def wanted_error(run: Run) -> bool:
    return bool(_errors(run))


def bottleneck_error(run: Run) -> Figure:
    """Test error against N for each hidden width k: trained from a small start, over the best map of rank k."""
    shown = _errors(run)
    widths = sorted({int(k) for _, rows in shown for k in np.unique(rows["n_hidden"])})
    colours = level_colours(widths)
    figure, axes = grid("Does an autoencoder with a bottleneck diverge too?", len(shown), height=2.9)
    for axis, (dataset, rows) in zip(axes[0], shown, strict=True):
        for k in widths:
            here = select(rows, n_hidden=k)
            closed = {name: column[np.isin(here["estimator"], REFERENCES)] for name, column in here.items()}
            trained = trained_rows(here)
            if len(trained["step"]):
                label = f"k = {k}, trained {trainer(trained)} from a small start"
                draw(axis, by_size(trained, "relative_test_mse"), label, colours[k], linewidth=3.5, alpha=0.4)
            darker = tuple(0.65 * part for part in colours[k][:3])
            style: Any = {"color": darker, "linestyle": "--", "linewidth": 1.5}
            draw(axis, by_size(closed, "relative_test_mse"), f"k = {k}, best map", band=0, **style)
        log_axes(axis, ROWS, LOST)
        fit_y(axis)
        D = int(rows["n_parameters"][0])
        threshold(axis, D, "threshold N = D")
        count_ticks(axis, both=True)
        axis.set_title(panel_title(dataset, D, symbol="D"))
    note = (
        "k: hidden width. Best map: the projector on k principal components or, from noisy inputs, reduced-rank "
        f"regression. {most_steps([rows for _, rows in shown])}"
    )
    shared_legend(figure, *axes[0], note=note)
    return figure


def _modes(run: Run) -> list[list[Table]]:
    """For each data set, the arrays of the small and of the aligned start; without noise unless all have some."""
    found: dict[str, list[Table]] = {}
    for (dataset, model), rows in groups(run.arrays, "dataset", "model"):
        if model in ("bottleneck", "bottleneck_aligned"):
            found.setdefault(dataset, []).append(_held(rows))
    plain = [tables for dataset, tables in found.items() if "+noise" not in dataset]
    return plain or list(found.values())


def wanted_modes(run: Run) -> bool:
    return bool(_modes(run))


def bottleneck_modes(run: Run) -> Figure:
    """Strength of each leading component against t, trained, in the exact map and in the gradient flow; seed 0."""
    shown = _modes(run)
    figure, axes = grid("When is each principal component learnt?", max(map(len, shown)), len(shown), height=2.6)
    figure.set_figwidth(9)
    n_modes = max(int(tables[0]["n_hidden"][0]) for tables in shown)
    colours = level_colours(range(1, n_modes + 1))
    for line, tables in zip(axes, shown, strict=True):
        for axis, table in zip(line, tables, strict=True):
            _draw_modes(axis, table, colours)
            start, _ = _STARTS[str(table["model"][0])]
            axis.set_title(f"{_what(table)}: {start}")
    level_bar(figure, axes, colours, "component, strongest first (number)")
    note = (
        "A, B: encoder and decoder; v: a component of the training inputs of seed 0. Aligned: started on these "
        "components. Gradient flow: of infinitely small steps."
    )
    shared_legend(figure, *axes.flat, note=note)
    return figure


def _draw_modes(axis: Axes, table: Table, colours: dict[float, Any]) -> None:
    styles: dict[str, tuple[str, Any]] = {
        "mode_strengths": (f"trained {trainer(table)}", {"linewidth": 2.5, "alpha": 0.7}),
        "exact_strengths": ("exact map, step by step", EXACT),
        "flow_strengths": ("gradient flow (Saxe et al. 2014)", {"color": GREY, "linestyle": ":", "linewidth": 1.6}),
    }
    for name, (label, style) in styles.items():
        part = select(table, name=name)
        if len(part["step"]):
            for r, strength in enumerate(np.stack(list(part["value"])).T):
                axis.plot(part["step"], strength, label=label, **{"color": colours[r + 1], **style})
    axis.set(xscale="log", xlabel=TIME, ylabel="strength v·(AB)v (share learnt)", ylim=(-0.03, 1.08))


def _starts(run: Run) -> list[dict[str, Table]]:
    """For each data set, checkpoints of the starts at one N and k; where there is more than one start."""
    found: dict[str, dict[str, Table]] = {}
    for (dataset, model), rows in groups(run.curves, "dataset", "model"):
        if model in BOTTLENECKS:
            found.setdefault(dataset, {})[model] = _held(rows)
    return [tables for tables in found.values() if len(tables) > 1]


def wanted_starts(run: Run) -> bool:
    return bool(_starts(run))


def bottleneck_starts(run: Run) -> Figure:
    """Distance to the best map of rank k against t, by start."""
    shown = _starts(run)
    figure, axes = grid("Does the start decide where a bottleneck ends?", len(shown), height=2.8)
    for axis, tables in zip(axes[0], shown, strict=True):
        last = max(table["step"].max() for table in tables.values())
        for model, (label, colour) in _STARTS.items():
            if model in tables:
                stalled = " (stalled)" if (tables[model]["status"] == "stalled").any() else ""
                curve = _until(tables[model], "distance", last)
                draw(axis, curve, label + stalled, colour, linewidth=1.8, linestyle="--" if stalled else "-")
        log_axes(axis, TIME, "‖AB − best‖ / ‖best‖ (no unit)")
        fit_y(axis, 1e-16)
        axis.set_title(_what(next(iter(tables.values()))))
    shared_legend(
        figure,
        *axes[0],
        note="A, B: encoder and decoder. Best: the best map of rank k. Bands: quartiles over seeds.",
    )
    return figure


def _until(curves: Table, value: str, last: int) -> Curve:
    """Quartiles over cells from t = 1 to the last step: what has finished stands where it finished."""
    steps = np.unique(np.r_[1, by_step(curves, value).x, last])
    steps = steps[steps > 0]
    _, values = at_steps(curves, value, steps)
    low, median, high = quantiles(values)
    return Curve(steps, low, median, high, values.mean(0))
