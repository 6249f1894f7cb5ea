"""The paper's split, and training rows of many cells."""

import contextlib

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from gdstudy.data.splits import split, training_rows


@pytest.mark.parametrize("seed", [0, 7, 49])
@pytest.mark.parametrize("n_train", [1, 10, 441])
def test_the_split_is_scikit_learns_and_nested(seed, n_train):
    train, test = split(442, n_train, seed)
    theirs = train_test_split(np.arange(442), random_state=seed, test_size=442 - n_train)
    np.testing.assert_array_equal(train, theirs[0])
    np.testing.assert_array_equal(test, theirs[1])
    if n_train < 441:
        assert set(train) < set(split(442, n_train + 1, seed)[0])


def test_what_a_caller_does_to_a_split_does_not_change_the_next():
    train, _ = split(442, 10, 0)
    kept = train.copy()
    with contextlib.suppress(ValueError):  # refused, or done to a copy
        train[:] = 0
    np.testing.assert_array_equal(split(442, 10, 0)[0], kept)


def test_training_rows_of_many_cells_are_those_of_their_splits():
    rows = training_rows(442, [(3, 1), (5, 2), (4, 1)], 5)
    np.testing.assert_array_equal(rows[0], [*split(442, 3, 1)[0], -1, -1])
    np.testing.assert_array_equal(rows[1], split(442, 5, 2)[0])
    np.testing.assert_array_equal(rows[2], [*split(442, 4, 1)[0], -1])


@pytest.mark.parametrize("n_train", [0, 442, 443])
def test_a_split_that_leaves_no_row_to_train_or_test_on_is_refused(n_train):
    with pytest.raises(ValueError, match=f"n_train={n_train} must lie in 1 … 441"):
        split(442, n_train, 0)
