"""How many threads a step gets: one, unless more have been measured to be faster; and the user's number comes back."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from conftest import small_study
from threadpoolctl import threadpool_info, threadpool_limits

from gdstudy import gradient_descent, load_dataset, train_module
from gdstudy.experiment import driver
from gdstudy.experiment.driver import run_batch
from gdstudy.experiment.plan import plan
from gdstudy.linalg.threads import SMALL_CELL, Pace, all_threads, intra_op, one_blas_thread, share
from gdstudy.training.modules import LinearReadout


@pytest.fixture(autouse=True)
def _four_threads(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    monkeypatch.setattr(Pace, "_busy_until", 0.0)
    monkeypatch.setattr(Pace, "_busy_pause", 0.25)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def clock(monkeypatch):
    """A clock that only steps move."""

    class Clock:
        now = 0.0

    monkeypatch.setattr("gdstudy.linalg.threads.time.perf_counter", lambda: Clock.now)
    return Clock


def steps_on(clock, seconds, n_steps, pace=None, cells=100):
    """Threads of each step, where a step takes seconds(threads, when)."""
    seen, pace = [], pace or Pace(cell=10)

    def step():
        seen.append(torch.get_num_threads())
        clock.now += seconds(torch.get_num_threads(), clock.now)

    pace.repeat(step, n_steps, cells)
    return np.array(seen)


def test_threads_are_restored_also_when_a_step_fails():
    def fail():
        assert torch.get_num_threads() == 1
        raise RuntimeError

    with pytest.raises(RuntimeError):
        Pace(cell=10).repeat(fail, 3, 5)
    assert torch.get_num_threads() == 4
    with intra_op(1):
        assert (torch.get_num_threads(), all_threads()) == (1, 4)
        with intra_op(2):
            assert (torch.get_num_threads(), all_threads()) == (2, 4)
        assert (torch.get_num_threads(), all_threads()) == (1, 4)
    assert (torch.get_num_threads(), all_threads()) == (4, 4)


def test_on_an_idle_machine_all_threads_are_used_where_they_are_faster(clock):
    seen = steps_on(clock, lambda threads, _: 1e-3 / threads, 100_000)
    assert (seen == 4).mean() > 0.95
    assert set(seen) == {1, 4}  # and one is tried again now and then


def test_small_steps_that_gain_nothing_stay_on_one_thread(clock):
    seen = steps_on(clock, lambda threads, _: 1e-5 * threads, 2_000_000)
    assert (seen == 1).mean() > 0.99
    assert (seen == 4).any()


def test_beside_a_busy_process_one_thread_is_kept_at_little_cost(clock):
    """Steps on several threads stall for a slice of the other process."""
    n_steps, alone = 60_000, 1e-3
    seen = steps_on(clock, lambda threads, _: alone if threads == 1 else 25e-3, n_steps)
    assert clock.now < 1.05 * n_steps * alone
    assert (seen == 4).any()  # it was tried


def test_a_machine_that_becomes_busy_is_noticed_at_once_and_one_that_becomes_idle_soon(clock):
    def seconds(threads, now):
        busy = 10 < now < 20
        return (25e-3 if busy else 2.5e-4) if threads > 1 else 1e-3

    seen = steps_on(clock, seconds, 100_000)
    when = np.cumsum([0, *[1e-3 if t == 1 else 2.5e-4 for t in seen[:-1]]])  # close enough
    assert (seen[when < 9] == 4).mean() > 0.9
    assert clock.now < 60
    assert (seen[-20_000:] == 4).mean() > 0.9


def test_stacks_of_a_busy_machine_wait_together_before_they_try_again(clock):
    busy = [steps_on(clock, lambda threads, _: 1e-3 if threads == 1 else 25e-3, 1000) for _ in range(20)]
    assert sum((seen == 4).sum() for seen in busy) < 20  # not once for each


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_number_of_the_users_is_kept(threads, clock):
    seen = steps_on(clock, lambda n, _: 1e-3 * n, 10_000, Pace(cell=10**9, threads=threads))
    assert set(seen) == {threads}
    X = np.random.default_rng(0).standard_normal((20, 5))
    found = []
    states = gradient_descent(
        X, X[:, 0], 50, threads=threads, on_check=lambda *_: found.append(torch.get_num_threads())
    )
    list(states)
    assert set(found) == {threads}


def test_there_are_never_more_threads_than_cells(clock):
    for cells in (1, 2, 3, 4, 9):
        seen = steps_on(clock, lambda threads, _: 1e-3 / threads, 20_000, cells=cells)
        assert max(seen) == min(cells, 4)


def test_one_large_cell_is_left_to_torch_and_so_is_a_gpu(clock):
    assert set(steps_on(clock, lambda *_: 1e-3, 500, Pace(SMALL_CELL + 1), cells=1)) == {4}
    assert set(steps_on(clock, lambda *_: 1e-3, 500, Pace(SMALL_CELL), cells=1)) == {1}
    assert set(steps_on(clock, lambda *_: 1e-3, 500, Pace(10, torch.device("cuda")))) == {4}
    for pace, threads in ((Pace(SMALL_CELL), 1), (Pace(SMALL_CELL + 1), 4), (Pace(10, torch.device("cuda")), 4)):
        with pace.around():
            assert torch.get_num_threads() == threads
    with intra_op(1):  # as a study's batch has it
        assert set(steps_on(clock, lambda *_: 1e-3, 500, Pace(SMALL_CELL + 1), cells=1)) == {4}


def test_training_gives_the_threads_back_at_every_state():
    random = np.random.default_rng(0)
    X, Y = random.standard_normal((3, 20, 5)), random.standard_normal((3, 20, 1))
    module = LinearReadout(torch.zeros(3, 5, 1, dtype=torch.float64))
    for engine in ("gram", "autograd"):
        for _ in gradient_descent(X, Y, [1, 10, 100], engine=engine):
            assert torch.get_num_threads() == 4
    for _ in train_module(module, X, Y, [1, 10, 100], 0.01):
        assert torch.get_num_threads() == 4
    study, found = small_study(n_train=[5], seeds=2), []

    class Monitor:
        def start(self, cells, steps):
            pass

        def measured(self, so_far):
            pass

        def check(self, cell_steps, running):
            found.append(torch.get_num_threads())

    run_batch(study, load_dataset("student_teacher"), plan(study)[0], Monitor())
    assert 1 in found
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("n", "k"), [(8, 1), (20, 10), (64, 16), (128, 10), (181, 1), (300, 7), (12, 100)])
@pytest.mark.parametrize("cells", [2, 3, 4, 50])
def test_the_digits_of_cells_do_not_depend_on_the_threads_as_long_as_these_are_not_more(cells, n, k, dtype):
    """What the engines do in a step and in a look, on one thread and on several."""
    random = torch.Generator().manual_seed(0)
    A, B = (torch.randn(cells, *shape, generator=random, dtype=dtype) for shape in ((n, n), (k, n)))
    found = []
    for threads in (t for t in (1, 2, 3, 4) if t <= cells):
        torch.set_num_threads(threads)
        Z = B.clone()
        for _ in range(3):
            Z.sub_(torch.baddbmm(B, Z, A, beta=-1))
        squares = (A @ Z.mT).square().sum((1, 2))
        found.append((Z, squares, A.sum(1), A.flatten(1).norm(dim=1)))
    for others in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], others, strict=True))


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("n", [1, 5, 1000])
def test_shared_work_is_done_once_and_small_work_by_whoever_has_it(n, threads):
    done, by = [], set()

    def work(begin, end):
        done.extend(range(begin, end))
        by.add(threading.current_thread())

    share(work, n, threads, 10**9)
    assert sorted(done) == list(range(n))
    assert (threading.main_thread() in by) == (min(n, threads) == 1)
    by.clear()
    share(work, n, threads, 100)
    assert by == {threading.main_thread()}


def test_what_goes_wrong_in_shared_work_is_raised():
    with pytest.raises(ZeroDivisionError):
        share(lambda begin, end: 1 / (begin - 3), 4, 2, 10**9)


FORKED = """
import os, signal
from gdstudy.linalg.threads import share

def work(begin, end):
    pass

share(work, 4, 2, 10**9)
if not (child := os.fork()):
    signal.alarm(20)
    share(work, 4, 2, 10**9)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_process_that_was_forked_has_threads_of_its_own():
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], check=True)


def blas_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_numpys_blas_has_one_thread_where_it_would_divide_a_product_and_throughout_a_batch(monkeypatch):
    seen = []

    def look(*args):
        seen.append(blas_threads())
        return readouts(*args)

    readouts = driver.code("gdstudy.experiment.readouts:Readouts")
    monkeypatch.setattr(driver, "code", lambda entry: look)
    study = small_study(trainings={}, datasets=["student_teacher"], n_train=[3], seeds=1)
    with threadpool_limits(2, user_api="blas"):
        run_batch(study, load_dataset("student_teacher"), plan(study)[0])
        with one_blas_thread(32 * 32):
            assert blas_threads() == {2}
        with one_blas_thread(33 * 33):
            assert blas_threads() == {1}
        assert blas_threads() == {2}
    assert seen == [{1}]


def test_threads_that_hold_numpys_blas_at_once_give_it_back_as_it_was():
    """Whichever comes and goes first."""
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with one_blas_thread():
            entered.set()
            leave.wait(60)

    with threadpool_limits(2, user_api="blas"):
        other = threading.Thread(target=hold)
        with one_blas_thread():
            other.start()
            assert entered.wait(60)
        assert blas_threads() == {1}  # the other is still there
        leave.set()
        other.join()
        assert blas_threads() == {2}


def test_fewer_and_fewer_threads_are_those_there_were():
    before = threading.active_count()
    for threads in range(8, 1, -1):
        share(lambda begin, end: time.sleep(0.001), 100, threads, 10**9)
    assert threading.active_count() <= before + 8


def test_what_is_cut_off_leaves_no_part_running():
    begun, ended = [], []

    def work(begin, end):
        begun.append(begin)
        if begin == 0:
            raise KeyboardInterrupt
        time.sleep(0.02)
        ended.append(begin)

    with pytest.raises(KeyboardInterrupt):
        share(work, 80, 2, 1 << 30)
    assert len(begun) < 8  # those that had not begun never do
    assert sorted(begun) == sorted([0, *ended])
    before = len(begun)
    time.sleep(0.1)
    assert len(begun) == before
