import numpy as np
from conftest import small_study
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gdstudy import load_results
from gdstudy.config import Sizes
from gdstudy.summary import by_size, select
from gdstudy.train import run_study


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


def test_the_run_itself_holds_config_claims_and_every_figure(run_dir):
    events = EventAccumulator(str(run_dir))
    events.Reload()
    assert set(events.Tags()["images"]) == {path.stem for path in (run_dir / "figures").glob("*.png")}
    assert "mse_against_n" in events.Tags()["images"]
    assert {"config/text_summary", "claims/text_summary"} <= set(events.Tags()["tensors"])


def test_each_level_of_an_ablation_overlays_the_unablated_run(paper_run):
    diabetes = paper_run / "diabetes/min_norm"
    levels = {path.parent.relative_to(diabetes).as_posix() for path in diabetes.rglob("events*")}
    assert {".", "no_residuals", "singular_value_cutoff/0.001", "leading_modes/5", "adversarial_train/31.6"} <= levels
    rows = select(load_results(paper_run), dataset="diabetes", estimator="min_norm", ablation="leading_modes", level=5)
    points = scalars(diabetes / "leading_modes/5")["sweep/test_mse"]
    np.testing.assert_allclose([p.value for p in points], by_size(rows, "test_mse").median, rtol=1e-6)
    assert [p.step for p in points] == [p.step for p in scalars(diabetes)["sweep/test_mse"]]
    assert "sweep/bias_square_of_mean" in scalars(diabetes)
    # GD trains on the standardised data, under the ablations it was given and no others.
    trained = paper_run / "diabetes+standardize/gd"
    assert {path.name for path in trained.iterdir() if path.is_dir()} == {"no_residuals", "singular_value_cutoff"}


def test_theory_is_a_run_of_its_own_without_its_infinite_points(paper_run):
    points = scalars(paper_run / "student_teacher/theory")["sweep/test_mse"]
    assert [p.step for p in points] == [3, 5, 8, 10, 15, 30, 40]  # not 20 = P


def test_a_sweep_of_p_has_p_as_its_step(tmp_path):
    sizes = {"n_train": Sizes((5,)), "n_parameters": Sizes((2, 5, 9))}
    study = small_study(datasets=["linear_plus_cosine"], models=["legendre"], estimators=["min_norm"], seeds=3, **sizes)
    folder = run_study(study, tmp_path / "run")
    tags = scalars(folder / "linear_plus_cosine/legendre/min_norm")
    assert [p.step for p in tags["sweep_p/test_mse"]] == [2, 5, 9]
    assert "sweep/test_mse" not in tags
