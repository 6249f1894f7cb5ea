import numpy as np
import pandas as pd
import pytest

from gdstudy.experiment.tables import frame
from gdstudy.study.columns import TABLES

CELLS = {"dataset": "digits", "preprocess": "none", "input_noise": 0.0, "model": "linear", "n_parameters": 2}


def test_groups_lie_one_after_the_other_with_every_column_of_the_table():
    first = {
        **CELLS,
        "n_train": np.array([3, 4]),
        "status": np.array(["converged", "stalled"]),
        "seed": np.array([0, 1]),
    }
    second = {**CELLS, "n_train": np.array([5]), "status": "closed_form", "test_mse": 2.5}
    table = frame("results", [first, second])
    assert list(table) == [column.name for column in TABLES["results"]]
    assert table["n_train"].tolist() == [3, 4, 5]
    assert table["status"].tolist() == ["converged", "stalled", "closed_form"]
    assert list(table["status"].cat.categories) == ["closed_form", "converged", "stalled"]  # in alphabetical order
    np.testing.assert_array_equal(table["test_mse"], [np.nan, np.nan, 2.5])


def test_whole_numbers_stay_whole_unless_some_are_empty():
    """seed is empty in a group, step is missing everywhere, n_hidden is None in one and a number in another."""
    one = {**CELLS, "n_train": np.array([3, 4]), "seed": np.array([0, 1]), "n_hidden": None}
    two = {**CELLS, "n_train": np.array([5]), "n_hidden": 7}
    table = frame("results", [one, two])
    assert (table["n_train"].dtype, table["n_parameters"].dtype) == (np.int64, np.int64)
    np.testing.assert_array_equal(table["seed"], [0, 1, np.nan])
    np.testing.assert_array_equal(table["n_hidden"], [np.nan, np.nan, 7])
    assert table["step"].isna().all()
    assert frame("results", [one])["seed"].dtype == np.int64  # control


def test_an_array_is_one_row_of_single_precision_in_c_order():
    value = np.arange(6.0).reshape(2, 3).T
    table = frame("arrays", [{**CELLS, "n_train": np.array([9]), "name": "outputs", "value": value}])
    (stored,) = table["value"]
    assert (len(table), stored.dtype, stored.flags.c_contiguous) == (1, np.float32, True)
    np.testing.assert_array_equal(stored, value)


@pytest.mark.parametrize("table", TABLES)
def test_no_groups_are_an_empty_table_of_the_same_columns(table):
    empty = frame(table, [])
    assert list(empty) == [column.name for column in TABLES[table]]
    assert len(empty) == 0
    assert isinstance(empty["dataset"].dtype, pd.CategoricalDtype)


def test_a_column_that_the_table_has_not_is_named():
    with pytest.raises(KeyError, match=r"no column \['speed'\] in table curves"):
        frame("curves", [{**CELLS, "speed": 3}])
