"""One writer at a time: a second one is refused with the first one's name, a dead one's lock is taken over."""

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading

import pytest
from filelock import FileLock
from parts_of import finish

from gdstudy.study.config import Study
from gdstudy.study.errors import StudyError
from gdstudy.study.seeds import Shard
from gdstudy.sweep import lock
from gdstudy.sweep.folder import check_folder
from gdstudy.sweep.reading import load_run
from gdstudy.sweep.store import Store
from gdstudy.train import main, resume_study, run_study

# Holds a run until its input ends.
HOLD = """
import sys
from pathlib import Path
from gdstudy.study.parser import read_study
from gdstudy.sweep.folder import check_folder
from gdstudy.sweep.reading import load_run
from gdstudy.sweep.store import Store
folder = Path(sys.argv[1])
store = Store(folder, read_study(folder / "batches/study.yaml"))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def run(run_dir, tmp_path):
    shutil.copytree(run_dir, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def writer(run):
    """Another process that holds the run."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_writer_is_refused_with_the_first_ones_process_and_host(run, writer, capsys):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for _ in range(2):  # being refused takes nothing from who holds it
        assert main(["--resume", str(run)]) == 2
        err = capsys.readouterr().err
        assert f"{run} is being written by process {writer.pid} on {socket.gethostname()}; wait" in err
        assert err.count("\n") == 1
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_readers_do_not_wait(run, writer):
    assert len(load_run(run).results) > 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_writers_lock_is_taken_over(how, run, writer):
    os.kill(writer.pid, how)
    writer.wait()
    assert (run / "batches/writer").read_text() == f"process {writer.pid} on {socket.gethostname()}\n"
    assert len(finish(run).results) > 0


def test_a_second_store_of_the_same_process_is_refused_until_the_first_is_closed(tmp_path):
    first = Store(tmp_path, Study())
    with pytest.raises(StudyError, match=f"is being written by process {os.getpid()} on"):
        Store(tmp_path, Study())
    first.close()
    Store(tmp_path, Study()).close()


def test_two_studies_for_one_folder_are_one_run(tmp_path):
    """The second finds the folder unused, but held: what the first has written stays."""
    Store(tmp_path, Study()).close()
    (tmp_path / "config.yaml").unlink()
    (tmp_path / "batches/study.yaml").unlink()
    store = Store(tmp_path, Study())
    with pytest.raises(StudyError, match="is not empty"):
        run_study(Study(seeds=1), tmp_path)
    assert (tmp_path / "config.yaml").is_file()
    store.close()


def test_what_was_being_written_by_a_running_writer_is_not_cleared_away(run, writer):
    part = run / "batches/.000000.results.parquet.0123456789abcdef.part"
    part.write_bytes(b"half")
    assert main(["--resume", str(run)]) == 2
    check_folder(run)
    assert part.exists()
    writer.kill()
    writer.wait()
    finish(run)
    assert not part.exists()


def test_who_looks_whether_a_run_is_held_keeps_nobody_from_holding_it(run):
    lock.hold(run).release()
    looking = FileLock(run / "batches/lock", thread_local=False)  # as `gdstudy runs` has it for a moment
    looking.acquire()
    threading.Timer(0.1, looking.release).start()
    held = lock.hold(run)
    assert lock.writer_of(run) == f"process {os.getpid()} on {socket.gethostname()}"
    held.release()
    assert lock.writer_of(run) is None


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_of_a_run_whose_locks_are_not_ours_it_is_not_known_who_writes_it(code, run, monkeypatch):
    lock.hold(run).release()
    held = lock.hold(run, Shard(1, 2))

    def not_ours(path, timeout):
        if path.name == "lock":
            raise OSError(code, os.strerror(code), str(path))
        return of_all(path, timeout)

    of_all = lock._lock
    (run / "batches/lock").touch()
    monkeypatch.setattr(lock, "_lock", not_ours)
    assert lock.writer_of(run) == f"process {os.getpid()} on {socket.gethostname()}"  # that of the shard is
    held.release()
    assert lock.writer_of(run) is None


@pytest.mark.parametrize("lacking", ["gdstudy.sweep.beginning.restore_config", "gdstudy.sweep.run.run_missing"])
@pytest.mark.parametrize("error", [RuntimeError, OSError])
def test_a_run_that_cannot_be_taken_up_is_let_go(lacking, error, run, monkeypatch):
    def fails(*arguments):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(lacking, fails)
        with pytest.raises((error, StudyError)) as kept:  # as a notebook keeps it, and all that it refers to
            resume_study(run)
    lock.hold(run).release()
    assert kept.value is not None


def test_a_run_whose_views_cannot_be_imported_is_let_go(run, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "gdstudy.showing", None)
        with pytest.raises(ImportError) as kept:
            resume_study(run)
    lock.hold(run).release()
    assert kept.value is not None
