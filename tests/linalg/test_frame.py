"""Rows in the frame of their cell, against scikit-learn's StandardScaler on each cell's rows alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from gdstudy.linalg.frame import Frame
from gdstudy.linalg.spectrum import spectrum


def stack_of(parts):
    """Cells of different heights as one stack with zeros below, and their heights."""
    rows = np.zeros((len(parts), max(map(len, parts)), parts[0].shape[1]))
    for cell, part in zip(rows, parts, strict=True):
        cell[: len(part)] = part
    return torch.from_numpy(rows), torch.tensor([len(part) for part in parts])


def some(sizes, m, seed):
    random = np.random.default_rng(seed)
    return [random.standard_normal((n, m)) * 10.0 ** random.integers(-3, 4, m) + 5 for n in sizes]


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    m=st.integers(1, 5),
    scaled=st.booleans(),
    seed=st.integers(0, 99),
)
def test_each_cell_sees_its_rows_as_the_scaler_that_was_fitted_on_them(sizes, m, scaled, seed):
    parts = some(sizes, m, seed)
    rows, n = stack_of(parts)
    frame = Frame.of(rows, n, torch.full((m,), scaled))
    found = frame.of_rows(rows, n).numpy()
    for cell, part in zip(found, parts, strict=True):
        scaler = StandardScaler(with_std=scaled).fit(part)
        np.testing.assert_allclose(cell[: len(part)], scaler.transform(part), atol=1e-9 * np.abs(part).max())
        assert not cell[len(part) :].any()  # padding stays what it is


@pytest.mark.parametrize("size", [1e200, 1e-200, 1e307])
def test_columns_of_any_size_are_scaled(size):
    rows, n = stack_of(some([7, 4], 3, 0))
    scaled = torch.ones(3, dtype=torch.bool)
    found = Frame.of(rows * size / 1e4, n, scaled).of_rows(rows * size / 1e4, n)
    torch.testing.assert_close(found, Frame.of(rows, n, scaled).of_rows(rows, n), rtol=1e-9, atol=1e-9)


def test_a_readout_in_the_frame_is_one_outside_of_it_and_a_constant():
    parts, new = some([3, 7], 4, 0), np.random.default_rng(1).standard_normal((5, 4))
    rows, n = stack_of(parts)
    frame = Frame.of(rows, n, torch.tensor([True, False, True, True]))
    z = torch.from_numpy(np.random.default_rng(2).standard_normal((2, 4, 3)))
    outside, offset = frame.outside(z)
    for cells in (torch.tensor([0, 1]), torch.tensor([1])):
        one = frame.at(cells)
        seen = (torch.from_numpy(new) - one.location[:, None]) / one.scale[:, None]
        np.testing.assert_allclose(new @ outside[cells].numpy() + offset[cells].numpy()[:, None], seen @ z[cells])


@pytest.mark.parametrize("constant", [0.1, 1 / 3, 1e9 + 0.1, 0.0])
def test_a_column_that_does_not_vary_is_zero_and_not_scaled(constant):
    parts = [np.column_stack([np.full(n, constant), np.arange(n)]) for n in range(1, 60)]
    rows, n = stack_of(parts)
    frame = Frame.of(rows, n, torch.tensor([True, True]))
    assert not frame.of_rows(rows, n)[..., 0].any()
    assert (frame.scale[:, 0] == 1).all()
    np.testing.assert_allclose(frame.scale[1:, 1], [part[:, 1].std() for part in parts[1:]])
    # Control: minus its mean it is no zero but rounding, which over its own size is of the order of one.
    left = torch.stack([(r[:k, 0] - r[:, 0].sum() / k).abs().amax() for r, k in zip(rows, n, strict=True)])
    assert bool(left.any()) == (constant != 0)


@pytest.mark.parametrize("offset", [0, 1, 1e3, 1e8])
def test_the_mode_that_a_mean_takes_away_counts_as_zero_however_far_the_rows_are_from_it(offset):
    random = np.random.default_rng(0)
    parts = [offset + random.standard_normal((n, 10)) for n in (1, 2, 5, 10, 11, 12, 40)]
    rows, n = stack_of(parts)
    frame = Frame.of(rows, n, torch.ones(10, dtype=torch.bool))
    found = frame.spectrum(rows, n)
    assert found.rank.tolist() == [0, 1, 4, 9, 10, 10, 10]
    exact = np.linalg.svd(StandardScaler().fit_transform(parts[-1]), compute_uv=False)
    np.testing.assert_allclose(found.s[-1], exact, rtol=1e-6)
    # Control: the centred rows alone do not say how large their rounding is.
    if offset == 1e8:
        real = torch.arange(rows.shape[1])[None, :, None] < n[:, None, None]
        once = (rows - frame.location.unsqueeze(1)) / frame.scale.unsqueeze(1) * real
        assert (spectrum(once).rank > found.rank).any()
