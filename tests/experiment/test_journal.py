"""A batch that was cut off goes on with the same tables, bit for bit: with restarts, ablations, of every model."""

import copy

import numpy as np
import pytest
from conftest import ADAMW

from gdstudy import load_dataset
from gdstudy.experiment.driver import run_batch
from gdstudy.experiment.plan import plan
from gdstudy.study.parser import study_of

GD = {"steps": 100, "checkpoints_per_decade": 3}
READOUTS = {"datasets": ["diabetes"], "n_train": [5, 10, 20], "seeds": 2, "preprocess": "standardize", "gd": GD}
LINEAR = {"datasets": ["power_law"], "synthetic": {"n_inputs": 6, "n_rows": 40}, "n_train": [4, 20], "seeds": 2}
SPARSE = {"datasets": ["sparse_features"], "synthetic": {"n_inputs": 12, "n_rows": 40, "p_nonzero": 0.2}}
STUDIES = {
    "several trainings": READOUTS
    | {
        "trainings": {
            "rolling": {"optimizer": "heavy_ball", "momentum": 0.9},
            "single": {"dtype": "float32"},
            "adam": {"optimizer": "adam", "step_size": 0.1, "steps": 50},
            "drawn": {"start": "gaussian"},
        }
    },
    "ablations": READOUTS
    | {
        "gd": GD | {"ablations": ["no_residuals", "singular_value_cutoff"]},
        "ablations": {"no_residuals": True, "singular_value_cutoff": [0.1, 1]},
    },
    "autoencoders": LINEAR | {"models": ["linear_autoencoder"], "gd": GD},
    "exact bottlenecks": LINEAR | {"models": ["bottleneck_aligned"], "n_hidden": [2], "gd": GD | {"steps": 300}},
    "restarts": LINEAR
    | {"models": ["bottleneck"], "n_hidden": [2], "gd": GD, "trainings": {"best": {"restarts": 3}}},
    "superposition": SPARSE
    | {
        "models": ["superposition"],
        "n_hidden": [2],
        "n_train": [4, 20],
        "seeds": 2,
        "gd": GD | ADAMW | {"step_size": 0.01, "dtype": "float32", "steps": 100},
        "trainings": {"best": {"restarts": 2}, "by_autograd": {"engine": "autograd"}},
    },
}  # fmt: skip


class Cut(Exception):
    """What stops a batch."""


class Keeper:
    def __init__(self, saved=None):
        self.saved, self.kept = saved, None

    def due(self):
        return False

    def save(self, tree):
        self.kept = copy.deepcopy(tree)


class Monitor:
    """Counts looks and cell-steps, and stops a batch after so many looks."""

    def __init__(self, stop_at=None):
        self.stop_at, self.looks, self.steps, self.begun = stop_at, 0, 0, []

    def start(self, cells, steps):
        self.begun.append((cells, steps))

    def measured(self, so_far):
        pass

    def check(self, cell_steps, running):
        self.looks, self.steps = self.looks + 1, self.steps + cell_steps
        if self.looks == self.stop_at:
            raise Cut


def batch_of(study):
    (batch,) = plan(study)
    return load_dataset(batch.dataset, batch.preprocess, batch.input_noise, study.synthetic), batch


def in_pieces(study, every):
    """The records of a batch that is stopped after so many looks again and again; and all that it did."""
    data, batch = batch_of(study)
    keeper, pieces = Keeper(), []
    while True:
        pieces.append(Monitor(every))
        try:
            return run_batch(study, data, batch, pieces[-1], keeper), pieces
        except Cut:
            keeper = Keeper(keeper.kept)


def assert_same(ours, theirs):
    """Every group of every table, with its order, types and bits."""
    for name in ("results", "curves", "arrays"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert len(mine) == len(other)
        for a, b in zip(mine, other, strict=True):
            assert list(a) == list(b)
            for key in a:
                x, y = np.asarray(a[key]), np.asarray(b[key])
                assert (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes()), (name, key)


@pytest.mark.parametrize("name", STUDIES)
def test_a_batch_in_pieces_has_the_tables_of_one_in_one_go(name):
    study = study_of(STUDIES[name])
    whole, monitor = run_batch(study, *batch_of(study), watch := Monitor()), watch
    records, pieces = in_pieces(study, every=monitor.looks // 5)
    assert_same(records, whole)
    assert len(pieces) > 5
    # No step is taken twice.
    assert sum(piece.steps for piece in pieces) == monitor.steps


def test_who_watches_is_told_what_is_left():
    study = study_of(STUDIES["superposition"] | {"trainings": {}})
    _, pieces = in_pieces(study, every=20)
    assert [piece.begun for piece in pieces][:2] == [[(4, 100)], [(4, 80)]]


@pytest.mark.parametrize("lost", ["starts", "levels"])
def test_a_finished_training_that_is_not_kept_is_trained_again(lost):
    study = study_of(STUDIES["ablations"])
    whole, monitor = run_batch(study, *batch_of(study), watch := Monitor()), watch

    def lose(tree):
        tree[lost], tree["descent"] = [], None

    keeper, data_and_batch = Keeper(), batch_of(study)
    with pytest.raises(Cut):
        run_batch(study, *data_and_batch, Monitor(monitor.looks - 1), keeper)
    lose(keeper.kept)
    again = Monitor()
    assert_same(run_batch(study, *data_and_batch, again, Keeper(keeper.kept)), whole)
    assert again.steps > monitor.steps / 4
