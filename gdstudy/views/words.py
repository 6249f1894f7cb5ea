"""How numbers, shares, steps and estimators are called in texts and tables."""

from __future__ import annotations

import math

ESTIMATORS = {
    "null": "zero, or the mean",
    "min_norm": "X⁺y",
    "ridge_loo": "ridge, best λ",
    "gd": "GD, {steps} steps",
    "gd_early": "GD, best t",
}


def number(value: float, digits: int = 4) -> str:
    return f"{value:.{digits}g}"


def percent(share: float) -> str:
    """A share that is not all or nothing is not called so."""
    if math.isnan(share):
        return "–"
    return f"{share:.0%}" if share in (0, 1) or 0.005 <= share < 0.995 else "<1%" if share < 0.5 else ">99%"


def steps_of(t: float) -> str:
    """`1 step`, `12,300 steps`, `3.4e+10 steps`, `any number of steps`."""
    if math.isinf(t):
        return "any number of steps"
    if t == 1:
        return "1 step"
    return f"{int(t):,} steps" if t < 1e7 else f"{t:.2g} steps"
