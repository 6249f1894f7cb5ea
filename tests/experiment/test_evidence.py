"""The numbers behind a diagnosis, by hand."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gdstudy import min_norm_solution, prediction_error_modes
from gdstudy.closed_form.leave_one_out import noise_amplification
from gdstudy.data.splits import stream
from gdstudy.experiment import redundancy
from gdstudy.experiment.candidates import min_norm, ridge
from gdstudy.experiment.evidence import _errors_at, error_by_mode, gather, learning_curve
from gdstudy.experiment.measured import Units, fits_table
from gdstudy.experiment.preprocessed import Preprocessed
from gdstudy.experiment.redundancy import columns_of

EPS = torch.finfo(torch.float64).eps


def drawn(N, P, seed=0, **options):
    random = np.random.default_rng(seed)
    X = torch.from_numpy(random.standard_normal((N, P)))
    return Preprocessed.of(X, X.sum(1, keepdim=True) + torch.from_numpy(random.standard_normal((N, 1))), EPS, **options)


@pytest.mark.parametrize(("N", "P"), [(10, 15), (12, 15), (25, 20), (24, 20), (60, 4)])
@pytest.mark.parametrize("intercept", [False, True])
def test_shares_of_modes_are_those_of_eqn_1(N, P, intercept):
    data = drawn(N, P, intercept=intercept)
    beta = torch.ones(P, 1, dtype=torch.float64)
    found = error_by_mode(data, beta, seed=0)
    energies, bias = [], []
    for held in np.array_split(stream(0, "modes").permutation(N), 5):
        kept = np.setdiff1d(np.arange(N), held)
        x, y, test = data.X[kept].numpy(), data.Y[kept].numpy(), data.X[held].numpy()
        if intercept:
            test, x, y = test - x.mean(0), x - x.mean(0), y - y.mean(0)
        parts = prediction_error_modes(x, y, test, beta.numpy())
        errors = test @ (min_norm_solution(x, y) - beta.numpy())
        np.testing.assert_allclose(parts.modes.sum(1) + parts.bias, errors, atol=1e-10)
        energies.append(np.square(parts.modes[..., 0]).mean(0))
        bias.append(np.square(parts.bias).mean())
    n_modes = max(map(len, energies))  # a mode that a fold has not errs in none of its rows
    energy = np.mean([np.pad(e, (0, n_modes - len(e))) for e in energies], 0)
    np.testing.assert_allclose(found.shares, energy / energy.sum(), rtol=1e-8)
    assert found.bias_share == pytest.approx(np.mean(bias) / (np.mean(bias) + energy.sum()), abs=1e-12)
    assert (found.bias_share > 1e-3) == (P + intercept > 0.8 * N)


def test_the_weakest_mode_counts_where_some_folds_lack_it():
    """Of 21 rows folds leave out 5, 4, 4, 4 and 4: of 17 features one fold sees 16 modes, and the others 17."""
    data = drawn(21, 17)
    found = error_by_mode(data, torch.ones(17, 1, dtype=torch.float64), seed=0)
    order = stream(0, "modes").permutation(21)
    weakest = [
        np.linalg.svd(data.X[np.setdiff1d(np.arange(21), held)].numpy(), compute_uv=False)
        for held in np.array_split(order, 5)
    ]
    assert sorted(map(len, weakest)) == [16, 17, 17, 17, 17]
    assert found.singular_values[-1] == pytest.approx(np.mean([s[16] for s in weakest if len(s) == 17]))
    assert len(found.shares) == 17
    assert found.shares[-1] > 0.5  # at the threshold it carries the error


def test_medians_of_an_even_number_are_between_the_middle_two():
    data = drawn(6, 2, intercept=False)
    trained = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
    tested = torch.tensor([[4, 5], [0, 5]])
    both = _errors_at(data, trained, tested)
    each = [_errors_at(data, one[None], other[None]) for one, other in zip(trained, tested, strict=True)]
    np.testing.assert_allclose(both, np.mean(each, 0))
    assert not np.allclose(*each)
    evidence = gather(data.X, data.Y, EPS, False, 100, 1e-5, 0)
    noise = noise_amplification(evidence.base.fitted)[0].numpy()
    assert evidence.amplification == np.median(noise) != np.sort(noise)[2]
    table = fits_table(evidence, Units(0, 0, False), None, None).set_index(["preprocessing", "estimator"])
    for (name, estimator), fit in evidence.fits.items():
        left_out = table.loc[(name, estimator)].left_out_median
        assert left_out == pytest.approx(np.median(fit.left_out.square().mean(1).numpy()))


def test_subsamples_are_nested_and_tested_on_rows_in_none_of_them():
    data = drawn(50, 5, intercept=True)
    curve = learning_curve(data, seed=0)
    orders = [stream(0, f"learning {k}").permutation(50) for k in range(curve.n_draws)]
    assert curve.sizes[-1] == 40
    assert 6 in curve.sizes  # the threshold
    for n, error in zip(curve.sizes, curve.min_norm, strict=True):
        errors = []
        for order in orders:
            x, y = data.X[order[:n]].numpy(), data.Y[order[:n]].numpy()
            W = np.linalg.pinv(x - x.mean(0), rcond=1e-10) @ (y - y.mean())
            rest = data.X[order[40:]].numpy() - x.mean(0)
            errors.append(np.square(data.Y[order[40:]].numpy() - y.mean() - rest @ W).mean())
        assert error == pytest.approx(np.median(errors), rel=1e-6)


def columns(X, intercept=False):
    X = torch.from_numpy(np.asarray(X, dtype=float))
    Y = X.sum(1, keepdim=True)
    return columns_of(*(Preprocessed.of(X, Y, EPS, intercept, scaled) for scaled in (False, True)))


def test_copies_combinations_and_dead_columns():
    X = np.random.default_rng(0).standard_normal((30, 5))
    assert columns(X).copies == []
    assert columns(X).deficit == 0
    found = columns(np.c_[X, -3 * X[:, 1], np.zeros(30), X[:, 2] + X[:, 3]])
    assert found.copies == [(1, 5)]
    assert found.dead == [6]
    assert found.deficit == 2
    # Degrees Celsius and Fahrenheit are copies where there is an intercept, and a constant column is dead.
    scales = np.c_[X, 1.8 * X[:, 0] + 32, np.ones(30)]
    assert columns(scales).copies == []
    assert columns(scales, intercept=True).copies == [(0, 5)]
    assert columns(scales, intercept=True).dead == [6]
    assert columns(scales).dead == []


@settings(max_examples=30, deadline=None)
@example(seed=272, P=12, n_combined=4, intercept=False, single=False, unit=1e-6)  # more so, in float64
@example(seed=10, P=10, n_combined=2, intercept=True, single=True, unit=1e-6)  # columns that are much alike
@given(seed=st.integers(0, 999), P=st.integers(2, 12), n_combined=st.integers(1, 4), intercept=st.booleans(),
       single=st.booleans(), unit=st.sampled_from([1e-6, 1.0, 1e6]))  # fmt: skip
def test_columns_without_which_no_column_is_a_combination_of_others(seed, P, n_combined, intercept, single, unit):
    random = np.random.default_rng(seed)
    own = random.standard_normal((60, P))
    mixed = own @ random.uniform(0.5, 2, (P, n_combined)) + (random.uniform(-3, 3, n_combined) if intercept else 0)
    order = random.permutation(P + n_combined)
    X = unit * np.c_[own, mixed][:, order]
    X = X.astype(np.float32).astype(float) if single else X
    eps = np.finfo(np.float32).eps if single else EPS
    x, y = torch.from_numpy(X), torch.from_numpy(X.sum(1, keepdims=True))
    found = columns_of(*(Preprocessed.of(x, y, eps, intercept, scaled) for scaled in (False, True)))
    assert found.deficit == n_combined
    assert len(found.combined) == n_combined
    rest = np.delete(X - intercept * X.mean(0), found.combined, axis=1)
    assert np.linalg.matrix_rank(rest, tol=(1e-5 if single else 1e-10) * np.linalg.norm(rest)) == rest.shape[1] == P
    # The last of all columns of a dependent set is named: before it there is nothing to combine it from.
    assert min(found.combined) > 0


def test_of_too_many_columns_or_fewer_rows_no_combination_is_named(monkeypatch):
    X = np.random.default_rng(0).standard_normal((30, 6))
    X[:, 5] = X[:, 1] - 2 * X[:, 3]
    assert columns(X).combined == [5]
    assert columns(X[:4]).combined == []
    monkeypatch.setattr(redundancy, "_MANY", 3)
    assert columns(X).combined == [5]  # no more columns than rows
    wide = np.c_[np.random.default_rng(1).standard_normal((5, 7)), np.zeros(5)]
    wide[:, 2] = wide[:, 0]
    assert columns(wide).combined == []


@pytest.mark.parametrize("intercept", [False, True])
def test_columns_that_are_alike_by_chance_are_no_copies(intercept):
    """Two columns that are not zero in the same row alone, as dying ReLU units are, and rows that stand twice."""
    X = np.random.default_rng(0).standard_normal((12, 14))
    X[:, :2] = 0
    X[3, :2] = 1, 2
    found = columns(np.r_[X, np.random.default_rng(1).standard_normal((20, 14)) * (np.arange(14) > 1)], intercept)
    assert found.copies == []
    assert found.deficit == 0
    assert columns(np.r_[X, X], intercept).deficit == 0


@pytest.mark.parametrize("seed", range(8))
def test_copies_are_of_the_first_of_them_and_named_once(seed):
    random = np.random.default_rng(seed)
    X = random.standard_normal((40, 6))
    X[:, [3, 5]] = X[:, [0]] * [-2.0, 7.0]
    X[:, 4] = 0.5 * X[:, 2]
    found = columns(X)
    assert sorted(found.copies) == [(0, 3), (0, 5), (2, 4)]
    assert found.combined == [3, 4, 5]


def test_of_many_columns_the_copies_are_found():
    X = np.random.default_rng(0).standard_normal((40, 5000))
    X[:, 4321] = 0.1 * X[:, 17]
    found = columns(X)
    assert found.copies == [(17, 4321)]
    assert found.closest is None


@pytest.mark.parametrize(("N", "P"), [(30, 80), (13, 12), (40, 12)])
@pytest.mark.parametrize("mean", [0, 100, 1e6])
def test_a_large_mean_is_no_mode_of_its_own_where_there_is_an_intercept(N, P, mean):
    random = np.random.default_rng(5)
    X, Y = random.standard_normal((N, P)), random.standard_normal((N, 1))
    moved = [Preprocessed.of(torch.from_numpy(X + m), torch.from_numpy(Y + m), EPS, intercept=True) for m in (0, mean)]
    assert moved[1].spectrum.rank == moved[0].spectrum.rank == min(N - 1, P)
    for fit in (min_norm, ridge):
        assert fit(moved[1]).error == pytest.approx(fit(moved[0]).error, rel=1e-6)
