"""What a run records, against a straightforward computation one cell at a time."""

import numpy as np
import pytest
import torch
from conftest import small_study
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split

from gdstudy import load_curves, load_dataset, load_results
from gdstudy.config import GradientDescent, Sizes, StepSize
from gdstudy.experiment import run_batch
from gdstudy.metrics import row_space_leak
from gdstudy.plan import plan
from gdstudy.summary import select


@pytest.mark.parametrize("name", ["student_teacher", "diabetes"])
@pytest.mark.parametrize("dtype_tolerance", [("float64", 1e-8), ("float32", 1e-2)])
def test_min_norm_errors_equal_pinv_one_cell_at_a_time(name, dtype_tolerance):
    dtype, tolerance = dtype_tolerance
    sizes = tuple(range(1, 61)) if dtype == "float64" else (5, 40)
    gd = GradientDescent(steps=1)
    study = small_study(datasets=[name], n_train=Sizes(sizes), seeds=10, batch_cells=600, gd=gd, dtype=dtype)
    data = load_dataset(name)
    (batch,) = plan(study, [data])
    rows = run_batch(study, data, batch).results[0]
    for (n, seed), test_mse in zip(batch.cells, rows["test_mse"], strict=True):
        parts = train_test_split(data.X, data.Y, random_state=seed, test_size=len(data.X) - n)
        W = np.linalg.pinv(parts[0]) @ parts[2]
        assert test_mse == pytest.approx(mean_squared_error(parts[3], parts[1] @ W), rel=tolerance)


def test_trained_cells_follow_the_exact_iterate_and_stay_in_the_row_space(run_dir):
    curves = load_curves(run_dir)
    assert curves["deviation"].max() < 1e-10
    assert curves["row_space_leak"].max() < 1e-10
    for value in ("test_mse", "distance"):
        np.testing.assert_allclose(curves[value], curves[f"exact_{value}"], rtol=1e-6, atol=1e-10)
    # Deviation is measured, not a copy of the reference: real steps round differently.
    assert curves["deviation"].max() > 0


def test_the_row_space_leak_sees_a_leak():
    Vt = torch.eye(3, dtype=torch.float64)[:2]
    W = torch.tensor([[3.0], [0.0], [4.0]], dtype=torch.float64)
    assert row_space_leak(W, Vt, torch.ones(2, dtype=torch.bool)).item() == pytest.approx(0.8)


def test_the_certificate_predicts_the_steps_that_training_then_takes():
    data = load_dataset("student_teacher")
    values = {"datasets": ["student_teacher"], "n_train": Sizes((10, 40))}
    short = small_study(gd=GradientDescent(steps=100), **values)
    long = small_study(gd=GradientDescent(steps=100_000), **values)
    (batch,) = plan(short, [data])
    early = run_batch(short, data, batch).results[1]
    late = run_batch(long, data, batch).results[1]
    assert (early["status"] == "max_steps").all()
    assert (late["status"] == "converged").all()
    predicted = early["step"] + early["steps_to_tolerance"]
    assert (late["step"] >= predicted).all()
    assert (late["step"] <= 1.02 * predicted + 2).all()  # looked for every t // 64 steps
    assert (late["steps_to_tolerance"] == 0).all()
    # Early on, the slowest mode not yet learnt is the smallest singular value.
    np.testing.assert_allclose(early["slowest_singular_value"], early["smallest_singular_value"])


def test_a_step_size_too_large_for_some_cells_ends_those_diverged_and_no_others():
    gd = GradientDescent(steps=2000, step_size=StepSize("0.02"))
    study = small_study(datasets=["student_teacher"], gd=gd, batch_cells=100)
    data = load_dataset("student_teacher")
    (batch,) = plan(study, [data])
    rows = run_batch(study, data, batch).results[1]
    unstable = rows["step_size"] > rows["step_size_limit"]
    assert 0 < unstable.sum() < len(unstable)
    np.testing.assert_array_equal(rows["status"] == "diverged", unstable)
    assert np.isinf(rows["steps_to_tolerance"][unstable]).all()


def test_the_spike_is_at_the_threshold(run_dir):
    results = select(load_results(run_dir), estimator="min_norm")
    for name, P in (("student_teacher", 20), ("diabetes", 10)):
        rows = select(results, dataset=name)
        medians = {n: np.median(rows["test_mse"][rows["n_train"] == n]) for n in (3, P, 40)}
        assert medians[P] > 4 * max(medians[3], medians[40])
