"""The same tables from every executor; workers that die, and batches that kill them."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

import distributed
import pandas as pd
import psutil
import pytest
from conftest import without_views

from gdstudy import load_arrays, load_curves, load_results, resume_study, run_study
from gdstudy.study.config import Study
from gdstudy.study.errors import StudyError, Unfinished
from gdstudy.study.groups import Ablations, Executor, Training
from gdstudy.study.parser import as_yaml
from gdstudy.study.values import Levels
from gdstudy.sweep import executors, run, worker
from gdstudy.sweep.pool import Pool
from gdstudy.sweep.processes import processes
from gdstudy.sweep.store import Store
from gdstudy.sweep.worker import Job, compute_apart
from gdstudy.train import main


def small(**changes):
    """Twelve batches of two kinds: below, at and above the threshold, rank-deficient where N < P, with ablations."""
    values = {
        "datasets": ["student_teacher", "diabetes"],
        "n_train": [5, 10, 20, 30],
        "seeds": 6,
        "batch_cells": 4,
        "gd": Training(steps=50, ablations=["singular_value_cutoff"]),
        "trainings": {"single": {"dtype": "float32"}},
        "ablations": Ablations(singular_value_cutoff=Levels((0.01,))),
    }
    return Study(**{**values, **changes})


# Of commands that are begun elsewhere.
HERE = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

AUTOENCODER = {
    "datasets": ["power_law"],
    "models": ["bottleneck", "bottleneck_aligned"],
    "n_hidden": [2],
    "trainings": {},
    "ablations": Ablations(),
    "gd": Training(steps=50),
}


@pytest.fixture(autouse=True, scope="module")
def _without_views():
    with pytest.MonkeyPatch.context() as patch:
        without_views(patch)
        yield


def tables(run):
    return load_results(run), load_curves(run), load_arrays(run)


def assert_same(run, other):
    for table, expected in zip(tables(run), tables(other), strict=True):
        pd.testing.assert_frame_equal(table, expected, check_exact=True)


@pytest.fixture(scope="module", params=["readouts", "autoencoders"])
def study(request):
    return small(**(AUTOENCODER if request.param == "autoencoders" else {}))


@pytest.fixture(scope="module")
def alone(study, tmp_path_factory):
    return run_study(study, tmp_path_factory.mktemp("alone") / "run")


def test_processes_store_the_tables_of_one_process(study, alone, tmp_path):
    asked = Executor(kind="processes", workers=2)
    run = run_study(replace(study, executor=asked), tmp_path / "run")
    assert_same(run, alone)
    assert (run / "results.csv").read_bytes() == (alone / "results.csv").read_bytes()


def test_what_has_computed_all_batches_leaves_no_thread_behind(tmp_path):
    """Python's own end would close the pipes of a pool that another thread of it writes to."""
    study = small(executor=Executor(kind="processes", workers=2))
    (tmp_path / "run").mkdir()
    store = Store(tmp_path / "run", study)
    try:
        run.run_missing(study, run.load_datasets(study), store, quiet=True)
    finally:
        store.close()
    assert "_ExecutorManagerThread" not in {type(thread).__name__ for thread in threading.enumerate()}


@pytest.mark.parametrize("study", ["readouts"], indirect=True)
def test_dask_stores_the_tables_of_one_process(study, alone, tmp_path):
    run = run_study(replace(study, executor=Executor(kind="dask", workers=2)), tmp_path / "run")
    assert_same(run, alone)


def test_any_executor_stores_the_tables_of_one_process_in_whatever_order(study, alone, tmp_path):
    with ThreadPoolExecutor(1) as executor:
        run = run_study(study, tmp_path / "run", executor=executor)
    assert_same(run, alone)


@pytest.mark.parametrize("study", ["readouts"], indirect=True)
def test_the_comparison_finds_another_study(study, alone, tmp_path):
    """Negative control."""
    other = run_study(replace(study, gd=replace(study.gd, steps=49)), tmp_path / "run")
    with pytest.raises(AssertionError):
        assert_same(other, alone)


def test_a_worker_that_does_not_see_the_folder_sends_the_parts(study, alone, tmp_path, monkeypatch):
    sent = []

    class Elsewhere(ThreadPoolExecutor):
        def submit(self, fn, job, batches):
            job = replace(job, token=(job.token[0], b"process 1 on another machine\n"))

            def counted():
                done = fn(job, batches)
                sent.extend(one.parts for one in done)
                return done

            return super().submit(counted)

    with Elsewhere(1) as executor:
        run = run_study(study, tmp_path / "run", executor=executor)
    assert sent
    assert all(parts is not None for parts in sent)
    assert_same(run, alone)


@pytest.mark.parametrize("package", ["gdstudy", "llvmlite"])
def test_a_worker_of_another_version_is_named(package, study, tmp_path, monkeypatch):
    """Of gdstudy, or of what takes the steps, on which last digits depend."""
    here = worker._made_here("cpu")
    monkeypatch.setattr(worker, "_made_here", lambda device: {**here, package: "0.0.1"})
    with ThreadPoolExecutor(1) as executor, pytest.raises(StudyError, match=rf"a worker has {package} 0\.0\.1"):
        run_study(study, tmp_path / "run", executor=executor)


def test_a_run_goes_on_with_another_executor_but_not_as_another_study(tmp_path, capsys):
    study = small()
    run = run_study(study, tmp_path / "run")
    whole = tables(run)
    for path in list((run / "batches").glob("*.results.parquet"))[::2]:
        path.unlink()
    assert main(["--resume", str(run), "--quiet", "--executor.kind", "processes", "--executor.workers", "2"]) == 0
    for table, before in zip(tables(run), whole, strict=True):
        pd.testing.assert_frame_equal(table, before, check_exact=True)
    assert main(["--resume", str(run), "--seeds", "7"]) == 2
    assert "leave out --seeds" in capsys.readouterr().err


@pytest.mark.parametrize(("patience", "said"), [(0.0, 1), (30.0, 0)])
def test_that_there_are_no_workers_is_said_once_and_not_at_once(patience, said, tmp_path, monkeypatch, capsys):
    absent = iter([0] * 5)  # looks at which none is there
    monkeypatch.setattr(run, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(run, "PATIENCE", patience)
    monkeypatch.setattr(run, "pool_of", partial(later, absent=absent))
    run_study(small(trainings={}, ablations=Ablations(), gd=Training(steps=5)), tmp_path / "run")
    assert capsys.readouterr().err.count("waiting for workers") == said


def test_a_worker_keeps_freed_pages(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(worker, "keep_freed_pages", lambda: kept.append(1))
    monkeypatch.setattr(run, "pool_of", partial(later, absent=iter(())))
    run_study(small(trainings={}, ablations=Ablations(), gd=Training(steps=5)), tmp_path / "run", quiet=True)
    assert kept


@contextmanager
def later(study, job, executor, absent):
    with ThreadPoolExecutor(1) as threads:
        yield Pool(partial(threads.submit, compute_apart, job), lambda: next(absent, 1))


def test_without_a_scheduler_that_answers_there_is_one_line_and_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(executors, "ANSWER_SECONDS", 0.2)
    monkeypatch.chdir(tmp_path)
    asked = ["--executor.kind", "dask", "--executor.scheduler", "tcp://127.0.0.1:9"]
    assert main(["linear.yaml", "--seeds", "1", *asked, "--run_dir", "run"]) == 2
    assert "executor.scheduler=tcp://127.0.0.1:9: no Dask scheduler answers" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_local_dask_workers_that_were_given_up_are_begun_again(tmp_path, monkeypatch):
    """As Dask does with one that takes longer to come back than it waits."""
    clusters, done = [], run.Tasks.done

    class Kept(distributed.LocalCluster):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            clusters.append(self)

    async def give_up():
        for name in list(clusters[0].workers):
            await clusters[0].workers.pop(name).close()

    def then_none(tasks, batch, seconds):
        done(tasks, batch, seconds)
        if len(clusters) == 1:
            clusters[0].sync(give_up)
            clusters.append(None)

    monkeypatch.setattr(distributed, "LocalCluster", Kept)
    monkeypatch.setattr(run.Tasks, "done", then_none)
    study = small(trainings={}, ablations=Ablations(), gd=Training(steps=20))
    folder = run_study(replace(study, executor=Executor(kind="dask", workers=1)), tmp_path / "run")
    assert len(clusters) == 2
    assert len(list((folder / "batches").glob("*.results.parquet"))) == 12


def test_a_dask_worker_that_dies_as_it_is_sent_the_study_costs_no_batch(tmp_path, monkeypatch):
    mark = tmp_path / "died"

    def dies_once(job):  # a local function: it travels as it is
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return job

    monkeypatch.setattr(executors, "_same", dies_once)
    study = small(trainings={}, ablations=Ablations(), gd=Training(steps=20))
    folder = run_study(replace(study, executor=Executor(kind="dask", workers=1)), tmp_path / "run")
    assert mark.exists()
    assert len(list((folder / "batches").glob("*.results.parquet"))) == 12


def test_a_scheduler_that_goes_away_is_one_line_and_what_is_stored_stays(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(executors, "ANSWER_SECONDS", 2.0)  # for which it is waited to come back
    cluster = {"processes": False, "protocol": "tcp", "dashboard_address": None}
    scheduler = distributed.LocalCluster(1, threads_per_worker=1, **cluster)
    done = run.Tasks.done

    def then_gone(tasks, batch, seconds):
        done(tasks, batch, seconds)
        scheduler.close()

    monkeypatch.setattr(run.Tasks, "done", then_gone)
    study = small(trainings={}, ablations=Ablations(), gd=Training(steps=20))
    (tmp_path / "s.yaml").write_text(as_yaml(study))
    asked = ["--executor.kind", "dask", "--executor.scheduler", scheduler.scheduler_address]
    assert main(["--config", str(tmp_path / "s.yaml"), *asked, "--run_dir", str(tmp_path / "run"), "--quiet"]) == 2
    # Beside what the scheduler logs.
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "distributed." not in line]
    assert "the Dask scheduler is gone" in line
    assert f"--resume {tmp_path / 'run'}" in line
    assert 0 < len(list((tmp_path / "run/batches").glob("*.results.parquet"))) < 12


def test_a_process_that_dies_between_its_tasks_is_replaced(tmp_path):
    job = Job(Study(), {}, {}, tmp_path, (tmp_path / "token", b""))
    with processes(1, "cpu", job) as pool:
        assert pool.submit([]).result(60) == []
        before = psutil.Process().children()
        (worker,) = (child for child in before if "spawn_main" in " ".join(child.cmdline()))
        worker.kill()
        worker.wait(60)
        task = pool.submit([])
        with suppress(BrokenExecutor):  # of which the pool may not know yet
            task.result(60)
        assert pool.submit([]).result(60) == []


def test_a_process_that_is_asked_to_end_saves_its_batch_and_the_run_ends_in_one_line(tmp_path):
    """As a run in one process does: at a deadline, or by Ctrl-C, which its workers do not hear."""
    study = small(seeds=2, gd=Training(steps=10**9, tolerance=1e-300, engine="autograd"), trainings={})
    study = replace(study, datasets=["diabetes"], ablations=Ablations(), executor=Executor("processes", workers=1))
    (tmp_path / "long.yaml").write_text(as_yaml(study))
    asked = ["--config", "long.yaml", "--run_dir", "run", "--quiet"]
    command = [sys.executable, "-c", "import sys; from gdstudy.train import *; exit_with(main)", *asked]
    # What a shell starts in its background ignores SIGINT, and so would what is started here.
    ready = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731
    how = {"cwd": tmp_path, "stderr": subprocess.PIPE, "text": True, "env": HERE, "preexec_fn": ready}
    with subprocess.Popen(command, **how) as process:
        until, worker = time.monotonic() + 120, None
        while worker is None or sum(worker.cpu_times()[:2]) < 8:  # all is imported, and it trains
            assert time.monotonic() < until
            time.sleep(0.1)
            below = psutil.Process(process.pid).children(recursive=True)
            worker = next((one for one in below if "spawn_main" in " ".join(one.cmdline())), None)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (
        said
        == "gdstudy.train: interrupted; finished batches are kept. Go on with: python -m gdstudy.train --resume run\n"
    )
    assert list((tmp_path / "run/batches").glob("*.partial"))
    assert not worker.is_running()


@pytest.mark.parametrize("shared", [True, False])
def test_only_the_batch_that_kills_is_blamed_though_others_die_with_it(shared, tmp_path, monkeypatch):
    """As on Dask: all tasks under way are told that their worker died. Not knowing that, others are blamed too."""
    waiting = []

    class Dies(Exception):
        pass

    @contextmanager
    def together(study, job, executor):
        def submit(batches):
            waiting.append((batches, Future()))
            return waiting[-1][1]

        def workers():  # asked before anything is handed out: what was handed out ends together
            kills = any(
                batch.dataset == "diabetes" and batch.cells[0][0] == 30 for some, _ in waiting for batch in some
            )
            for some, future in waiting:
                future.set_exception(Dies()) if kills else future.set_result(compute_apart(job, some))
            waiting.clear()
            return 2

        yield Pool(submit, workers, died=(Dies,), shared=shared)

    monkeypatch.setattr(run, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(run, "pool_of", together)
    study = small(batch_cells=6, trainings={}, ablations=Ablations(), gd=Training(steps=5), n_train=[20, 30])
    with pytest.raises(Unfinished) as raised:
        run_study(study, tmp_path / "run")
    stored = len(list((tmp_path / "run" / "batches").glob("*.results.parquet")))
    assert str(raised.value).startswith("1 of the batches killed") == shared
    assert (stored == 3) == shared


# Workers that die. The code runs in a process of its own: it is imported by its workers.

POISON = """
import os, signal, sys
from pathlib import Path
from gdstudy.sweep import worker

compute, marks = worker.compute, Path(sys.argv[1]).parent

def poisoned(job, batch, monitor=None):
    here = f"{batch.dataset} {batch.cells[0][0]}"
    if here == "diabetes 30":
        (marks / f"death {os.getpid()}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return compute(job, batch, monitor)

worker.compute = poisoned

if __name__ == "__main__":
    from gdstudy.train import main
    sys.exit(main(["--resume", sys.argv[1], *sys.argv[2:]]))
"""


@pytest.mark.parametrize("kind", ["processes", "dask"])
def test_a_batch_that_kills_its_worker_three_times_is_named_and_all_else_is_kept(kind, tmp_path):
    study = small(batch_cells=6, trainings={}, ablations=Ablations(), gd=Training(steps=20))
    run = run_study(study, tmp_path / "run")
    whole = tables(run)
    for path in (run / "batches").glob("*.results.parquet"):
        path.unlink()
    script = tmp_path / "poison.py"
    script.write_text(POISON)
    environment = {**HERE, "PYTHONPATH": os.pathsep.join([str(tmp_path), HERE["PYTHONPATH"]])}
    asked = ["--executor.kind", kind, "--executor.workers", "2", "--quiet"]
    if kind == "dask":  # its workers import the package alone, so that it is poisoned there
        script.write_text(POISON.replace('if __name__ == "__main__":', "def go():"))
        command = [sys.executable, "-c", "import poison; poison.go()", str(run), *asked]
        environment["DASK_DISTRIBUTED__WORKER__PRELOAD"] = "['poison']"
    command = [sys.executable, str(script), str(run), *asked] if kind == "processes" else command
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=550)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1, done.stderr
    assert "1 of the batches killed their worker 3 times: batch 7 (diabetes, linear, P=10, N=30-30, seeds 0-5)" in line
    deaths = len(list(tmp_path.glob("death *")))
    # Dask tells it of a task that only waited there too: the first is no proof, and then each is tried by itself.
    assert deaths == 3 if kind == "processes" else 3 <= deaths <= 4
    assert len(load_results(run)) == len(whole[0]) * 7 // 8
    resume_study(run)
    for table, before in zip(tables(run), whole, strict=True):
        pd.testing.assert_frame_equal(table, before, check_exact=True)
