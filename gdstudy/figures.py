"""Stored results → figures. `python -m gdstudy.figures RUN_DIR` redraws them; nothing here trains.

Colours are Okabe and Ito's (2008), told apart by colour-blind readers, and line styles differ too.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gdstudy.config import StudyError
from gdstudy.store import load_curves, load_results, write_whole
from gdstudy.summary import Curve, Table, at_steps, by_size, by_step, quantiles, representative_sizes, select

BLUE, ORANGE, GREEN, BLACK = "#0072B2", "#D55E00", "#009E73", "#000000"
_STYLE: Any = {"font.size": 9, "axes.grid": True, "grid.alpha": 0.25, "legend.frameon": False, "axes.axisbelow": True}


def _panels(results: Table, title: str) -> tuple[Figure, Iterator[tuple[Axes, str, Table]]]:
    """A figure with one panel a data set, and each panel with the data set's name and rows."""
    names = np.unique(results["dataset"])
    figure = Figure(figsize=(4.2 * len(names) + 0.8, 3.6), layout="constrained", dpi=150)
    axes = np.atleast_1d(figure.subplots(1, len(names)))
    figure.suptitle(title)

    def each() -> Iterator[tuple[Axes, str, Table]]:
        for axis, name in zip(axes, names, strict=True):
            rows = select(results, dataset=name)
            axis.set_title(f"{name} (P = {rows['n_parameters'][0]})", fontsize=9)
            yield axis, name, rows

    return figure, each()


def _draw(axis: Axes, curve: Curve, label: str, band: bool = True, **style: Any) -> None:
    finite = np.isfinite(curve.median)
    (line,) = axis.plot(curve.x[finite], curve.median[finite], label=label, **style)
    if band:
        both = finite & np.isfinite(curve.high)
        low, high = curve.low[both], curve.high[both]
        axis.fill_between(curve.x[both], low, high, color=line.get_color(), alpha=0.15, linewidth=0)


def _threshold(axis: Axes, rows: Table) -> None:
    axis.axvline(rows["n_parameters"][0], color="0.45", linestyle=":", linewidth=1)
    axis.set(xscale="log", yscale="log", xlabel="training data N (rows)", ylabel="MSE (squared units of y)")


def _zoom(axis: Axes, rows: Table, *columns: str) -> None:
    """Leave out what is zero up to rounding: below 10⁻⁶ of the smallest test error, on a log axis."""
    floor = 1e-6 * np.nanmin(rows["test_mse"])
    values = np.concatenate([rows[c][rows[c] > floor] for c in columns])
    if axis.get_ylim()[0] < floor and len(values):
        axis.set_ylim(bottom=0.5 * values.min())


def mse_against_n(results: Table, curves: Table) -> Figure:
    """Test and train MSE against N, trained GD solid, X⁺y dashed (Fig. 1 of the paper)."""
    figure, panels = _panels(results, "Where does the test error diverge, and does gradient descent follow X⁺y?")
    for axis, _, rows in panels:
        gd, exact = select(rows, estimator="gd"), select(rows, estimator="min_norm")
        for column, colour, name in (("test_mse", BLUE, "test"), ("train_mse", ORANGE, "train")):
            _draw(axis, by_size(gd, column), f"{name}, GD", color=colour)
            _draw(axis, by_size(exact, column), f"{name}, X⁺y", band=False, color=BLACK, linestyle="--", linewidth=1)
        _threshold(axis, rows)
        _zoom(axis, rows, "test_mse", "train_mse")
        axis.legend(fontsize=7)
    return figure


def test_mse_by_steps(results: Table, curves: Table) -> Figure:
    """Test MSE against N after t = 10, 10², … steps and at t = ∞: unfinished GD hides the spike."""
    figure, panels = _panels(results, "How many steps until gradient descent shows the spike at N = P?")
    last = int(curves["step"].max()) if len(curves["step"]) else 1
    steps = np.array([10**d for d in range(1, 13) if 10**d <= last] or [last])
    colours = matplotlib.colormaps["viridis"](np.linspace(0.05, 0.85, len(steps)))
    for axis, name, rows in panels:
        sizes, values = at_steps(select(curves, dataset=name), "test_mse", steps)
        x = np.unique(sizes)
        medians = np.stack([quantiles(values[sizes == n])[1] for n in x])
        for t, median, colour in zip(steps, medians.T, colours, strict=True):
            shown = np.isfinite(median)
            axis.plot(x[shown], median[shown], color=colour, label=f"t = {t:,}")
        exact = by_size(select(rows, estimator="min_norm"), "test_mse")
        _draw(axis, exact, "t = ∞, X⁺y", band=False, color=BLACK, linestyle="--")
        _threshold(axis, rows)
        axis.set_ylabel("test MSE (squared units of y)")
        axis.legend(fontsize=7)
    return figure


def distance_by_steps(results: Table, curves: Table) -> Figure:
    """Distance to X⁺y against t below, at and above the threshold, trained over predicted."""
    figure, panels = _panels(results, "How long until gradient descent reaches X⁺y? Trained over predicted")
    for axis, name, rows in panels:
        P = int(rows["n_parameters"][0])
        for n, colour in zip(representative_sizes(rows["n_train"], P), (GREEN, ORANGE, BLUE), strict=False):
            trained = select(curves, dataset=name, n_train=n)
            _draw(axis, by_step(trained, "distance"), f"N = {n}, trained", color=colour, linewidth=2.5, alpha=0.6)
            predicted = by_step(trained, "exact_distance")
            style = {"color": BLACK, "linestyle": "--", "linewidth": 1}
            _draw(axis, predicted, f"N = {n}, predicted", band=False, **style)
        axis.set(
            xscale="log", yscale="log", xlabel="training time t (GD steps)", ylabel="‖W_t − X⁺y‖ / ‖X⁺y‖ (no unit)"
        )
        axis.legend(fontsize=7)
    return figure


FIGURES: dict[str, Callable[[Table, Table], Figure]] = {
    "mse_against_n": mse_against_n,
    "test_mse_by_steps": test_mse_by_steps,
    "distance_by_steps": distance_by_steps,
}


def draw_figures(run_dir: Path) -> dict[str, np.ndarray]:
    """Draw every figure of a run into figures/*.png and *.pdf; returns name → (H, W, 3) uint8 pixels."""
    results, curves = load_results(run_dir), load_curves(run_dir)
    if not len(results["dataset"]):
        raise StudyError(f"{run_dir} holds no finished batch yet; finish it with --resume {run_dir}")
    folder = run_dir / "figures"
    folder.mkdir(exist_ok=True)
    images = {}
    with matplotlib.rc_context(_STYLE):
        for name, draw in FIGURES.items():
            figure = draw(results, curves)
            for kind in ("png", "pdf"):
                content = io.BytesIO()
                figure.savefig(content, format=kind)
                write_whole(folder / f"{name}.{kind}", content.getvalue())
                if kind == "png":
                    content.seek(0)
                    pixels = matplotlib.image.imread(content, format="png")[..., :3]
                    images[name] = (pixels * 255).astype(np.uint8)
    return images


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="gdstudy.figures", description="Redraw a run's figures from stored results.")
    parser.add_argument("run_dir", type=Path, help="a run's folder, such as runs/linear/20260101-120000")
    run_dir = parser.parse_args(argv).run_dir
    try:
        names = draw_figures(run_dir)
    except (StudyError, OSError) as error:
        print(f"gdstudy.figures: {error}", file=sys.stderr)
        return 2
    print(f"{len(names)} figures (PNG and PDF) in {run_dir / 'figures'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
