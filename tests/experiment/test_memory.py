"""What a batch takes: the estimate against what it does take, and what a budget does to a plan."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import small_study
from hypothesis import given, settings
from hypothesis import strategies as st

from gdstudy.experiment.memory import WORKSPACE, Footprint
from gdstudy.experiment.plan import LARGE_NUMBERS, bytes_of, check_memory, plan
from gdstudy.study.config import Study
from gdstudy.study.errors import StudyError
from gdstudy.study.groups import GDExact, Synthetic
from gdstudy.study.parser import read_study
from gdstudy.study.values import Memory, Sizes

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_the_default_divides_no_batch_of_the_studies_that_are_shipped(config):
    """So their numbers are what they were before there was a budget."""
    study = read_study(config)
    unbounded = replace(study, memory=Memory("900TB"))
    assert plan(study) == plan(unbounded)
    if "superposition_paper" not in config.name:
        assert study.memory == "2GB"
        assert max(bytes_of(study, batch) for batch in plan(study)) < 1e9


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.sets(st.integers(1, 900), min_size=1, max_size=6),
    widths=st.sets(st.integers(1, 900), min_size=1, max_size=3),
    seeds=st.integers(1, 40),
    memory=st.integers(100, 2000),
    trained=st.booleans(),
)
def test_no_batch_takes_more_than_its_budget_and_no_cell_is_lost(sizes, widths, seeds, memory, trained):
    study = Study(
        datasets=["student_teacher"],
        models=["random_relu"],
        n_train=Sizes.parse(list(sizes)),
        n_parameters=Sizes.parse(list(widths)),
        seeds=seeds,
        estimators=["min_norm", "ridge_loo", *(["gd"] if trained else [])],
        memory=f"{memory}MB",
    )
    batches = plan(study)
    for batch in batches:
        assert bytes_of(study, batch) <= memory * 10**6 or len(batch.cells) == 1
        large = {n for n, _ in batch.cells if n * batch.n_parameters > LARGE_NUMBERS}
        assert not large or ({n for n, _ in batch.cells} == large and len(large) == 1)
    found = [(b.n_parameters, *cell) for b in batches for cell in b.cells]
    assert sorted(found) == sorted((P, n, s) for P in widths for n in sizes for s in range(seeds))


def test_the_estimate_grows_with_everything_it_is_of():
    one = Footprint(1000, 30, 1, 0, 1, trained=False, draws=False, chooses=False, on_rows=False)
    least = one.bytes(10, 40, 10)
    for more in (
        replace(one, n_rows=2000),
        replace(one, P=60),
        replace(one, k=5),
        replace(one, levels=40),
        replace(one, trained=True),
        replace(one, draws=True),
        replace(one, chooses=True),
    ):
        assert more.bytes(10, 40, 10) > least, more
    assert one.bytes(20, 40, 10) > least < one.bytes(10, 80, 10)
    assert least > WORKSPACE


def test_too_little_memory_is_said_before_anything_is_written():
    large = Study(
        datasets=["isotropic"],
        synthetic=Synthetic(n_inputs=2000, n_rows=5000),
        models=["linear_autoencoder"],
        n_train=[4000],
        seeds=2,
        estimators=["min_norm"],
        memory="200MB",
    )
    with pytest.raises(StudyError, match=r"memory=200MB: a cell of isotropic with N=4000, P=2000 takes about .* GB"):
        check_memory(large, None)
    assert [len(b.cells) for b in check_memory(replace(large, memory=Memory("20GB")), 10**11)] == [2]
    with pytest.raises(StudyError, match=r"the largest batch takes about .* and 20 MB are free here"):
        check_memory(small_study(), 20 * 10**6)
    assert check_memory(small_study(), 10**9) == plan(small_study())


def test_workers_share_the_memory_but_no_more_of_them_than_there_are_batches():
    batches = plan(small_study())
    free = 2 * max(bytes_of(small_study(), batch) for batch in batches)
    with pytest.raises(StudyError, match=rf"for each of {len(batches)} workers; lower executor.workers, or lower mem"):
        check_memory(small_study(), free, workers=10**6)
    assert check_memory(small_study(), len(batches) * free, workers=10**6) == batches
    assert len(batches) > 2


MEASURED = """
import json, re, sys
import numpy as np
from gdstudy.data.dataset import Dataset
from gdstudy.experiment.driver import run_batch
from gdstudy.experiment.plan import Batch, bytes_of
from gdstudy.study.config import Study
from gdstudy.study.groups import GDExact, Training
N, P, k, cells, trained = json.loads(sys.argv[1])
names = ["min_norm", "ridge_loo", "gd_exact", *(["gd"] if trained else [])]
study = Study(n_train=[5], estimators=names, gd_exact=GDExact(steps=[1, 10]), gd=Training(steps=5))
random = np.random.default_rng(0)
def run(N, P, k, cells):
    data = Dataset(random.standard_normal((1000, P)), random.standard_normal((1000, k)), "student_teacher")
    levels = (("gd", (("none", None),)),) if trained else ()
    some = tuple((N, seed) for seed in range(cells))
    run_batch(study, data, Batch(0, "student_teacher", "none", 0.0, "linear", P, None, some, trained=levels))
def peak():  # of this program; what getrusage says begins at its parent's
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
run(4, 3, 1, 2)
before = peak()
run(N, P, k, cells)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is counted otherwise elsewhere")
@pytest.mark.parametrize(
    ("N", "P", "k", "cells", "trained"),
    [(60, 20, 1, 1000, True), (256, 256, 1, 12, False), (60, 300, 20, 30, True), (900, 60, 1, 60, False)],
)
def test_a_batch_takes_no_more_than_is_said_and_not_much_less(N, P, k, cells, trained):
    size = Footprint(1000, P, k, 0, 2, trained=trained, draws=False, chooses=True, on_rows=False)
    said = size.bytes(cells, N, cells)
    command = [sys.executable, "-c", MEASURED, json.dumps([N, P, k, cells, trained])]
    taken = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(f"N={N} P={P} k={k}: estimated {said / 1e6:.0f} MB, taken {taken / 1e6:.0f} MB")
    assert said / 4 < taken < said


def test_exact_steps_need_no_more_memory_than_their_readouts():
    study = small_study(estimators=["min_norm", "gd_exact"], gd_exact=GDExact(steps=[1, 2, 3]))
    with_more = replace(study, gd_exact=GDExact(steps="1-900"))
    assert bytes_of(study, plan(study)[0]) < bytes_of(with_more, plan(study)[0])
