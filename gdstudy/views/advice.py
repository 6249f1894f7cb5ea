"""One recommendation for each verdict of `diagnose`: what it means, in numbers, and what to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gdstudy.experiment.verdicts import within_budget
from gdstudy.study.verdicts import Verdict
from gdstudy.views.words import number, steps_of

if TYPE_CHECKING:
    from gdstudy.views.diagnosis import Diagnosis

_MOST_NAMES = 5


def advice(verdict: Verdict, d: Diagnosis) -> str:
    """The verdict's meaning with the numbers it was read from, and what to do."""
    reason = f"{verdict.meaning}; {_REASONS[verdict](d)}" if verdict in _REASONS else verdict.meaning
    todo = _REMEDIES[verdict](d) if verdict in _REMEDIES else verdict.remedy
    return f"{_sentence(reason)} {_sentence(todo)}"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _names(numbers: Sequence[int], d: Diagnosis) -> str:
    some = ", ".join(d.feature_names[k] for k in numbers[:_MOST_NAMES])
    return some + (f" and {len(numbers) - _MOST_NAMES:,} more" if len(numbers) > _MOST_NAMES else "")


def _no_intercept(d: Diagnosis) -> str:
    without = d.units.of(d.evidence.fits[d.evidence.given.name, "ridge_loo"].error, y=2)
    return f"with one the best ridge errs {number(d.error('ridge_loo'))} on rows left out, without {number(without)}"


def _redundant(d: Diagnosis) -> str:
    columns = d.evidence.columns
    parts = []
    if columns.copies:
        pairs = [f"{d.feature_names[b]} of {d.feature_names[a]}" for a, b in columns.copies[:_MOST_NAMES]]
        more = f" and {len(columns.copies) - _MOST_NAMES:,} more" if len(columns.copies) > _MOST_NAMES else ""
        parts.append(f"copies: {', '.join(pairs)}{more}")
    if others := [k for k in columns.combined if k not in {b for _, b in columns.copies}]:
        parts.append(f"combinations of features before them: {_names(others, d)}")
    parts.append(f"rank {d.rank:,} of {d.n_features:,} features and {d.n_rows:,} rows")
    return "; ".join(parts)


def _unequal(d: Diagnosis) -> str:
    of_descent = (d.units.of(within_budget(d.evidence, scaled), y=2) for scaled in (False, True))
    descent = " → ".join(number(error) for error in of_descent)
    ridge = " → ".join(number(d.error("ridge_loo", scaled)) for scaled in (False, True))
    kappa = f"κ: {number(d.condition_number)} → {number(d.scaled_condition_number)}"
    if (rank := d.evidence.scaled.rank) > d.rank:
        kappa = f"modes that count: {d.rank:,} → {rank:,}, {kappa}"
    return f"scaled, {kappa}, error of GD stopped at its best t ≤ {d.steps:,}: {descent}, of the best ridge: {ridge}"


def _too_few(d: Diagnosis) -> str:
    return (
        f"after {d.steps:,} steps it errs {number(d.error('gd'))} on rows left out, X⁺y {number(d.error('min_norm'))}, "
        f"and it gets there after {steps_of(d.steps_to_limit)}"
    )


def _more_steps(d: Diagnosis) -> str:
    faster = math.sqrt(d.steps_to_limit) if math.isfinite(d.steps_to_limit) else math.nan
    heavy_ball = f" (heavy ball needs of the order of {steps_of(round(faster))})" if faster < 1e9 else ""
    return f"take more steps, use momentum{heavy_ball}, or solve for X⁺y directly"


def _near(d: Diagnosis) -> str:
    amplified = f"on rows left out noise comes back with {number(d.noise_amplification, 2)} times its variance (median)"
    of = d.evidence.error  # without units, whose squares in those of y may leave float64
    ratio = of("min_norm") / min(of("ridge_loo"), of("gd_early"))
    errs = f"{number(d.error('min_norm'))}, {number(ratio, 2)} times as much as the best fit"
    return f"{amplified}, and X⁺y errs {errs}"


def _away_from_threshold(d: Diagnosis) -> str:
    at, enough = d.threshold, 3 * d.threshold + 1
    rows = f"about {enough:,} rows, where X⁺y errs 1.5 times the noise if rows are Gaussian"
    if d.n_rows < at:
        rows += f"; up to N = {at:,} more of them make X⁺y worse"
    if d.best_penalty == 0:
        return f"these rows happen to fit without loss, which others need not: be ready to regularise, or take {rows}"
    return f"{_smoother(d)}, or take {rows}"


def _smoother(d: Diagnosis) -> str:
    """Ridge and early stopping, the better one first."""
    ridge = f"take ridge at λ = {number(d.best_penalty, 3)} (errs {number(d.error('ridge_loo'))})"
    if d.best_penalty == 0:
        ridge = f"take X⁺y, as no λ is better (errs {number(d.error('min_norm'))})"
    if math.isinf(d.best_step):
        return ridge
    stop = f"stop GD after t = {steps_of(d.best_step)} (errs {number(d.error('gd_early'))})"
    return f"{ridge}, or {stop}"


def _one_of_many(d: Diagnosis) -> str:
    best = min(d.error("ridge_loo"), d.error("gd_early"))
    share = f"{_over_null(d, min(map(d.evidence.error, ('ridge_loo', 'gd_early')))):.0%} of what {_null(d)} does"
    return f"N/P = {number(d.n_rows / d.n_features, 2)}; the best fit errs {number(best)}, {share}"


def _collinear(d: Diagnosis) -> str:
    a, b = d.evidence.columns.closest or (0, 0)
    closest = (
        f"{d.feature_names[a]} and {d.feature_names[b]} are the closest (|cosine| {d.evidence.columns.cosine:.6f})"
    )
    return f"{closest}, κ = {number(d.scaled_condition_number)} with scaled features"


def _share(d: Diagnosis) -> str:
    share = _over_null(d, d.evidence.error("ridge_loo"))
    return f"the best ridge leaves {share:.0%} of what {_null(d)} errs on rows left out"


def _over_null(d: Diagnosis, error: float) -> float:
    """Of errors without units, whose squares in those of y may leave float64."""
    return error / d.evidence.error("null")


def _null(d: Diagnosis) -> str:
    return "predicting the mean" if d.evidence.base.intercept else "predicting zero"


def _clean(d: Diagnosis) -> str:
    ridge, stopped, null = (number(d.error(name)) for name in ("ridge_loo", "gd_early", "null"))
    exact = number(d.error("min_norm"))
    return f"it errs {exact} on rows left out, the best ridge {ridge}, GD stopped early {stopped}, {_null(d)} {null}"


def _constant(d: Diagnosis) -> str:
    values = d.units.of((d.evidence.given.Y + d.evidence.given.offset)[0].numpy(), y=1)
    return f"it is {', '.join(number(value) for value in np.atleast_1d(values)[:_MOST_NAMES])} in every row"


_REASONS: dict[Verdict, Callable[[Diagnosis], str]] = {
    Verdict.CONSTANT_TARGET: _constant,
    Verdict.NO_INTERCEPT: _no_intercept,
    Verdict.REDUNDANT_FEATURES: _redundant,
    Verdict.UNEQUAL_SCALES: _unequal,
    Verdict.TOO_FEW_STEPS: _too_few,
    Verdict.NEAR_THRESHOLD: _near,
    Verdict.DEAD_FEATURES: lambda d: _names(d.evidence.columns.dead, d),
    Verdict.OVERPARAMETERISED: _one_of_many,
    Verdict.COLLINEAR: _collinear,
    Verdict.NO_SIGNAL: _share,
    Verdict.NOISE: _share,
    Verdict.OVERFITTED: _clean,
    Verdict.NOTHING_TO_DO: _clean,
}
_REMEDIES: dict[Verdict, Callable[[Diagnosis], str]] = {
    Verdict.TOO_FEW_STEPS: _more_steps,
    Verdict.NEAR_THRESHOLD: _away_from_threshold,
    Verdict.OVERPARAMETERISED: _smoother,
    Verdict.OVERFITTED: _smoother,
}
