"""What numerical functions accept: any real numbers, in any memory layout, under their own name."""

import numpy as np
import pandas as pd
import pytest
import torch

from gdstudy import min_norm_solution
from gdstudy.linalg.arrays import as_tensor, precision_of
from gdstudy.linalg.regression import Regression


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
    ("x", "y", "batch", "vector"),
    [
        ((2, 5, 3), (2, 5), (2,), True),
        ((1, 5, 3), (4, 5, 2), (4,), False),
        ((5, 3), (5,), (), True),
        ((5, 3), (5, 5), (), False),  # as many axes as X: outputs
        ((5, 5, 3), (5, 5), (5,), True),  # one less: a vector for each problem
        ((2, 5, 3), (5,), (2,), True),  # batch axes of different number
        ((2, 5, 3), (5, 4), (2,), False),
        ((5, 3), (4, 5), (4,), True),
        ((7, 1, 5, 3), (2, 5, 4), (7, 2), False),
        ((5, 3), (6, 7, 5, 2), (6, 7), False),
    ],
)
def test_batch_axes_broadcast_as_numpys_do_and_readouts_have_the_axes_of_y(x, y, batch, vector):
    X, Y = np.ones(x) + np.eye(5, 3), np.ones(y, dtype=np.float32)
    problem = Regression.of(X, Y)
    assert (tuple(problem.batch), problem.vector) == (batch, vector)
    W = min_norm_solution(X, Y)
    k = () if vector else (y[-1],)
    assert isinstance(W, np.ndarray)
    assert (W.shape, W.dtype) == ((*batch, 3, *k), np.float64)  # the wider of the two
    # What NumPy makes of the same axes.
    right = np.broadcast_to(Y if k else Y[..., None], (*batch, 5, *(k or (1,))))
    expected = np.linalg.pinv(np.broadcast_to(X, (*batch, 5, 3))) @ right
    np.testing.assert_allclose(W, expected if k else expected[..., 0], atol=1e-12)
    assert isinstance(min_norm_solution(torch.from_numpy(X), torch.from_numpy(Y)), torch.Tensor)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ((2, 5, 3), (3, 5, 1), r"batch axes that broadcast; X is \(2, 5, 3\), Y is \(3, 5, 1\)"),
        ((5, 3), (4,), r"same N and batch axes that broadcast; X is \(5, 3\), Y is \(4,\)"),
        ((7, 5, 5, 3), (5, 5), r"Y \(5, 5\) may be \(..., N\) or \(..., N, k\) for X \(7, 5, 5, 3\)"),
        ((0, 3), (0,), "at least one row and one column"),
        ((3, 0), (3,), "at least one row and one column"),
        ((3, 2), (3, 0), "at least one row and one column"),
        ((0, 3, 2), (0, 3), "at least one row and one column"),
    ],
)
def test_shapes_that_make_no_regression_are_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        Regression.of(np.ones(x), np.ones(y))


def forms(X):
    """One array in the forms that people have it in."""
    frame = pd.DataFrame(X)
    yield from (X, X.astype(X.dtype.newbyteorder(">")), list(X), tuple(map(torch.from_numpy, X)), torch.from_numpy(X))
    yield from (frame, frame.assign(whole=1), frame.astype({k: pd.SparseDtype(X.dtype) for k in frame}))
    yield from (
        frame.astype(dict.fromkeys(frame, kind)) for kind in (f"F{X.dtype.name[1:]}", f"{X.dtype.name}[pyarrow]")
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_precision_of_numbers_is_known_in_whatever_form_they_come(dtype):
    for given in forms(np.eye(3, dtype=dtype)):
        assert precision_of(given) == np.finfo(dtype).eps
    assert precision_of(np.eye(3, dtype=np.float16)) == np.finfo(np.float16).eps
    assert precision_of(torch.eye(3).bfloat16()) == torch.finfo(torch.bfloat16).eps
    for exact in (np.eye(3, dtype=int), [[1, 2.5]], np.eye(3, dtype=bool)):
        assert precision_of(exact) == np.finfo(np.float64).eps


def test_the_solution_does_not_depend_on_the_form():
    random = np.random.default_rng(0)
    A = random.standard_normal((40, 5)).astype("f4")
    X, y = np.hstack([A, A @ random.standard_normal((5, 3)).astype("f4")]), random.standard_normal(40)
    found = [min_norm_solution(given, y) for given in (X, X.astype(">f4"), list(X))]
    assert np.linalg.norm(found[0]) < 10
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
