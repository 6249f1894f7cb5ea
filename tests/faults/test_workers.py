"""Workers and whole runs that are killed at random times, in processes and on Dask: the tables stay the same."""

import os
import random
import signal
import subprocess
import sys
import time

import pandas as pd
import psutil
import pytest

from gdstudy import load_curves, load_results, run_study, showing
from gdstudy.study.parser import study_of

STUDY = {
    "datasets": ["student_teacher", "diabetes"],
    "n_train": "5-40/5",
    "seeds": 10,
    "batch_cells": 5,
    "gd": {"steps": 20_000, "checkpoints_per_decade": 2, "tolerance": 1e-12},
}
KILLS = int(os.environ.get("GDSTUDY_KILLS", "1"))  # of whole runs, for each kind
# Deaths of single workers of both kinds, and of a run on Dask, are in `sweep/test_executors.py` too.
KINDS = ["processes", "dask"]


# A command that draws nothing.
COMMAND = "import sys; from gdstudy import showing, train; showing.show = lambda *a: None; sys.exit(train.main())"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(showing, "show", lambda *arguments: None)
        return run_study(study_of(STUDY), tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def cut(whole, tmp_path):
    """The same run without any batch."""
    run = tmp_path / "run"
    (run / "batches").mkdir(parents=True)
    for name in ("config.yaml", "batches/study.yaml"):
        (run / name).write_bytes((whole / name).read_bytes())
    return run


def resume(run, kind):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    asked = ["--executor.kind", kind, "--executor.workers", "2", "--quiet"]
    with (run.parent / "stderr").open("w") as errors:
        command = [sys.executable, "-c", COMMAND, "--resume", str(run), *asked]
        return subprocess.Popen(command, stderr=errors, env=environment)


def check_done(process, run):
    status = process.wait(300)
    assert (status, (run.parent / "stderr").read_text()) == (0, "")


def workers_of(process):
    """Processes that compute for a run."""
    try:
        below = psutil.Process(process.pid).children(recursive=True)
        return [one for one in below if "spawn_main" in " ".join(one.cmdline()) or "forkserver" in str(one.cmdline())]
    except psutil.Error:
        return []


def n_stored(run):
    return len(list((run / "batches").glob("*.results.parquet")))


def assert_same(run, whole):
    for load in (load_results, load_curves):
        pd.testing.assert_frame_equal(load(run), load(whole), check_exact=True)


@pytest.mark.parametrize("kind", KINDS if KILLS > 1 else ["dask"])
def test_workers_killed_at_random_are_replaced(kind, cut, whole):
    draw, process, killed = random.Random(0), resume(cut, kind), 0
    while process.poll() is None and killed < 2:
        seen = n_stored(cut)
        while process.poll() is None and n_stored(cut) <= seen:  # they work
            time.sleep(0.05)
        if found := workers_of(process):
            draw.choice(found).kill()
            killed += 1
    check_done(process, cut)
    assert killed == 2
    assert_same(cut, whole)


@pytest.mark.parametrize("kind", KINDS if KILLS > 1 else ["processes"])
def test_runs_killed_at_random_leave_no_worker_and_are_finished_to_the_same(kind, cut, whole):
    draw = random.Random(1)
    for _ in range(KILLS):
        process, until = resume(cut, kind), n_stored(cut) + draw.randrange(1, 6)
        while process.poll() is None and n_stored(cut) < min(until, 32):
            time.sleep(0.02)
        time.sleep(draw.random() * 0.2)
        below = workers_of(process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        _, left = psutil.wait_procs(below, timeout=60)
        assert left == []
    process = resume(cut, kind)
    check_done(process, cut)
    assert_same(cut, whole)
