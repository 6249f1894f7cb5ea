"""What there is to measure, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.benchmarks import autoencoders, closed_forms, growth, layered, readouts, studies
from tests.benchmarks.measure import Row, Settings


@dataclass(frozen=True)
class Part:
    """Some rows of a section. seconds: about what it takes on two idle cores; quick: the same of a quick table, or None
    where it is left out there."""

    label: str
    measure: Callable[[Settings], list[Row]]
    seconds: float
    quick: float | None = None


SECTIONS: dict[str, list[Part]] = {
    "steps": [
        Part(f"P = {P}, k = {k}", partial(readouts.steps, P, k), *seconds)
        for P, seconds in ((8, (20, 6)), (20, (30, 8)), (64, (35, 10)), (256, (60,)))
        for k in (1, 10)
    ],
    "fit": [
        Part("P = 8", partial(readouts.fit, 8, 1), 10, 2),
        Part("P = 20", partial(readouts.fit, 20, 1), 20, 8),
        Part("P = 20, k = 10", partial(readouts.fit, 20, 10), 50),
        Part("P = 64", partial(readouts.fit, 64, 1), 20, 6),
        Part("P = 256", partial(readouts.fit, 256, 1), 60),
    ],
    "certificate": [
        Part("P = 8", partial(readouts.certificate, 8), 15, 8),
        Part("P = 20", partial(readouts.certificate, 20), 90),
    ],
    "iterates": [
        Part("P = 20", partial(closed_forms.iterates, 20), 15, 4),
        Part("P = 64", partial(closed_forms.iterates, 64), 15),
    ],
    "closed": [
        Part("P = 8", partial(closed_forms.solutions, 8), 15, 6),
        Part("P = 20", partial(closed_forms.solutions, 20), 30, 12),
        Part("paper.yaml", closed_forms.paper, 90, 6),
    ],
    "autoencoders": [
        Part(
            "bottleneck", partial(autoencoders.steps, "bottleneck, gd", layered.bottlenecks(32, 64), "float64"), 15, 4
        ),
        *(
            Part(f"superposition, N = {N}", partial(autoencoders.steps, "superposition, AdamW", of, "float32"), 15, 4)
            for N, of in ((16, layered.superpositions(20, 16)), (500, layered.superpositions(10, 500)))
        ),
        *(Part(f"{name}.yaml", partial(autoencoders.study, name), 40) for name in autoencoders.CONFIGS),
    ],
    "studies": [
        Part("linear.yaml", partial(studies.study, "linear"), 30, 15),
        Part("paper.yaml", partial(studies.study, "paper"), 120),
        *(Part(f"{name}.yaml", partial(studies.study, name), 40) for name in autoencoders.CONFIGS),
    ],
    "growth": [
        Part("cells", growth.against_cells, 40, 2),
        Part("P", growth.against_P, 40, 4),
        Part("N", growth.against_N, 5, 1),
        Part("outputs", growth.against_outputs, 10, 1),
        Part("steps", growth.against_steps, 15, 3),
        Part("memory of a study", growth.memory, 60, 6),
    ],
}
