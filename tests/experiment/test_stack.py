"""What a cell sees: a constant column, or its rows by statistics of its own training rows. Against scikit-learn and
NumPy, one cell at a time."""

from dataclasses import replace

import numpy as np
import one_cell
import pytest
from computed import as_run, at, computed
from conftest import without_views
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.preprocessing import StandardScaler

from gdstudy import Dataset, gradient_descent, load_dataset, load_results, min_norm_solution, run_study
from gdstudy.closed_form.factors import adversarial_train
from gdstudy.data import loading
from gdstudy.data.features import feature_map
from gdstudy.data.splits import split
from gdstudy.experiment.plan import plan
from gdstudy.experiment.stack import _of_targets, build_stack
from gdstudy.study.config import Study
from gdstudy.study.groups import Ablations, Training
from gdstudy.study.models import MODELS
from gdstudy.study.parser import as_dict, study_of
from gdstudy.views.claims import decide
from gdstudy.views.sweeps import sweeps

ABLATIONS = Ablations(
    singular_value_cutoff=[0.01, 0.5, 2],
    leading_modes=[1, 4, 10],
    no_residuals=True,
    adversarial_test=[0, 1, 10],
    adversarial_train=[0, 1, 10],
)
RIDGE = ["min_norm", "ridge", "ridge_loo"]
BY_TRAINING = ("center_train", "standardize_train")


def study(**changes):
    values = {"datasets": ["diabetes"], "estimators": ["min_norm"], "n_train": [2, 5, 10, 11, 12, 40], "seeds": 3}
    return Study(**{**values, **changes})


def rows_of(**changes):
    return computed(study(**changes)).results


def cells(rows):
    for _, row in rows.iterrows():
        yield row, int(row["n_train"]), int(row["seed"])


def seen(data, how, train):
    """All rows as scikit-learn's scaler shows them that was fitted on the training rows, and the mean of their y."""
    scaler = StandardScaler(with_std=how == "standardize_train").fit(data.X[train])
    return scaler.transform(data.X), data.Y[train].mean(0), scaler


@pytest.mark.parametrize("how", BY_TRAINING)
@pytest.mark.parametrize("name", ["diabetes", "who_life_expectancy"])
def test_statistics_of_training_rows_are_those_of_a_scaler_fitted_on_them(name, how):
    """On both sides of N = P + 1 = 11 and 18, and at N = 1, where nothing is left but the mean of y."""
    data = load_dataset(name)
    rows = rows_of(datasets=[name], n_train=[1, 2, 5, 10, 11, 12, 17, 18, 19, 60], preprocess=how)
    # κ of WHO's columns that are centred alone reaches 10⁸.
    tolerance = 1e-6 if (name, how) == ("who_life_expectancy", "center_train") else 1e-10
    for row, n, seed in cells(rows):
        train, test = split(data.n_rows, n, seed)
        X, mean, _ = seen(data, how, train)
        W = np.linalg.lstsq(X[train], data.Y[train] - mean, rcond=1e-12)[0]
        errors = np.square(X @ W + mean - data.Y).mean(1)
        assert row["test_mse"] == pytest.approx(errors[test].mean(), rel=tolerance)
        assert row["train_mse"] == pytest.approx(errors[train].mean(), rel=tolerance, abs=1e-10 * data.Y.var())
        assert row["weight_norm"] == pytest.approx(np.linalg.norm(W), rel=tolerance)
        # The mean is fitted too: P + 1 parameters, and all rows are met up to N = P + 1.
        P = data.X.shape[1] + 1
        assert (row["n_parameters"], row["rank"]) == (P, min(n, P))
        assert (row["train_mse"] < 1e-9 * data.Y.var()) == (n <= P)


def test_statistics_of_all_rows_are_others_and_those_of_training_rows_know_nothing_of_test_rows(monkeypatch):
    keys = ["n_train", "seed"]
    tables = (rows_of(preprocess=how) for how in ("standardize", "standardize_train"))
    peeking, honest = (rows.set_index(keys)["test_mse"] for rows in tables)
    assert (np.abs(peeking / honest - 1) > 1e-3).all()
    # Test rows are moved far away: the weights stay what they are.
    data, (_, test) = load_dataset("diabetes"), split(442, 5, 0)
    X = data.X.copy()
    X[test] += 100

    def norms():
        some = {how: rows_of(preprocess=how, n_train=[5], seeds=1) for how in ("standardize", *BY_TRAINING)}
        return {how: rows["weight_norm"][0] for how, rows in some.items()}

    before = norms()
    monkeypatch.setattr(loading, "code", lambda _: lambda: replace(data, X=X))
    after = norms()
    for how in BY_TRAINING:
        assert after[how] == pytest.approx(before[how], rel=1e-10)
    assert abs(after["standardize"] / before["standardize"] - 1) > 0.1


def test_least_norm_of_centred_training_rows_is_linear_regression_with_an_intercept():
    data = load_dataset("diabetes")
    for row, n, seed in cells(rows_of(preprocess="center_train")):
        train, test = split(data.n_rows, n, seed)
        fit = LinearRegression().fit(data.X[train], data.Y[train])
        error = np.square(fit.predict(data.X[test]) - data.Y[test]).mean()
        assert row["test_mse"] == pytest.approx(error, rel=1e-8)


@pytest.mark.parametrize("how", BY_TRAINING)
def test_ablations_and_parts_of_the_error_are_those_of_what_the_cell_sees(how):
    data = load_dataset("diabetes")
    rows = rows_of(preprocess=how, ablations=ABLATIONS, n_train=[5, 11, 40], seeds=2)
    slopes = LinearRegression().fit(data.X, data.Y).coef_.T  # β* with a constant
    levels = [("none", None), *ABLATIONS.levels("diabetes")]
    for n, seed in ((n, seed) for n in (5, 11, 40) for seed in range(2)):
        train, test = split(442, n, seed)
        X, mean, scaler = seen(data, how, train)
        beta = slopes if scaler.scale_ is None else slopes * scaler.scale_[:, None]
        here = at(rows, n_train=n, seed=seed)
        for (name, level), error in one_cell.test_errors(X, data.Y - mean, n, seed, levels, beta).items():
            (found,) = at(here, ablation=name, **({} if level is None else {"level": level}))["test_mse"]
            assert found == pytest.approx(error, rel=1e-8, abs=1e-18), (name, level, n, seed)
        inverse, (plain,) = np.linalg.pinv(X[train], rcond=1e-12), at(here, ablation="none").to_dict("records")
        variance = X[test] @ inverse @ (data.Y[train] - mean - X[train] @ beta)
        bias = X[test] @ (inverse @ X[train] - np.eye(10)) @ beta
        assert plain["variance_mean_of_squares"] == pytest.approx((variance**2).mean(), rel=1e-8)
        assert plain["bias_mean_of_squares"] == pytest.approx((bias**2).mean(), rel=1e-8, abs=1e-15)
        assert plain["mode_sum_error"] < 1e-10
        assert plain["rounding"] > 0


@pytest.mark.parametrize("name", ["linear", "random_relu", "legendre"])
def test_with_an_intercept_the_features_have_a_last_column_of_ones(name):
    changes = {"models": [name], "intercept": True, "n_train": [5, 10, 11, 12, 40]}
    if name != "linear":
        changes |= {"n_parameters": [10], "datasets": ["diabetes" if name == "random_relu" else "linear_plus_cosine"]}
    rows = rows_of(**changes)
    data = load_dataset(rows["dataset"][0])
    for row, n, seed in cells(rows):
        train, test = split(data.n_rows, n, seed)
        features = np.column_stack([feature_map(MODELS[name], data.X, 10, seed), np.ones(data.n_rows)])
        W = np.linalg.pinv(features[train], rcond=1e-11) @ data.Y[train]
        assert row["test_mse"] == pytest.approx(np.square(features[test] @ W - data.Y[test]).mean(), rel=1e-6)
        assert (row["n_parameters"], row["rank"]) == (11, min(n, 11))
        if n == 40:  # the same fit as with an intercept beside the features
            fit = LinearRegression().fit(features[train, :10], data.Y[train])
            error = np.square(fit.predict(features[test, :10]) - data.Y[test]).mean()
            assert row["test_mse"] == pytest.approx(error, rel=1e-6)


def test_without_a_constant_targets_that_are_not_centred_cost_what_an_intercept_saves():
    """Raw diabetes: y is 152 ± 77, and features centred at zero say nothing of the 152."""
    without, with_one, centred = (
        at(rows_of(n_train=[40], seeds=9, **how), n_train=40)["test_mse"].median()
        for how in ({}, {"intercept": True}, {"preprocess": "center"})
    )
    assert without > 4 * with_one
    assert with_one == pytest.approx(centred, rel=0.05)


def test_ablations_with_an_intercept_are_those_of_the_wider_features_and_the_constant_stays_one():
    data = load_dataset("diabetes")
    X = np.column_stack([data.X, np.ones(442)])
    beta = np.linalg.lstsq(X, data.Y, rcond=None)[0]
    rows = rows_of(intercept=True, ablations=ABLATIONS, n_train=[5, 11, 40], seeds=2)
    levels = [("none", None), *ABLATIONS.levels("diabetes")]
    for n, seed in ((n, seed) for n in (5, 11, 40) for seed in range(2)):
        train, test = split(442, n, seed)
        here = at(rows, n_train=n, seed=seed)
        for (name, level), error in one_cell.test_errors(X, data.Y, n, seed, levels, beta).items():
            (found,) = at(here, ablation=name, **({} if level is None else {"level": level}))["test_mse"]
            if name != "adversarial_test":
                assert found == pytest.approx(error, rel=1e-7, abs=1e-12 * data.Y.var()), (name, level, n, seed)
                continue
            U, _, Vt = np.linalg.svd(X[train], full_matrices=False)
            last = Vt[-1] * np.sign(U[:, -1] @ data.Y[train, 0])
            moved = X[test] + level * np.r_[last[:10], 0]
            expected = np.square(moved @ np.linalg.pinv(X[train]) @ data.Y[train] - data.Y[test]).mean()
            assert found == pytest.approx(expected, rel=1e-7)
            assert level == 0 or abs(found / error - 1) > 1e-9  # what a row of another constant would do


@pytest.mark.parametrize("engine", ["gram", "autograd"])
@pytest.mark.parametrize("how", [{"intercept": True}, *({"preprocess": name} for name in BY_TRAINING)])
def test_training_takes_real_steps_on_what_the_cell_sees_and_ends_at_its_pseudoinverse(how, engine):
    data, steps = load_dataset("diabetes", "standardize"), 300
    gd = Training(steps=steps, checkpoints_per_decade=1, engine=engine)
    if "intercept" in how:
        how = {**how, "preprocess": "standardize"}
    sizes = [3, 11, 40]
    tables = computed(study(estimators=["min_norm", "gd"], n_train=sizes, seeds=1, gd=gd, **how))
    for row, n, _ in cells(at(tables.results, estimator="gd")):
        train, test = split(442, n, 0)
        if how["preprocess"] in BY_TRAINING:
            raw = load_dataset("diabetes")
            X, mean, _ = seen(raw, how["preprocess"], train)
            Y = raw.Y - mean
        else:
            X, Y = np.column_stack([data.X, np.ones(442)]), data.Y
        *_, state = gradient_descent(X[train], Y[train], [steps])
        assert row["step"] == state.steps
        assert row["test_mse"] == pytest.approx(np.square(X[test] @ state.W - Y[test]).mean(), rel=1e-8)
        limit = min_norm_solution(X[train], Y[train])
        gap = np.linalg.norm(state.W - limit) / np.linalg.norm(limit)
        assert row["distance"] == pytest.approx(gap, rel=1e-5)
        if n == 3:
            assert gap < 1e-3
    assert tables.curves["deviation"].max() < 1e-10
    closed = at(tables.results, estimator="gd_closed_form")["test_mse"].to_numpy()
    np.testing.assert_allclose(closed, at(tables.results, estimator="gd")["test_mse"], rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_one_training_row_minus_its_own_mean_leaves_zero_which_any_training_keeps(dtype):
    rows = rows_of(
        estimators=["min_norm", "gd"],
        n_train=[1, 2],
        preprocess="standardize_train",
        gd=Training(steps=5, dtype=dtype),
        trainings={"adam": {"optimizer": "adam", "step_size": 0.01}},
    )
    data = load_dataset("diabetes")
    for row, _, seed in cells(at(rows, n_train=1, ablation="none")):
        train, test = split(442, 1, seed)
        assert row["test_mse"] == pytest.approx(np.square(data.Y[test] - data.Y[train]).mean(), rel=1e-12)
        assert (row["train_mse"], row["weight_norm"], row["distance"]) == (0, 0, 0)
    assert (at(rows, n_train=2)["weight_norm"] > 0).all()


def test_trainings_of_other_preprocessings_stand_beside_each_other_with_thresholds_of_their_own():
    trainings = {"scaled": {"preprocess": "standardize_train"}}
    run = as_run(study(estimators=["min_norm", "gd"], gd=Training(steps=5), trainings=trainings))
    found = {sweep.seen[1]: sweep.threshold for sweep in sweeps(run)}
    assert found == {"none": 10, "standardize_train": 11}


@pytest.mark.parametrize("how", [{"intercept": True, "preprocess": "center"}, {"preprocess": "standardize_train"}])
def test_claims_of_the_threshold_hold_at_one_more_than_the_columns(how):
    run = as_run(
        study(n_train=[3, 5, 8, 10, 11, 12, 14, 22, 44], seeds=20, ablations=Ablations(no_residuals=True), **how)
    )
    (sweep,) = sweeps(run)
    assert sweep.threshold == 11
    medians = {n: sweep.at(sweep.rows, n) for n in (5, 11, 22)}
    assert medians[11] > 5 * max(medians[5], medians[22])
    assert {claim.verdict for claim in decide(run)} == {"holds"}


def test_an_autoencoder_may_have_an_intercept_too():
    rows = rows_of(datasets=["digits"], models=["linear_autoencoder"], intercept=True, n_train=[20, 65, 200], seeds=2)
    X = load_dataset("digits").X
    features = np.column_stack([X, np.ones(len(X))])
    for row, n, seed in cells(rows):
        train, test = split(len(X), n, seed)
        W = np.linalg.pinv(features[train], rcond=1e-11) @ X[train]
        assert row["test_mse"] == pytest.approx(np.square(features[test] @ W - X[test]).mean(), rel=1e-6)
        assert row["n_parameters"] == 65


@pytest.mark.parametrize(
    "how", [{"intercept": True}, {"preprocess": "center_train"}, {"preprocess": "standardize_train"}]
)
def test_ridge_leaves_the_constant_free_whichever_way_it_is_fitted(how):
    data = load_dataset("diabetes")
    levels = {"ridge": {"levels": [1e-9, 1.0], "relative": False}}
    rows = computed(study_of({**as_dict(study(n_train=[5, 11, 12, 40], **how)), **levels, "estimators": RIDGE})).results
    for row, n, seed in cells(at(rows, estimator="ridge")):
        train, test = split(442, n, seed)
        X = data.X if "intercept" in how else seen(data, how["preprocess"], train)[0]
        fit = Ridge(alpha=row["level"], solver="svd").fit(X[train], data.Y[train])
        error = np.square(fit.predict(X[test]).reshape(-1, 1) - data.Y[test]).mean()
        assert row["test_mse"] == pytest.approx(error, rel=1e-8)
        assert row["penalty"] == row["level"]
    for row, n, seed in cells(at(rows, estimator="ridge_loo", n_train=40)):
        train, test = split(442, n, seed)
        X = data.X if "intercept" in how else seen(data, how["preprocess"], train)[0]
        fit = Ridge(alpha=row["penalty"], solver="svd").fit(X[train], data.Y[train])
        assert row["test_mse"] == pytest.approx(
            np.square(fit.predict(X[test])[:, None] - data.Y[test]).mean(), rel=1e-8
        )
        alone = [np.delete(train, i) for i in range(n)]
        by_hand = [Ridge(alpha=row["penalty"], solver="svd").fit(X[some], data.Y[some]) for some in alone]
        left = [fit.predict(X[[i]]).item() - data.Y[i, 0] for fit, i in zip(by_hand, train, strict=True)]
        assert row["loo_mse"] == pytest.approx(np.square(left).mean(), rel=1e-6)
    # As λ → 0 it tends to its own limit, which is X⁺y where the constant is no column that least norm keeps small.
    small, large = (at(rows, estimator="ridge", level=level)["distance"].median() for level in (1e-9, 1.0))
    assert small < 1e-3 < 0.1 < large


def test_targets_that_are_constant_up_to_rounding_have_no_variance():
    random = np.random.default_rng(0)
    constant, other = np.full(60, 0.1), random.standard_normal(60)
    assert constant.var() > 0  # control: of rounding
    assert _of_targets(constant[:, None])["target_variance"] == 0
    both = _of_targets(np.stack([constant, other], 1))
    assert both["target_variance"] == pytest.approx(other.var() / 2)
    assert _of_targets(1e6 + 1e-3 * other[:, None])["target_variance"] == pytest.approx(1e-6 * other.var(), rel=1e-4)


def test_training_targets_that_an_ablation_moved_are_no_test_targets():
    """Of ten outputs, which the training rows are asked once: errors of the same readouts on the same test rows."""
    digits = study(datasets=["digits"], n_train=[20, 70], seeds=2)
    (batch,) = plan(digits)
    stack = build_stack(digits, load_dataset("digits"), batch)
    own, W = stack.problem, 0.9 * stack.problem.beta
    moved = adversarial_train(own, 10.0)
    plain, alone = (stack.measure([problem], [W], [W]) for problem in (own, moved))
    together = stack.measure([own, moved], [W, W], [W, W])
    for name in ("train_mse", "test_mse"):
        np.testing.assert_allclose(np.concatenate([plain[name], alone[name]]), together[name], rtol=1e-12)
    np.testing.assert_allclose(alone["test_mse"], plain["test_mse"], rtol=1e-12)
    assert (alone["train_mse"] > 1.5 * plain["train_mse"]).all()


def combinations(dtype, offset=0.0):
    """Six columns and four that are combinations of them up to rounding; y of the six."""
    random = np.random.RandomState(0)
    A = random.randn(200, 6) + offset * random.rand(6)
    A = A.astype(dtype)
    X = np.hstack([A, A @ random.randint(-2, 3, (6, 4)).astype(dtype)])
    return X, (A - A.mean(0)) @ random.randn(6) + 0.5 * random.randn(200)


@pytest.mark.parametrize(
    ("dtype", "offset", "how", "intercept"),
    [("f4", 0, "none", False), ("f8", 1e7, "center", False), ("f8", 1e7, "center", True), ("f4", 0, "none", True)],
)
def test_the_best_readout_and_ridge_know_what_rounding_is_no_mode(dtype, offset, how, intercept, tmp_path, monkeypatch):
    """β* has the modes that X⁺Y has, so that what it can learn is learnt; and least ridge is near X⁺Y."""
    without_views(monkeypatch)
    X, y = combinations(dtype, offset)
    asked = {
        **{"n_train": [50], "seeds": 3, "preprocess": how, "intercept": intercept},
        **{"estimators": ["min_norm", "ridge", "ridge_loo"], "ridge": {"levels": [1e-4], "relative": True}},
        "ablations": {"no_residuals": True},
    }
    found = load_results(run_study(asked, tmp_path / "run", datasets=[Dataset(X, y, name="own")]))
    assert set(found["rank"]) == {6 + intercept}
    learnable = found[(found["ablation"] == "no_residuals") & (found["estimator"] == "min_norm")]
    assert (learnable["train_mse"] < 1e-10 * y.var()).all()
    plain = found[found["ablation"] == "none"].set_index("estimator")
    assert (plain.loc["ridge", "distance"] < 1e-3).all()
    assert (plain["weight_norm"] < 100).all()


@pytest.mark.parametrize(
    ("dtype", "how", "offset", "rank"),
    [
        ("f4", "none", 0, 2),
        ("f8", "center", 1e6, 2),
        ("f8", "standardize", 1e6, 2),
        ("f4", "standardize_train", 2e3, 3),  # and the mean of the rows
        ("f4", "center", 2e3, 2),
    ],
)
def test_what_rounding_makes_of_a_combination_is_no_mode(dtype, how, offset, rank, tmp_path, monkeypatch):
    """Of the precision of the data, and of the size that they had before means were taken from them."""
    without_views(monkeypatch)
    random = np.random.default_rng(0)
    a, b = random.standard_normal((2, 60)) * 10 + np.array([[offset], [offset / 2]])
    y = a - b + random.standard_normal(60)

    def rank_of(noise):
        X = np.stack([a, b, 0.3 * a + 0.7 * b + noise * random.standard_normal(60)], 1).astype(dtype)
        asked = {"n_train": [30], "seeds": 2, "preprocess": how, "estimators": ["min_norm"]}
        run = run_study(asked, tmp_path / f"run {noise}", datasets=[Dataset(X, y, name="own")])
        return set(load_results(run)["rank"])

    assert rank_of(0) == {rank}
    assert rank_of(0.1) == {rank + 1}  # control: a mode of its own
