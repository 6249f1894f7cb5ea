"""One problem of one's own: its errors against N, by mode and along gradient descent."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from gdstudy.views.figures.axes import count_ticks, fit_y, log_axes, shared_legend, threshold
from gdstudy.views.figures.files import plain_ticks
from gdstudy.views.figures.labels import axis_label
from gdstudy.views.figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, PINK, ROWS, STYLE, TIME, grid

_MANY = 60  # modes, of which one is no wider than a line


def draw_diagnosis(
    learning: DataFrame,
    modes: DataFrame,
    path: DataFrame,
    at: int,
    budget: int,
    errors: tuple[float, float],
    title: str,
) -> Figure:
    """Tables as of `Diagnosis`; at: the N of the threshold; budget: of steps; errors: of the best ridge and of null."""
    with matplotlib.rc_context(STYLE):
        figure, ((of_n, by_mode, of_t),) = grid(title, 3, height=2.6)
        _against_n(of_n, learning, at)
        _by_mode(by_mode, modes)
        _along_descent(of_t, path, budget, errors)
        shared_legend(figure, of_n, by_mode, of_t)
        plain_ticks(figure)
    return figure


def _against_n(axis: Axes, learning: DataFrame, at: int) -> None:
    for name, label, colour, marker in (("min_norm", "X⁺y", BLUE, "o"), ("ridge_loo", "ridge, best λ", GREEN, "s")):
        axis.plot(learning["n_train"], learning[name], color=colour, marker=marker, markersize=3.5, label=label)
    axis.set_title("What would fewer rows give?")
    if _log_axes(axis, ROWS, learning[["min_norm", "ridge_loo"]].to_numpy()):
        fit_y(axis)
        threshold(axis, at, "interpolation threshold")
        count_ticks(axis)


def _by_mode(axis: Axes, modes: DataFrame) -> None:
    shares = modes["share"].to_numpy()
    r = np.arange(1, len(shares) + 1)
    none = "" if np.isfinite(shares).any() else "\n(the best fit leaves no residuals)"
    axis.set_title("Which modes carry the error?" + none)
    # With an edge, which one of hundreds is seen by.
    axis.bar(r, np.nan_to_num(shares), width=1, color=ORANGE, edgecolor=ORANGE, label="share of variance (Eqn. 1)")
    axis.set(xlabel="mode r (the strongest first)", ylabel="share of variance (no unit)", ylim=(0, None))
    scale = axis.twinx()
    s = modes["singular_value"].to_numpy()
    shown = s > 0
    if shown.any():
        scale.plot(r[shown], s[shown] / s.max(), color=BLACK, linewidth=1)
        scale.set(yscale="log")
    scale.set(ylabel="σ_r/σ₁ (no unit)")
    scale.grid(False)
    if len(r) > _MANY:  # σ_r falls steeply where the worst modes are
        axis.set_zorder(scale.get_zorder() + 1)
        axis.patch.set_visible(False)
    axis.plot([], [], color=BLACK, linewidth=1, label="singular value σ_r/σ₁")


def _along_descent(axis: Axes, path: DataFrame, budget: int, errors: tuple[float, float]) -> None:
    finite = np.isfinite(path["step"])
    t, error = path["step"][finite], path["left_out_mse"][finite]
    axis.plot(t, error, color=BLUE, linewidth=2, label="GD, rows held out")
    best = path[path["best"]].iloc[0]
    if np.isfinite(best["step"]):
        axis.plot([best["step"]], [best["left_out_mse"]], "*", color=PINK, markersize=11, label="GD, best t")
    limit = float(path["left_out_mse"][~finite].iloc[0])
    axis.axhline(limit, color=BLACK, linestyle="--", linewidth=1, label="its limit X⁺y")
    axis.axhline(errors[0], color=GREEN, linewidth=1, label="ridge, best λ")
    axis.axhline(errors[1], color=GREY, linestyle="-.", linewidth=1, label="null")
    axis.axvline(budget, color=ORANGE, linestyle=(0, (1, 1)), linewidth=1.2, label="budget of steps")
    axis.set_title("When is GD to stop?")
    _log_axes(axis, TIME, error.to_numpy())


def _log_axes(axis: Axes, xlabel: str, errors: np.ndarray) -> bool:
    """Log axes, or a word in the title where no error is above zero."""
    if (errors > 0).any():
        log_axes(axis, xlabel, axis_label("test_mse", "MSE"))
        return True
    axis.set(xlabel=xlabel, ylabel=axis_label("test_mse", "MSE"))
    axis.set_title(f"{axis.get_title()}\n(all errors are zero)")
    return False
