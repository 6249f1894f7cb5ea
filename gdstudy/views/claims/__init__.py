"""The paper's claims, each as the number that decides it, its bound and the verdict, from stored results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gdstudy.experiment.tables import Run
from gdstudy.views.claims.autoencoders import AUTOENCODERS
from gdstudy.views.claims.bottlenecks import BOTTLENECKS
from gdstudy.views.claims.descent import DESCENT
from gdstudy.views.claims.factors import FACTORS
from gdstudy.views.claims.laws import LAWS
from gdstudy.views.claims.least_squares import LEAST_SQUARES
from gdstudy.views.claims.ridge import RIDGE
from gdstudy.views.claims.rule import HOLDS, VERDICTS, Claim, Rule
from gdstudy.views.claims.superposition import SUPERPOSITION
from gdstudy.views.sweeps import sweeps

__all__ = ["HOLDS", "RULES", "VERDICTS", "Claim", "Rule", "by_rule", "decide"]

RULES = [*LEAST_SQUARES, *FACTORS, *LAWS, *DESCENT, *RIDGE, *AUTOENCODERS, *BOTTLENECKS, *SUPERPOSITION]


def by_rule(claims: Sequence[Claim]) -> Iterator[tuple[Rule, list[Claim]]]:
    """Claims under the rules that decided them, in the order of the rules."""
    for rule in RULES:
        if rows := [claim for claim in claims if claim.claim == rule.claim]:
            yield rule, rows


def decide(run: Run) -> list[Claim]:
    """Every claim that the run can decide, claim by claim, in the order of the data sets of Fig. 1."""
    return [claim for rule in RULES for sweep in sweeps(run) if (claim := rule.decide(sweep)) is not None]
