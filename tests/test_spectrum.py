"""The thin SVD of stacks, and what is read from it."""

import numpy as np
import pytest
import torch

from gdstudy.spectrum import Spectrum, spectrum

SHAPES = [(4, 8), (8, 8), (16, 8)]


def stack(cells, n, P, dtype=torch.float64, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((*cells, n, P))).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("cells", [(), (1,), (63,), (64,), (13, 9)])  # from 64 matrices on, a part a thread
@pytest.mark.parametrize(("n", "P"), SHAPES)
def test_every_matrix_of_a_stack_has_its_own_svd_in_its_own_place(cells, n, P, dtype, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    X = stack(cells, n, P, dtype)
    spec = spectrum(X)
    tolerance = 100 * torch.finfo(dtype).eps
    R = min(n, P)
    assert spec.U.shape == (*cells, n, R)
    assert spec.Vt.shape == (*cells, R, P)
    assert spec.s.dtype == dtype
    torch.testing.assert_close(spec.s, torch.linalg.svdvals(X), rtol=0, atol=tolerance * 10)
    torch.testing.assert_close(spec.matrix(), X, rtol=0, atol=tolerance * 10)
    for vectors in (spec.U.mT @ spec.U, spec.Vt @ spec.Vt.mT):
        torch.testing.assert_close(vectors, torch.eye(R, dtype=dtype).expand_as(vectors), rtol=0, atol=tolerance)
    if cells:  # matrices in another order would be told apart
        assert (spec.matrix() - X.flip(0)).abs().max() > 1 or cells == (1,)


def test_a_transposed_stack_that_is_not_contiguous_is_read_in_order(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
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
    torch.testing.assert_close(spec.matrix(), X, rtol=0, atol=100 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("n", [8, 12, 30])
def test_the_default_cutoff_is_the_longer_side_times_eps(n):
    """As in numpy.linalg.matrix_rank: of 12 columns, one just above and one just below it."""
    cutoff = max(n, 12) * np.finfo(float).eps
    X = np.zeros((2, n, 12))
    for cell, factor in enumerate((0.9, 1.1)):
        s = np.ones(min(n, 12))
        s[-1] = factor * cutoff
        np.fill_diagonal(X[cell], s)
    rank = min(n, 12)
    assert spectrum(torch.from_numpy(X)).rank.tolist() == np.linalg.matrix_rank(X).tolist() == [rank - 1, rank]


def test_a_matrix_of_zeros_has_rank_0_and_no_smallest_singular_value():
    spec = spectrum(torch.zeros(2, 3, 4, dtype=torch.float64))
    assert spec.rank.tolist() == [0, 0]
    assert spec.smallest.isnan().all()
    assert not spec.matrix().any()
    assert spec.filtered(torch.zeros(2, 3, 1, dtype=torch.float64), torch.ones(2, 3, 1).double()).shape == (2, 4, 1)


def by_hand(s, Vt=None, rtol=1e-9):
    s = torch.tensor(s, dtype=torch.float64)
    eye = torch.eye(s.shape[-1], dtype=torch.float64).expand(len(s), -1, -1)
    return Spectrum(eye, s, eye if Vt is None else Vt, s > rtol * s[:, :1])


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
