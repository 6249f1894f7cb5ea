import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gdstudy import load_results
from gdstudy.summary import by_size, select


def scalars(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}


def test_sibling_runs_share_tags_so_that_trained_and_exact_overlay(run_dir):
    runs = {e: scalars(run_dir / "diabetes" / e) for e in ("gd", "gd_closed_form", "min_norm")}
    for tag in ("sweep/test_mse", "sweep/train_mse", "sweep/smallest_singular_value", "sweep/distance"):
        assert all(tag in run for run in runs.values())
    for n in (5, 10, 20):
        for value in ("distance", "test_mse", "train_mse"):
            assert all(f"convergence/N={n}/{value}" in run for run in runs.values())
    assert "sweep/fraction_converged" in runs["gd"]
    for run in runs.values():
        for points in run.values():
            steps = [p.step for p in points]
            assert steps == sorted(set(steps))


def test_sweep_tags_are_medians_over_seeds_against_n(run_dir):
    points = scalars(run_dir / "student_teacher/min_norm")["sweep/test_mse"]
    curve = by_size(select(load_results(run_dir), dataset="student_teacher", estimator="min_norm"), "test_mse")
    assert [p.step for p in points] == [3, 5, 10, 20, 40]
    np.testing.assert_allclose([p.value for p in points], curve.median, rtol=1e-6)


def test_the_run_itself_holds_config_and_figures(run_dir):
    events = EventAccumulator(str(run_dir))
    events.Reload()
    assert set(events.Tags()["images"]) == {"mse_against_n", "test_mse_by_steps", "distance_by_steps"}
    assert "config/text_summary" in events.Tags()["tensors"]
