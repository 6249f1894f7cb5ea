"""Ridge with a constant that is not penalised, against scikit-learn, with rows left out one by one."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from gdstudy import ridge_solution
from gdstudy.closed_form.factors import Problem
from gdstudy.closed_form.leave_one_out import best_penalty, left_out_residuals, noise_amplification, ridge_grid
from gdstudy.closed_form.penalised import penalised, with_constant
from gdstudy.linalg.frame import Frame
from gdstudy.linalg.spectrum import spectrum

SIZES, P = (4, 8, 9, 20), 8


def rows(n, seed=0):
    random = np.random.default_rng([seed, n])
    X = 3 + random.standard_normal((n, P)) * np.geomspace(1, 0.1, P)
    return X, 50 + X[:, :2] + random.standard_normal((n, 2))


def stack_of(intercept):
    """The cells of SIZES as one padded stack, with a column of ones, or minus their training means."""
    parts, n_rows = [rows(n) for n in SIZES], torch.tensor(SIZES)
    table = torch.zeros(len(SIZES), max(SIZES), P + 1 + 2, dtype=torch.float64)
    for cell, (X, Y) in zip(table, parts, strict=True):
        cell[: len(X)] = torch.from_numpy(np.column_stack([X, np.ones(len(X)), Y]))
    X, Y = table[..., : P + 1], table[..., P + 1 :]
    if intercept == "column":
        return Problem(X, Y, spectrum(X), X.new_zeros(len(X), P + 1, 2), intercept="column"), n_rows
    x, y = (Frame.of(M, n_rows, torch.zeros(M.shape[-1], dtype=torch.bool)) for M in (X[..., :P], Y))
    spec = x.spectrum(X[..., :P], n_rows)
    seen = x.of_rows(X[..., :P], n_rows)
    return Problem(seen, y.of_rows(Y, n_rows), spec, seen.new_zeros(len(X), P, 2), intercept="mean"), n_rows


def ridge(part, lam):
    s = part.spectrum.s
    f = torch.where(part.spectrum.nonzero, s / (s.square() + lam), 0)
    return part.readout(part.spectrum.filtered(f.unsqueeze(-1), part.Y))


@pytest.mark.parametrize("intercept", ["column", "mean"])
@pytest.mark.parametrize("lam", [1e-3, 1.0, 100.0])
def test_it_is_the_ridge_of_scikit_learn_whose_intercept_is_free(intercept, lam):
    problem, n_rows = stack_of(intercept)
    found = ridge(penalised(problem, n_rows), lam)
    for W, n in zip(found.numpy(), SIZES, strict=True):
        X, Y = rows(n)
        fit = Ridge(alpha=lam, solver="svd").fit(X, Y)
        np.testing.assert_allclose(W[:P], fit.coef_.T, rtol=1e-9)
        if intercept == "column":
            np.testing.assert_allclose(W[P], fit.intercept_, rtol=1e-9)
            # Control: a constant that is penalised as the others falls short of y's 50.
            assert np.abs(ridge_solution(np.column_stack([X, np.ones(n)]), Y, lam) - W).max() > 1e-6 * lam


@pytest.mark.parametrize("intercept", ["column", "mean"])
@pytest.mark.parametrize("lam", [0.0, 1e-3, 1.0])
def test_rows_left_out_are_predicted_by_the_ridge_and_the_mean_of_the_others(intercept, lam):
    problem, n_rows = stack_of(intercept)
    part = penalised(problem, n_rows)
    found = left_out_residuals(part.with_constant, part.Y, lam).numpy()
    without = left_out_residuals(part.spectrum, part.Y, lam).numpy()
    for cell, wrong, n in zip(found, without, SIZES, strict=True):
        X, Y = rows(n)
        expected = []
        for i in range(n):
            x, y = np.delete(X, i, 0), np.delete(Y, i, 0)
            W = np.linalg.pinv(x - x.mean(0), rcond=1e-12) @ (y - y.mean(0))
            if lam:
                W = Ridge(alpha=lam, solver="svd").fit(x, y).coef_.T
            expected.append(Y[i] - y.mean(0) - (X[i] - x.mean(0)) @ W)
        np.testing.assert_allclose(cell[:n], expected, rtol=1e-6)
        assert not cell[n:].any()
        assert np.abs(wrong[:n] - expected).max() > 1e-2  # means of all rows know the one that was left out


def test_without_a_constant_it_is_the_problem_itself():
    problem, n_rows = stack_of("column")
    plain = Problem(problem.X, problem.Y, problem.spectrum, problem.beta)
    part, W = penalised(plain, n_rows), torch.ones(len(SIZES), P + 1, 2)
    assert (part.spectrum, part.with_constant, part.Y) == (plain.spectrum, plain.spectrum, plain.Y)
    assert part.readout(W) is W


def test_the_penalty_that_is_best_by_rows_left_out_is_that_of_both_forms():
    (a, n_rows), (b, _) = stack_of("column"), stack_of("mean")
    a, b = penalised(a, n_rows), penalised(b, n_rows)
    grid = ridge_grid(a.spectrum)
    for x, y in zip(*(best_penalty(p.with_constant, p.Y, grid, n_rows) for p in (a, b)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-8)


@pytest.mark.parametrize(("N", "P"), [(8, 20), (15, 15), (16, 15), (60, 4)])
@pytest.mark.parametrize("penalty", [0, 0.1, 30])
def test_an_intercept_is_fitted_without_a_penalty(N, P, penalty):
    random = np.random.default_rng(N)
    X, Y = 2 + random.standard_normal((N, P)), 5 + random.standard_normal((N, 2))
    x, y = (torch.from_numpy(a - a.mean(0))[None] for a in (X, Y))
    spec = with_constant(spectrum(x), torch.tensor([N]))
    expected = []
    for i in range(N):
        rest = np.arange(N) != i
        mean_x, mean_y = X[rest].mean(0), Y[rest].mean(0)
        x_rest, y_rest = X[rest] - mean_x, Y[rest] - mean_y
        inverse = np.linalg.pinv(x_rest.T @ x_rest + penalty * np.eye(P), rcond=1e-10)
        expected.append(Y[i] - mean_y - (X[i] - mean_x) @ inverse @ x_rest.T @ y_rest)
    found = left_out_residuals(spec, y, penalty)[0].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
    assert bool((noise_amplification(spec) > 1).all())
    # Negative control: of centred rows alone the mean has seen the row that is left out.
    assert np.abs(left_out_residuals(spectrum(x), y, penalty)[0].numpy() - expected).max() > 1e-3


@pytest.mark.parametrize("mean", [1e3, 1e6, 1e8])
def test_a_large_mean_is_no_mode_of_its_own(mean):
    """Rounded, it would count the constant twice, and errors of rows left out would be wrong where N ≤ P."""
    sizes, random = torch.tensor([3, 5, 8, 9, 20]), np.random.default_rng(7)
    X, Y = torch.zeros(5, 20, P + 1, dtype=torch.float64), torch.zeros(5, 20, 1, dtype=torch.float64)
    for x, y, n in zip(X, Y, sizes.tolist(), strict=True):
        x[:n] = torch.from_numpy(np.column_stack([mean + random.standard_normal((n, P)), np.ones(n)]))
        y[:n] = torch.from_numpy(mean + random.standard_normal((n, 1)))
    part = penalised(Problem(X, Y, spectrum(X), X.new_zeros(5, P + 1, 1), intercept="column"), sizes)
    found = left_out_residuals(part.with_constant, part.Y)
    assert part.spectrum.rank.tolist() == [min(n - 1, P) for n in sizes.tolist()]
    for x, y, n, left_out in zip(X.numpy(), Y.numpy(), sizes.tolist(), found.numpy(), strict=True):
        for row in range(n):
            others = np.delete(np.arange(n), row)
            centred, level = x[others, :P] - x[others, :P].mean(0), y[others].mean()
            W = np.linalg.pinv(centred - centred.mean(0), rcond=1e-10) @ (y[others] - level)
            expected = y[row] - level - (x[row, :P] - x[others, :P].mean(0)) @ W
            assert left_out[row] == pytest.approx(expected, rel=1e-5, abs=mean * 1e-9)
