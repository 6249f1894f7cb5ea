"""Eqn. 1 term by term, and the ablations that take one of its factors away."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gdstudy import load_dataset, min_norm_solution
from gdstudy.closed_form.factors import (
    Problem,
    adversarial_test,
    adversarial_train,
    bias_readout,
    leading_modes,
    no_residuals,
    prediction_error_modes,
    singular_value_cutoff,
    variance_modes,
)
from gdstudy.data.splits import split
from gdstudy.linalg.spectrum import spectrum
from gdstudy.study.ablations import ABLATIONS
from gdstudy.study.entries import code

RTOL = 1e-9  # the matrices below have κ = 1000 or an exact rank
SIZES = [4, 8, 16]  # N < P, N = P, N > P for P = 8


def matrix(n, P, rank=None, seed=0, batch=(), smallest=1e-2):
    """Singular values from 10 down to `smallest`, `rank` of them, between random singular vectors."""
    random = np.random.default_rng(seed)
    rank = min(n, P, rank or P)
    U, _ = np.linalg.qr(random.standard_normal((*batch, n, rank)))
    V, _ = np.linalg.qr(random.standard_normal((*batch, P, rank)))
    return U * np.geomspace(10, smallest, rank) @ np.swapaxes(V, -1, -2)


def regression(n, P=8, k=2, rank=None, seed=0, batch=(), n_test=6):
    """X, Y, X_test and β*, the minimum-norm fit of training and test rows together."""
    random = np.random.default_rng(seed + 1000)
    X, X_test = matrix(n, P, rank, seed, batch), random.standard_normal((*batch, n_test, P))
    Y, Y_test = random.standard_normal((*batch, n, k)), random.standard_normal((*batch, n_test, k))
    beta = np.linalg.pinv(np.concatenate([X, X_test], -2)) @ np.concatenate([Y, Y_test], -2)
    return X, Y, X_test, beta


def true_error(X, Y, X_test, beta):
    return X_test @ np.linalg.pinv(X, rcond=RTOL) @ Y - X_test @ beta


def relative_gap(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def problem(n, P=8, k=2, rank=None, cells=3, dtype=torch.float64):
    X, Y, _, beta = (torch.from_numpy(a).to(dtype) for a in regression(n, P, k, rank, batch=(cells,)))
    return Problem(X, Y, spectrum(X, RTOL if dtype == torch.float64 else 1e-5), beta)


def min_norm(p):
    return p.spectrum.solve(p.Y)


def close(a, b, tolerance=1e-9):
    """Equal up to a tolerance of the largest entry."""
    a, b = np.asarray(a), np.asarray(b)
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * (1 + np.abs(b).max()))


# Eqn. 1


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 14),
    P=st.integers(1, 10),
    k=st.integers(1, 3),
    rank=st.integers(1, 10),
    batch=st.sampled_from([(), (2,), (2, 3)]),
    seed=st.integers(0, 99),
)
def test_modes_and_bias_add_up_to_the_true_prediction_error(n, P, k, rank, batch, seed):
    X, Y, X_test, beta = regression(n, P, k, rank, seed, batch)
    parts = prediction_error_modes(X, Y, X_test, beta, RTOL)
    assert parts.modes.shape == (*batch, 6, min(n, P), k)
    assert relative_gap(parts.modes.sum(-2) + parts.bias, true_error(X, Y, X_test, beta)) < 1e-10


@pytest.mark.parametrize("rank", [3, 8])
@pytest.mark.parametrize("n", SIZES)
def test_each_mode_is_the_product_of_the_three_factors(n, rank):
    X, Y, X_test, beta = regression(n, rank=rank)
    parts = prediction_error_modes(X, Y, X_test, beta, RTOL)
    inverse, x_v, u_E = parts.inverse_singular_values, parts.test_projections, parts.residual_projections
    np.testing.assert_allclose(parts.modes, inverse[None, :, None] * x_v[:, :, None] * u_E[None], rtol=1e-12)
    # Each factor by another way, up to the sign that an SVD leaves open.
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    r = min(rank, n)
    np.testing.assert_allclose(inverse[:r], 1 / s[:r])
    assert not inverse[r:].any()
    np.testing.assert_allclose(np.abs(x_v[:, :r]), np.abs(X_test @ Vt[:r].T), atol=1e-9)
    np.testing.assert_allclose(np.abs(u_E[:r]), np.abs(U[:, :r].T @ (Y - X @ beta)), atol=1e-9)


@pytest.mark.parametrize("n", SIZES)
def test_another_beta_or_a_mode_left_out_misses_the_prediction_error(n):
    X, Y, X_test, beta = regression(n)
    truth = true_error(X, Y, X_test, beta)
    parts = prediction_error_modes(X, Y, X_test, beta)
    for r in range(min(n, 8)):
        without_r = np.delete(parts.modes, r, axis=1).sum(1) + parts.bias
        assert relative_gap(without_r, truth) > 1e-6  # against 1e-10 for the whole sum
    other = prediction_error_modes(X, Y, X_test, beta + 0.1)
    assert relative_gap(other.modes.sum(1) + other.bias, truth) > 1e-6


@pytest.mark.parametrize(("n", "rank", "unseen"), [(4, 8, True), (8, 8, False), (16, 8, False), (16, 5, True)])
def test_the_bias_vanishes_exactly_where_the_training_rows_see_every_direction(n, rank, unseen):
    X, Y, X_test, beta = regression(n, rank=rank)
    bias = prediction_error_modes(X, Y, X_test, beta, RTOL).bias
    seen = np.linalg.pinv(X, rcond=RTOL) @ X
    np.testing.assert_allclose(bias, X_test @ (seen - np.eye(8)) @ beta, atol=1e-10)
    size = np.abs(bias).max() / np.abs(X_test @ beta).max()
    assert size > 0.1 if unseen else size < 1e-12


@pytest.mark.parametrize("n", [1, 5, 10, 11, 40])
def test_eqn_1_holds_on_real_data_with_beta_of_all_rows(n):
    data = load_dataset("diabetes")
    train, test = split(len(data.X), n, 0)
    X, Y, X_test = data.X[train], data.Y[train, 0], data.X[test]
    beta = min_norm_solution(data.X, data.Y[:, 0])
    parts = prediction_error_modes(X, Y, X_test, beta)
    truth = X_test @ (np.linalg.pinv(X) @ Y - beta)
    assert relative_gap(parts.modes.sum(1)[:, 0] + parts.bias[:, 0], truth) < 1e-10
    # A fit of the training rows alone leaves no residuals to speak of, so its modes are another sum.
    own = prediction_error_modes(X, Y, X_test, min_norm_solution(X, Y))
    assert relative_gap(own.modes.sum(1)[:, 0] + own.bias[:, 0], truth) > 0.5
    if n < 10:
        assert np.abs(parts.bias).max() > 0.01 * np.abs(truth).max()
    else:
        assert np.abs(parts.bias).max() < 1e-9 * np.abs(truth).max()


def test_numpy_or_torch_in_and_the_same_kind_out_also_in_float32():
    arrays = regression(4, batch=(2,))
    names = ("inverse_singular_values", "test_projections", "residual_projections", "modes", "bias")
    as_numpy, as_torch = (prediction_error_modes(*a) for a in (arrays, [torch.from_numpy(x) for x in arrays]))
    singles = [torch.from_numpy(x).float() for x in arrays]
    single = prediction_error_modes(*singles)
    for name in names:
        assert isinstance(getattr(as_numpy, name), np.ndarray)
        np.testing.assert_array_equal(getattr(as_torch, name).numpy(), getattr(as_numpy, name))
        assert getattr(single, name).dtype == torch.float32
    W = min_norm_solution(singles[0], singles[1])
    truth = singles[2] @ (W - singles[3])
    np.testing.assert_allclose(single.modes.sum(-2) + single.bias, truth, rtol=0, atol=1e-3 * truth.abs().max())


def test_one_target_may_be_a_vector_and_beta_with_it():
    X, Y, X_test, beta = regression(4, k=1)
    vector, column = (prediction_error_modes(*a) for a in ((X, Y[:, 0], X_test, beta[:, 0]), (X, Y, X_test, beta)))
    np.testing.assert_array_equal(vector.modes, column.modes)
    np.testing.assert_array_equal(vector.bias, column.bias)


@pytest.mark.parametrize("name", ["X", "Y", "X_test", "beta"])
def test_nan_is_refused_by_the_name_of_its_argument(name):
    arguments = dict(zip(("X", "Y", "X_test", "beta"), regression(4), strict=True))
    arguments[name][0, 0] = np.nan
    with pytest.raises(ValueError, match=f"^{name} holds 1 NaN"):
        prediction_error_modes(**arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X_test": np.ones((6, 7))}, r"X_test must be \(..., M, P\) for X \(4, 8\); it is \(6, 7\)"),
        ({"X_test": np.ones(8)}, "X_test must have at least 2 axes"),
        ({"beta": np.ones((7, 2))}, r"beta .*\(7, 2\)"),
        ({"beta": np.ones((8, 3))}, r"beta .*\(8, 3\)"),
        ({"beta": np.ones(8)}, r"beta .*\(8,\)"),  # two outputs need two columns
        ({"Y": np.ones((5, 2))}, "Y must be .* with the same N"),
        ({"X": np.ones(8)}, "X must have at least 2 axes"),
    ],
)
def test_wrong_shapes_are_refused_by_name(change, message):
    arguments = dict(zip(("X", "Y", "X_test", "beta"), regression(4), strict=True))
    with pytest.raises(ValueError, match=message):
        prediction_error_modes(**{**arguments, **change})


@pytest.mark.parametrize("rank", [3, 8])
@pytest.mark.parametrize("n", SIZES)
def test_variance_modes_and_bias_are_the_two_terms_of_the_readout_error(n, rank):
    p = problem(n, rank=rank)
    pinv = torch.linalg.pinv(p.X, rtol=RTOL)
    E = p.Y - p.X @ p.beta
    variance = p.spectrum.Vt.mT @ variance_modes(p.spectrum, E)
    close(variance, pinv @ E)
    close(bias_readout(p.spectrum, p.beta), pinv @ (p.X @ p.beta) - p.beta)
    close(variance + bias_readout(p.spectrum, p.beta), min_norm(p) - p.beta)


# Ablation 1: no small singular values


@pytest.mark.parametrize("rank", [3, 8])
@pytest.mark.parametrize("n", SIZES)
def test_after_a_cutoff_the_features_have_exactly_the_surviving_singular_values(n, rank):
    p = problem(n, rank=rank)
    s = p.spectrum.s
    for cutoff in (0.05, 0.5, 5.0):
        cut = singular_value_cutoff(p, cutoff)
        expected = torch.where(s >= cutoff, s, 0)
        close(torch.linalg.svdvals(cut.features()), expected)
        close(cut.spectrum.matrix(), cut.features(), 0)
        assert cut.spectrum.rank.tolist() == [int((row >= cutoff).sum()) for row in s]
        close(min_norm(cut), torch.linalg.pinv(p.X, atol=cutoff, rtol=0.0) @ p.Y)
        assert torch.equal(cut.Y, p.Y)
    assert relative_gap(cut.features(), p.X) > 1e-3  # the cutoff did bite


@pytest.mark.parametrize("rank", [3, 8])
@pytest.mark.parametrize("n", SIZES)
def test_a_cutoff_of_zero_changes_nothing(n, rank):
    p = problem(n, rank=rank)
    same = singular_value_cutoff(p, 0.0)
    close(same.features(), p.X, 1e-13)
    assert torch.equal(same.spectrum.s, p.spectrum.s)
    assert torch.equal(same.spectrum.nonzero, p.spectrum.nonzero)
    assert torch.equal(min_norm(same), min_norm(p))


@pytest.mark.parametrize("n", SIZES)
def test_a_cutoff_above_every_singular_value_leaves_rank_0_and_the_zero_readout(n):
    nothing = singular_value_cutoff(problem(n), 10.1)
    assert not nothing.features().any()
    assert not nothing.spectrum.rank.any()
    assert not min_norm(nothing).any()
    assert nothing.spectrum.smallest.isnan().all()


def test_a_singular_value_at_the_cutoff_stays():
    X = torch.diag(torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64))[None]
    p = Problem(X, torch.ones(1, 3, 1, dtype=torch.float64), spectrum(X), torch.ones(1, 3, 1, dtype=torch.float64))
    assert torch.equal(singular_value_cutoff(p, 2.0).spectrum.s, torch.tensor([[4.0, 2.0, 0.0]], dtype=torch.float64))


# Ablation 2: test features in the leading modes


@pytest.mark.parametrize("rank", [3, 8])
@pytest.mark.parametrize("n", SIZES)
def test_leading_modes_projects_the_test_rows_and_nothing_else(n, rank):
    p = problem(n, rank=rank)
    x = np.random.default_rng(5).standard_normal((3, 6, 8))
    W = torch.from_numpy(np.random.default_rng(6).standard_normal((3, 8, 2)))  # not in the row space
    Vt = np.linalg.svd(p.X.numpy(), full_matrices=False)[2]
    for m in (1, 2, 3, 8):
        ablated = leading_modes(p, m)
        V = Vt[:, : min(m, rank)]
        close(x @ ablated.tested(W).numpy(), (x @ np.swapaxes(V, 1, 2) @ V) @ W.numpy())
        assert torch.equal(ablated.features(), p.X)
        assert torch.equal(min_norm(ablated), min_norm(p))
    assert relative_gap(leading_modes(p, 1).tested(W), W) > 0.5


@pytest.mark.parametrize("rank", [3, 8])
@pytest.mark.parametrize("n", SIZES)
def test_keeping_all_modes_changes_nothing_for_a_readout_in_the_row_space(n, rank):
    p = problem(n, rank=rank)
    W = min_norm(p)
    r = min(n, rank)
    for m in (r, r + 1, 100):
        close(leading_modes(p, m).tested(W), W)
    # One mode fewer does, and so do all for a readout that left the row space.
    assert relative_gap(leading_modes(p, r - 1).tested(W), W) > 1e-3
    if r < 8:
        assert relative_gap(leading_modes(p, r).tested(W + 1), W + 1) > 1e-3
    assert torch.equal(p.tested(W), W)


# Ablation 3: no residuals


@pytest.mark.parametrize("n", SIZES)
def test_without_residuals_the_targets_are_linear_and_beta_is_found_from_n_equal_p_on(n):
    p = problem(n)
    ablated = no_residuals(p)
    assert ablated.linear
    assert not p.linear
    close(ablated.Y, p.X @ p.beta, 1e-14)
    assert not variance_modes(p.spectrum, ablated.Y - p.X @ p.beta).any()
    gap = min_norm(ablated) - p.beta
    close(gap, bias_readout(p.spectrum, p.beta))
    if n >= 8:
        assert relative_gap(min_norm(ablated), p.beta) < 1e-10
    assert relative_gap(min_norm(p), p.beta) > 0.1


# Adversarial data


@pytest.mark.parametrize("rank", [3, 8])
@pytest.mark.parametrize("n", SIZES)
def test_the_weakest_mode_is_the_last_nonzero_one_whatever_sign_the_svd_gives(n, rank):
    p = problem(n, rank=rank)
    u, v = p.weakest_mode
    smallest = torch.full((3, 1), 1e-2, dtype=torch.float64)
    close((p.X @ v.unsqueeze(-1)).squeeze(-1), (smallest * u))
    close(u.norm(dim=1), np.ones(3))
    close(v.norm(dim=1), np.ones(3))
    assert ((u * p.Y[..., 0]).sum(1) >= 0).all()
    assert (((v * min_norm(p)[..., 0]).sum(1)) >= 0).all()  # along +v_R the first prediction rises
    flipped = torch.where(torch.arange(p.spectrum.s.shape[-1]) % 2 == 0, -1.0, 1.0).double()
    for sign in (flipped, -flipped):
        svd = copy.copy(p.spectrum)
        object.__setattr__(svd, "U", p.spectrum.U * sign)
        object.__setattr__(svd, "Vt", p.spectrum.Vt * sign[:, None])
        other = Problem(p.X, p.Y, svd, p.beta)
        assert torch.equal(other.weakest_mode[0], u)
        assert torch.equal(other.weakest_mode[1], v)
    # The targets fix the sign: with −Y both turn round.
    assert torch.equal(Problem(p.X, -p.Y, p.spectrum, p.beta).weakest_mode[1], -v)
    if rank < min(n, 8):  # the thin SVD's last pair is another one
        assert (p.X @ p.spectrum.Vt[:, -1, :, None]).abs().max() < 1e-10


@pytest.mark.parametrize("rank", [3, 8])
@pytest.mark.parametrize("n", SIZES)
def test_adversarial_test_rows_move_by_the_strength_along_the_weakest_direction(n, rank):
    p = problem(n, rank=rank)
    shifted = adversarial_test(p, 2.5)
    close(shifted.test_shift.norm(dim=1), np.full(3, 2.5))
    W = min_norm(p)
    # A prediction changes by c (u_R·y)/σ_R: far more than for the same shift along v₁.
    moved = (shifted.test_shift.unsqueeze(1) @ W).squeeze(1)
    close(moved, 2.5 / 1e-2 * (p.weakest_mode[0].unsqueeze(1) @ p.Y).squeeze(1), 1e-8)
    along_first = (2.5 * p.spectrum.Vt[:, :1] @ W).squeeze(1)
    assert (moved.norm(dim=1) > 10 * along_first.norm(dim=1)).all()
    assert torch.equal(min_norm(shifted), W)
    assert not adversarial_test(p, 0.0).test_shift.any()


@pytest.mark.parametrize("rank", [3, 8])
@pytest.mark.parametrize("n", SIZES)
def test_adversarial_training_targets_move_the_readout_by_c_over_sigma_along_v(n, rank):
    p = problem(n, rank=rank)
    c = 0.7
    attacked = adversarial_train(p, c)
    u, v = p.weakest_mode
    close((attacked.Y - p.Y).norm(dim=1), np.full((3, 2), c))
    close(min_norm(attacked) - min_norm(p), (c / 1e-2 * v).unsqueeze(-1).expand(-1, -1, 2))
    assert torch.equal(adversarial_train(p, 0.0).Y, p.Y)
    assert torch.equal(attacked.features(), p.X)
    # Control: the same push along another left direction moves it less.
    random = torch.from_numpy(np.random.default_rng(3).standard_normal(u.shape))
    pushed = Problem(p.X, p.Y + c * (random / random.norm(dim=1, keepdim=True)).unsqueeze(-1), p.spectrum, p.beta)
    gap, other = (min_norm(q) - min_norm(p) for q in (attacked, pushed))
    assert (gap.flatten(1).norm(dim=1) > 1.05 * other.flatten(1).norm(dim=1)).all()


def test_adversarial_data_are_the_data_themselves_where_x_is_zero():
    X = torch.zeros(2, 4, 3, dtype=torch.float64)
    p = Problem(X, torch.ones(2, 4, 1, dtype=torch.float64), spectrum(X), torch.ones(2, 3, 1, dtype=torch.float64))
    assert torch.equal(adversarial_train(p, 5.0).Y, p.Y)
    assert not adversarial_test(p, 5.0).test_shift.any()


# All ablations

LEVELS = {
    "singular_value_cutoff": 0.5,
    "leading_modes": 2,
    "no_residuals": None,
    "adversarial_test": 2.0,
    "adversarial_train": 2.0,
}


def test_every_ablation_is_tried_below():
    assert set(LEVELS) == set(ABLATIONS)


def ablated(p, name):
    return code(ABLATIONS[name].apply)(p, LEVELS[name])


def fields(p):
    tensors = {name: getattr(p, name) for name in ("X", "Y", "beta", "test_modes", "test_shift")}
    return tensors | {name: getattr(p.spectrum, name) for name in ("U", "s", "Vt", "nonzero")}


def same(a, b):
    return a is b is None or (a is not None and b is not None and torch.equal(a, b))


@pytest.mark.parametrize("name", ABLATIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_an_ablation_makes_a_new_problem_and_leaves_the_given_one_alone(name, dtype):
    p = problem(16, dtype=dtype)
    before = copy.deepcopy(p)
    after = ablated(p, name)
    assert all(same(a, b) for a, b in zip(fields(p).values(), fields(before).values(), strict=True))
    assert (p.linear, p.cut) == (before.linear, before.cut)
    changed = [key for key in fields(p) if not same(fields(p)[key], fields(after)[key])]
    assert changed or after.linear  # an ablation that did nothing would leave everything alone too
    # The spectrum and what is made of it are in float64 whatever the problem is in.
    assert all(t is None or t.dtype in (dtype, torch.float64, torch.bool) for t in fields(after).values())


@pytest.mark.parametrize("name", ABLATIONS)
@pytest.mark.parametrize("n", SIZES)
def test_cells_taken_from_an_ablated_stack_are_those_cells_ablated(name, n):
    p, cells = problem(n, cells=5), torch.tensor([3, 0])
    after, before = ablated(p, name).at(cells), ablated(p.at(cells), name)
    assert (after.linear, after.cut) == (before.linear, before.cut)
    for key in fields(p):
        a, b = fields(after)[key], fields(before)[key]
        assert (a is None) == (b is None), key
        if a is not None:
            close(a.double(), b.double())
    close(after.features(), before.features())
    close(after.tested(min_norm(after)), before.tested(min_norm(before)))
    assert relative_gap(p.at(torch.tensor([0, 3])).X, p.at(cells).X) > 0.1


@pytest.mark.parametrize("name", ABLATIONS)
@pytest.mark.parametrize("n", SIZES)
def test_padding_with_zero_rows_changes_no_ablation(name, n):
    """In a stack, cells with fewer rows end in zeros."""
    p = problem(n)
    X, Y = (torch.cat([a, a.new_zeros(3, 5, a.shape[2])], 1) for a in (p.X, p.Y))
    padded = ablated(Problem(X, Y, spectrum(X, RTOL), p.beta), name)
    plain = ablated(p, name)
    close(padded.features()[:, :n], plain.features())
    close(padded.Y[:, :n], plain.Y)
    assert padded.Y[:, n:].abs().max() < 1e-10
    close(padded.tested(min_norm(padded)), plain.tested(min_norm(plain)), 1e-8)
    if plain.test_shift is not None:
        close(padded.test_shift, plain.test_shift)
