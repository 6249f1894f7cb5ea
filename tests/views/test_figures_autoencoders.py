from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import stored
from legible import hindrances
from matplotlib.colors import to_rgba
from test_figures import DRAWN, every_figure, lines, outer, panels, shaded, strips
from test_ridge import DRAWN_RIDGE

from gdstudy.study.config import Study
from gdstudy.study.groups import Synthetic, Training
from gdstudy.study.values import Levels, Sizes, StepSize
from gdstudy.sweep.reading import load_run
from gdstudy.sweep.run import load_datasets, run_missing
from gdstudy.sweep.store import Store
from gdstudy.views import figures
from gdstudy.views.figures.files import as_files
from gdstudy.views.summary import select

SMALL = Synthetic(n_inputs=6, n_rows=400)
LINEAR = {"models": ["linear_autoencoder"], "synthetic": SMALL, "seeds": 3}
SHORT = Training(steps=100, checkpoints_per_decade=2)
SPARSE = {
    "datasets": ["sparse_features"],
    "models": ["superposition"],
    "synthetic": Synthetic(n_inputs=10, n_rows=200, p_nonzero=0.2),
    "n_train": Sizes((4, 12, 80)),
    "seeds": 3,
    "estimators": ["min_norm"],
    "gd": Training(steps=60, checkpoints_per_decade=1, optimizer="adamw", step_size=StepSize("0.01")),
}
STUDIES = {
    "plain": Study(
        **LINEAR,
        datasets=["power_law", "digits"],
        n_train=Sizes((3, 6, 12, 32, 64, 128)),
        estimators=["min_norm", "gd", "theory"],
        gd=SHORT,
    ),
    "noisy": Study(
        **LINEAR,
        datasets=["isotropic", "digits"],
        input_noise=Levels((0.5,)),
        n_train=Sizes((2, 3, 5, 6, 7, 12, 32, 64, 128)),
        estimators=["min_norm", "gd", "theory"],
        gd=SHORT,
    ),
    "untrained": Study(
        **{**LINEAR, "datasets": ["digits"], "n_train": Sizes((32, 64)), "estimators": ["min_norm"], "seeds": 1}
    ),
    "random": Study(
        datasets=["isotropic"],
        models=["mirrored_relu_autoencoder", "random_relu_autoencoder"],
        synthetic=Synthetic(n_inputs=4, n_rows=400),
        n_train=Sizes((4, 8, 16)),
        n_parameters=Sizes((5, 8, 20)),
        seeds=3,
        gd=SHORT,
    ),
    "bottleneck": Study(
        datasets=["power_law"],
        synthetic=SMALL,
        models=["bottleneck", "bottleneck_aligned", "bottleneck_zero"],
        input_noise=Levels((0.0, 0.5)),
        n_train=Sizes((3, 6, 12)),
        n_hidden=Sizes((1, 2)),
        seeds=3,
        gd=Training(steps=300, checkpoints_per_decade=3, init_scale=0.01),
    ),
    "superposition": Study(
        **SPARSE,
        n_hidden=Sizes((2, 3)),
        trainings={
            "adamw": {},
            "slow": {"step_size": 0.003, "n_hidden": 2},
            "fast": {"step_size": 0.1, "n_hidden": 2},
            "best_of_2": {"restarts": 2, "n_hidden": 2},
        },
    ),
    "bare": Study(**SPARSE, n_hidden=Sizes((3,)), trainings={"adamw": {}}),
}
OF_LINEAR = {"reconstructions", "dimensions"}
DRAWN_AUTOENCODERS = {
    "plain": OF_LINEAR | {"autoencoder"},
    "noisy": OF_LINEAR | {"denoising_autoencoder"},
    "untrained": OF_LINEAR | {"autoencoder"},
    "random": {"random_feature_autoencoder", "dimensions"},
    "bottleneck": {"bottleneck_error", "bottleneck_modes", "bottleneck_starts"},
    "superposition": {
        *("superposition_loss", "superposition_pictures", "superposition_grid", "superposition_optimisation"),
    },
    "bare": {"superposition_loss"},
}


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Name of a run → its tables, of the smallest studies that have all figures of autoencoders between them."""
    tables = {}
    for name, study in STUDIES.items():
        tables[name] = stored(study, tmp_path_factory.mktemp("stored") / name)
    return tables


@pytest.fixture(scope="session")
def drawn(runs):
    return every_figure(runs)


def medians(rows, value, size="n_train"):
    """{size: median over seeds}, as one would write it down."""
    return {n: np.median(rows[value][rows[size] == n]) for n in np.unique(rows[size])}


def assert_line(line, expected):
    np.testing.assert_allclose(line.get_xdata(), list(expected))
    np.testing.assert_allclose(line.get_ydata(), list(expected.values()))


def test_every_figure_is_drawn_by_one_of_the_runs_of_these_files():
    drawn = set.union(*DRAWN.values(), *DRAWN_AUTOENCODERS.values(), DRAWN_RIDGE)
    assert drawn == set(figures.FIGURES)


@pytest.mark.parametrize("run", STUDIES)
def test_a_run_has_the_figures_it_has_the_data_for_and_no_others(run, drawn):
    assert {name for of, name in drawn if of == run} == DRAWN_AUTOENCODERS[run]


def test_each_figure_asks_one_question_and_labels_every_axis_with_its_unit(drawn):
    for key, figure in drawn.items():
        assert figure.get_suptitle().count("?") == 1, key
        for axis in panels(figure):
            left, below = outer(axis)
            assert "(" in left.get_ylabel(), key
            assert "(" in below.get_xlabel(), key
            assert axis.has_data(), key
        assert all(bar.get_ylabel() for bar in set(figure.axes) - set(panels(figure))), key


def test_every_figure_can_be_read_at_the_width_of_a_card(drawn):
    shown = {name: figure for (_, name), figure in drawn.items()}  # of each name one
    assert {name: found for name, figure in shown.items() if (found := hindrances(figure))} == {}


def test_axes_are_logarithmic_but_for_shares_and_pictures(drawn):
    shares = {"dimensions", "bottleneck_modes", "superposition_loss"}
    for (run, name), figure in drawn.items():
        scales = [(axis.get_xscale(), axis.get_yscale()) for axis in panels(figure)]
        if name in ("reconstructions", "superposition_pictures"):
            assert set(scales) == {("linear", "linear")}, (run, name)
        elif name in shares:
            assert set(scales) == {("log", "linear")}, (run, name)
        elif name == "superposition_optimisation":  # a training loss of zero is no logarithm
            assert scales == [("log", "log"), ("log", "linear")]
        else:
            assert set(scales) == {("log", "log")}, (run, name)


def test_thresholds_stand_where_n_equals_the_columns_or_the_features(drawn):
    expected = {
        ("plain", "autoencoder"): [64, 6],
        ("plain", "dimensions"): [64, 6],
        ("noisy", "denoising_autoencoder"): [64, 6, 64, 6],
        ("random", "random_feature_autoencoder"): [8, 8, 8, 8],
        ("bottleneck", "bottleneck_error"): [6, 6],
    }
    for key, values in expected.items():
        every = [line for axis in panels(drawn[key]) for line in axis.lines if "threshold" in line.get_label()]
        assert [line.get_xdata()[0] for line in every] == values, key


def test_errors_are_shares_of_the_inputs_energy(drawn, runs):
    _, axis = panels(drawn["plain", "autoencoder"])
    rows = select(runs["plain"].results, dataset="power_law", estimator="gd")
    (energy,) = np.unique(rows["target_mean_square"])
    share = {n: value / energy for n, value in medians(rows, "test_mse").items()}
    (line,) = lines(axis, "test, trained GD")
    shown = {n: value for n, value in share.items() if value > 1e-10}
    assert list(shown)[:3] == [3, 6, 12]
    np.testing.assert_allclose(line.get_ydata()[: len(shown)], list(shown.values()))
    # Negative control: mean squares themselves are something else.
    assert energy < 0.9


def test_without_noise_the_expectation_is_zero_from_n_equal_to_p_and_nothing_is_shaded(drawn):
    digits, axis = panels(drawn["plain", "autoencoder"])
    assert not shaded(axis)
    exact = [line for line in axis.lines if line.get_linewidth() == 6]
    np.testing.assert_array_equal(np.concatenate([line.get_xdata() for line in exact]), [6, 12, 32, 64, 128])
    assert set(exact[1].get_ydata()) == {axis.get_ylim()[0]}
    assert strips(axis) == ["zero up to rounding or tolerance"]
    # Digits are no Gaussian: nothing is exact there.
    assert not [line for line in digits.lines if line.get_linewidth() == 6]


def test_with_noise_the_expectation_is_drawn_and_its_infinity_shaded(drawn, runs):
    digits, axis, *_ = panels(drawn["noisy", "denoising_autoencoder"])
    (band,) = [patch for patch in axis.patches if patch.get_label() == "expectation infinite"]
    assert (band.get_x(), band.get_x() + band.get_width()) == (5, 7)
    theory = select(runs["noisy"].results, dataset="isotropic", estimator="theory")
    finite = np.isfinite(theory["test_mse"])
    assert sorted(theory["n_train"][~finite]) == [5, 6, 7]
    exact = [line for line in axis.lines if line.get_linestyle() == "--"]
    np.testing.assert_array_equal(np.concatenate([line.get_xdata() for line in exact]), theory["n_train"][finite])
    shares = (theory["test_mse"] / theory["target_mean_square"])[finite]
    np.testing.assert_array_equal(np.concatenate([line.get_ydata() for line in exact]), shares)
    assert not shaded(digits)


@pytest.mark.parametrize("size", ["n_train", "n_parameters"])
def test_finite_times_are_medians_of_the_checkpoints(size, drawn, runs):
    relu = panels(drawn["random", "random_feature_autoencoder"])[0 if size == "n_train" else 2]
    other = {"n_train": "n_parameters", "n_parameters": "n_train"}[size]
    held = select(runs["random"].curves, model="random_relu_autoencoder", **{other: 8})
    energy = runs["random"].results["target_mean_square"].iloc[0]
    for t in (10, 100):
        at_t = select(held, step=t)
        assert len(at_t["step"]) == 9, "no cell of this study has converged so early"
        (line,) = lines(relu, f"GD, t = {t}")
        assert_line(line, {n: value / energy for n, value in medians(at_t, "test_mse", size).items()})


def test_random_features_stand_before_their_control(drawn):
    titles = [axis.get_title() for axis in panels(drawn["random", "random_feature_autoencoder"])]
    names = ["random ReLU", "mirrored ReLU (control)"]
    expected = [f"Isotropic inputs\n{name}, {held} = 8" for held in ("P", "N") for name in names]
    assert titles == expected


def digits_of(image, row):
    """The pictures (4, 64) in one row of a mosaic."""
    return np.stack([image[9 * row : 9 * row + 8, 9 * c : 9 * c + 8].ravel() for c in range(4)])


@pytest.mark.parametrize("run", ["plain", "noisy", "untrained"])
def test_reconstructions_are_the_stored_arrays(run, drawn, runs):
    rows = {"input": ("min_norm", "inputs")}
    rows |= {"target": ("min_norm", "targets")} if run == "noisy" else {}
    rows |= {"trained GD": ("gd", "outputs")} if run != "untrained" else {}
    rows |= {"closed form": ("min_norm", "outputs")}
    sizes = (32, 64) if run == "untrained" else (32, 64, 128)
    arrays = select(runs[run].arrays, dataset="digits")
    shown = panels(drawn[run, "reconstructions"])
    assert [text.get_text() for text in shown[0].get_yticklabels()] == list(rows)
    for axis, n in zip(shown, sizes, strict=True):
        assert axis.get_title().endswith(f"N = {n} {'<' if n < 64 else '=' if n == 64 else '>'} P = 64")
        image = axis.images[0].get_array().filled(np.nan)
        assert axis.images[0].get_clim() == (0, 1)
        assert image.shape == (9 * len(rows) - 1, 35)
        assert np.isnan(image[8]).all()
        assert np.isnan(image[:, 8]).all()
        for r, (estimator, name) in enumerate(rows.values()):
            (value,) = select(arrays, n_train=n, estimator=estimator, name=name)["value"]
            np.testing.assert_array_equal(digits_of(image, r), value[:4].clip(0, 1).astype(np.float64))


def test_the_divergence_is_there_to_see(drawn):
    def gap(axis, row):
        image = axis.images[0].get_array().filled(np.nan)
        return np.abs(digits_of(image, row) - digits_of(image, 1)).mean()

    below, at, above = panels(drawn["noisy", "reconstructions"])
    # Noise alone would be a gap of about 1/2 between numbers in [0, 1].
    assert gap(at, 3) > 0.35
    assert max(gap(below, 3), gap(above, 3)) < 0.25
    # Negative control: training that stopped early does not show it.
    assert gap(at, 2) < 0.2


def test_dimensions_are_the_rank_divided_among_rows_and_features(drawn, runs):
    _, axis = panels(drawn["plain", "dimensions"])
    for label, values in (
        ("a data point, R/N", {3: 1, 6: 1, 12: 0.5, 32: 6 / 32, 64: 6 / 64, 128: 6 / 128}),
        ("a feature, R/P", {3: 0.5, 6: 1, 12: 1, 32: 1, 64: 1, 128: 1}),
    ):
        (line,) = lines(axis, label)
        assert_line(line, values)
    rows = select(runs["plain"].results, dataset="power_law", estimator="gd")
    (line,) = lines(axis, "a data point, tr W/N of trained GD")
    assert_line(line, medians(rows, "data_point_dimension"))
    # Only the limit of a linear autoencoder without noise has the rank as its trace.
    for key in (("noisy", "dimensions"), ("random", "dimensions"), ("untrained", "dimensions")):
        assert not [line for axis in panels(drawn[key]) for line in axis.lines if "trained" in line.get_label()]


def test_bottlenecks_are_drawn_over_the_best_map_of_their_width(drawn, runs):
    plain, noisy = panels(drawn["bottleneck", "bottleneck_error"])
    for axis, noise, best in ((plain, 0, "pca"), (noisy, 0.5, "reduced_rank")):
        for k in (1, 2):
            rows = select(runs["bottleneck"].results, input_noise=noise, model="bottleneck", n_hidden=k)
            (energy,) = np.unique(rows["target_mean_square"])
            for label, estimator in ((f"k = {k}, best map", best), (f"k = {k}, trained GD from a small start", "gd")):
                (line,) = lines(axis, label)
                values = medians(select(rows, estimator=estimator), "test_mse")
                assert_line(line, {n: value / energy for n, value in values.items()})
    one, two = (to_rgba(lines(plain, f"k = {k}, best map")[0].get_color()) for k in (1, 2))
    assert one != two


def test_modes_are_the_stored_strengths_without_noise(drawn, runs):
    small, aligned = panels(drawn["bottleneck", "bottleneck_modes"])
    arrays = select(runs["bottleneck"].arrays, input_noise=0, n_train=12, n_hidden=2)
    labels = {
        "mode_strengths": "trained GD",
        "exact_strengths": "exact map, step by step",
        "flow_strengths": "gradient flow (Saxe et al. 2014)",
    }
    for axis, model in ((small, "bottleneck"), (aligned, "bottleneck_aligned")):
        for name, label in labels.items():
            rows = select(arrays, model=model, name=name)
            drawn_lines = lines(axis, label)
            assert len(drawn_lines) == (0 if model == "bottleneck" and name != "mode_strengths" else 2)
            for r, line in enumerate(drawn_lines):
                assert_line(line, {t: value[r] for t, value in zip(rows["step"], rows["value"], strict=True)})
    (bar,) = set(drawn["bottleneck", "bottleneck_modes"].axes) - {small, aligned}
    scale = bar._colorbar.mappable
    for axis in (small, aligned):
        colours = [to_rgba(line.get_color(), alpha=1) for line in lines(axis, "trained GD")]
        np.testing.assert_allclose(colours, [scale.to_rgba(k) for k in range(2)])
    assert colours[0] != colours[1]
    exact, flow = lines(aligned, labels["exact_strengths"])[0], lines(aligned, labels["flow_strengths"])[0]
    assert np.abs(exact.get_ydata() - flow.get_ydata()).max() > 0.05  # steps are no flow


def test_a_start_at_zero_stays_where_it_is_and_the_others_end_where_they_ended(drawn, runs):
    axis = panels(drawn["bottleneck", "bottleneck_starts"])[0]
    held = select(runs["bottleneck"].results, input_noise=0, estimator="gd", n_train=12, n_hidden=2)
    (zero,) = lines(axis, "zero start (stalled)")
    assert set(zero.get_ydata()) == {1.0}
    for label, model in (("small start", "bottleneck"), ("aligned start", "bottleneck_aligned")):
        (line,) = lines(axis, label)
        assert line.get_ydata()[-1] == pytest.approx(np.median(select(held, model=model)["distance"]))
        assert line.get_ydata()[-1] < 0.1
        assert line.get_xdata()[[0, -1]].tolist() == zero.get_xdata()[[0, -1]].tolist() == [1, 300]


def test_superposition_shares_its_dimensions_among_all_data_points(drawn, runs):
    loss, dimension, norm = panels(drawn["superposition", "superposition_loss"])
    rows = select(runs["superposition"].results, estimator="adamw", n_hidden=2)
    energy = rows["target_mean_square"].iloc[0]
    (test,) = lines(loss, "test")
    assert_line(test, {n: value / energy for n, value in medians(rows, "test_mse").items()})
    (stored,) = lines(dimension, "a data point, times N/m")
    assert_line(stored, {n: value * n / 2 for n, value in medians(rows, "data_point_dimension").items()})
    (size,) = lines(norm, "norm of the weights")
    assert_line(size, medians(rows, "weight_norm"))
    worst = max(medians(rows, "test_mse").items(), key=lambda pair: pair[1])[0]
    for axis in (loss, dimension, norm):
        assert lines(axis, "worst median test loss")[0].get_xdata()[0] == worst
    note = drawn["superposition", "superposition_loss"].legends[0].get_title().get_text().replace("\n", " ")
    assert "artefact of optimisation" in note


def test_polygons_are_exactly_the_stored_points(drawn, runs):
    arrays = select(runs["superposition"].arrays, estimator="adamw", n_hidden=2)
    shown = panels(drawn["superposition", "superposition_pictures"])
    sizes = [int(axis.get_title().split(",")[0].removeprefix("N = ")) for axis in shown[: len(shown) // 2]]
    assert {4, 80} <= set(sizes)
    for k, axis in enumerate(shown):
        n, name = sizes[k % len(sizes)], "hidden" if k < len(sizes) else "weight"
        (value,) = select(arrays, n_train=n, name=name)["value"]
        points = value if name == "hidden" else value.T
        assert points.shape == ((n if name == "hidden" else 10), 2)
        rays, dots = axis.lines
        np.testing.assert_array_equal(dots.get_xydata(), points)
        ends = rays.get_xydata().reshape(-1, 3, 2)
        np.testing.assert_array_equal(ends[:, 1], points)
        assert (ends[:, 0] == 0).all()
        assert axis.get_aspect() == 1


def test_the_grid_shows_medians_where_they_belong(drawn, runs):
    (axis,) = panels(drawn["superposition", "superposition_grid"])
    image = axis.collections[0].get_array().reshape(2, 3)
    for r, m in enumerate((2, 3)):
        rows = select(runs["superposition"].results, estimator="adamw", n_hidden=m)
        values = np.array(list(medians(rows, "test_mse").values())) / rows["target_mean_square"].iloc[0]
        np.testing.assert_allclose(image[r], values)


def without_last_batch(run, **of):
    """A run that was stopped before the largest N of these rows."""

    def kept(table):
        last = np.logical_and.reduce([table[name] == value for name, value in of.items()])
        return table[~(last & (table["n_train"] == table["n_train"].max()))]

    return replace(run, results=kept(run.results), curves=kept(run.curves), arrays=kept(run.arrays))


@pytest.mark.parametrize(("name", "of"), [("superposition", {"n_hidden": 3}), ("bottleneck", {"n_hidden": 2})])
def test_a_run_that_was_stopped_within_a_width_has_all_its_figures(name, of, runs):
    unfinished = without_last_batch(runs[name], **of)
    drawn = {figure for figure, draw in figures.FIGURES.items() if draw(unfinished) is not None}
    assert drawn == DRAWN_AUTOENCODERS[name]


def test_the_grid_of_a_run_that_was_stopped_has_a_gap_where_nothing_is_stored(runs):
    run = runs["superposition"]
    (axis,) = panels(figures.FIGURES["superposition_grid"](without_last_batch(run, n_hidden=3)))
    image = axis.collections[0].get_array().reshape(2, 3)
    assert np.ma.getmaskarray(image).tolist() == [[False] * 3, [False, False, True]]


def test_weights_of_a_cell_that_diverged_are_left_out_of_its_picture(runs):
    """And the run has its picture all the same."""
    run = runs["superposition"]
    arrays = run.arrays.copy()
    places = [k for k, (name, n) in enumerate(zip(arrays["name"], arrays["n_train"], strict=True)) if n == 80]
    values = list(arrays["value"])
    for k in places:
        values[k] = np.full_like(values[k], np.inf if k % 2 else np.nan)
    arrays["value"] = pd.Series(values, index=arrays.index, dtype=object)
    figure = figures.FIGURES["superposition_pictures"](replace(run, arrays=arrays))
    as_files(figure)
    limits = [axis.get_xlim() for axis in panels(figure)]
    assert np.isfinite(limits).all()


def test_pictures_that_were_centred_or_scaled_are_no_grey(runs):
    run = runs["plain"]
    assert figures.FIGURES["reconstructions"](run) is not None
    tables = {
        name: getattr(run, name).assign(preprocess=pd.Categorical(["standardize"] * len(getattr(run, name))))
        for name in ("results", "curves", "arrays")
    }
    assert figures.FIGURES["reconstructions"](replace(run, **tables)) is None


def test_the_axis_of_time_says_gd_only_of_gradient_descent(runs):
    for name, draw in (("bottleneck_modes", "bottleneck"), ("bottleneck_starts", "bottleneck")):
        for axis in panels(figures.FIGURES[name](runs[draw])):
            assert axis.get_xlabel() in ("t (steps)", "")


def test_the_best_step_size_is_chosen_cell_by_cell_by_its_training_loss(drawn, runs):
    test, train = panels(drawn["superposition", "superposition_optimisation"])
    results = select(runs["superposition"].results, n_hidden=2)
    energy = results["target_mean_square"].iloc[0]
    chosen, rates = {}, set()
    for n in (4, 12, 80):
        losses = []
        for seed in range(3):
            cell = select(results, n_train=n, seed=seed)
            cell = cell[cell["estimator"] != "best_of_2"]
            assert len(cell) == 3  # the main training's step size and two others
            best = cell.iloc[cell["train_mse"].argmin()]
            losses.append(best["test_mse"] / energy)
            rates.add(best["step_size"])
        chosen[n] = np.median(losses)
    (line,) = lines(test, "step size with the lowest training loss, by cell")
    assert_line(line, chosen)
    # Negative control: the choice is not the study's own step size, which is drawn beside it.
    (own,) = lines(test, "step size 0.01")
    assert not np.allclose(line.get_ydata(), own.get_ydata())
    assert {"step size 0.003", "step size 0.1"} <= {line.get_label() for line in test.lines}
    (starts,) = lines(train, "best of 2 starts by training loss, step size 0.01")
    values = medians(select(results, estimator="best_of_2"), "train_mse")
    assert_line(starts, {n: value / energy for n, value in values.items()})


def test_data_that_gd_alone_sees_stands_beside_the_studys_own_without_a_curve_there(tmp_path):
    gd = Training(steps=20, checkpoints_per_decade=1, preprocess="standardize")
    study = Study(**LINEAR, datasets=["power_law"], input_noise=Levels((0.5,)), n_train=Sizes((3, 6, 12)), gd=gd)
    store = Store(tmp_path, study)
    run_missing(study, load_datasets(study), store, quiet=True)
    store.close()
    run = load_run(tmp_path)
    own, trained = panels(figures.FIGURES["denoising_autoencoder"](run))[2:]
    assert not [line for line in own.lines if line.get_label().startswith("GD")]
    assert [line for line in trained.lines if line.get_label().startswith("GD")]
