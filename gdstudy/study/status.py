"""Why a cell stopped: what training says of each cell, in a word and in a sentence."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """A number in arrays, a word in tables, a sentence to read: `Status(1).word`, `Status(1).meaning`."""

    RUNNING = 0
    CONVERGED = 1
    MAX_STEPS = 2
    DIVERGED = 3
    STALLED = 4
    STOPPED_EARLY = 5

    @property
    def word(self) -> str:
        """As in tables: `max_steps`."""
        return self.name.lower()

    @property
    def meaning(self) -> str:
        """What it promises, and what it does not."""
        return _SENTENCES[self][0]

    @property
    def remedy(self) -> str:
        """What to do where that is not enough."""
        return _SENTENCES[self][1]

    def __str__(self) -> str:
        return self.word


_SENTENCES = {
    Status.RUNNING: ("it is still being trained", "ask for later checkpoints"),
    Status.CONVERGED: (
        "its gradient norm fell to the tolerance times the largest it had (or has at W = 0); directions with a small "
        "singular value add little to it, so that W may still be far from its limit: the distance says how far",
        "where the distance is too large, lower the tolerance or standardise the features",
    ),
    Status.MAX_STEPS: ("it took all its steps first", "give it more steps, or standardise the features"),
    Status.DIVERGED: ("its gradient or loss grew beyond what a stable step size allows", "lower the step size"),
    Status.STALLED: (
        "its gradient vanished at a saddle, which is no minimum",
        "start elsewhere: small instead of at zero",
    ),
    Status.STOPPED_EARLY: (
        "it took as many steps as predicted rows best that were left out, and was not to go on to its limit",
        "to train to the end, do without early stopping",
    ),
}
WORDS = tuple(status.word for status in Status)
