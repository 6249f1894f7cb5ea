import csv
import sqlite3

import numpy as np
import pytest

from gdstudy import load_curves, load_results
from gdstudy.config import StudyError
from gdstudy.experiment import Records
from gdstudy.plan import Batch
from gdstudy.store import Store

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
