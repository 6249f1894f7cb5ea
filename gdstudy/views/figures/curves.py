"""How curves are drawn: medians with their bands, means, checkpoints, exact expectations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pandas import DataFrame

from gdstudy.views.figures.style import GREEN, MEAN
from gdstudy.views.summary import Curve, by_size_after


def draw(axis: Axes, curve: Curve, label: str, color: Any, band: float = 0.18, **style: Any) -> Line2D:
    """The median of a curve, with its quartiles as a band of this opacity; infinite values are left out."""
    finite = np.isfinite(curve.median)
    style = _seen(finite) | style
    (line,) = axis.plot(curve.x[finite], curve.median[finite], label=label, color=color, **style)
    if band:
        both = finite & np.isfinite(curve.high)
        axis.fill_between(curve.x[both], curve.low[both], curve.high[both], color=color, alpha=band, linewidth=0)
    return line


def _seen(finite: np.ndarray) -> dict[str, Any]:
    """How a curve is drawn that would not be seen as a line: one point."""
    return {"marker": "o", "markersize": 4} if np.count_nonzero(finite) == 1 else {}


def draw_mean(axis: Axes, curve: Curve, label: str, color: Any) -> None:
    """The mean over seeds as a thin line. Near N = P it follows the one worst split."""
    finite = np.isfinite(curve.mean)
    style = {"linewidth": 0.7, "alpha": 0.8, "gid": MEAN, **_seen(finite)}
    axis.plot(curve.x[finite], curve.mean[finite], label=label, color=color, **style)


def decades(tables: Sequence[DataFrame]) -> np.ndarray:
    """t = 10, 10², … as far as any of these curves goes."""
    last = int(max(rows["step"].max() for rows in tables if len(rows)))
    return np.array([10**d for d in range(1, 13) if 10**d <= last] or [last])


def draw_at_steps(
    axis: Axes, curves: DataFrame, value: str, steps: np.ndarray, who: str, size: str = "n_train"
) -> None:
    """Medians of cells of one training against N (or P) after each of these numbers of steps, a colour for each."""
    if curves.empty:  # a data set that was not trained on, beside others that were
        return
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.88, len(steps)))
    for t, after, colour in zip(steps, by_size_after(curves, value, steps, size), colours, strict=True):
        draw(axis, after, f"{who}, t = {t:,}", colour, band=0)


def draw_expectation(
    axis: Axes, theory: DataFrame, P: int, value: str = "test_mse", shade: bool = True, **style: Any
) -> None:
    """The exact expected test error; |N − P| ≤ 1, where it is infinite if there are residuals, is shaded."""
    finite, look = np.isfinite(theory[value]), {"color": GREEN, "linestyle": "--", **style}
    # Two branches: nothing is to be drawn across the threshold.
    for k, side in enumerate((theory["n_train"] < P, theory["n_train"] >= P)):
        x, y = theory["n_train"][finite & side], theory[value][finite & side]
        axis.plot(x, y, label="test, exact expectation" if not k else None, **look, **_seen(finite & side))
    if shade:
        low = max(P - 1, 0.5)
        axis.axvspan(low, P + 1, color=GREEN, alpha=0.15, linewidth=0, label="expectation infinite", zorder=0)
