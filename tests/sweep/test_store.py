"""A run's store: batches are whole or not there, damage is named and computed again, other versions are told apart."""

import csv
import errno
import os
import re
import resource
import shutil
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ADAMW, without_views
from parts_of import finish, parts, rewrite

from gdstudy import figures, load_arrays, load_curves, load_results
from gdstudy.experiment.plan import Batch, plan
from gdstudy.experiment.rows import Records
from gdstudy.study.columns import TABLES
from gdstudy.study.config import Study
from gdstudy.study.errors import StudyError
from gdstudy.study.groups import Synthetic, Training
from gdstudy.study.parser import as_yaml
from gdstudy.study.values import StepSize
from gdstudy.sweep import store as sweep_store
from gdstudy.sweep.reading import load_run, read_batch
from gdstudy.sweep.store import Store
from gdstudy.train import main, run_study

DESIGN_COLUMNS = [
    *["dataset", "preprocess", "input_noise", "model", "estimator", "ablation", "level"],
    *["n_train", "n_parameters", "n_hidden", "seed", "step"],
    *["train_mse", "test_mse", "distance", "weight_norm", "row_space_leak"],
    *["smallest_singular_value", "condition_number", "rank", "status"],
]
# A study of one batch, and that.
ONE = Study(datasets=["diabetes"], n_train=[1, 2], seeds=1)
(BATCH,) = plan(ONE)


def records(value):
    keys = {"dataset": "d", "preprocess": "none", "model": "m", "ablation": "none", "n_parameters": 2}
    keys |= {"rank": 1, "status": "converged"}
    row = {**keys, "estimator": "gd", "n_train": np.array([1, 2]), "seed": np.array([0, 0]), "test_mse": value}
    return Records([row], [])


def test_results_lead_with_the_designed_columns_in_csv_and_python(run_dir):
    with (run_dir / "results.csv").open() as file:
        header, *rows = csv.reader(file)
    results = load_results(run_dir)
    assert header[:21] == DESIGN_COLUMNS
    assert list(results) == header == [column.name for column in TABLES["results"]]
    assert len(rows) == len(results) == 2 * 5 * 4 * 3
    closed = [r for r in rows if r[4] != "gd"]
    assert {(r[6], r[9], r[11], r[20]) for r in closed} == {("", "", "", "closed_form")}
    assert [float(r[13]) for r in rows] == results["test_mse"].tolist()
    assert [r[11] for r in rows if r[4] == "gd"] == [str(int(t)) for t in results["step"].dropna()]  # no "1.0"


def test_loaded_tables_have_the_types_of_their_columns_and_the_order_of_their_keys(paper_run):
    run = load_run(paper_run)
    for name in ("results", "curves", "arrays"):
        table = getattr(run, name)
        assert list(table) == [column.name for column in TABLES[name]]
        assert table.index.equals(pd.RangeIndex(len(table)))
        for column in TABLES[name]:
            values = table[column.name]
            whole = "float64" if values.isna().any() else "int64"
            expected = {"text": "category", "real": "float64", "whole": whole, "array": "object"}
            assert str(values.dtype) == expected[column.kind], column.name
    assert run.results["seed"][run.results["estimator"] == "theory"].isna().all()
    keys = ["dataset", "preprocess", "input_noise", "model", "estimator", "ablation", "level"]
    keys += ["n_parameters", "n_hidden", "n_train", "seed", "step"]
    texts = run.results.astype({k: object for k in keys if run.results[k].dtype == "category"})
    pd.testing.assert_frame_equal(texts.sort_values(keys, kind="stable", ignore_index=True), texts)


def test_no_fact_is_encoded_in_a_name(paper_run):
    results = load_results(paper_run)
    assert set(results["dataset"]) == {"student_teacher", "diabetes"}
    assert set(results["preprocess"][results["estimator"] == "gd"]) == {"standardize"}
    assert set(results["preprocess"][results["estimator"] == "theory"]) == {"none"}


def test_writing_twice_is_writing_once_and_the_last_value_counts(tmp_path):
    store = Store(tmp_path, ONE)
    store.write(BATCH, records(1.0))
    store.write(BATCH, records(2.0))
    assert store.finished([BATCH]) == {0}
    store.close()
    assert load_results(tmp_path)["test_mse"].tolist() == [2.0, 2.0]


def test_a_batch_that_fails_half_way_leaves_nothing(tmp_path, monkeypatch):
    store = Store(tmp_path, ONE)
    bad = records(1.0)
    bad.results[0]["unknown"] = 1
    with pytest.raises(KeyError, match="unknown"):
        store.write(BATCH, bad)
    write = sweep_store.write_whole

    def fail(path, *rest, **how):
        if ".results." in path.name:
            raise RuntimeError
        write(path, *rest, **how)

    monkeypatch.setattr(sweep_store, "write_whole", fail)
    with pytest.raises(RuntimeError):
        store.write(BATCH, Records(records(1.0).results, curves()))
    assert parts(tmp_path, "curves")  # it was written first
    assert store.finished([BATCH]) == set()
    assert len(load_results(tmp_path)) == len(load_curves(tmp_path)) == 0
    monkeypatch.undo()
    store.write(BATCH, Records(records(1.0).results, curves()))
    store.close()
    assert len(load_results(tmp_path)) == len(load_curves(tmp_path)) == 2


def curves():
    row = {**records(1.0).results[0], "step": 1}
    del row["rank"]
    return [row]


def test_a_full_disk_is_one_line_and_keeps_what_was_stored(tmp_path):
    """Imitated by a limit on the size of files, beyond which the system refuses to write."""
    store, second = Store(tmp_path, ONE), Batch(1, "d", "none", 0.0, "m", 2, None, ())
    store.write(BATCH, records(1.0))
    big = records(1.0)
    n = 10_000
    big.results[0].update(n_train=np.arange(n), seed=np.arange(n), test_mse=np.random.default_rng(0).normal(size=n))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(StudyError, match=r"File too large.*; free some space, then --resume"):
            store.write(second, big)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert store.finished([BATCH, second]) == {0}
    assert not list((tmp_path / "batches").glob(".*"))
    store.close()


def test_a_disk_that_is_full_at_once_leaves_no_folder(tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("gdstudy.sweep.store.write_whole", full)
    (tmp_path / "small.yaml").write_text("seeds: 1\n")
    assert main(["--config", str(tmp_path / "small.yaml"), "--run_dir", str(tmp_path / "a/b")]) == 2
    err = capsys.readouterr().err
    assert (err.count("\n"), "No space left on device" in err, "--run_dir" in err) == (1, True, True)
    assert not (tmp_path / "a").exists()


# Parts that are damaged, or none of this run


@pytest.fixture
def run(run_dir, tmp_path):
    shutil.copytree(run_dir, tmp_path / "run")
    return tmp_path / "run"


def flip(place):
    def damage(path):
        content = bytearray(path.read_bytes())
        content[int(place * (len(content) - 1))] ^= 1
        path.write_bytes(content)

    return damage


def cut(share):
    return lambda path: path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


DAMAGES = {
    **{f"a byte flipped at {place:.0%}": (flip(place), "damaged") for place in (0, 0.3, 0.6, 0.9, 0.97, 1)},
    **{f"cut at {share:.0%}": (cut(share), "damaged") for share in (0, 0.5, 0.999)},
    "a part of another batch": (
        lambda path: shutil.copy(path.with_name(path.name.replace("000000", "000001")), path),
        "is of another batch",
    ),
    "a part of another table": (
        lambda path: shutil.copy(parts(path.parents[1], "curves")[0], path),
        "is of another table",
    ),
    "a part of another study": (lambda path: rewrite(path, study="0"), "is of another study"),
    "a foreign file": (lambda path: pq.write_table(pq.read_table(path), path), "damaged"),
}


@pytest.mark.parametrize("table", ["results", "curves"])
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_part_is_named_and_only_its_batch_is_computed_again(kind, table, run, capsys, monkeypatch):
    without_views(monkeypatch)
    damage, said = DAMAGES[kind]
    if (kind, table) == ("a part of another table", "curves"):
        damage = lambda path: shutil.copy(parts(run)[0], path)  # noqa: E731
    path = parts(run, table)[0]
    before, others = load_run(run), {p: p.read_bytes() for p in parts(run, table)[1:]}
    damage(path)
    load = {"results": load_results, "curves": load_curves}[table]
    with pytest.raises(StudyError, match=rf"{path.name}: .*{said}.*; --resume .* computes it again"):
        load(run)
    after = finish(run)
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"{path}: " in err
    assert "this batch is computed again" in err
    assert {p: p.read_bytes() for p in others} == others
    pd.testing.assert_frame_equal(after.results, before.results)
    pd.testing.assert_frame_equal(after.curves, before.curves)


def test_a_part_that_is_as_it_was_written_is_kept(run, capsys):
    """Control: nothing is said, nothing is written again."""
    before = {path: path.stat().st_mtime_ns for path in (run / "batches").glob("*.parquet")}
    assert main(["--resume", str(run), "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert {path: path.stat().st_mtime_ns for path in before} == before


OF_THE_SYSTEM = {
    **{
        code: (OSError(getattr(errno, code), "?"), r"cannot be read now \(.*try again")
        for code in ("ESTALE", "EIO", "EMFILE", "ENOMEM", "EACCES")
    },
    "no memory": (pa.ArrowMemoryError("malloc of size 64 failed"), "not enough memory"),
}


@pytest.mark.parametrize("table", ["results", "curves"])
@pytest.mark.parametrize("kind", OF_THE_SYSTEM)
def test_a_part_that_the_system_does_not_give_is_named_and_nothing_is_removed(kind, table, run, monkeypatch, capsys):
    error, said = OF_THE_SYSTEM[kind]
    path, before = parts(run, table)[0], {p: p.read_bytes() for p in (run / "batches").glob("*.parquet")}
    of_arrow = pq.ParquetFile

    def refused(file, **options):
        if file == path:
            raise error
        return of_arrow(file, **options)

    monkeypatch.setattr(pq, "ParquetFile", refused)
    assert main(["--resume", str(run), "--quiet"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert re.search(said, err)
    assert str(path) in err or kind == "no memory"
    if kind != "no memory":
        assert read_batch(run / "batches", 0, [table]) is None  # seen later, perhaps
    assert {p: p.read_bytes() for p in before} == before
    monkeypatch.setattr(pq, "ParquetFile", of_arrow)  # control
    if kind == "ESTALE":
        assert main(["--resume", str(run), "--quiet"]) == 0
        assert {p: p.read_bytes() for p in before} == before


def test_a_part_that_is_gone_is_named_and_its_batch_computed_again(run, capsys):
    before = load_curves(run)
    path = parts(run, "curves")[0]
    path.unlink()
    with pytest.raises(StudyError, match=rf"{path.name}: is missing; --resume"):
        load_curves(run)
    finish(run)
    assert "is missing; this batch is computed again" in capsys.readouterr().err
    pd.testing.assert_frame_equal(load_curves(run), before)


def test_a_part_of_no_batch_of_the_study_is_removed(run, capsys):
    before = load_results(run)
    stray = run / "batches/000077.results.parquet"
    shutil.copy(parts(run)[0], stray)
    rewrite(stray, batch="77")
    finish(run)
    assert f"{stray}: is of another cells; removed" in capsys.readouterr().err
    assert not stray.exists()
    pd.testing.assert_frame_equal(load_results(run), before)


@pytest.mark.parametrize("command", ["resume", "figures"])
def test_another_schema_is_refused_before_anything_is_touched(command, run, capsys):
    rewrite(parts(run)[-1], schema="5", gdstudy="9.9")
    cut(0.5)(parts(run)[0])  # would be computed again
    before = {path: path.read_bytes() for path in (run / "batches").glob("*.parquet")}
    assert (main(["--resume", str(run)]) if command == "resume" else figures.main([str(run)])) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    if command == "resume":
        assert "its schema is '5', and this version of gdstudy knows 4; use version '9.9'" in err
    assert {path: path.read_bytes() for path in (run / "batches").glob("*.parquet")} == before


def test_a_run_without_the_columns_that_came_later_is_read_shown_and_goes_on(run, capsys):
    whole = load_results(run)
    for path in parts(run):
        rewrite(path, lambda table: table.drop_columns(["target_variance"]), schema="3")
    old = load_results(run)
    assert old["target_variance"].isna().all()
    pd.testing.assert_frame_equal(old.drop(columns="target_variance"), whole.drop(columns="target_variance"))
    pd.testing.assert_frame_equal(
        load_results(run, columns=["target_variance", "seed"]), old[["target_variance", "seed"]]
    )
    assert figures.main([str(run)]) == 0
    parts(run)[0].unlink()
    finish(run)
    mixed = load_results(run)["target_variance"]
    assert 0 < mixed.notna().sum() < len(mixed)
    # Control: one of this version that lacks a column is damaged.
    rewrite(parts(run)[1], schema="4")
    capsys.readouterr()
    finish(run)
    assert "damaged (its columns are not those of results)" in capsys.readouterr().err


def test_another_version_goes_on_says_so_once_and_each_batch_keeps_its_own(run, capsys):
    for path in (run / "batches").glob("*.parquet"):
        rewrite(path, gdstudy="0.1.9", torch="2.0")
    parts(run)[0].unlink()
    finish(run, gdstudy="0.2.0", torch="2.13")
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "computed with gdstudy '0.1.9', torch '2.0'; the others are with gdstudy 0.2.0" in err
    said = [pq.read_metadata(path).metadata[b"gdstudy.gdstudy"].decode() for path in parts(run)]
    assert said[0] == "0.2.0"
    assert set(said[1:]) == {"0.1.9"}


def test_every_part_says_what_computed_it(run_dir):
    said = pq.read_metadata(parts(run_dir)[1]).metadata
    for name in ("gdstudy", "git revision", "torch", "numpy", "device", "threads", "seconds", "study", "cells"):
        assert said[f"gdstudy.{name}".encode()], name
    assert (said[b"gdstudy.schema"], said[b"gdstudy.table"], said[b"gdstudy.batch"]) == (b"4", b"results", b"1")


# Runs that began otherwise


def test_a_run_of_version_0_1_is_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "results.sqlite").write_bytes(b"SQLite format 3")
    (tmp_path / "config.yaml").write_text(as_yaml(Study()))
    for load in (load_results, load_curves, load_arrays, load_run):
        with pytest.raises(StudyError, match=r"is a run of gdstudy 0.1 \(results.sqlite\).*anew, in which dtype"):
            load(tmp_path)
    commands = [["--resume", str(tmp_path)], ["--config", str(tmp_path / "config.yaml"), "--run_dir", str(tmp_path)]]
    for command in (lambda: figures.main([str(tmp_path)]), *(lambda c=c: main(c) for c in commands)):
        assert command() == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert "gdstudy 0.1" in err
    assert {path.name for path in tmp_path.iterdir()} == {"results.sqlite", "config.yaml"}


def test_no_run_is_named(tmp_path):
    with pytest.raises(StudyError, match=r"is no run: it has no batches/study\.yaml"):
        load_curves(tmp_path / "nothing")


STEPS = ["config.yaml", "study.yaml"]


@pytest.mark.parametrize("killed_before", ["lock", *STEPS, None])
def test_a_run_killed_as_it_began_is_resumed_or_its_folder_used_again(killed_before, tmp_path, monkeypatch):
    study = Study(datasets=["diabetes"], n_train=[3, 6], seeds=1, gd=Training(steps=10))
    code = f"""
import os, sys
from pathlib import Path
from gdstudy.study.parser import read_study
from gdstudy.sweep import folder, lock, store
write = folder.write_whole
def killed(path, *rest, **more):
    if path.name == {"writer" if killed_before == "lock" else killed_before!r}:
        os._exit(9)
    write(path, *rest, **more)
folder.write_whole = lock.write_whole = store.write_whole = killed
Path("run").mkdir()
store.Store(Path("run"), read_study("study.yaml"))
os._exit(9)
"""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(as_yaml(study))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    if killed_before in ("lock", "config.yaml"):
        with pytest.raises(StudyError, match="no run is there"):
            main_or_raise("run")
        run_study(study, tmp_path / "run")
    else:
        with pytest.raises(StudyError, match="is not empty; finish it with --resume"):
            run_study(study, tmp_path / "run")
        main_or_raise("run")
    assert len(load_results("run")) == 2 * 3


def main_or_raise(folder):
    from gdstudy.train import resume_study

    resume_study(folder)


# Arrays


def with_arrays(**values):
    """One row of results, and an array of each name at step 7."""
    keys = {"dataset": "d", "preprocess": "none", "model": "m", "ablation": "none", "level": np.array([np.nan])}
    keys |= {"n_parameters": 2}
    keys |= {"n_hidden": 3, "n_train": np.array([1]), "seed": np.array([0]), "estimator": "gd", "step": 7}
    row = {**keys, "test_mse": 1.0, "status": "converged"}
    return Records([row], [], [{**keys, "name": name, "value": value} for name, value in values.items()])


def test_arrays_come_back_with_their_shapes_and_single_precision_values(tmp_path):
    random = np.random.default_rng(0)
    values = {
        "a": random.standard_normal((4, 3)),
        "b": random.standard_normal(5).astype(np.float32),
        "c": random.standard_normal((2, 3, 4)).transpose(2, 0, 1),  # not in C order
        "d": np.array([[np.inf, -0.0, 1e-45]]),
        "e": np.empty((0, 3)),
    }
    store = Store(tmp_path, ONE)
    store.write(BATCH, with_arrays(**values))
    store.write(BATCH, with_arrays(**values))  # again: the same
    store.close()
    table = load_arrays(tmp_path)
    assert sorted(table["name"]) == list(values)
    for name, value in zip(table["name"], table["value"], strict=True):
        assert value.dtype == np.float32
        assert value.shape == values[name].shape
        np.testing.assert_array_equal(value, values[name].astype(np.float32))
    assert (table["step"].tolist(), table["n_hidden"].tolist()) == ([7] * 5, [3] * 5)
    assert len(load_results(tmp_path)) == 1


def test_a_run_without_arrays_has_an_empty_table_of_them(run_dir):
    table = load_arrays(run_dir)
    assert list(table)[-1] == "value"
    assert len(table) == 0


# A run that was killed

# Runs the study of a store and kills itself between the parts of its third batch.
KILLED = """
import os, signal, sys
from pathlib import Path
from gdstudy.sweep import store
from gdstudy.study.parser import read_study
from gdstudy.sweep.run import load_datasets, run_missing

folder, write = Path(sys.argv[1]), store.write_whole

def until_killed(path, *rest, **how):
    if path.name == "000002.results.parquet":
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, *rest, **how)

store.write_whole = until_killed
study = read_study(folder / "config.yaml")
run_missing(study, load_datasets(study), store.Store(folder, study), quiet=True)
"""


def small(model):
    """Four batches, a fraction of a second."""
    sizes = {"n_train": [3, 6], "n_hidden": [2], "synthetic": Synthetic(n_inputs=8, n_rows=60, p_nonzero=0.3)}
    gd = {"steps": 100, "checkpoints_per_decade": 3}
    if model == "bottleneck":
        models = ["bottleneck", "bottleneck_aligned"]
        sizes |= {"seeds": 4, "batch_cells": 4}
        return Study(datasets=["power_law"], models=models, gd=Training(**gd), **sizes)
    sizes |= {"seeds": 4, "batch_cells": 2, "trainings": {"best_of_2": {"restarts": 2}}}
    gd = Training(**gd, **ADAMW, step_size=StepSize("0.01"))
    return Study(datasets=["sparse_features"], models=["superposition"], gd=gd, **sizes)


@pytest.mark.parametrize("model", ["bottleneck", "superposition"])
def test_a_killed_study_is_finished_to_the_very_same_tables(model, tmp_path):
    study = small(model)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
        Store(folder, study).close()
    done = subprocess.run([sys.executable, "-c", KILLED, str(cut)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    expected = finish(whole)
    assert [len(parts(cut, table)) for table in ("results", "curves")] == [2, 3]
    before = load_run(cut)
    assert 0 < len(before.results) < len(expected.results)
    assert 0 < len(before.curves) < len(expected.curves)
    resumed = finish(cut)
    for name in ("results", "curves", "arrays"):
        found, table = getattr(resumed, name), getattr(expected, name)
        assert len(table)
        if name == "arrays":
            assert all(np.array_equal(a, b) for a, b in zip(found.pop("value"), table.pop("value"), strict=True))
        pd.testing.assert_frame_equal(found, table)


@pytest.mark.parametrize("name", ["0000000.results.parquet", "٠٠٠٠٠٠.results.parquet", "0.results.parquet"])
def test_a_part_under_another_spelling_of_its_number_is_no_part(name, run_dir, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run_dir, copy)
    shutil.copy(copy / "batches/000000.results.parquet", copy / "batches" / name)
    assert len(load_results(copy)) == len(load_results(run_dir))


def test_a_folder_in_the_place_of_a_part_is_one_line(run_dir, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run_dir, copy)
    part = copy / "batches/000000.results.parquet"
    part.unlink()
    part.mkdir()
    with pytest.raises(StudyError, match=r"000000.results.parquet is a folder.*remove it, then --resume"):
        load_results(copy)
