"""Descent by machine code is that by PyTorch's products, and a cell does in a stack what it does alone."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gdstudy import gradient_descent
from gdstudy.linalg import threads as threads_of
from gdstudy.training import compiled, gram
from gdstudy.training.compiled import CompiledBlock, pack, unpack
from gdstudy.training.tiles import Tiling


def stack(seed, N, P, k, rank, cells=4):
    """X (cells, N, P) of a rank, κ of 3 to 30, with rows that are padding, and Y (cells, N, k)."""
    random = np.random.default_rng(seed)
    n_rows = random.integers(1, N + 1, cells)
    X = random.standard_normal((cells, N, rank)) @ random.standard_normal((cells, rank, P))
    X[np.arange(N) >= n_rows[:, None]] = 0
    return X, random.standard_normal((cells, N, k)) * (X != 0).any(-1, keepdims=True), n_rows


@pytest.fixture
def both(monkeypatch):
    """The states of a descent by PyTorch and by machine code."""

    def states(X, Y, *args, **options):
        found = []
        for fast in "01":
            monkeypatch.setenv("GDSTUDY_FAST", fast)
            found.append(list(gradient_descent(X, Y, *args, **options)))
        return zip(*found, strict=True)

    return states


def compare(pairs, rounding, tolerance):
    """The same steps, but of a cell whose gradient was so near the tolerance that rounding said whether it goes on."""
    for slow, fast in pairs:
        assert fast.W.dtype == slow.W.dtype
        assert fast.gradient_norm.dtype == slow.gradient_norm.dtype
        same = slow.steps == fast.steps
        ended = np.where(slow.steps < fast.steps, slow.gradient_norm, fast.gradient_norm)
        assert (same | (np.abs(ended - tolerance) <= 100 * rounding * tolerance)).all()
        np.testing.assert_array_equal(fast.status[same], slow.status[same])
        scale = np.abs(slow.W).max(axis=(1, 2), initial=0)[:, None, None] + 1e-300
        np.testing.assert_allclose((fast.W / scale)[same], (slow.W / scale)[same], rtol=0, atol=rounding)
        np.testing.assert_allclose(fast.gradient_norm[same], slow.gradient_norm[same], rtol=1e-5, atol=rounding)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 99), N=st.integers(1, 30) | st.integers(64, 99), P=st.integers(1, 25) | st.integers(64, 99),
    k=st.sampled_from([1, 2, 3, 5, 11]),
    share=st.floats(0.1, 1), momentum=st.sampled_from([0.0, 0.9]), single=st.booleans(), start=st.booleans(),
)  # fmt: skip
@example(seed=10, N=22, P=25, k=5, share=0.75, momentum=0.9, single=True, start=False)  # one that is near
def test_descent_by_machine_code_is_descent_by_products(seed, N, P, k, share, momentum, single, start):
    X, Y, n_rows = stack(seed, N, P, k, max(1, round(share * min(N, P))))
    dtype = np.float32 if single else np.float64
    options = {"momentum": momentum, "n_rows": n_rows, "W0": np.ones((P, k), dtype) if start else None}
    with pytest.MonkeyPatch.context() as patch:
        found = []
        for fast in "01":
            patch.setenv("GDSTUDY_FAST", fast)
            found.append(
                list(gradient_descent(X.astype(dtype), Y.astype(dtype), [1, 7, 300], tolerance=1e-3, **options))
            )
    compare(zip(*found, strict=True), 1e-3 if single else 1e-11, 1e-3)


def test_steps_that_are_too_large_diverge_at_the_same_look(both):
    X, Y, n_rows = stack(1, 20, 8, 2, 8)
    largest = np.linalg.norm(X, 2, axis=(1, 2))
    eta = np.array([1.0, 2.2, 1.9, 50.0]) / largest**2
    pairs = list(both(X, Y, [1, 5, 2000], eta, n_rows=n_rows))
    assert len(set(pairs[-1][0].status.tolist())) > 1
    for one, other in pairs:
        np.testing.assert_array_equal(one.steps, other.steps)
        np.testing.assert_array_equal(one.status, other.status)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("N", "P", "k"), [(30, 12, 2), (200, 100, 1)])  # by lanes and tiles, and by halves
def test_digits_depend_neither_on_the_stack_nor_on_threads_nor_on_how_many_looks_come_at_once(
    dtype, N, P, k, monkeypatch
):
    X, Y, n_rows = (torch.from_numpy(a) for a in stack(3, N, P, k, 12, cells=40))
    X, Y = X.to(dtype), Y.to(dtype)
    monkeypatch.setattr(threads_of, "_WORTH_A_THREAD", 1)
    taken = []

    def last(cells, threads, at_once):
        monkeypatch.setattr(gram, "AT_ONCE", at_once)
        on_check = lambda steps, running: taken.append(steps)  # noqa: E731
        states = gradient_descent(
            X[cells], Y[cells], [50, 5000], tolerance=1e-4, n_rows=n_rows[cells], threads=threads, on_check=on_check
        )
        *_, state = states
        return state

    whole = last(slice(None), 1, 1 << 30)
    assert len(whole.steps.unique()) > 5  # cells leave at different looks, in one call
    assert len(taken) < 40  # of some 340 looks
    assert sum(taken) == int(whole.steps.sum())
    for cells, threads, at_once in ((slice(None), 3, 0), (slice(7, 8), 1, 1 << 30), (slice(5, 20), 2, 1 << 12)):
        part = last(cells, threads, at_once)
        for name in ("W", "steps", "gradient_norm", "status"):
            assert torch.equal(getattr(part, name), getattr(whole, name)[cells])


@given(
    n=st.integers(1, 40),
    P=st.integers(1, 90),
    k=st.integers(1, 7),
    sums=st.sampled_from([6, 24]),
    lanes=st.sampled_from([4, 8]),
)
def test_what_is_packed_is_unpacked(n, P, k, sums, lanes):
    tiling = Tiling.of(n, P, k, sums, lanes)
    M, factor = torch.arange(2.0 * n * P).reshape(2, n, P) + 1, torch.tensor([1.0, 0.5])
    packed = pack(tiling, M, factor)
    assert torch.equal(unpack(tiling, packed, n, P), M * factor[:, None, None])
    assert int((packed != 0).sum()) == M.numel()
    rows, before = tiling.tiles[-1], tiling.rows - tiling.tiles[-1]
    assert packed[0, tiling.depth * before + (n - 1) * rows + P - 1 - before] == M[0, -1, -1]


@pytest.mark.parametrize(("given", "expected"), [(1, 1), (2, 2), (5, 5), (None, 3)])
def test_steps_have_the_threads_that_are_given_or_all(given, expected, monkeypatch):
    monkeypatch.setattr(compiled, "all_threads", lambda: 3)
    threads, share = [], compiled.share
    monkeypatch.setattr(compiled, "share", lambda *args: (threads.append(args[2]), share(*args))[1])
    X, eta = torch.ones(4, 3, 3, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    block = CompiledBlock(torch.arange(4), X, X[:, :, :1], X[:, :0], eta, 0.0, given)
    block.advance(3)
    assert threads == [expected]
