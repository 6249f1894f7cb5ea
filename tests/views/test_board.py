import functools
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from conftest import small_study, stored
from stand_in import with_second
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from gdstudy.data.loading import load_dataset
from gdstudy.study.ablations import ABLATIONS
from gdstudy.study.parser import find_config, read_study
from gdstudy.study.values import Sizes
from gdstudy.sweep.reading import load_run
from gdstudy.train import run_study
from gdstudy.views.board import write_board
from gdstudy.views.cards import description
from gdstudy.views.figures.moving import error_at_t
from gdstudy.views.layout import address, browse
from gdstudy.views.scalars import _band, _in_log_time, series
from gdstudy.views.summary import Curve, by_size, by_step, select


def loaded(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return events


def scalars(folder):
    events = loaded(folder)
    return {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}


def runs_of(folder):
    """Folder of each run → its tags and points."""
    return {path.parent.relative_to(folder).as_posix(): scalars(path.parent) for path in folder.rglob("events.out.*")}


def test_sibling_runs_share_tags_so_that_trained_and_exact_overlay(run_dir):
    runs = {e: scalars(run_dir / "diabetes" / e) for e in ("gd", "gd_closed_form", "min_norm")}
    for value in ("test_mse", "relative_test_mse", "log10_relative_test_mse", "train_mse"):
        assert all(f"sweep/{value}/diabetes" in run for run in runs.values())
    followed = {n: scalars(run_dir / f"diabetes/gd/N={n}") for n in (5, 10, 20)}
    for group in ("convergence", "100log10t"):
        for run in (*followed.values(), runs["gd_closed_form"], runs["min_norm"]):
            assert f"{group}/log10_relative_test_mse/diabetes" in run
        assert all(f"{group}/log10_distance/diabetes" in run for run in followed.values())
    assert "sweep/fraction_converged/diabetes" in runs["gd"]
    for run in (*runs.values(), *followed.values()):
        for points in run.values():
            steps = [p.step for p in points]
            assert steps == sorted(set(steps))


def test_a_card_is_of_one_data_set_or_has_no_unit(run_dir, paper_run):
    for folder in (run_dir, paper_run):
        of = {}
        for name, tags in runs_of(folder).items():
            for tag in tags:
                of.setdefault(tag, set()).add(name.partition("/")[0].partition("+")[0])
        for tag, datasets in of.items():
            assert len(datasets - {"ablations"}) == 1 or tag.startswith("final/"), tag
            assert not tag.startswith("final/") or "Unit: no unit" in description(tag)


def test_sweep_tags_are_medians_over_seeds_against_n(run_dir):
    tags = scalars(run_dir / "student_teacher/min_norm")
    points = tags["sweep/test_mse/student_teacher"]
    rows = select(load_run(run_dir).results, dataset="student_teacher", estimator="min_norm")
    curve = by_size(rows, "test_mse")
    assert [p.step for p in points] == [3, 5, 10, 20, 40]
    np.testing.assert_allclose([p.value for p in points], curve.median, rtol=1e-6)
    relative = curve.median / rows["target_variance"].iloc[0]
    for name, expected in (("relative_test_mse", relative), ("log10_relative_test_mse", np.log10(relative))):
        np.testing.assert_allclose([p.value for p in tags[f"sweep/{name}/student_teacher"]], expected, rtol=1e-5)


def test_errors_are_relative_to_the_variance_of_y(paper_run, run_dir):
    """Of raw targets too, which have a mean, and a mean square above it."""
    data = load_dataset("diabetes").Y
    for folder in (paper_run, run_dir):
        tags = scalars(folder / "diabetes/min_norm")
        raw, share = (tags[f"sweep/{name}/diabetes"] for name in ("test_mse", "relative_test_mse"))
        np.testing.assert_allclose([p.value for p in raw], [p.value * data.var() for p in share], rtol=1e-6)
    assert np.square(data).mean() > 4 * data.var()


def test_the_variance_of_a_run_that_knows_it_in_part_is_known(run_dir):
    run = load_run(run_dir)
    known = run.results["target_variance"].where(run.results["seed"] > 1)  # others as of version 0.6
    run = replace(run, results=run.results.assign(target_variance=known))
    shown = {tag for one in series(run) for tag, curve in one.scalars() if np.isfinite(curve.median).any()}
    assert {f"sweep/relative_test_mse/{name}" for name in ("student_teacher", "diabetes")} <= shown


def test_targets_that_are_all_the_same_have_errors_relative_to_nothing(run_dir):
    run = load_run(run_dir)
    run = replace(run, results=run.results.assign(target_variance=0.0))
    tags = {tag for one in series(run) for tag, curve in one.scalars() if np.isfinite(curve.median).any()}
    assert any(tag.startswith("sweep/test_mse/") for tag in tags)
    assert not any("relative_" in tag for tag in tags)


def test_quartiles_have_the_steps_of_their_median(run_dir):
    """A margin chart shows nothing else."""
    tags = scalars(run_dir / "diabetes/gd")
    name = "log10_relative_test_mse"
    median, low, high = (
        tags[tag] for tag in (f"sweep/{name}/diabetes", *(f"quartiles/{name}_{q}/diabetes" for q in ("q25", "q75")))
    )
    assert [p.step for p in median] == [p.step for p in low] == [p.step for p in high]
    assert all(a.value <= b.value <= c.value for a, b, c in zip(low, median, high, strict=True))
    assert any(a.value < c.value for a, c in zip(low, high, strict=True))
    assert not any("q25" in tag or "q75" in tag for tag in tags if not tag.startswith("quartiles/"))


def test_an_infinite_quartile_ends_at_the_median():
    curve = Curve(*(np.array(band) for band in ([1, 2], [0.0, 1], [1.0, 2], [3.0, np.inf], [1.0, np.inf])))
    low, high = _band(curve)
    assert low.median.tolist() == [0, 1]
    assert high.median.tolist() == [3, 2]


def test_training_is_followed_in_log_time_too(run_dir):
    tags = scalars(run_dir / "diabetes/gd/N=10")
    name = "log10_relative_test_mse/diabetes"
    plain = {p.step: p.value for p in tags[f"convergence/{name}"] if p.step}
    log = {p.step: p.value for p in tags[f"100log10t/{name}"]}
    assert log == {round(100 * np.log10(t)): value for t, value in plain.items()}
    rows = load_run(run_dir).curves
    here = by_step(select(rows, dataset="diabetes", estimator="gd", n_train=10), "test_mse")
    energy = load_dataset("diabetes").Y.var()
    np.testing.assert_allclose(list(plain.values()), np.log10(here.median[here.x > 0] / energy), rtol=1e-5)


def test_steps_that_round_to_the_same_hundredth_of_a_decade_are_one():
    curve = Curve(np.array([0, 1, 1000, 1001, 1100]), *[np.arange(5.0)] * 4)
    found = _in_log_time(curve)
    assert found.x.tolist() == [0, 300, 304]
    assert found.median.tolist() == [1, 2, 4]


def test_every_tag_says_what_it_is(run_dir, paper_run):
    for folder in (run_dir, paper_run):
        for path in folder.rglob("events.out.*"):
            events = loaded(path.parent)
            tags = events.Tags()
            for tag in (*tags["scalars"], *tags["images"], *tags["tensors"]):
                said = events.SummaryMetadata(tag).summary_description
                assert len(said) > 20 or tag.startswith(("_hparams_", "custom_scalars__")), (path, tag)
                assert "Unit: " in said or tag not in tags["scalars"]
    assert "decades" in description("sweep/log10_relative_test_mse/diabetes")
    assert "squared units of Y" in description("sweep/test_mse/diabetes")
    assert "100·log10 t" in description("100log10t/log10_distance/diabetes")


def test_the_run_itself_holds_config_claims_and_every_figure_the_headline_first(run_dir):
    events = loaded(run_dir)
    tags = sorted(tag for tag in events.Tags()["images"] if not tag.startswith("figures_over_t/"))
    assert tags[0] == "figures/01_divergence"
    assert {tag.partition("_")[2] for tag in tags} == {path.stem for path in (run_dir / "figures").glob("*.png")}
    assert {"config/text_summary", "claims/text_summary"} <= set(events.Tags()["tensors"])


def test_figures_that_depend_on_time_are_sequences_along_t(run_dir):
    frames = loaded(run_dir).Images("figures_over_t/test_mse")
    assert [frame.step for frame in frames] == [1, 3, 10, 32, 100, 316, 1000, 2000]
    assert len({frame.encoded_image_string for frame in frames}) == len(frames)
    run = load_run(run_dir)
    assert list(error_at_t(replace(run, curves=run.curves.iloc[:0]))) == []  # nothing was trained


def test_the_run_filter_leaves_data_sets_alone_whatever_they_are_called():
    (pattern,) = parse_qs(urlsplit(address([])).query)["runFilter"]
    for name in ("theory_exam/linear", "ablations_of_2020/linear", "diabetes/N=10", "a/theory of it"):
        assert re.match(pattern, name), name
    for name in ("ablations/diabetes", "diabetes/theory"):
        assert not re.match(pattern, name), name
    assert "--logdir 'runs/my study/1' " in browse(Path("runs/my study/1"), [])[0]


def test_custom_scalars_are_laid_out_by_question(run_dir, paper_run):
    for folder in (run_dir, paper_run):
        (tensor,) = loaded(folder).Tensors("custom_scalars__config__")
        layout = Layout.FromString(tensor.tensor_proto.string_val[0])
        assert all(category.title.endswith("?") for category in layout.category)
        margins = [chart.margin.series[0] for chart in layout.category[0].chart]
        assert len(margins) == 2  # a data set each
        wanted = {tag for margin in margins for tag in (margin.value, margin.lower, margin.upper)}
        lines = {tag for category in layout.category for chart in category.chart for tag in chart.multiline.tag}
        tags = {tag for run in runs_of(folder).values() for tag in run}
        assert wanted <= tags
        assert all(any(re.match(pattern, tag) for tag in tags) for pattern in lines)
        for margin in margins:  # of one run, as the chart wants them, and of several, which it overlays
            assert sum({margin.value, margin.lower, margin.upper} <= run.keys() for run in runs_of(folder).values()) > 2


def test_hparams_have_a_row_for_each_training_below_at_and_above_the_threshold(run_dir):
    found = {}
    for path in run_dir.rglob("events.out.*"):
        events = loaded(path.parent)
        if "_hparams_/session_start_info" in events.summary_metadata:
            content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
            given = HParamsPluginData.FromString(content).session_start_info.hparams
            row = tuple(given[key].string_value for key in ("dataset", "estimator", "N against P"))
            found[row] = path.parent.name, set(events.Tags()["scalars"])
    sides = ("N < P", "N = P", "N > P")
    assert found.keys() == {(dataset, "gd", side) for dataset in ("student_teacher", "diabetes") for side in sides}
    assert found["diabetes", "gd", "N = P"][0] == "N=10"
    for _, tags in found.values():
        assert {"final/relative_test_mse", "final/distance", "final/fraction_converged"} <= tags
    rows = select(load_run(run_dir).results, dataset="diabetes", estimator="gd", n_train=10)
    (final,) = scalars(run_dir / "diabetes/gd/N=10")["final/relative_test_mse"]
    expected = by_size(rows, "test_mse").median[0] / load_dataset("diabetes").Y.var()
    assert final.value == pytest.approx(expected, rel=1e-5)


def test_the_strongest_level_of_an_ablation_stands_beside_the_unablated_run_and_out_of_the_headline(paper_run):
    runs = runs_of(paper_run)
    ablations = {name for name in runs if name.startswith("ablations")}
    assert ablations == {f"ablations/{name}" for name in ABLATIONS}
    keys = {"dataset": "diabetes", "preprocess": "none", "estimator": "min_norm"}
    results = load_run(paper_run).results
    energy = load_dataset("diabetes").Y.var()
    tag = "ablation/log10_relative_test_mse/diabetes"
    for name, level in (("leading_modes", 1), ("singular_value_cutoff", 1), ("adversarial_train", 31.6)):
        rows = select(results, **keys, ablation=name, level=level)
        points = runs[f"ablations/{name}"][tag]
        expected = np.log10(by_size(rows, "test_mse").median / energy)
        np.testing.assert_allclose([p.value for p in points], expected, rtol=1e-5)
    assert [p.step for p in runs["diabetes/min_norm"][tag]] == [3, 5, 8, 10, 15, 20, 30, 40]
    for name in ablations:
        assert all(tag.startswith("ablation/") for tag in runs[name])


def test_theory_is_a_run_of_its_own_out_of_the_headline_without_its_infinite_points(paper_run):
    runs, tag = runs_of(paper_run), "theory/log10_relative_test_mse/student_teacher"
    assert set(runs["student_teacher/theory"]) == {tag}
    assert [p.step for p in runs["student_teacher/theory"][tag]] == [3, 5, 8, 10, 15, 30, 40]  # not 20 = P
    assert tag in runs["student_teacher/min_norm"]
    assert not any(tag.startswith("theory/") for tag in runs["diabetes/min_norm"])


def test_a_sweep_of_p_has_p_as_its_step(tmp_path):
    sizes = {"n_train": Sizes((5,)), "n_parameters": Sizes((2, 5, 9))}
    study = small_study(datasets=["linear_plus_cosine"], models=["legendre"], estimators=["min_norm"], seeds=3, **sizes)
    folder = run_study(study, tmp_path / "run")
    tags = scalars(folder / "linear_plus_cosine/legendre/min_norm")
    assert [p.step for p in tags["sweep_p/test_mse/linear_plus_cosine"]] == [2, 5, 9]
    assert not any(tag.startswith("sweep/") for tag in tags)


def test_every_training_is_a_run_of_its_own_with_its_exact_iterate_beside_it(run_dir, tmp_path):
    one = load_run(run_dir)
    write_board(tmp_path, {}, with_second(one, "single", step_size="0.1"), {})
    folder = tmp_path / "diabetes"
    trained = {"gd", "gd_closed_form", "single", "single_closed_form"}
    assert {path.name for path in folder.iterdir()} == {*trained, "min_norm"}
    for suffix in ("", "_closed_form", "/N=10"):
        first, second = scalars(folder / f"gd{suffix}"), scalars(folder / f"single{suffix}")
        assert "convergence/log10_relative_test_mse/diabetes" in first or not suffix
        same = {tag: [(p.step, p.value) for p in points] for tag, points in first.items()}
        assert same == {tag: [(p.step, p.value) for p in points] for tag, points in second.items()}


@pytest.mark.parametrize(("config", "most_cards", "most_runs"), [("linear.yaml", 40, 40), ("paper.yaml", 60, 40)])
def test_the_pages_of_the_example_studies_have_an_end(config, most_cards, most_runs, tmp_path):
    """A card is a tag. TensorBoard selects none of more than 40 runs. Fewer N, seeds and steps have the same tags."""
    study = read_study(find_config(config))
    study = replace(study, n_train=[4, 5, 8, 9, 10, 16, 17, 20, 34, 40], seeds=2, gd=replace(study.gd, steps=20))
    found = {}
    for one in series(stored(study, tmp_path / "run")):
        found.setdefault(one.folder, set()).update(tag for tag, _ in one.scalars())
    tags = set().union(*found.values())
    of_hparams = 4
    assert 30 < len(tags) + of_hparams <= most_cards
    assert len(found) + 1 <= most_runs  # and the run itself


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
    errors = ("test_mse", "train_mse", "relative_test_mse", "log10_relative_test_mse", "relative_train_mse")
    for tag in [f"{group}/{value}/power_law" for group in ("sweep", "sweep_hidden") for value in errors]:
        assert all(tag in run for run in runs.values()), tag
    for value in ("relative_test_mse", "relative_train_mse"):
        tag = f"convergence/{value}/power_law"
        followed = [scalars(folder / f"gd/N={n}") for n in (3, 8, 16)]
        assert all(tag in run for run in (*followed, *(run for e, run in runs.items() if e != "gd"))), tag
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
        points = runs[estimators[-1]][f"{tag}/relative_test_mse/power_law"]
        for point in points:
            here = part[column] == point.step
            lost = np.median(part["test_mse"][here] / part["target_mean_square"][here])
            assert point.value == pytest.approx(lost, rel=1e-6)


def test_the_convergence_of_a_bottleneck_ends_on_the_line_of_its_closed_form(board):
    folder = board("bottleneck") / "power_law/bottleneck_aligned"
    trained, exact, limit = (
        scalars(folder / e)["convergence/relative_test_mse/power_law"] for e in ("gd/N=8", "gd_closed_form", "pca")
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
    assert {path.name for path in folder.iterdir()} == {"adamw", *others}
    tags = scalars(folder / "adamw")
    losses, stored = ("relative_test_mse", "relative_train_mse"), ("data_point_dimension", "feature_dimension")
    for value in (*losses, *stored, "weight_norm"):
        assert [p.step for p in tags[f"sweep/{value}/sparse_features"]] == [5, 32, 128]
        assert [p.step for p in tags[f"sweep_hidden/{value}/sparse_features"]] == [2, 3]
    assert not any("distance" in tag or "singular" in tag for tag in tags)  # it has no closed form
    rows = select(autoencoder_run("superposition_levels").results, estimator="fast")
    points = scalars(folder / "fast")["sweep/relative_test_mse/sparse_features"]
    expected = [np.median(rows["test_mse"][rows["n_train"] == T]) * 50 for T in (5, 32, 128)]
    np.testing.assert_allclose([p.value for p in points], expected, rtol=1e-6)


def test_readout_autoencoders_have_shares_of_their_inputs_beside_theory(board):
    folder = board("linear") / "isotropic+noise0.5/linear_autoencoder"
    runs = {e: scalars(folder / e) for e in ("gd", "gd_closed_form", "min_norm", "theory")}
    expected = runs.pop("theory")["theory/log10_relative_test_mse/isotropic"]
    assert [p.step for p in expected] == [4, 8, 12, 24, 32, 64]  # not 16 = D
    for run in runs.values():
        assert "sweep/relative_test_mse/isotropic" in run
        assert not any(tag.startswith("sweep_hidden") for tag in run)
    leverage = {p.step: p.value for p in runs["min_norm"]["sweep/data_point_dimension/isotropic"]}
    np.testing.assert_allclose([leverage[n] for n in (4, 16, 64)], [1, 1, 0.25], rtol=1e-6)


def test_a_card_has_one_unit_where_a_data_set_is_regressed_and_given_back(tmp_path):
    models = {"mixed": ["linear", "linear_autoencoder"], "one": ["linear_autoencoder"]}
    tags = {}
    for name, of in models.items():
        study = small_study(datasets=["diabetes"], models=of, n_train=[5, 10, 20], seeds=2, estimators=["min_norm"])
        stored(study, tmp_path / name)
        write_board(tmp_path / name, {}, load_run(tmp_path / name), {})
        tags[name] = {folder: set(found) for folder, found in runs_of(tmp_path / name).items()}
    assert "sweep/test_mse/diabetes" in tags["mixed"]["diabetes/min_norm"]
    assert all("given_back" not in folder for folder in tags["mixed"])
    of_mixed, alone = tags["mixed"]["diabetes/linear_autoencoder/min_norm"], tags["one"]
    assert "sweep/test_mse/diabetes_given_back" in of_mixed
    assert not of_mixed & tags["mixed"]["diabetes/min_norm"]
    assert any("sweep/test_mse/diabetes" in found for found in alone.values())
