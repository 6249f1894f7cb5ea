"""The paper's claims, each as the number that decides it, its threshold and the verdict, from stored results."""

from __future__ import annotations

from gdstudy.experiment.tables import Table
from gdstudy.views.claims.autoencoders import AUTOENCODERS
from gdstudy.views.claims.least_squares import LEAST_SQUARES
from gdstudy.views.claims.rule import HOLDS, VERDICTS, Claim, Rule
from gdstudy.views.summary import relative, sweeps

__all__ = ["HOLDS", "RULES", "VERDICTS", "Claim", "Rule", "decide"]

RULES = (*LEAST_SQUARES, *AUTOENCODERS)


def decide(results: Table, curves: Table) -> list[Claim]:
    """Every claim that the run can decide, claim by claim, in the order of the data sets of Fig. 1."""
    studied = list(sweeps(relative(results), curves))
    return [claim for rule in RULES for sweep in studied if (claim := rule.decide(sweep)) is not None]
