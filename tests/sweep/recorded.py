"""Runs that were recorded, batch by batch, played again at any speed.

recorded_runs.json (`python tests/benchmarks/record_runs.py`): per run its config, keys that differ, and per batch
[CPU seconds, events]; an event is [seconds since the batch began, cells, steps, "s"] where a training starts, or
[seconds, cell-steps, cells still running].
"""

import functools
import json
import math
from pathlib import Path

import pytest

from gdstudy.experiment.plan import plan
from gdstudy.study.parser import changed, find_config, read_yaml, study_of
from gdstudy.sweep.progress import ROUGHLY
from gdstudy.sweep.remaining import Remaining
from gdstudy.sweep.work import expected_work

RUNS = json.loads((Path(__file__).parent / "recorded_runs.json").read_text())


def as_computed(method):
    """What a run is expected to take depends on who took its steps: machine code in those of the name …_fast."""

    @functools.wraps(method)
    def wrapped(self, *args, **options):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GDSTUDY_FAST", "1" if self.name.endswith("_fast") else "0")
            return method(self, *args, **options)

    return wrapped


class Recorded:
    """A run; study and batches as they are planned now."""

    def __init__(self, name):
        self.name, run = name, RUNS[name]
        self.study = study_of(changed(read_yaml(find_config(run["config"])), run["keys"]))
        self.batches, self.seconds = plan(self.study), [seconds for seconds, _ in run["batches"]]
        self.events = [events for _, events in run["batches"]]
        assert len(self.batches) == len(self.seconds), "plan() makes other batches now: record the runs anew"

    @as_computed
    def expected(self):
        return [expected_work(self.study, batch) for batch in self.batches]

    def largest_first(self):
        expected = self.expected()
        return sorted(self.batches, key=lambda batch: -expected[batch.number])

    @as_computed
    def looks(self, batches=None, watched=True, speed=lambda now: 1.0, skipped=(), n=100):
        """Seconds gone and left, and seconds that are said to be left, n times a run.

        watched: the trainer tells how far a batch is. speed: of the machine at some time, 1 as it was recorded.
        """
        remaining, now, states = Remaining(self.study, self.batches), 0.0, []
        for batch in skipped:
            remaining.skip(batch)
        for batch in self.batches if batches is None else batches:
            began, at = now, 0.0
            remaining.begin(batch, now)
            states.append((now, remaining.seconds(now)))
            for event in self.events[batch.number] if watched else ():
                now, at = now + (event[0] - at) / speed(now), event[0]
                remaining.start(*event[1:3]) if len(event) == 4 else remaining.check(*event[1:], now)
                states.append((now, remaining.seconds(now)))
            now += (self.seconds[batch.number] - at) / speed(now)
            remaining.end(batch, now - began, now)
        assert remaining.seconds(now) == 0
        assert remaining.share() == 1
        return _evenly(states, now, n)

    @as_computed
    def roughly(self, largest, watched):
        """(seconds left, and as many as if all work were alike) wherever nothing is said, from ROUGHLY on."""
        remaining, now, found, end = Remaining(self.study, self.batches), 0.0, [], sum(self.seconds)

        def look():
            share = remaining.share()
            if remaining.seconds(now) is None and ROUGHLY <= share < 1 and now < 0.97 * end:
                found.append((end - now, now * (1 - share) / share))

        for batch in self.largest_first() if largest else self.batches:
            began, at = now, 0.0
            remaining.begin(batch, now)
            for event in self.events[batch.number] if watched else ():
                now, at = now + event[0] - at, event[0]
                remaining.start(*event[1:3]) if len(event) == 4 else remaining.check(*event[1:], now)
                look()
            now += self.seconds[batch.number] - at
            remaining.end(batch, now - began, now)
            look()
        return found


def _evenly(states, end, n):
    """What was said last at n times; it counts down until something is said anew."""
    found, at = [], 0
    for k in range(n):
        now = end * k / n
        while at + 1 < len(states) and states[at + 1][0] <= now:
            at += 1
        then, said = states[at]
        found.append((now, end - now, None if said is None else max(0.0, said - (now - then))))
    return found


def factor(left, said):
    """How many times too long or too short."""
    return math.exp(abs(math.log(max(said, 1e-9) / left)))
