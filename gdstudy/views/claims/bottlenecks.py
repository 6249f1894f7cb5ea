"""What is known of linear autoencoders through a bottleneck, by their start, and of any start at a saddle."""

from __future__ import annotations

from gdstudy.views.claims import rounding
from gdstudy.views.claims.rule import Rule, at_least, at_most, deviation, distance_of_converged
from gdstudy.views.sweeps import Sweep


def _stalled(sweep: Sweep) -> float:
    return float((sweep.trained["status"] == "stalled").mean())


def _starts(sweep: Sweep, start: str) -> bool:
    return sweep.model.reference == "reduced_rank" and sweep.model.start == start


BOTTLENECKS = (
    Rule(
        claim="a bottleneck started small ends at the best map of its rank",
        source=("baldi1989",),
        measure="largest ‖W₂W₁ − P_k‖ / ‖P_k‖ of the converged cells",
        number=distance_of_converged,
        trained=True,
        bound=at_most(1e-6, partly=1e-2),
        about=lambda s: _starts(s, "small"),
        rounding=rounding.of_saddle,
        within="the tolerance",
    ),
    Rule(
        claim="a bottleneck started aligned follows its exact map at every step",
        source=("saxe2014",),
        measure="largest ‖W_t − exact W_t‖ / ‖exact W_t‖ over all checkpoints",
        number=deviation,
        trained=True,
        bound=at_most(1e-8, partly=1e-4),
        about=lambda s: _starts(s, "aligned"),
        rounding=rounding.of_deviation,
    ),
    Rule(
        claim="started at zero, a model that is not linear in its weights stays there",
        source=("saxe2014",),
        measure="share of cells that end stalled",
        number=_stalled,
        bound=at_least(1, partly=0.5),
        about=lambda s: s.model.stalls,
    ),
)
