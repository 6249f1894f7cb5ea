"""What is left of a tiny study that is cut off at any of its write points, and that it is resumed to what it was to be.

    python suite.py HOME MODE,SHARE,OF…

MODE: what happens at a point (see `MODES`), one after the other. What a process leaves that is killed is copied at each
point of a single run; other faults happen in a run of their own, in forks of a process that has imported everything.
Every OF-th state or point is resumed from the SHARE-th on. Prints as JSON for each mode what was wrong in the end, by
number, and how many points there were. To be run with one thread of each library: forks have but one.
"""

import copy
import gc
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from unittest.mock import patch

import pyarrow
import tqdm
from points import Points, Snapshots, fill, kill, small_figure, without_chance
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

from gdstudy import showing
from gdstudy.sweep import beginning
from gdstudy.sweep.reading import load_run
from gdstudy.sweep.store import Store
from gdstudy.train import main
from gdstudy.views import board, figures, live

tqdm.tqdm.monitor_interval = 0
tqdm.tqdm.set_lock(threading.RLock())  # its own is shared by forks: one that is killed holding it would stop all others
live.PAUSE, live.SHARE = 0.0, float("inf")  # what TensorBoard shows of a run that goes on is written at once
pyarrow.set_cpu_count(1)
STUDY = """
datasets: [diabetes]
n_train: [6]
seeds: 2
batch_cells: 1
gd: {steps: 20, checkpoints_per_decade: 1}
"""
LARGER = (
    STUDY.replace("seeds: 2", "seeds: 10")
    .replace("[6]", "3-12")
    .replace("cells: 1", "cells: 10")
    .replace("20,", "200,")
)


figures.FIGURES, board.MOVING = {"small": small_figure}, {}
showing.run_page = lambda *_: b"a page"  # the writes are the matter, and each of them costs two runs


def forked(do, errors):
    """Exit status of a fork that does something, minus the signal that ended it. errors: a file for its stderr."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        number = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(number, 2)
        status = do()
    except BaseException:
        traceback.print_exc()
        status = 99
    sys.stderr.flush()
    os._exit(status)


def outcome(run):
    """All that a run leaves, as text by name: files byte for byte, tables, events with each tag and step."""
    found = {path.relative_to(run).as_posix(): repr(path.read_bytes()) for path in run.glob("figures/*")}
    found |= {path.name: path.read_text() for path in run.glob("*.[cm][sd]*")}
    tables = load_run(run)
    found |= {name: getattr(tables, name).to_csv() for name in ("results", "curves", "arrays")}
    events = []
    for path in run.rglob("*tfevents*"):
        for record in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(record)
            for value in event.summary.value:
                content = "" if value.tag.startswith("config") else value.SerializeToString().hex()
                events.append((path.parent.relative_to(run).as_posix(), value.tag, event.step, content))
    return found | {"events": "\n".join(map(str, sorted(events)))}


class Suite:
    def __init__(self, home, text=STUDY):
        self.home, self.config = home, home / "tiny.yaml"
        self.config.write_text(text)
        assert main(["--config", str(self.config), "--run_dir", str(home / "reference"), "--quiet"]) == 0
        self.expected = outcome(home / "reference")
        self.errors = home / "stderr"
        gc.freeze()  # what forks look through they get copies of

    def under(self, name):
        """The same, with folders of its own for what is cut off."""
        one = copy.copy(self)
        one.home = self.home / name
        one.home.mkdir()
        one.errors = one.home / "stderr"
        return one

    def start(self, run):
        return lambda: main(["--config", str(self.config), "--run_dir", str(run), "--quiet"])

    def resume(self, run):
        return lambda: main(["--resume", str(run), "--quiet"])

    def at(self, k, act, do, ever_after=False):
        """Do something in a fork with `act` at its k-th point. (status, whether it was met, what was said)."""
        seen = self.home / "seen"
        seen.unlink(missing_ok=True)

        def once(kind):
            if not seen.exists():
                os.close(os.open(seen, os.O_CREAT))
            act(kind)

        def with_points():
            Points(self.home / "runs", k, once, ever_after)
            return do()

        status = forked(with_points, self.errors)
        return status, seen.exists(), self.errors.read_text()

    def finish(self, run):
        """What is wrong with a run that was cut off: what its folder lacks, and what it holds once it is finished."""
        wrong = []
        whole = (run / "config.yaml").is_file() and (run / "batches/study.yaml").is_file()
        if run.exists() and not whole:
            wrong.append(f"the folder is no whole run: {sorted(map(str, run.rglob('*')))}")
        status = forked(self.resume(run) if (run / "batches").exists() else self.start(run), self.errors)
        if status != 0:
            return [*wrong, f"status {status}: {self.errors.read_text()}"]
        found = outcome(run)
        wrong += [
            f"{name} differs" for name in found.keys() | self.expected if found.get(name) != self.expected.get(name)
        ]
        return wrong + [f"{path} is left" for path in run.parent.rglob(".*.part")]


def one_line(status, said, expected):
    lines = said.splitlines()
    good = status == expected and len(lines) == 1 and "Traceback" not in said
    return [] if good else [f"status {status}, said {said!r}"]


def each(suite, share, of, act, expected, ever_after=False):
    """{k: what is wrong}, and the number of points."""
    wrong, k = {}, share
    while True:
        folder = suite.home / "runs" / str(k)
        run = folder / "run"
        folder.mkdir(parents=True)
        status, met, said = suite.at(k, act, suite.start(run), ever_after)
        if not met:
            return {k: v for k, v in wrong.items() if v}, k - of
        wrong[k] = [] if (status, said) == (0, "") else one_line(status, said, expected)  # a fault may be no matter
        if expected == 143 and (left := list(folder.rglob(".*.part"))):
            wrong[k].append(f"{left} are left at once")
        wrong[k] += suite.finish(run)
        shutil.rmtree(folder)
        k += of


def each_state(suite, share, of, begun=None):
    """{what a killed process leaves, by number: what is wrong}, and the number of points.

    A state that several points have in common is finished once. At one point, before there are threads, a process is
    killed, which leaves what the copy says.
    """
    folder, states = suite.home / "runs/one", suite.home / "states"
    run = folder / "run"

    def anew():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if begun:
            shutil.copytree(begun, run)
        return suite.resume(run) if begun else suite.start(run)

    def watched():
        points = Snapshots(folder, states)
        status = do()
        (suite.home / "points").write_text(json.dumps(points.number))
        return status

    do = anew()
    assert forked(watched, suite.errors) == 0, suite.errors.read_text()
    state_of = json.loads((suite.home / "points").read_text())
    wrong = {}
    early = len(state_of) // 4
    status, _, said = suite.at(early, kill, anew())
    differing = names(folder) ^ names(states / str(state_of[early - 1]))
    if status != -9 or differing:
        wrong["killed"] = [f"status {status}: {said}", *differing]
    for k in range(share, max(state_of) + 1, of):
        shutil.rmtree(folder)
        (states / str(k)).rename(folder)
        wrong[k] = suite.finish(run)
    return {k: v for k, v in wrong.items() if v}, len(state_of)


def names(folder):
    """What there is below a folder, and how large what does not say when or by whom it was written."""
    found = {without_chance(path.relative_to(folder)): path for path in folder.rglob("*")}
    sized = {name for name, path in found.items() if path.is_file() and "events" not in name and "writer" not in name}
    return {(name, found[name].stat().st_size if name in sized else None) for name in found}


def killed(suite, share, of):
    return each_state(suite, share, of)


def killed_as_it_resumes(suite, share, of):
    begun = suite.home / "begun"
    kinds = suite.home / "runs" / "first"
    kinds.mkdir(parents=True)
    suite.at(55, kill, suite.start(kinds / "run"))  # some of its batches are there
    (kinds / "run").rename(begun)
    assert list(begun.glob("batches/*.results.parquet"))
    assert not (begun / "results.csv").exists()
    return each_state(suite, share, of, begun)


def full(suite, share, of):
    return each(suite, share, of, fill, 2, ever_after=True)


def asked_to_end(suite, share, of):
    return each(suite, share, of, lambda kind: os.kill(os.getpid(), signal.SIGTERM), 143)


def begun_in_place(suite, share, of):
    """Control: a folder that is made where it is to be."""

    def begin(run_dir, study, made_by, shard):
        run_dir.mkdir(parents=True, exist_ok=True)
        return Store(run_dir, study, made_by, shard)

    with patch.object(beginning, "begin", begin):
        return killed(suite, share, of)


def events_kept(suite, share, of):
    """Control: a board that is written beside what is left of the last."""
    with patch.object(board, "_remove_events", lambda folder, kept: None):
        return killed(suite, share, of)


def killed_at_random(suite, seed, kills):
    """Kills at random times of a larger study, each time resumed, until there were so many."""
    suite, random_ = Suite(suite.home, LARGER), random.Random(seed)
    wrong, done, n = {}, 0, 0
    while done < kills:
        n += 1
        run = suite.home / "runs" / str(n) / "run"
        run.parent.mkdir(parents=True)
        while done < kills:
            do = suite.resume(run) if (run / "batches").exists() else suite.start(run)
            child = os.fork()
            if not child:
                os.dup2(os.open(suite.errors, os.O_WRONLY | os.O_CREAT), 2)
                os._exit(do())
            time.sleep(random_.uniform(0.02, 0.6))
            if os.waitpid(child, os.WNOHANG) == (0, 0):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                done += 1
            else:
                break
        wrong[n] = suite.finish(run)
    return {k: v for k, v in wrong.items() if v}, done


MODES = {
    f.__name__: f
    for f in (killed, killed_as_it_resumes, full, asked_to_end, begun_in_place, events_kept, killed_at_random)
}

if __name__ == "__main__":
    suite, found = Suite(Path(sys.argv[1])), {}
    for mode, share, of in (asked.split(",") for asked in sys.argv[2:]):
        wrong, points = MODES[mode](suite.under(mode), int(share), int(of))
        found[mode] = {"wrong": wrong, "points": points}
    print(json.dumps(found))
