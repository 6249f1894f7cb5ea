"""How long a run still takes: what is said beside what it took, in recorded runs and on machines that change."""

import dataclasses
import math

import pytest
from recorded import RUNS, Recorded, factor

from gdstudy.experiment.plan import plan
from gdstudy.study.config import Study
from gdstudy.study.groups import Training
from gdstudy.sweep.remaining import Remaining
from gdstudy.sweep.work import expected_work

ORDERS = [(name, largest, watched) for name in RUNS for largest in (False, True) for watched in (True, False)]


@pytest.fixture(scope="module")
def runs():
    return {name: Recorded(name) for name in RUNS}


def looks(run, largest, watched):
    return run.looks(run.largest_first() if largest else None, watched)


def test_it_is_never_three_times_off_and_mostly_within_half(runs):
    """In any order, with and without a trainer that tells how far a batch is; from a tenth of the run on."""
    near = []
    for name, largest, watched in ORDERS:
        for gone, left, said in looks(runs[name], largest, watched):
            share = gone / (gone + left)
            assert said is None or (said >= 0 and math.isfinite(said))
            if said is not None and 0.1 <= share < 0.975:
                assert factor(left, said) < 3, (name, largest, watched, share)
            if said is not None and 0.25 <= share < 0.975:
                near.append(factor(left, said) < 1.5)
    assert len(near) > 500
    assert sum(near) / len(near) >= 0.9


@pytest.mark.parametrize("name", ["polynomial", "random_features"])
def test_of_runs_of_many_batches_it_is_known_early(runs, name):
    for largest in (False, True):
        unknown = [said is None for gone, left, said in looks(runs[name], largest, False) if gone > (gone + left) / 2]
        assert sum(unknown) < len(unknown) / 4


def test_shares_of_the_expected_work_tell_it_roughly(runs):
    """What `Progress` says, after `~`, where it is not known better."""
    off = []
    for name, largest, watched in ORDERS:
        off += [factor(left, rough) for left, rough in runs[name].roughly(largest, watched)]
    assert max(off) < 3.4
    assert sorted(off)[len(off) // 2] < 1.4


def test_nothing_is_said_before_anything_is_known(runs):
    for run in runs.values():
        assert run.looks()[0][2] is None


def test_the_share_of_the_step_budget_would_be_wrong(runs):
    """Negative control: what was shown before, time gone by the share of steps that is spent or saved."""
    from gdstudy.experiment.plan import budget

    worst = 1.0
    for run in runs.values():
        steps, now = {batch.number: budget(run.study, batch)[1] for batch in run.batches}, 0.0
        left = sum(steps.values())
        for batch in run.largest_first()[:-1]:
            now, left = now + run.seconds[batch.number], left - steps[batch.number]
            if 0.1 < now / sum(run.seconds) < 0.975:
                worst = max(worst, factor(sum(run.seconds) - now, now * left / (sum(steps.values()) - left)))
    assert worst > 3


def alike(n=400, **changes):
    """A study of many batches of one kind."""
    study = Study(datasets=["diabetes"], n_train=[30], seeds=n, batch_cells=1, estimators=["min_norm"], **changes)
    return study, plan(study)


def said_after(batches, remaining, seconds, now=0.0, workers=1):
    """What is said to be left after batches that took so long, one after the other."""
    for batch, took in zip(batches, seconds, strict=True):
        remaining.begin(batch, now)
        now += took
        remaining.end(batch, took, now)
    return remaining.seconds(now, workers), now


def test_a_neighbour_that_takes_half_the_machine_is_followed_within_a_minute():
    study, batches = alike()
    remaining = Remaining(study, batches)
    said, now = said_after(batches[:200], remaining, [1.0] * 200)
    assert said == pytest.approx(200, rel=0.05)
    said, now = said_after(batches[200:230], remaining, [2.0] * 30, now)  # a minute
    assert said == pytest.approx(2 * 170, rel=0.2)
    # and once the neighbour is gone
    said, now = said_after(batches[230:290], remaining, [1.0] * 60, now)
    assert said == pytest.approx(110, rel=0.2)


def test_within_one_long_batch_a_slower_machine_is_followed_within_two_minutes():
    """Of one training of an hour and a half, whose steps take twice as long from its middle on."""
    training = Training(optimizer="adamw", step_size=0.01)
    keys = {"datasets": ["sparse_features"], "models": ["superposition"], "n_hidden": [2], "n_train": [500]}
    study = Study(**keys, seeds=2, gd=training)
    (batch,) = plan(study)
    remaining, now, t, said = Remaining(study, [batch]), 0.0, 0, {}
    remaining.begin(batch, now)
    remaining.start(2, training.steps)
    while t < training.steps:  # looks as the trainer does, and between them once more
        steps = min(training.steps - t, max(1, t // 128))
        t, now = t + steps, now + steps * (0.036 if t < training.steps / 2 else 0.072)
        remaining.check(2 * steps, 2, now)
        left = 0.072 * (training.steps - t) - max(0, training.steps / 2 - t) * 0.036
        said[t / training.steps] = (left, remaining.seconds(now))
    assert said[1 / training.steps][1] is None
    early = [(left, told) for share, (left, told) in said.items() if share < 0.5 and told is not None]
    assert min(share for share, (_, told) in said.items() if told is not None) < 0.3
    # Until the middle nobody can know; then it is followed.
    assert all(told == pytest.approx(left - 0.036 * training.steps / 2, rel=0.3) for left, told in early)
    late = [(left, told) for share, (left, told) in said.items() if 0.52 < share < 1]
    assert late
    assert all(told == pytest.approx(left, rel=0.3) for left, told in late)
    assert said[1.0][1] < 60


def test_a_laptop_that_slept_is_soon_forgotten():
    study, batches = alike()
    remaining = Remaining(study, batches)
    _, now = said_after(batches[:100], remaining, [1.0] * 100)
    said, now = said_after(batches[100:101], remaining, [8 * 3600.0], now)
    assert said < 5 * 299  # and not 299 nights
    said, now = said_after(batches[101:121], remaining, [1.0] * 20, now)
    assert said == pytest.approx(279, rel=0.2)


def test_batches_that_were_there_before_cost_nothing(runs):
    run = runs["random_features"]
    stored = run.batches[::2]
    found = run.looks(run.batches[1::2], watched=False, skipped=stored)
    known = [factor(left, said) for gone, left, said in found if said is not None and left / 3 < gone < 39 * left]
    assert len(known) > 20
    assert max(known) < 3
    # Negative control: they took half of all time.
    assert sum(run.seconds[batch.number] for batch in stored) > 0.4 * sum(run.seconds)


def test_all_stored_is_nothing_left():
    study, batches = alike(5)
    remaining = Remaining(study, batches)
    for batch in batches:
        remaining.skip(batch)
    assert (remaining.seconds(0.0), remaining.share()) == (0.0, 1.0)


@pytest.mark.parametrize("workers", [1, 4])
def test_several_workers_share_what_is_left_in_any_order(workers):
    study, batches = alike(100)
    remaining, now = Remaining(study, batches), 0.0
    for done, batch in enumerate(reversed(batches[20:]), start=1):
        now = done / workers
        remaining.end(batch, 1.0, now)  # nobody said that it was begun
    assert remaining.seconds(now, workers) == pytest.approx(20 / workers, rel=0.1)
    assert remaining.seconds(now + 2, workers) == pytest.approx(20 / workers - 2, rel=0.1)
    assert remaining.seconds(now + 1000, workers) > 0  # late, and never negative


def test_more_workers_than_batches_take_as_long_as_a_batch():
    study, batches = alike(100)
    remaining = Remaining(study, batches)
    for batch in batches[1:]:
        remaining.end(batch, 10.0, 1.0)
    assert remaining.seconds(1.0, 50) == pytest.approx(10, rel=0.1)


def test_a_kind_that_was_not_seen_is_known_by_those_like_it():
    """P = 10 of one data set, after all else; a machine a hundred times slower than expected."""
    study = Study(datasets=["student_teacher"], models=["random_relu"], n_parameters=[5, 10, 15, 20], n_train=[40])
    study = dataclasses.replace(study, estimators=["min_norm"], preprocess="standardize", seeds=40, batch_cells=1)
    batches = plan(study)
    seen = [batch for batch in batches if batch.n_parameters != 10]
    unseen = [batch for batch in batches if batch.n_parameters == 10]
    remaining = Remaining(study, batches)
    said, _ = said_after(seen, remaining, [1e-7 * expected_work(study, batch) for batch in seen])
    assert said == pytest.approx(sum(1e-7 * expected_work(study, batch) for batch in unseen), rel=0.2)


def test_a_batch_that_takes_no_time_or_has_no_work_says_nothing_strange():
    study, batches = alike(10)
    remaining = Remaining(study, batches)
    said, now = said_after(batches[:9], remaining, [0.0] * 9)
    assert said is None or 0 <= said < 1e-3
    remaining.begin(batches[9], now)
    assert remaining.seconds(now + 1e9) >= 0
