"""What is written once for every kind of model: several trainings, their starts, their rows and curves."""

import functools

import numpy as np
import pandas as pd
import pytest
import torch
from computed import assert_same_rows, at, computed, records_of
from conftest import SPARSE, small_study

from gdstudy.experiment.driver import Trained, _Runs
from gdstudy.experiment.plan import budget, plan
from gdstudy.study.config import Study
from gdstudy.study.groups import Ablations, Synthetic, Training
from gdstudy.study.optimizers import OPTIMIZERS
from gdstudy.study.status import Status

READOUTS = {
    "datasets": ["diabetes"],
    "n_train": [4, 20],
    "seeds": 2,
    "ablations": Ablations(no_residuals=True, leading_modes=[2]),
    "gd": Training(steps=60, checkpoints_per_decade=2),
}
BOTTLENECK = {
    "datasets": ["power_law"],
    "synthetic": Synthetic(n_inputs=6, n_rows=80),
    "models": ["bottleneck_aligned", "bottleneck"],
    "n_train": [4, 20],
    "n_hidden": [2, 3],
    "seeds": 2,
    "gd": Training(steps=40, checkpoints_per_decade=2, init_scale=0.05),
}
SUPERPOSITION = {
    "datasets": ["sparse_features"],
    "synthetic": SPARSE,
    "models": ["superposition"],
    "n_train": [5, 20],
    "n_hidden": [2],
    "seeds": 2,
    "gd": Training(steps=40, checkpoints_per_decade=2, step_size="0.02"),
}
ADAM = {"optimizer": "adam", "step_size": 0.01}
OTHERS = {
    "readouts": {
        "adam": ADAM,
        "momentum": {"optimizer": "sgd", "step_size": 1e-3, "optimizer_options": {"momentum": 0.5}},
        "single": {"dtype": "float32"},
        "slow": {"step_size": 0.1, "ablations": ["no_residuals"]},
        "scaled": {"preprocess": "standardize"},
        "again": {},
        "warm": {"warmup": 0.2},
    },
    "bottleneck": {"adam": ADAM, "single": {"dtype": "float32", "n_hidden": [3]}, "best_of_3": {"restarts": 3}},
    "superposition": {"adam": ADAM, "again": {}, "best_of_2": {"restarts": 2}, "best_of_3": {"restarts": 3}},
}
STUDIES = {"readouts": READOUTS, "bottleneck": BOTTLENECK, "superposition": SUPERPOSITION}


def study_of(kind):
    """Of one kind of model, with all its trainings at once."""
    return Study(**STUDIES[kind], trainings=OTHERS[kind])


@functools.cache
def several(kind):
    """Its tables, computed once; tests only read them."""
    return computed(study_of(kind))


def having(*names):
    """A test of each kind of model that has trainings of these names."""
    return pytest.mark.parametrize("kind", [kind for kind, others in OTHERS.items() if set(names) <= set(others)])


def of_training(table, name):
    return table[table["estimator"].isin([name, f"{name}_closed_form"])]


def as_other(table, name, other):
    """The rows of a training as if it had another name."""
    return table.assign(estimator=table["estimator"].str.replace(name, other))


# Several at once


@having()
def test_each_training_is_what_it_is_alone(kind):
    """Results, curves and pictures, whatever is trained beside it and was trained before it."""
    together = several(kind)
    for name, differs in OTHERS[kind].items():
        values = STUDIES[kind] | {"estimators": ["min_norm"]}
        alone = computed(Study(**values, trainings={name: differs}))
        for ours, theirs in zip(together, alone, strict=True):
            assert len(ours) or not len(theirs)
            if not len(theirs):  # plain readouts have no pictures
                continue
            mine, expected = of_training(ours, name), of_training(theirs, name)
            assert len(expected)
            assert_same_rows(mine[list(theirs)], expected, rtol=1e-12)


@having()
def test_different_trainings_end_elsewhere(kind):
    """Control: what the test above compares is not the same for all."""
    together, losses = several(kind), {}
    for name in set(study_of(kind).trained) - {"again", "scaled", "best_of_2", "best_of_3"}:
        rows = at(together.results, estimator=name, ablation="none")
        losses[name] = tuple(rows["train_mse"].tail(4))
    assert len(set(losses.values())) == len(losses) >= 2


@having("again")
def test_the_same_training_under_another_name_has_the_same_rows(kind):
    for table in several(kind):
        if len(table):
            assert_same_rows(as_other(of_training(table, "again"), "again", "gd"), of_training(table, "gd"))


@pytest.mark.parametrize("kind", STUDIES)
def test_a_training_beside_another_costs_what_is_not_shared(kind):
    """Starts that two trainings have in common, and rows that an ablation does not change, are trained once."""

    class Monitor:
        def __init__(self):
            self.cells = 0

        def start(self, cells, steps):
            self.cells += cells

        def measured(self, so_far):
            pass

        def check(self, cell_steps, running):
            pass

    expected = {"readouts": 1 + 1, "bottleneck": 3, "superposition": 3}[kind]
    others = {"again": {}, "best_of_2": {"restarts": 2}, "best_of_3": {"restarts": 3}}
    if kind == "readouts":
        others = {"again": {}, "ablated": {"ablations": ["no_residuals", "leading_modes"]}}
    study = Study(**{**STUDIES[kind], "estimators": ["min_norm"]}, trainings=others)
    for batch in plan(study):
        monitor = Monitor()
        list(records_of(study, [batch], monitor))
        starts = 1 if batch.model == "bottleneck_aligned" else expected  # it has but one
        assert monitor.cells == starts * len(batch.cells)
        assert monitor.cells <= budget(study, batch)[0]


# Precision


@having("single")
def test_a_training_in_single_precision_stands_beside_one_in_double(kind):
    rows = at(several(kind).results, ablation="none", preprocess="none")
    single, double = (at(rows, estimator=name) for name in ("single", "gd"))
    assert set(single["precision"]) == {2.0**-23}
    assert set(double["precision"]) == {2.0**-52}
    double = double[double["n_hidden"].isin(set(single["n_hidden"])) | double["n_hidden"].isna()]
    np.testing.assert_allclose(single["test_mse"], double["test_mse"], rtol=1e-3)
    assert (single["test_mse"].to_numpy() != double["test_mse"].to_numpy()).any()


# The exact iterate


@having()
def test_the_exact_iterate_stands_beside_each_plain_training_and_beside_no_other(kind):
    rows, curves, _ = several(kind)
    for name, training in study_of(kind).trained.items():
        plain = OPTIMIZERS[training.optimizer].plain and not training.warmup and training.schedule == "constant"
        trained, exact = at(rows, estimator=name), at(rows, estimator=f"{name}_closed_form")
        known = trained if plain and kind == "readouts" else at(trained, model="bottleneck_aligned")
        known = known if plain else trained[:0]
        keys = ["dataset", "preprocess", "model", "ablation", "level", "n_train", "seed"]
        keys += ["n_hidden"] if kind == "bottleneck" else []
        pd.testing.assert_frame_equal(
            exact[keys].reset_index(drop=True), known[keys].reset_index(drop=True), check_dtype=False
        )
        if len(known) and training.dtype == "float64":
            np.testing.assert_allclose(exact["test_mse"], known["test_mse"], rtol=1e-8)
        mine = at(curves, estimator=name)
        has_exact = mine["exact_test_mse"].notna() if "exact_test_mse" in mine else pd.Series(False, mine.index)
        models = set(mine["model"][has_exact])
        assert models == set(known["model"])


# Other optimizers


@pytest.mark.parametrize("optimizer", [name for name, facts in OPTIMIZERS.items() if not facts.plain])
def test_readouts_are_trained_by_each_optimizer_and_go_down(optimizer):
    values = {**READOUTS, "n_train": [5, 20], "estimators": ["min_norm"], "ablations": Ablations()}
    gd = Training(steps=150, preprocess="standardize", checkpoints_per_decade=1)
    rate = {"sgd": 1e-3, "asgd": 1e-3, "radam": 1e-3, "adadelta": 20.0}.get(optimizer, 1.0)
    study = Study(**{**values, "gd": gd}, trainings={"other": {"optimizer": optimizer, "step_size": rate}})
    tables = computed(study)
    rows = at(tables.results, estimator="other")
    assert (rows["status"] == "max_steps").all()  # it takes all its steps
    assert (rows["step"] == 150).all()
    first = at(tables.curves, step=1)
    assert (rows["train_mse"].to_numpy() < 0.995 * first["train_mse"].to_numpy()).all()
    # No bound on the step size, nor a number of steps to go, is known of it.
    assert rows["step_size_limit"].isna().all()
    assert "steps_to_tolerance" not in rows or rows["steps_to_tolerance"].isna().all()


def test_adam_leaves_the_row_space_and_plain_descent_does_not():
    """Below N = P: Adam divides each coordinate by its own √v, and so leaves the span of the rows."""
    trainings = {"adam": {"optimizer": "adam", "step_size": 1.0}, "sgd": {"optimizer": "sgd", "step_size": 0.1}}
    study = small_study(datasets=["diabetes"], n_train=[4, 20], gd=Training(steps=300), trainings=trainings)
    rows = computed(study).results
    leak = at(rows, n_train=4).groupby("estimator")["row_space_leak"]
    assert leak.max()["gd"] < 1e-12
    assert leak.max()["sgd"] < 1e-12  # whose steps are sums of rows
    assert leak.min()["adam"] > 0.05
    # From N = P on there is nothing to leave.
    assert at(rows, n_train=20)["row_space_leak"].max() < 1e-12


def test_sgd_without_momentum_is_plain_descent_at_one_step_size():
    study = Study(**{**READOUTS, "gd": Training(steps=100, step_size="0.1")}, trainings={"sgd": {"optimizer": "sgd"}})
    tables = computed(study)
    plain, sgd = (at(tables.curves, estimator=name) for name in ("gd", "sgd"))
    both = plain.merge(sgd, on=["n_train", "seed", "step"])
    assert len(both) > 20
    np.testing.assert_allclose(both["test_mse_x"], both["test_mse_y"], rtol=1e-9)
    np.testing.assert_allclose(both["weight_norm_x"], both["weight_norm_y"], rtol=1e-9)


# Preprocessing


def test_a_training_with_its_own_preprocessing_has_the_closed_form_of_the_same_data_beside_it():
    rows = several("readouts").results
    assert set(at(rows, preprocess="standardize")["estimator"]) == {"min_norm", "scaled", "scaled_closed_form"}
    assert "scaled" not in set(at(rows, preprocess="none")["estimator"])
    closed, trained = (at(rows, preprocess="standardize", estimator=name) for name in ("min_norm", "scaled"))
    assert set(closed["ablation"]) == set(trained["ablation"]) == {"none"}
    alone = computed(Study(**{**READOUTS, "preprocess": "standardize", "ablations": Ablations()})).results
    for name in ("min_norm", "scaled"):
        expected = at(alone, estimator="gd" if name == "scaled" else name)
        mine = at(rows, preprocess="standardize", estimator=name)
        np.testing.assert_allclose(mine["test_mse"], expected["test_mse"], rtol=1e-12)
    # And its distance is that to the limit of its own data.
    wrong = at(rows, preprocess="none", estimator="min_norm", ablation="none")
    assert (wrong["weight_norm"].to_numpy() != closed["weight_norm"].to_numpy()).all()


# Restarts


@pytest.mark.parametrize("kind", ["bottleneck", "superposition"])
def test_restarts_begin_with_start_0_and_keep_the_lowest_training_loss(kind):
    """The best of k is the best of the k starts, each of which is the only one that is new to the best of that many."""
    trainings = {f"best_of_{k}": {"restarts": k} for k in (2, 3, 4)}
    values = {**STUDIES[kind], "seeds": 6, "models": [STUDIES[kind]["models"][-1]]}
    tables = computed(Study(**values, trainings=trainings))
    keys = ["n_train", "n_hidden", "seed"]
    columns = {name: at(tables.results, estimator=name).set_index(keys) for name in ("gd", *trainings)}
    losses = pd.DataFrame({name: rows["train_mse"] for name, rows in columns.items()})
    assert (losses.diff(axis=1).iloc[:, 1:] <= 0).all(axis=None)
    better = losses["best_of_4"] < losses["gd"]
    assert better.sum() > 0
    # Where start 0 is kept its rows are those of gd; where it is not all of them are another start's.
    for name in ("test_mse", "weight_norm", "gradient_norm"):
        same = columns["best_of_4"][name] == columns["gd"][name]
        np.testing.assert_array_equal(same, ~better)
    # The curves are those of the start that was kept: they end where the results are.
    for name in columns:
        ends = at(tables.curves, estimator=name).sort_values("step").groupby(keys).last()
        pd.testing.assert_series_equal(ends["train_mse"], columns[name]["train_mse"].sort_index())
        pd.testing.assert_series_equal(ends["status"], columns[name]["status"].sort_index())
    kept = at(tables.arrays, estimator="best_of_4")
    assert len(kept) == len(at(tables.arrays, estimator="gd")) > 0


class Stub:
    """A task whose training loss is its weight."""

    def measure(self, W, cells):
        return {"train_mse": W[:, 0].double().numpy()}


def best_of(*losses, status=None):
    """(training loss that is kept, number of its start) of each cell."""
    cells = torch.tensor(losses[0]).shape[0]
    status = status or [[Status.MAX_STEPS] * cells] * len(losses)
    starts = [
        Trained(torch.tensor(loss)[:, None], torch.full((cells,), k), torch.zeros(cells), torch.tensor(codes))
        for k, (loss, codes) in enumerate(zip(losses, status, strict=True))
    ]
    (batch, *_) = plan(small_study(n_train=list(range(1, cells + 1)), seeds=1, batch_cells=cells))
    trained, kept = _Runs(batch, None, 0, None, None)._best(Stub(), starts)
    assert trained.steps.tolist() == kept.tolist()
    return trained.W[:, 0].tolist(), kept.tolist()


def test_what_is_no_number_loses_to_any_other_start():
    found, kept = best_of([1.0, np.nan, 3.0, np.inf], [2.0, 5.0, 2.0, 1.0])
    assert (found, kept) == ([1, 5, 2, 1], [0, 1, 1, 1])
    assert best_of([2.0, 5.0], [np.nan, np.nan], [1.0, 6.0])[1] == [2, 0]


def test_of_several_starts_one_that_diverged_loses_whatever_its_loss():
    codes = [[Status.DIVERGED, Status.MAX_STEPS], [Status.MAX_STEPS, Status.MAX_STEPS]]
    assert best_of([0.1, 0.1], [0.2, 0.2], status=codes)[1] == [1, 0]
    assert best_of([0.2, 0.2], [0.1, 0.1], status=codes[::-1])[1] == [0, 1]
    # Equal losses: the first.
    assert best_of([0.2, 0.2], [0.2, 0.2])[1] == [0, 0]
