"""How long a run still takes, learnt from the batches that are done: pure, fed with times.

ln(seconds of a batch) = ln(expected work) + the speed of the machine just now + what its kind takes more or less than
expected + noise. A kind has several names: model and trainings, data set, P and hidden width, where N lies beside P,
where in this data set, and all of them together. What each name adds is a number that does not change, the speed is one
that drifts, and all are Gaussian: a Kalman filter learns them from every batch that is done. So a kind that was not
seen yet is known by those like it, a machine that became slower is told from a kind that is slow, and how sure the sum
is is known too.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from gdstudy.experiment.plan import Batch
from gdstudy.study.config import Study
from gdstudy.sweep.course import Course
from gdstudy.sweep.work import expected_work, stages

Kind = tuple[tuple[object, ...], ...]

# Standard deviations, in ln seconds: of the machine's speed before anything is known (10⁹ multiplications a second), of
# what the names of a kind add (`kind_of`), and of batches of one kind.
_FASTNESS, _SPEED, _OF_NAMES, _NOISE = 1e9, 3.0, (0.4, 0.4, 0.2, 0.3, 0.4, 0.15), 0.15
# The variance by which the speed drifts in a second, and the longest time that it is thought to.
_DRIFT, _LONG = 3e-4, 120.0
# Further than so many standard deviations from what was expected, a batch says no more: a laptop slept.
_OUTLIER = 3.0
# How sure of the remaining time one must be to say it: standard deviation of its logarithm; and where it is less than a
# tenth of what was taken.
_KNOWN, _ABOUT, _SOON = 0.37, 0.55, 0.1
# Seconds: a batch under way is as fast as it was in the last of these. It takes so many times what it has taken.
_RECENT, _OVERDUE = 60.0, 1.2
# Kinds that are told apart: where there are more, only their names are.
_MOST_KINDS = 300


def kind_of(batch: Batch) -> Kind:
    """The names of the kind of a batch, each with its place in `_OF_NAMES`."""
    trained = tuple(name for name, _ in batch.trained)
    model, data = (batch.model, trained), (batch.dataset, batch.preprocess, batch.input_noise, bool(trained))
    ends = batch.cells[0][0] / batch.n_parameters, batch.cells[-1][0] / batch.n_parameters
    size, near = (batch.n_parameters, batch.n_hidden), tuple((end > 0.8) + (end > 1.25) for end in ends)
    return model, data, size, near, (data, near), (model, data, size, near)


@dataclass(frozen=True)
class Rates:
    """ln seconds of a multiplication. mean (n,), covariance (n, n): of the machine's speed and of what each name adds,
    at some time; each kind is a tuple of their places."""

    mean: np.ndarray
    covariance: np.ndarray
    at: float = 0.0

    @classmethod
    def before(cls, which: Iterable[int]) -> Rates:
        """Before anything is known. which: of each name but the machine's, where it stands in its kind."""
        deviations = np.array([_SPEED, *(_OF_NAMES[place] for place in which)])
        mean = np.zeros(len(deviations))
        mean[0] = -math.log(_FASTNESS)
        return cls(mean, np.diag(deviations**2))

    def learnt(self, kind: np.ndarray, value: float, now: float, variance: float = _NOISE**2) -> Rates:
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

    skip: a batch was done before. end: one is done and took so many seconds, whoever computed it, in any order. Of one
    that is computed in this process more can be known: begin, and start and check as its trainer calls them (see
    `experiment.driver.Monitor`).
    """

    def __init__(self, study: Study, batches: Sequence[Batch]) -> None:
        self._study, self._rows = study, {batch.number: row for row, batch in enumerate(batches)}
        kinds, names = [kind_of(batch) for batch in batches], len(_OF_NAMES)
        if len(set(kinds)) > _MOST_KINDS:
            names -= 1  # the whole kind; the others are few
        places: dict[tuple[int, object], int] = {}
        self._kinds = np.array(
            [[0, *(places.setdefault(name, len(places) + 1) for name in enumerate(kind[:names]))] for kind in kinds]
        )
        self._rates = Rates.before(which for which, _ in places)
        self._work = np.array([expected_work(study, batch) for batch in batches])
        self._open = np.ones(len(batches), dtype=bool)
        self._under_way: Batch | None = None  # in this process
        self._took = 0.0  # seconds of all that is done
        self._since = 0.0  # when it was begun, or else a batch was last done
        self._course: Course | None = None
        self._recent: deque[tuple[float, float]] = deque()  # when, and how much work of the course was done by then

    def skip(self, batch: Batch) -> None:
        self._open[self._rows[batch.number]] = False

    def begin(self, batch: Batch, now: float) -> None:
        self._under_way, self._since, self._course = batch, now, None

    def start(self, cells: int, steps: int) -> None:
        assert self._under_way is not None
        if self._course is None:
            self._course, self._recent = Course(stages(self._study, self._under_way)), deque([(self._since, 0.0)])
        self._course.start(cells, steps)

    def check(self, cell_steps: int, running: int, now: float) -> None:
        assert self._course is not None
        self._course.check(cell_steps, running)
        if now - self._recent[-1][0] > _RECENT / 60:
            self._recent.append((now, self._course.done))
            while self._recent[1][0] < now - _RECENT:
                self._recent.popleft()

    def end(self, batch: Batch, seconds: float, now: float) -> None:
        row = self._rows[batch.number]
        self._open[row], self._under_way, self._course, self._since = False, None, None, now
        self._took += seconds
        value = math.log(max(seconds, 1e-6) / self._work[row])
        self._rates = self._rates.learnt(self._kinds[row], value, now)

    def share(self) -> float:
        """Of the expected work of the study, what is done."""
        left = self._work[self._open].sum()
        if self._course is not None and self._under_way is not None:
            done, rest = self._course.done, self._course.left()
            left -= self._work[self._rows[self._under_way.number]] * done / (done + rest)
        return float(1 - left / self._work.sum())

    def seconds(self, now: float, workers: int = 1) -> float | None:
        """Left until so many workers have done all batches; None as long as that is not known."""
        rates, share = self._with_course(now)
        kinds, since = self._kinds[self._open], now - self._since
        left = self._work[self._open] * np.exp(rates.mean[kinds].sum(1))
        if self._under_way is not None:
            row = np.flatnonzero(self._open).searchsorted(self._rows[self._under_way.number])
            left[row] = left[row] * share if self._course else max(left[row], _OVERDUE * since) - since
        total = left.sum()
        if not total:
            return 0.0
        shares = np.zeros(len(rates.mean))
        np.add.at(shares, kinds, (left / total)[:, None])
        deviation = math.sqrt(shares @ rates.covariance @ shares)
        if deviation > (_KNOWN if total > _SOON * self._took else _ABOUT):
            return None
        each = total / max(1, min(workers, len(left)))
        return float(each if self._under_way is not None else max(each, _OVERDUE * since) - since)

    def _with_course(self, now: float) -> tuple[Rates, float]:
        """What is known with what the batch under way tells, and the share that is left of it."""
        if self._course is None or self._under_way is None:
            return self._rates, 1.0
        done, (left, unsure) = self._course.done, self._course.foretold()
        share, (since, before) = left / (done + left), self._recent[0]
        if now <= since or done <= before:
            return self._rates, share
        row = self._rows[self._under_way.number]
        value = math.log((done + left) * (now - since) / (done - before) / self._work[row])
        return self._rates.learnt(self._kinds[row], value, now, _NOISE**2 + unsure), share
