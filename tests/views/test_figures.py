import ast
import shutil
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from legible import hindrances
from matplotlib.colors import to_rgba
from stand_in import joined, with_second
from stand_in import study as with_trainings

from gdstudy.data.loading import load_dataset
from gdstudy.data.splits import split
from gdstudy.figures import main, redraw
from gdstudy.study.config import Study
from gdstudy.study.groups import Ablations, Training
from gdstudy.study.values import Levels, Sizes
from gdstudy.sweep.reading import load_run
from gdstudy.sweep.run import load_datasets, run_missing
from gdstudy.sweep.store import Store
from gdstudy.views import figures
from gdstudy.views.figures.ablations import drawn_levels
from gdstudy.views.figures.axes import count_ticks, fit_y, log_axes, note_in, shared_legend, tidy
from gdstudy.views.figures.curves import draw
from gdstudy.views.figures.spectra import typical_seed
from gdstudy.views.figures.style import extent, grid, wrapped
from gdstudy.views.summary import Curve, select

CUTOFFS, STRENGTHS = (0.01, 0.1, 1.0), (0.0, 10.0)
ABLATED = Study(
    datasets=["student_teacher", "diabetes"],
    n_train=Sizes((9, 10, 11, 19, 20, 21)),
    seeds=3,
    estimators=["min_norm", "gd", "theory"],
    ablations=Ablations(
        singular_value_cutoff=Levels(CUTOFFS),
        leading_modes=Sizes((2, 5)),
        leading_modes_of={"student_teacher": Sizes((5, 10))},
        no_residuals=True,
        adversarial_test=Levels(STRENGTHS),
        adversarial_train=Levels(STRENGTHS),
    ),
    gd=Training(steps=100, checkpoints_per_decade=2, preprocess="standardize"),
)
ABLATED.gd.ablations = list(figures.ABLATIONS)
POLYNOMIAL = Study(
    datasets=["linear_plus_cosine"],
    models=["legendre"],
    n_train=Sizes((15,)),
    n_parameters=Sizes((5, 10, 14, 15, 16, 30, 60)),
    seeds=4,
    estimators=["min_norm"],
)
FEATURES = Study(
    datasets=["diabetes"],
    preprocess="standardize",
    models=["random_relu", "random_fourier"],
    n_train=Sizes((20, 40, 80)),
    n_parameters=Sizes((20, 40)),
    seeds=2,
    gd=Training(steps=50, checkpoints_per_decade=1),
)
CLASSES = Study(
    datasets=["digits"],
    n_train=Sizes((32, 64, 128)),
    seeds=2,
    gd=Training(steps=50, checkpoints_per_decade=1),
)
OF_ANY_LINEAR = {
    *("divergence", "bias", "worst_mode", "smallest_singular_value", "singular_directions", "shared_spectrum"),
}
OF_TRAINED = {"mse_against_n", "test_mse_by_steps", "distance_by_steps"}
DRAWN = {
    "linear": OF_ANY_LINEAR | OF_TRAINED,
    "ablated": OF_ANY_LINEAR
    | OF_TRAINED
    | {"early_stopping", *figures.ABLATIONS, *(f"{name}_trained" for name in figures.ABLATIONS)},
    "polynomial": {"polynomial_error", "polynomial_fits"},
    "features": {"feature_grid", "feature_sweeps"},
    "classes": OF_ANY_LINEAR | OF_TRAINED | {"accuracy"},
}


@pytest.fixture(scope="session")
def runs(run_dir, tmp_path_factory):
    """Name of a run → its tables, of the smallest studies that have all figures between them."""
    folders = {"linear": run_dir}
    for name, study in (("ablated", ABLATED), ("polynomial", POLYNOMIAL), ("features", FEATURES), ("classes", CLASSES)):
        folders[name] = tmp_path_factory.mktemp(name)
        store = Store(folders[name], study)
        run_missing(study, load_datasets(study), store, quiet=True)
        store.close()
    return {name: load_run(folder) for name, folder in folders.items()}


def every_figure(runs):
    """(run, figure name) → figure."""
    with matplotlib.rc_context(figures.STYLE):
        return {
            (run, name): figure
            for run, tables in runs.items()
            for name, draw in figures.FIGURES.items()
            if (figure := draw(tables)) is not None
        }


@pytest.fixture(scope="session")
def drawn(runs):
    return every_figure(runs)


def panels(figure):
    """Axes that show data: all but colour bars."""
    return [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]


def outer(axis):
    """Axes of the same figure that say what a panel's axes are: the first in its row, the last in its column."""
    here = axis.get_subplotspec()
    cells = [(other, other.get_subplotspec()) for other in panels(axis.figure)]
    row = [other for other, spec in cells if spec.rowspan == here.rowspan and spec.is_first_col()]
    column = [other for other, spec in cells if spec.colspan == here.colspan and spec.is_last_row()]
    return row[0] if not axis.get_ylabel() else axis, column[0] if not axis.get_xlabel() else axis


def lines(axis, label):
    return [line for line in axis.lines if line.get_label() == label]


def shaded(axis):
    """Where the expectation is infinite."""
    return [patch for patch in axis.patches if patch.get_label() == "expectation infinite"]


def strips(axis):
    """What is said of the lower edges of panels."""
    return [patch.get_label() for patch in axis.patches if patch.get_label().startswith("zero")]


@pytest.mark.parametrize("run", DRAWN)
def test_a_run_has_the_figures_it_has_the_data_for_and_no_others(run, drawn):
    assert {name for of, name in drawn if of == run} == DRAWN[run]


def test_accuracies_are_shares_of_test_rows(runs, drawn):
    rows = runs["classes"].results
    closed = rows[rows["estimator"] == "min_norm"].groupby("n_train")["test_accuracy"].median()
    (axis,) = panels(drawn["classes", "accuracy"])
    (line,) = lines(axis, "t = ∞, X⁺y")
    np.testing.assert_allclose(line.get_ydata(), closed)
    assert 0 < closed.min() < closed.max() < 1
    assert len(lines(axis, "GD, t = 10")) == 1


def test_each_figure_asks_one_question_and_labels_every_axis_with_its_unit(drawn):
    for key, figure in drawn.items():
        assert figure.get_suptitle().count("?") == 1, key
        for axis in panels(figure):
            left, below = outer(axis)
            assert "(" in left.get_ylabel() or axis.name == "3d", key
            assert "(" in below.get_xlabel() or axis.name == "3d", key
            assert axis.has_data(), key
        assert all(bar.get_ylabel() for bar in set(figure.axes) - set(panels(figure))), key


def test_every_figure_can_be_read_at_the_width_of_a_card(drawn):
    shown = {name: figure for (_, name), figure in drawn.items()}  # of each name one
    assert {name: found for name, figure in shown.items() if (found := hindrances(figure))} == {}


def panel_of_a_falling_line(**marks):
    """A figure of one panel that can be read, but for what is asked for."""
    with matplotlib.rc_context(figures.STYLE):
        figure, ((axis,),) = grid("Does it fall?", 1)
        axis.plot([0, 1], [1, 0], label="error")
        axis.set(xlabel="N (rows)", ylabel="MSE (no unit)", xlim=(0, 1), ylim=(0, 1))
        if "on_a_curve" in marks:
            axis.text(0.5, 0.5, "zero up to rounding", ha="center")
        if "beside_it" in marks:
            note_in(axis, "nothing to see")
        shared_legend(figure, axis)
        if "long" in marks:
            axis.set_ylabel("mean squared error over all rows that were not seen (squared units of Y)")
        if "wide" in marks:
            figure.set_figwidth(12)
        if "ticks" in marks:
            axis.set_xticks(np.linspace(0, 1, 40))
    return figure


@pytest.mark.parametrize(
    ("mark", "said"),
    [("on_a_curve", "crosses"), ("long", "leaves the figure"), ("wide", "pixels high"), ("ticks", "meets")],
)
def test_what_cannot_be_read_is_found(mark, said):
    """Control of the test above."""
    assert hindrances(panel_of_a_falling_line()) == []
    assert any(said in found for found in hindrances(panel_of_a_falling_line(**{mark: True})))


def test_lines_are_broken_before_brackets_or_between_words_and_never_in_an_equation():
    assert wrapped("test MSE (squared units of Y)", 2.5) == "test MSE (squared units of Y)"
    assert wrapped("test MSE (squared units of Y)", 1.6) == "test MSE\n(squared units of Y)"
    for inches in (0.5, 1, 2):
        lines = wrapped("Digits, k = 8 of them (N = P = 64)\nand more", inches).splitlines()
        assert all(extent(line, 9) <= inches or " " not in line.replace(" = ", "=") for line in lines)
        assert " ".join(lines) == "Digits, k = 8 of them (N = P = 64) and more"


def test_axes_are_logarithmic_but_for_shares_and_pictures(drawn):
    linear = {
        *("accuracy", "worst_mode", "early_stopping", "singular_directions", "shared_spectrum", "polynomial_fits"),
    }
    for (run, name), figure in drawn.items():
        if name not in linear:
            scales = {(axis.get_xscale(), axis.get_yscale()) for axis in panels(figure)}
            assert scales == {("log", "log")}, (run, name)


def test_panels_stand_in_the_order_of_fig_1_with_readable_names(drawn):
    titles = ["Student–teacher (P = 20)", "Diabetes (P = 10)"]
    assert [axis.get_title() for axis in panels(drawn["linear", "divergence"])] == titles
    assert [axis.get_title() for axis in panels(drawn["ablated", "no_residuals"])[:2]] == titles
    trained = [axis.get_title() for axis in panels(drawn["ablated", "mse_against_n"])]
    assert trained == ["Student–teacher\nstandardised (P = 20)", "Diabetes\nstandardised (P = 10)"]


def test_thresholds_stand_at_n_equal_to_p(drawn):
    expected = {"linear": [20, 10], "ablated": [20, 10], "polynomial": [15], "features": [40, 40], "classes": [64]}
    no_threshold = {
        *("distance_by_steps", "early_stopping", "singular_directions", "shared_spectrum"),
        *("polynomial_fits", "feature_grid"),
    }
    for (run, name), figure in drawn.items():
        if name in no_threshold:
            continue
        at = [line.get_xdata()[0] for axis in panels(figure) for line in axis.lines if "threshold" in line.get_label()]
        rows = len(panels(figure)) // len(expected[run])
        assert at == expected[run] * rows, (run, name)
    for axis in panels(drawn["features", "feature_grid"]):
        (line,) = lines(axis, "threshold N = P")
        np.testing.assert_array_equal(line.get_xdata(), line.get_ydata())


@pytest.mark.parametrize("name", ["singular_value_cutoff", "leading_modes", "adversarial_test", "adversarial_train"])
def test_a_level_has_one_colour_in_all_panels_which_the_bar_shows(name, drawn, runs):
    figure = drawn["ablated", name]
    results = select(runs["ablated"].results, preprocess="none", estimator="min_norm", ablation=name)
    (bar,) = set(figure.axes) - set(panels(figure))
    levels = [float(text.get_text()) for text in bar.get_yticklabels()]
    assert levels == np.unique(results["level"]).tolist()
    scale = bar._colorbar.mappable
    colour_of = {level: scale.to_rgba(k) for k, level in enumerate(levels)}
    for k, dataset in enumerate(("student_teacher", "diabetes")):
        of_data = np.unique(select(results, dataset=dataset)["level"])
        for axis in panels(figure)[k::2]:
            colours = [to_rgba(line.get_color()) for line in lines(axis, "X⁺y, ablated")]
            np.testing.assert_allclose(colours, [colour_of[level] for level in of_data])
    # Negative control: the colours do tell levels apart.
    assert len({tuple(colour) for colour in colour_of.values()}) == len(levels)


def test_of_many_levels_the_ends_of_every_panel_and_some_between_are_drawn(drawn):
    seventeen, ten, few = (dict.fromkeys(map(float, levels)) for levels in (range(1, 18), range(1, 11), (5, 20, 25)))
    assert drawn_levels([few, ten, seventeen]) == [1, 3, 5, 10, 13, 17, 25]
    assert drawn_levels([{0.0: None, 0.1: None}, {3.0: None}]) == [0, 0.1, 3]  # few are all drawn
    # Train errors are those of the same readout where test rows alone are changed.
    assert len(panels(drawn["ablated", "leading_modes"])) == 2
    assert len(panels(drawn["ablated", "singular_value_cutoff"])) == 4


def test_drawn_medians_are_those_of_the_rows(drawn, runs):
    keys = {"dataset": "diabetes", "preprocess": "none", "estimator": "min_norm"}
    rows = select(runs["ablated"].results, **keys, ablation="singular_value_cutoff")
    axis = panels(drawn["ablated", "singular_value_cutoff"])[1]
    for level, line in zip(CUTOFFS, lines(axis, "X⁺y, ablated"), strict=True):
        here = rows["level"] == level
        values = {n: rows["test_mse"][here & (rows["n_train"] == n)] for n in ABLATED.n_train}
        assert all(len(v) == len(ABLATED.seeds) for v in values.values())
        np.testing.assert_array_equal(line.get_xdata(), list(values))
        np.testing.assert_allclose(line.get_ydata(), [np.median(v) for v in values.values()])
        # Negative control: means are something else.
        assert not np.allclose(line.get_ydata(), [v.mean() for v in values.values()])


def test_bands_are_the_quartiles(drawn, runs):
    rows = select(runs["linear"].results, dataset="diabetes", estimator="min_norm")
    axis = panels(drawn["linear", "divergence"])[1]
    vertices = axis.collections[0].get_paths()[0].vertices
    for n in np.unique(rows["n_train"]):
        low, high = np.quantile(rows["test_mse"][rows["n_train"] == n], (0.25, 0.75))
        at_n = vertices[vertices[:, 0] == n, 1]
        np.testing.assert_allclose((at_n.min(), at_n.max()), (low, high))


def test_the_exact_risk_is_drawn_where_there_is_one_and_its_infinity_is_shaded(drawn, runs):
    student, diabetes = panels(drawn["ablated", "divergence"])
    (band,) = shaded(student)
    assert (band.get_x(), band.get_x() + band.get_width()) == (19, 21)
    theory = select(runs["ablated"].results, estimator="theory")
    finite = np.isfinite(theory["test_mse"])
    assert sorted(theory["n_train"][~finite]) == [19, 20, 21]
    exact = [line for line in student.lines if line.get_linestyle() == "--"]
    np.testing.assert_array_equal(np.concatenate([line.get_xdata() for line in exact]), theory["n_train"][finite])
    np.testing.assert_array_equal(np.concatenate([line.get_ydata() for line in exact]), theory["test_mse"][finite])
    assert "share its luck" in drawn["ablated", "divergence"].legends[0].get_title().get_text().replace("\n", " ")
    assert not shaded(diabetes)
    assert not shaded(panels(drawn["linear", "divergence"])[0])


def test_what_is_zero_up_to_rounding_lies_on_the_lower_edge_and_is_called_so(drawn):
    for axis in panels(drawn["ablated", "no_residuals"])[:2]:
        (line,) = lines(axis, "X⁺y, no residuals")
        bottom = axis.get_ylim()[0]
        assert bottom > 1e-10
        assert line.get_ydata()[-1] == bottom
        assert line.get_ydata()[0] > bottom
        assert strips(axis) == ["zero up to rounding"]
    # Negative control: not where nothing is zero.
    assert not any(strips(axis) for axis in panels(drawn["ablated", "smallest_singular_value"]))


def test_early_stopping_puts_gd_and_cutoffs_on_one_axis(drawn, runs):
    run = runs["ablated"]
    top, student, _ = panels(drawn["ablated", "early_stopping"])
    gd = {"dataset": "student_teacher", "preprocess": "standardize", "estimator": "gd", "ablation": "none"}
    eta = np.median(select(run.results, **gd, n_train=20)["step_size"])
    last = run.curves["step"].max()
    (trained,) = lines(student, "trained GD after t steps, at 1/√(ηt)")
    assert trained.get_xdata().min() == pytest.approx(1 / np.sqrt(eta * last))
    (cut,) = lines(student, "hard cutoff of σ (X⁺y)")
    np.testing.assert_array_equal(cut.get_xdata(), CUTOFFS)
    # After t steps the mode at σ₁/√t is learnt to 1 − (1 − 1/t)ᵗ, whatever t.
    for t in (10, 100, 1000, 10_000):
        (line,) = lines(top, f"GD, t = {t:,}")
        at = np.interp(np.log(1 / np.sqrt(t)), np.log(line.get_xdata()), line.get_ydata())
        assert at == pytest.approx(1 - (1 - 1 / t) ** t, rel=1e-2)


def test_polynomials_of_enough_degrees_go_through_their_training_rows(drawn):
    below, at, above = panels(drawn["polynomial", "polynomial_fits"])
    for axis, interpolates in ((below, False), (at, True), (above, True)):
        (fit,), (rows,) = lines(axis, "least-norm polynomial X⁺y"), lines(axis, "training rows of seed 0")
        assert len(rows.get_xdata()) == 15
        gap = np.interp(rows.get_xdata(), fit.get_xdata(), fit.get_ydata()) - rows.get_ydata()
        # Between points of the grid a steep fit moves; most rows tell.
        assert (np.median(np.abs(gap)) < 0.02) == interpolates
    assert "clipped" in at.get_title()
    assert "clipped" not in below.get_title()


def test_the_grid_shows_medians_where_they_belong(drawn, runs):
    rows = select(runs["features"].results, model="random_relu", estimator="min_norm", n_train=40, n_parameters=20)
    axis = next(a for a in panels(drawn["features", "feature_grid"]) if "ReLU" in a.get_title())
    image = axis.collections[0].get_array().reshape(2, 3)
    assert image[0, 1] == pytest.approx(np.log10(np.median(rows["test_mse"])))


def test_both_gram_matrices_have_the_squared_singular_values_and_zeros_at_the_edge(drawn):
    for k, (dataset, P) in enumerate((("student_teacher", 20), ("diabetes", 10))):
        axis = panels(drawn["linear", "shared_spectrum"])[k]
        X = load_dataset(dataset).X
        bottom = axis.get_ylim()[0]
        for n, place in ((P // 2, "N < P"), (P, "N = P"), (2 * P, "N > P")):
            s = np.linalg.svd(X[split(len(X), n, 0)[0]], compute_uv=False)
            for name, rows in (("XXᵀ", n), ("XᵀX", P)):
                (line,) = lines(axis, f"{name}, {place}")
                assert len(line.get_ydata()) == rows
                np.testing.assert_allclose(line.get_ydata()[: len(s)], s**2, rtol=1e-8)
                assert (line.get_ydata()[len(s) :] == bottom).all()
        assert (s**2 > bottom).all()  # control: no other lies there
        assert strips(axis) == ["zero up to rounding"]


def test_a_spectrum_is_of_data_that_a_run_cannot_name_for_harm(runs):
    """Neither files nor downloads are opened because a run's tables say so."""
    run, spectrum = runs["linear"], figures.FIGURES["shared_spectrum"]
    for name in ("california_housing", "/etc/passwd", "openml:iris"):
        assert spectrum(replace(run, results=run.results.assign(dataset=name))) is None


def test_singular_directions_show_every_training_row_and_vector(drawn):
    for axis, n in zip(panels(drawn["linear", "singular_directions"]), (2, 3, 12), strict=True):
        (rows,) = lines(axis, "training rows")
        X = np.array(rows.get_data_3d()).T
        assert X.shape == (n, 3)
        _, s, Vt = np.linalg.svd(X, full_matrices=False)
        bars = [*lines(axis, "other directions"), *lines(axis, "weakest direction")]
        ends = np.array([np.array(bar.get_data_3d())[:, 1] for bar in bars])
        np.testing.assert_allclose(np.abs(ends), np.abs(2 * s[:, None] * Vt / np.sqrt(n)))


def test_the_seed_of_the_3d_picture_is_typical_of_all_three_panels():
    chosen, smallest = typical_seed(), []
    for seed in range(101):
        X = np.random.default_rng(seed).standard_normal((300, 3)) * [1.0, 0.7, 0.5]
        smallest.append([np.linalg.svd(X[:n], compute_uv=False)[-1] for n in (2, 3, 12)])
    low, high = np.quantile(smallest, (0.25, 0.75), axis=0)
    assert (low < smallest[chosen]).all()
    assert (smallest[chosen] < high).all()


def test_figures_are_redrawn_from_the_store_without_training(run_dir, tmp_path, monkeypatch, capfd):
    copy = tmp_path / "copy"
    shutil.copytree(run_dir, copy)
    shutil.rmtree(copy / "figures")
    monkeypatch.setattr("gdstudy.experiment.readouts.gradient_descent", None)
    assert main([str(copy)]) == 0
    n = len(DRAWN["linear"])
    assert {path.stem for path in (copy / "figures").glob("*.png")} == DRAWN["linear"]
    assert len(list((copy / "figures").glob("*.pdf"))) == n
    printed = capfd.readouterr()
    assert f"{n} figures" in printed.out
    assert not printed.err  # no bar off a terminal


def test_tables_that_are_loaded_need_not_be_loaded_again(runs, tmp_path):
    images = redraw(tmp_path, runs["polynomial"])
    assert set(images) == DRAWN["polynomial"]
    for name, pixels in images.items():
        assert (pixels.dtype, pixels.ndim, pixels.shape[2]) == (np.uint8, 3, 3)
        png = matplotlib.image.imread(tmp_path / "figures" / f"{name}.png")
        assert png.shape[:2] == pixels.shape[:2]
        assert np.abs(png[..., :3] * 255.0 - pixels).max() < 40  # 256 colours, but no line changes its own
        assert (png[0, 0] == 1).all()


def test_a_folder_that_is_no_run_is_one_line(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_views_import_nothing_that_trains():
    for path in Path(figures.__file__).parents[1].rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gdstudy."):
                assert node.module.split(".")[1] not in ("training", "sweep"), path.name


def test_every_training_is_drawn_and_what_shows_one_shows_the_main_one(runs, drawn):
    run = with_second(runs["linear"], "quick", step_size="0.1")
    run.results.loc[run.results["estimator"] == "quick", "test_mse"] *= 3
    first, second = ("test, trained GD", "test, trained GD (quick)")
    for axis, before in zip(
        panels(figures.FIGURES["mse_against_n"](run)), panels(drawn["linear", "mse_against_n"]), strict=True
    ):
        ((gd,), (quick,)) = (lines(axis, label) for label in (first, second))
        np.testing.assert_array_equal(gd.get_ydata(), lines(before, first)[0].get_ydata())
        np.testing.assert_allclose(quick.get_ydata(), 3 * gd.get_ydata())
        assert quick.get_linestyle() != gd.get_linestyle()
    for name in ("test_mse_by_steps", "distance_by_steps"):
        for axis, before in zip(panels(figures.FIGURES[name](run)), panels(drawn["linear", name]), strict=True):
            assert [line.get_label() for line in axis.lines] == [line.get_label() for line in before.lines]


def test_an_optimizer_without_an_exact_iterate_is_called_by_its_name_and_shows_none(runs):
    run = with_second(runs["ablated"], "again")
    run.study.trained = {"again": replace(run.study.trained["gd"], optimizer="adam")}
    (axis, _) = panels(figures.FIGURES["distance_by_steps"](run))
    assert not lines(axis, "predicted, exact iterate")
    (axis, _) = panels(figures.FIGURES["mse_against_n"](run))
    assert next(line.get_label() for line in axis.lines if "trained" in line.get_label()) == "test, trained Adam"
    assert figures.FIGURES["early_stopping"](run) is None


def test_a_title_longer_than_its_figure_goes_on_below():
    short, long = (grid(title, 1)[0].get_suptitle() for title in ("Is it so?", "Is it so, and if not, " * 5 + "why?"))
    assert "\n" not in short
    assert len(long.splitlines()) > 1
    assert wrapped(long, 5.2, 11) == long


def test_x_pinv_y_is_called_the_end_of_what_tends_to_it_alone(runs):
    def labels(**changes):
        run = with_second(runs["linear"], "again")
        run.study.trained = {"gd": replace(run.study.trained["gd"], **changes)}
        drawn = panels(figures.FIGURES["test_mse_by_steps"](run))
        return {line.get_label() for axis in drawn for line in axis.lines if "X⁺y" in line.get_label()}

    assert labels() == {"t = ∞, X⁺y"}
    assert labels(start="gaussian") == labels(optimizer="adam") == {"X⁺y"}


@pytest.mark.parametrize(
    ("y", "said"),
    [(np.zeros(3), "zero up to rounding"), (np.full(3, np.inf), "diverged"), (np.full(3, np.nan), "diverged")],
)
def test_what_is_zero_is_not_said_to_have_diverged(y, said):
    _, ((axis,),) = grid("Is it so?", 1)
    draw(axis, Curve(np.array([5, 10, 20]), y, y, y, y), "a", "b")
    log_axes(axis, "x", "y")
    fit_y(axis)
    (note,) = axis.texts
    assert said in note.get_text()
    if not y.any():
        assert axis.get_xlim()[1] > 19


def test_a_curve_of_one_point_is_seen():
    def marker(*y):
        _, ((axis,),) = grid("Is it so?", 1)
        y = np.array(y)
        return draw(axis, Curve(np.arange(1, 1 + len(y)), y, y, y, y), "a", "b").get_marker()

    assert marker(3.0) == marker(3.0, np.inf) == "o"
    assert marker(3.0, 4.0) == "None"


def test_accuracies_of_many_trainings_look_different(runs):
    run, others = runs["classes"], ("adam", "adamw", "rmsprop", "sgd")
    gd = run.results[run.results["estimator"] == "gd"]
    results = joined(run.results, *(gd.assign(estimator=name) for name in others))
    trained = {"gd": run.study.gd, **{name: replace(run.study.gd, optimizer=name) for name in others}}
    several = replace(run, results=results, study=with_trainings(run, **trained))
    axis = panels(figures.FIGURES["accuracy"](several))[0]
    looks = [(line.get_color(), line.get_linestyle()) for line in axis.lines]
    assert len(looks) > len(others)
    assert len(set(map(str, looks))) == len(looks)


def test_a_label_is_left_out_where_the_panel_to_its_left_has_it():
    def labels(*given):
        figure, (axes,) = grid("Is it so?", len(given))
        for axis, label in zip(axes, given, strict=True):
            axis.set_ylabel(label)
        tidy(figure, *axes)
        return [axis.get_ylabel() for axis in axes]

    assert labels("MSE", "MSE", "MSE") == ["MSE", "", ""]
    assert labels("MSE", "share", "MSE") == ["MSE", "share", "MSE"]


def test_a_panel_in_which_nothing_is_drawn_has_axes_all_the_same():
    figure, ((axis,),) = grid("Is it so?", 1)
    log_axes(axis, "x", "y")
    count_ticks(axis)
    figure.canvas.draw()  # without a warning
    assert axis.get_xscale() == "log"
