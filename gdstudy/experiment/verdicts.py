"""From evidence to verdicts: what is found, in the order in which it is to be put right."""

from __future__ import annotations

from gdstudy.experiment.evidence import Evidence
from gdstudy.study.verdicts import Verdict

# Measured on planted problems (tests/test_diagnosis.py and tests/planted.py), other seeds than those that test them.
AMPLIFIED = 2.0  # median left-out noise amplification
NEAR = 4.5  # its product with the error of X⁺Y over the best: 3 times as much noise and 1.5 times the error, or alike
NEAR_GAIN, RESIDUAL = 1.5, 0.01  # that error over the best, or the best over null's, without which noise is no matter
SCALE_RATIO, SCALE_GAIN = 10.0, 0.8  # of κ; of the error with scaled features
SLOW = 1.1  # of the error at the budget over the best
FEW_ROWS = 0.75  # N/P
COLLINEAR_KAPPA, COLLINEAR_COSINE = 300.0, 0.99
NO_SIGNAL = 0.9  # of null's error
NOISE = 4.0  # null's error over the best
CLEAN = 1.15  # X⁺Y's error over the best


def verdicts(evidence: Evidence) -> tuple[Verdict, ...]:
    """All that holds, the first to be put right first; what is said of noise only where nothing else is."""
    e = evidence
    if not bool((e.given.Y.amax(0) > e.given.Y.amin(0)).any()):
        return (Verdict.CONSTANT_TARGET,)
    N, P = e.base.X.shape
    near = is_near(e)
    kappa, kappa_scaled = e.base.condition_number, e.scaled.condition_number
    # Of features too small to count beside others κ says nothing.
    unequal = kappa > SCALE_RATIO * kappa_scaled or e.scaled.rank > e.rank
    found = {
        Verdict.NO_INTERCEPT: e.needs_intercept,
        Verdict.REDUNDANT_FEATURES: bool(e.columns.copies) or e.columns.deficit > 0,
        Verdict.UNEQUAL_SCALES: unequal and scaling_helps(e),
        Verdict.TOO_FEW_STEPS: within_budget(e) > SLOW * max(e.path.errors.min(), e.negligible) >= e.path.errors[-1],
        Verdict.NEAR_THRESHOLD: near,
        Verdict.DEAD_FEATURES: bool(e.columns.dead),
        Verdict.OVERPARAMETERISED: N < FEW_ROWS * P,
        Verdict.COLLINEAR: not near and kappa_scaled > COLLINEAR_KAPPA and e.columns.cosine > COLLINEAR_COSINE,
        Verdict.NO_SIGNAL: e.error("ridge_loo") > NO_SIGNAL * e.error("null"),
    }
    named = tuple(verdict for verdict, holds in found.items() if holds)
    # Of what is as it should be once an intercept is there, that is said too.
    return (*named, _otherwise(e)) if set(named) <= {Verdict.NO_INTERCEPT} else named


def gain(evidence: Evidence) -> float:
    """The error of X⁺Y, the limit of gradient descent, over that of the best stopped or penalised fit."""
    e = evidence
    limit = max(e.error("min_norm"), float(e.path.errors[-1]))
    if limit <= e.negligible:
        return 1.0
    return limit / max(min(e.error("ridge_loo"), e.error("gd_early")), e.negligible)


def is_near(evidence: Evidence) -> bool:
    """Whether X⁺Y amplifies noise, by what its rows say and by how much is lost: of each half, the other tells."""
    e, found = evidence, gain(evidence)
    noisy = found > NEAR_GAIN or e.error("ridge_loo") > RESIDUAL * e.error("null")
    return noisy and e.amplification > AMPLIFIED and e.amplification * found > NEAR


def within_budget(evidence: Evidence, scaled: bool = False) -> float:
    """The smallest error of gradient descent on rows held out, stopped at any t within the budget."""
    path = evidence.path_scaled if scaled else evidence.path
    return float(path.errors[path.steps <= evidence.budget].min())


def scaling_helps(evidence: Evidence) -> bool:
    """Whether rows left out say that the features are to be scaled."""
    e = evidence
    of_descent = max(within_budget(e, scaled=True), e.negligible) < SCALE_GAIN * within_budget(e)
    return of_descent or max(e.error("ridge_loo", scaled=True), e.negligible) < SCALE_GAIN * e.error("ridge_loo")


def _otherwise(evidence: Evidence) -> Verdict:
    e = evidence
    if e.error("null") < NOISE * e.error("ridge_loo"):
        return Verdict.NOISE
    clean = e.error("min_norm") <= CLEAN * max(e.error("ridge_loo"), e.negligible)
    return Verdict.NOTHING_TO_DO if clean else Verdict.OVERFITTED
