"""Some columns and rows of a run, and runs that are not what their study can produce."""

import shutil

import pandas as pd
import pytest
from parts_of import column, parts, rewrite

from gdstudy.study.errors import StudyError
from gdstudy.sweep import reading
from gdstudy.sweep.generations import extended
from gdstudy.sweep.reading import load_results, load_run
from gdstudy.sweep.run import load_datasets, run_missing
from gdstudy.sweep.store import Store


def test_columns_and_an_estimator_are_those_of_the_whole_table(run_dir):
    whole, columns = load_results(run_dir), ["test_mse", "n_train", "status"]
    pd.testing.assert_frame_equal(load_results(run_dir, columns), whole[columns])
    found = load_results(run_dir, columns, estimator="min_norm")
    expected = whole.loc[whole["estimator"] == "min_norm", columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.astype({"status": str}), expected.astype({"status": str}))
    assert 0 < len(found) < len(whole)
    gd = load_results(run_dir, estimator="gd")
    assert set(gd["estimator"]) == {"gd"}
    assert list(gd) == list(whole)
    assert load_results(run_dir, ["seed"], estimator="none_such").empty


def test_a_column_that_is_none_is_named(run_dir):
    with pytest.raises(StudyError, match=r"no column 'test_mze' in table results \(did you mean test_mse"):
        load_results(run_dir, ["test_mze"])


@pytest.mark.parametrize(
    ("name", "value"), [("dataset", "../../elsewhere"), ("status", "fine"), ("n_train", 6), ("level", 0.5)]
)
@pytest.mark.parametrize("most_rows", [10**6, 10])
def test_a_run_that_names_what_its_study_has_not_is_refused(name, value, most_rows, run_dir, tmp_path, monkeypatch):
    shutil.copytree(run_dir / "batches", tmp_path / "batches")
    monkeypatch.setattr(reading, "MOST_ROWS", most_rows)
    load_run(tmp_path)
    rewrite(parts(tmp_path)[0], column(name, value))
    with pytest.raises(StudyError, match=f"{name}.* is none of its study"):
        load_run(tmp_path)


@pytest.mark.parametrize("most_rows", [10**6, 10])
def test_a_damaged_part_is_named(most_rows, run_dir, tmp_path, monkeypatch):
    shutil.copytree(run_dir / "batches", tmp_path / "batches")
    monkeypatch.setattr(reading, "MOST_ROWS", most_rows)
    path = parts(tmp_path)[1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(StudyError, match=f"{path.name}: damaged.*--resume"):
        load_run(tmp_path)


@pytest.mark.parametrize("most_rows", [10**6, 10])
def test_what_is_stored_while_a_run_is_read_is_not_there_yet(most_rows, run_dir, tmp_path, monkeypatch):
    shutil.copytree(run_dir / "batches", tmp_path / "run/batches")
    run, late = tmp_path / "run", [*parts(tmp_path / "run")[-1:], *parts(tmp_path / "run", "curves")[-1:]]
    whole = load_run(run)
    for path in late:
        shutil.move(path, tmp_path)
    lacking = load_run(run)
    monkeypatch.setattr(reading, "MOST_ROWS", most_rows)
    rows, writes = reading._Stored.rows, []

    def then_more(stored, *tables):
        found = rows(stored, *tables)
        for path in late:
            shutil.move(tmp_path / path.name, path)
            writes.append(path)
        return found

    monkeypatch.setattr(reading._Stored, "rows", then_more)
    found = load_run(run)
    assert writes == late
    assert found.batches == lacking.batches != whole.batches
    pd.testing.assert_frame_equal(found.results, lacking.results, check_categorical=False)
    pd.testing.assert_frame_equal(found.curves, lacking.curves, check_categorical=False)
    monkeypatch.setattr(reading._Stored, "rows", rows)
    pd.testing.assert_frame_equal(load_run(run).results, whole.results)  # control


def test_a_run_that_grows_while_it_is_read_is_no_damaged_one(run_dir, tmp_path, monkeypatch):
    """The study that it was before is read, and parts of what it has become are there when they are looked for."""
    run, listed = tmp_path / "run", reading.generations
    shutil.copytree(run_dir, run)
    before = load_results(run)

    def then_grows(folder):
        found = listed(folder)
        monkeypatch.setattr(reading, "generations", listed)
        study = extended(run, found[-1], {"seeds": "0-9"})
        store = Store(run, found[-1])
        store.grow(study)
        run_missing(study, load_datasets(study), store, quiet=True)
        store.close()
        return found

    monkeypatch.setattr(reading, "generations", then_grows)
    pd.testing.assert_frame_equal(load_results(run), before)
    assert len(load_results(run)) > len(before)  # control
