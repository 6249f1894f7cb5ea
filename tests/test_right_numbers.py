"""Right numbers whatever the precision, the scale and the shape: each kind of input that was ever wrong, and the truth.

Truth is computed in 100 digits from the numbers as they were given, so that a bound is all that separates it from what
float64 can do: 100 eps₆₄ (κ‖W‖ + κ²‖Y − XW‖/σ₁), and half a unit of the last place of a float32 result.
"""

import mpmath
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from exact import Truth, as_array, many_digits
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gdstudy import (
    Status,
    gd_iterate,
    gradient_descent,
    load_dataset,
    min_norm_solution,
    prediction_error_modes,
    reduced_rank_solution,
    ridge_solution,
    singular_values,
    train_module,
)
from gdstudy.training.modules import LinearReadout

EPS = np.finfo(np.float64).eps


def bound(X, Y, W, rank=None, dtype=np.float64):
    """How far from the truth W a float64 computation may be."""
    X, Y = np.asarray(X, dtype=np.float64), np.asarray(Y, dtype=np.float64)
    s = np.linalg.svd(X, compute_uv=False)
    s = s[: rank or len(s)]
    kappa = s[0] / s[-1]
    misfit = np.linalg.norm(X @ W - Y)
    last_place = np.finfo(np.float32).eps * np.linalg.norm(W) if dtype == np.float32 else 0
    return 100 * EPS * (kappa * np.linalg.norm(W) + kappa**2 * misfit / s[0]) + last_place


# Problems of every kind


def given_in(values, dtype):
    """An array or tensor of this type, and its numbers in float64."""
    if dtype == "bfloat16":
        tensor = torch.tensor(values).to(torch.bfloat16)
        return tensor, tensor.double().numpy()
    array = np.asarray(values).astype(dtype)
    return array, array.astype(np.float64)


DTYPES = ["float32", "float64", "float16", "bfloat16", "int64", "int8"]
SHAPES = {"tall": (9, 4), "square": (5, 5), "wide": (4, 9), "row": (1, 6), "column": (6, 1), "one": (1, 1)}


@st.composite
def problems(draw, dtypes=DTYPES):
    """(X, Y, numbers of X, numbers of Y, rank, factors): full rank at some κ, deficient, or zero."""
    dtype, shape = draw(st.sampled_from(dtypes)), draw(st.sampled_from(sorted(SHAPES)))
    (N, P), k, seed = SHAPES[shape], draw(st.sampled_from([1, 10])), draw(st.integers(0, 2**32 - 1))
    random, R = np.random.default_rng(seed), min(N, P)
    rank = draw(st.sampled_from([R, R, R, max(1, R - 1), max(1, R // 2)]))
    whole = dtype.startswith("int")
    Y, y = given_in(random.integers(-9, 10, (N, k)) if whole else random.standard_normal((N, k)), dtype)
    if rank < R or whole:  # whole numbers, exact in any type
        A, C = random.integers(-2, 3, (N, rank)), random.integers(-2, 3, (rank, P))
        X, x = given_in(A @ C, dtype)
        assume(all(np.linalg.matrix_rank(M) == rank for M in (A, C)))
        least = {"float16": 0.02, "bfloat16": 0.1}.get(dtype, 0)  # those hold no smaller mode apart from zero
        s = np.linalg.svd(x, compute_uv=False)
        assume(s[rank - 1] > least * s[0])
        return X, Y, x, y, rank, (A, C)
    limits = {"float32": 5, "float64": 13.5, "float16": 1, "bfloat16": 0.5}
    kappa = 10 ** draw(st.floats(0, limits[dtype]))
    U, V = (np.linalg.qr(random.standard_normal((m, R)))[0] for m in (N, P))
    X, x = given_in(U * np.geomspace(1, 1 / kappa, R) @ V.T, dtype)
    spectrum = singular_values(X)
    assume(float(spectrum.values[-1]) > 2 * float(spectrum.cutoff))
    return X, Y, x, y, R, None


def numbers(W):
    return np.asarray(W.double() if isinstance(W, torch.Tensor) else W, dtype=np.float64)


def check(found, truth, x, y, rank, X):
    assert isinstance(found, torch.Tensor) == isinstance(X, torch.Tensor)
    dtype = np.float32 if getattr(X, "dtype", None) in (np.float32, torch.float32) else np.float64
    assert str(found.dtype).endswith(np.dtype(dtype).name)  # others become float64
    assert np.linalg.norm(numbers(found) - truth) <= bound(x, y, truth, rank, dtype)


@settings(max_examples=60, deadline=None)
@given(problems(), st.floats(-16, 3), st.floats(0.01, 1.99), st.sampled_from([0, 1, 2, 7, 1000, 10**6, 10**12]))
def test_closed_forms_are_right_to_the_bound_in_every_type_and_shape_at_every_rank(problem, power, share, t):
    X, Y, x, y, rank, factors = problem
    truth, found = Truth(x, y, factors), singular_values(X)
    assert int(found.rank) == rank
    check(min_norm_solution(X, Y), truth.min_norm(), x, y, rank, X)
    largest = float(found.values[0])
    lam, eta = 10**power * largest**2, share / largest**2
    for name, W, expected in (
        ("ridge", ridge_solution(X, Y, lam), truth.ridge(lam)),
        ("gd", gd_iterate(X, Y, eta, t), truth.iterate(eta, t)),
    ):
        dtype = np.float32 if str(W.dtype).endswith("float32") else np.float64
        # The bound of the minimum-norm solution is one for what is shrunk, too.
        allowed = bound(x, y, truth.min_norm(), rank, dtype) + 100 * EPS * np.linalg.norm(expected)
        assert np.linalg.norm(numbers(W) - expected) <= allowed, name
    tensor_in = [a if isinstance(a, torch.Tensor) else torch.from_numpy(a) for a in (X, Y)]
    assert np.array_equal(numbers(min_norm_solution(*tensor_in)), numbers(min_norm_solution(X, Y)))


@settings(max_examples=25, deadline=None)
@given(problems(), st.integers(1, 3))
def test_the_best_map_of_a_rank_is_right_in_every_type_and_shape(problem, most):
    """Its training loss is what Eckart & Young say: what X⁺Y loses, and the singular values of the fit beyond."""
    X, Y, x, y, rank, factors = problem
    W, full = numbers(reduced_rank_solution(X, Y, most)), Truth(x, y, factors).min_norm()
    fit = np.linalg.svd(x @ full, compute_uv=False)
    lost = np.square(x @ full - y).sum() + np.square(fit[most:]).sum()
    scale = np.linalg.norm(y) * (np.linalg.norm(y) + np.linalg.norm(x) * bound(x, y, full, rank, np.float32))
    rounded = np.linalg.norm(x) * np.linalg.norm(full) * np.finfo(np.float32).eps  # of predictions, where W is float32
    assert abs(np.square(x @ W - y).sum() - lost) <= 1e-5 * scale + 2 * np.linalg.norm(y) * rounded
    assert np.linalg.matrix_rank(W, tol=1e-5 * np.linalg.norm(full)) <= most


@pytest.mark.parametrize("N", [1000, 50_000])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("deficient", [False, True])
def test_tall_matrices_are_right_however_tall(N, dtype, deficient):
    """Many copies of a small block: the solution is the block's, for the mean of their targets."""
    random, P = np.random.default_rng(N), 4
    block = random.integers(-8, 9, (10, P)).astype(float)
    if deficient:
        block[:, 3] = block[:, 0] - block[:, 1]
    X, x = given_in(np.tile(block * [1, 0.5, 0.25, 1], (N // 10, 1)), dtype)
    Y, y = given_in(random.integers(-9, 10, (N, 2)), dtype)
    mean = y.reshape(-1, 10, 2).sum(0)  # exact
    factors = (x[:10, :3], np.array([[1, 0, 0, 1], [0, 1, 0, -2], [0, 0, 1, 0.0]])) if deficient else None
    truth = Truth(x[:10], mean, factors).min_norm() / (N // 10)
    found = min_norm_solution(X, Y)
    assert int(singular_values(X).rank) == (3 if deficient else 4)
    check(found, truth, x, y, 3 if deficient else 4, X)


def test_stacks_hold_each_of_their_problems():
    random = np.random.default_rng(0)
    X, Y = random.standard_normal((2, 3, 6, 4)), random.standard_normal((2, 3, 6, 10))
    X[0, 1] = 0
    X[1, 2, :, 3] = X[1, 2, :, 2]
    lam, t = random.random((2, 3)), np.arange(6).reshape(2, 3)
    together = (
        min_norm_solution(X, Y),
        ridge_solution(X, Y, lam),
        gd_iterate(X, Y, 0.01, t),
        reduced_rank_solution(X, Y, 2),
    )
    for i in np.ndindex(2, 3):
        alone = (
            *(min_norm_solution(X[i], Y[i]), ridge_solution(X[i], Y[i], lam[i])),
            *(gd_iterate(X[i], Y[i], 0.01, int(t[i])), reduced_rank_solution(X[i], Y[i], 2)),
        )
        for stacked, single in zip(together, alone, strict=True):
            np.testing.assert_array_equal(stacked[i], single)
    assert not together[0][0, 1].any()


# 1. The cutoff follows the precision of the data, not the number of rows


def test_raw_housing_in_float32_keeps_all_its_modes():
    data = load_dataset("california_housing")
    X, y = data.X.astype(np.float32), data.Y[:, 0].astype(np.float32)
    found, theirs = min_norm_solution(X, y), np.linalg.lstsq(data.X, data.Y[:, 0], rcond=None)[0]
    assert int(singular_values(X).rank) == 8
    for W in (found, theirs):
        residual = data.X @ W - data.Y[:, 0]
        # Without an intercept; .5462 is what NumPy and scikit-learn give.
        assert 1 - np.square(residual).mean() / data.Y.var() == pytest.approx(0.5462, abs=5e-5)
    # Control: the rule that grows with the rows keeps four.
    assert int(singular_values(X, rtol=len(X) * np.finfo(np.float32).eps).rank) == 4


@pytest.mark.parametrize(("n", "P"), [(20_000, 8), (2000, 300), (300, 2000), (300, 300), (60, 20)])
@pytest.mark.parametrize("kind", ["full", "collinear", "duplicate"])
def test_float32_data_have_the_solution_that_they_had_before_they_were_rounded(kind, n, P):
    """Against float64 truth, as near as rounding the data itself allows."""
    random = np.random.default_rng(n + P)
    X, W = random.standard_normal((n, P)), random.standard_normal(P)
    if kind == "collinear":
        X[:, P // 2 :] = X[:, : P - P // 2] @ np.eye(P - P // 2) + X[:, :1]
    if kind == "duplicate":
        X[:, -1] = X[:, 0]
    y = X @ W
    truth = np.linalg.pinv(X, rcond=1e-10) @ y
    rank, s = np.linalg.matrix_rank(X, tol=1e-10 * np.linalg.norm(X)), np.linalg.svd(X, compute_uv=False)
    found = singular_values(X.astype(np.float32))
    assert int(found.rank) == rank
    gap = np.linalg.norm(min_norm_solution(X.astype(np.float32), y.astype(np.float32)) - truth)
    assert gap <= 3 * np.finfo(np.float32).eps * s[0] / s[rank - 1] * np.linalg.norm(truth)
    if rank < min(n, P):  # control: with the modes that rounding made it is elsewhere
        wild = min_norm_solution(X.astype(np.float32), y.astype(np.float32), rtol=0)
        assert kind == "duplicate" or np.linalg.norm(wild - truth) > 10 * gap


# 2. A mode that counts as zero is zero in every closed form


DEFICIENT = np.array([[1, 0, 1, 2], [0, 1, 1, 1], [0, 0, 1, -1], [1, 1, 2, 3], [2, 1, 4, 4], [1, 1, 3, 2.0]])


def of_rank_3():
    A = np.array([[1, 0, 1], [0, 1, 1], [0, 0, 1], [1, 1, 2], [2, 1, 4], [1, 1, 3]])
    C = np.array([[1, 0, 2, 1], [0, 1, 1, 3], [1, 1, 0, 2]])
    return A @ C, np.arange(1, 7), (A, C)


@pytest.mark.parametrize("lam", [1e-3, 1e-9, 1e-12, 1e-15, 1e-30, 0])
def test_ridge_knows_the_rank(lam):
    X, y, factors = of_rank_3()
    assert int(singular_values(X).rank) == 3
    truth = Truth(X, y[:, None], factors)
    expected = truth.ridge(lam)[:, 0] if lam else truth.min_norm()[:, 0]
    np.testing.assert_allclose(ridge_solution(X, y, lam), expected, rtol=1e-12)
    if lam == 1e-15:  # control: with the singular value that is rounding it is not
        assert np.abs(ridge_solution(X, y, lam, rtol=0) - expected).max() > 0.1


@pytest.mark.parametrize("t", [10, 10**6, 10**12])
def test_gd_iterates_know_the_rank(t):
    X, y, factors = of_rank_3()
    eta = 1 / float(singular_values(X).values[0]) ** 2
    expected = Truth(X, y[:, None], factors).iterate(eta, t)[:, 0]
    np.testing.assert_allclose(gd_iterate(X, y, eta, t), expected, rtol=1e-12)


def test_float32_with_a_duplicated_column_is_ridge_of_that_matrix():
    random = np.random.default_rng(0)
    X = random.standard_normal((30, 6)).astype(np.float32)
    X[:, 5] = X[:, 2]
    y = random.standard_normal(30).astype(np.float32)
    s = np.linalg.svd(X.astype(float))
    W = s[2][:5].T @ ((s[1][:5] / (s[1][:5] ** 2 + 1e-6))[:, None] * s[0][:, :5].T @ y[:, None])
    np.testing.assert_allclose(ridge_solution(X, y, 1e-6), W[:, 0], rtol=1e-5)


def test_all_closed_forms_take_the_cutoff_and_say_what_it_cuts():
    X = np.diag([1.0, 1e-3, 1e-6])
    y = np.ones(3)
    for rtol, rank in ((1e-4, 2), (1e-2, 1), (0, 3)):
        spectrum = singular_values(X, rtol)
        assert (int(spectrum.rank), spectrum.counted.tolist()) == (rank, [k < rank for k in range(3)])
        assert float(spectrum.cutoff) == rtol
        np.testing.assert_array_equal(spectrum.values, [1, 1e-3, 1e-6])
        for W in (
            min_norm_solution(X, y, rtol=rtol),
            ridge_solution(X, y, 1e-30, rtol=rtol),
            gd_iterate(X, y, 1.0, 10**13, rtol=rtol),
            reduced_rank_solution(X, y[:, None], 1, rtol=rtol)[:, 0],
        ):
            assert np.flatnonzero(W).tolist() == list(range(rank))
    assert isinstance(singular_values(torch.from_numpy(X)).values, torch.Tensor)


# 3. One matrix, one answer


@settings(max_examples=30, deadline=None)
@given(problems(), st.sampled_from(["stack of one", "among others", "strided", "torch", "transposed in memory"]))
def test_the_same_matrix_has_the_same_digits(problem, how):
    X, Y, x, y, *_ = problem
    if isinstance(X, torch.Tensor):
        X, Y = x, y
    forms = [min_norm_solution, lambda X, Y: ridge_solution(X, Y, 0.1), lambda X, Y: gd_iterate(X, Y, 1e-3, 1000)]
    wide = np.zeros((*X.shape[:-1], 2 * X.shape[-1]), X.dtype)
    wide[:, ::2] = X
    others = {
        "stack of one": (X[None], Y[None]),
        "among others": (np.stack([X + 1, X, X]), np.stack([Y, Y, Y + 1])),
        "strided": (wide[:, ::2], np.repeat(Y, 2, 0)[::2]),
        "torch": (torch.from_numpy(X), torch.from_numpy(Y)),
        "transposed in memory": (np.asfortranarray(X), np.asfortranarray(Y)),
    }[how]
    for form in forms:
        again = np.asarray(form(*others))
        again = again[len(again) // 2] if again.ndim > 2 else again
        np.testing.assert_array_equal(again, form(X, Y))


# 5. Units


LARGEST = {"float32": 100, "float64": 500}  # powers of two: 1e±30 and 1e±150


@settings(max_examples=30, deadline=None)
@given(problems(["float32", "float64"]), st.floats(-1, 1), st.floats(-1, 1), st.sampled_from([0.5, 1.9, 2.5]))
def test_units_change_no_digit_of_any_solution_and_no_status(problem, of_x, of_y, share):
    X, Y, *_ = problem
    a, b = (round(part * LARGEST[str(X.dtype)]) for part in (of_x, of_y))
    if X.dtype == np.float32:  # W is in units of their ratio, which float32 has to hold
        b = min(max(b, a - 60), a + 60)
    X2, Y2 = (np.ldexp(M, e) for M, e in ((X, a), (Y, b)))
    assume(all(np.array_equal(np.ldexp(M2, -e), M) for M2, M, e in ((X2, X, a), (Y2, Y, b))))
    eta, lam = share / float(singular_values(X).values[0]) ** 2, 0.1
    for form, extra, scaled in (
        (min_norm_solution, (), ()),
        (ridge_solution, (lam,), (np.ldexp(lam, 2 * a),)),
        (gd_iterate, (eta, 5), (np.ldexp(eta, -2 * a), 5)),
        (reduced_rank_solution, (1,), (1,)),
    ):
        np.testing.assert_array_equal(form(X2, Y2, *scaled), np.ldexp(form(X, Y, *extra), b - a), err_msg=form.__name__)
    for engine in ("gram", "autograd"):
        plain = list(gradient_descent(X, Y, [1, 10, 100], eta, engine=engine))
        units = list(gradient_descent(X2, Y2, [1, 10, 100], np.ldexp(eta, -2 * a), engine=engine))
        for one, other in zip(plain, units, strict=True):
            assert (one.status, int(one.steps)) == (other.status, int(other.steps))
            np.testing.assert_array_equal(one.distance, other.distance)
            if one.status != Status.DIVERGED:
                np.testing.assert_array_equal(np.ldexp(one.W, b - a), other.W)


UNITS = [("float32", *u) for u in ((1, 1e-26), (1e10, 1e13), (1e19, 1e10), (1e30, 1e25), (1e-30, 1e-32))]
UNITS += [("float64", *u) for u in ((1, 1e-200), (1e160, 1e150), (1e-160, 1e-200), (1e300, 1e300))]


@pytest.mark.parametrize("engine", ["gram", "autograd"])
@pytest.mark.parametrize(("dtype", "of_x", "of_y"), UNITS)
def test_descent_ends_at_the_solution_in_the_units_that_once_lied(dtype, of_x, of_y, engine):
    random = np.random.default_rng(0)
    X, y = random.standard_normal((12, 4)), random.standard_normal(12)
    truth = np.linalg.lstsq(X, y, rcond=None)[0] * (of_y / of_x)
    X, y = (X * of_x).astype(dtype), (y * of_y).astype(dtype)
    *_, state = gradient_descent(X, y, 100_000, engine=engine)
    assert (state.status, state.status.word) == (Status.CONVERGED, "converged")
    assert 5 < int(state.steps) < 1000
    assert state.W.dtype == dtype
    near = 1e-3 if dtype == "float32" else 1e-8  # of a gradient 100 eps of its first
    np.testing.assert_allclose(state.W, truth, atol=near * np.abs(truth).max())
    assert float(state.distance) < near


def test_a_solution_that_its_type_cannot_hold_is_an_error_and_not_infinite_or_zero():
    X, y = np.eye(3, 2), np.ones(3)
    for of_x, of_y, dtype, size in (
        (1e-30, 1e30, "float32", "60"),
        (1e30, 1e-30, "float32", "-60"),
        (1e-300, 1e300, "float64", "600"),
    ):
        Xs, ys = (X * of_x).astype(dtype), (y * of_y).astype(dtype)
        calls = [lambda: min_norm_solution(Xs, ys), lambda: gradient_descent(Xs, ys, 10)]  # noqa: B023
        for call in calls:
            with pytest.raises(ValueError, match=rf"of the order of 1e[+]?{size}, which {dtype} cannot hold"):
                call()


def test_subnormal_numbers_and_step_sizes_beyond_all_measure():
    tiny = np.full((3, 2), 5e-324)
    np.testing.assert_allclose(min_norm_solution(tiny, 3 * tiny[:, 0]), [1.5, 1.5], rtol=1e-14)
    random = np.random.default_rng(0)
    X, y = random.standard_normal((6, 3)), random.standard_normal(6)
    np.testing.assert_allclose(gd_iterate(X * 1e150, y, 0.01, 1), 0.01 * 1e150 * X.T @ y, rtol=1e-13)
    np.testing.assert_allclose(gd_iterate(X * 1e-150, y, 1e-30, 7), 7e-30 * 1e-150 * X.T @ y, rtol=1e-13)
    np.testing.assert_allclose(ridge_solution(X * 1e-160, y, 1e3), 1e-163 * X.T @ y, rtol=1e-13)
    for t in (2, 3, 10**12):  # a diverged iterate, with its signs
        W = gd_iterate(X * 1e150, y, 0.01, t)
        assert np.isinf(W).all()
        assert np.array_equal(np.sign(W), np.sign(gd_iterate(X, y, 1e4, t)))
    assert not gd_iterate(X * 1e150, y, 0.01, 0).any()
    with pytest.raises(ValueError, match=r"step_size=1e-60 is so far below 2/σ₁² that no step moves W in float32"):
        gradient_descent(X.astype(np.float32), y.astype(np.float32), 10, step_size=1e-60)


# 6. What `converged` promises


def test_converged_says_nothing_of_the_distance_and_the_distance_does():
    X, y = np.diag([1, 1e-5]), np.array([1, 1e-5])
    *_, state = gradient_descent(X, y, 1000)
    assert (state.status, int(state.steps)) == (Status.CONVERGED, 1)
    assert float(state.distance) == pytest.approx(np.sqrt(0.5))
    assert "may still be far from its limit" in state.status.meaning
    assert all(status.meaning and status.remedy for status in Status)


@settings(max_examples=40, deadline=None)
@given(
    problems(["float32", "float64"]),
    st.sampled_from([1.0, 1.9, 2.2]),
    st.sampled_from(["gram", "autograd"]),
    st.booleans(),
)
def test_every_status_is_true_and_the_distance_is_the_true_one(problem, share, engine, started):
    X, Y, x, y, rank, factors = problem
    dtype, tolerance = X.dtype, 1e-4
    eta = share / float(singular_values(X).values[0]) ** 2
    random = np.random.default_rng(1)
    W0 = (
        random.standard_normal((x.shape[1], y.shape[1])).astype(dtype)
        if started
        else np.zeros((x.shape[1], y.shape[1]))
    )
    truth = Truth(x, y, factors)
    outside = W0 - as_array(truth.pinv * truth.X * many_digits(W0))
    limit = truth.min_norm() + outside
    gradients = []
    for state in gradient_descent(X, Y, [1, 2, 3, 5, 10, 30, 100, 300], eta, tolerance, W0, engine):
        W = state.W.astype(np.float64)
        gradients.append(np.linalg.norm(x.T @ (x @ W - y)))
        distance = np.linalg.norm(W - limit) / np.linalg.norm(limit)
        if np.isfinite(W).all():
            slack = bound(x, y, limit, rank, np.float32 if dtype == np.float32 else np.float64) / np.linalg.norm(limit)
            assert float(state.distance) == pytest.approx(distance, rel=1e-6, abs=slack)
    start = max(np.linalg.norm(x.T @ (x @ W0 - y)), np.linalg.norm(x.T @ y))
    noise = (
        100
        * np.finfo(dtype).eps
        * (np.linalg.norm(x) * (np.linalg.norm(x) * np.linalg.norm(limit) + np.linalg.norm(y)))
    )
    if state.status == Status.CONVERGED:
        assert gradients[-1] <= 1.01 * max(tolerance, 100 * np.finfo(dtype).eps) * max(start, *gradients) + noise
    elif state.status == Status.DIVERGED:
        assert share > 2
        assert not gradients[-1] <= 1.5 * start
    else:
        assert state.status == Status.MAX_STEPS
        assert int(state.steps) == 300
        assert gradients[-1] + noise > 0.99 * tolerance * start
    if share < 2:
        assert state.status != Status.DIVERGED


# 7. Shapes


@pytest.mark.parametrize(
    ("call", "shapes"),
    [
        (lambda X, Y: gradient_descent(X, Y, 10, W0=np.zeros((2, 4))), r"\(4, 2\); its shape is \(2, 4\)"),
        (lambda X, Y: gradient_descent(X, Y, 10, W0=np.zeros(8)), r"\(4, 2\); its shape is \(8,\)"),
        (lambda X, Y: gradient_descent(X, Y[:, 0], 10, W0=np.zeros((4, 1))), r"\(4,\); its shape is \(4, 1\)"),
        (
            lambda X, Y: gradient_descent(X[None], Y[None], 10, W0=np.zeros((3, 4, 2))),
            r"\(1, 4, 2\); its shape is \(3, 4, 2\)",
        ),
        (lambda X, Y: gradient_descent(X, Y, 10, step_size=[0.1, 0.2]), r"one per problem \(\); its shape is \(2,\)"),
        (
            lambda X, Y: ridge_solution(X[None], Y[None], np.ones((1, 1))),
            r"one per problem \(1,\); its shape is \(1, 1\)",
        ),
        (lambda X, Y: gd_iterate(X, Y, 0.1, [1, 2]), r"one per problem \(\); its shape is \(2,\)"),
        (lambda X, Y: prediction_error_modes(X, Y, X, np.zeros((2, 4))), r"\(4, 2\); its shape is \(2, 4\)"),
        (lambda X, Y: min_norm_solution(X, Y.T), r"X is \(6, 4\), Y is \(2, 6\)|may be"),
    ],
)
def test_nothing_is_reshaped_that_does_not_fit_by_its_axes(call, shapes):
    random = np.random.default_rng(0)
    X, Y = random.standard_normal((6, 4)), random.standard_normal((6, 2))
    if "may be" in shapes:  # targets a row each are two problems that share X
        assert call(X, Y).shape == (2, 4)
        return
    with pytest.raises(ValueError, match=shapes):
        call(X, Y)


def test_a_start_is_broadcast_along_batch_axes_as_numpy_would():
    random = np.random.default_rng(0)
    X, Y, W0 = random.standard_normal((3, 5, 8)), random.standard_normal((3, 5)), random.standard_normal(8)
    *_, state = gradient_descent(X, Y, 50_000, W0=W0)
    for c in range(3):
        pinv = np.linalg.pinv(X[c])
        np.testing.assert_allclose(state.W[c], pinv @ Y[c] + W0 - pinv @ X[c] @ W0, atol=1e-6)


# 9. Arguments


X9, Y9 = np.arange(12.0).reshape(4, 3) ** 1.5, np.arange(4.0)
FORMS = {
    "min_norm_solution": min_norm_solution,
    "ridge_solution": lambda X, Y: ridge_solution(X, Y, 1.0),
    "gd_iterate": lambda X, Y: gd_iterate(X, Y, 1e-3, 5),
    "reduced_rank_solution": lambda X, Y: reduced_rank_solution(X, Y, 1),
    "gradient_descent": lambda X, Y: gradient_descent(X, Y, 10),
    "singular_values": lambda X, Y: singular_values(X),
    "prediction_error_modes": lambda X, Y: prediction_error_modes(X, Y, X, np.ones(3)),
}
REFUSED = {
    "masked": (np.ma.masked_greater(X9, 5), ValueError, "X has 9 masked entries"),
    "sparse": (scipy.sparse.csr_array(X9), TypeError, r"X is sparse; pass X.toarray\(\)"),
    "sparse tensor": (torch.from_numpy(X9).to_sparse(), TypeError, r"X is sparse; pass X.to_dense\(\)"),
    "complex": (X9 + 1j, ValueError, "X must hold real numbers; its dtype is complex128"),
    "requires gradients": (
        torch.from_numpy(X9).requires_grad_(),
        TypeError,
        r"X requires gradients.*pass X.detach\(\)",
    ),
    "texts": (X9.astype(str), ValueError, "X must hold real numbers"),
    "dates": (X9.astype("datetime64[D]"), ValueError, "X must hold real numbers"),
    "missing": (pd.DataFrame(X9).where(pd.DataFrame(X9) > 5), ValueError, r"X holds \d NaN or infinite values of 12"),
    "no rows": (np.zeros((0, 3)), ValueError, "at least one row and one column"),
    "no columns": (np.zeros((4, 0)), ValueError, "at least one row and one column"),
    "None": (None, ValueError, "X must hold real numbers"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_matrix_of_numbers_is_refused_at_the_call(kind, form):
    value, error, message = REFUSED[kind]
    Y = np.zeros(0) if kind == "no rows" else Y9
    with pytest.raises(error, match=message):
        FORMS[form](value, Y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": 2}, r"tolerance=2 must lie in \[0, 1\)"),
        ({"tolerance": np.nan}, "tolerance=nan must lie"),
        ({"tolerance": -1e-3}, "tolerance=-0.001 must lie"),
        ({"tolerance": "small"}, "tolerance=small must lie"),
        ({"checkpoints": [np.nan]}, "checkpoints=nan must be a whole number"),
        ({"checkpoints": [1.5]}, "checkpoints=1.5 must be a whole number, at least 1"),
        ({"checkpoints": np.inf}, "checkpoints=inf must be a whole number"),
        ({"checkpoints": 0}, "checkpoints=0 must be a whole number, at least 1"),
        ({"checkpoints": "10"}, "checkpoints='10' must be a whole number"),
        ({"checkpoints": None}, "checkpoints=None must be a whole number"),
        ({"checkpoints": [[1, 2]]}, "checkpoints"),
        ({"checkpoints": [10, 5]}, "checkpoints must increase"),
        ({"step_size": np.nan}, "step_size holds 1 NaN"),
        ({"step_size": np.inf}, "step_size holds 1 NaN or infinite"),
        ({"step_size": 1j}, "step_size must hold real numbers"),
        ({"threads": 1.5}, "threads=1.5 must be a whole number"),
        ({"n_rows": 5}, "n_rows must be at most the 4 rows of X"),
        ({"n_rows": 2}, "all rows of a cell beyond it zero"),
        ({"n_rows": 2.5}, "n_rows=2.5 must be a whole number"),
        ({"W0": [np.inf, 0, 0]}, "W0 holds 1 NaN or infinite"),
    ],
)
def test_arguments_of_descent_are_checked_at_the_call(options, message):
    with pytest.raises(ValueError, match=message):
        gradient_descent(X9, Y9, **{"checkpoints": 10, **options})  # nothing is iterated


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reduced_rank_solution(X9, Y9[:, None], 1.5), "rank=1.5 must be a whole number, at least 1"),
        (lambda: reduced_rank_solution(X9, Y9[:, None], True), "rank=True must be a whole number"),
        (lambda: reduced_rank_solution(X9, Y9[:, None], None), "rank=None must be a whole number"),
        (lambda: gd_iterate(X9, Y9, 1e-3, np.nan), "t holds 1 NaN"),
        (lambda: gd_iterate(X9, Y9, 1e-3, -1), "t=-1 must be a whole number of steps, at least 0, or infinite"),
        (lambda: gd_iterate(X9, Y9, 1.0, np.inf), "t=inf: descent has no limit where step_size is 2/σ₁² or more"),
        (lambda: ridge_solution(X9, Y9, np.nan), "lam holds 1 NaN"),
        (lambda: min_norm_solution(X9, Y9, rtol=np.nan), r"rtol=nan must lie in \[0, 1\)"),
        (lambda: ridge_solution(X9, Y9, 1, rtol="no"), "rtol=no must lie in"),
        (lambda: gd_iterate(X9, Y9, 1e-3, 1, rtol=1), "rtol=1 must lie in"),
    ],
)
def test_arguments_of_closed_forms_are_checked(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "checkpoints", [range(5, 21, 5), (5, 10, 15, 20), np.array([5, 10, 15, 20]), [5.0, 1e1, np.int8(15), 20]]
)
def test_checkpoints_are_any_list_of_whole_numbers(checkpoints):
    assert [state.step for state in gradient_descent(X9, Y9, checkpoints)] == [5, 10, 15, 20]
    assert [state.step for state in gradient_descent(X9, Y9, torch.tensor([5, 20]))] == [5, 20]
    assert [state.step for state in gradient_descent(X9, Y9, 1e1)] == [10]


def test_an_infinite_t_is_the_limit():
    for t in (np.inf, None, float("inf"), torch.tensor(torch.inf)):
        np.testing.assert_array_equal(gd_iterate(X9, Y9, 1e-4, t), min_norm_solution(X9, Y9))
    X, Y = np.stack([X9, X9]), np.stack([Y9, Y9])
    both = gd_iterate(X, Y, 1e-4, [3, np.inf])
    np.testing.assert_array_equal(both, [gd_iterate(X9, Y9, 1e-4, 3), min_norm_solution(X9, Y9)])


def test_data_frames_and_lists_are_fine_as_they_are():
    expected = min_norm_solution(X9, Y9)
    frame = pd.DataFrame(X9, columns=list("abc")).astype({"a": np.float32})
    mixed = pd.DataFrame({"a": [1, 2, 3], "b": [True, False, True], "c": [0.5, 1.5, 2.5]})
    for X, Y in ((pd.DataFrame(X9), pd.Series(Y9)), (X9.tolist(), Y9.tolist()), (np.ma.array(X9), Y9)):
        np.testing.assert_array_equal(min_norm_solution(X, Y), expected)
    np.testing.assert_allclose(min_norm_solution(frame, Y9), expected, rtol=1e-4)
    np.testing.assert_allclose(mixed.to_numpy(float) @ min_norm_solution(mixed, [1, 2, 3]), [1, 2, 3])
    np.testing.assert_array_equal(min_norm_solution(X9.astype(">f8"), Y9), expected)


def test_tensors_of_inference_mode_are_tensors():
    expected = [state.W for state in gradient_descent(X9, Y9, [1, 50], engine="autograd")]
    with torch.inference_mode():
        X, Y = torch.from_numpy(X9).clone(), torch.from_numpy(Y9).clone()
        inside = [state.W.numpy() for state in gradient_descent(X, Y, [1, 50], engine="autograd")]
    outside = [state.W.numpy() for state in gradient_descent(X, Y, [1, 50], engine="autograd")]
    np.testing.assert_array_equal(inside, expected)
    np.testing.assert_array_equal(outside, expected)
    np.testing.assert_array_equal(min_norm_solution(X, Y).numpy(), min_norm_solution(X9, Y9))


def test_descent_leaves_what_it_was_given():
    X, Y, W0 = X9.copy(), Y9.copy(), np.ones(3)
    list(gradient_descent(X, Y, 10, W0=W0))
    min_norm_solution(X, Y)
    for now, before in ((X, X9), (Y, Y9), (W0, np.ones(3))):
        np.testing.assert_array_equal(now, before)


def test_a_solution_of_rounding_is_no_solution_out_of_range():
    X = np.array([[1.0, 0], [0, 1], [0, 0]], dtype=np.float32) * np.float32(1e30)
    y = np.array([1e-15, 0, 1], dtype=np.float32)  # nearly orthogonal to all columns
    W = min_norm_solution(X, y)
    assert np.abs(W).max() < 1e-44


# What a second look found


def test_a_limit_of_zero_has_been_reached_and_is_not_divided_by_its_rounding():
    X, y = np.array([[1.0, 2], [1, -1], [1, 0], [1, -1]]), np.array([1.0, 1, -3, 1])
    assert not (X.T @ y).any()
    for engine in ("gram", "autograd"):
        (state,) = gradient_descent(X, y, 1000, engine=engine)
        assert float(state.distance) == 0
        # Autograd multiplies by η first, which leaves rounding of a zero gradient, and that does not fall.
        assert state.status == Status.CONVERGED or engine == "autograd"
        *_, state = gradient_descent(X, 0 * y, 1000, W0=[1.0, 1.0], engine=engine)
        # Then what is left of the start.
        assert state.status == Status.CONVERGED
        assert float(state.distance) == pytest.approx(np.linalg.norm(state.W) / 2**0.5, rel=1e-12)
        assert float(state.distance) < 1e-9


def test_a_start_far_away_does_not_blur_the_limit():
    X = np.random.default_rng(0).standard_normal((6, 3))
    *_, state = gradient_descent(X, X @ np.ones(3), 1, W0=np.full(3, 1e15))
    assert float(state.distance) == pytest.approx(np.linalg.norm(state.W - 1) / 3**0.5, rel=1e-12)
    *_, state = gradient_descent(X, X @ np.ones(3), 100_000, W0=np.full(3, 1e15))
    assert float(state.distance) == pytest.approx(np.linalg.norm(state.W - 1) / 3**0.5, rel=1e-9)


@pytest.mark.parametrize("engine", ["gram", "autograd"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_start_at_the_solution_has_converged(dtype, engine):
    for seed in range(20):
        random = np.random.default_rng(seed)
        X, y = random.standard_normal((20, 5)).astype(dtype), random.standard_normal(20).astype(dtype)
        *_, state = gradient_descent(X, y, 200, W0=min_norm_solution(X, y), engine=engine)
        assert state.status == Status.CONVERGED
        *_, state = gradient_descent(X, y, 2, W0=1.01 * min_norm_solution(X, y), engine=engine)
        assert state.status != Status.CONVERGED  # control


@pytest.mark.parametrize("engine", ["gram", "autograd"])
def test_what_no_column_sees_of_y_stops_no_cell_early(engine):
    random = np.random.default_rng(0)
    X = random.standard_normal((100, 3))
    X -= X.mean(0)
    y = X @ [1.0, 2, 3]
    for far in (0, 1e3, 1e5):
        (state,) = gradient_descent(X, y + far, 10_000, engine=engine)
        assert (state.status, float(state.distance) < 1e-8) == (Status.CONVERGED, True)
    (state,) = gradient_descent(X, np.c_[y, np.full(100, 1e6)], 10_000, engine=engine)  # another output neither
    np.testing.assert_allclose(state.W[:, 0], [1, 2, 3], rtol=1e-6)
    start = [0, 0, 0, 1e6]  # nor a start that no row sees
    *_, state = gradient_descent(np.c_[X, np.zeros(100)], y, 10_000, W0=start, engine=engine)
    np.testing.assert_allclose(state.W, [1, 2, 3, 1e6], rtol=1e-6)


def test_targets_of_padding_and_of_rows_of_zeros_change_nothing():
    X = np.array([[1, 0.5], [2, 1.1], [0, 0]])
    plain = list(gradient_descent(X, np.array([1.0, 3, 0]), [1, 10**5], n_rows=2))
    for far in (-9999.0, 1e20):
        states = list(gradient_descent(X, np.array([1, 3, far]), [1, 10**5], n_rows=2))
        assert [(int(s.steps), s.status) for s in states] == [(int(s.steps), s.status) for s in plain]
        np.testing.assert_allclose([s.distance for s in states], [s.distance for s in plain], rtol=1e-9)


def test_a_small_limit_that_is_known_exactly_is_no_zero():
    X, y = np.array([[1, 0], [0, 1e-12], [0, 0]]), np.array([1e-4, 0, 1])
    (state,) = gradient_descent(X, y, 100)
    assert (state.status, float(state.distance), state.W[0]) == (Status.CONVERGED, 0, 1e-4)


def test_modes_that_half_precision_cannot_tell_from_zero_are_trained_and_belong_to_the_limit():
    X, y = np.array([[1, 0], [0, 1 / 512]], np.float16), np.array([1, 1], np.float16)
    np.testing.assert_allclose(min_norm_solution(X, y), [1, 0], atol=1e-12)
    *_, state = gradient_descent(X, y, 1000)
    assert float(state.distance) == pytest.approx(1, abs=0.01)  # 512 is far from there


@pytest.mark.parametrize("t", [1e18, 1e19, 1e100, 1e300])
def test_iterates_that_grow_for_ever_are_infinite(t):
    assert gd_iterate(np.array([[1.0]]), np.array([1.0]), 3.0, t) == -np.inf
    assert gd_iterate(np.array([[1.0]]), np.array([1.0]), 1.5, t) == pytest.approx(1)


@pytest.mark.parametrize("d", [1e-3, 1e-6, 1e-9])
def test_iterates_near_the_stable_limit_are_as_right_as_their_docstring_says(d):
    s, t = 0.7, int(1 / d)
    eta = (2 - d) / s**2
    with mpmath.workdps(100):
        x = mpmath.mpf(eta) * mpmath.mpf(s) ** 2
        truth = float((1 - (1 - x) ** t) / mpmath.mpf(s))
    found = float(gd_iterate(np.array([[s]]), np.array([1.0]), eta, t)[0])
    assert abs(found / truth - 1) <= 10 * 2.3e-16 / d


def test_the_parts_of_an_error_are_right_in_any_units_or_refused():
    X, y = np.array([[1.0, 0], [0, 1], [1, 1]]), np.full(3, 1e-200)
    plain = prediction_error_modes(X, 0 * y, np.ones((1, 2)), np.ones(2))
    found = prediction_error_modes(1e200 * X, y, np.ones((1, 2)), np.ones(2))
    np.testing.assert_allclose(found.residual_projections[0], 1e200 * plain.residual_projections[0], rtol=1e-14)
    np.testing.assert_allclose(found.modes.sum(-2), plain.modes.sum(-2), rtol=1e-14)
    tiny = (1e-39 * X).astype(np.float32)
    with pytest.raises(ValueError, match=r"1/σ leaves float32"):
        prediction_error_modes(tiny, np.ones(3, np.float32), tiny, np.ones(2, np.float32))
    with pytest.raises(ValueError, match=r"singular values are beyond 1e308"):
        singular_values(np.full((4, 4), 1e308))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_step_sizes_that_no_step_survives_are_refused(dtype):
    X = np.eye(2, dtype=dtype) * dtype(1e30)
    with pytest.raises(ValueError, match=r"step_size=1e\+300 is so far above 2/σ₁²"):
        gradient_descent(X, np.zeros(2, dtype), 10, step_size=1e300)


@pytest.mark.parametrize("fast", ["0", "1"])
@pytest.mark.parametrize("engine", ["gram", "autograd", "module"])
@pytest.mark.parametrize("wide", [False, True])
def test_autocast_of_the_caller_shortens_no_step(wide, engine, fast, monkeypatch):
    monkeypatch.setenv("GDSTUDY_FAST", fast)
    X, y = torch.from_numpy(X9).float(), torch.from_numpy(Y9).float()
    X, y = (X.T.contiguous(), y[:3]) if wide else (X, y)

    def states():
        if engine == "module":
            module = LinearReadout(torch.full((1, X.shape[1], 1), 0.1))
            return train_module(module, X[None], y[None, :, None], [1, 100], step_size=1e-4)
        return gradient_descent(X, y, [1, 100], engine=engine)

    expected = [(state.W, state.gradient_norm) for state in states()]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = [(state.W, state.gradient_norm) for state in states()]
        assert (X @ X.T).dtype == torch.bfloat16  # control
    for one, other in zip(found, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gd_iterate(X9, Y9, 0.1, 10**400), ValueError, "t holds numbers beyond 1e308"),
        (lambda: gd_iterate(X9, Y9, 10**400, 1), ValueError, "step_size holds numbers beyond"),
        (lambda: ridge_solution(X9, Y9, 10**400), ValueError, "lam holds numbers beyond"),
        (lambda: min_norm_solution([[10**400]], [1]), ValueError, "X holds numbers beyond"),
        (lambda: gd_iterate(X9, Y9, 0.1, "inf"), ValueError, "t must hold real numbers"),
        (lambda: gd_iterate(X9, Y9, 0.1, torch.tensor(3.0, requires_grad=True)), TypeError, "t requires gradients"),
        (lambda: gd_iterate(X9, Y9, 0.1, np.ma.array(3, mask=True)), ValueError, "t has 1 masked"),
        (lambda: gradient_descent(X9, Y9, 1, n_rows=np.ma.array(3, mask=True)), ValueError, "n_rows has 1 masked"),
        (lambda: gradient_descent(X9, Y9, range(1, 10**9)), ValueError, "checkpoints holds more than 1,000,000"),
        (lambda: gradient_descent(X9, Y9, 1, threads=2**40), ValueError, "threads=1099511627776 must be at most"),
        (lambda: min_norm_solution([np.ma.array([1, 2], mask=[0, 1])], [1]), ValueError, "X has 1 masked"),
        (lambda: min_norm_solution(torch.ones(2, 2).to(torch.float8_e5m2), torch.ones(2)), ValueError, "X must hold"),
        (
            lambda: min_norm_solution(torch.ones(2, 2, device="meta"), torch.ones(2)),
            TypeError,
            "X is a nested tensor or",
        ),
    ],
)
def test_what_no_number_can_be_is_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()
