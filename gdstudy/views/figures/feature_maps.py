"""Wider feature maps: where the threshold lies in N and P, and what polynomial fits look like (App. C)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gdstudy.closed_form.solutions import min_norm_solution
from gdstudy.data.dataset import Dataset
from gdstudy.data.features import legendre
from gdstudy.data.loading import load_dataset
from gdstudy.data.splits import split
from gdstudy.experiment.tables import Run, Table
from gdstudy.views.figures.style import (
    BLUE,
    EXACT,
    FEATURES,
    MSE,
    ORANGE,
    ROWS,
    cell_edges,
    count_ticks,
    draw,
    draw_mean,
    fit_y,
    grid,
    log_axes,
    nearest,
    note_in,
    readable,
    several,
    shared_legend,
    sign,
    threshold,
)
from gdstudy.views.summary import by_size, groups, select

_TYPICAL = 40  # the swept size that is held nearest to this


def _maps(results: Table) -> list[tuple[str, str, Table]]:
    """(data set, model, unablated rows) of each feature map with a P of its own."""
    found = []
    for (dataset, model), rows in groups(results, "dataset", "model"):
        if model in FEATURE_MAPS and model != "linear":
            found.append((dataset, model, select(rows, ablation="none")))
    return found


def wanted_polynomial(run: Run) -> bool:
    return any(model == "legendre" and several(rows, "n_parameters") for _, model, rows in _maps(run.results))


def wanted_grid(run: Run) -> bool:
    return any(several(rows, "n_train", "n_parameters") for _, _, rows in _maps(run.results))


def wanted_sweeps(run: Run) -> bool:
    return bool(_swept(run.results))


def _swept(results: Table) -> list[tuple[str, str, Table]]:
    """Feature maps along N, or random ones along P: polynomials along P have a figure of their own."""
    found = []
    for dataset, model, rows in _maps(results):
        if several(rows, "n_train") or (model != "legendre" and several(rows, "n_parameters")):
            found.append((dataset, model, rows))
    return found


def _polynomials(results: Table) -> list[tuple[str, int, Table]]:
    """(data set, N, rows of X⁺y at that N): of several N, the one in the middle."""
    found = []
    for dataset, model, rows in _maps(results):
        if model == "legendre":
            sizes = np.unique(rows["n_train"])
            n = int(sizes[len(sizes) // 2])
            found.append((dataset, n, select(rows, estimator="min_norm", n_train=n)))
    return found


def polynomial_error(run: Run) -> Figure:
    """Test and train MSE of the least-norm polynomial against its number of coefficients P (App. C)."""
    shown = _polynomials(run.results)
    figure, axes = grid("Does a polynomial without noise diverge too?", len(shown), height=3.4)
    figure.set_figwidth(max(7.5, 3.5 * len(shown)))
    for axis, (dataset, n, rows) in zip(axes[0], shown, strict=True):
        test = by_size(rows, "test_mse", size="n_parameters")
        draw(axis, test, "test, median and quartiles", BLUE)
        draw_mean(axis, test, "test, mean (may leave the panel)", BLUE)
        draw(axis, by_size(rows, "train_mse", size="n_parameters"), "train, median and quartiles", ORANGE)
        log_axes(axis, FEATURES, MSE)
        fit_y(axis, 1e-6 * float(rows["test_mse"].min()))
        threshold(axis, n, "threshold P = N")
        count_ticks(axis)
        axis.set_title(f"{readable(dataset)} (N = {n})")
    shared_legend(figure, *axes[0])
    return figure


def polynomial_fits(run: Run) -> Figure:
    """The target, the training rows of seed 0 and the least-norm fit, below, at and above the threshold."""
    dataset, n, rows = _polynomials(run.results)[0]
    studied = np.unique(rows["n_parameters"])
    widths = sorted({nearest(studied, p) for p in (n / 3, n, 200 / 15 * n)})
    name, _, preprocess = dataset.partition("+")
    loaded = load_dataset(name, preprocess or "none")
    train, _ = split(len(loaded.X), n, 0)
    figure, axes = grid("What do polynomials below, at and above the threshold look like?", len(widths), height=3)
    figure.set_figwidth(3.8 * len(widths))
    for axis, P in zip(axes[0], widths, strict=True):
        _draw_fit(axis, loaded, train, P)
        axis.set_title(f"P = {P} {sign(P, n)} N = {n}")
    shared_legend(figure, *axes[0])
    return figure


def _draw_fit(axis: Axes, loaded: Dataset, train: np.ndarray, P: int) -> None:
    W = min_norm_solution(legendre(loaded.X[train], P), loaded.Y[train])
    low, high = loaded.X.min(), loaded.X.max()
    x = np.linspace(low, high, 2001)[:, None]
    fit = (legendre(x, P) @ W)[:, 0]
    axis.plot(x[:, 0], fit, color=BLUE, linewidth=1.3, label="least-norm polynomial X⁺y")
    axis.plot(loaded.X[:, 0], loaded.Y[:, 0], **EXACT, label="target, all data")
    axis.plot(
        loaded.X[train, 0], loaded.Y[train, 0], "o", color=ORANGE, markersize=4.5, label="training rows of seed 0"
    )
    reach = np.ptp(loaded.Y)
    bottom, top = loaded.Y.min() - 0.5 * reach, loaded.Y.max() + 0.5 * reach
    axis.set(xlabel="x (no unit)", ylabel="y (no unit)", ylim=(bottom, top))
    if fit.min() < bottom or fit.max() > top:
        note_in(axis, f"clipped: the fit\nreaches |y| = {np.abs(fit).max():.2g}")


def feature_grid(run: Run) -> Figure:
    """Median test MSE of X⁺y over N and P: the ridge follows N = P."""
    shown = [m for m in _maps(run.results) if several(m[2], "n_train", "n_parameters")]
    figure, axes = grid("Does the divergence follow N = P whichever is swept?", len(shown), height=2.7)
    for axis, (dataset, model, rows) in zip(axes[0], shown, strict=True):
        exact = select(rows, estimator="min_norm")
        widths, sizes = np.unique(exact["n_parameters"]), np.unique(exact["n_train"])
        curves_of = {P: by_size(part, "test_mse") for (P,), part in groups(exact, "n_parameters")}
        medians = np.array([curves_of[P].median for P in widths])
        values = np.log10(np.where(np.isfinite(medians), medians, np.nan))
        image = axis.pcolormesh(cell_edges(sizes), cell_edges(widths), values, cmap="cividis", rasterized=True)
        log_axes(axis, ROWS, FEATURES)
        both = (max(cell_edges(sizes)[0], cell_edges(widths)[0]), min(cell_edges(sizes)[-1], cell_edges(widths)[-1]))
        axis.plot(both, both, color=ORANGE, linestyle=":", linewidth=1.8, label="threshold N = P")
        count_ticks(axis, both=True)
        axis.grid(False)
        figure.colorbar(image, ax=axis, label="log₁₀ median test MSE", pad=0.02)
        axis.set_title(f"{readable(dataset)}\n{readable(model)}")
    shared_legend(figure, *axes[0])
    return figure


def feature_sweeps(run: Run) -> Figure:
    """Test MSE against N at a fixed P, and against P at a fixed N: X⁺y and trained GD."""
    shown = _swept(run.results)
    figure, axes = grid("Does the test error peak at N = P whichever is swept?", len(shown), 2, height=2.3)
    for column, (dataset, model, rows) in zip(axes.T, shown, strict=True):
        P, N = (nearest(np.unique(rows[name]), _TYPICAL) for name in ("n_parameters", "n_train"))
        fixed = (
            (select(rows, n_parameters=P), "n_train", ROWS, P),
            (select(rows, n_train=N), "n_parameters", FEATURES, N),
        )
        for axis, (part, size, label, value) in zip(column, fixed, strict=True):
            _draw_sweep(axis, part, size)
            log_axes(axis, label, "test MSE (squared units of y)")
            fit_y(axis)
            threshold(axis, value)
            count_ticks(axis)
        column[0].set_title(f"{readable(dataset)}\n{readable(model)}, P = {P}")
        column[1].set_title(f"{readable(model)}, N = {N}")
    shared_legend(figure, *axes.flat)
    return figure


def _draw_sweep(axis: Axes, rows: Table, size: str) -> None:
    trained = select(rows, estimator="gd")
    draw(axis, by_size(select(rows, estimator="min_norm"), "test_mse", size), "X⁺y, median and quartiles", BLUE)
    if len(trained["step"]):
        curve = by_size(trained, "test_mse", size)
        draw(axis, curve, "trained GD, median and quartiles", ORANGE, linestyle="--")
