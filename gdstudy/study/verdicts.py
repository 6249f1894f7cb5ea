"""What can be wrong with a regression problem: the verdicts of `diagnose`, in a word, a sentence and a remedy."""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """A word in tables, a sentence to read, what to do: in the order in which they are looked for."""

    CONSTANT_TARGET = "constant_target"
    NO_INTERCEPT = "no_intercept"
    REDUNDANT_FEATURES = "redundant_features"
    UNEQUAL_SCALES = "unequal_scales"
    TOO_FEW_STEPS = "too_few_steps"
    NEAR_THRESHOLD = "near_threshold"
    DEAD_FEATURES = "dead_features"
    OVERPARAMETERISED = "overparameterised"
    COLLINEAR = "collinear"
    NO_SIGNAL = "no_signal"
    NOISE = "noise"
    OVERFITTED = "overfitted"
    NOTHING_TO_DO = "nothing_to_do"

    @property
    def meaning(self) -> str:
        return _SENTENCES[self][0]

    @property
    def remedy(self) -> str:
        return _SENTENCES[self][1]

    def __str__(self) -> str:
        return self.value


_SENTENCES = {
    Verdict.CONSTANT_TARGET: ("the target is constant, so that there is nothing to learn", "check the target column"),
    Verdict.NO_INTERCEPT: (
        "the target has a level that the features cannot express",
        "add an intercept, or centre features and target by the means of the training rows",
    ),
    Verdict.REDUNDANT_FEATURES: (
        "some features are combinations of others, so that the threshold lies at N = rank, not at N = P",
        "drop them",
    ),
    Verdict.UNEQUAL_SCALES: (
        "the features' scales lie so far apart that the small ones are learnt late or penalised away",
        "divide each feature by its size (standardise)",
    ),
    Verdict.TOO_FEW_STEPS: (
        "gradient descent is still far from its best fit when its steps end",
        "take more steps, use momentum, or solve for X⁺y directly",
    ),
    Verdict.NEAR_THRESHOLD: (
        "N is near the interpolation threshold, where X⁺y amplifies what it cannot fit",
        "regularise, stop early, or add rows",
    ),
    Verdict.DEAD_FEATURES: ("some features are zero in every row, so that fewer than P are trained", "drop them"),
    Verdict.OVERPARAMETERISED: (
        "there are fewer rows than features: every fit is one of many, and X⁺y the smallest of them",
        "choose it by rows left out: ridge, or early stopping",
    ),
    Verdict.COLLINEAR: (
        "some features are nearly copies of each other: their weights mean little, the predictions still do",
        "keep one of each group where weights are to be read, or use ridge",
    ),
    Verdict.NO_SIGNAL: (
        "no linear fit predicts rows it has not seen noticeably better than a constant",
        "look for other features; no training will help",
    ),
    Verdict.NOISE: (
        "the fit is as good as its features allow; most of the rest is noise to them",
        "look for better features or a better measured target; regularising gains little",
    ),
    Verdict.OVERFITTED: ("X⁺y fits noise that a smoother fit leaves out", "regularise, or stop early"),
    Verdict.NOTHING_TO_DO: ("X⁺y predicts rows it has not seen as well as any smoother fit", "nothing to do"),
}
