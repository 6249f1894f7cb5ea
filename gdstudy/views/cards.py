"""What TensorBoard's cards say: a description of every tag, and the numbers of a curve as events that carry it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import isfinite

from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata

from gdstudy.study.columns import TABLES
from gdstudy.views.scalars import LOG, LOG_TIME, SHARE
from gdstudy.views.summary import Curve

_COLUMNS = {column.name: column for columns in TABLES.values() for column in columns}
_MEDIAN = "Median over seeds; a cell that diverged counts as at its worst."
_AT = "A run N=… is what was trained at that N; the closed forms are at the N nearest to the threshold."
_STEPS = {
    "sweep": f"Step: N, training rows. {_MEDIAN}",
    "sweep_p": f"Step: P, parameters. {_MEDIAN}",
    "sweep_hidden": f"Step: the hidden width. {_MEDIAN}",
    "convergence": f"Step: t, steps of training. {_MEDIAN} {_AT}",
    LOG_TIME: f"Step: 100·log10 t, so that 300 is t = 1,000 and 500 is t = 100,000. {_MEDIAN} {_AT}",
}
_BESIDE = {
    "ablation": "X⁺y, and X⁺y with one factor of the error taken away or made worse, at the strongest level studied.",
    "theory": "X⁺y beside the exact expected error; where that is infinite, next to N = P, it has no point.",
    "quartiles": "Quartile over seeds, for margin charts in Custom Scalars; an infinite one is shown at the median.",
}
_SCALE = "the variance of Y, the error of the best constant (of an autoencoder mean Y², the error of an output of 0)"
_OTHERS = {
    "fraction_converged": ("Share of the cells that converged: gradient at or below the tolerance", "no unit"),
    "relative_test_mse_of_limit": (f"Test MSE of where it heads for, such as X⁺y, over {_SCALE}", "no unit"),
}


def description(tag: str) -> str:
    """What a scalar's card says: the value, its unit, what its step is, and what it is of."""
    where, value, *_ = tag.split("/")
    if where == "final":
        return f"{_value(value)} At the last step, of one training at one N; medians over seeds. A row of HParams."
    name, _, suffix = where.partition("_")
    step = _STEPS.get(where) or _STEPS[f"sweep_{suffix}" if suffix else "sweep"]
    if name == "quartiles":
        value, step = value.rpartition("_")[0], step.removesuffix(_MEDIAN).rstrip()
    return " ".join(part for part in (_value(value), step, _BESIDE.get(name, "")) if part)


def _value(value: str) -> str:
    """A sentence with its unit."""
    column = value.removeprefix(LOG).removeprefix(SHARE)
    if column in _OTHERS or value in _OTHERS:
        meaning, unit = _OTHERS.get(value) or _OTHERS[column]
    else:
        facts = _COLUMNS[column]
        meaning, unit = facts.meaning.rstrip("."), facts.unit or "no unit"
        if value.removeprefix(LOG).startswith(SHARE):
            meaning += f", over {_SCALE}"
            unit = "no unit"
    if value.startswith(LOG):
        return f"log10 of: {meaning}. Unit: decades, so that 0 is 1 {unit if unit != 'no unit' else ''}".rstrip() + "."
    return f"{meaning}. Unit: {unit}."


def described(said: str, plugin: str, data_class: str) -> SummaryMetadata:
    """What a tag's first event carries, so that its card can say it. TensorBoard's fast loader forgets what is said of
    a value in the old style, whose data class is not set."""
    data = SummaryMetadata.PluginData(plugin_name=plugin)
    return SummaryMetadata(summary_description=said, plugin_data=data, data_class=data_class)


def points(curves: Iterable[tuple[str, Curve]], known: set[str]) -> Iterator[tuple[int, Summary]]:
    """(step, all values there) in increasing step: one event a step, where one a point would take several times as
    long. known: tags that have their description already; those that are new are added."""
    found: dict[int, list[tuple[str, float]]] = {}
    for tag, curve in curves:
        for x, y in zip(curve.x.tolist(), curve.median.tolist(), strict=True):
            if isfinite(y):
                found.setdefault(int(x), []).append((tag, y))
    for step in sorted(found):
        yield step, Summary(value=[scalar(tag, y, known) for tag, y in found[step]])


def scalar(tag: str, value: float, known: set[str]) -> Summary.Value:
    if tag in known:
        return Summary.Value(tag=tag, simple_value=value)
    known.add(tag)
    return Summary.Value(
        tag=tag, simple_value=value, metadata=described(description(tag), "scalars", "DATA_CLASS_SCALAR")
    )
