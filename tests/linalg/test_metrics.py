"""Sums over test rows against the test rows themselves, and the norms of readouts."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gdstudy import load_dataset
from gdstudy.data.features import feature_map
from gdstudy.data.splits import split, training_rows
from gdstudy.linalg.frame import Frame
from gdstudy.linalg.metrics import AllRows, SplitErrors, dimensionality, frobenius, relative_distance, row_space_leak
from gdstudy.study.models import MODELS


def setting(tables, cells, draw=None):
    """Errors of cells (n_train, seed) on tables [Φ Y], and the test rows of each cell, one by one."""
    draw = [0] * len(cells) if draw is None else draw
    n_rows, width = tables[0].shape
    numbers = training_rows(n_rows, cells, max(n for n, _ in cells))
    rows = np.zeros((*numbers.shape, width))
    for c, (n, _) in enumerate(cells):
        rows[c, :n] = tables[draw[c]][numbers[c, :n]]
    n_train = torch.tensor([n for n, _ in cells])
    errors = SplitErrors(AllRows.of(tables), torch.tensor(draw), torch.from_numpy(rows), n_train)
    return errors, [tables[g][split(n_rows, *cell)[1]] for g, cell in zip(draw, cells, strict=True)]


def sums_of(errors, z, shift=None):
    return tuple(sums.numpy() for sums in errors.sums(z, shift))


def direct_sums(test_rows, z, shift=None):
    shift = np.zeros((len(z), z.shape[2])) if shift is None else shift
    values = [rows @ columns + s for rows, columns, s in zip(test_rows, z, shift, strict=True)]
    return np.stack([(v**2).sum(0) for v in values]), np.stack([v.sum(0) for v in values])


def fits(data, cells):
    """The minimum-norm readouts of the cells' training rows, (C, P, k)."""
    parts = [split(len(data.X), *cell)[0] for cell in cells]
    return torch.from_numpy(np.stack([np.linalg.pinv(data.X[rows]) @ data.Y[rows] for rows in parts]))


@settings(max_examples=25, deadline=None)
@given(
    P=st.integers(1, 8),
    k=st.integers(1, 3),
    m=st.integers(1, 5),
    draws=st.integers(1, 3),
    n=st.lists(st.integers(1, 29), min_size=1, max_size=5),
    shifted=st.booleans(),
    seed=st.integers(0, 99),
)
def test_sums_equal_those_over_the_test_rows_themselves(P, k, m, draws, n, shifted, seed):
    random = np.random.default_rng(seed)
    tables = [random.standard_normal((30, P + k)) + 1 for _ in range(draws)]
    cells = [(size, int(random.integers(5))) for size in n]
    errors, test_rows = setting(tables, cells, random.integers(draws, size=len(cells)).tolist())
    z = random.standard_normal((len(cells), P + k, m))
    shift = random.standard_normal((len(cells), m)) if shifted else np.zeros((len(cells), m))
    squares, sums = errors.sums(torch.from_numpy(z), torch.from_numpy(shift) if shifted else None)
    expected = direct_sums(test_rows, z, shift)
    np.testing.assert_allclose(squares, expected[0], rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(sums, expected[1], rtol=1e-11, atol=1e-11)
    np.testing.assert_array_equal(errors.n_test, [len(rows) for rows in test_rows])


@pytest.mark.parametrize(("name", "tolerance"), [("diabetes", 1e-10), ("who_life_expectancy", 1e-6)])
def test_errors_of_readouts_on_real_data_equal_those_over_the_test_rows(name, tolerance):
    """On both sides of P = 10 and 17; WHO's raw columns differ by a factor 10⁹."""
    data = load_dataset(name)
    table = np.hstack([data.X, data.Y])
    cells = [(5, 0), (data.X.shape[1], 1), (40, 2), (len(data.X) - 1, 3)]
    errors, test_rows = setting([table], cells)
    W = fits(data, cells)
    shift = torch.linspace(-1, 1, 4, dtype=torch.float64)[:, None]
    for z, s in ((errors.residual(W), None), (errors.value(W), None), (errors.residual(W), shift)):
        squares, sums = sums_of(errors, z, s)
        expected = direct_sums(test_rows, z.numpy(), None if s is None else s.numpy())
        np.testing.assert_allclose(squares[:3], expected[0][:3], rtol=tolerance)
        scale = np.sqrt(expected[0] * errors.n_test[:, None].numpy())
        assert (np.abs(sums - expected[1]) < tolerance * scale)[:3].all()
        # One test row: all rows but one are subtracted, and what is left has the rounding of all.
        assert abs(squares[3] - expected[0][3]) < 1e-12 * float(((table @ z[3].numpy()) ** 2).sum()) * len(table)
    # Controls: no other cell's test rows, and not the rows of training and test together.
    assert np.abs(squares[0] / expected[0][1] - 1) > 1e-3
    everything = ((table @ errors.residual(W)[2].numpy() + shift[2].item()) ** 2).sum()
    assert abs(squares[2, 0] / everything - 1) > 1e-3


@settings(max_examples=25, deadline=None)
@given(
    P=st.integers(1, 6),
    draws=st.integers(1, 2),
    n=st.lists(st.integers(1, 29), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
def test_each_cell_is_measured_on_the_test_rows_as_it_sees_them(P, draws, n, seed):
    random = np.random.default_rng(seed)
    tables = [random.standard_normal((30, P + 2)) + 0.3 for _ in range(draws)]
    cells = [(size, int(random.integers(5))) for size in n]
    plain, test_rows = setting(tables, cells, random.integers(draws, size=len(cells)).tolist())
    frame = Frame.of(plain.rows, plain.n_train, torch.arange(P + 2) < P)
    errors = SplitErrors(plain.everything, plain.draw, frame.of_rows(plain.rows, plain.n_train), plain.n_train, frame)
    location, scale = frame.location.numpy(), frame.scale.numpy()
    seen = [(rows - m) / s for rows, m, s in zip(test_rows, location, scale, strict=True)]
    z, shift = random.standard_normal((len(cells), P + 2, 3)), random.standard_normal((len(cells), 3))
    for offset in (None, shift):
        found = sums_of(errors, torch.from_numpy(z), None if offset is None else torch.from_numpy(offset))
        expected = direct_sums(seen, z, offset)
        size = 1e-12 * (1 + expected[0].max() + 30 * np.square(location / scale).max())
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=size)
    part = torch.tensor([len(cells) - 1])
    alone = sums_of(errors.at(part), torch.from_numpy(z)[part])
    np.testing.assert_allclose(alone, [s[-1:] for s in sums_of(errors, torch.from_numpy(z))], rtol=1e-10, atol=size)
    all_rows = [(tables[g] - m) / s for g, m, s in zip(plain.draw, location, scale, strict=True)]
    expected = [np.square(rows[:, :P]).sum(1).mean() ** 0.5 for rows in all_rows]
    np.testing.assert_allclose(errors.root_mean_square(P), expected, rtol=1e-10)
    # Control: rows as they are give other numbers.
    assert (np.abs(sums_of(plain, torch.from_numpy(z))[0] / direct_sums(seen, z)[0] - 1) > 1e-6).any()


def test_each_cell_is_measured_on_its_own_draw_of_the_features():
    data = load_dataset("diabetes", "standardize")
    tables = [np.hstack([feature_map(MODELS["random_relu"], data.X, 20, seed), data.Y]) for seed in (0, 1, 2)]
    cells, draw = [(10, 0), (20, 1), (40, 2), (30, 0)], [0, 1, 2, 0]
    errors, test_rows = setting(tables, cells, draw)
    W = 100 * torch.from_numpy(np.random.default_rng(0).standard_normal((4, 20, 1)))
    squares, sums = sums_of(errors, errors.residual(W))
    expected = direct_sums(test_rows, errors.residual(W).numpy())
    np.testing.assert_allclose(squares, expected[0], rtol=1e-10)
    np.testing.assert_allclose(sums, expected[1], rtol=1e-10, atol=1e-8 * float(squares.max()) ** 0.5)
    part = torch.tensor([2, 0])
    np.testing.assert_allclose(sums_of(errors.at(part), errors.residual(W)[part])[0], expected[0][part], rtol=1e-10)
    assert errors.at(part).n_test.tolist() == [402, 432]
    # Controls: with the draws or the splits exchanged, the numbers are others.
    mixed = SplitErrors(errors.everything, torch.tensor([1, 2, 0, 1]), errors.rows, errors.n_train)
    assert (np.abs(sums_of(mixed, errors.residual(W))[0] / expected[0] - 1) > 1e-3).all()


def test_residual_and_value_are_predictions_with_and_without_the_targets():
    random = np.random.default_rng(0)
    X, Y, W = random.standard_normal((7, 4)), random.standard_normal((7, 2)), random.standard_normal((3, 4, 2))
    errors = SplitErrors(AllRows.of([np.hstack([X, Y])]), torch.zeros(3), torch.zeros(3, 1, 6), torch.zeros(3))
    rows, readouts = torch.from_numpy(np.hstack([X, Y])), torch.from_numpy(W)
    np.testing.assert_allclose(rows @ errors.residual(readouts), X @ W - Y)
    np.testing.assert_allclose(rows @ errors.value(readouts), X @ W)


def test_what_the_training_rows_say_may_be_known():
    random = np.random.default_rng(0)
    errors, _ = setting([random.standard_normal((30, 5))], [(4, 0), (17, 1)])
    z = torch.from_numpy(random.standard_normal((2, 5, 3)))
    known = (errors.rows @ z).square().sum(1)
    assert torch.equal(errors.squares(z, known), errors.squares(z))
    assert bool((errors.squares(z, torch.zeros_like(known)) > errors.squares(z)).all())  # of all rows


def test_a_test_error_of_zero_never_comes_out_negative():
    """The difference of two equal sums rounds to either side of zero; a mean square is at least zero."""
    random = np.random.default_rng(0)
    cells = [(20, seed) for seed in range(40)]
    tables = [random.standard_normal((30, 5)) for _ in cells]
    for table, cell in zip(tables, cells, strict=True):
        table[split(30, *cell)[1]] = 0  # rows without features or targets are predicted without error
    errors, _ = setting(tables, cells, list(range(40)))
    z = torch.from_numpy(random.standard_normal((40, 5, 3)))
    squares, sums = errors.sums(z)
    assert (squares >= 0).all()
    assert squares.max() < 1e-12
    assert sums.abs().max() < 1e-12
    assert (squares > 0).any()  # rounding there is


@pytest.mark.parametrize("name", ["diabetes", "who_life_expectancy"])
def test_the_best_readout_is_the_least_squares_fit_of_all_rows(name):
    data = load_dataset(name)
    P = data.X.shape[1]
    best = AllRows.of([np.hstack([data.X, data.Y])]).best_readout(P).numpy()
    theirs = np.linalg.lstsq(data.X, data.Y, rcond=None)[0]
    assert best.shape == (1, P, 1)
    # Both have the rounding of κ; the predictions agree to far more digits.
    np.testing.assert_allclose(data.X @ best[0], data.X @ theirs, rtol=1e-9)
    np.testing.assert_allclose(best[0], theirs, rtol=1e-6, atol=1e-9 * np.abs(theirs).max())
    half = np.linalg.lstsq(data.X[::2], data.Y[::2], rcond=None)[0]
    assert np.linalg.norm(half - theirs) > 1e-3 * np.linalg.norm(theirs)


@pytest.mark.parametrize(("n", "P", "k"), [(30, 6, 1), (30, 6, 3), (6, 6, 2), (4, 6, 2), (4, 2, 3)])
@pytest.mark.parametrize("deficient", [False, True])
def test_the_best_readout_has_minimum_norm_where_the_fit_is_not_unique(n, P, k, deficient):
    random = np.random.default_rng(n + P)
    tables = [random.standard_normal((n, P + k)) for _ in range(2)]
    if deficient:
        for table in tables:
            table[:, 1] = table[:, 0]
    everything = AllRows.of(tables)
    for readout, table in zip(everything.best_readout(P).numpy(), tables, strict=True):
        np.testing.assert_allclose(readout, np.linalg.pinv(table[:, :P], rcond=1e-12) @ table[:, P:], atol=1e-10)
    np.testing.assert_allclose(everything.total, [table.sum(0) for table in tables])
    assert everything.n_rows == n
    assert torch.equal(everything.to("cpu").R, everything.R)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_norms_of_readouts_side_by_side_are_those_of_each_alone(k, dtype):
    random = torch.Generator().manual_seed(0)
    levels, references = (
        [scale * torch.randn(5, 8, k, generator=random, dtype=dtype) for scale in (1, 10, 100)] for _ in range(2)
    )
    V = torch.linalg.qr(torch.randn(5, 8, 4, generator=random, dtype=dtype))[0].mT
    nonzero = torch.tensor([True, True, True, False]).expand(5, -1)
    W, R = torch.cat(levels, -1), torch.cat(references, -1)
    together = frobenius(W, 3), relative_distance(W, R, 3), row_space_leak(W, V, nonzero, 3)
    for level, (w, r) in enumerate(zip(levels, references, strict=True)):
        kept = V[:, :3].mT @ V[:, :3] @ w
        size = torch.linalg.matrix_norm(w)
        by_hand = (
            size,
            torch.linalg.matrix_norm(w - r) / torch.linalg.matrix_norm(r),
            torch.linalg.matrix_norm(w - kept) / size,
        )
        alone = frobenius(w), relative_distance(w, r), row_space_leak(w, V, nonzero)
        for all_levels, one, expected in zip(together, alone, by_hand, strict=True):
            assert one.shape == (5,)
            torch.testing.assert_close(all_levels[:, level], expected)
            torch.testing.assert_close(one, expected)
    assert not torch.allclose(together[0][:, 0], together[0][:, 1])


def test_distances_and_leaks_of_zero_readouts():
    zero, one = torch.zeros(2, 3, 1), torch.ones(2, 3, 1)
    V = torch.eye(3).expand(2, -1, -1)[:, :1]
    everything, nothing = torch.ones(2, 1, dtype=torch.bool), torch.zeros(2, 1, dtype=torch.bool)
    assert relative_distance(zero, zero).tolist() == [0, 0]
    assert relative_distance(one, zero).isinf().all()
    assert relative_distance(zero, one).tolist() == [1, 1]
    assert row_space_leak(zero, V, everything).tolist() == [0, 0]
    assert row_space_leak(one, V, nothing).tolist() == [1, 1]  # X = 0 has an empty row space
    np.testing.assert_allclose(row_space_leak(one, V, everything), np.sqrt(2 / 3), rtol=1e-6)


def turned(*angles):
    """Unit vectors in the plane."""
    return torch.tensor([[np.cos(a), np.sin(a)] for a in angles], dtype=torch.float64)


@pytest.mark.parametrize(
    ("vectors", "expected"),
    [
        (torch.eye(3, dtype=torch.float64), [1, 1, 1]),  # a dimension each
        (turned(0, np.pi), [1 / 2, 1 / 2]),  # an antipodal pair shares one
        (turned(0, np.pi, np.pi / 2), [1 / 2, 1 / 2, 1]),
        (turned(*(2 * np.pi * np.arange(5) / 5)), [2 / 5] * 5),  # a regular pentagon shares two
        (turned(*(2 * np.pi * np.arange(3) / 3)), [2 / 3] * 3),
        (turned(0, 0, 0, 0), [1 / 4] * 4),
        (torch.tensor([[3.0, 0.0], [0.0, 0.0]]), [1, 0]),  # what is not there has none
        (torch.tensor([[2.0, 0.0], [1.0, 0.0]]), [4 / 5, 1 / 5]),  # 4/(4 + 1), 1/(4 + 1)
        (torch.zeros(2, 2), [0, 0]),
    ],
)
def test_dimensionalities_of_known_arrangements(vectors, expected):
    np.testing.assert_allclose(dimensionality(vectors), expected, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 9),
    m=st.integers(1, 5),
    zeros=st.integers(0, 3),
    scale=st.floats(1e-6, 1e6),
    seed=st.integers(0, 99),
)
def test_dimensionality_is_its_definition_and_at_most_the_leverage(n, m, zeros, scale, seed):
    random = np.random.default_rng(seed)
    V = random.standard_normal((n + zeros, m)) * random.uniform(0.1, 3, (n + zeros, 1))
    V[n:] = 0
    D = dimensionality(torch.from_numpy(V)).numpy()
    for i in range(n):
        direction = V[i] / np.linalg.norm(V[i])
        assert D[i] == pytest.approx(V[i] @ V[i] / ((V @ direction) ** 2).sum())
    assert not D[n:].any()
    leverage = np.diag(V @ np.linalg.pinv(V))
    assert (leverage - D > -1e-9).all()
    assert D.sum() <= np.linalg.matrix_rank(V) + 1e-9
    # Neither a rotation nor another unit of length changes it; another length of one vector does.
    rotation = np.linalg.qr(random.standard_normal((m, m)))[0]
    np.testing.assert_allclose(dimensionality(torch.from_numpy(scale * V @ rotation)), D, rtol=1e-9, atol=1e-12)


def test_dimensionality_equals_the_leverage_of_eigenvectors_and_of_no_others():
    random = np.random.default_rng(0)
    V = np.linalg.qr(random.standard_normal((4, 4)))[0] * [[1.0], [2.0], [3.0], [4.0]]  # orthogonal: eigenvectors
    np.testing.assert_allclose(dimensionality(torch.from_numpy(V)), 1)
    V[1] += 0.5 * V[0]
    D = dimensionality(torch.from_numpy(V)).numpy()
    np.testing.assert_allclose(np.diag(V @ np.linalg.pinv(V)), 1)
    assert D[0] < 0.9


def test_stacks_of_vectors_have_the_dimensionalities_of_each():
    V = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 6, 2)))
    together = dimensionality(V)
    assert together.shape == (3, 6)
    for one, alone in zip(together, V, strict=True):
        torch.testing.assert_close(one, dimensionality(alone))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dimensionality_has_no_scale(dtype):
    V = torch.from_numpy(np.random.default_rng(0).standard_normal((7, 2))).to(dtype)
    for scale in (1e-12, 1e12):
        torch.testing.assert_close(dimensionality(scale * V), dimensionality(V), rtol=1e-5, atol=0)
