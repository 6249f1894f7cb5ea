"""A table that is mapped from a scratch file is the one that is read at once, bit for bit."""

import resource
import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from gdstudy.experiment.tables import frame, in_order
from gdstudy.study.columns import ORDER, TABLES
from gdstudy.study.errors import StudyError
from gdstudy.sweep import mapped, parts, reading
from gdstudy.sweep.mapped import mapped_frame
from gdstudy.sweep.parts import as_arrow, as_frame
from gdstudy.sweep.reading import load_curves, load_results, load_run
from gdstudy.views.summary import groups, select


def drawn(table, seed):
    """Parts of a table with two data sets, models, P and widths, levels that are empty or not, seeds in any order, and
    every kind of number; cells of a kind lie in several parts, and rows of a kind apart from each other."""
    random = np.random.default_rng(seed)
    keys = {
        "dataset": ["diabetes", "digits"],
        "preprocess": ["none"],
        "input_noise": [0.0, 0.5],
        "model": ["linear", "bottleneck"],
        "estimator": ["gd", "ridge", "min_norm"],
        "ablation": ["none", "leading_modes"],
        "level": [np.nan, 1e-9, 3.0],
        "n_train": [3, 20, 100],
        "n_parameters": [8, 20],
        "n_hidden": [np.nan, 2],
        "seed": [*range(12), np.nan],
        "step": [np.nan, 1, 10],
    }
    rows = pd.DataFrame({name: random.choice(np.array(values, dtype=object), 4000) for name, values in keys.items()})
    rows = rows.drop_duplicates(list(ORDER)).reset_index(drop=True)
    numbers = {c.name: random.choice([0.1, -3.5, np.inf, np.nan, 1e300], len(rows)) for c in TABLES[table][12:]}
    numbers |= {c.name: random.choice([2.0, 7.0, np.nan], len(rows)) for c in TABLES[table][12:] if c.kind == "whole"}
    numbers |= {"status": random.choice(["converged", "diverged"], len(rows)), "distance": np.full(len(rows), np.nan)}
    whole = frame(table, [{name: rows[name].to_numpy() for name in rows} | numbers])
    cuts = [0, *np.sort(random.integers(0, len(rows), 6)), len(rows)]
    return [as_arrow(table, whole.iloc[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)]


def assert_same(found, expected):
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    for name in expected:
        if expected[name].dtype != "category":
            assert found[name].to_numpy().tobytes() == expected[name].to_numpy().tobytes()


def read_from(parts):
    return lambda columns: (part.select(list(columns)) for part in parts)


@pytest.mark.parametrize("table", ["results", "curves"])
@pytest.mark.parametrize("seed", range(3))
def test_a_mapped_table_is_the_table(table, seed, tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "_AT_ONCE", 500)
    parts = drawn(table, seed)
    assert len(parts) == 7
    found, release = mapped_frame(table, read_from(parts), tmp_path)
    for _ in range(2):  # and still when its memory was given back
        assert_same(found, in_order(as_frame(table, parts)))
        release()
    assert list(tmp_path.iterdir()) == []  # the scratch file has no name
    with pytest.raises(AssertionError):  # another order of rows would be found
        assert_same(found, as_frame(table, parts))


def test_parts_that_change_meanwhile_are_no_table(tmp_path):
    parts = drawn("results", 0)
    later = [parts[:-1], drawn("results", 1)]
    for changed in later:
        versions = iter([parts, changed])
        with pytest.raises(ValueError, match="changed while they were read"):
            mapped_frame("results", lambda columns, v=versions: read_from(next(v))(columns), tmp_path)


def test_where_there_is_no_room_one_line_says_how_much_it_takes(tmp_path):
    parts, limits = drawn("results", 0), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StudyError, match=r"to show [\d,]+ rows takes up to [\d.]+ [MG]B there"):
            mapped_frame("results", read_from(parts), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("name", ["run_dir", "paper_run"])
def test_a_run_of_more_rows_than_fit_is_mapped(name, request, monkeypatch):
    folder = request.getfixturevalue(name)
    held = load_run(folder)
    monkeypatch.setattr(reading, "MOST_ROWS", 10)
    run = load_run(folder)
    for found, same in ((run.results, load_results(folder)), (run.curves, load_curves(folder))):
        assert_same(found, same)
        assert not found["test_mse"].to_numpy().flags.writeable  # nobody writes to it
    assert_same(run.results, held.results)
    assert len(run.arrays) == len(held.arrays)


def test_a_run_is_planned_and_each_part_looked_through_once(run_dir, monkeypatch):
    looked, plans, is_whole, plan = Counter(), [], parts._is_whole, reading.planned
    monkeypatch.setattr(reading, "MOST_ROWS", 10)
    monkeypatch.setattr(parts, "_is_whole", lambda path, size: looked.update([path]) or is_whole(path, size))
    monkeypatch.setattr(reading, "planned", lambda stages: plans.append(1) or plan(stages))
    load_run(run_dir)
    assert set(looked) == set((run_dir / "batches").glob("*.parquet"))
    assert set(looked.values()) == {1}
    assert len(plans) == 1


def test_a_part_that_changes_between_two_passes_is_found(run_dir, tmp_path, monkeypatch):
    folder = shutil.copytree(run_dir, tmp_path / "run")
    part, rows = next((folder / "batches").glob("*.curves.parquet")), reading._Stored.rows

    def then_damaged(stored, *tables):
        found, content = rows(stored, *tables), bytearray(part.read_bytes())
        content[len(content) // 2] ^= 1
        part.write_bytes(content)
        return found

    monkeypatch.setattr(reading, "MOST_ROWS", 10)
    monkeypatch.setattr(reading._Stored, "rows", then_damaged)
    with pytest.raises(StudyError, match=r"damaged \(its checksum is another\)"):
        load_run(folder)


def test_what_lies_together_is_not_copied(run_dir, monkeypatch):
    monkeypatch.setattr(reading, "MOST_ROWS", 10)
    results = load_run(run_dir).results
    parts = [select(results, dataset="diabetes"), *(rows for _, rows in groups(results, "dataset", "estimator"))]
    for part in parts:
        assert 0 < len(part) < len(results)
        assert np.shares_memory(part["test_mse"].to_numpy(), results["test_mse"].to_numpy())
    apart = select(results, n_train=5)
    assert not np.shares_memory(apart["test_mse"].to_numpy(), results["test_mse"].to_numpy())
