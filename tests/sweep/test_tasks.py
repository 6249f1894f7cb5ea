"""Which batches a worker is given at once."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gdstudy.experiment.plan import Batch
from gdstudy.sweep.tasks import SECONDS, Tasks

SMALL = Batch(0, "diabetes", "none", 0.0, "linear", 10, None, ((5, 0),))
LARGE = replace(SMALL, n_parameters=1000)


def batches(small, large=0):
    return [replace(LARGE if k < large else SMALL, number=k) for k in range(small + large)]


def work(batch):
    return float(batch.n_parameters)


def taken(tasks, workers, seconds):
    """All tasks as one worker after the other takes them."""
    found = []
    while tasks:
        found.append(tasks.take(workers))
        for batch in found[-1]:
            tasks.done(batch, seconds(batch))
    return found


@given(small=st.integers(0, 60), large=st.integers(0, 5), workers=st.integers(1, 9), speed=st.floats(1e-6, 1.0))
def test_each_batch_is_given_away_once_and_the_largest_first(small, large, workers, speed):
    tasks = Tasks(batches(small, large), work)
    found = taken(tasks, workers, lambda batch: speed * work(batch))
    assert sorted(b.number for task in found for b in task) == list(range(small + large))
    widths = [b.n_parameters for task in found for b in task]
    assert widths == sorted(widths, reverse=True)
    for task in found:
        assert len({b.n_parameters for b in task}) == 1
        assert len(task) == 1 or sum(speed * work(b) for b in task) <= SECONDS


def test_small_batches_go_together_once_their_time_is_known_and_neighbours_in_n_stay_neighbours():
    found = taken(Tasks(batches(1000), work), 2, lambda batch: 0.125)
    assert len(found[0]) == 1
    assert len(found[1]) == int(SECONDS / 0.125)
    assert [b.number for task in found for b in task] == list(range(1000))
    # At the end workers still share what is left.
    assert all(len(task) <= 1 + 1000 // 4 for task in found)
    assert len(found[-1]) == len(found[-2]) == 1


def test_what_is_tried_again_is_tried_alone_and_first():
    tasks = Tasks(batches(50), work)
    tasks.done(tasks.take(1)[0], 0.01)
    some = tasks.take(1)
    assert len(some) > 3
    tasks.again(some[:3])
    assert [tasks.take(1) for _ in range(3)] == [[batch] for batch in some[:3]]
