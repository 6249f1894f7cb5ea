"""What a run records, against a straightforward computation one cell at a time."""

import numpy as np
import one_cell
import pytest
import torch
from conftest import small_study
from sklearn.metrics import mean_squared_error

from gdstudy import config, load_curves, load_dataset, load_results
from gdstudy.config import Ablations, GradientDescent, Sizes, StepSize
from gdstudy.data import split
from gdstudy.experiment import run_batch
from gdstudy.features import feature_map
from gdstudy.metrics import row_space_leak
from gdstudy.plan import plan
from gdstudy.summary import select

ABLATIONS = Ablations(
    singular_value_cutoff=np.logspace(-3, 0, 7).tolist(),
    leading_modes="1-10",
    leading_modes_of={"student_teacher": [5, 10, 15, 20, 25]},
    no_residuals=True,
    adversarial_test=[0, 0.1, 0.316, 1, 3.16, 10, 31.6],
    adversarial_train=[0, 0.1, 0.316, 1, 3.16, 10, 31.6],
)
PAPER = ("student_teacher", "california_housing", "diabetes", "who_life_expectancy")


def closed_form_errors(data, **changes):
    """{(ablation, level, N, seed): test MSE of X⁺y} of a study without training."""
    study = small_study(datasets=[data.name], estimators=["min_norm"], ablations=ABLATIONS, **changes)
    errors = {}
    for batch in plan(study, [data]):
        (rows,) = run_batch(study, data, batch).results
        levels = [None if np.isnan(level) else level for level in rows["level"].tolist()]
        keys = zip(rows["ablation"].tolist(), levels, rows["n_train"].tolist(), rows["seed"].tolist(), strict=True)
        errors.update(zip(keys, rows["test_mse"].tolist(), strict=True))
    return errors


@pytest.mark.parametrize("name", PAPER)
def test_every_ablation_level_equals_the_computation_one_cell_at_a_time(name):
    data = load_dataset(name)
    sizes, seeds = range(1, 40), 3
    stacked = closed_form_errors(data, n_train=Sizes(sizes), seeds=seeds, batch_cells=50)
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


def test_single_precision_agrees_away_from_the_threshold():
    data = load_dataset("diabetes")
    sizes = {"n_train": Sizes((5, 40)), "seeds": 5}
    double, single = closed_form_errors(data, **sizes), closed_form_errors(data, **sizes, dtype="float32")
    kept = [key for key in double if key[0] in ("none", "leading_modes", "adversarial_train")]
    np.testing.assert_allclose([single[k] for k in kept], [double[k] for k in kept], rtol=1e-2)
    assert [single[k] for k in kept] != [double[k] for k in kept]


def test_eqn_1_sums_to_the_error_and_its_variance_makes_the_spike():
    data = load_dataset("student_teacher")
    study = small_study(datasets=["student_teacher"], estimators=["min_norm"], n_train=Sizes((10, 20, 40)), seeds=10)
    rows = [run_batch(study, data, batch).results[0] for batch in plan(study, [data])]
    table = {name: np.concatenate([np.atleast_1d(r[name]) for r in rows]) for name in rows[0] if name != "n_parameters"}
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
    data = load_dataset("diabetes", "standardize")
    levels = {"singular_value_cutoff": [0.5], "leading_modes": [3], "no_residuals": True}
    ablations = Ablations(**levels, adversarial_test=[1], adversarial_train=[10])
    gd = GradientDescent(steps=100_000, preprocess="standardize", ablations=list(config.ABLATIONS))
    study = small_study(datasets=["diabetes"], ablations=ablations, gd=gd, n_train=Sizes((5, 40)), batch_cells=100)
    _, batch = plan(study, [load_dataset("diabetes"), data])
    results = run_batch(study, data, batch).results
    closed, trained = results[0], {str(r["ablation"][0]): r for r in results[1:] if r["estimator"] == "gd"}
    assert set(trained) == {"none", *config.ABLATIONS}
    for ablation, rows in trained.items():
        assert (rows["status"] == "converged").all()
        assert rows["distance"].max() < 1e-6
        limit = closed["test_mse"][closed["ablation"] == ablation]
        np.testing.assert_allclose(rows["test_mse"], limit, rtol=1e-5, atol=1e-9 * data.Y.var())
    # Different problems, different numbers: no ablation is the unablated run under another name.
    errors = [tuple(rows["test_mse"]) for rows in trained.values()]
    assert len(set(errors)) == len(errors)


def test_theory_has_one_row_a_size_and_only_where_the_law_is_known():
    study = small_study(estimators=["min_norm", "theory"], n_train=Sizes((5, 19, 20, 21, 40)), seeds=4, batch_cells=8)
    for name, expected in (("student_teacher", [5, 19, 20, 21, 40]), ("diabetes", [])):
        data = load_dataset(name)
        batches = [
            b for b in plan(study, [load_dataset("student_teacher"), load_dataset("diabetes")]) if b.dataset == name
        ]
        groups = [g for b in batches for g in run_batch(study, data, b).results if g["estimator"] == "theory"]
        sizes = [n for group in groups for n in group["n_train"].tolist()]
        risks = [risk for group in groups for risk in group["test_mse"].tolist()]
        assert sizes == expected
        assert [np.isinf(r) for r in risks] == [19 <= n <= 21 for n in sizes]


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
    error = {}
    for batch in plan(study, [data]):
        (rows,) = run_batch(study, data, batch).results
        for n, seed, mse in zip(rows["n_train"], rows["seed"], rows["test_mse"], strict=True):
            error.setdefault((n, batch.n_parameters), {})[seed] = mse
    median = {key: np.median(list(values.values())) for key, values in error.items()}
    assert median[40, 40] > 3 * max(median[10, 40], median[160, 40], median[40, 10], median[40, 160])
    # One cell by hand: features of the seed, the paper's split, NumPy's pseudoinverse.
    Phi, (train, test) = feature_map(model, data.X, 160, seed=3), split(1000, 40, 3)
    W = np.linalg.pinv(Phi[train]) @ data.Y[train]
    assert error[40, 160][3] == pytest.approx(mean_squared_error(data.Y[test], Phi[test] @ W), rel=1e-8)


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


def test_polynomials_diverge_at_p_equal_n_without_noise():
    data = load_dataset("linear_plus_cosine")
    sizes = {"n_train": Sizes((15,)), "n_parameters": Sizes((1, 15, 200))}
    study = small_study(
        datasets=[data.name], models=["legendre"], estimators=["min_norm"], seeds=400, batch_cells=400, **sizes
    )
    medians = [np.median(run_batch(study, data, batch).results[0]["test_mse"]) for batch in plan(study, [data])]
    assert medians[0] == pytest.approx(0.51, abs=0.02)
    assert medians[1] > 1e5
    assert medians[2] == pytest.approx(0.56, abs=0.02)
