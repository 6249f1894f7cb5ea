"""How long a run still takes, learnt from the batches that are done: pure, fed with times.

ln(seconds of a batch) = ln(expected work) + the speed of the machine just now + what its kind takes more or less than
expected + noise. The kind has ever finer names: model and trainings, data set, P and hidden width, and where N lies
beside P. What each name adds is a number that does not change and the speed one that drifts, all of them Gaussian: a
Kalman filter learns them from every batch that is done. So a kind that was not seen yet is known by those like it, a
machine that became slower is told from a kind that is slow, and how sure all this is is known too.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from gdstudy.experiment.plan import Batch
from gdstudy.study.config import Study
from gdstudy.sweep.course import Course
from gdstudy.sweep.work import expected_work, stages

Kind = tuple[tuple[object, ...], ...]

# Standard deviations, in ln seconds: of the machine's speed before anything is known (10⁹ multiplications a second), of
# what the names of a kind add, from the coarsest to the finest, and of batches of one kind.
_FASTNESS, _SPEED, _OF_NAMES, _NOISE = 1e9, 1.0, (0.4, 0.5, 0.2, 0.3), 0.1
# The variance by which the speed drifts in a second, and the longest time that it is thought to.
_DRIFT, _LONG = 3e-4, 120.0
# Further than so many standard deviations from what was expected, a batch says no more: a laptop slept.
_OUTLIER = 3.0
# How sure of the remaining time one must be to say it: standard deviation of its logarithm.
_KNOWN = 0.5
# Seconds: a batch under way is as fast as it was in the last of these. It takes so many times what it has taken.
_RECENT, _OVERDUE = 60.0, 1.2
# Kinds that are told apart: where there are more, they are told apart by coarser names.
_MOST_KINDS = 300


def kind_of(batch: Batch) -> Kind:
    """The names of the kind of a batch, from the coarsest to the finest."""
    model = (batch.model, *(name for name, _ in batch.trained))
    data = (*model, batch.dataset, batch.preprocess, batch.input_noise)
    size = (*data, batch.n_parameters, batch.n_hidden)
    ends = batch.cells[0][0] / batch.n_parameters, batch.cells[-1][0] / batch.n_parameters
    return model, data, size, (*size, *((end > 0.8) + (end > 1.25) for end in ends))


@dataclass(frozen=True)
class Rates:
    """ln seconds of a multiplication. mean (n,), covariance (n, n): of the machine's speed and of what each name adds,
    at some time; each kind is a tuple of their places."""

    mean: np.ndarray
    covariance: np.ndarray
    at: float = 0.0

    @classmethod
    def before(cls, depths: Iterable[int]) -> Rates:
        """Before anything is known. depths: of each name after the first, which is the machine's: 0 for the coarsest."""
        deviations = np.array([_SPEED, *(_OF_NAMES[depth] for depth in depths)])
        mean = np.zeros(len(deviations))
        mean[0] = -math.log(_FASTNESS)
        return cls(mean, np.diag(deviations**2))

    def learnt(self, kind: list[int], value: float, now: float, variance: float = _NOISE**2) -> Rates:
        """After a batch of a kind took so much, known with this variance."""
        covariance = self.covariance.copy()
        covariance[0, 0] += _DRIFT * min(max(now - self.at, 0.0), _LONG)
        shared = covariance[:, kind].sum(1)
        total = shared[kind].sum() + variance
        most = _OUTLIER * math.sqrt(total)
        surprise = min(max(value - self.mean[kind].sum(), -most), most)
        return Rates(self.mean + shared * (surprise / total), covariance - np.outer(shared, shared) / total, now)


class Remaining:
    """What remains of a run. `now`: seconds of one clock that never goes back.

    begin, end: a batch is being computed, is done and took so many seconds; any number at a time, in any order. skip: it
    was done before. start, check: what the trainer says of the batch begun last (see `experiment.driver.Monitor`), where
    it is computed in this process.
    """

    def __init__(self, study: Study, batches: Iterable[Batch]) -> None:
        self._study = study
        kinds = {batch.number: kind_of(batch) for batch in batches}
        depth = len(_OF_NAMES)
        while len({kind[:depth] for kind in kinds.values()}) > _MOST_KINDS and depth > 2:
            depth -= 1
        places: dict[tuple[int, object], int] = {}
        self._kinds = {
            number: [0, *(places.setdefault(name, len(places) + 1) for name in enumerate(kind[:depth]))]
            for number, kind in kinds.items()
        }
        self._rates = Rates.before(depth for depth, _ in places)
        self._work = {batch.number: expected_work(study, batch) for batch in batches}  # of what is not done
        self._under_way: dict[int, float] = {}  # since when
        self._batch: Batch | None = None  # begun last
        self._course: Course | None = None
        self._recent: deque[tuple[float, float]] = deque()  # when, and how much of its work was done by then

    def skip(self, batch: Batch) -> None:
        del self._work[batch.number]

    def begin(self, batch: Batch, now: float) -> None:
        self._under_way[batch.number] = now
        self._batch, self._course = batch, None

    def start(self, cells: int, steps: int, now: float) -> None:
        assert self._batch is not None
        if self._course is None:
            self._course = Course(stages(self._study, self._batch))
            self._recent = deque([(self._under_way[self._batch.number], 0.0)])
        self._course.start(cells, steps)

    def check(self, cell_steps: int, running: int, now: float) -> None:
        assert self._course is not None
        self._course.check(cell_steps, running)
        if now - self._recent[-1][0] > _RECENT / 60:
            self._recent.append((now, self._course.done))
            while self._recent[1][0] < now - _RECENT:
                self._recent.popleft()

    def end(self, batch: Batch, seconds: float, now: float) -> None:
        self._under_way.pop(batch.number, None)
        self._course = None
        value = math.log(max(seconds, 1e-6) / self._work.pop(batch.number))
        self._rates = self._rates.learnt(self._kinds[batch.number], value, now)

    def seconds(self, now: float, workers: int = 1) -> float | None:
        """Left until so many workers have done all batches; None as long as that is not known."""
        if not self._work:
            return 0.0
        rates, share = self._with_course(now)
        numbers = list(self._work)
        kinds = np.array([self._kinds[number] for number in numbers])
        left = np.array([self._work[number] for number in numbers]) * np.exp(rates.mean[kinds].sum(1))
        for at, number in enumerate(numbers):
            if number in self._under_way:
                since = now - self._under_way[number]
                course = self._course is not None and self._batch is not None and number == self._batch.number
                left[at] = share * left[at] if course else max(left[at], _OVERDUE * since) - since
        total = left.sum()
        shares = np.zeros(len(rates.mean))
        np.add.at(shares, kinds, (left / total)[:, None])
        if shares @ rates.covariance @ shares > _KNOWN**2:
            return None
        longest = max((left[at] for at, number in enumerate(numbers) if number in self._under_way), default=0.0)
        return float(max(total / max(1, min(workers, len(numbers))), longest))

    def _with_course(self, now: float) -> tuple[Rates, float]:
        """What is known with what the batch under way tells, and the share that is left of it."""
        if self._course is None or self._batch is None:
            return self._rates, 1.0
        done, left = self._course.done, self._course.left()
        share, (since, before) = left / (done + left), self._recent[0]
        if now <= since or done <= before:
            return self._rates, share
        value = math.log((done + left) * (now - since) / (done - before) / self._work[self._batch.number])
        variance = _NOISE**2 + 0.5 * share**2 / max(1 - share, 1e-6)
        return self._rates.learnt(self._kinds[self._batch.number], value, now, variance), share
