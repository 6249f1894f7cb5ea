"""A figure as pixels, as PNG and as PDF."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from PIL import Image


def as_files(figure: Figure) -> tuple[np.ndarray, bytes, bytes]:
    """A figure as pixels (H, W, 3) uint8, as PNG and as PDF."""
    for axis in figure.axes:
        for scale, (low, high) in ((axis.xaxis, axis.get_xlim()), (axis.yaxis, axis.get_ylim())):
            # Minor ticks over many decades say little, and take most of the time of a drawing.
            if scale.get_scale() == "log" and high > 100 * low:
                scale.set_minor_locator(NullLocator())
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
