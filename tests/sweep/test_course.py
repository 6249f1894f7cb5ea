"""How far a batch is, from what its trainer says."""

import pytest

from gdstudy.sweep.course import Course
from gdstudy.sweep.work import Stage

CLOSED, TRAINED = Stage(1e6), Stage(1e9, 1e5, 0.0)


def trained(course, cells, steps, until, running=lambda t: 1.0):
    """Look as trainers do until a step; running: share of the cells that still do."""
    course.start(cells, steps)
    t, here = 0, cells
    while t < until:
        taken = min(until - t, max(1, t // 64))
        t += taken
        after = round(cells * running(t))
        course.check(here * taken, after)
        here = after
        if not here:
            break


def test_before_it_begins_all_of_it_is_left_and_at_its_end_nothing():
    course = Course([CLOSED, TRAINED])
    assert (course.done, course.left()) == (0, pytest.approx(1e9 + 1e6))
    trained(course, 10, 1000, 1000)
    assert course.left() == 0
    assert course.done == pytest.approx(10 * 1000 * 1e5, rel=0.1)


def test_cells_that_are_not_seen_to_leave_take_all_their_steps():
    course = Course([CLOSED, TRAINED])
    trained(course, 100, 1000, 700)
    assert course.left() / (course.done + course.left()) == pytest.approx(0.3, abs=0.03)


def test_cells_that_leave_are_taken_to_go_on_leaving():
    """Of R cells R·t^(−h) run at t: until 5t they take (5^(1−h) − 1) times as many steps as until t."""

    def left(fall):
        course = Course([CLOSED, TRAINED])
        trained(course, 10_000, 100_000, 20_000, lambda t: t**-fall)
        return course.left() / course.done

    assert left(0.5) == pytest.approx(5**0.5 - 1, rel=0.35)  # with a share of what had been expected
    assert left(0.25) > 1.2 * left(0.5)
    assert left(1.0) < left(0.5)


def test_where_no_cell_stops_early_that_is_known_from_the_start():
    course = Course([CLOSED, Stage(1e9, 1e5, 0.0, fixed=True)])
    trained(course, 10, 10_000, 1000)
    left, _unsure = course.foretold()
    assert left / (course.done + left) == pytest.approx(0.9, abs=0.01)
    early = Course([CLOSED, TRAINED])
    trained(early, 10, 10_000, 1000)
    assert early.foretold()[0] < left  # there some may


def test_later_trainings_are_as_much_longer_as_those_before():
    course = Course([CLOSED, TRAINED, TRAINED, TRAINED])
    trained(course, 10, 20_000, 20_000)  # ten times what was expected
    course.start(10, 20_000)
    assert 5e9 < course.left() < 4e10


def test_more_trainings_than_were_expected_are_no_error():
    course = Course([CLOSED, TRAINED])
    for _ in range(3):
        trained(course, 10, 100, 100)
    assert course.left() == 0
