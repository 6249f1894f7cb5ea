"""The thin SVD of stacks, and what is read from it."""

import numpy as np
import pytest
import torch

from gdstudy.linalg.spectrum import Spectrum, product, spectrum

SHAPES = [(4, 8), (8, 8), (16, 8)]
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")


def stack(cells, n, P, dtype=torch.float64, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((*cells, n, P))).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("cells", [(), (1,), (63,), (64,), (13, 9)])  # from 64 matrices on, a part a thread
@pytest.mark.parametrize(("n", "P"), SHAPES)
def test_every_matrix_of_a_stack_has_its_own_svd_in_its_own_place(cells, n, P, dtype, monkeypatch):
    monkeypatch.setattr("gdstudy.linalg.spectrum.all_threads", lambda: 3)
    X = stack(cells, n, P, dtype)
    spec = spectrum(X)
    tolerance = 100 * torch.finfo(torch.float64).eps
    R = min(n, P)
    assert spec.U.shape == (*cells, n, R)
    assert spec.Vt.shape == (*cells, R, P)
    assert spec.s.dtype == torch.float64  # whatever the data are in
    torch.testing.assert_close(spec.s, torch.linalg.svdvals(X.double()), rtol=0, atol=tolerance * 10)
    torch.testing.assert_close(spec.matrix(), X.double(), rtol=0, atol=tolerance * 10)
    for vectors in (spec.U.mT @ spec.U, spec.Vt @ spec.Vt.mT):
        torch.testing.assert_close(vectors, torch.eye(R).double().expand_as(vectors), rtol=0, atol=tolerance)
    if cells:  # matrices in another order would be told apart
        assert (spec.matrix() - X.flip(0)).abs().max() > 1 or cells == (1,)


def test_a_transposed_stack_that_is_not_contiguous_is_read_in_order(monkeypatch):
    monkeypatch.setattr("gdstudy.linalg.spectrum.all_threads", lambda: 3)
    X = stack((70,), 5, 3).mT
    torch.testing.assert_close(spectrum(X).matrix(), X)


@pytest.mark.parametrize(("n", "P"), SHAPES)
def test_rank_counts_singular_values_above_a_cutoff_of_each_cell(n, P):
    U, _, Vt = torch.linalg.svd(stack((3,), n, P), full_matrices=False)
    s = torch.logspace(0, -6, min(n, P), dtype=torch.float64)
    X = U * s @ Vt
    rtol = torch.tensor([1e-9, 1e-3, 0.5], dtype=torch.float64)
    by_hand = [int((s > cutoff).sum()) for cutoff in rtol]
    assert spectrum(X, rtol).rank.tolist() == by_hand
    assert len(set(by_hand)) == 3  # a single cutoff for all cells would fail
    assert [spectrum(x, float(cutoff)).rank.item() for x, cutoff in zip(X, rtol, strict=True)] == by_hand
    # The cutoff is relative to σ₁ of the cell itself: units of X change nothing.
    units = torch.tensor([1e-8, 1.0, 1e8], dtype=torch.float64)[:, None, None]
    assert spectrum(units * X, rtol).rank.tolist() == by_hand
    assert spectrum(units.flip(0) * X, rtol).rank.tolist() == by_hand
    assert spectrum(X, 1e-3).rank.tolist() == [by_hand[1]] * 3


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_default_cutoff_gives_numpys_matrix_rank(dtype):
    X = stack((5,), 30, 12, dtype)
    X[1, :, 3] = X[1, :, 4]
    X[2, :, 3] = X[2, :, 4] + X[2, :, 5]
    X[2, :, 7] = 2 * X[2, :, 8]
    X[3] = 0
    X[4, 5:] = 0
    spec = spectrum(X)
    assert spec.rank.tolist() == np.linalg.matrix_rank(X.numpy()).tolist() == [12, 11, 10, 0, 5]
    torch.testing.assert_close(spec.matrix(), X.double(), rtol=0, atol=100 * torch.finfo(dtype).eps)


# What counts as zero


def with_singular_values(s, n, P, dtype=np.float64, seed=0):
    """A random matrix with these singular values, as numbers of this type."""
    random = np.random.default_rng(seed)
    U, V = (np.linalg.qr(random.standard_normal((m, len(s))))[0] for m in (n, P))
    return torch.from_numpy((U * s @ V.T).astype(dtype))


def dependent(kind, n, P, dtype, seed=0):
    """(X of this dtype that is of lower rank in exact arithmetic, that rank)."""
    random = np.random.default_rng(seed)
    if kind == "duplicate":
        X = random.standard_normal((n, P))
        X[:, -1] = X[:, 0]
        return X.astype(dtype), min(n, P - 1)
    if kind == "sums":  # rounded after they were summed
        X = random.standard_normal((n, P))
        half = P // 2
        X[:, half:] = X[:, :half] @ (random.random((half, P - half)) > 0.5)
        return X.astype(dtype), min(n, half)
    if kind == "shifted":  # columns around 3, and their sum
        X = random.standard_normal((n, P)) + 3
        X[:, -1] = X[:, :-1].sum(1)
        return X.astype(dtype), min(n, P - 1)
    if kind == "product":  # computed in that precision
        r = max(1, min(n, P) // 2)
        A, B = random.standard_normal((n, r)).astype(dtype), random.standard_normal((r, P)).astype(dtype)
        return A @ B, r
    assert kind == "scales"  # columns in very different units, one of them twice
    X = random.standard_normal((n, P)) * np.geomspace(1, 1e-3, P)
    X[:, 1] = 3 * X[:, 0]
    return X.astype(dtype), min(n, P - 1)


SIZES = [(6, 4), (4, 9), (20, 20), (60, 20), (500, 40), (40, 500), (20_000, 8), (50_000, 12), (8, 20_000), (300, 300)]
KINDS = ["duplicate", "sums", "shifted", "product", "scales"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "P"), SIZES)
def test_what_rounding_alone_makes_of_a_zero_counts_as_zero(n, P, kind, dtype):
    X, rank = dependent(kind, n, P, dtype)
    spec = spectrum(torch.from_numpy(X))
    assert int(spec.rank) == rank
    if rank < min(n, P):  # and it is rounding, not zero, that is left there
        assert kind == "duplicate" or float(spec.s[rank]) > 0
        assert int(spectrum(torch.from_numpy(X), 0).rank) > rank or float(spec.s[rank]) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "P"), SIZES)
def test_a_mode_that_rounding_leaves_is_not_thrown_away_however_many_rows_there_are(n, P, dtype):
    """Down to 50 eps of the data (and of the SVD: at most 10 √max(N, P) eps), where max(N, P)·eps would cut it off."""
    R = min(n, P)
    floor = max(50 * np.finfo(dtype).eps, 10 * np.sqrt(max(n, P)) * np.finfo(float).eps)
    s = np.geomspace(1, floor, R)
    X = with_singular_values(s, n, P, dtype)
    spec = spectrum(X)
    assert int(spec.rank) == R
    np.testing.assert_allclose(spec.s[-1], s[-1], rtol=0.2)
    if max(n, P) > 100:
        assert int((spec.s > max(n, P) * np.finfo(dtype).eps * spec.s[0]).sum()) < R


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_the_cutoff_follows_the_precision_of_the_data_and_not_their_units(dtype):
    X = stack((), 40, 12).to(dtype)
    spec, eps = spectrum(X), torch.finfo(dtype).eps
    assert 1 < float(spec.cutoff / (eps * spec.s[0])) < 40
    for power in (-100, 3, 100):
        same = spectrum(X.double() * 2.0**power, eps=eps)
        assert float(same.cutoff) == float(spec.cutoff) * 2.0**power
        assert torch.equal(same.Vt, spec.Vt)


def test_rows_and_columns_of_zeros_change_neither_the_cutoff_nor_the_rank():
    X, rank = dependent("sums", 30, 10, np.float64)
    padded = np.zeros((4, 500, 90))
    padded[:, 3:33, 5:15] = X
    alone, with_zeros = spectrum(torch.from_numpy(X)), spectrum(torch.from_numpy(padded))
    np.testing.assert_allclose(with_zeros.cutoff, np.full(4, float(alone.cutoff)), rtol=1e-12)
    assert with_zeros.rank.tolist() == [rank] * 4


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
@pytest.mark.parametrize(("n", "P"), [(60, 20), (20, 60), (2000, 768), (50_000, 10), (10, 50_000), (1000, 1000)])
def test_the_svds_own_errors_stay_within_their_part_of_the_cutoff(n, P, device):
    """Whole numbers: exact in float64, of exact rank."""
    random = np.random.default_rng(0)
    for rank in {1, min(n, P) // 2}:
        X = random.integers(-4, 5, (n, rank)) @ random.integers(-4, 5, (rank, P))
        spec = spectrum(torch.from_numpy(X.astype(float)).to(device))
        assert int(spec.rank) == rank
        assert float(spec.s[rank]) < 0.5 * float(spec.cutoff)  # some way to go


# One matrix, one answer


@pytest.mark.parametrize(("n", "P"), [*SHAPES, (300, 40), (40, 300), (1, 5), (5, 1)])
def test_a_matrix_has_the_same_digits_alone_in_a_stack_and_in_any_layout(n, P, monkeypatch):
    monkeypatch.setattr("gdstudy.linalg.spectrum.all_threads", lambda: 3)
    X, Y = stack((70,), n, P), stack((70,), n, 2, seed=1)
    alone = spectrum(X[11])
    strided = torch.zeros(n, 3 * P, dtype=torch.float64)[:, ::3].copy_(X[11])
    others = [spectrum(X).at(torch.tensor(11)), spectrum(X[11:12]).at(torch.tensor(0)), spectrum(strided)]
    others += [spectrum(X[11].mT.contiguous().mT), spectrum(X.reshape(7, 10, n, P)[1, 1])]
    for other in others:
        for name in ("U", "s", "Vt", "nonzero", "cutoff"):
            assert torch.equal(getattr(other, name), getattr(alone, name)), name
        assert torch.equal(other.solve(Y[11]), alone.solve(Y[11]))
    assert torch.equal(spectrum(X).solve(Y)[11], alone.solve(Y[11]))


def test_a_matrix_of_zeros_has_rank_0_and_no_smallest_singular_value():
    spec = spectrum(torch.zeros(2, 3, 4, dtype=torch.float64))
    assert spec.rank.tolist() == [0, 0]
    assert spec.smallest.isnan().all()
    assert not spec.matrix().any()
    assert spec.filtered(torch.zeros(2, 3, 1, dtype=torch.float64), torch.ones(2, 3, 1).double()).shape == (2, 4, 1)


def by_hand(s, Vt=None, rtol=1e-9):
    s = torch.tensor(s, dtype=torch.float64)
    eye = torch.eye(s.shape[-1], dtype=torch.float64).expand(len(s), -1, -1)
    return Spectrum(eye, s, eye if Vt is None else Vt, s > rtol * s[:, :1], rtol * s[:, 0])


def test_smallest_is_the_last_singular_value_that_counts():
    spec = by_hand([[4.0, 2.0, 1.0], [4.0, 2.0, 1e-12], [4.0, 0.0, 0.0]])
    assert spec.smallest.tolist() == [1, 2, 4]
    assert spec.s[:, -1].tolist() == [1, 1e-12, 0]  # the last of all is another one


def test_without_takes_modes_out_of_the_matrix_the_rank_and_the_smallest():
    spec = by_hand([[4.0, 2.0, 1.0], [5.0, 3.0, 2.0]])
    less = spec.without(spec.s < 2)
    assert less.s.tolist() == [[4, 2, 0], [5, 3, 2]]
    assert less.rank.tolist() == [2, 3]
    assert less.smallest.tolist() == [2, 2]
    assert torch.equal(less.matrix(), torch.diag_embed(less.s))
    assert spec.rank.tolist() == [3, 3]  # the given one is as it was
    # From anywhere, not only from the end, and what counted as zero does not come back.
    assert spec.without(spec.s >= 4).s.tolist() == [[0, 2, 1], [0, 3, 2]]
    below = by_hand([[4.0, 2.0, 1e-12]])
    assert below.without(torch.zeros_like(below.nonzero)).rank.item() == 2
    assert below.matrix()[0, 2, 2] == 0


def test_at_takes_cells_in_the_order_asked_for():
    X = stack((6,), 5, 3)
    cells = torch.tensor([4, 1, 1])
    part = spectrum(X).at(cells)
    torch.testing.assert_close(part.matrix(), X[cells])
    torch.testing.assert_close(part.s, torch.linalg.svdvals(X[cells]))
    assert part.rank.shape == (3,)


@pytest.mark.parametrize(("n", "P"), SHAPES)
def test_filtering_with_sigma_projects_and_with_its_inverse_inverts(n, P):
    X, Y = stack((3,), n, P), stack((3,), n, 2, seed=1)
    spec = spectrum(X)
    torch.testing.assert_close(spec.filtered(spec.s.unsqueeze(-1), Y), X.mT @ Y)
    torch.testing.assert_close(spec.filtered(1 / spec.s.unsqueeze(-1), Y), torch.linalg.pinv(X) @ Y)
    # A filter for each output.
    f = torch.stack([spec.s, 1 / spec.s], -1)
    both = torch.cat([X.mT @ Y[..., :1], torch.linalg.pinv(X) @ Y[..., 1:]], -1)
    torch.testing.assert_close(spec.filtered(f, Y), both)


MANY, ONE = (5, 3, 4), (4, 4)
BROADCAST = [(MANY, ONE), ((3, 4), (6, 4, 2)), ((2, 1, 3, 4), (5, 4, 2)), ((3, 4), ONE)]


@pytest.mark.parametrize(("A", "B"), BROADCAST)
def test_products_broadcast_as_numpys_do_on_every_device(A, B):
    """The meta device has shapes alone, and takes the way of a GPU."""
    there = product(torch.empty(A, device="meta"), torch.empty(B, device="meta")).shape
    assert there == product(torch.zeros(A), torch.zeros(B)).shape == np.matmul(np.zeros(A), np.zeros(B)).shape
