"""How numbers, steps and estimators are called where `diagnose` shows them."""

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


def steps_of(t: float) -> str:
    """`1 step`, `12,300 steps`, `3.4e+10 steps`, `any number of steps`."""
    if math.isinf(t):
        return "any number of steps"
    if t == 1:
        return "1 step"
    return f"{int(t):,} steps" if t < 1e7 else f"{t:.2g} steps"
