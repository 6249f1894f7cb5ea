import numpy as np

from gdstudy.views.summary import at_steps, by_size, by_step, quantiles, representative_sizes


def curves():
    # Cell 0 finishes at t = 5; cell 1 runs to the last checkpoint, 10.
    return {
        "n_train": np.array([1, 1, 2, 2]),
        "step": np.array([1, 5, 1, 10]),
        "distance": np.array([1.0, 0.1, 1.0, 0.2]),
        "status": np.array(["running", "converged", "running", "max_steps"]),
    }


def test_finished_cells_stand_where_they_finished():
    sizes, values = at_steps(curves(), "distance", np.array([1, 4, 10]))
    assert sizes.tolist() == [1, 2]
    assert values.tolist() == [[1.0, 1.0, 0.1], [1.0, 1.0, 0.2]]


def test_diverged_cells_have_no_finite_value_from_then_on():
    table = curves()
    table["status"][1] = "diverged"
    assert at_steps(table, "distance", np.array([1, 10]))[1].tolist() == [[1.0, np.inf], [1.0, 0.2]]
    assert by_size(table, "distance").high.tolist() == [np.inf, 0.8]


def test_only_checkpoints_count_as_steps():
    assert by_step(curves(), "distance").x.tolist() == [1, 10]


def test_a_diverged_cell_counts_as_infinite_and_never_as_missing():
    assert quantiles(np.array([1.0, 2.0, 3.0, np.nan, np.nan])).tolist() == [2.0, 3.0, np.inf]


def test_the_middle_of_an_even_number_of_seeds_is_the_usual_median():
    values = np.random.default_rng(0).standard_normal((50, 3))
    np.testing.assert_allclose(quantiles(values)[1], np.median(values, axis=0))


def test_sizes_below_at_and_above_the_threshold():
    assert representative_sizes(np.arange(1, 61), 10) == [5, 10, 20]
    assert representative_sizes(np.array([7]), 10) == [7]
