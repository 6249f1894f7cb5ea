"""How far a run is said to be."""

import dataclasses

from gdstudy.experiment.plan import budget, plan
from gdstudy.study.config import Study
from gdstudy.study.groups import Training
from gdstudy.sweep.progress import Progress


def small(**changes):
    return Study(datasets=["diabetes"], n_train=[5, 20], seeds=2, gd=Training(steps=100), **changes)


def test_cells_that_stop_early_give_their_steps_back_and_are_counted_once():
    study = small()
    (batch,) = plan(study)
    with Progress(study, [batch], quiet=True) as progress:
        assert (progress.n_cells, progress.total) == budget(study, batch) == (4, 400)
        progress.begin(batch)
        progress.start(4, 100)
        progress.check(4 * 10, 3)  # one is done after ten steps
        assert (progress.finished, progress.spent, progress.taken) == (1, 40 + 90, 40)
        progress.check(3 * 40, 1)  # two more after fifty
        assert (progress.finished, progress.spent) == (3, 130 + 120 + 2 * 50)
        progress.check(1 * 50, 1)  # the last takes all its steps
        assert (progress.finished, progress.spent) == (4, 400)
        progress.end(batch, 1.0)
        assert (progress.finished, progress.spent) == (4, 400)


def test_every_training_counts_with_its_own_steps_and_what_was_not_needed_is_made_up_at_the_end():
    study = small(trainings={"short": {"steps": 10}})
    (batch,) = plan(study)
    with Progress(study, [batch, dataclasses.replace(batch, number=1)], quiet=True) as progress:
        assert (progress.n_cells, progress.total) == (16, 2 * 4 * 110)
        progress.begin(batch)
        progress.start(4, 100)
        progress.check(4 * 100, 4)
        progress.start(4, 10)
        progress.check(4 * 5, 0)
        progress.end(batch, 1.0)
        assert (progress.finished, progress.spent) == (8, 440)
        progress.skip(dataclasses.replace(batch, number=1))
        assert (progress.finished, progress.spent) == (16, 880)
