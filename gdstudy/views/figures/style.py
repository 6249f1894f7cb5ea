"""The look all figures share: colours, panels, curves with their bands, axes, legends, PNG and PDF files.

Colours are Okabe and Ito's (2008), told apart by colour-blind readers; levels are steps of cividis.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter
from PIL import Image

from gdstudy.experiment.tables import Table
from gdstudy.views.summary import Curve, at_steps, groups, quantiles, trained_rows

BLACK, BLUE, ORANGE, GREEN, PINK, SKY = "#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"
GREY = "0.45"
EXACT: Any = {"color": BLACK, "linestyle": "--", "linewidth": 1.0}  # what a trained line is to lie on
DPI = 100
STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "figure.titlesize": 12,
    "legend.fontsize": 8.5,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "axes.axisbelow": True,
}
_NAMES = {
    "student_teacher": "Student–teacher",
    "california_housing": "California housing",
    "diabetes": "Diabetes",
    "who_life_expectancy": "WHO life expectancy",
    "linear_plus_cosine": "y = 2x + cos 25x",
    "digits": "Digits",
    "isotropic": "Isotropic inputs",
    "power_law": "Power-law inputs",
    "sparse_features": "Sparse features",
    "random_relu": "random ReLU",
    "random_fourier": "random Fourier",
    "random_tanh": "random tanh",
    "mirrored_relu": "mirrored ReLU (control)",
    "legendre": "Legendre",
    "center": "centred",
    "standardize": "standardised",
}
MSE = "MSE (squared units of y)"
LOST = "share of the inputs lost (no unit)"  # an autoencoder's MSE over the mean square of its inputs
OWN = "dimensions of its own (number)"
ROWS = "training data N (rows)"
FEATURES = "model parameters P (features)"
TIME = "training time t (GD steps)"
ROUNDING = "lower edge:\nzero up to\nrounding"
_MEAN = "mean"  # marks lines that may leave their panel


@dataclass(frozen=True)
class Panel:
    """What one panel shows: the rows of a linear readout on one data set, by estimator and ablation."""

    dataset: str
    P: int
    rows: dict[tuple[str, str], Table]

    def title(self) -> str:
        return panel_title(self.dataset, self.P)

    def floor(self, share: float) -> float:
        """This share of the smallest test error of X⁺y: what lies below counts as zero."""
        return share * float(np.nanmin(self.rows["min_norm", "none"]["test_mse"]))


def panels(results: Table, *needed: tuple[str, str], raw: bool = False) -> list[Panel]:
    """Data sets with a linear readout that have all the (estimator, ablation) pairs, in the order of Fig. 1.

    raw: only those as they are, without preprocessing, unless all have one.
    """
    found = []
    for (dataset, model), rows in groups(results, "dataset", "model"):
        if model == "linear":
            parts = dict(groups(rows, "estimator", "ablation"))
            if all(pair in parts for pair in [("min_norm", "none"), *needed]):
                found.append(Panel(dataset, int(rows["n_parameters"][0]), parts))
    plain = [panel for panel in found if "+" not in panel.dataset]
    return plain if raw and plain else found


def swept(found: list[Panel]) -> bool:
    """Some of them were studied at more than one N, which a curve against N needs."""
    return any(several(panel.rows["min_norm", "none"], "n_train") for panel in found)


def several(table: Table, *sizes: str) -> bool:
    """More than one value was studied of each of these columns."""
    return all(len(np.unique(table[size])) > 1 for size in sizes)


def nearest(values: np.ndarray, target: float) -> int:
    """The studied value nearest to a target, in ratio."""
    return int(values[np.argmin(np.abs(np.log(values / target)))])


def sign(n: int, P: int) -> str:
    """How N compares to P."""
    return "<" if n < P else "=" if n == P else ">"


def readable(name: str) -> str:
    """`diabetes+standardize` → Diabetes, standardised; `random_relu_autoencoder` → random ReLU."""
    parts = (part.removesuffix("_autoencoder") for part in name.split("+"))
    return ", ".join(_NAMES.get(part, re.sub(r"^noise(?=\d)", "input noise σ = ", part)) for part in parts)


def panel_title(dataset: str, P: int, model: str = "", symbol: str = "P") -> str:
    names = ", ".join(readable(name) for name in (dataset, model) if name)
    return f"{names} ({symbol} = {P})".replace(", ", "\n")


def trainer(rows: Table) -> str:
    """What trained these rows, as it is written."""
    names = {"gd": "GD", "sgd": "SGD", "adamw": "AdamW", "nadam": "NAdam", "radam": "RAdam", "rmsprop": "RMSprop"}
    name = str(rows["estimator"][0])
    return names.get(name, name.capitalize())


def grid(title: str, n_columns: int, n_rows: int = 1, height: float = 2.5) -> tuple[Figure, np.ndarray]:
    """A figure titled with the question it answers, and its axes: (n_rows, n_columns)."""
    figure = Figure(figsize=(max(2.9 * n_columns, 5) + 0.6, height * n_rows + 1.1), layout="constrained", dpi=DPI)
    figure.suptitle(title)
    return figure, figure.subplots(n_rows, n_columns, squeeze=False)


def most_steps(tables: Sequence[Table]) -> str:
    """A remark on how long the trained ones of these results were trained; none where nothing was."""
    trained = [rows for table in tables if len((rows := trained_rows(table))["step"])]
    last = max((int(rows["step"].max()) for rows in trained), default=0)
    return f"{trainer(trained[0])} took at most {last:,} steps." if trained else ""


def draw(axis: Axes, curve: Curve, label: str, color: Any, band: float = 0.18, **style: Any) -> Line2D:
    """The median of a curve, with its quartiles as a band of this opacity; infinite values are left out."""
    finite = np.isfinite(curve.median)
    (line,) = axis.plot(curve.x[finite], curve.median[finite], label=label, color=color, **style)
    if band:
        both = finite & np.isfinite(curve.high)
        axis.fill_between(curve.x[both], curve.low[both], curve.high[both], color=color, alpha=band, linewidth=0)
    return line


def draw_mean(axis: Axes, curve: Curve, label: str, color: Any) -> None:
    """The mean over seeds as a thin line. Near N = P it follows the one worst split."""
    finite = np.isfinite(curve.mean)
    axis.plot(curve.x[finite], curve.mean[finite], label=label, color=color, linewidth=0.7, alpha=0.8, gid=_MEAN)


def decades(tables: Sequence[Table]) -> np.ndarray:
    """t = 10, 10², … as far as any of these curves goes."""
    last = int(max(rows["step"].max() for rows in tables))
    return np.array([10**d for d in range(1, 13) if 10**d <= last] or [last])


def draw_at_steps(axis: Axes, curves: Table, value: str, steps: np.ndarray, size: str = "n_train") -> None:
    """Medians of trained cells against N (or P) after each of these numbers of steps, a colour for each."""
    parts = list(groups(curves, size))
    if not parts:  # a data set that was not trained on, beside others that were
        return
    x = np.array([n for (n,), _ in parts])
    medians = np.stack([quantiles(at_steps(cells, value, steps)[1])[1] for _, cells in parts])
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.88, len(steps)))
    for t, median, colour in zip(steps, medians.T, colours, strict=True):
        finite = np.isfinite(median)
        axis.plot(x[finite], median[finite], color=colour, label=f"GD, t = {t:,}")


def draw_expectation(
    axis: Axes, theory: Table, P: int, value: str = "test_mse", shade: bool = True, **style: Any
) -> None:
    """The exact expected test error; |N − P| ≤ 1, where it is infinite if there are residuals, is shaded."""
    finite, look = np.isfinite(theory[value]), {"color": GREEN, "linestyle": "--", **style}
    # Two branches: nothing is to be drawn across the threshold.
    for k, side in enumerate((theory["n_train"] < P, theory["n_train"] >= P)):
        x, y = theory["n_train"][finite & side], theory[value][finite & side]
        axis.plot(x, y, label="test, exact expectation" if not k else None, **look)
    if shade:
        low = max(P - 1, 0.5)
        axis.axvspan(low, P + 1, color=GREEN, alpha=0.15, linewidth=0, label="expectation infinite", zorder=0)


def cell_edges(values: np.ndarray) -> np.ndarray:
    """Edges of cells around values on a log axis: their geometric midpoints, (n + 1,)."""
    logs = np.log(values)
    middle = (logs[1:] + logs[:-1]) / 2
    return np.exp(np.r_[2 * logs[0] - middle[0], middle, 2 * logs[-1] - middle[-1]])


def threshold(axis: Axes, value: float, label: str = "threshold N = P") -> None:
    axis.axvline(value, color=GREY, linestyle=":", linewidth=1.2, label=label)


def log_axes(axis: Axes, xlabel: str, ylabel: str) -> None:
    axis.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)


def count_ticks(axis: Axes, both: bool = False) -> None:
    """1, 2, 5, 10, … rather than powers of ten along a counted quantity: x, or x and y."""
    for scale in (axis.xaxis, axis.yaxis) if both else (axis.xaxis,):
        scale.set_major_locator(LogLocator(subs=(1, 2, 5)))
        scale.set_major_formatter("{x:g}")
        scale.set_minor_formatter(NullFormatter())


def fit_y(axis: Axes, floor: float = 0.0, note: str = ROUNDING, left: bool = False) -> None:
    """A log axis around what is drawn above the floor; what lies below runs along its lower edge, with a note.

    Means may leave the panel: one split of fifty can lie decades above all quartiles.
    """
    lines = [line for line in axis.lines if line.get_transform() == axis.transData and line.get_gid() != _MEAN]
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in lines]
    bands = [cast(np.ndarray, path.vertices) for shape in axis.collections for path in shape.get_paths()]
    values = np.concatenate([*drawn, *(vertices[:, 1] for vertices in bands), [0.0]])
    shown = values[np.isfinite(values) & (values > floor)]
    if not len(shown):
        note_in(axis, "nothing finite to show:\nmost cells diverged")
        axis.set(xlim=(1, 10), ylim=(1, 10))
        return
    # Between bounds matplotlib can draw: what diverges reaches 10³⁰⁰.
    low, high = np.log10(np.clip([shown.min(), shown.max()], 1e-250, 1e250))
    margin = 0.05 * (high - low) + 0.04
    bottom = float(10 ** (low - margin))
    axis.set_ylim(bottom, 10 ** (high + margin))
    if any((part <= floor).any() for part in drawn):
        note_in(axis, note, left)
    # A line to 10⁻³⁰ would leave the panel where the last value above it stands, not where it gets there.
    for line, part in zip(lines, drawn, strict=True):
        line.set_ydata(np.maximum(part, bottom))
    for vertices in bands:
        vertices[:, 1] = np.maximum(vertices[:, 1], bottom)


def note_in(axis: Axes, text: str, left: bool = False) -> None:
    """A remark in the lower right corner, where few curves come, or in the left one."""
    style: Any = {"fontsize": 7.5, "color": "0.3", "style": "italic", "linespacing": 1}
    x, side = (0.015, "left") if left else (0.985, "right")
    axis.text(x, 0.04, text, ha=side, transform=axis.transAxes, **style)


def shared_legend(figure: Figure, *axes: Axes, note: str = "") -> None:
    """One legend below all panels, with each label once, as wide as the figure; the note stands above it."""
    entries: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    width = figure.get_figwidth() * 72  # points; a letter takes about five, a handle and its gap fifty
    columns = max(1, min(len(entries), int(width / (4.6 * max(map(len, entries)) + 50))))
    legend = figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns)
    if note:
        legend.set_title(textwrap.fill(note, int(width / 4.8)), prop=FontProperties(size=8.5))


def level_colours(levels: Sequence[float]) -> dict[float, Any]:
    """One colour a level, the same in all panels."""
    steps = matplotlib.colormaps["viridis"](np.linspace(0, 0.92, len(levels)))
    return {float(level): tuple(step) for level, step in zip(levels, steps, strict=True)}


def level_bar(figure: Figure, axes: np.ndarray, colours: dict[float, Any], label: str) -> None:
    """The shared colour bar of levels, a field each."""
    n = len(colours)
    norm = BoundaryNorm(np.arange(n + 1) - 0.5, n)
    scale = ScalarMappable(norm, ListedColormap(list(colours.values())))
    bar = figure.colorbar(scale, ax=axes, ticks=np.arange(n), label=label, pad=0.01, aspect=40)
    bar.ax.set_yticklabels([f"{level:.3g}" for level in colours])
    bar.ax.minorticks_off()


def as_files(figure: Figure) -> tuple[np.ndarray, bytes, bytes]:
    """A figure as pixels (H, W, 3) uint8, as PNG and as PDF."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    figure.set_layout_engine("none")  # the layout stands; PDF need not find it again
    pixels = np.array(canvas.buffer_rgba(), dtype=np.uint8)[..., :3]
    png, pdf = io.BytesIO(), io.BytesIO()
    _in_256_colours(pixels).save(png, "PNG")
    FigureCanvasPdf(figure).print_pdf(pdf, metadata={"CreationDate": None})  # savefig would draw once more, unseen
    return pixels, png.getvalue(), pdf.getvalue()


def _in_256_colours(pixels: np.ndarray) -> Image.Image:
    """A third of the bytes. An octree keeps the colours of thin lines, where a median cut does not."""
    image = Image.fromarray(pixels).quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette = np.array(image.getpalette(), dtype=np.uint8).reshape(-1, 3)
    palette[palette.astype(int).sum(1).argmax()] = 255  # the octree's white is a grey: the background stays white
    image.putpalette(palette.tobytes())
    return image
