"""Ridge regression and gradient descent stopped early beside X⁺y: against N, and ridge as its penalty falls to zero."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from pandas import DataFrame

from gdstudy.experiment.tables import Run
from gdstudy.study.estimators import CLOSED_FORMS
from gdstudy.views.figures.axes import fit_y, log_axes, shared_legend
from gdstudy.views.figures.curves import draw
from gdstudy.views.figures.labels import axis_label, place
from gdstudy.views.figures.panels import Panel, against_n, draw_chosen, panels, swept
from gdstudy.views.figures.style import BLACK, EXACT, grid
from gdstudy.views.summary import Curve, by_size, representative_sizes, select


def _with(run: Run, name: str) -> list[Panel]:
    return panels(run, (name, "none"))


def ridge_against_n(run: Run) -> Figure | None:
    """Test MSE against N at each penalty of ridge and at the one that leave-one-out chooses, over X⁺y."""
    shown = _with(run, "ridge") or _with(run, "ridge_loo")
    return _against_n(shown, "ridge", "Does ridge regression take the divergence away?") if swept(shown) else None


def gd_exact_against_n(run: Run) -> Figure | None:
    """Test MSE against N of gradient descent after t steps that were not taken, over X⁺y and beside ridge."""
    shown = _with(run, "gd_exact")
    question = "What would gradient descent give after t steps?"
    return _against_n(shown, "gd_exact", question) if swept(shown) else None


def _against_n(shown: list[Panel], name: str, question: str) -> Figure:
    figure, axes = grid(question, len(shown), height=2.3)
    for axis, panel in zip(axes[0], shown, strict=True):
        levels = [key for key in panel.beside if key[0].name == name and key[0].levels]
        colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.88, max(len(levels), 1)))
        for (form, level), colour in zip(levels, colours, strict=False):
            test = by_size(panel.beside[form, level], "test_mse")
            draw(axis, test, f"{form.label}, {form.named(level)}", colour, band=0)
        draw_chosen(axis, panel)
        draw(axis, by_size(panel.exact, "test_mse"), "X⁺y", band=0, **EXACT)
        against_n(axis, panel, axis_label("test_mse", "median test MSE"))
    shared_legend(figure, *axes[0], note=_note(shown[0], name))
    return figure


def _note(panel: Panel, name: str) -> str:
    """In what its levels are given."""
    if (name, "none") not in panel.rows or not CLOSED_FORMS[name].penalises:
        return ""
    return "λ in units of σ₁²/N of the training features." if panel.study.ridge.relative else "λ in squared units of X."


def ridge_limit(run: Run) -> Figure | None:
    """Norm of ridge over that of X⁺y and its distance to X⁺y against λ, at three N around the threshold (App. D)."""
    shown = _with(run, "ridge")
    if not shown or len(run.study.ridge.levels) < 2:
        return None
    figure, axes = grid("Does ridge regression tend to X⁺y as λ → 0, from below?", len(shown), 2, height=2.1)
    for column, panel in zip(axes.T, shown, strict=True):
        for n in representative_sizes(panel.rows["ridge", "none"]["n_train"].to_numpy(), panel.P):
            colour, label = place(n, panel.P)
            here = _beside_its_limit(panel, n)
            for axis, value in zip(column, ("norm", "distance"), strict=True):
                draw(axis, _against_penalty(here, value), label, colour, marker="o", markersize=3.5)
        column[0].axhline(1, color=BLACK, linestyle="--", linewidth=1, label="X⁺y")
        column[0].set(xscale="log", ylim=(-0.03, 1.08), ylabel="‖w_λ‖ / ‖X⁺y‖ (no unit)")
        log_axes(column[1], "penalty λ (squared units of X)", "‖w_λ − X⁺y‖ / ‖X⁺y‖ (no unit)")
        fit_y(column[1], 1e-15)
        column[0].set_title(panel.title())
    shared_legend(figure, *axes.flat, note="Medians over seeds of λ and of what stands against it, and quartiles.")
    return figure


def _beside_its_limit(panel: Panel, n: int) -> DataFrame:
    """Rows of ridge at λ > 0 and one N with `norm`, ‖w_λ‖ / ‖X⁺y‖ of the same cell."""
    rows = select(panel.rows["ridge", "none"], n_train=n)
    limit = select(panel.exact, n_train=n).set_index("seed")["weight_norm"].reindex(rows["seed"]).to_numpy()
    return rows.assign(norm=rows["weight_norm"] / limit)[rows["penalty"].to_numpy() > 0]


def _against_penalty(rows: DataFrame, value: str) -> Curve:
    """Quartiles over cells at each level, beside the median λ there."""
    penalty, curve = by_size(rows, "penalty", "level"), by_size(rows, value, "level")
    return Curve(penalty.median, curve.low, curve.median, curve.high, curve.mean)
