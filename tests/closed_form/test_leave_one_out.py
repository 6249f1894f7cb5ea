"""Leave-one-out errors, against leaving each row out."""

import numpy as np
import pytest
import torch

from gdstudy.closed_form.leave_one_out import (
    best_penalty,
    gd_left_out,
    left_out_residuals,
    noise_amplification,
    ridge_grid,
)
from gdstudy.linalg.spectrum import spectrum
from tests.problems import everywhere


def by_hand(X, Y, fit):
    """y_i − x_i·W₋ᵢ, each W₋ᵢ fitted to the other rows."""
    rows = np.arange(len(X))
    return np.array([Y[i] - X[i] @ fit(X[rows != i], Y[rows != i]) for i in rows])


def ridge(penalty):
    def fit(X, Y):
        if penalty == 0:
            return np.linalg.pinv(X, rcond=1e-10) @ Y
        return np.linalg.solve(X.T @ X + penalty * np.eye(X.shape[1]), X.T @ Y)

    return fit


def descent(eta, steps):
    def fit(X, Y):
        W = np.zeros((X.shape[1], Y.shape[1]))
        for _ in range(steps):
            W = W - eta * X.T @ (X @ W - Y)
        return W

    return fit


def tensors(known):
    X, Y = torch.from_numpy(known.X.astype(float)), torch.from_numpy(known.Y.astype(float))
    return X, Y, spectrum(X[None])


@pytest.mark.parametrize("share", [0, 1e-3, 0.1, 10])
@everywhere("one_row", "ill_conditioned")
def test_ridge_and_x_pinv_y_without_each_row(known, share):
    X, Y, spec = tensors(known)
    penalty = share * (known.largest or 1) ** 2
    expected = by_hand(X.numpy(), Y.numpy(), ridge(penalty))
    found = left_out_residuals(spec, Y[None], penalty)[0].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9 * np.abs(expected).max() + 1e-300)


def test_a_residual_of_the_fit_is_not_one_left_out():
    random = np.random.default_rng(0)
    X, Y = random.standard_normal((12, 10)), random.standard_normal((12, 1))
    left_out = left_out_residuals(spectrum(torch.from_numpy(X)[None]), torch.from_numpy(Y)[None])[0].numpy()
    assert np.abs(Y - X @ np.linalg.pinv(X) @ Y).max() < 0.2 * np.abs(left_out).max()


@pytest.mark.parametrize(("N", "P"), [(6, 15), (15, 15), (16, 15), (40, 15)])
def test_noise_amplification_is_the_variance_under_noise(N, P):
    """The residuals are linear in Y, so that unit targets give the weights that noise is summed with."""
    X = np.random.default_rng(N).standard_normal((N, P))
    weights = by_hand(X, np.eye(N), ridge(0))
    found = noise_amplification(spectrum(torch.from_numpy(X)[None]))[0].numpy()
    np.testing.assert_allclose(found, np.square(weights).sum(1), rtol=1e-6)
    assert (found >= 1).all()


def test_noise_amplification_peaks_at_the_threshold():
    X = np.random.default_rng(1).standard_normal((90, 30))
    medians = {n: float(noise_amplification(spectrum(torch.from_numpy(X[:n])[None])).median()) for n in (10, 30, 90)}
    assert medians[10] < 3 > medians[90]
    assert medians[30] > 10


@pytest.mark.parametrize(("N", "P"), [(20, 20), (12, 20), (40, 20)])
def test_the_best_penalty_is_the_best_of_the_grid(N, P):
    random = np.random.default_rng(2)
    X = random.standard_normal((3, N, P))
    Y = X @ random.standard_normal((3, P, 2)) + 3 * random.standard_normal((3, N, 2))
    spec = spectrum(torch.from_numpy(X))
    grid = ridge_grid(spec)
    penalty, error = best_penalty(spec, torch.from_numpy(Y), grid)
    for x, y, choices, chosen, found in zip(X, Y, grid.numpy(), penalty.numpy(), error.numpy(), strict=True):
        errors = [np.square(by_hand(x, y, ridge(one))).mean() for one in choices]
        assert found == pytest.approx(min(errors), rel=1e-6)
        assert chosen == choices[int(np.argmin(errors))]
        assert chosen > 0  # with so much noise no penalty is never best
    assert (grid[:, 0] == 0).all()
    assert bool((grid.diff() > 0).all())


def test_the_grid_reaches_the_weakest_mode():
    """Of an ill-conditioned X the signal may lie there."""
    s = torch.tensor([[1e6, 1.0, 1e-3]], dtype=torch.float64)
    grid = ridge_grid(spectrum(torch.diag_embed(s)))[0]
    assert grid[1] < 1e-6
    assert grid[-1] > 1e12


@pytest.mark.parametrize(("N", "P"), [(12, 20), (12, 12), (30, 12)])
def test_a_heavy_ball_without_each_row(N, P):
    random = np.random.default_rng(6)
    X, Y, beta = random.standard_normal((N, P)), random.standard_normal((N, 2)), 0.9
    eta = 1 / np.linalg.norm(X, 2) ** 2

    def ball(steps):
        def fit(X, Y):
            W = last = np.zeros((X.shape[1], Y.shape[1]))
            for _ in range(steps):
                W, last = W - eta * X.T @ (X @ W - Y) + beta * (W - last), W
            return W

        return fit

    found = gd_left_out(*map(torch.from_numpy, (X, Y)), eta, [1, 7, 60], momentum=beta).numpy()
    for steps, residuals in zip((1, 7, 60), found, strict=True):
        np.testing.assert_allclose(residuals, by_hand(X, Y, ball(steps)), rtol=1e-8, atol=1e-9)
        plain = by_hand(X, Y, descent(eta, steps))
        assert steps == 1 or np.abs(residuals - plain).max() > 1e-3  # control


@pytest.mark.parametrize("share", [0.5, 1.5])
@everywhere("one_row", "zero_inputs", "ill_conditioned")
def test_descent_without_each_row(known, share):
    X, Y, _ = tensors(known)
    eta = known.step_size(share)
    found = gd_left_out(X, Y, eta, [0, 1, 7, 60, torch.inf]).numpy()
    for residuals, fit in zip(found, [*(descent(eta, t) for t in (0, 1, 7, 60)), ridge(0)], strict=True):
        expected = by_hand(X.numpy(), Y.numpy(), fit)
        np.testing.assert_allclose(residuals, expected, rtol=1e-8, atol=1e-9 * np.abs(expected).max() + 1e-300)


def test_the_shortcut_by_the_hat_matrix_is_another_number():
    """(y − ŷ)_i/(1 − H_ii) of the t-th iterate, which holds for ridge, is not what leaving rows out gives."""
    random = np.random.default_rng(3)
    X, Y = random.standard_normal((12, 20)), random.standard_normal((12, 1))
    eta, t = 1 / np.linalg.norm(X, 2) ** 2, 100
    H = X @ descent(eta, t)(X, np.eye(12))
    shortcut = (Y - H @ Y)[:, 0] / (1 - np.diag(H))
    exact = gd_left_out(torch.from_numpy(X), torch.from_numpy(Y), eta, [t])[0, :, 0].numpy()
    assert np.square(shortcut).mean() > 1.5 * np.square(exact).mean()


def test_left_out_problems_are_computed_a_part_at_a_time(monkeypatch):
    random = np.random.default_rng(4)
    X, Y = torch.from_numpy(random.standard_normal((9, 4))), torch.from_numpy(random.standard_normal((9, 2)))
    whole = gd_left_out(X, Y, 0.01, [5, 50])
    monkeypatch.setattr("gdstudy.closed_form.leave_one_out._MOST_NUMBERS", 70)
    torch.testing.assert_close(gd_left_out(X, Y, 0.01, [5, 50]), whole, rtol=0, atol=0)


def weighted(fit, weights, center):
    """A fit of rows by weight and, where centred, with the intercept that is best for it: → (W, x̄, ȳ)."""

    def of(X, Y, rows):
        w = weights[rows]
        x_mean, y_mean = (w @ X / w.sum(), w @ Y / w.sum()) if center else (np.zeros(X.shape[1]), np.zeros(Y.shape[1]))
        root = np.sqrt(w)[:, None]
        return fit(root * (X - x_mean), root * (Y - y_mean)), x_mean, y_mean

    return of


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize(("N", "P"), [(12, 20), (12, 12), (13, 12), (30, 12)])
def test_descent_without_each_fold_of_weighted_rows(N, P, grouped, center):
    random = np.random.default_rng(5)
    X, Y = 3 + random.standard_normal((N, P)), 5 + random.standard_normal((N, 2))
    weights, folds = random.uniform(0.5, 3, N), random.integers(0, 4, N) if grouped else np.arange(N)
    eta = 0.5 / np.linalg.norm(np.sqrt(weights)[:, None] * X, 2) ** 2
    steps = [1, 9, 80, np.inf]
    found = gd_left_out(*map(torch.from_numpy, (X, Y)), eta, steps, *map(torch.from_numpy, (folds, weights)), center)
    for t, residuals in zip(steps, found.numpy(), strict=True):
        fit = weighted(ridge(0) if t == np.inf else descent(eta, t), weights, center)
        expected = np.empty_like(Y)
        for fold in np.unique(folds):
            W, x_mean, y_mean = fit(X[folds != fold], Y[folds != fold], folds != fold)
            expected[folds == fold] = Y[folds == fold] - y_mean - (X[folds == fold] - x_mean) @ W
        np.testing.assert_allclose(residuals, expected, rtol=1e-7, atol=1e-8 * np.abs(expected).max())
    # Negative control: centring once, by all rows, lets each left-out row into its own prediction.
    if center and not grouped:
        x, y = (values - weights @ values / weights.sum() for values in (X, Y))
        once = gd_left_out(*map(torch.from_numpy, (x, y)), eta, [80], weights=torch.from_numpy(weights))[0].numpy()
        assert np.abs(once - found[2].numpy()).max() > 1e-3
