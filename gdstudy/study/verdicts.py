"""What can be wrong with a regression problem: the verdicts of `diagnose`, in a word, a sentence and a remedy."""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """A sentence to read and what to do, in the order in which they are looked for; `str` is the word in tables."""

    CONSTANT_TARGET = ("the target is constant, so that there is nothing to learn", "check the target column")
    NO_INTERCEPT = (
        "the target has a level that the features cannot express",
        "add an intercept, or centre features and target by the means of the training rows",
    )
    REDUNDANT_FEATURES = (
        "some features are combinations of others, so that the threshold lies at N = rank, not at N = P",
        "drop them",
    )
    UNEQUAL_SCALES = (
        "the features' scales lie so far apart that the small ones are learnt late or penalised away",
        "divide each feature by its size (standardise)",
    )
    TOO_FEW_STEPS = (
        "gradient descent is still far from its best fit when its steps end",
        "take more steps, use momentum, or solve for X⁺y directly",
    )
    NEAR_THRESHOLD = (
        "N is near the interpolation threshold, where X⁺y amplifies what it cannot fit",
        "regularise, stop early, or add rows",
    )
    DEAD_FEATURES = ("some features are zero in every row, so that fewer than P are trained", "drop them")
    OVERPARAMETERISED = (
        "there are fewer rows than features: every fit is one of many, and X⁺y the smallest of them",
        "choose it by rows left out: ridge, or early stopping",
    )
    COLLINEAR = (
        "some features are nearly copies of each other: their weights mean little, the predictions still do",
        "keep one of each group where weights are to be read, or use ridge",
    )
    NO_SIGNAL = (
        "no linear fit predicts rows it has not seen noticeably better than a constant",
        "look for other features; no training will help",
    )
    NOISE = (
        "the fit is as good as its features allow; most of the rest is noise to them",
        "look for better features or a better measured target; regularising gains little",
    )
    OVERFITTED = ("X⁺y fits noise that a smoother fit leaves out", "regularise, or stop early")
    NOTHING_TO_DO = ("X⁺y predicts rows it has not seen as well as any smoother fit", "nothing to do")

    @property
    def meaning(self) -> str:
        return str(self.value[0])

    @property
    def remedy(self) -> str:
        return str(self.value[1])

    def __str__(self) -> str:
        return self.name.lower()


# What is said where nothing else is, or of what is left once an intercept is there.
OF_THE_REST = (Verdict.NOISE, Verdict.OVERFITTED, Verdict.NOTHING_TO_DO)
