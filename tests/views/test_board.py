import functools

import numpy as np
import pytest
from conftest import small_study
from stand_in import with_second
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gdstudy.study.values import Sizes
from gdstudy.sweep.reading import load_run
from gdstudy.train import run_study
from gdstudy.views.board import write_board
from gdstudy.views.summary import by_size, select


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
    rows = select(load_run(run_dir).results, dataset="student_teacher", estimator="min_norm")
    curve = by_size(rows, "test_mse")
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
    keys = {"dataset": "diabetes", "preprocess": "none", "estimator": "min_norm"}
    rows = select(load_run(paper_run).results, **keys, ablation="leading_modes", level=5)
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


def test_every_training_is_a_run_of_its_own_with_its_exact_iterate_beside_it(run_dir, tmp_path):
    one = load_run(run_dir)
    write_board(tmp_path, {}, with_second(one, "single", step_size="0.1"), {})
    folder = tmp_path / "diabetes"
    assert {path.name for path in folder.iterdir()} == {
        "gd",
        "gd_closed_form",
        "min_norm",
        "single",
        "single_closed_form",
    }
    for suffix in ("", "_closed_form"):
        first, second = scalars(folder / f"gd{suffix}"), scalars(folder / f"single{suffix}")
        assert "convergence/N=10/distance" in first
        same = {tag: [(p.step, p.value) for p in points] for tag, points in first.items()}
        assert same == {tag: [(p.step, p.value) for p in points] for tag, points in second.items()}


# Autoencoders


@pytest.fixture(scope="module")
def board(autoencoder_run, tmp_path_factory):
    """Name of an autoencoder's run → the folder of its board, made once."""

    def write(name):
        folder = tmp_path_factory.mktemp("board") / name
        run = autoencoder_run(name)
        write_board(folder, {}, run, {})
        return folder

    return functools.cache(write)


@pytest.mark.parametrize(
    ("noise", "model", "estimators"),
    [
        (0, "bottleneck", ("gd", "pca")),
        (0, "bottleneck_aligned", ("gd", "gd_closed_form", "pca")),
        (0.5, "bottleneck", ("gd", "reduced_rank")),
    ],
)
def test_a_bottleneck_and_its_closed_forms_share_tags(noise, model, estimators, board, autoencoder_run):
    folder = board("bottleneck") / ("power_law+noise0.5" if noise else "power_law") / model
    assert {path.name for path in folder.iterdir()} == set(estimators)
    runs = {e: scalars(folder / e) for e in estimators}
    errors = ("test_mse", "train_mse", "relative_test_mse", "relative_train_mse", "distance")
    for tag in [f"{group}/{value}" for group in ("sweep", "sweep_hidden") for value in errors]:
        assert all(tag in run for run in runs.values()), tag
    for n in (3, 8, 16):
        for value in ("distance", "relative_test_mse", "relative_train_mse"):
            tag = f"convergence/N={n}/{value}"
            assert all(tag in run for run in runs.values()), tag
    for run in runs.values():
        for tag, points in run.items():
            steps = [p.step for p in points]
            assert steps == sorted(set(steps)), tag
            if tag.startswith("sweep/"):
                assert set(steps) <= {3, 8, 16, 200}
            if tag.startswith("sweep_hidden/"):
                assert steps == [2, 4], tag
    # Medians over seeds, along N at the smallest width and along the width at the middle N.
    rows = select(autoencoder_run("bottleneck").results, input_noise=noise, model=model, estimator=estimators[-1])
    for tag, column, held in (("sweep", "n_train", {"n_hidden": 2}), ("sweep_hidden", "n_hidden", {"n_train": 16})):
        part = select(rows, **held)
        points = runs[estimators[-1]][f"{tag}/relative_test_mse"]
        for point in points:
            here = part[column] == point.step
            lost = np.median(part["test_mse"][here] / part["target_mean_square"][here])
            assert point.value == pytest.approx(lost, rel=1e-6)


def test_the_convergence_of_a_bottleneck_ends_on_the_line_of_its_closed_form(board):
    folder = board("bottleneck") / "power_law/bottleneck_aligned"
    trained, exact, limit = (
        scalars(folder / e)["convergence/N=16/relative_test_mse"] for e in ("gd", "gd_closed_form", "pca")
    )
    assert len(trained) == len(exact) > 4
    assert {p.step for p in limit} >= {p.step for p in trained}
    assert len({p.value for p in limit}) == 1
    np.testing.assert_allclose([p.value for p in trained], [p.value for p in exact], rtol=1e-6)
    assert trained[-1].value == pytest.approx(limit[-1].value, rel=1e-6)
    assert trained[0].value == pytest.approx(1, rel=0.05)  # nothing is learnt yet


def test_superposition_has_its_losses_dimensions_and_each_step_size_beside_it(board, autoencoder_run):
    folder = board("superposition_levels") / "sparse_features/superposition"
    others = {"slow", "fast", "best_of_2", "best_of_3"}
    assert {path.parent.relative_to(folder).as_posix() for path in folder.rglob("events*")} == {"adamw", *others}
    tags = scalars(folder / "adamw")
    losses, stored = ("relative_test_mse", "relative_train_mse"), ("data_point_dimension", "feature_dimension")
    for value in (*losses, *stored, "weight_norm"):
        assert [p.step for p in tags[f"sweep/{value}"]] == [5, 32, 128]
        assert [p.step for p in tags[f"sweep_hidden/{value}"]] == [2, 3]
    assert not any("distance" in tag or "singular" in tag for tag in tags)  # it has no closed form
    rows = select(autoencoder_run("superposition_levels").results, estimator="fast")
    points = scalars(folder / "fast")["sweep/relative_test_mse"]
    expected = [np.median(rows["test_mse"][rows["n_train"] == T]) * 50 for T in (5, 32, 128)]
    np.testing.assert_allclose([p.value for p in points], expected, rtol=1e-6)


def test_readout_autoencoders_have_shares_of_their_inputs_beside_theory(board):
    folder = board("linear") / "isotropic+noise0.5/linear_autoencoder"
    runs = {e: scalars(folder / e) for e in ("gd", "gd_closed_form", "min_norm", "theory")}
    for run in runs.values():
        assert "sweep/relative_test_mse" in run
        assert not any(tag.startswith("sweep_hidden") for tag in run)
    assert [p.step for p in runs["theory"]["sweep/relative_test_mse"]] == [4, 8, 12, 24, 32, 64]  # not 16 = D
    leverage = {p.step: p.value for p in runs["min_norm"]["sweep/data_point_dimension"]}
    np.testing.assert_allclose([leverage[n] for n in (4, 16, 64)], [1, 1, 0.25], rtol=1e-6)
