"""What a run records, against a straightforward computation one cell at a time."""

from dataclasses import replace

import numpy as np
import one_cell
import pytest
import torch
from computed import at, autoencoders, computed
from conftest import small_study
from problems import everywhere, of_spectrum
from sklearn.metrics import mean_squared_error

from gdstudy import (
    gd_iterate,
    gradient_descent,
    load_dataset,
    min_norm_solution,
)
from gdstudy.data.dataset import Dataset
from gdstudy.data.features import feature_map
from gdstudy.data.splits import split
from gdstudy.experiment.driver import run_batch
from gdstudy.experiment.plan import Batch
from gdstudy.linalg.metrics import row_space_leak
from gdstudy.study.ablations import ABLATIONS as FACTS
from gdstudy.study.config import Study
from gdstudy.study.groups import Ablations, Synthetic, Training
from gdstudy.study.models import MODELS
from gdstudy.study.values import Sizes, StepSize

ABLATIONS = Ablations(
    singular_value_cutoff=np.logspace(-3, 0, 7).tolist(),
    leading_modes="1-10",
    leading_modes_of={"student_teacher": [5, 10, 15, 20, 25]},
    no_residuals=True,
    adversarial_test=[0, 0.1, 0.316, 1, 3.16, 10, 31.6],
    adversarial_train=[0, 0.1, 0.316, 1, 3.16, 10, 31.6],
)
PAPER = ("student_teacher", "california_housing", "diabetes", "who_life_expectancy")


def closed_form_errors(name, gd=None, **changes):
    """{(ablation, level, N, seed): test MSE of X⁺y} of a study whose training, if any, is one step."""
    estimators = ["min_norm", "gd"] if gd else ["min_norm"]
    study = small_study(datasets=[name], estimators=estimators, ablations=ABLATIONS, gd=gd or Training(), **changes)
    rows = at(computed(study).results, estimator="min_norm")
    levels = [None if np.isnan(level) else level for level in rows["level"].tolist()]
    keys = zip(rows["ablation"], levels, rows["n_train"], rows["seed"], strict=True)
    return dict(zip(keys, rows["test_mse"], strict=True))


def relative(rows):
    """With the test error as a share of the mean square of the targets."""
    return rows.assign(relative_test_mse=rows["test_mse"] / rows["target_mean_square"])


@pytest.mark.parametrize("name", PAPER)
def test_every_ablation_level_equals_the_computation_one_cell_at_a_time(name):
    data = load_dataset(name)
    sizes, seeds = (1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 14, 18, 19, 20, 21, 30, 39), 3
    stacked = closed_form_errors(name, n_train=Sizes(sizes), seeds=seeds, batch_cells=50)
    beta = np.linalg.lstsq(data.X, data.Y, rcond=None)[0]
    levels = [("none", None), *ABLATIONS.levels(name)]
    assert len(stacked) == len(sizes) * seeds * len(levels)
    # κ of the WHO data reaches 10⁹: both computations lose nine digits there.
    tolerance = 1e-5 if name == "who_life_expectancy" else 1e-8
    for n in sizes:
        for seed in range(seeds):
            expected = one_cell.test_errors(data.X, data.Y, n, seed, levels, beta)
            for (ablation, level), error in expected.items():
                found = stacked[ablation, level, n, seed]
                assert found == pytest.approx(error, rel=tolerance, abs=1e-12 * data.Y.var()), (
                    ablation,
                    level,
                    n,
                    seed,
                )


ONE_STEP = {dtype: Training(steps=1, dtype=dtype) for dtype in ("float32", "float64")}


def test_the_precision_of_training_changes_nothing_in_closed_form():
    sizes = {"n_train": Sizes((5, 10, 40)), "seeds": 5}
    single, double = (closed_form_errors("diabetes", gd, **sizes) for gd in ONE_STEP.values())
    assert single == double == closed_form_errors("diabetes", **sizes)


def test_closed_forms_of_raw_housing_do_not_lose_modes_to_the_precision_of_training():
    """With 20,000 rows max(N, P)·eps of float32 is 2.4e-3, above four of its eight singular values."""
    data, changes = load_dataset("california_housing"), {"n_train": Sizes((20_000,)), "seeds": 1}
    error = closed_form_errors("california_housing", ONE_STEP["float32"], **changes)["none", None, 20_000, 0]
    train, test = split(data.n_rows, 20_000, 0)
    W = np.linalg.lstsq(data.X[train], data.Y[train], rcond=None)[0]
    assert error == pytest.approx(np.square(data.X[test] @ W - data.Y[test]).mean(), rel=1e-9)
    cut = min_norm_solution(data.X[train], data.Y[train], rtol=20_000 * np.finfo(np.float32).eps)
    assert np.square(data.X[test] @ cut - data.Y[test]).mean() > 1.5 * error


def test_eqn_1_sums_to_the_error_and_its_variance_makes_the_spike():
    data = load_dataset("student_teacher")
    study = small_study(datasets=["student_teacher"], estimators=["min_norm"], n_train=Sizes((10, 20, 40)), seeds=10)
    table = computed(study).results
    assert table["mode_sum_error"].max() < 1e-10
    beta = np.linalg.lstsq(data.X, data.Y, rcond=None)[0]
    for n, seed, *parts in zip(
        table["n_train"], table["seed"], table["variance_mean_of_squares"], table["bias_mean_of_squares"],
        table["bias_square_of_mean"], strict=True,
    ):  # fmt: skip
        train, test = split(1000, n, seed)
        inverse = np.linalg.pinv(data.X[train])
        variance = data.X[test] @ inverse @ (data.Y[train] - data.X[train] @ beta)
        bias = data.X[test] @ (inverse @ data.X[train] - np.eye(20)) @ beta
        expected = [(variance**2).mean(), (bias**2).mean(), bias.mean() ** 2]
        np.testing.assert_allclose(parts, expected, rtol=1e-8, atol=1e-20)
    at = table["n_train"] == 20
    assert np.median(table["worst_mode_share"][at]) > 0.5
    # The square of a mean is not the mean of squares (the reference code's slip): below N = P they are far apart.
    below = table["n_train"] == 10
    assert (table["bias_square_of_mean"][below] < 0.1 * table["bias_mean_of_squares"][below]).all()


def test_gd_is_trained_under_each_ablation_and_tends_to_its_own_limit():
    levels = {"singular_value_cutoff": [0.5], "leading_modes": [3], "no_residuals": True}
    ablations = Ablations(**levels, adversarial_test=[1], adversarial_train=[10])
    gd = Training(steps=100_000, preprocess="standardize", ablations=list(FACTS))
    study = small_study(datasets=["diabetes"], ablations=ablations, gd=gd, n_train=Sizes((5, 40)), batch_cells=100)
    rows = at(computed(study).results, preprocess="standardize")
    variance, errors = load_dataset("diabetes").Y.var(), []
    for ablation in ("none", *FACTS):
        trained, closed = (at(rows, ablation=ablation, estimator=name) for name in ("gd", "min_norm"))
        assert len(trained) == len(closed) == 8
        assert (trained["status"] == "converged").all()
        assert trained["distance"].max() < 1e-6
        np.testing.assert_allclose(trained["test_mse"], closed["test_mse"], rtol=1e-5, atol=1e-9 * variance)
        errors.append(tuple(trained["test_mse"]))
    # Different problems, different numbers: no ablation is the unablated run under another name.
    assert len(set(errors)) == len(errors)


def test_theory_has_one_row_a_size_and_only_where_the_law_is_known():
    sizes = [5, 19, 20, 21, 40]
    study = small_study(estimators=["min_norm", "theory"], n_train=Sizes(sizes), seeds=4, batch_cells=8)
    theory = at(computed(study).results, estimator="theory")
    assert set(theory["dataset"]) == {"student_teacher"}  # and not diabetes
    assert theory["n_train"].tolist() == sizes
    assert [np.isinf(risk) for risk in theory["test_mse"]] == [19 <= n <= 21 for n in sizes]


@pytest.mark.parametrize("model", ["random_relu", "random_fourier"])
def test_random_features_spike_at_n_equal_p_whichever_is_swept(model):
    data = load_dataset("student_teacher", "standardize")
    sizes = {"n_train": Sizes((10, 40, 160)), "n_parameters": Sizes((10, 40, 160))}
    study = small_study(
        datasets=["student_teacher"],
        preprocess="standardize",
        models=[model],
        estimators=["min_norm"],
        seeds=9,
        **sizes,
    )
    error = computed(study).results.set_index(["n_train", "n_parameters", "seed"])["test_mse"]
    median = error.groupby(level=[0, 1]).median()
    assert median[40, 40] > 3 * max(median[10, 40], median[160, 40], median[40, 10], median[40, 160])
    # One cell by hand: features of the seed, the paper's split, NumPy's pseudoinverse.
    Phi, (train, test) = feature_map(MODELS[model], data.X, 160, seed=3), split(1000, 40, 3)
    W = np.linalg.pinv(Phi[train]) @ data.Y[train]
    assert error[40, 160, 3] == pytest.approx(mean_squared_error(data.Y[test], Phi[test] @ W), rel=1e-8)


@pytest.fixture(scope="module")
def small():
    """The tables of the small study."""
    return computed(small_study())


def test_trained_cells_follow_the_exact_iterate_and_stay_in_the_row_space(small):
    curves = small.curves
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
    trainings = {"short": {"steps": 100}, "long": {"steps": 100_000}}
    values = {"datasets": ["student_teacher"], "n_train": Sizes((10, 40)), "estimators": ["min_norm"]}
    rows = computed(small_study(trainings=trainings, **values)).results
    early, late = (at(rows, estimator=name).reset_index() for name in trainings)
    assert (early["status"] == "max_steps").all()
    assert (late["status"] == "converged").all()
    predicted = early["step"] + early["steps_to_tolerance"]
    assert (late["step"] >= predicted).all()
    assert (late["step"] <= 1.02 * predicted + 2).all()  # looked for every t // 64 steps
    assert (late["steps_to_tolerance"] == 0).all()
    # Early on, the slowest mode not yet learnt is the smallest singular value.
    np.testing.assert_allclose(early["slowest_singular_value"], early["smallest_singular_value"])


def test_a_step_size_too_large_for_some_cells_ends_those_diverged_and_no_others():
    gd = Training(steps=2000, step_size=StepSize("0.02"))
    study = small_study(datasets=["student_teacher"], gd=gd, batch_cells=100)
    rows = at(computed(study).results, estimator="gd")
    unstable = rows["step_size"] > rows["step_size_limit"]
    assert 0 < unstable.sum() < len(unstable)
    np.testing.assert_array_equal(rows["status"] == "diverged", unstable)
    assert np.isinf(rows["steps_to_tolerance"][unstable]).all()


def test_the_spike_is_at_the_threshold(small):
    for name, P in (("student_teacher", 20), ("diabetes", 10)):
        rows = at(small.results, estimator="min_norm", dataset=name)
        medians = {n: at(rows, n_train=n)["test_mse"].median() for n in (3, P, 40)}
        assert medians[P] > 4 * max(medians[3], medians[40])


def test_polynomials_diverge_at_p_equal_n_without_noise():
    sizes = {"n_train": Sizes((15,)), "n_parameters": Sizes((1, 15, 200))}
    study = small_study(
        datasets=["linear_plus_cosine"],
        models=["legendre"],
        estimators=["min_norm"],
        seeds=400,
        batch_cells=400,
        **sizes,
    )
    medians = computed(study).results.groupby("n_parameters")["test_mse"].median().tolist()
    assert medians[0] == pytest.approx(0.51, abs=0.02)
    assert medians[1] > 1e5
    assert medians[2] == pytest.approx(0.56, abs=0.02)


# Autoencoders with a trained readout


def medians(study):
    """{(n_train, n_parameters): (median share of the inputs that is lost, ranks)} of the closed form."""
    rows = relative(at(computed(study).results, estimator="min_norm"))
    groups = rows.groupby(["n_train", "n_parameters"])
    return {size: (float(part["relative_test_mse"].median()), set(part["rank"])) for size, part in groups}


@pytest.mark.parametrize("study", ["linear", "random_features"])
def test_a_trained_autoencoder_is_its_exact_iterate_at_every_checkpoint_and_tends_to_the_closed_form(study):
    results, curves, _ = autoencoders(study)
    assert curves["deviation"].max() < 1e-10
    assert curves["deviation"].max() > 0
    assert curves["row_space_leak"].max() < 1e-10
    for value in ("train_mse", "test_mse", "distance"):
        np.testing.assert_allclose(curves[value], curves[f"exact_{value}"], rtol=1e-6, atol=1e-10)
    trained = at(results, estimator="gd")
    ended = at(trained, status="converged")
    assert set(trained["status"]) == {"converged", "max_steps"}  # near N = P κ² steps are more than there were
    assert ended["distance"].max() < 1e-6
    # Every data set, model and side of the threshold is among those that got there.
    sides = [f.assign(side=np.sign(f["n_train"] - f["n_parameters"])) for f in (ended, trained)]
    got, all_of = (set(f.groupby(["dataset", "input_noise", "model", "side"]).groups) for f in sides)
    assert got >= {key for key in all_of if key[-1]}
    # What has not is on its way: still far from X⁺Y, yet where the exact iterate is.
    exact = at(results, estimator="gd_closed_form")
    np.testing.assert_allclose(trained["distance"], exact["distance"], rtol=1e-6, atol=1e-10)
    assert at(trained, status="max_steps")["distance"].max() > 1e-3


@pytest.mark.parametrize("n", [8, 16, 40])
def test_a_linear_autoencoder_from_zero_ends_at_the_projector_on_its_rows(n):
    X = load_dataset("power_law", synthetic=Synthetic(n_rows=600)).X
    train, _ = split(600, n, 3)
    *_, state = gradient_descent(X[train], X[train], [1_000_000], tolerance=1e-12)
    W, projector = state.W, np.linalg.pinv(X[train]) @ X[train]
    assert np.linalg.norm(W - projector) < 1e-5
    np.testing.assert_allclose(W @ W, W, atol=1e-5)
    assert np.trace(W) == pytest.approx(min(n, 16), abs=1e-4)
    np.testing.assert_allclose(W, W.T, atol=1e-10)


def test_a_linear_autoencoder_loses_nothing_from_n_equal_d_on_and_never_diverges():
    rows = relative(autoencoders("linear").results)
    for name in ("power_law", "isotropic"):
        clean, noisy = (at(rows, dataset=name, input_noise=noise) for noise in (0, 0.5))
        closed = at(clean, estimator="min_norm")
        lost = {n: part["relative_test_mse"] for n, part in closed.groupby("n_train")}
        for n, shares in lost.items():
            assert (shares.max() < 1e-20) == (n >= 16)
            assert shares.median() <= lost[4].median()
        assert lost[12].min() > 1e-2
        trained = at(clean, estimator="gd", status="converged")
        assert trained["relative_test_mse"][trained["n_train"] >= 24].max() < 1e-14
        # Control: noise on the inputs alone, and there is the spike, at N = D.
        median = at(noisy, estimator="min_norm").groupby("n_train")["relative_test_mse"].median()
        assert median.idxmax() == 16
        assert median[16] > 5 * max(median[8], median[32], median[4])


def test_a_noisy_cell_equals_numpys_pinv_on_the_papers_split():
    """Inputs with the seed's noise on training and test rows, the target without; and what that is not."""
    rows = at(autoencoders("linear").results, dataset="power_law", input_noise=0.5, estimator="min_norm")
    data = load_dataset("power_law", input_noise=0.5, synthetic=Synthetic(n_rows=600))
    for n, seed in ((8, 2), (16, 5), (64, 0)):
        (row,) = at(rows, n_train=n, seed=seed).to_dict("records")
        train, test = split(600, n, seed)
        noisy, clean = data.inputs(seed), data.X
        W = np.linalg.pinv(noisy[train]) @ clean[train]
        assert row["test_mse"] == pytest.approx(mean_squared_error(clean[test], noisy[test] @ W), rel=1e-8)
        train_mse = mean_squared_error(clean[train], noisy[train] @ W)
        assert row["train_mse"] == pytest.approx(train_mse, rel=1e-8, abs=1e-20)
        assert row["weight_norm"] == pytest.approx(np.linalg.norm(W), rel=1e-8)
        assert row["target_mean_square"] == pytest.approx(np.square(clean).mean())
        assert row["target_variance"] == pytest.approx(clean.var(0).mean())
        # Controls: clean test inputs, another seed's noise, and noise on the target give other numbers.
        others = [mean_squared_error(clean[test], x[test] @ W) for x in (clean, data.inputs(seed + 1))]
        others += [mean_squared_error(noisy[test], noisy[test] @ W)]
        assert all(abs(row["test_mse"] / other - 1) > 1e-4 for other in others)


def test_theory_has_rows_of_a_gaussian_autoencoder_and_none_where_it_is_not_known():
    results = autoencoders("linear").results
    theory, sizes = at(results, estimator="theory"), sorted(set(results["n_train"]))
    for name, noise, expected in (
        ("isotropic", 0, sizes),
        ("isotropic", 0.5, sizes),
        ("power_law", 0.5, [16, 24, 32, 64]),  # other covariances have no formula below P, clean or noisy
        ("power_law", 0, [16, 24, 32, 64]),
    ):
        rows = at(theory, dataset=name, input_noise=noise)
        assert rows["n_train"].tolist() == expected
        assert rows["seed"].isna().all()
        covariance = np.ones(16) if name == "isotropic" else 1 / np.arange(1, 17)
        np.testing.assert_allclose(rows["target_mean_square"], covariance.mean())
        np.testing.assert_array_equal(np.isinf(rows["test_mse"]), bool(noise) & (rows["n_train"] == 16))
    rows = at(theory, dataset="power_law", input_noise=0.5, n_train=64)
    covariance = 1 / np.arange(1, 17)
    wiener = (covariance * 0.25 / (covariance + 0.25)).mean()
    assert rows["test_mse"].item() == pytest.approx(wiener * 63 / 47)
    # Random features have no law, though the data have one.
    study = Study(
        datasets=["isotropic"],
        models=["linear_autoencoder", "random_relu_autoencoder"],
        n_parameters=[8],
        n_train=[4],
        seeds=1,
        estimators=["min_norm", "theory"],
    )
    assert set(at(computed(study).results, estimator="theory")["model"]) == {"linear_autoencoder"}


def test_noisy_digits_diverge_at_n_equal_d():
    study = Study(
        datasets=["digits"],
        input_noise=[0.3],
        models=["linear_autoencoder"],
        n_train=[32, 64, 128],
        seeds=11,
        estimators=["min_norm"],
    )
    lost = {n: share for (n, _), (share, _) in medians(study).items()}
    assert lost[64] > 5 * max(lost[32], lost[128])
    assert lost[64] > 5  # worse than giving back nothing
    clean = Study(**{**vars(study), "input_noise": [0]})
    lost = {n: share for (n, _), (share, _) in medians(clean).items()}
    assert lost[32] > lost[64] > lost[128]


def test_the_median_risk_of_a_planned_denoiser():
    """D = 16, Σ ∝ diag 1/i of trace D, σ = 0.5: medians .64 and .24 at N = 8 and 64, and a spike between.

    In units of power_law, of trace Σ 1/i, the same noise is smaller.
    """
    sigma = 0.5 * np.sqrt((1 / np.arange(1, 17)).mean())
    study = Study(
        datasets=["power_law"],
        synthetic=Synthetic(n_rows=2000),
        input_noise=[sigma],
        models=["linear_autoencoder"],
        n_train=[8, 16, 64],
        seeds=200,
        estimators=["min_norm"],
    )
    lost = {n: share for (n, _), (share, _) in medians(study).items()}
    assert lost[8] == pytest.approx(0.64, rel=0.05)
    assert lost[64] == pytest.approx(0.24, rel=0.05)
    assert lost[16] > 5 * max(lost[8], lost[64])


@pytest.mark.parametrize("model", ["random_relu", "random_tanh", "mirrored_relu"])
def test_random_units_diverge_at_n_equal_p_without_noise_unless_they_can_give_their_input_back(model):
    """D = 16, along N at P = 64 and along P at N = 64. Mirrored pairs have rank P/2 + D = 48 of 64."""
    sizes = {"n_train": [32, 40, 48, 64, 256], "n_parameters": [16, 32, 64, 256]}
    study = Study(
        datasets=["isotropic"],
        synthetic=Synthetic(n_rows=800),
        models=[f"{model}_autoencoder"],
        seeds=9,
        estimators=["min_norm"],
        **sizes,
    )
    found = medians(study)
    lost, ranks = ({size: values[i] for size, values in found.items()} for i in (0, 1))
    spikes = (lost[64, 64] / max(lost[32, 64], lost[256, 64]), lost[64, 64] / max(lost[64, 16], lost[64, 256]))
    if model != "mirrored_relu":
        assert min(spikes) > 5
        assert lost[64, 64] > 1
        assert all(rank == {min(size)} for size, rank in ranks.items())
    else:
        assert all(ranks[n, 64] == {min(n, 48)} for n in sizes["n_train"])
        assert all(lost[n, 64] < 1e-8 for n in (48, 64, 256))
        assert all(lost[n, 64] > 1e-3 for n in (32, 40))
        # No peak along N, nor along P: never more than is lost by giving back nothing.
        assert max(spikes) < 1
        assert max(lost[n, 64] for n in sizes["n_train"]) == lost[32, 64] < 1
        assert max(lost[64, P] for P in sizes["n_parameters"]) == lost[64, 16] < 1


def test_degrees_of_freedom_are_divided_between_data_points_and_features():
    """Mean leverages R/N and R/P; of trained GD the trace of its own W."""
    for name in ("linear", "random_features"):
        rows = at(autoencoders(name).results, estimator="min_norm")
        np.testing.assert_allclose(rows["data_point_dimension"], rows["rank"] / rows["n_train"])
        np.testing.assert_allclose(rows["feature_dimension"], rows["rank"] / rows["n_parameters"])
        few = rows["n_train"] <= (8 if name == "linear" else 4)
        assert (rows["data_point_dimension"][few] == 1).all()
        assert (rows["feature_dimension"][few] < 1).all()
    trained = at(autoencoders("linear").results, dataset="power_law", estimator="gd")
    clean, noisy = (at(trained, input_noise=noise) for noise in (0, 0.5))
    X = load_dataset("power_law", synthetic=Synthetic(n_rows=600)).X[split(600, 24, 1)[0]]
    (row,) = at(clean, n_train=24, seed=1).to_dict("records")
    trace = np.trace(gd_iterate(X, X, row["step_size"], int(row["step"])))
    assert row["data_point_dimension"] == pytest.approx(trace / 24, rel=1e-10)
    # It comes from below: early in training less is stored. With noise W is no projector, and nothing is said.
    assert (clean["data_point_dimension"] <= 1 + 1e-9).all()
    assert noisy["data_point_dimension"].isna().all()


def test_pictures_of_an_autoencoder_are_inputs_targets_and_outputs_of_test_rows():
    arrays = autoencoders("linear").arrays
    data = load_dataset("power_law", input_noise=0.5, synthetic=Synthetic(n_rows=600))
    train, test = split(600, 24, 0)
    x, clean = data.inputs(0), data.X
    W = np.linalg.pinv(x[train]) @ clean[train]
    expected = {"inputs": x[test[:8]], "targets": clean[test[:8]], "outputs": x[test[:8]] @ W}
    for name, value in expected.items():
        keys = {"dataset": "power_law", "input_noise": 0.5, "estimator": "min_norm", "n_train": 24, "name": name}
        (found,) = at(arrays, **keys)["value"]
        np.testing.assert_allclose(found, value, rtol=1e-9, atol=1e-12)
    assert set(arrays["seed"]) == {0}
    assert set(arrays["estimator"]) == {"min_norm", "gd"}


# Problems with known answers


def as_cell(known, seed=3, more=5):
    """A data set of which this split trains on exactly the rows of a problem, and its batch of one cell."""
    N, P = known.X.shape
    train, test = split(N + more, N, seed)
    X, Y = np.zeros((N + more, P)), np.zeros((N + more, known.Y.shape[1]))
    X[train], Y[train] = known.X, known.Y
    X[test] = known.largest * np.random.default_rng(0).standard_normal((more, P))
    trained = (("gd", (("none", None),)),)
    batch = Batch(0, "zoo", "none", 0.0, "linear", P, None, ((N, seed),), trained=trained)
    return Dataset(X, Y, "zoo"), batch, X[test]


@everywhere("zero_inputs")  # which no data set is
@pytest.mark.parametrize("engine", ["gram", "autograd"])
def test_rows_of_a_known_problem_hold_its_known_answers(known, engine):
    data, batch, X_test = as_cell(known)
    study = Study(n_train=[1], gd=Training(steps=40, step_size=known.step_size(), engine=engine))
    closed, trained, exact = (
        {name: np.ravel(value)[0] for name, value in rows.items()} for rows in run_batch(study, data, batch).results
    )
    assert [rows["estimator"] for rows in (closed, trained, exact)] == ["min_norm", "gd", "gd_closed_form"]
    assert (closed["rank"], closed["n_train"]) == (known.rank, len(known.X))
    assert closed["condition_number"] == pytest.approx(known.condition, rel=1e-8)
    assert trained["step_size_limit"] == pytest.approx(2 / known.largest**2)
    steps = int(trained["step"])
    size = np.linalg.norm(X_test) * (1 if known.rank == 0 else known.condition)
    iterate = known.iterate(known.step_size(), steps)
    for rows, W in ((closed, known.W), (trained, iterate), (exact, iterate)):
        rounding = 1e-11 * size * np.linalg.norm(known.W)
        assert rows["weight_norm"] == pytest.approx(np.linalg.norm(W), rel=1e-8)
        assert rows["test_mse"] ** 0.5 == pytest.approx(np.square(X_test @ W).mean() ** 0.5, rel=1e-7, abs=rounding)
        residual = known.X.astype(float) @ W - known.Y
        assert rows["train_mse"] ** 0.5 == pytest.approx(np.square(residual).mean() ** 0.5, rel=1e-7, abs=rounding)
        gap = np.linalg.norm(W - known.W) / (np.linalg.norm(known.W) or 1)
        assert rows["distance"] == pytest.approx(gap, rel=1e-6, abs=1e-9)
    if known.condition > 1.5 and known.W.any():  # there is a way to go, and it has not been gone
        assert trained["distance"] > 1e-6


def test_the_heavy_ball_stands_beside_its_exact_iterate_and_meets_the_limit_where_descent_has_not():
    known = of_spectrum("slow", 20, 20, np.geomspace(1, 2e-3, 20))
    data, batch, _ = as_cell(known)
    rolling = {"optimizer": "heavy_ball", "momentum": 0.98}
    gd = Training(steps=100_000, checkpoints_per_decade=2)
    study = Study(n_train=[1], gd=gd, trainings={"rolling": rolling})
    levels = (("none", None),)
    records = run_batch(study, data, replace(batch, trained=(("gd", levels), ("rolling", levels))))
    rows = {rows["estimator"]: {name: np.ravel(value)[0] for name, value in rows.items()} for rows in records.results}
    assert rows["rolling"]["status"] == "converged"
    assert rows["rolling"]["distance"] < 1e-5 < 0.1 < rows["gd"]["distance"]
    assert rows["rolling"]["row_space_leak"] < 1e-8
    assert rows["rolling"]["step_size_limit"] == pytest.approx(1.98 * rows["gd"]["step_size_limit"])
    assert np.isnan(rows["rolling"].get("steps_to_tolerance", np.nan))
    assert rows["rolling_closed_form"]["weight_norm"] == pytest.approx(rows["rolling"]["weight_norm"], rel=1e-9)
    curves = [rows for rows in records.curves if rows["estimator"] == "rolling"]
    assert max(rows["deviation"].max() for rows in curves) < 1e-9
    # At the same steps plain descent is elsewhere.
    plain = {int(r["step"][0]): r["weight_norm"][0] for r in records.curves if r["estimator"] == "gd"}
    assert all(abs(plain[int(r["step"][0])] / r["weight_norm"][0] - 1) > 1e-3 for r in curves[2:-1])


# A random start


def random_start(**changes):
    """Standardised diabetes (P = 10), from zero and from W₀ ~ N(0, 1), nothing and everything ablated."""
    gd = Training(steps=30_000, checkpoints_per_decade=1, ablations=["singular_value_cutoff", "no_residuals"])
    return Study(
        datasets=["diabetes"],
        preprocess="standardize",
        n_train=[5, 9, 40],
        seeds=3,
        ablations=Ablations(singular_value_cutoff=[1.0], no_residuals=True),
        gd=gd,
        trainings={"random": {"start": "gaussian", "init_scale": 1.0}, **changes},
    )


def test_from_a_random_start_descent_follows_its_exact_iterate_and_keeps_what_x_does_not_see():
    run = computed(random_start())
    curves = at(run.curves, estimator="random")
    assert curves["deviation"].max() < 1e-11
    for mse in ("train_mse", "test_mse"):
        np.testing.assert_allclose(curves[mse], curves[f"exact_{mse}"], rtol=1e-9, atol=1e-9)
    for ablation in ("none", "singular_value_cutoff", "no_residuals"):
        ended = at(run.results, estimator="random", ablation=ablation)
        exact = at(run.results, estimator="random_closed_form", ablation=ablation)
        np.testing.assert_allclose(ended["test_mse"], exact["test_mse"], rtol=1e-7, atol=1e-12)
        converged = ended[ended["status"] == "converged"]
        assert len(converged) >= 3
        assert converged["distance"].max() < 1e-5  # to X⁺Y + (I − X⁺X)W₀, what is left of Y or not
    few = at(run.results, ablation="none", n_train=5)
    assert at(few, estimator="random")["row_space_leak"].min() > 0.01
    assert at(few, estimator="gd")["row_space_leak"].max() < 1e-12
    # Where N > P there is one solution; where N < P the two end apart.
    ends = [at(few, estimator=name)["test_mse"].to_numpy() for name in ("gd", "random")]
    assert np.all(np.abs(ends[0] - ends[1]) > 1e-3 * ends[0])


def test_other_optimizers_begin_there_too():
    adam = {"optimizer": "adam", "step_size": 1e-9, "steps": 3, "start": "gaussian", "init_scale": 1.0}
    run = computed(random_start(adam=adam, zero={**adam, "start": "own"}))
    began = [at(run.results, estimator=name, ablation="none", n_train=40)["weight_norm"] for name in ("adam", "zero")]
    assert began[0].min() > 1  # of the order of √10
    assert began[1].max() < 1e-7  # three steps of 1e-9 from zero
