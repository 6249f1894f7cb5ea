"""What numerical functions accept: any real numbers, in any memory layout, under their own name."""

import numpy as np
import pytest
import torch

from gdstudy import min_norm_solution
from gdstudy.arrays import as_tensor, regression_problem


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int32, np.int64, np.float16, np.float64])
def test_whole_and_half_precision_numbers_become_float64(kind):
    for value in (np.array([0, 1, 1], dtype=kind), torch.tensor(np.array([0, 1, 1], dtype=kind))):
        tensor = as_tensor("X", value)
        assert tensor.dtype == torch.float64
        assert tensor.tolist() == [0, 1, 1]
    assert as_tensor("X", [0, 1, 1]).dtype == torch.float64
    assert as_tensor("X", np.float32([0, 1])).dtype == torch.float32  # kept, not widened


def test_any_memory_layout_gives_the_same_readout_and_is_left_as_it_was():
    random = np.random.default_rng(0)
    X, y = random.standard_normal((6, 4)), random.standard_normal(6)
    W = min_norm_solution(X, y)
    read_only = X.copy()
    read_only.flags.writeable = False
    wide = np.zeros((6, 8))
    wide[:, ::2] = X
    for same in (read_only, np.asfortranarray(X), X[::-1].copy()[::-1], wide[:, ::2], X.tolist()):
        np.testing.assert_array_equal(min_norm_solution(same, y), W)
    assert not read_only.flags.writeable
    np.testing.assert_array_equal(read_only, X)
    assert np.abs(min_norm_solution(X[::-1], y) - W).max() > 0.01


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["a", "b"], "X must hold real numbers; its dtype is <U1"),
        (np.array([1j]), "X must hold real numbers; its dtype is complex128"),
        (torch.tensor([1j]), r"X must hold real numbers; its dtype is torch.complex64"),
        (np.array([1, None]), "X must hold real numbers; its dtype is object"),
        (np.array([1, np.nan, np.inf, -np.inf]), "X holds 3 NaN or infinite values of 4"),
    ],
)
def test_what_is_no_real_number_is_refused_by_name(value, message):
    with pytest.raises(ValueError, match=message):
        as_tensor("X", value)


@pytest.mark.parametrize(
    ("x", "y", "batch"), [((2, 5, 3), (2, 5), (2,)), ((1, 5, 3), (4, 5, 2), (4,)), ((5, 3), (5,), ())]
)
def test_batch_axes_broadcast_and_restore_gives_back_the_axes_of_y(x, y, batch):
    X, Y = np.ones(x) + np.eye(5, 3), np.ones(y, dtype=np.float32)
    tensor_x, tensor_y, restore = regression_problem(X, Y)
    k = y[-1] if len(y) == len(x) else 1
    assert tensor_x.shape == (*batch, 5, 3)
    assert tensor_y.shape == (*batch, 5, k)
    assert tensor_x.dtype == tensor_y.dtype == torch.float64  # the wider of the two
    W = restore(tensor_x.mT @ tensor_y)
    assert isinstance(W, np.ndarray)
    assert W.shape == ((*batch, 3) if len(y) < len(x) else (*batch, 3, k))
    torch_in = regression_problem(torch.from_numpy(X), torch.from_numpy(Y))[2](tensor_x.mT @ tensor_y)
    assert isinstance(torch_in, torch.Tensor)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ((2, 5, 3), (3, 5, 1), r"batch axes of X \(2, 5, 3\) and Y \(3, 5, 1\) do not broadcast"),
        ((5, 3), (4,), r"same N; X is \(5, 3\), Y is \(4,\)"),
        ((2, 5, 3), (5,), "same N"),
        ((0, 3), (0,), "at least one row and one column"),
        ((3, 0), (3,), "at least one row and one column"),
    ],
)
def test_shapes_that_make_no_regression_are_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        regression_problem(np.ones(x), np.ones(y))
