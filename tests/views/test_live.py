"""TensorBoard while a run goes on: final points alone, in increasing steps, and at the end what is written then."""

import errno
import itertools
import json
import os
import random
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from conftest import small_study
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

from gdstudy.experiment.plan import plan
from gdstudy.study.config import Study
from gdstudy.study.errors import StudyError
from gdstudy.study.groups import Ablations, GDExact, Ridge, Synthetic, Training
from gdstudy.study.values import Levels
from gdstudy.sweep.reading import load_run, load_study, read_batch
from gdstudy.train import resume_study, run_study
from gdstudy.views import complete, figures, growing, live
from gdstudy.views.board import write_board
from gdstudy.views.growing import Growing
from gdstudy.views.live import Live

STUDIES = {
    # Seeds of one N in several batches.
    "readouts": small_study(batch_cells=6, gd=Training(steps=100, checkpoints_per_decade=1)),
    # One batch a data set; two trainings, levels of ablations and of closed forms.
    "levels": small_study(
        batch_cells=60,
        datasets=["student_teacher"],
        n_train=[10, 20, 40],
        gd=Training(steps=100, checkpoints_per_decade=1, ablations=["no_residuals"]),
        trainings={"single": {"dtype": "float32"}, "adam": {"optimizer": "adam", "step_size": 0.01}},
        estimators=["min_norm", "gd", "theory", "ridge", "gd_exact"],
        ablations=Ablations(no_residuals=True, leading_modes=[1, 3]),
        ridge=Ridge(levels=Levels((0.1, 1))),
        gd_exact=GDExact(steps=Levels((10, 100))),
    ),
    # Along N and P; cells that are on no curve.
    "parameters": Study(
        datasets=["power_law"],
        synthetic=Synthetic(n_inputs=6, n_rows=60),
        models=["random_relu_autoencoder"],
        n_train=[3, 6, 12],
        n_parameters=[3, 6, 9],
        seeds=3,
        batch_cells=4,
        gd=Training(steps=30, checkpoints_per_decade=2),
    ),
    # Along N and the hidden width; without a closed form; the best of several starts.
    "hidden": Study(
        datasets=["power_law"],
        synthetic=Synthetic(n_inputs=6, n_rows=60),
        models=["bottleneck_aligned", "superposition"],
        n_train=[3, 6, 12],
        n_hidden=[2, 3],
        seeds=3,
        batch_cells=4,
        gd=Training(steps=30, checkpoints_per_decade=2, step_size="0.05"),
        trainings={"again": {"restarts": 2, "n_hidden": [2]}},
    ),
}


@pytest.fixture(scope="module", autouse=True)
def without_figures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "FIGURES", {})
        yield


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """What is stored is shown at once, and a training at some of its checkpoints."""
    look, checkpoints = Live.look, itertools.count()

    def whenever_new(self, cells, steps):
        if self._stored or (self._so_far is not None and next(checkpoints) % 3 == 0):
            look(self, cells, steps)

    monkeypatch.setattr(Live, "look", whenever_new)
    monkeypatch.setattr(live, "PAUSE", 0.0)
    monkeypatch.setattr(live, "SHARE", float("inf"))


@pytest.fixture
def finished(monkeypatch):
    """Folder → whether its file could be completed at the end, and how many points it had by then."""
    found, finish = {}, Growing.finish

    def seen(self, folder, events):
        known = sum(map(len, self._files[folder][1].values())) if folder in self._files else 0
        path = finish(self, folder, events)
        found[folder] = path is not None, known
        return path

    monkeypatch.setattr(Growing, "finish", seen)
    return found


def values(folder):
    """((folder, tag), step, scalar) in the order of its files."""
    for path in sorted(folder.rglob("*tfevents*")):
        for record in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(record)
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    yield (path.parent.relative_to(folder).as_posix(), value.tag), event.step, value


def raw(folder):
    """(folder, tag) → steps and values in the order of its files."""
    found = {}
    for key, step, value in values(folder):
        found.setdefault(key, []).append((step, value.simple_value))
    return found


def shown(folder):
    """The same as TensorBoard loads it without its data server."""
    found = {}
    for path in {path.parent for path in folder.rglob("*tfevents*")}:
        events = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload()
        for tag in events.Tags()["scalars"]:
            points = [(point.step, point.value) for point in events.Scalars(tag)]
            found[path.relative_to(folder).as_posix(), tag] = points
    return found


def written_at_its_end(run, home):
    write_board(home, {}, load_run(run), {})
    return raw(home)


def assert_each_step_once(points):
    for tag, some in points.items():
        steps = [step for step, _ in some]
        assert steps == sorted(set(steps)), tag


@pytest.mark.parametrize("name", STUDIES)
def test_the_board_is_the_one_written_at_the_end_and_was_there_before(name, finished, tmp_path, capsys):
    run = run_study(STUDIES[name], tmp_path / "run", quiet=False)
    assert "nothing more" not in capsys.readouterr().err
    board = raw(run)
    assert_each_step_once(board)
    assert board == written_at_its_end(run, tmp_path / "other") == shown(run)
    assert all(kept for kept, _ in finished.values())
    assert set(finished) == {run / folder for folder, _ in board}
    # All but hyperparameters, the last batch's among it, was there.
    live_points, all_points = sum(n for _, n in finished.values()), sum(map(len, board.values()))
    assert live_points > 0.9 * all_points
    assert not (run / "progress").exists()


@pytest.fixture(scope="module")
def readouts(tmp_path_factory):
    return run_study(STUDIES["readouts"], tmp_path_factory.mktemp("runs") / "run")


def watched(run, home):
    """A Live that writes elsewhere of a run that is stored, and its batches."""
    study = load_study(run)
    told = []
    watch = Live(home, study, plan(study), Growing(), partial(read_batch, run / "batches"), told.append)
    return watch, plan(study), told


def complete_before_a_gap(batches, of, dataset):
    """The N of a data set of which all seeds are in these batches, up to the first that lacks one."""
    sizes = sorted({n for batch in of for n, _ in batch.cells})
    lacks = {n for batch in of if batch.dataset == dataset and batch not in batches for n, _ in batch.cells}
    return list(itertools.takewhile(lambda n: n not in lacks, sizes))


@pytest.mark.parametrize("seed", range(4))
def test_in_whatever_order_batches_come_steps_increase_and_no_n_is_shown_before_all_its_seeds(seed, readouts, tmp_path):
    watch, batches, told = watched(readouts, tmp_path / "live")
    order = random.Random(seed).sample(batches, len(batches))
    for k, batch in enumerate(order):
        watch.stored(batch)
        watch.look(k, 0)
        found = raw(tmp_path / "live")
        assert_each_step_once(found)
        for dataset in load_study(readouts).names:
            due = complete_before_a_gap(order[: k + 1], batches, dataset)
            points = found.get((f"{dataset}/min_norm", f"sweep/test_mse/{dataset}"), [])
            assert [n for n, _ in points] == due
    at_its_end = written_at_its_end(readouts, tmp_path / "other")
    curves = {key: some for key, some in at_its_end.items() if not key[1].startswith("final/")}
    assert {key: some for key, some in found.items() if key[0] != "progress"} == curves
    described = Counter(key for key, _, value in values(tmp_path / "live") if value.metadata.summary_description)
    assert {key: n for key, n in described.items() if key[0] != "progress"} == dict.fromkeys(curves, 1)
    assert told == []


def test_without_waiting_steps_would_not_increase(readouts, tmp_path, monkeypatch):
    """Control."""
    divided = complete._divided
    monkeypatch.setattr(complete, "_divided", lambda parts, at: divided(parts, float("inf")))
    monkeypatch.setattr(Growing, "after", lambda self, folder, tag: -1)
    watch, batches, _ = watched(readouts, tmp_path / "live")
    for k, batch in enumerate(reversed(batches)):
        watch.stored(batch)
        watch.look(k, 0)
    with pytest.raises(AssertionError):
        assert_each_step_once(raw(tmp_path / "live"))


def test_batches_of_other_workers_are_shown_when_stored_and_seen(readouts, finished, tmp_path):
    with ThreadPoolExecutor(2) as executor:
        run = run_study(STUDIES["readouts"], tmp_path / "run", executor=executor)
    assert raw(run) == raw(readouts)
    assert sum(points for _, points in finished.values()) > 0
    # One that is not seen yet is read later.
    watch, batches, told = watched(readouts, tmp_path / "live")
    reads, hidden = watch._read, [True]
    watch._read = lambda number, tables: None if hidden[0] else reads(number, tables)
    watch.stored(batches[0])
    watch.look(1, 0)
    assert ("student_teacher/min_norm", "sweep/test_mse/student_teacher") not in raw(tmp_path / "live")
    hidden[0] = False
    watch.look(2, 0)
    assert ("student_teacher/min_norm", "sweep/test_mse/student_teacher") in raw(tmp_path / "live")
    assert told == []


class Cut(KeyboardInterrupt):
    pass


@pytest.mark.parametrize("stored", [1, 5])
def test_a_run_that_was_cut_off_has_each_step_once_when_it_is_resumed(stored, readouts, tmp_path, monkeypatch):
    """It leaves half a record, as a kill does."""
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        look, looks = Live.look, itertools.count()

        def cut(self, *how_far):
            look(self, *how_far)
            if len(list(run.glob("batches/*.results.parquet"))) >= stored and next(looks) > 3:
                raise KeyboardInterrupt

        patch.setattr(Live, "look", cut)
        with pytest.raises(KeyboardInterrupt):
            run_study(STUDIES["readouts"], run)
    left = list(run.rglob("*tfevents*"))
    assert len(left) > 1
    for path in left:
        path.write_bytes(path.read_bytes()[:-7])
    before = {path.parent for path in left}
    states, stored_now = [], Live.stored

    def checked(self, batch):
        stored_now(self, batch)
        states.append(shown(run))

    monkeypatch.setattr(Live, "stored", checked)
    resume_study(run)
    assert raw(run) == raw(readouts)
    assert before <= {path.parent for path in run.rglob("*tfevents*")} | {run / "progress"}
    for state in states:
        assert_each_step_once(state)


def test_what_fails_is_told_once_and_stops_no_training(readouts, finished, tmp_path, monkeypatch, capsys):
    """A disk that is full in the middle of a write."""
    writes, append = itertools.count(), growing.append

    def full(path, content):
        if next(writes) != 3:
            return append(path, content)
        append(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("gdstudy.showing.append", full)
    run = run_study(STUDIES["readouts"], tmp_path / "run", quiet=False)
    said = capsys.readouterr().err
    assert said.count("TensorBoard shows nothing more until the run ends (OSError: [Errno 28] No space left") == 1
    assert raw(run) == raw(readouts)
    assert {kept for kept, _ in finished.values()} == {True, False}


@pytest.mark.parametrize("error", [ValueError("a mistake"), MemoryError(), StudyError("gone")])
def test_so_is_any_other_error(error, readouts, tmp_path, monkeypatch):
    def fail(self):
        raise error

    monkeypatch.setattr(complete.Complete, "points", fail)
    watch, batches, told = watched(readouts, tmp_path / "live")
    for _ in range(3):
        watch.stored(batches[0])
        watch.look(1, 0)
    assert len(told) == 1
    assert type(error).__name__ in told[0]


def test_of_a_shard_nothing_is_shown(tmp_path):
    run = run_study(STUDIES["readouts"], tmp_path / "run", shard="1/2")
    assert list(run.rglob("*tfevents*")) == []


# When


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_a_long_training_shows_its_loss_within_seconds_and_little_time_goes_into_it(readouts, tmp_path, monkeypatch):
    monkeypatch.undo()  # as it is
    clock, study = Clock(), load_study(readouts)
    watch = Live(tmp_path, study, plan(study), Growing(), lambda *_: None, print, clock)
    times, write = [], watch._write

    def slow(*arguments):
        times.append(clock.now - 100)
        write(*arguments)
        clock.now += 0.3

    watch._write = slow
    batch = plan(study)[0]

    class SoFar:
        results, curves = (), [{"train_mse": [3.0, 5.0]}]

    while clock.now < 1100:
        watch.under_way(batch, SoFar)
        watch.look(0, int(clock.now * 1000))
        clock.now += 0.1
    assert times[0] == pytest.approx(live.PAUSE, abs=0.2)
    assert 0.3 * len(times) < live.CREDIT + live.SHARE * 1000 + 0.6
    assert len(times) > 20
    points = raw(tmp_path)["progress", "progress/train_mse"]
    assert {value for _, value in points} == {4.0}
    assert [step for step, _ in points] == [int(t) for t in times]
    rates = [value for _, value in raw(tmp_path)["progress", "progress/steps_per_second"]]
    assert rates[1:] == pytest.approx([1000] * (len(rates) - 1), rel=0.05)


# In TensorBoard itself


def fetched(port, path, **query):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}?{urllib.parse.urlencode(query)}", timeout=30) as reply:
        return json.load(reply)


def until(found, wanted, seconds=90):
    """What a function returns, as soon as it is what is wanted, or at last."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if wanted(value := found()):
                return value
        except OSError:
            pass
        time.sleep(0.2)
    return found()


def test_a_tensorboard_that_is_open_all_the_time_shows_points_before_the_end_and_then_the_whole_board(
    tmp_path, monkeypatch
):
    """By its default loader, the data server: half of the run is cut off, and resumed."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(tmp_path), "--port", "0", "--bind_all"]
    with subprocess.Popen([*command, "--reload_interval", "1"], stderr=subprocess.PIPE, text=True) as process:
        try:
            line = next(line for line in process.stderr if "http://" in line)
            port = int(line.split("http://")[1].split(":")[1].split("/")[0])

            def tags():
                return fetched(port, "/data/plugin/scalars/tags")

            def points(run, tag):
                return [
                    (step, value) for _, step, value in fetched(port, "/data/plugin/scalars/scalars", run=run, tag=tag)
                ]

            def all_points():
                return {(run, tag): points(run, tag) for run, some in tags().items() for tag in some}

            run, stored = tmp_path / "run", Live.stored
            early = []

            def cut(self, batch):
                stored(self, batch)
                if len(list(run.glob("batches/*.results.parquet"))) == 5:
                    early.append(
                        until(tags, lambda found: "run/student_teacher/gd" in found and "run/progress" in found)
                    )
                    raise KeyboardInterrupt

            with monkeypatch.context() as patch:
                patch.setattr(Live, "stored", cut)
                with pytest.raises(KeyboardInterrupt):
                    run_study(STUDIES["readouts"], run)
            assert "sweep/test_mse/student_teacher" in early[0]["run/student_teacher/gd"]
            assert {"progress/cells", "progress/train_mse"} <= early[0]["run/progress"].keys()
            assert "seconds" in early[0]["run/progress"]["progress/cells"]["description"]
            resume_study(run)
            expected = {(f"run/{folder}", tag): some for (folder, tag), some in raw(run).items()}
            assert until(all_points, lambda found: found == expected) == expected
        finally:
            process.terminate()
