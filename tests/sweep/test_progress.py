"""How far a run is said to be."""

import dataclasses
import re

import pytest

from gdstudy.experiment.plan import budget, plan
from gdstudy.study.config import Study
from gdstudy.study.groups import Training
from gdstudy.study.values import Sizes
from gdstudy.sweep import progress as module
from gdstudy.sweep.progress import Progress, duration

LINE = re.compile(
    r" *\d+%: \d+/\d+ fits(, [\d.]+[kM]? steps/s)?, \d+:[0-5]\d:[0-5]\d gone, (\?|~?\d+:[0-5]\d:[0-5]\d) left"
)


def small(**changes):
    return Study(datasets=["diabetes"], n_train=[5, 20], seeds=2, gd=Training(steps=100), **changes)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def lines(monkeypatch):
    said = []
    monkeypatch.setattr(module, "tell", said.append)
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    return said


def test_cells_are_counted_once_whenever_they_stop():
    study = small()
    (batch,) = plan(study)
    with Progress(study, [batch], quiet=True) as progress:
        assert progress.n_cells == budget(study, batch)[0] == 4
        progress.begin(batch)
        progress.start(4, 100)
        progress.check(4 * 10, 3)  # one is done after ten steps
        assert (progress.finished, progress.taken) == (1, 40)
        progress.check(3 * 40, 1)  # two more after fifty
        assert progress.finished == 3
        progress.check(1 * 50, 1)  # the last takes all its steps
        assert progress.finished == 4
        progress.end(batch, 1.0)
        assert progress.finished == 4


def test_every_training_counts_and_so_do_stored_batches_and_those_of_other_processes():
    study = small(trainings={"short": {"steps": 10}})
    (batch,) = plan(study)
    batches = [dataclasses.replace(batch, number=number) for number in range(3)]
    with Progress(study, batches, quiet=True) as progress:
        assert progress.n_cells == 3 * 8
        progress.begin(batch)
        progress.start(4, 100)
        progress.check(4 * 100, 4)
        progress.start(4, 10)
        progress.check(4 * 5, 0)
        progress.end(batch, 1.0)
        assert progress.finished == 8
        progress.skip(batches[1])
        assert progress.finished == 16
        progress.end(batches[2], 1.0)  # nobody said that it was begun
        assert progress.finished == 24


def test_a_line_every_ten_seconds_with_the_time_left_once_it_is_known(lines):
    study, clock = small(batch_cells=1, estimators=["min_norm"]), Clock()
    study = dataclasses.replace(study, n_train=Sizes((30,)), seeds=400)
    batches = plan(study)
    with Progress(study, batches, quiet=False, clock=clock) as progress:
        progress.workers(2)
        for batch in batches:
            clock.now += 0.5
            progress.end(batch, 1.0)
    assert len(lines) == 20
    assert all(LINE.fullmatch(line) and len(line) < 80 for line in lines)
    assert lines[9].startswith(" 50%: 200/400 fits, 0:01:40 gone, 0:01:")
    assert lines[-1].endswith("100%: 400/400 fits, 0:03:20 gone, 0:00:00 left")


def test_so_is_a_line_while_workers_are_at_their_batches(lines):
    study, clock = small(batch_cells=1, estimators=["min_norm"]), Clock()
    with Progress(study, plan(study), quiet=False, clock=clock) as progress:
        for _ in range(60):  # it is looked for workers every second
            clock.now += 1
            progress.workers(2)
    assert len(lines) == 6
    assert lines[-1].startswith("  0%: 0/4 fits, 0:01:00 gone")


def test_what_is_not_known_is_a_question_mark(lines):
    study, clock = small(), Clock()
    (batch,) = plan(study)
    with Progress(study, [batch], quiet=False, clock=clock) as progress:
        progress.begin(batch)
        progress.start(4, 100)
        clock.now += 11
        progress.check(4, 4)
    (line,) = lines
    assert LINE.fullmatch(line)
    assert line.endswith("0:00:11 gone, ? left")


def test_a_quiet_run_says_nothing(lines):
    study, clock = small(), Clock()
    (batch,) = plan(study)
    with Progress(study, [batch], quiet=True, clock=clock) as progress:
        progress.begin(batch)
        progress.start(4, 100)
        clock.now += 100
        progress.check(400, 4)
        progress.end(batch, 1.0)
    assert lines == []


def test_the_longest_line_fits_eighty_columns(lines):
    study, clock = small(), Clock()
    (batch,) = plan(study)
    with Progress(study, [batch], quiet=False, clock=clock) as progress:
        progress.n_cells, progress.finished, progress.taken = 10**7, 10**7 - 1, 10**15
        clock.now += 999 * 3600
        assert len(f"{1:4.0%}: {progress.text()}") < 80


def test_on_a_terminal_one_bar_of_eighty_columns(monkeypatch):
    """Text of the bar as tqdm writes it to a terminal of eighty columns."""
    import io
    import sys

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal, clock = Terminal(), Clock()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    study = small(batch_cells=1, estimators=["min_norm"])
    batches = plan(study)
    with Progress(study, batches, quiet=False, clock=clock) as progress:
        for batch in batches:
            clock.now += 1
            progress.begin(batch)
            progress.end(batch, 1.0)
    shown = terminal.getvalue().split("\r")
    assert max(map(len, shown)) <= 81
    assert "4/4 fits, 0:00:04 gone, 0:00:00 left" in shown[-1]
    assert shown[-1].startswith("100%|")
    with Progress(study, batches, quiet=False, clock=clock) as progress:  # faster than it is shown
        for batch in batches:
            progress.begin(batch)
            progress.end(batch, 0.01)
    assert terminal.getvalue().split("\r")[-1].startswith("100%|")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "?"), (0, "0:00:00"), (59.6, "0:01:00"), (3661, "1:01:01"), (-1, "0:00:00"), (float("nan"), "?")],
)
def test_durations_are_hours_minutes_and_seconds(seconds, text):
    assert duration(seconds) == text
