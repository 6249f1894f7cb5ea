"""The scikit-learn estimators: their rules, their limits, where they stop, and what they say of themselves."""

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, LearningCurveDisplay, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from gdstudy import GradientDescentClassifier, GradientDescentRegressor, Status, load_dataset, min_norm_solution
from gdstudy.closed_form.leave_one_out import FOLDS, MOST_LEFT_OUT
from gdstudy.experiment.fit import Recipe, fit_readout

Regressor, Classifier = GradientDescentRegressor, GradientDescentClassifier
unfinished = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def rows(N, P, k=None, seed=0, noise=1.0):
    random = np.random.default_rng([seed, N, P])
    X = 2 + random.standard_normal((N, P))
    W = random.standard_normal((P, k or 1))
    y = 5 + X @ W + noise * random.standard_normal((N, k or 1))
    return X, (y if k else y[:, 0]), random.uniform(0.5, 3, N)


def centred(X, y, weights, intercept=True):
    """Rows as they are trained on, and the means: by hand."""
    y = y.reshape(len(y), -1)
    x_mean, y_mean = (np.average(v, axis=0, weights=weights) if intercept else np.zeros(v.shape[1]) for v in (X, y))
    root = np.sqrt(weights)[:, None]
    return root * (X - x_mean), root * (y - y_mean), x_mean, y_mean


def by_hand(X, y, weights, intercept, steps):
    """W and b after so many steps of W ← W − η Xᵀ(XW − Y), η = 1/σ₁²."""
    x, t, x_mean, y_mean = centred(X, y, weights, intercept)
    eta, W = 1 / np.linalg.norm(x, 2) ** 2, np.zeros((x.shape[1], t.shape[1]))
    for _ in range(steps):
        W = W - eta * x.T @ (x @ W - t)
    return W, y_mean - x_mean @ W


# scikit-learn's rules


def broken_rules(estimator):
    found = check_estimator(estimator, on_skip=None, on_fail=None)
    assert len(found) > 50
    # Said to be for the arrays of other libraries, which both estimators refuse; scikit-learn skips it unless asked.
    other = [check for check in found if check["status"] != "passed" and check["check_name"] != "check_array_api_input"]
    return {check["check_name"] for check in other}


@unfinished
@pytest.mark.parametrize(
    "estimator",
    [
        Regressor(),
        Classifier(),
        Regressor(early_stopping="loo", momentum=0.5),
        Classifier(early_stopping="loo"),
        Regressor(fit_intercept=False, tolerance=1e-9, max_steps=1000),
        Classifier(fit_intercept=False, step_size=1e-3, max_steps=100),
        Classifier(optimizer="adam", step_size=0.01, max_steps=20),
        Regressor(warm_start=True, max_steps=500),
    ],
    ids=str,
)
def test_all_rules_of_scikit_learn_hold(estimator):
    assert broken_rules(estimator) == set()


class Unweighted(Regressor):
    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y)


def test_an_estimator_that_forgets_the_weights_breaks_a_rule():
    assert "check_sample_weight_equivalence_on_dense_data" in broken_rules(Unweighted(max_steps=10_000))


# The limit


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(("N", "P", "k"), [(60, 8, None), (60, 8, 3), (8, 20, None), (8, 20, 2), (12, 40, 1)])
def test_at_convergence_it_is_linear_regression_and_the_minimum_norm(N, P, k, intercept, weighted):
    X, y, weights = rows(N, P, k)
    weights = weights if weighted else np.ones(N)
    found = Regressor(fit_intercept=intercept, tolerance=1e-12).fit(X, y, weights)
    theirs = LinearRegression(fit_intercept=intercept).fit(X, y, weights)
    x, t, x_mean, y_mean = centred(X, y, weights, intercept)
    W = np.linalg.pinv(x, rcond=1e-10) @ t
    assert (found.status_, found.coef_.shape) == (Status.CONVERGED, theirs.coef_.shape)
    for ours, exact in ((found.coef_, theirs.coef_), (found.coef_, W.T.reshape(theirs.coef_.shape))):
        np.testing.assert_allclose(ours, exact, rtol=0, atol=1e-6 * np.abs(exact).max())
    np.testing.assert_allclose(found.intercept_, theirs.intercept_, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.intercept_, (y_mean - x_mean @ W).reshape(np.shape(found.intercept_)), atol=1e-6)
    np.testing.assert_allclose(found.predict(X), theirs.predict(X), rtol=1e-6, atol=1e-6)
    assert found.predict(X).shape == y.shape
    assert found.certificate_.distance < 1e-6
    assert found.certificate_.row_space_leak < 1e-12


@unfinished
def test_a_few_steps_are_not_the_limit():
    X, y, _ = rows(60, 8)
    found = Regressor(max_steps=3).fit(X, y)
    gap = np.linalg.norm(found.coef_ - LinearRegression().fit(X, y).coef_) / np.linalg.norm(found.coef_)
    assert gap > 1e-2
    assert found.certificate_.distance == pytest.approx(gap, rel=0.2)


def test_a_weight_counts_rows_and_zero_leaves_one_out():
    X, y, _ = rows(30, 5)
    counts = np.random.default_rng(0).integers(0, 4, 30)
    one, other = (Regressor(tolerance=1e-12) for _ in range(2))
    one.fit(X, y, counts), other.fit(X.repeat(counts, 0), y.repeat(counts))
    np.testing.assert_allclose(one.coef_, other.coef_, rtol=1e-8)
    assert np.abs(one.coef_ - Regressor(tolerance=1e-12).fit(X, y).coef_).max() > 1e-3  # control


@pytest.mark.parametrize("early", [None, "loo"])
def test_float32_rows_are_trained_in_float32(early):
    X, y, _ = rows(60, 8)
    single = Regressor(early_stopping=early).fit(X.astype(np.float32), y)
    double = Regressor(early_stopping=early).fit(X, y)
    assert (single.coef_.dtype, single.predict(X.astype(np.float32)).dtype) == (np.float32, np.float32)
    assert double.coef_.dtype == np.float64
    np.testing.assert_allclose(single.coef_, double.coef_, rtol=1e-3)


def test_large_means_do_not_hide_small_differences():
    """Raw diabetes-like columns far from zero: centring once leaves the rounding of the means."""
    X, y, _ = rows(10, 30)
    near, far = (Regressor(tolerance=1e-12).fit(X + shift, y) for shift in (0.0, 1e6))
    np.testing.assert_allclose(far.coef_, near.coef_, rtol=1e-6, atol=1e-7)
    assert far.certificate_.rank == 9  # one row is spent on the intercept


@pytest.mark.parametrize("early", [None, "loo"])
@pytest.mark.parametrize(("offset", "dtype"), [(0, "f8"), (1e4, "f8"), (1e6, "f8"), (2e3, "f4")])
def test_what_rounding_makes_of_a_combination_is_no_mode(offset, dtype, early):
    random = np.random.default_rng(0)
    a, b = random.standard_normal((2, 60)) * 10 + np.array([[offset], [offset / 2]])
    X, y = np.stack([a, b, 0.3 * a + 0.7 * b], 1).astype(dtype), a - b + random.standard_normal(60)
    found = Regressor(early_stopping=early).fit(X, y)
    assert found.certificate_.rank == 2
    assert found.certificate_.distance < 1e-2
    if early:
        assert found.stopping_.errors[-1] < 2
    X[:, 2] += 0.1 * random.standard_normal(60).astype(dtype)  # control: a mode of its own
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert Regressor(max_steps=10).fit(X, y).certificate_.rank == 3


@pytest.mark.parametrize(("N", "P", "rank"), [(40, 39, 20), (31, 30, 16)])
def test_rows_left_out_are_predicted_by_modes_that_count_in_the_precision_of_the_rows(N, P, rank):
    """Columns that are combinations of others up to float32's rounding: to the end is X⁺y of all rows but one."""
    random = np.random.RandomState(1)
    A = random.randn(N, rank).astype("f4")
    X = np.hstack([A, A @ random.randn(rank, P - rank).astype("f4")])
    y = A @ random.randn(rank) + 0.5 * random.randn(N)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = Regressor(early_stopping="loo", fit_intercept=False, max_steps=1000).fit(X, y)
    others = [np.arange(N) != i for i in range(N)]
    exact = np.mean([(y[~some] - X[~some] @ min_norm_solution(X[some], y[some])) ** 2 for some in others])
    assert fitted.stopping_.errors[-1] == pytest.approx(exact, rel=1e-3)


def test_a_frame_has_the_precision_of_its_coarsest_column():
    random = np.random.RandomState(0)
    a, b = random.randn(2, 60).astype("f4")
    y, single = a + random.randn(60), pd.DataFrame({"a": a, "b": b, "c": a + b * np.float32(0.3)})
    mixed = single.assign(n=random.randint(0, 50, 60))  # which NumPy makes float64 of
    assert Regressor(max_steps=20_000).fit(mixed, y).certificate_.rank == 3
    labels = np.where(y > 0, "up", "down")
    assert Classifier(max_steps=20_000, tolerance=1e-3).fit(mixed, labels).certificate_.rank == 3
    stopped = [Regressor(early_stopping="loo", max_steps=2000).fit(of, y).stopping_ for of in (single, mixed)]
    assert max(found.errors[-1] for found in stopped) < 2  # to the end they err as X⁺y does


@unfinished
@pytest.mark.parametrize(("step_size", "scale"), [("auto", 1e-90), ("auto", 1e80), (1e-3, 2.0**-201), (1e-3, 2.0**160)])
def test_only_ratios_of_weights_matter_also_in_float32(step_size, scale):
    X, y, w = rows(30, 3)
    X, options = X.astype("f4"), {"max_steps": 300, "tolerance": 1e-3}
    one = Regressor(step_size=step_size, **options).fit(X, y, w)
    # A number is in units of the weights.
    step_size = step_size if step_size == "auto" else step_size / scale
    other = Regressor(step_size=step_size, **options).fit(X, y, scale * w)
    np.testing.assert_allclose(other.coef_, one.coef_, rtol=1e-5)
    assert other.n_iter_ == one.n_iter_
    sigma, scaled = (fit.certificate_.singular_values for fit in (one, other))
    np.testing.assert_allclose(scaled, np.sqrt(scale) * sigma, rtol=1e-6)


@pytest.mark.parametrize(
    ("size", "options", "said"),
    [
        (1e45, {}, "y: as they are trained on, its values are of the order of .*, which float32 cannot hold"),
        (1e-50, {}, "which float32 cannot hold"),
        (1e-36, {}, "which float32 cannot hold"),
        (1e18, {"optimizer": "adam", "step_size": 0.1}, "optimizer='adam': the gradient at zero"),
    ],
)
def test_what_float32_cannot_hold_is_said(size, options, said):
    X, y, _ = rows(30, 3)
    with pytest.raises(ValueError, match=said):
        Regressor(**options).fit(X.astype("f4"), size * y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert Regressor(**options, max_steps=20).fit(X, size * y).coef_.any()  # control


def test_weights_of_zero_leave_nothing_to_fit():
    X, y, _ = rows(30, 3)
    recipe = Recipe("auto", 10, 1e-3, "gd", 0.0, None)
    with pytest.raises(ValueError, match="sample_weight is 0 in all rows"):
        fit_readout(X, y[:, None], np.zeros(30), True, recipe)


def test_of_a_constant_there_is_nothing_to_learn():
    """Nor where a column varies in one row alone: without it the others' mean is off by rounding."""
    random = np.random.default_rng(0)
    y = random.standard_normal(7)
    flat = Regressor().fit(np.full((7, 2), 0.1), y)
    assert (flat.coef_ == 0).all()
    assert flat.intercept_ == pytest.approx(y.mean())
    one = Regressor(early_stopping="loo").fit(np.where(np.arange(7) == 3, 0.3, 0.1)[:, None], y)
    others = [np.delete(np.arange(7), i) for i in range(7)]
    missed = [y[i] - (y[rest].mean() if i == 3 else y[rest[rest != 3]].mean()) for i, rest in enumerate(others)]
    assert one.stopping_.errors[-1] == pytest.approx(np.square(missed).mean())


# The path


@unfinished
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(("N", "P"), [(40, 6), (7, 7), (6, 12)])
def test_the_path_is_the_recursion_step_by_step(N, P, weighted):
    X, y, weights = rows(N, P)
    weights = weights if weighted else np.ones(N)
    path = Regressor(max_steps=100, tolerance=0).fit(X, y, weights).path_
    assert len(path.steps) == len(path.coefs) == len(path.intercepts) > 5
    for t, coef, intercept in zip(path.steps, path.coefs, path.intercepts, strict=True):
        W, b = by_hand(X, y, weights, True, t)
        np.testing.assert_allclose(coef, W[:, 0], rtol=1e-9, atol=1e-10)
        assert intercept == pytest.approx(b[0], rel=1e-9)
        # The intercept is the best for these weights: errors have no mean.
        assert np.average(y - X @ coef - intercept, weights=weights) == pytest.approx(0, abs=1e-9)


@unfinished
def test_a_warm_start_goes_on_where_the_last_fit_ended():
    X, y, _ = rows(20, 8)
    twice, once = Regressor(max_steps=50, warm_start=True), Regressor(max_steps=100)
    twice.fit(X, y).fit(X, y)
    np.testing.assert_allclose(twice.coef_, once.fit(X, y).coef_, rtol=1e-10)
    cold = Regressor(max_steps=50).fit(X, y).fit(X, y)
    assert np.abs(cold.coef_ - once.coef_).max() > 1e-6  # control
    done = Regressor(warm_start=True).fit(X, y).fit(X, y)
    assert (done.status_, done.n_iter_ <= 1) == (Status.CONVERGED, True)


def test_momentum_needs_fewer_steps_to_the_same_limit():
    X, y, _ = rows(12, 11)
    plain, heavy = (Regressor(momentum=m, tolerance=1e-10, max_steps=10**6).fit(X, y) for m in (0.0, 0.95))
    np.testing.assert_allclose(heavy.coef_, plain.coef_, rtol=1e-4)
    assert heavy.n_iter_ < plain.n_iter_ / 5
    assert np.isnan(heavy.certificate_.steps_to_tolerance)  # known without momentum alone


@unfinished
def test_adam_leaves_the_row_space_and_says_so():
    X, y, _ = rows(8, 20)
    adam = Regressor(optimizer="adam", step_size=0.01, max_steps=3000).fit(X, y)
    heavy = Regressor(momentum=0.9, max_steps=3000).fit(X, y)
    assert heavy.certificate_.row_space_leak < 1e-10
    assert adam.certificate_.row_space_leak > 1e-2
    assert adam.certificate_.distance > 1e-2


# What it says of itself


def test_ordinary_standardised_data_converge_by_default():
    """Warnings are errors here."""
    for load in ("diabetes", "wine", "iris", "breast_cancer", "digits", "linnerud"):
        X, y = getattr(datasets, f"load_{load}")(return_X_y=True)
        found = Regressor().fit(StandardScaler().fit_transform(X), y)
        assert (found.status_, str(found.certificate_)[:9]) == (Status.CONVERGED, "converged")


@pytest.mark.parametrize(("N", "P"), [(40, 8), (13, 12), (12, 20)])
def test_the_warning_says_how_many_steps_are_missing(N, P):
    X, y, _ = rows(N, P)
    with pytest.warns(ConvergenceWarning, match=r"max_steps after 20 steps.* more steps would.*To mend it, raise"):
        short = Regressor(max_steps=20).fit(X, y)
    needed = 20 + int(short.certificate_.steps_to_tolerance)
    assert Regressor(max_steps=needed).fit(X, y).status_ == Status.CONVERGED
    with pytest.warns(ConvergenceWarning) as said:
        Regressor(max_steps=needed - 1).fit(X, y)
    assert said[0].filename == __file__  # of whoever called fit


def test_so_does_it_after_a_start_farther_away_than_zero():
    X, y, _ = rows(40, 8)
    far = 1000 * Regressor().fit(X, y).coef_

    def started(max_steps):
        estimator = Regressor(max_steps=max_steps, warm_start=True)
        estimator.coef_ = far
        return estimator.fit(X, y)

    with pytest.warns(ConvergenceWarning):
        needed = 20 + int(started(20).certificate_.steps_to_tolerance)
    assert started(needed).status_ == Status.CONVERGED
    with pytest.warns(ConvergenceWarning):
        started(needed - 1)


def test_a_step_size_beyond_the_stable_one_is_said_to_diverge():
    X, y, _ = rows(40, 8)
    limit = 2 / np.linalg.norm(X - X.mean(0), 2) ** 2
    assert Regressor(step_size=0.95 * limit).fit(X, y).status_ == Status.CONVERGED
    with pytest.warns(ConvergenceWarning, match="diverged.*lower the step size"):
        found = Regressor(step_size=1.2 * limit).fit(X, y)
    assert np.isinf(found.certificate_.steps_to_tolerance)
    with pytest.warns(ConvergenceWarning, match="diverged"):
        Regressor(step_size=20 * limit, early_stopping="loo").fit(X, y)


def test_the_certificate_has_what_is_left_in_each_mode():
    X, y, weights = rows(30, 6)
    with pytest.warns(ConvergenceWarning):
        found = Regressor(max_steps=10).fit(X, y, weights)
    x, t, *_ = centred(X, y, weights)
    U, s, _ = np.linalg.svd(x, full_matrices=False)
    certificate = found.certificate_
    np.testing.assert_allclose(certificate.singular_values, s)
    left = (1 - (s / s[0]) ** 2) ** 10 * np.abs(U.T @ t[:, 0]) / s
    np.testing.assert_allclose(certificate.remaining, left, rtol=1e-6, atol=1e-9)
    assert certificate.slowest_singular_value == pytest.approx(s[-1])
    assert certificate.slowest_error_share == pytest.approx(left[-1] ** 2 / np.square(left).sum())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_steps": 0}, "max_steps=0 must be a whole number"),
        ({"max_steps": 2.5}, "max_steps=2.5"),
        ({"tolerance": 1.0}, "tolerance=1.0 must lie in"),
        ({"step_size": 0}, "step_size=0 must be 'auto'"),
        ({"step_size": "fast"}, "step_size='fast' must be 'auto'"),
        ({"momentum": 1.0}, r"momentum=1.0 must lie in \[0, 1\)"),
        ({"optimizer": "newton"}, "optimizer='newton' is none"),
        ({"optimizer": "adam"}, "step_size='auto' is 1/σ₁²"),
        ({"optimizer": "adam", "step_size": 0.1, "momentum": 0.5}, "adam has no 'momentum'"),
        ({"early_stopping": True}, "early_stopping=True must be None or 'loo'"),
        ({"early_stopping": "loo", "optimizer": "adam", "step_size": 0.1}, "knows gradient descent alone"),
    ],
)
def test_what_cannot_be_is_said(options, said):
    X, y, _ = rows(20, 3)
    with pytest.raises(ValueError, match=said):
        Regressor(**options).fit(X, y)


def test_warm_starts_that_do_not_fit_are_refused():
    X, y, _ = rows(20, 3)
    fitted = Regressor(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="3 features and 1 outputs, X and y have 2 and 1"):
        fitted.fit(X[:, :2], y)
    with pytest.raises(ValueError, match="has seen the rows"):
        fitted.set_params(early_stopping="loo").fit(X, y)
    classifier = Classifier(warm_start=True).fit(X, y > y.mean())
    with pytest.raises(ValueError, match="other classes"):
        classifier.fit(X, np.where(y > y.mean(), "high", "low"))
    with pytest.raises(ValueError, match="one class"):
        Classifier().fit(X, np.ones(20))


# Early stopping


@unfinished
@pytest.mark.parametrize(("weighted", "beta"), [(True, 0.0), (False, 0.0), (True, 0.6)])
@pytest.mark.parametrize(("N", "P"), [(9, 5), (6, 5), (5, 9)])
def test_the_errors_it_chooses_from_are_those_of_rows_left_out(N, P, weighted, beta):
    X, y, weights = rows(N, P, noise=2.0)
    weights = weights if weighted else np.ones(N)
    found = Regressor(early_stopping="loo", momentum=beta, max_steps=1000).fit(X, y, weights)
    eta = 1 / np.linalg.norm(centred(X, y, weights)[0], 2) ** 2
    for t in (1, 10, 100, np.inf):
        missed = []
        for i in range(N):
            kept = np.arange(N) != i
            x, target, x_mean, y_mean = centred(X[kept], y[kept], weights[kept])
            W = last = np.linalg.pinv(x, rcond=1e-10) @ target if t == np.inf else np.zeros((P, 1))
            for _ in range(0 if t == np.inf else t):
                W, last = W - eta * x.T @ (x @ W - target) + beta * (W - last), W
            missed.append(((X[i] - x_mean) @ W + y_mean - y[i])[0] ** 2)
        error = found.stopping_.errors[found.stopping_.steps == t]
        np.testing.assert_allclose(error, np.average(missed, weights=weights), rtol=1e-6)


def test_the_weights_are_trained_to_the_chosen_step():
    X, y, weights = rows(20, 20, noise=3.0)
    found = Regressor(early_stopping="loo", tolerance=0.9).fit(X, y, weights)
    t = found.stopping_.best
    assert Regressor(tolerance=0.9).fit(X, y, weights).n_iter_ < t  # a tolerance that would be met before
    assert (found.status_, found.n_iter_, found.path_.steps[-1]) == (Status.STOPPED_EARLY, t, t)
    W, b = by_hand(X, y, weights, True, int(t))
    np.testing.assert_allclose(found.coef_, W[:, 0], rtol=1e-9)
    assert found.intercept_ == pytest.approx(b[0])
    assert found.stopping_.errors.min() == found.stopping_.errors[found.stopping_.steps == t]
    assert found.stopping_.errors[-1] > 2 * found.stopping_.errors.min()  # at the threshold


def test_of_a_step_size_that_is_not_stable_the_end_is_no_pseudoinverse():
    X, y, weights = rows(30, 3, noise=0.1)
    limit = 2 / np.linalg.norm(centred(X, y, weights)[0], 2) ** 2
    for size in (1.01, 20):
        with pytest.warns(ConvergenceWarning, match="diverged.*lower the step size"):
            found = Regressor(step_size=size * limit, early_stopping="loo").fit(X, y, weights)
        assert (found.stopping_.best, found.stopping_.errors[-1]) == (np.inf, np.inf)
    stable = Regressor(step_size=0.99 * limit, early_stopping="loo").fit(X, y, weights)
    assert np.isfinite(stable.stopping_.errors[-1])


def test_large_targets_lose_nothing_before_they_are_centred():
    X, y, _ = rows(60, 8)
    near, far = (Regressor().fit(X.astype(np.float32), y + shift) for shift in (0.0, 2.0**24))
    assert far.coef_.dtype == np.float32
    np.testing.assert_allclose(far.coef_, near.coef_, rtol=1e-3)


def test_without_noise_it_goes_to_the_end():
    X, y, _ = rows(60, 5, noise=0.0)
    found = Regressor(early_stopping="loo").fit(X, y)
    assert (found.stopping_.best, found.status_) == (np.inf, Status.CONVERGED)
    assert Regressor().fit(X, y).stopping_ is None


def test_a_row_is_not_left_out_where_its_copy_stays():
    X, y, _ = rows(15, 12, noise=3.0)
    once = Regressor(early_stopping="loo").fit(X, y).stopping_
    copies = Regressor(early_stopping="loo").fit(np.r_[X, X], np.r_[y, y]).stopping_
    np.testing.assert_allclose(copies.errors, once.errors, rtol=1e-6)
    assert copies.best == once.best


def test_beyond_two_hundred_rows_folds_do_not_depend_on_their_order():
    X, y, _ = rows(MOST_LEFT_OUT + 30, 10, noise=3.0)
    order = np.random.default_rng(0).permutation(len(X))
    found, shuffled = (Regressor(early_stopping="loo").fit(x, t).stopping_ for x, t in ((X, y), (X[order], y[order])))
    np.testing.assert_allclose(found.errors, shuffled.errors, rtol=1e-9)
    # The limit's error is that of the folds: every fifth of the rows sorted.
    sort, missed = np.lexsort(X.T[::-1]), np.empty(len(X))
    for fold in range(FOLDS):
        kept = np.arange(len(X)) % FOLDS != fold
        fit = LinearRegression().fit(X[sort[kept]], y[sort[kept]])
        missed[~kept] = fit.predict(X[sort[~kept]]) - y[sort[~kept]]
    assert found.errors[-1] == pytest.approx(np.square(missed).mean(), rel=1e-6)


def ten_data_sets():
    for load in ("diabetes", "linnerud", "wine", "iris", "breast_cancer", "digits"):
        X, y = getattr(datasets, f"load_{load}")(return_X_y=True)
        yield load, X, np.eye(y.max() + 1)[y] if y.dtype.kind == "i" else y
    yield "friedman1", *datasets.make_friedman1(400, 20, noise=1, random_state=0)
    yield "regression", *datasets.make_regression(400, 40, noise=20, random_state=0)
    yield "low_rank", *datasets.make_regression(400, 40, effective_rank=8, noise=2, random_state=0)
    yield "sparse", *datasets.make_sparse_uncorrelated(400, 20, random_state=0)


@unfinished
@pytest.mark.parametrize(("name", "X", "y"), [pytest.param(*case, id=case[0]) for case in ten_data_sets()])
def test_stopped_early_it_is_not_worse_than_the_pseudoinverse(name, X, y):
    """Held-out error over that of X⁺y, median over splits, below, at and above the threshold N = P + 1."""
    P, found = X.shape[1], {}
    for N in sorted({max(4, P // 2), P + 1, 3 * P}):
        if not 4 <= N <= 0.8 * len(X):
            continue
        ratios = []
        for seed in range(9 if P < 20 else 5):
            order = np.random.RandomState(seed).permutation(len(X))
            train, test = order[:N], order[N:]
            scale = StandardScaler().fit(X[train])
            x, x_test = scale.transform(X[train]), scale.transform(X[test])
            errors = [
                np.square(estimator.fit(x, y[train]).predict(x_test) - y[test]).mean()
                for estimator in (Regressor(early_stopping="loo", max_steps=30_000), LinearRegression())
            ]
            ratios.append(errors[0] / errors[1])
        found[N] = np.median(ratios)
    assert max(found.values()) <= 1.05, found
    assert found[P + 1] < 0.7, found  # where it matters


@unfinished
def test_a_learning_curve_has_the_spike_only_where_it_is_trained_to_the_end():
    data = load_dataset("student_teacher")  # P = 20
    sizes = [8, 20, 60]

    def curve(estimator):
        display = LearningCurveDisplay.from_estimator(
            estimator,
            data.X,
            data.Y[:, 0],
            train_sizes=sizes,
            cv=ShuffleSplit(5, train_size=max(sizes), test_size=300, random_state=0),
            scoring="neg_mean_squared_error",
        )
        return np.median(-display.test_scores, axis=1)

    options = {"fit_intercept": False, "max_steps": 50_000}
    end, early = (curve(Regressor(early_stopping=stop, **options)) for stop in (None, "loo"))
    assert end[1] > 5 * max(end[0], end[2])
    assert early[1] < 1.5 * early[0]
    assert early[2] < early[1] < end[1] / 3


# The classifier


@pytest.mark.parametrize(("load", "k"), [("iris", 3), ("breast_cancer", 2)])
def test_the_classifier_is_the_regressor_on_one_hot_targets(load, k):
    X, y = getattr(datasets, f"load_{load}")(return_X_y=True)
    X, names = StandardScaler().fit_transform(X)[::3], np.array(["a", "b", "c"])[y[::3]]
    one_hot = np.eye(k)[y[::3]]
    found = Classifier(early_stopping="loo").fit(X, names)
    steps = found.n_iter_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        outputs = Regressor(max_steps=steps, tolerance=0).fit(X, one_hot).predict(X)
    scores = found.decision_function(X)
    np.testing.assert_allclose(scores, outputs if k > 2 else outputs[:, 1] - outputs[:, 0], rtol=1e-8, atol=1e-9)
    assert scores.shape == ((len(X), k) if k > 2 else (len(X),))
    assert found.coef_.shape == (k if k > 2 else 1, X.shape[1])
    assert (found.predict(X) == found.classes_[outputs.argmax(1)]).all()
    assert list(found.classes_) == ["a", "b", "c"][:k]
    assert found.score(X, names) > 0.8
    assert not hasattr(found, "predict_proba")


def test_at_the_threshold_early_stopping_classifies_better():
    X, y = datasets.load_digits(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    train, test = slice(0, 62), slice(62, None)  # 61 pixels are not constant
    early = Classifier(early_stopping="loo").fit(X[train], y[train]).score(X[test], y[test])
    with pytest.warns(ConvergenceWarning):
        end = Classifier(tolerance=1e-9, max_steps=100_000).fit(X[train], y[train]).score(X[test], y[test])
    assert early > end + 0.1


# Beside scikit-learn


def test_in_a_pipeline_with_names_a_search_and_a_pickle():
    frame = datasets.load_diabetes(as_frame=True)
    X, y = 100 * frame.data, frame.target
    pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), Regressor())
    search = GridSearchCV(pipeline, {"gradientdescentregressor__early_stopping": [None, "loo"]}, cv=3).fit(X, y)
    best = search.best_estimator_[-1]
    assert list(best.feature_names_in_) == list(X.columns)
    assert best.n_features_in_ == 10
    assert search.best_score_ > 0.4
    fitted = Regressor().fit(X, y, sample_weight=pd.Series(np.ones(len(X)), index=X.index))
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(X[X.columns[::-1]])
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    assert (again.status_, str(again.certificate_)) == (fitted.status_, str(fitted.certificate_))
    assert not hasattr(clone(fitted), "coef_")
    assert clone(fitted).get_params() == fitted.get_params()
    two = Regressor().fit(X, pd.DataFrame({"y": y, "minus": -y}))
    np.testing.assert_allclose(two.predict(X)[:, 0], -two.predict(X)[:, 1], rtol=1e-9)


def test_the_package_waits_for_neither_torch_nor_scikit_learn():
    code = "import gdstudy, sys; assert not {'torch', 'sklearn', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
