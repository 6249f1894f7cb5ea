"""A GPU is taken where what is timed says that it saves more than its start, and is not asked about short studies."""

import time
from types import SimpleNamespace

import pytest
import torch
from conftest import small_study

from gdstudy.experiment.driver import run_batch
from gdstudy.experiment.plan import plan
from gdstudy.study.groups import Executor, Training
from gdstudy.study.values import Threads
from gdstudy.sweep import device
from gdstudy.sweep.device import expected_seconds, on_the_faster
from gdstudy.sweep.prepare import prepared
from gdstudy.sweep.run import load_datasets

LONG = small_study(device="auto", seeds=20_000, batch_cells=2000, gd=Training(steps=10**6, checkpoints_per_decade=1))


class Machine:
    """A device on which cells side by side take no longer than one: `own` seconds a batch, `step` for each step, and
    `cell` for each step of each cell."""

    def __init__(self, own=0.0, step=0.0, cell=0.0):
        self.own, self.step, self.cell, self.timed = own, step, cell, []
        self.cells, self.threads = [], set()

    def __call__(self, study, dataset, batch):
        self.cells.append(batch.cells)
        self.threads.add(study.threads)
        self.timed.append((len(batch.cells), study.gd.steps))
        return self.own + study.gd.steps * (self.step + self.cell * len(batch.cells))


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.fixture(scope="module")
def data():
    return load_datasets(LONG)


@pytest.mark.parametrize(("cpu", "cuda", "faster"), [(900, 40, "cuda"), (45, 40, "cpu"), (30, 300, "cpu")])
def test_the_gpu_must_save_more_than_its_start_costs(cpu, cuda, faster, gpu):
    found, why = on_the_faster(LONG, {}, lambda study, _: {"cpu": cpu, "cuda": cuda}[study.device])
    assert found.device == faster
    assert why.startswith(f"device: {faster}, by what was timed: about ")


def test_a_short_study_asks_no_gpu_and_without_one_nothing_is_said(gpu, monkeypatch):
    def asked(*_):
        raise AssertionError("asked")

    found, why = on_the_faster(small_study(device="auto"), {}, asked)
    assert (found.device, why[:13]) == ("cpu", "device: cpu, ")
    with pytest.raises(AssertionError, match="asked"):
        on_the_faster(LONG, {}, asked)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found, why = on_the_faster(LONG, {}, asked)
    assert (found.device, why) == ("cpu", "")


@pytest.mark.parametrize("quiet", [False, True])
def test_before_a_run_begins_it_is_said_what_it_is_on(quiet, gpu, capsys):
    study, _ = prepared(small_study(device="auto"), quiet)
    assert study.device == "cpu"
    said = capsys.readouterr().err
    assert said == "" if quiet else said.startswith("device: cpu, for a study of seconds; ")
    prepared(small_study(device="cpu"), quiet)
    assert capsys.readouterr().err == ""  # nothing is said where it is asked for


def test_a_gpu_that_fails_is_not_taken(gpu):
    def seconds(study, _):
        if study.device == "cuda":
            raise RuntimeError("CUDA error:\nout of memory")
        return 1e6

    found, why = on_the_faster(LONG, {}, seconds)
    assert (found.device, why) == ("cpu", "device: cpu, as the GPU cannot be used: CUDA error: out of memory")


def test_a_moment_is_timed_on_either_kind_of_device(data):
    """Little of the study on one that computes cells one after the other, and the whole stack where that costs nothing
    more."""
    largest = max(len(batch.cells) for batch in plan(LONG))
    one_by_one, side_by_side = Machine(cell=2e-4), Machine(own=1e-3, step=1e-5)
    slow, fast = (expected_seconds(LONG, data, machine) for machine in (one_by_one, side_by_side))
    assert one_by_one.timed[-1][0] < largest == side_by_side.timed[-1][0]
    assert max(steps for _, steps in one_by_one.timed) < 10**4
    assert slow > 100 * fast


def test_cells_that_are_timed_are_of_all_sizes_of_their_batch(data):
    machine = Machine(cell=2e-4)
    study = small_study(seeds=400, batch_cells=2000, gd=LONG.gd)
    expected_seconds(study, data, machine)
    eight = next(cells for cells in machine.cells if len(cells) == 8)
    assert {n for n, _ in eight} == set(study.n_train)
    assert len({seed for _, seed in eight}) > 1


@pytest.mark.parametrize(("kind", "threads"), [("in_process", "auto"), ("processes", "1")])
def test_what_workers_take_is_timed_on_one_thread(kind, threads, data):
    machine = Machine(own=1)
    study = small_study(executor=Executor(kind=kind, workers=Threads("2")))
    assert study.threads == "auto"
    expected_seconds(study, data, machine)
    assert machine.threads == {threads}


def test_the_second_time_of_two_is_what_is_timed(data, monkeypatch):
    """Seconds of a clock that only batches move: the first has to load and compile."""
    now, takes = [0.0], [5.0, 0.25]

    def run(*_):
        now[0] += takes.pop(0)

    monkeypatch.setattr(device, "run_batch", run)
    monkeypatch.setattr(device, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    assert device._timed(LONG, None, None) == 0.25
    assert takes == []


def test_what_takes_longer_is_expected_to_take_longer(data):
    def of(machine, **changes):
        study = small_study(seeds=400, batch_cells=2000, **{"gd": LONG.gd} | changes)
        return expected_seconds(study, data, machine)

    plain = of(Machine(own=0.5, cell=1e-5))
    assert 3 < of(Machine(own=5, cell=1e-4)) / plain < 30  # ten times as long, of another part
    assert of(Machine(own=0.5, cell=1e-5), gd=Training(steps=100, checkpoints_per_decade=1)) < plain
    workers = Executor(kind="processes", workers=Threads("2"))
    assert of(Machine(own=0.5, cell=1e-5), executor=workers) == pytest.approx(plain / 2)


def test_batches_of_this_machine_are_expected_to_take_what_they_take(data):
    """Within a factor, since how busy the machine is changes meanwhile."""
    study = small_study(seeds=30)
    expected, began = expected_seconds(study, data), time.perf_counter()
    for batch in plan(study):
        run_batch(study, data[batch.dataset, batch.preprocess, batch.input_noise], batch)
    assert 0.1 < expected / (time.perf_counter() - began) < 10
