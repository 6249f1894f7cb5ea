import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdstudy.views.summary import (
    at_steps,
    best_by_training,
    by_size,
    by_size_after,
    by_step,
    checkpoints,
    groups,
    relative,
    representative_sizes,
    seen_as,
    select,
)


def curves():
    # Cell 0 finishes at t = 5; cell 1 runs to the last checkpoint, 10.
    return pd.DataFrame(
        {
            "n_parameters": 3,
            "n_hidden": np.nan,
            "n_train": [1, 1, 2, 2],
            "seed": 0,
            "step": [1, 5, 1, 10],
            "distance": [1.0, 0.1, 1.0, 0.2],
            "status": pd.Categorical(["running", "converged", "running", "max_steps"]),
        }
    )


def diverged(table, row):
    status = table["status"].astype(str)
    status.iloc[row] = "diverged"
    return table.assign(status=status)


def test_finished_cells_stand_where_they_finished():
    cells = at_steps(curves(), "distance", [1, 4, 10])
    assert cells.index.tolist() == [1, 2]
    assert cells.columns.tolist() == [1, 4, 10]
    assert cells.to_numpy().tolist() == [[1.0, 1.0, 0.1], [1.0, 1.0, 0.2]]


def test_diverged_cells_have_no_finite_value_from_then_on():
    table = diverged(curves(), 1)
    assert at_steps(table, "distance", [1, 10]).to_numpy().tolist() == [[1.0, np.inf], [1.0, 0.2]]
    assert by_size(table, "distance").high.tolist() == [np.inf, 0.8]
    assert by_size_after(table, "distance", [1, 10])[1].median.tolist() == [np.inf, 0.2]


def test_only_checkpoints_count_as_steps():
    assert by_step(curves(), "distance").x.tolist() == [1, 10]
    assert by_step(curves(), "distance", np.array([1, 5, 20])).median.tolist() == [1.0, 0.55, 0.15000000000000002]


@st.composite
def trainings(draw):
    """Rows of a few cells in whatever order: each at some of the checkpoints, up to where it finished."""
    rows = []
    for n, seed in draw(st.sets(st.tuples(st.integers(1, 3), st.integers(0, 2)), min_size=1)):
        last = draw(st.integers(1, 60))
        steps = [t for t in (1, 10, 40) if t < last]
        rows += [(n, seed, t, draw(st.floats(0, 9)), "running") for t in steps]
        rows += [(n, seed, last, draw(st.floats(0, 9)), draw(st.sampled_from(["converged", "diverged"])))]
    table = pd.DataFrame(rows, columns=["n_train", "seed", "step", "distance", "status"])
    table = table.sample(frac=1, random_state=draw(st.integers(0, 9))).sort_values("step", kind="stable")
    return table.assign(n_parameters=3, n_hidden=np.nan)


@given(trainings(), st.sets(st.integers(1, 70), min_size=1))
def test_a_cell_stands_where_its_last_row_left_it(table, steps):
    steps = sorted(steps)
    found = at_steps(table, "distance", steps)
    cells = list(table.groupby(["n_train", "seed"], sort=False))
    assert found.index.tolist() == [n for (n, _), _ in cells]
    for (_, rows), of_cell in zip(cells, found.to_numpy(), strict=True):
        worst = np.where(rows["status"] == "diverged", np.inf, rows["distance"])
        expected = [worst[max(0, (rows["step"] <= t).sum() - 1)] for t in steps]  # before its first row that one
        assert of_cell.tolist() == expected
    last = table.groupby(["n_train", "seed"])["step"].max()
    running = [t for t in sorted(set(table["step"])) if (table["step"] == t).sum() == (last >= t).sum()]
    assert checkpoints(table).tolist() == running


def of_seeds(values, n_train=7):
    return pd.DataFrame({"n_train": n_train, "test_mse": values, "status": "closed_form"})


def test_a_diverged_cell_counts_as_infinite_and_never_as_missing():
    curve = by_size(of_seeds([1.0, 2.0, 3.0, np.nan, np.nan]), "test_mse")
    assert (curve.low[0], curve.median[0], curve.high[0], curve.mean[0]) == (2.0, 3.0, np.inf, np.inf)


@pytest.mark.parametrize("seeds", [1, 2, 5, 50])
def test_quartiles_are_those_of_numpy_size_by_size(seeds):
    values = np.random.default_rng(0).lognormal(sigma=3, size=(4, seeds))
    values[2, 0] = np.inf
    table = of_seeds(values.ravel(), np.repeat([9, 3, 5, 4], seeds)).sample(frac=1, random_state=0)
    curve = by_size(table, "test_mse")
    assert curve.x.tolist() == [3, 4, 5, 9]
    expected = np.quantile(np.where(np.isinf(values), 1e306, values), (0.25, 0.5, 0.75), axis=1)[:, [1, 3, 2, 0]]
    expected = np.where(expected > 1e300, np.inf, expected)
    np.testing.assert_allclose([curve.low, curve.median, curve.high], expected, rtol=1e-15)
    np.testing.assert_allclose(curve.mean, values.mean(1)[[1, 3, 2, 0]])


def test_sizes_below_at_and_above_the_threshold():
    assert representative_sizes(np.arange(1, 61), 10) == [5, 10, 20]
    assert representative_sizes(np.array([7]), 10) == [7]


def test_a_data_set_is_called_by_what_was_done_to_it():
    assert seen_as("diabetes", "none", 0.0) == "diabetes"
    assert seen_as("diabetes", "standardize", 0.0) == "diabetes+standardize"
    assert seen_as("digits", "center", 0.5) == "digits+center+noise0.5"
    assert seen_as("digits", "none", 2.0) == "digits+noise2"
    assert seen_as("digits", "none", 1 / 3) == "digits+noise0.3333333333333333"  # two noises are two data sets


def test_groups_are_sorted_and_data_sets_as_they_are_come_first_as_in_fig_1():
    seen = [("digits", "none", 0.5), ("diabetes", "standardize", 0.0), ("digits", "none", 0.0), ("diabetes", "none", 0)]
    table = pd.DataFrame(seen, columns=["dataset", "preprocess", "input_noise"]).astype({"dataset": "category"})
    table["level"] = [np.nan, 2.0, 1.0, 2.0]
    names = ("dataset", "preprocess", "input_noise")
    assert [key for key, _ in groups(table, *names)] == [seen[3], seen[2], seen[1], seen[0]]
    assert [len(rows) for _, rows in groups(table, "level")] == [1, 2, 1]  # none has a group too
    assert np.isnan(list(groups(table, "level"))[-1][0][0])
    assert len(select(table, dataset="digits", input_noise=0.5)) == 1
    assert select(table, dataset="never seen").empty


def test_shares_are_errors_over_the_energy_of_the_targets():
    table = pd.DataFrame({"test_mse": [1.0], "train_mse": [2.0], "target_mean_square": [4.0]})
    assert relative(table)[["relative_test_mse", "relative_train_mse"]].iloc[0].tolist() == [0.25, 0.5]
    table = pd.DataFrame({"test_mse": [1.0], "train_mse": [2.0], "exact_test_mse": [3.0]})
    assert relative(table, scale=2.0)["exact_relative_test_mse"].tolist() == [1.5]


def test_the_best_training_of_each_cell_is_that_of_the_lowest_training_loss_and_a_diverged_one_loses():
    keys = {"n_parameters": 3, "n_hidden": 2, "n_train": 5, "status": "max_steps"}
    first = pd.DataFrame({**keys, "seed": [0, 1, 2], "train_mse": [1.0, 1.0, np.nan], "of": "first"})
    second = pd.DataFrame({**keys, "seed": [0, 1, 2], "train_mse": [0.5, 1.0, 9.0], "of": "second"})
    best = best_by_training([first, second]).set_index("seed").sort_index()
    assert best["of"].tolist() == ["second", "first", "second"]
    best = best_by_training([first, diverged(second, 0)]).set_index("seed").sort_index()
    assert best["of"].tolist() == ["first", "first", "second"]


def test_a_cell_that_diverged_has_an_infinite_error_and_no_row_in_its_class():
    table = diverged(curves().assign(test_accuracy=0.9, exact_test_accuracy=0.9), 1)
    assert by_size(table[:2], "distance").high[0] == np.inf
    for value in ("test_accuracy", "exact_test_accuracy"):
        assert by_size(table[:2], value).low[0] == pytest.approx(0.225)
        assert by_size(curves().assign(**{value: 0.9}), value).low.tolist() == [0.9, 0.9]
