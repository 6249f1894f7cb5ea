"""Descent by programs of a GPU is that by products: in Triton's interpreter, and on a GPU where there is one."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from interpreted import NAMES, block, descent, interpreter, knows_numpy, norm_problem, norms, padding

from gdstudy import gradient_descent
from gdstudy.training import fused
from gdstudy.training.fused import Shape, fuses, launches
from tests.training.test_compiled import stack

pytest.importorskip("triton", reason="Triton has no wheels for this system")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")
# Gram matrices of 17 rows and more are then read from memory.
READ = ("fused", "_HELD", 16)


@pytest.fixture(scope="module")
def apart():
    """Calls a function of `interpreted.py` in the process of the interpreter."""
    with interpreter() as pool:
        if not pool.submit(knows_numpy).result(timeout=300):
            pytest.skip("this Triton's interpreter does not know this NumPy")
        yield lambda function, *args, **options: pool.submit(function, *args, **options).result(timeout=300)


@pytest.fixture(params=["interpreted", pytest.param("cuda", marks=needs_cuda)])
def compute(request):
    """Calls a function of `interpreted.py` in the process of the interpreter, or here, on a GPU."""
    if request.param == "cuda":
        return lambda function, *args, **options: function(*args, device="cuda", **options)
    return request.getfixturevalue("apart")


def by_products(X, Y, checkpoints, **options):
    """The states of a descent by PyTorch on the CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GDSTUDY_FAST", "0")
        states = list(gradient_descent(X, Y, checkpoints, **options))
    return [(state.step, {name: getattr(state, name) for name in NAMES}) for state in states]


def assert_same_descent(ours, theirs, rounding):
    for (t, one), (step, other) in zip(ours, theirs, strict=True):
        assert t == step
        scale = np.abs(other["W"]).max(axis=(1, 2), keepdims=True) + 1e-300
        assert one["W"].dtype == other["W"].dtype
        np.testing.assert_array_equal(one["status"], other["status"])
        np.testing.assert_array_equal(one["steps"], other["steps"])
        np.testing.assert_allclose(one["W"] / scale, other["W"] / scale, rtol=0, atol=rounding)
        np.testing.assert_allclose(one["gradient_norm"], other["gradient_norm"], rtol=1e-4, atol=rounding)


def assert_equal(ours, theirs, cells=slice(None)):
    for (t, one), (step, other) in zip(ours, theirs, strict=True):
        assert t == step
        for name in NAMES:
            np.testing.assert_array_equal(one[name], other[name][cells])


CASES = {
    "more rows than features": (30, 12, 1, 12, {}),
    "fewer rows": (12, 30, 1, 12, {}),
    "both": (20, 9, 1, 9, {}),
    "dependent columns": (14, 18, 1, 5, {}),
    "outputs and a start": (20, 9, 3, 6, {"W0": np.ones((9, 3))}),
    "momentum": (12, 20, 2, 12, {"momentum": 0.8}),
    "float32": (20, 9, 1, 9, {}),
    "read": (30, 24, 1, 20, {"limits": [READ]}),
    "read with momentum": (18, 30, 2, 18, {"limits": [READ], "momentum": 0.8}),
    "products beside": (30, 40, 1, 20, {"limits": [("fused", "_READ", 16)]}),
    "read as float32": (40, 33, 1, 9, {"limits": [READ]}),
}


@pytest.mark.parametrize("case", CASES)
def test_steps_and_looks_are_those_of_products(case, compute):
    N, P, k, rank, options = CASES[case]
    X, Y, n_rows = stack(len(case), N, P, k, rank)
    single = "float32" in case
    X, Y = (a.astype(np.float32 if single else np.float64) for a in (X, Y))
    limits = options.get("limits", ())
    options = {"tolerance": 0.08, "n_rows": n_rows} | {name: options[name] for name in options if name != "limits"}
    found, _ = compute(descent, X, Y, [1, 7, 25], limits=limits, **options)
    expected = by_products(X, Y, [1, 7, 25], **options)
    assert_same_descent(found, expected, 1e-4 if single else 1e-12)
    assert len(set(expected[-1][1]["steps"].tolist())) > 1  # cells left, and others went on
    # Negative control: another step size is seen.
    eta = 0.9 / np.linalg.norm(X, 2, axis=(1, 2)).astype(X.dtype) ** 2
    other = by_products(X, Y, [1], step_size=eta, **options)
    assert np.abs(other[0][1]["W"] - found[0][1]["W"]).max() > 1e-3 * np.abs(found[0][1]["W"]).max()


def test_steps_that_are_too_large_diverge_at_the_same_look(compute):
    X, Y, n_rows = stack(1, 12, 6, 2, 6)
    eta = np.array([1.0, 2.2, 1.9, 50.0]) / np.linalg.norm(X, 2, axis=(1, 2)) ** 2
    found, _ = compute(descent, X, Y, [5, 60], step_size=eta, n_rows=n_rows)
    assert_same_descent(found, by_products(X, Y, [5, 60], step_size=eta, n_rows=n_rows), 1e-12)
    assert len(set(found[-1][1]["status"].tolist())) > 1


@pytest.mark.parametrize(("n", "dtype", "held"), [(13, "float64", 16), (13, "float32", 128), (24, "float64", 16)])
def test_no_digit_of_a_cell_depends_on_its_neighbours_or_on_launches(n, dtype, held, compute):
    def of(cells, **limits):
        return compute(block, n, dtype, cells, {"_HELD": held} | limits)

    whole = of(slice(None))
    assert len(set(whole["steps"].tolist())) > 2  # cells ended at different looks of one launch
    two_steps_a_launch = {"_OF_A_CELL": 2 * 2 * (1 << 14)}
    for cells, limits in ((slice(2, 3), {}), (slice(1, 5), two_steps_a_launch)):
        part = of(cells, **limits)
        for name in whole:
            np.testing.assert_array_equal(part[name], whole[name][cells])


def test_all_looks_are_in_one_launch_or_not_with_the_same_digits(apart):
    X, Y, n_rows = stack(3, 24, 20, 2, 18)
    options = {"tolerance": 0.1, "n_rows": n_rows}
    whole, told = apart(descent, X, Y, [60], **options)
    assert [len(told), sum(told)] == [1, whole[-1][1]["steps"].sum()]
    one_by_one, told = apart(descent, X, Y, [60], limits=[("gram", "AT_ONCE", 0)], **options)
    assert len(told) > 8
    assert_equal(one_by_one, whole)


def test_a_descent_that_is_cut_off_goes_on_with_the_same_numbers(compute):
    X, Y, n_rows = stack(5, 20, 14, 2, 12)
    options = {"tolerance": 0.05, "n_rows": n_rows, "momentum": 0.5, "limits": [("gram", "AT_ONCE", 0)]}
    whole, _ = compute(descent, X, Y, [3, 10, 30], **options)
    cut, told = compute(descent, X, Y, [3, 10, 30], cut_at=(2, 7, 12), **options)
    assert len(told) > 12
    assert_equal(cut, whole)


@pytest.mark.parametrize("P", [0, 11])
@pytest.mark.parametrize("size", [1e-250, 1e250])
def test_gradient_norms_are_numpys_also_where_squares_leave_float64(size, P, apart):
    ordinary, (rows, right) = apart(norms, 1.0, P), (M.numpy() for M in norm_problem(P))
    expected = np.linalg.norm(rows.swapaxes(1, 2) @ right if P else right, axis=(1, 2))
    np.testing.assert_allclose(ordinary, expected, rtol=1e-13)  # of W = 0
    np.testing.assert_allclose(apart(norms, size, P), size * ordinary, rtol=1e-14)
    assert ordinary.min() > 0


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_what_is_beyond_a_cells_size_is_zero(momentum, apart):
    beyond, within = apart(padding, 13, 17, 2, momentum)
    assert beyond == 0 < within


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20), st.integers(1, 60))
def test_launches_are_bounded_and_look_after_each_interval(intervals, most):
    steps, looks = 0, []
    for together, looking in launches(intervals, most):
        assert sum(together) <= most
        for interval in together:
            steps += interval
            looks += [steps] if looking else []
    assert looks == np.cumsum(intervals).tolist()


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("width", range(16, 513, 16))
def test_a_program_holds_its_cell(width, size):
    shape = Shape.of(width, size)
    assert width <= shape.size < max(17, 2 * width)
    assert width % shape.rows == 0 or shape.rows == shape.size
    assert (shape.rows == shape.size) == (width <= 128)
    assert shape.size * shape.rows * size // 4 <= 64 * 32 * shape.warps  # registers of a matrix, or of what is read


def test_what_is_not_for_programs(monkeypatch):
    monkeypatch.setattr(fused, "_works", lambda device: True)
    gpu = torch.device("cuda")
    assert [fuses(gpu, 128, 32), fuses(gpu, 128, 33), fuses(gpu, 512, 4), fuses(gpu, 512, 5), fuses(gpu, 513, 1)] == [
        *(True, False, True, False, False)
    ]
    assert not fuses(torch.device("cpu"), 16, 1)
    with monkeypatch.context() as patch:
        patch.setattr(torch.version, "hip", "6.2")
        assert not fuses(gpu, 16, 1)
    assert fuses(gpu, 16, 1)
    monkeypatch.setenv("GDSTUDY_FAST", "0")
    assert not fuses(gpu, 16, 1)


def test_where_triton_cannot_run_it_is_said_and_products_take_the_steps():
    """As it is on a CPU."""
    works = fused._works.__wrapped__
    with pytest.warns(RuntimeWarning, match=r"^Triton cannot be used on cpu, so that steps take longer: .+"):
        assert not works(torch.device("cpu"))


def test_a_triton_that_is_not_installed_is_none(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "triton", None)
    assert not fused._works.__wrapped__(torch.device("cpu"))  # without a warning


@needs_cuda
@pytest.mark.parametrize(("N", "P", "k"), [(100, 60, 1), (300, 256, 1), (200, 256, 2), (500, 400, 1), (90, 120, 8)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_gpu_takes_the_steps_of_all_sizes(N, P, k, dtype):
    X, Y, n_rows = stack(2, N, P, k, min(N, P), cells=300)
    options = {"tolerance": 0.01, "n_rows": n_rows}
    X, Y = X.astype(dtype), Y.astype(dtype)
    found, _ = descent(X, Y, [1, 300], device="cuda", **options)
    assert_same_descent(found, by_products(X, Y, [1, 300], **options), 1e-3 if dtype is np.float32 else 1e-10)
