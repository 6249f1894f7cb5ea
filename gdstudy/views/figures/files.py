"""A figure as pixels, as PNG and as PDF."""

from __future__ import annotations

import io
import re

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, MaxNLocator, NullLocator
from PIL import Image

_RAISED = str.maketrans("-−0123456789", "⁻⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Powers(LogFormatterSciNotation):
    """`10⁻³` and `2×10⁻³` as letters: as formulas they take a sixth of the time of a drawing."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        formula = super().__call__(x, pos).replace(r"\times", "×")
        plain = re.sub(r"\^\{(.*?)\}", lambda power: power[1].translate(_RAISED), formula)
        return re.sub(r"\$|\\mathdefault|[{}]", "", plain)


def plain_ticks(figure: Figure) -> None:
    """On log axes powers of ten and, where there are few, twice and five times these, or even steps."""
    for axis in figure.axes:
        for scale, (low, high) in ((axis.xaxis, axis.get_xlim()), (axis.yaxis, axis.get_ylim())):
            if scale.get_scale() == "log" and isinstance(scale.get_major_formatter(), LogFormatterSciNotation):
                scale.set_major_formatter("{x:.4g}" if high < 8 * low and 0.01 < low < 1e3 else Powers())
                if high < 8 * low:
                    scale.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
                # Minor ticks over many decades say little, and take most of the time of a drawing.
                several = high > 100 * low or high < 8 * low
                scale.set_minor_locator(NullLocator() if several else LogLocator(subs=(2, 5)))
                most = 2 if scale is axis.yaxis else 1  # decades in which twice and five times a power are named
                scale.set_minor_formatter(Powers(minor_thresholds=(most, most)))


def plain_layout(figure: Figure) -> None:
    """Spares an eighth of a drawing: spines, whose ticks end before the tick labels, and labels that say nothing are
    measured by no layout."""
    for axis in figure.axes:
        for spine in axis.spines.values():
            spine.set_in_layout(False)
        for scale in (axis.xaxis, axis.yaxis):
            if not scale.get_label_text():
                scale.set_label_coords(0.5, 0.5)  # else its place is found from all tick labels


def as_files(figure: Figure) -> tuple[np.ndarray, bytes, bytes]:
    """A figure as pixels (H, W, 3) uint8, as PNG and as PDF."""
    plain_ticks(figure)
    plain_layout(figure)
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
