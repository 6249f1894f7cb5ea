import csv
import signal
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from conftest import ADAMW
from gdstudy.study.schema import StudyError

from gdstudy import load_curves, load_results
from gdstudy.experiment.plan import Batch
from gdstudy.experiment.stack import Records
from gdstudy.study.config import Ablations, Study, Synthetic, Training
from gdstudy.study.parser import as_yaml
from gdstudy.study.values import StepSize
from gdstudy.sweep.run import load_datasets, run_missing
from gdstudy.sweep.store import Store, load_arrays, load_run

DESIGN_COLUMNS = [
    *["dataset", "model", "estimator", "ablation", "level", "n_train", "n_parameters", "seed", "step"],
    *["train_mse", "test_mse", "distance", "weight_norm", "row_space_leak"],
    *["smallest_singular_value", "condition_number", "rank", "status"],
]


def records(value):
    keys = {"dataset": "d", "model": "m", "ablation": "none", "n_parameters": 2, "rank": 1, "status": "converged"}
    row = {**keys, "estimator": "gd", "n_train": np.array([1, 2]), "seed": np.array([0, 0]), "test_mse": value}
    return Records([row], [])


def test_results_lead_with_the_designed_columns_in_csv_and_python(run_dir):
    with (run_dir / "results.csv").open() as file:
        header, *rows = csv.reader(file)
    results = load_results(run_dir)
    assert header[:18] == DESIGN_COLUMNS
    assert list(results) == header
    assert len(rows) == len(results["seed"]) == 2 * 5 * 4 * 3
    closed = [r for r in rows if r[2] != "gd"]
    assert {(r[4], r[8], r[17]) for r in closed} == {("", "", "closed_form")}
    assert [float(r[10]) for r in rows] == results["test_mse"].tolist()


def test_writing_twice_is_writing_once_and_the_last_value_counts(tmp_path):
    store = Store(tmp_path, config="a: 1")
    batch = Batch(0, "d", "m", 2, None, ((1, 0), (2, 0)))
    store.write(batch, records(1.0))
    store.write(batch, records(2.0))
    assert store.finished() == {0}
    store.close()
    assert load_results(tmp_path)["test_mse"].tolist() == [2.0, 2.0]


def test_a_batch_that_fails_half_way_leaves_nothing(tmp_path):
    store = Store(tmp_path, config="a: 1")
    good, bad = records(1.0), records(1.0)
    bad.results[0]["status"] = None  # NOT NULL
    with pytest.raises(StudyError, match="NOT NULL"):
        store.write(Batch(0, "d", "m", 2, None, ()), Records([*good.results, *bad.results], []))
    assert store.finished() == set()
    store.close()
    assert len(load_results(tmp_path)["seed"]) == 0


def test_a_full_disk_is_one_line_and_keeps_what_was_stored(tmp_path):
    store = Store(tmp_path, config="a: 1")
    store.write(Batch(0, "d", "m", 2, None, ()), records(1.0))
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages}")
    big = records(1.0)
    big.results[0].update(n_train=np.arange(10_000), seed=np.arange(10_000))
    with pytest.raises(StudyError, match=r"full; free some space, then --resume"):
        store.write(Batch(1, "d", "m", 2, None, ()), big)
    assert store.finished() == {0}
    store.close()


def test_a_damaged_store_is_named(tmp_path):
    (tmp_path / "results.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(StudyError, match=r"results.sqlite: file is not a database; restore"):
        load_results(tmp_path)
    with pytest.raises(StudyError, match="is no run"):
        load_curves(tmp_path / "nothing")


def test_the_store_is_one_plain_sqlite_file(run_dir):
    assert not list(run_dir.glob("results.sqlite-*"))
    with sqlite3.connect(run_dir / "results.sqlite") as db:
        assert db.execute("SELECT count(*) FROM results").fetchone() == (120,)


# Arrays


def with_arrays(**values):
    """One row of results, and an array of each name at step 7."""
    keys = {"dataset": "d", "model": "m", "ablation": "none", "level": np.array([np.nan]), "n_parameters": 2}
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
    store = Store(tmp_path, config="a: 1")
    batch = Batch(0, "d", "m", 2, 3, ((1, 0),))
    store.write(batch, with_arrays(**values))
    store.write(batch, with_arrays(**values))  # again: the same
    store.close()
    table = load_arrays(tmp_path)
    assert sorted(table["name"]) == list(values)
    for name, value in zip(table["name"], table["value"], strict=True):
        assert value.dtype == np.float32
        assert value.shape == values[name].shape
        np.testing.assert_array_equal(value, values[name].astype(np.float32))
    assert (table["step"].tolist(), table["n_hidden"].tolist()) == ([7] * 5, [3] * 5)
    assert len(load_results(tmp_path)["seed"]) == 1


def test_a_run_without_arrays_has_an_empty_table_of_them(run_dir):
    table = load_arrays(run_dir)
    assert list(table)[-1] == "value"
    assert len(table["value"]) == 0


# A run that was killed

# Runs the study of a store and kills itself in the middle of writing its third batch.
KILLED = """
import os, signal, sys
from pathlib import Path
from gdstudy.sweep import store
from gdstudy.study.parser import read_study
from gdstudy.sweep.run import load_datasets, run_missing

folder, rows = Path(sys.argv[1]), store._rows

def until_killed(columns, number):
    for k, row in enumerate(rows(columns, number)):
        if row[0] >= 2 * store._ROWS_PER_BATCH and k == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        yield row

store._rows = until_killed
study = read_study(folder / "config.yaml")
run_missing(study, load_datasets(study), store.Store(folder), quiet=True)
"""


def small(model):
    """Four batches, a fraction of a second."""
    sizes = {"n_train": [3, 6], "n_hidden": [2], "synthetic": Synthetic(n_inputs=8, n_rows=60, p_nonzero=0.3)}
    gd = {"steps": 100, "checkpoints_per_decade": 3}
    if model == "bottleneck":
        models = ["bottleneck", "bottleneck_aligned"]
        sizes |= {"seeds": 4, "batch_cells": 4}
        return Study(datasets=["power_law"], models=models, gd=Training(**gd), **sizes)
    sizes |= {"seeds": 4, "batch_cells": 2, "ablations": Ablations(restarts=[2])}
    gd = Training(**gd, **ADAMW, step_size=StepSize("0.01"))
    return Study(datasets=["sparse_features"], models=["superposition"], gd=gd, **sizes)


def finish(study, folder):
    store = Store(folder)
    run_missing(study, load_datasets(study), store, quiet=True)
    store.close()
    return load_run(folder)


@pytest.mark.parametrize("model", ["bottleneck", "superposition"])
def test_a_killed_study_is_finished_to_the_very_same_tables(model, tmp_path):
    study = small(model)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
        (folder / "config.yaml").write_text(as_yaml(study))
        Store(folder, config=as_yaml(study)).close()
    done = subprocess.run([sys.executable, "-c", KILLED, str(cut)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    expected = finish(study, whole)
    kept = Store(cut)
    assert kept.finished() == {0, 1}
    kept.close()
    before = load_run(cut)
    assert 0 < len(before.results["seed"]) < len(expected.results["seed"])
    resumed = finish(study, cut)
    for found, table in zip(resumed, expected, strict=True):
        assert list(found) == list(table)
        assert len(table["seed"])
        for name in table:
            if name == "value":
                assert all(np.array_equal(a, b) for a, b in zip(found[name], table[name], strict=True))
            else:
                np.testing.assert_array_equal(found[name], table[name], err_msg=name)
