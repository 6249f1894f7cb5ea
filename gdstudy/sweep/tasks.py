"""Which batches a worker is given at once: the largest first, and of small ones a few seconds' worth."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from gdstudy.experiment.plan import Batch

# Seconds of a task: far more than it costs to hand one over (milliseconds), and little to wait for at the end.
SECONDS = 4.0

Kind = tuple[object, ...]


def kind_of(batch: Batch) -> Kind:
    """Batches of one kind take times in proportion to their expected work."""
    return batch.dataset, batch.preprocess, batch.input_noise, batch.model, batch.n_parameters, batch.n_hidden


class Tasks:
    """The batches that are still to be given away.

    work: what a batch is expected to take, in any unit. How many seconds a unit takes is learnt, for each kind of
    batch, from those that are done: how batches are grouped depends on the machine, what they hold does not.
    """

    def __init__(self, batches: Sequence[Batch], work: Callable[[Batch], float]) -> None:
        self._work = {batch.number: max(work(batch), 1e-300) for batch in batches}
        # Kinds by their largest batch; within one in the study's order, neighbours in N.
        largest: dict[Kind, float] = {}
        for batch in batches:
            largest[kind_of(batch)] = max(largest.get(kind_of(batch), 0.0), self._work[batch.number])
        self._waiting = deque(sorted(batches, key=lambda b: (-largest[kind_of(b)], -self._work[b.number], b.number)))
        self._alone: deque[Batch] = deque()
        self._seconds: dict[Kind, tuple[float, float]] = {}  # seconds and work of what is done

    def __bool__(self) -> bool:
        return bool(self._waiting or self._alone)

    @property
    def suspects(self) -> bool:
        """The next task is of those whose worker died."""
        return bool(self._alone)

    def take(self, workers: int) -> list[Batch]:
        """The next task, where so many workers share what is left: of one kind, and no more than one batch until it is
        known how long that takes."""
        if self._alone:
            return [self._alone.popleft()]
        first = self._waiting.popleft()
        task, rate = [first], self._rate(kind_of(first))
        if rate is None:
            return task
        left = rate * sum(self._work[b.number] for b in self._waiting if kind_of(b) == kind_of(first))
        most = min(SECONDS, left / (2 * workers))
        seconds = rate * self._work[first.number]
        while self._waiting and kind_of(self._waiting[0]) == kind_of(first):
            seconds += rate * self._work[self._waiting[0].number]
            if seconds > most:
                break
            task.append(self._waiting.popleft())
        return task

    def _rate(self, kind: Kind) -> float | None:
        """Seconds of a unit of work of this kind, or None where none is done yet."""
        seconds, work = self._seconds.get(kind, (0.0, 0.0))
        return seconds / work if work else None

    def done(self, batch: Batch, seconds: float) -> None:
        known, work = self._seconds.get(kind_of(batch), (0.0, 0.0))
        self._seconds[kind_of(batch)] = known + seconds, work + self._work[batch.number]

    def again(self, batches: Sequence[Batch]) -> None:
        """Give these away once more, each alone."""
        self._alone.extend(batches)
