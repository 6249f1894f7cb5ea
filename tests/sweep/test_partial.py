"""The file of a batch under way: a killed run goes on from it, and a damaged or foreign one is named and not used."""

import hashlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from parts_of import finish

from gdstudy import __version__
from gdstudy.experiment.plan import plan
from gdstudy.study.config import Study
from gdstudy.study.parser import as_yaml, study_of
from gdstudy.sweep import partial
from gdstudy.sweep.generations import cells_of
from gdstudy.sweep.machine import provenance
from gdstudy.sweep.partial import Partial, decoded, encoded, partial_path
from gdstudy.sweep.progress import Progress
from gdstudy.sweep.reading import load_run
from gdstudy.sweep.store import Store
from gdstudy.train import main

STUDY = {
    "datasets": ["sparse_features"],
    "synthetic": {"n_inputs": 20, "n_rows": 60, "p_nonzero": 0.1},
    "models": ["superposition"],
    "n_hidden": [2],
    "n_train": [5, 20],
    "seeds": 1,
    "estimators": ["min_norm"],
    "gd": {"optimizer": "adamw", "step_size": 0.01, "steps": 300, "checkpoints_per_decade": 3, "dtype": "float32"},
    "trainings": {"one": {}, "best": {"restarts": 2}, "slow": {"schedule": "cosine", "warmup": 0.1}},
}
FACTS = {"study": "this"}
TREE = {
    "number": 3,
    "real": 0.1,
    "nothing": None,
    "list": [1, [True, "text"]],
    "inner": {"words": np.array(["converged", "µ"]), "real": np.float64(1 / 3), "empty": np.zeros((0, 4))},
    "tensors": [torch.tensor(2.5), torch.arange(24.0).reshape(2, 3, 4).mT, torch.tensor([True, False])],
    "whole": torch.arange(5, dtype=torch.int64),
}


def test_what_is_read_is_what_was_written_to_the_bit_and_as_it_lay_in_memory():
    found = decoded(encoded(TREE, FACTS), FACTS, "cpu")
    assert list(found) == list(TREE)
    assert [found[name] for name in ("number", "real", "nothing", "list")] == [3, 0.1, None, [1, [True, "text"]]]
    assert found["inner"]["words"].tolist() == ["converged", "µ"]
    assert repr(found["inner"]["real"]) == repr(np.float64(1 / 3))
    assert found["inner"]["empty"].shape == (0, 4)
    for ours, theirs in zip([*found["tensors"], found["whole"]], [*TREE["tensors"], TREE["whole"]], strict=True):
        assert (ours.dtype, ours.stride()) == (theirs.dtype, theirs.stride())
        assert torch.equal(ours, theirs)
    with pytest.raises(TypeError, match="object"):
        encoded({"code": np.array([print], dtype=object)}, FACTS)


def test_every_damage_and_every_other_fact_is_seen():
    content, chance = encoded(TREE, FACTS), random.Random(0)
    for _ in range(300):
        at = chance.randrange(len(content))
        flipped = bytearray(content)
        flipped[at] ^= 1 << chance.randrange(8)
        for damaged in (bytes(flipped), content[:at], content + content[:at] if at else b""):
            with pytest.raises(ValueError, match="damaged"):
                decoded(damaged, FACTS, "cpu")
    with pytest.raises(ValueError, match="is of another study"):
        decoded(content, {"study": "that"}, "cpu")


@pytest.mark.parametrize(
    "node",
    [
        ["cpu", "|O", [1], [0]],
        ["cpu", "<f8", [10**12], [0]],
        ["cpu", "<f8", [-1], [0]],
        ["cpu", "<f8", [1e400], [0]],
        ["cpu", "<f8", [1], [3]],
        ["cpu", "<f8", [1, 1], [0, 0]],
        ["cpu", "<U0", [5], [0]],
        ["cpu", "nonsense", [1], [0]],
        ["cpu"],
        7,
    ],
)
def test_a_made_up_array_is_refused_and_takes_no_memory(node, monkeypatch):
    """Its checksum is right: somebody meant it."""
    monkeypatch.setattr(partial, "_plain", lambda tree, arrays: {"map": {"a": {"array": node}}})
    with pytest.raises(ValueError, match=r"damaged|axes"):
        decoded(encoded({}, FACTS), FACTS, "cpu")


def kept(path, notes, **changes):
    return Partial(path, FACTS, Study(**changes), notes.append)


def test_a_batch_is_saved_after_its_interval_and_at_a_small_share_of_the_time(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    file = kept(tmp_path / "000000.partial", [])
    monkeypatch.setattr(partial, "write_whole", lambda *_, **__: now.__setitem__(0, now[0] + 5))
    now[0] += 179
    assert not file.due()
    now[0] += 1
    assert file.due()
    file.save({})
    # It took 5 s: again after 500 s, not after 180.
    now[0] += 490
    assert not file.due()
    now[0] += 10
    assert file.due()


def test_a_full_disk_is_named_and_the_training_goes_on(tmp_path, monkeypatch):
    notes = []
    file = kept(tmp_path / "000000.partial", notes, save_every=0)
    file.save({"a": 1})

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(partial, "write_whole", full)
    file.save({"a": 2})
    (line,) = notes
    assert "No space left on device" in line
    assert kept(tmp_path / "000000.partial", []).saved == {"a": 1}


def test_what_is_larger_than_a_batch_is_not_read(tmp_path, monkeypatch):
    notes, path = [], tmp_path / "000000.partial"
    with path.open("wb") as file:
        file.truncate(10**11)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("it was read"))
    assert kept(path, notes).saved is None
    assert "are more than a batch takes; this batch begins anew" in notes[0]


# Runs a study, saves its batch after so many looks, and kills itself.
KILLED = """
import os, signal, sys
from gdstudy.sweep.partial import Partial
from gdstudy.train import main
save, looks = Partial.save, [int(sys.argv[1])]
def due(self):
    looks[0] -= 1
    return not looks[0]
def last(self, tree):
    save(self, tree)
    os.kill(os.getpid(), signal.SIGKILL)
Partial.due, Partial.save = due, last
sys.exit(main(sys.argv[2:]))
"""


def begun(run):
    """The same run before its first batch."""
    (run / "batches").mkdir(parents=True)
    Store(run, study_of(STUDY)).close()
    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run of the study that was never cut off."""
    run = begun(tmp_path_factory.mktemp("partial") / "whole")
    finish(run)
    return run


@pytest.fixture(scope="module")
def killed_once(tmp_path_factory):
    """The same run, killed in the middle of its only batch, in its second training."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "toy.yaml").write_text(as_yaml(study_of(STUDY)))
    command = [sys.executable, "-c", KILLED, "150", "--config", str(folder / "toy.yaml"), "--run_dir"]
    process = subprocess.run([*command, str(folder / "run")], capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert [path.name for path in sorted((folder / "run" / "batches").glob("0*"))] == ["000000.partial"]
    return folder / "run"


@pytest.fixture
def killed(killed_once, tmp_path):
    return Path(shutil.copytree(killed_once, tmp_path / "run"))


def assert_same(ours, theirs):
    for table in ("results", "curves"):
        pd.testing.assert_frame_equal(getattr(ours, table), getattr(theirs, table), rtol=0, atol=0)
    keys = [name for name in theirs.arrays if name != "value"]
    pd.testing.assert_frame_equal(ours.arrays[keys], theirs.arrays[keys])
    for a, b in zip(ours.arrays["value"], theirs.arrays["value"], strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.fixture
def steps(monkeypatch):
    """Cell-steps that are taken from now on."""
    taken, check = [], Progress.check
    monkeypatch.setattr(Progress, "check", lambda self, n, running: (taken.append(n), check(self, n, running)))
    return taken


ALL_STEPS = 2 * 300 * 3  # one, best's second start, slow


def test_a_killed_run_goes_on_in_the_middle_of_its_batch(killed, whole, steps, capfd):
    assert main(["--resume", str(killed), "--quiet"]) == 0
    assert capfd.readouterr().err == ""
    assert_same(load_run(killed), load_run(whole))
    assert 0 < sum(steps) < 0.7 * ALL_STEPS
    # What was under way is stored, and its file is gone.
    assert not list(killed.rglob("*.partial"))


def test_a_run_that_was_not_cut_off_takes_all_steps(tmp_path, steps):
    """Negative control of the steps that are counted."""
    finish(begun(tmp_path / "run"))
    assert sum(steps) == ALL_STEPS


def damage(content, how):
    middle = len(content) // 2
    if how == "a bit":
        return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    return content[:middle] if how == "half" else b""


@pytest.mark.parametrize("how", ["a bit", "half", "empty", "another study", "another version", "another batch"])
def test_what_cannot_be_used_is_named_and_the_batch_begins_anew(how, killed, whole, steps, capfd):
    path = partial_path(killed / "batches", 0)
    if how.startswith("another"):
        fact = {"another study": "study", "another version": "torch", "another batch": "cells"}[how]
        content = path.read_bytes()
        said = content[: content.index(b'"tree"')]
        at = said.index(f'"{fact}": "'.encode()) + len(f'"{fact}": "')
        rest = bytearray(content[at:])
        rest[0] ^= 1
        head = len(partial._MAGIC) + 32
        changed = content[head:at] + bytes(rest)
        path.write_bytes(partial._MAGIC + hashlib.sha256(changed).digest() + changed)
    else:
        path.write_bytes(damage(path.read_bytes(), how))
    assert_same(finish(killed), load_run(whole))
    line = capfd.readouterr().err
    assert re.fullmatch(f"{re.escape(str(path))}: [^\n]*; this batch begins anew\n", line)
    assert ("is of another" in line) == how.startswith("another")
    assert sum(steps) == ALL_STEPS


@pytest.mark.parametrize("tree", [{}, {"starts": [], "levels": [], "descent": {"saved": 3}}])
def test_a_file_that_does_not_fit_its_batch_is_named_too(tree, killed, whole, capfd):
    """Its checksum and facts are right: somebody meant it."""
    study = study_of(STUDY)
    store = Store(killed, study, provenance(study, __version__))
    batch = plan(study)[0]
    facts = {name: store.facts[name] for name in ("gdstudy", "torch", "llvmlite", "study")} | {"cells": cells_of(batch)}
    Partial(partial_path(store.batches, 0), facts, study, print).save(tree)
    store.close()
    assert_same(finish(killed), load_run(whole))
    line = capfd.readouterr().err
    assert re.fullmatch(r"\S+: does not fit its batch .*; this batch begins anew\n", line)


def test_a_link_is_refused(killed, tmp_path, capfd):
    path = partial_path(killed / "batches", 0)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert main(["--resume", str(killed), "--quiet"]) == 2
    assert "is a symbolic link" in capfd.readouterr().err


def test_the_file_of_a_batch_that_is_stored_is_removed(whole, tmp_path):
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    partial_path(run / "batches", 0).write_bytes(b"left by a kill between two operations")
    finish(run)
    assert not list(run.rglob("*.partial"))


def test_what_stops_a_batch_at_a_look_loses_nothing_however_short_it_ran(tmp_path, monkeypatch, steps):
    """Such as a deadline, which `Monitor.check` says."""
    run, check = begun(tmp_path / "run"), Progress.check

    def stopping(self, n, running):
        check(self, n, running)
        if len(steps) == 100:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "check", stopping)
        with pytest.raises(KeyboardInterrupt):
            finish(run)
    assert 0 < sum(steps) < ALL_STEPS
    finish(run)
    assert sum(steps) == ALL_STEPS


def test_how_often_a_run_is_saved_is_no_part_of_what_it_is(killed, whole):
    """It may be another when the run is resumed."""
    assert_same(finish(killed, study_of(STUDY | {"save_every": 7})), load_run(whole))
