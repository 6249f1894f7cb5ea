"""The optimizers a training can ask for, as facts.

Those of torch.optim that treat every number by itself: in a stack they do to a cell what they do to it alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from gdstudy.study.entries import Code


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """label: its name in figures. build: its torch.optim.Optimizer class; none for plain gradient descent, which has a
    step size of its own for each cell, `auto`, and a known limit and iterate. momentum: so has this one, the heavy
    ball. fused: it has one kernel a parameter."""

    name: str
    label: str
    build: Code | None
    momentum: bool = False
    fused: bool = False

    @property
    def plain(self) -> bool:
        return self.build is None


OPTIMIZERS: dict[str, Optimizer] = {
    label.lower(): Optimizer(name=label.lower(), label=label, build=f"torch.optim:{label}", fused=fused)
    for label, fused in (
        ("SGD", True),
        ("Adam", True),
        ("AdamW", True),
        ("Adamax", False),
        ("NAdam", False),
        ("RAdam", False),
        ("RMSprop", False),
        ("Adagrad", False),
        ("Adadelta", False),
        ("Rprop", False),
        ("ASGD", False),
    )
}
OPTIMIZERS = {
    "gd": Optimizer(name="gd", label="GD", build=None),
    "heavy_ball": Optimizer(name="heavy_ball", label="Heavy ball", build=None, momentum=True),
    **OPTIMIZERS,
}
