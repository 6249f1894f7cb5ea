"""Data sets from Python: arrays, tensors and data frames in, float64 and classes out; what does not fit is named."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from gdstudy import Dataset, load_dataset
from gdstudy.study.datasets import DATASETS

X, y = np.arange(12.0).reshape(6, 2), np.arange(6.0)


@pytest.mark.parametrize(
    "given",
    [
        (X, y),
        (X.tolist(), y.tolist()),
        (X.astype("float32"), y[:, None].astype(int)),
        (torch.from_numpy(X), torch.from_numpy(y).to(torch.bfloat16)),
        (torch.from_numpy(X).requires_grad_(False), y),
        (pd.DataFrame(X, columns=["a", "b"]), pd.Series(y)),
        (pd.DataFrame(X.astype(int), columns=["a", "b"]), pd.DataFrame({"y": y})),
        (np.asfortranarray(X), y),
    ],
)
def test_arrays_tensors_and_frames_are_the_same_data(given):
    data = Dataset(*given, name="mine")
    np.testing.assert_array_equal(data.clean(), X)
    np.testing.assert_array_equal(data.Y, y[:, None])
    assert (data.X.dtype, data.Y.dtype, data.name, data.classes) == (np.float64, np.float64, "mine", ())
    assert data.columns == (("a", "b") if isinstance(given[0], pd.DataFrame) else ())


def test_the_precision_of_a_data_set_is_that_of_what_it_was_given_in():
    single, double, half = (float(np.finfo(dtype).eps) for dtype in ("f4", "f8", "f2"))
    frame = pd.DataFrame(X, columns=["a", "b"])
    for given, eps in (
        (X, double),
        (X.astype("f4"), single),
        (X.astype("f2"), half),
        (X.astype(int), double),
        (torch.from_numpy(X).to(torch.bfloat16), 2.0**-7),
        (sparse.csr_matrix(X.astype("f4")), single),
        (frame.astype({"a": "float32"}), single),
        (frame.astype({"a": "Float32", "b": "int64"}), single),
    ):
        data = Dataset(given, y)
        assert (data.eps, data.clean().dtype) == (eps, np.float64)
        assert replace(data, X=data.clean()).eps == eps
        assert load_dataset("own", "standardize", data=data).eps == eps
    assert Dataset(X, y, eps=single).eps == single


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8, bool])
def test_sparse_inputs_stay_sparse_and_y_may_be_missing(dtype):
    data = Dataset(sparse.csr_matrix(X.astype(dtype)))
    assert isinstance(data.X, sparse.csr_array)
    assert data.X.dtype == np.float64
    np.testing.assert_array_equal(data.clean(), X.astype(dtype).astype(float))
    assert data.Y.shape == (6, 0)


@pytest.mark.parametrize(
    ("labels", "classes", "names"),
    [
        (["a", "b", "a", "b", "c", "a"], None, ("a", "b", "c")),
        (pd.Series(["a", "b"] * 3), None, ("a", "b")),
        (np.array([True, False] * 3), None, ("False", "True")),
        (torch.tensor([True, False] * 3), None, ("False", "True")),
        ([3, 10, 3, 10, 3, 3], True, ("3", "10")),
        (torch.tensor([3, 10, 3, 10, 3, 3]), True, ("3", "10")),
        (np.eye(2)[[0, 1, 0, 1, 1, 1]], True, ("0", "1")),
    ],
)
def test_classes(labels, classes, names):
    data = Dataset(X, labels, classes=classes)
    assert data.classes == names
    np.testing.assert_array_equal(data.Y.sum(1), 1)
    np.testing.assert_array_equal(data.Y.argmax(1), data.labels)
    assert names[data.labels[0]] in (str(np.asarray(labels).ravel()[0]), "0", "True")


def test_numbers_are_no_classes_unless_they_are_said_to_be():
    assert Dataset(X, [0, 1, 0, 1, 0, 1]).classes == ()
    assert Dataset(X, [True, False] * 3, classes=False).Y.shape == (6, 1)


@pytest.mark.parametrize(
    ("X", "y", "options", "said"),
    [
        (np.where(X == 5, np.nan, X), y, {}, r"X\[2, 1\] is NaN or infinite"),
        (X, np.where(y == 3, np.inf, y), {}, r"Y\[3, 0\] is NaN or infinite"),
        (X, y[:-1], {}, r"a row for each of the 6 of X; it is \(5, 1\)"),
        (X[:1], y[:1], {}, "X has 1 rows"),
        (X[:, :0], y, {}, r"at least one column; it is \(6, 0\)"),
        (X.ravel(), y, {}, r"X must be \(rows, columns\)"),
        (X[None], y, {}, r"X must be \(rows, columns\)"),
        (X + 1j, y, {}, "X must hold real numbers"),
        (sparse.csr_matrix(X + 1j), y, {}, "X must hold real numbers"),
        (X, np.ma.masked_array(list("abcabc"), mask=[1, 0, 1, 0, 0, 0]), {}, "Y has 2 masked entries"),
        (np.ma.masked_array(X, X == 5), y, {}, "X has 1 masked entries"),
        (X, pd.Series(["a", np.nan, "b", "a", "b", "a"]), {}, "Y lacks the class of 1 rows"),
        (X, np.array(["a", None, "b", None, "b", "a"], dtype=object), {}, "Y lacks the class of 2 rows"),
        (X, pd.Series([True, None, False, True, True, True], dtype="boolean"), {}, "Y lacks the class of 1 rows"),
        (X, pd.Categorical(["a", None, "b", "a", "b", "a"]), {}, "Y lacks the class of 1 rows"),
        (pd.DataFrame({"a": y, "b": list("uvwxyz")}), y, {}, "X must hold real numbers; column 'b'"),
        (X, list("aaaaaa"), {}, "Y holds 1 different values"),
        (X, list("abcdef"), {"classes": False}, "Y must hold real numbers"),
        (X, y + 0.5, {"classes": True}, "one column of texts or whole numbers"),
        (X, y, {"classes": ("a", "b")}, "an output for each of the 2 classes"),
        (X, y, {"columns": ("a",)}, "columns=1 names do not fit the 2 columns"),
    ],
)
def test_what_does_not_fit_is_named(X, y, options, said):
    with pytest.raises(ValueError, match=said):
        Dataset(X, y, **options)


def test_classes_are_a_fact_of_data_sets():
    """What is known before it is loaded is what the loaded one says."""
    assert DATASETS["digits"].classes == 10
    for name in ("digits", "diabetes", "student_teacher", "linear_plus_cosine"):
        assert len(load_dataset(name).classes) == DATASETS[name].classes
    centred, digits = load_dataset("digits", "center"), load_dataset("digits")
    np.testing.assert_array_equal(centred.labels, digits.labels)
    np.testing.assert_array_equal(digits.labels, digits.Y.argmax(1))
