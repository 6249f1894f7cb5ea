"""Shards, merged or in one folder, and runs that grow: the same tables as of a run that was never divided."""

import itertools
import os
import re
import shutil
import signal
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ADAMW
from parts_of import finish, parts, rewrite

from gdstudy.__main__ import main as gdstudy
from gdstudy.experiment.plan import plan
from gdstudy.study.config import Study
from gdstudy.study.errors import StudyError
from gdstudy.study.groups import Synthetic, Training
from gdstudy.study.parser import as_yaml, read_study
from gdstudy.study.seeds import Shard
from gdstudy.sweep import generations as sweep_generations
from gdstudy.sweep import lock as sweep_lock
from gdstudy.sweep import merging as sweep_merging
from gdstudy.sweep import store as sweep_store
from gdstudy.sweep.beginning import study_to_resume
from gdstudy.sweep.folder import write_whole
from gdstudy.sweep.generations import generations, grown, planned
from gdstudy.sweep.identity import identity
from gdstudy.sweep.merging import merge
from gdstudy.sweep.reading import load_results, load_run, load_study
from gdstudy.sweep.run import load_datasets, run_missing
from gdstudy.sweep.store import Store
from gdstudy.train import main, run_study

TABLES = ("results", "curves", "arrays")
TINY = {"synthetic": Synthetic(n_inputs=8, n_rows=60, p_nonzero=0.3), "batch_cells": 5, "seeds": 6}
TRAINED = Training(steps=20, checkpoints_per_decade=2)
# Both sides of the threshold, with all that is stored: closed forms, laws, trainings, curves and pictures.
STUDIES = {
    "readouts": Study(datasets=["student_teacher"], n_train=[4, 8, 16], gd=TRAINED, **TINY),
    "autoencoders": Study(
        datasets=["isotropic"],
        models=["linear_autoencoder", "random_relu_autoencoder"],
        n_train=[4, 12],
        n_parameters=[10],
        estimators=["min_norm", "gd", "theory"],
        gd=TRAINED,
        **TINY,
    ),
    "layers": Study(
        datasets=["sparse_features"],
        models=["superposition"],
        n_train=[4, 12],
        n_hidden=[2, 3],
        gd=replace(TRAINED, **ADAMW, step_size="0.01"),
        **TINY,
    ),
}


def compute(folder, study, shard=None):
    """A run without its figures, or the share of it that a shard has."""
    folder.mkdir(exist_ok=True)
    store = Store(folder, study, shard=Shard.of(shard))
    try:
        run_missing(study, load_datasets(study), store, quiet=True)
    finally:
        store.close()
    return folder


def quietly(new, *runs):
    notes = []
    found = merge(new, runs, notes.append)
    return *found, notes


def check_same(one, other):
    """Value for value, in all tables."""
    one, other = load_run(one), load_run(other)
    for name in TABLES:
        left, right = getattr(one, name), getattr(other, name)
        if name == "arrays":
            assert len(left) == len(right)
            for a, b in zip(left.pop("value"), right.pop("value"), strict=True):
                np.testing.assert_array_equal(a, b)
        pd.testing.assert_frame_equal(left, right, check_exact=True)


@pytest.fixture(scope="module", params=STUDIES)
def whole(request, tmp_path_factory):
    """A study and its run, never divided; tests only read it."""
    study = STUDIES[request.param]
    return study, compute(tmp_path_factory.mktemp("whole") / request.param, study)


# Shards


def test_shards_merged_are_the_run_that_was_never_divided(whole, tmp_path):
    study, run = whole
    shards = [compute(tmp_path / f"shard{k}", study, f"{k}/3") for k in (3, 1, 2)]
    assert all(0 < len(parts(shard)) < len(plan(study)) for shard in shards)
    assert quietly(tmp_path / "merged", *shards) == (len(plan(study)), 0, [])
    check_same(tmp_path / "merged", run)
    for path in parts(tmp_path / "merged"):  # the very files
        assert path.read_bytes() in [
            (shard / "batches" / path.name).read_bytes() for shard in shards if (shard / "batches" / path.name).exists()
        ]


def test_shards_that_begin_at_once_in_one_folder_are_one_run_and_the_last_draws(tmp_path, capfd):
    study = replace(STUDIES["readouts"], n_train=[4, 8])
    (tmp_path / "s.yaml").write_text(as_yaml(study))
    run = tmp_path / "run"
    command = ["--config", str(tmp_path / "s.yaml"), "--run_dir", str(run)]
    started = [forked(lambda k=k: main([*command, "--shard", f"{k}/3"]) == 0 or os._exit(1)) for k in (1, 2, 3)]
    assert [os.waitpid(process, 0)[1] for process in started] == [0, 0, 0]
    said = capfd.readouterr().out
    assert all(f"shard {k}/3 is done: " in said for k in (1, 2, 3))
    check_same(run, compute(tmp_path / "whole", study))
    assert (run / "results.csv").is_file()
    assert list((run / "figures").glob("*.png"))


def forked(work):
    """A process that does this work; its exit status is 1 where that fails."""
    if process := os.fork():
        return process
    try:
        work()
        os._exit(0)
    finally:
        os._exit(1)


def test_a_shard_joins_no_run_of_another_study_and_none_of_another_number_of_shards(tmp_path):
    study = STUDIES["readouts"]
    run = compute(tmp_path / "run", study, "1/3")
    with pytest.raises(StudyError, match=r"holds another study \(seeds\); name another folder"):
        run_study(replace(study, seeds=4), run, shard="2/3")
    for shard in ("0/3", "4/3", "x"):
        with pytest.raises(StudyError, match=r"--shard: .* must be k/n"):
            run_study(study, tmp_path / "new", shard=shard)
    store = Store(run, study, shard=Shard(2, 3))
    for taken, said in ((Shard(2, 3), "shard 2/3"), (Shard(1, 4), "shard 2/3"), (None, "shard 2/3")):
        with pytest.raises(StudyError, match=rf"is being written by process {os.getpid()} on .* \({said}\); wait"):
            Store(run, study, shard=taken)
    Store(run, study, shard=Shard(1, 3)).close()  # control: the others may
    store.close()
    assert list((run / "batches").glob("lock.*"))
    store = Store(run, study)
    assert not list((run / "batches").glob("lock.*"))  # who is alone clears what others left
    with pytest.raises(StudyError, match="is being written by process"):
        Store(run, study, shard=Shard(1, 3))
    store.close()


@pytest.mark.parametrize("left", ["nothing", "empty"])
def test_a_shard_that_joins_restores_a_config_that_is_lost(left, tmp_path):
    """As where the shard that began was killed before it gave config.yaml its name."""
    study = STUDIES["readouts"]
    run = tmp_path / "run"
    run_study(study, run, shard="1/2")
    (run / "config.yaml").unlink()
    if left == "empty":
        (run / "config.yaml").touch()
    run_study(study, run, shard="2/2")
    assert read_study(run / "config.yaml") == study
    assert load_run(run).batches == (len(plan(study)),) * 2


def test_a_shard_takes_over_only_once_all_is_there_and_nobody_else_writes(tmp_path):
    study = STUDIES["readouts"]
    n = len(plan(study))
    run = compute(tmp_path / "run", study, "1/2")
    first, second = (Store(run, study, shard=Shard(k, 2)) for k in (1, 2))
    assert first.take_over() == (-(-n // 2), n)
    assert first.shard == Shard(1, 2)
    run_missing(study, load_datasets(study), second, quiet=True)
    other = Store(run, study, shard=Shard(1, 2))
    assert second.take_over() == (n, n)
    assert second.shard is not None  # the other is still there, and will
    assert other.take_over() == (n, n)
    assert other.shard is None
    with pytest.raises(StudyError, match="is being written by"):
        Store(run, study)
    other.close()


def test_what_another_shard_has_stored_or_is_writing_is_left_alone(tmp_path):
    study = STUDIES["readouts"]
    run = compute(tmp_path / "run", study, "1/2")
    rewrite(parts(run)[0], cells="0")  # damage of shard 1, which is its own matter
    half = run / "batches/.000002.results.parquet.0123456789abcdef.part"
    half.write_bytes(b"half")
    before = {path: path.read_bytes() for path in parts(run)}
    compute(run, study, "2/2")
    assert {path: path.read_bytes() for path in before} == before
    assert half.exists()
    finish(run)  # control: alone
    assert not half.exists()
    assert parts(run)[0].read_bytes() != before[parts(run)[0]]


# Merging


def test_damaged_and_missing_batches_are_named_and_left_to_resume(whole, tmp_path):
    study, run = whole
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    parts(copy)[1].write_bytes(b"damaged")
    parts(copy)[2].unlink()
    stored, missing, notes = quietly(tmp_path / "merged", copy)
    assert (stored, missing) == (len(plan(study)) - 2, 2)
    assert len(notes) == 1
    assert f"{parts(copy)[1]}: damaged" in notes[0]
    finish(tmp_path / "merged")
    check_same(tmp_path / "merged", run)
    # Of a batch that another run has too, the undamaged one is taken.
    assert quietly(tmp_path / "again", copy, run)[:2] == (len(plan(study)), 0)
    check_same(tmp_path / "again", run)


@pytest.mark.parametrize(
    ("name", "key", "some", "others", "everything"),
    [
        ("readouts", "n_train", [4], [8, 12], [4, 8, 12]),
        ("autoencoders", "seeds", "100-104", 5, "100-104, 0-4"),
        ("layers", "seeds", 5, "5-9", 10),
    ],
)
def test_runs_of_other_seeds_or_sizes_merge_to_the_run_of_all(name, key, some, others, everything, tmp_path):
    """In batches that hold the same: else digits may differ, since a cell can depend on its batch."""
    study = replace(STUDIES[name], seeds=5)
    one, two, fresh = (
        compute(tmp_path / f"{k}", replace(study, **{key: value})) for k, value in enumerate((some, others, everything))
    )
    assert quietly(tmp_path / "merged", one, two)[1:] == (0, [])
    assert load_study(tmp_path / "merged") == load_study(fresh)
    check_same(tmp_path / "merged", fresh)
    # Control: in the other order its first seed is another, or its batches stand elsewhere.
    assert quietly(tmp_path / "turned", two, one)[1:] == (0, [])
    assert generations(tmp_path / "turned") != generations(tmp_path / "merged")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gd": replace(TRAINED, steps=21)}, r"is of another study than .* \(gd\); only n_train"),
        ({"batch_cells": 4}, r"is of another study than .* \(batch_cells\)"),
        ({"seeds": "3-8"}, r"does not fit the others: seeds and sizes must be the same, or differ in one"),
        ({"seeds": "6-9", "n_train": [5]}, "does not fit the others"),
    ],
)
def test_runs_that_are_no_parts_of_one_are_refused_and_nothing_is_written(changes, said, tmp_path):
    study = STUDIES["readouts"]
    one, two = compute(tmp_path / "1", study, "1/4"), compute(tmp_path / "2", replace(study, **changes), "1/4")
    with pytest.raises(StudyError, match=said):
        quietly(tmp_path / "merged", one, two)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


# Kills


def killed_at(k, work):
    """Whether a process that does this work was killed before the k-th file it writes, or came to its end."""
    left = itertools.count()

    def until_killed(*arguments, **more):
        if next(left) == k:
            os.kill(os.getpid(), signal.SIGKILL)
        write_whole(*arguments, **more)

    def killed():
        for room in (sweep_generations, sweep_lock, sweep_merging, sweep_store):
            room.write_whole = until_killed
        work()

    _, status = os.waitpid(forked(killed), 0)
    assert status in (0, signal.SIGKILL)
    return status == signal.SIGKILL


SEEDS = replace(STUDIES["readouts"], seeds=5, n_train=[4, 12])


@pytest.mark.parametrize("target", ["empty", "nothing yet"])
def test_a_merge_into_a_link_is_a_run_where_it_leads(target, tmp_path):
    run = compute(tmp_path / "one", SEEDS)
    if target == "empty":
        (tmp_path / target).mkdir()
    (tmp_path / "link").symlink_to(target)
    assert quietly(tmp_path / "link", run) == (2, 0, [])
    assert (tmp_path / "link").is_symlink()
    check_same(tmp_path / target, run)


def test_a_merge_into_the_folder_where_one_is_and_to_another_disk(tmp_path, monkeypatch):
    run = compute(tmp_path / "one", SEEDS)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert quietly(Path(), run) == (2, 0, [])
    check_same(tmp_path / "here", run)
    disks = [Path(name) for name in ("/dev/shm", "/tmp") if os.access(name, os.W_OK)]
    for disk in disks:  # one of them is another than that of the tests
        with tempfile.TemporaryDirectory(dir=disk) as there:
            link = tmp_path / f"to {disk.name}"
            link.symlink_to(there)
            assert quietly(link, run) == (2, 0, [])
            check_same(Path(there), run)


def test_a_merge_into_a_link_that_leads_to_itself_is_no_traceback(tmp_path):
    run = compute(tmp_path / "one", SEEDS)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises((StudyError, OSError)):
        quietly(tmp_path / "loop", run)


def test_a_merge_into_a_mount_is_refused_before_it_begins(tmp_path, monkeypatch):
    run = compute(tmp_path / "one", SEEDS)
    (tmp_path / "disk").mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path / "disk")
    monkeypatch.setattr(sweep_merging, "_joined", None)  # not reached
    with pytest.raises(StudyError, match="disk is where a file system is mounted; name a new folder in it"):
        quietly(tmp_path / "disk", run)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "one"]


def test_a_merge_that_is_killed_leaves_nothing_or_a_whole_run(tmp_path):
    compute(tmp_path / "one", SEEDS)
    compute(tmp_path / "two", replace(SEEDS, seeds="5-9"))
    fresh = compute(tmp_path / "fresh", replace(SEEDS, seeds=10))
    runs = (tmp_path / "one", tmp_path / "two")
    # The writer's name, here and in what the one before has left; study, growth and config; two parts of each batch.
    writes = 2 + 3 + 2 * 4
    for k in range(writes):
        assert killed_at(k, lambda: quietly(tmp_path / "merged", *runs))
        assert not (tmp_path / "merged").exists()
    assert not killed_at(writes, lambda: quietly(tmp_path / "merged", *runs))  # control
    check_same(tmp_path / "merged", fresh)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh", "merged", "one", "two"]


def test_a_run_that_is_killed_while_it_grows_is_as_before_or_goes_on(tmp_path):
    fresh = compute(tmp_path / "fresh", replace(SEEDS, seeds=10))
    old = compute(tmp_path / "old", SEEDS)
    grew = []
    for k in (0, 1, 2, 3, 6):  # before the writer's name, grown.yaml, config.yaml, and parts
        shutil.copytree(old, tmp_path / "run")
        assert killed_at(k, lambda: extend(tmp_path / "run", seeds=10))
        study = study_to_resume(tmp_path / "run")
        grew.append(len(study.seeds) == 10)
        assert study == load_study(tmp_path / "run")
        assert len(load_results(tmp_path / "run")) >= len(load_results(old))
        finish(tmp_path / "run", study)
        check_same(tmp_path / "run", fresh if grew[-1] else old)
        assert read_study(tmp_path / "run/config.yaml") == study
        shutil.rmtree(tmp_path / "run")
    assert grew == [False, False, True, True, True]


# Growing


def extend(run, **sizes):
    before = load_study(run)
    store = Store(run, before)
    try:
        store.grow(grown(before, sizes))
        run_missing(store.study, load_datasets(store.study), store, quiet=True)
    finally:
        store.close()
    return run


def test_a_run_that_grew_twice_is_the_run_of_all_and_its_batches_stay(whole, tmp_path):
    study, _ = whole
    study = replace(study, seeds=5)
    run = compute(tmp_path / "run", study)
    before = {path: path.read_bytes() for path in parts(run)}
    sizes = sorted({*study.n_train, 20})
    extend(run, seeds=10)
    extend(run, n_train=sizes, **({"n_parameters": [10, 14]} if study.n_parameters else {}))
    assert {path: path.read_bytes() for path in before} == before
    last = load_study(run)
    assert [len(stage.seeds) for stage in generations(run)] == [5, 10, 10]
    check_same(run, compute(tmp_path / "fresh", last))
    text = (run / "config.yaml").read_text()
    assert text.count("# grown: ") == 2
    assert read_study(run / "config.yaml") == last


def test_an_unfinished_run_grows_and_in_other_batches_digits_alone_differ(tmp_path):
    study = STUDIES["readouts"]
    run = extend(compute(tmp_path / "run", study, "2/3"), seeds=8, n_train="4, 8, 11, 16")
    fresh = compute(tmp_path / "fresh", load_study(run))
    found, expected = load_results(run), load_results(fresh)
    keys = ["estimator", "n_train", "seed"]
    pd.testing.assert_frame_equal(found[keys], expected[keys])
    closed = found["estimator"] == "min_norm"
    assert closed.any()
    np.testing.assert_allclose(found["test_mse"][closed], expected["test_mse"][closed], rtol=1e-9)


def test_each_cell_is_planned_once_however_a_study_grew():
    study = STUDIES["autoencoders"]
    stages = [study]
    for sizes in ({"seeds": "0-9, 20"}, {"n_parameters": [3, 10]}, {"n_train": "4-16/4", "seeds": "0-12, 20"}):
        stages.append(grown(stages[-1], sizes))
    found = planned(stages)
    assert [batch.number for batch in found] == list(range(len(found)))
    assert found[: len(plan(study))] == plan(study)

    def cells(batches):
        return [
            (*(getattr(b, key) for key in ("model", "input_noise", "n_parameters")), *c)
            for b in batches
            for c in b.cells
        ]

    assert len(cells(found)) == len(set(cells(found)))
    assert set(cells(found)) == set(cells(plan(stages[-1])))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seeds", "6"], "its study has all of that; give more seeds or sizes"),
        ([], "its study has all of that; give more seeds or sizes"),
        (["--seeds", "4"], "seeds can only grow: 4 lacks 4-5, which the run has; name these too"),
        (["--seeds", "100-199"], "seeds can only grow: 100-199 lacks 6, which the run has"),
        (["--n_train", "4, 8"], r"n_train can only grow: 4, 8 lacks 16, which"),
        (
            ["--gd.steps", "3"],
            "csv_rows, save_every, n_train, n_parameters, n_hidden, seeds beside",
        ),
        (["--shard", "1/2", "--seeds", "9"], "leave out --shard"),
        (["--seeds", "many"], "--extend .*seeds: 'many' is no whole number"),
        (["--n_train", "4-4000/4"], "n_train=4000 is too many"),
    ],
)
def test_what_is_no_growth_is_one_line_and_changes_nothing(arguments, said, tmp_path, capsys):
    run = compute(tmp_path / "run", STUDIES["readouts"], "1/4")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(["--extend", str(run), *arguments]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert re.search(said, err), err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_the_commands_merge_and_extend_show_what_is_complete(tmp_path, capsys, monkeypatch):
    seen = []
    monkeypatch.setattr("gdstudy.showing.show", lambda store, *how: seen.append(len(load_results(store.run_dir))))
    one, two = compute(tmp_path / "one", SEEDS, "1/2"), compute(tmp_path / "two", SEEDS, "2/2")
    assert gdstudy(["merge", str(tmp_path / "some"), str(one)]) == 0
    said = capsys.readouterr().out
    assert f"and lacks {len(parts(two))}; compute them with: python -m gdstudy.train --resume" in said
    assert gdstudy(["merge", str(tmp_path / "all"), str(one), str(two)]) == 0
    assert gdstudy(["extend", str(tmp_path / "all"), "--seeds", "7", "--quiet"]) == 0
    assert seen == [5 * 2 * 3, 7 * 2 * 3]
    assert gdstudy(["merge", str(tmp_path / "all"), str(one)]) == 2
    assert "is not empty; name a new folder" in capsys.readouterr().err


# Parts in the wrong place


def test_a_part_of_other_cells_is_named_and_never_read(tmp_path):
    """Of the same study, and with the very number: another run of it had other seeds."""
    study = STUDIES["readouts"]
    run = compute(tmp_path / "run", study)
    other = compute(tmp_path / "other", replace(study, seeds="6-11"))
    path = parts(run)[1]
    before = path.read_bytes()
    shutil.copy(parts(other)[1], path)
    rewrite(path, study=identity(run))
    with pytest.raises(StudyError, match=rf"{path.name}: is of another cells; --resume"):
        load_results(run)
    path.write_bytes(before)
    load_results(run)  # control


def test_runs_of_version_06_are_merged_with_what_they_lack_empty(tmp_path):
    study = STUDIES["readouts"]
    runs = [compute(tmp_path / name, replace(study, seeds=seeds)) for name, seeds in (("a", "0-5"), ("b", "6-11"))]
    quietly(tmp_path / "new", *runs)
    for run in runs:
        for path in parts(run):
            rewrite(path, lambda table: table.drop_columns(["target_variance"]), schema="3")
    assert quietly(tmp_path / "old", *runs)[1:] == (0, [])
    found, expected = (load_results(tmp_path / name) for name in ("old", "new"))
    assert found["target_variance"].isna().all()
    pd.testing.assert_frame_equal(found.drop(columns="target_variance"), expected.drop(columns="target_variance"))
