"""What hinders reading a figure: in it, on a curve, or at the width of TensorBoard's cards."""

from itertools import combinations

from matplotlib.text import Text

from gdstudy.views.figures.files import plain_ticks

CARD, LEAST = 500, 7.5  # pixels: the width of a card, the height of type in it


def hindrances(figure):
    """What cannot be read, in words; drawn as it is stored."""
    plain_ticks(figure)
    figure.draw_without_rendering()
    flat = [axis for axis in figure.axes if axis.name != "3d"]
    return [*small(figure), *on_curves(flat), *over_each_other(figure, flat)]


def small(figure):
    scale = figure.dpi / 72 * min(1, CARD / figure.bbox.width)
    for text in figure.findobj(Text):
        if text.get_text() and text.get_visible() and text.get_fontsize() * scale < LEAST:
            yield f"{text.get_text()!r} is {text.get_fontsize() * scale:.1f} pixels high"


def on_curves(axes):
    """Notes and legends inside panels that a drawn line crosses."""
    for axis in axes:
        notes = [text for text in axis.texts if text.get_text()]
        for note in [*notes, *filter(None, [axis.get_legend()])]:
            box = note.get_window_extent()
            for line in axis.lines:
                if line.get_transform().transform_path(line.get_path()).intersects_bbox(box, filled=False):
                    yield f"{line.get_label()!r} crosses {getattr(note, 'get_text', lambda: 'a legend')()!r}"


def over_each_other(figure, flat):
    """Words that leave the figure, meet, or stand in a panel that is not theirs."""
    found = [(text, text.get_window_extent()) for text in words(figure, flat)]
    for text, box in found:
        if not (figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and figure.bbox.y0 <= box.y0 <= box.y1):
            yield f"{text.get_text()!r} leaves the figure"
    for (one, a), (other, b) in combinations(found, 2):
        if a.padded(-1).overlaps(b.padded(-1)):
            yield f"{one.get_text()!r} meets {other.get_text()!r}"
    for axis in flat:
        inside = axis.get_window_extent().padded(-1)
        for text, box in found:
            if text not in axis.texts and inside.overlaps(box):
                yield f"{text.get_text()!r} stands in {axis.get_title()!r}"


def words(figure, flat):
    """Title, and of panels their titles, labels, notes and ticks; the legends' words. In space, titles alone."""
    texts = [figure._suptitle, *(axis.title for axis in figure.axes)]
    for axis in flat:
        texts += [axis.xaxis.label, axis.yaxis.label, *axis.texts]
        for scale in (axis.xaxis, axis.yaxis):
            low, high = sorted(scale.get_view_interval())
            ticks = [*scale.get_major_ticks(), *scale.get_minor_ticks()]
            ticks = [tick for tick in ticks if low <= tick.get_loc() <= high and tick.get_visible()]
            texts += [label for tick in ticks for label in (tick.label1, tick.label2)]
    for legend in figure.legends:
        texts += [legend.get_title(), *legend.get_texts()]
    return [text for text in texts if text.get_visible() and text.get_text()]
