"""Signals, deadlines, folders and limits that change while a run goes on: one line, the right status, nothing lost."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pandas as pd
import pytest
from points import small_figure

from gdstudy import load_results, run_study
from gdstudy.command import run_command
from gdstudy.study.ending import SIGNALS, Deadline, Stopped, lacks, signals_raise
from gdstudy.study.errors import StudyError
from gdstudy.study.parser import read_study
from gdstudy.study.seeds import Shard
from gdstudy.sweep import beginning, folder, lock, run, store, worker
from gdstudy.train import main
from gdstudy.views import figures

TINY = "datasets: [diabetes]\nn_train: [6]\nseeds: 4\nbatch_cells: 1\ngd: {steps: 20, checkpoints_per_decade: 1}\n"
RUN = Path("run")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    home = tmp_path_factory.mktemp("whole")
    (home / "tiny.yaml").write_text(TINY)
    return load_results(run_study(home / "tiny.yaml", home / "run"))


@pytest.fixture(autouse=True)
def _tiny(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    monkeypatch.setattr(figures, "FIGURES", {"small": small_figure})
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background has it ignored
    yield
    signal.signal(signal.SIGINT, before)


def start(*more):
    return main(["--config", "tiny.yaml", "--run_dir", str(RUN), "--quiet", *more])


def resumed(whole):
    assert main(["--resume", str(RUN), "--quiet"]) == 0
    pd.testing.assert_frame_equal(load_results(RUN), whole)
    assert not list(Path().rglob("*.part"))


def said(capsys):
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    return err


def stored():
    return len(list(RUN.glob("batches/*.results.parquet")))


@pytest.fixture
def at_batch(monkeypatch):
    """Something happens once, after so many batches are stored and the next is computed."""

    def happens(number, do):
        compute, batches = worker.run_batch, count()

        def with_it(*arguments):
            records = compute(*arguments)
            if next(batches) == number:
                do()
            return records

        monkeypatch.setattr(worker, "run_batch", with_it)

    return happens


# Signals


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_drops_the_batch_under_way_and_says_how_to_go_on(number, whole, at_batch, capsys):
    handlers = [signal.getsignal(n) for n in SIGNALS]
    at_batch(2, lambda: os.kill(os.getpid(), number))
    assert start() == SIGNALS[number]
    assert "finished batches are kept. Go on with: python -m gdstudy.train --resume run" in said(capsys)
    assert stored() == 2
    assert [signal.getsignal(n) for n in SIGNALS] == handlers
    resumed(whole)


def test_python_keeps_its_own_handlers(at_batch):
    """Control: only a command has its own."""
    found = []
    at_batch(0, lambda: found.extend(signal.getsignal(n) for n in SIGNALS))
    handlers = [signal.getsignal(n) for n in SIGNALS]
    run_study("tiny.yaml", RUN)
    assert found == handlers


def test_a_signal_that_somebody_turns_into_another_error_or_swallows_is_still_one(capsys):
    class Deaf:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0)

    def swallowed():
        Deaf()
        time.sleep(60)  # it is raised once more, a little later

    def turned():
        try:
            os.kill(os.getpid(), signal.SIGHUP)
        except KeyboardInterrupt:
            raise ImportError from None

    assert [run_command("test", do) for do in (swallowed, turned)] == [143, 129]
    assert capsys.readouterr().err == "test: ended by SIGTERM\ntest: ended by SIGHUP\n"


def test_threads_have_no_handlers_and_signals_that_are_ignored_stay_so():
    def inside():
        with signals_raise():
            return signal.getsignal(signal.SIGTERM)

    assert threading.current_thread() is threading.main_thread()
    assert inside() != signal.SIG_DFL
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(inside).result() == signal.SIG_DFL
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with signals_raise():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def process(*arguments):
    ready = lambda: [signal.signal(n, signal.SIG_DFL) for n in SIGNALS]  # noqa: E731
    command = [sys.executable, "-X", "faulthandler", "-m", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=ready)


ENDLESS = ["--config", "tiny.yaml", "--run_dir", "run", "--quiet", "--gd.steps", "1e12", "--gd.tolerance", "1e-300"]


@pytest.mark.parametrize("command", [["gdstudy.train", *ENDLESS], ["gdstudy", "train", *ENDLESS]])
def test_ctrl_c_while_torch_is_imported_is_one_line(command):
    """As soon as PyTorch's library is in memory, its import runs."""
    with process(*command) as child:
        maps = Path(f"/proc/{child.pid}/maps")
        while "libtorch" not in maps.read_text():
            assert child.poll() is None
        child.send_signal(signal.SIGINT)
        err = child.stderr.read()
    assert err == "gdstudy.train: interrupted\n"
    assert child.returncode == 130
    assert not RUN.exists()


def test_a_second_signal_ends_at_once():
    code = """
import signal, sys, time
from gdstudy.command import run_command
def slow():
    try:
        print("on", flush=True); time.sleep(600)
    finally:
        print("ending", flush=True); time.sleep(600)
run_command("test", slow)
"""
    with process("timeit", "-n1", "-r1", f"exec({code!r})") as child:
        assert child.stdout.readline() == "on\n"
        child.send_signal(signal.SIGTERM)
        assert child.stdout.readline() == "ending\n"
        child.send_signal(signal.SIGTERM)
        assert child.wait() == -signal.SIGTERM
        assert "Traceback" not in child.stderr.read()


# A deadline


@pytest.mark.parametrize(("text", "seconds"), [("25m", 1500), ("90s", 90), ("2h", 7200), ("0.5", 0.5), ("1d", 86400)])
def test_times_are_written_as_people_write_them(text, seconds):
    assert Deadline.of(text).seconds == seconds


@pytest.mark.parametrize("text", ["", "m", "-5m", "5 minutes", "nan", "1:30", "inf"])
def test_what_is_no_time_is_one_line(text, capsys):
    assert start(f"--stop_after={text}") == 2
    assert "write one such as 25m, 90s or 2h" in said(capsys)
    assert not RUN.exists()


def test_a_deadline_is_by_a_clock_that_nobody_sets(monkeypatch):
    soon, never, later = Deadline(0.0), Deadline(), Deadline(1e6)
    monkeypatch.setattr(time, "time", lambda: 1e12)
    assert (soon.passed, never.passed, later.passed) == (True, False, False)
    with pytest.raises(Stopped):
        soon.check()
    later.check()


def test_a_run_stops_inside_a_training_and_goes_on_later(whole, capsys, monkeypatch):
    with monkeypatch.context() as patch:  # its time passes as the third batch is trained
        began = {"n": 0}

        def check(deadline):
            began["n"] += stored() == 2 and deadline.seconds is not None
            if began["n"] == 2:  # between batches first, then inside
                raise Stopped("stopped after 25m", 75)

        patch.setattr(Deadline, "check", check)
        assert start("--stop_after", "25m") == 75
    assert "stopped after 25m; finished batches are kept. Go on with: python -m gdstudy.train --resume run" in said(
        capsys
    )
    assert stored() == 2
    assert main(["--resume", "run", "--quiet", "--stop_after", "0"]) == 75  # the next stops at once
    said(capsys)
    assert main(["--resume", "run", "--quiet", "--stop_after", "1h"]) == 0
    resumed(whole)


# A folder that goes away


def removed():
    shutil.rmtree(RUN)


def renamed():
    RUN.rename("elsewhere")


def replaced():
    RUN.rename("elsewhere")
    shutil.copytree("elsewhere", RUN)


@pytest.mark.parametrize("change", [removed, renamed, replaced])
def test_a_folder_that_goes_away_is_noticed_at_once_and_not_made_anew(change, whole, at_batch, capsys):
    at_batch(1, change)
    assert start() == 2
    assert "run was removed, renamed or replaced while its run went on" in said(capsys)
    assert RUN.exists() == (change is replaced)
    assert stored() == (1 if change is replaced else 0)
    if change is renamed:
        Path("elsewhere").rename(RUN)
        resumed(whole)


def test_a_folder_that_goes_away_before_the_figures_is_noticed(at_batch, capsys, monkeypatch):
    missing = run.run_missing
    monkeypatch.setattr(run, "run_missing", lambda *arguments: (missing(*arguments), renamed()))
    assert start() == 2
    assert "removed, renamed or replaced" in said(capsys)
    assert not RUN.exists()


# How a folder begins, and what is lost of it


@pytest.mark.parametrize("lost", ["config.yaml", "batches/study.yaml"])
@pytest.mark.parametrize(
    "how", [Path.unlink, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(bytes(99))]
)
def test_a_run_whose_config_or_study_is_lost_is_resumed_from_the_other(lost, how, whole, at_batch, capsys):
    at_batch(2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    start()
    before = (RUN / "batches/study.yaml").read_bytes()
    capsys.readouterr()
    how(RUN / lost)
    resumed(whole)
    assert (RUN / "batches/study.yaml").read_bytes() == before
    assert ("config.yaml was lost; it is written anew" in capsys.readouterr().err) == (lost == "config.yaml")


def test_a_study_that_is_lost_is_not_made_from_another_config(at_batch, capsys):
    """Control."""
    start()
    (RUN / "batches/study.yaml").unlink()
    config = RUN / "config.yaml"
    config.write_text(config.read_text().replace("steps: 20", "steps: 21"))
    assert main(["--resume", "run"]) == 2
    assert "is missing or damaged, and batch 0 was not computed for what config.yaml says" in said(capsys)
    config.unlink()
    assert main(["--resume", "run"]) == 2
    assert "no run is there" in said(capsys)


def empty():
    RUN.mkdir()


def a_link():
    Path("else").mkdir()
    RUN.symlink_to("else")


def left_by_an_old_start():
    (RUN / "batches").mkdir(parents=True)
    for name in ("lock", "writer", ".study.yaml.0123456789abcdef.part"):
        (RUN / "batches" / name).touch()


def left_by_a_start():
    for name in (Path(".run.0123456789abcdef.part"), RUN / ".run.0123456789abcdef.part"):
        (name / "batches").mkdir(parents=True)
        for file in ("config.yaml", "batches/lock", "batches/writer", "batches/.study.yaml.0123456789abcdef.part"):
            (name / file).touch()


def removed_by_nfs():
    RUN.mkdir()
    (RUN / ".nfs0000000000123").touch()


@pytest.mark.parametrize("before", [empty, a_link, left_by_an_old_start, left_by_a_start, removed_by_nfs])
def test_an_unused_folder_is_used_and_stays_the_folder_that_it_is(before, whole):
    before()
    inode = RUN.stat().st_ino
    assert start() == 0
    assert RUN.stat().st_ino == inode
    resumed(whole)


def test_a_start_that_lives_and_what_is_none_are_left_alone(capsys):
    live, mine = Path(".run.0123456789abcdef.part"), Path(".run.mine.part")
    (live / "batches").mkdir(parents=True)
    mine.mkdir()
    held = lock.hold(live)
    assert start() == 0
    held.release()
    assert (live / "batches/lock").exists()
    assert mine.exists()


@pytest.mark.parametrize("looked_at", [False, True])
def test_a_start_that_another_takes_for_a_killed_one_begins_once_more(looked_at, whole, monkeypatch):
    """Before it holds its folder: the other holds it just then, or has removed it."""
    make, parts = beginning.Store, []

    def slower(part, *rest):
        parts.append(part)
        if len(parts) == 3:
            return make(part, *rest)
        (part / "batches").mkdir()
        if not looked_at:
            beginning.clear_starts(RUN)
            assert not part.exists()
            return make(part, *rest)
        other = lock.hold(part)
        try:
            return make(part, *rest)
        finally:
            other.release()

    monkeypatch.setattr(beginning, "Store", slower)
    assert start() == 0
    assert len(set(parts)) == 3
    assert not list(RUN.parent.glob(".*.part"))
    resumed(whole)


@pytest.mark.parametrize("there", [False, True])
def test_of_two_starts_one_wins_and_the_other_says_so(there, whole, capsys, monkeypatch):
    """The second begins and ends while the first is about to name its folder."""
    if there:
        RUN.mkdir()
    rename, inner = folder.rename, []

    def slower(path, to):
        if to == RUN or to == RUN / "batches":
            monkeypatch.setattr("gdstudy.sweep.beginning.rename", rename)
            inner.append(start())
        rename(path, to)

    monkeypatch.setattr("gdstudy.sweep.beginning.rename", slower)
    statuses = [start(), *inner]
    assert sorted(statuses) == [0, 2]
    assert said(capsys)
    resumed(whole)


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("there", [False, True])
def test_a_shard_that_begins_while_another_has_just_begun_joins_it(there, killed, whole, monkeypatch):
    """The other has named its folder and goes on, or is killed, just before this one names its own."""
    if there:
        RUN.mkdir()
    flush, others = beginning.flush_to_disk, []

    def slower(path):
        monkeypatch.setattr(beginning, "flush_to_disk", flush)
        others.append(beginning.begin(RUN, read_study("tiny.yaml"), {}, Shard(2, 2)))
        if killed:
            others[0].close()
        flush(path)

    monkeypatch.setattr(beginning, "flush_to_disk", slower)
    assert start("--shard", "1/2") == 0
    others[0].close()
    assert len(others) == 1
    assert (RUN / "config.yaml").read_text()
    resumed(whole)


def test_a_start_whose_config_another_takes_away_writes_it_anew(whole, monkeypatch):
    """Between the names of batches/ and of config.yaml nothing says that it lives."""
    RUN.mkdir()
    rename, taken = folder.rename, []

    def slower(path, to):
        if to == RUN / "config.yaml":
            beginning.clear_starts(RUN)
            taken.append(path)
            assert not path.exists()
        rename(path, to)

    monkeypatch.setattr(beginning, "rename", slower)
    assert start() == 0
    assert taken
    assert (RUN / "config.yaml").read_text()
    resumed(whole)


def test_starts_in_the_same_second_have_folders_of_their_own(monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda *_: "20260101-120000")
    folders = {run_study("tiny.yaml").name for _ in range(3)}
    assert folders == {"20260101-120000", "20260101-120000-1", "20260101-120000-2"}


# What the system refuses


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_a_folder_that_cannot_be_made_is_one_line_and_leaves_nothing(code, monkeypatch, capsys):
    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert start() == 2
    assert os.strerror(code) in said(capsys)
    assert {path.name for path in Path().iterdir()} == {"tiny.yaml"}


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EMFILE, errno.EIO, errno.ENOSPC])
def test_a_part_that_cannot_be_written_is_one_line_and_nothing_is_lost(code, whole, monkeypatch, capsys):
    write, parts = store.write_whole, count()

    def refuse(path, *arguments, **how):
        if path.suffix == ".parquet" and next(parts) == 5:
            raise OSError(code, os.strerror(code))
        write(path, *arguments, **how)

    monkeypatch.setattr(store, "write_whole", refuse)
    assert start() == 2
    line = said(capsys)
    assert os.strerror(code) in line
    assert ("free some space" in line) == (code == errno.ENOSPC)
    resumed(whole)


@pytest.mark.parametrize("quota", [100, 4000, 9000, 12_000])
def test_a_quota_is_one_line_and_nothing_is_lost(quota, whole, capsys):
    """9000: parts fit, figures do not; RLIMIT_FSIZE."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (quota, before[1]))
    try:
        status = start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert status == 2
    assert "File too large" in said(capsys)
    assert not list(Path().rglob("*.part"))
    if RUN.exists():
        resumed(whole)


def test_a_small_disk_is_one_line_and_nothing_is_lost(tmp_path, whole, capsys):
    """A file system of 100 kB, where one may be mounted:"""
    RUN.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(RUN)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        assert start() == 2
        assert "No space left on device" in said(capsys)
        assert stored()
        subprocess.run(["mount", "-o", "remount,size=100m", str(RUN)], check=True)
        resumed(whole)
    finally:
        subprocess.run(["umount", "-l", str(RUN)], check=True)


def test_few_open_files_are_enough(whole):
    """Files are closed as soon as they are read, whatever their number."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(map(int, os.listdir("/proc/self/fd"))) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 16, before[1]))
    try:
        assert start() == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    resumed(whole)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("can't start new thread"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: you tried …"),
        ImportError("libtorch.so: failed to map segment from shared object"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        MemoryError("malloc of size 64 failed"),
        MemoryError(),
    ],
)
def test_too_little_memory_is_one_line_and_nothing_is_lost(error, whole, at_batch, capsys):
    def fail():
        raise error

    at_batch(1, fail)
    assert start() == 2
    assert "not enough memory" in said(capsys)
    assert stored() == 1
    resumed(whole)


def test_other_errors_are_not_called_want_of_memory():
    """Control: a mistake in the code is to be seen."""
    assert not lacks(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not lacks(StudyError("seeds=0"))


def test_a_rename_that_nfs_did_and_then_denies_is_done(monkeypatch, tmp_path):
    replace = os.replace

    def twice(path, to):
        replace(path, to)
        replace(path, to)

    monkeypatch.setattr(os, "replace", twice)
    folder.write_whole(tmp_path / "a", b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"
    with pytest.raises(FileNotFoundError):
        folder.rename(tmp_path / "gone", tmp_path / "a")
