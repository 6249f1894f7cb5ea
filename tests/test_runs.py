"""`gdstudy runs`: status, study and headline of each run; folders that are none, or damaged, stop nothing."""

import re
import shutil

import numpy as np
import pytest
from conftest import tiny_study

from gdstudy import load_results, resume_study, run_study
from gdstudy.report import write_report
from gdstudy.runs import main
from gdstudy.study.config import Study
from gdstudy.sweep.folder import PART
from gdstudy.sweep.lock import gate, hold
from gdstudy.views.summary import select


@pytest.fixture
def folder(run_dir, tmp_path):
    shutil.copytree(run_dir, tmp_path / "runs" / "small" / "a")
    return tmp_path / "runs"


def said(folder, capsys):
    assert main([str(folder)]) == 0
    return capsys.readouterr().out


def test_a_finished_run_has_its_medians_at_the_threshold(folder, capsys):
    lines = said(folder, capsys).splitlines()
    assert re.fullmatch(re.escape(f"{folder / 'small' / 'a'}  ") + r"\S+ [kM]B, finished", lines[0])
    rows = select(load_results(folder / "small" / "a"), dataset="student_teacher", n_train=20, ablation="none")
    closed, trained = (np.median(select(rows, estimator=name)["test_mse"]) for name in ("min_norm", "gd"))
    expected = f"median test MSE at N = P = 20: X⁺y {closed:.4g}, gd {trained:.4g}"
    assert f"    student_teacher, linear: {expected}" in lines


def test_a_run_that_lacks_batches_says_how_to_go_on(folder, capsys):
    run = folder / "small" / "a"
    next((run / "batches").glob("*.results.parquet")).unlink()
    line = said(folder, capsys).splitlines()[0]
    assert "finished" not in line
    assert f"go on with: gdstudy resume {run}" in line


def test_a_run_that_is_being_written_says_by_whom_and_nothing_is_changed(folder, capsys):
    run = folder / "small" / "a"
    held = hold(run)
    before = sorted(path.name for path in (run / "batches").iterdir())
    assert "being written by process " in said(folder, capsys)
    held.release()
    assert "being written" not in said(folder, capsys)
    assert sorted(path.name for path in (run / "batches").iterdir()) == before
    with gate(run):  # it is free
        pass


def test_damaged_and_foreign_folders_are_named_and_the_others_listed(folder, capsys):
    shutil.copytree(folder / "small" / "a", folder / "small" / "b")
    (folder / "small" / "b" / "batches" / "study.yaml").write_bytes(b"\0")
    (folder / "empty" / "batches").mkdir(parents=True)
    (folder / "small" / "a" / "summary.csv").write_text("estimator\n\x1b[31mmin_norm\n")
    text = said(folder, capsys)
    status = {line.split("  ")[0]: line for line in text.splitlines() if not line.startswith(" ")}
    assert "cannot be read" in status[str(folder / "empty")]
    assert "cannot be read" in status[str(folder / "small" / "b")]
    assert status[str(folder / "small" / "a")].endswith("finished")
    assert "\x1b" not in text


def test_a_shard_that_is_done_is_finished_and_one_that_is_not_goes_on_as_a_shard(tmp_path, capsys):
    study = Study(datasets=["student_teacher"], n_train="10-19", seeds=2, trainings={}, batch_cells=4)
    for k, folder in ((1, "a"), (2, "b")):
        run_study(study, tmp_path / folder, quiet=True, shard=f"{k}/2")
    next((tmp_path / "b" / "batches").glob("*.results.parquet")).unlink()
    done, stopped = (line for line in said(tmp_path, capsys).splitlines() if not line.startswith(" "))
    assert ", shard 1/2 finished, 3 of 5 batches; make one run of all: gdstudy merge NEW_DIR " in done
    for name in ("lock.5-0", "lock.7-3", "lock.0-2"):  # which no shard is
        (tmp_path / "a" / "batches" / name).touch()
    assert done in said(tmp_path, capsys)
    assert stopped.endswith(f"stopped at 1 of 5 batches; go on with: gdstudy resume {tmp_path / 'b'} --shard 2/2")
    run_study(study, tmp_path / "a", quiet=True, shard="2/2")  # the last in one folder draws
    assert ", finished" in said(tmp_path / "a", capsys).splitlines()[0]


def test_no_runs_and_no_folder(tmp_path, capsys):
    assert "no run is in" in said(tmp_path, capsys)
    assert main([str(tmp_path / "none")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_a_run_that_was_computed_and_not_shown_is_not_finished(folder, capsys):
    (folder / "small" / "a" / "summary.csv").unlink()
    assert "computed, not shown yet; go on with: gdstudy resume" in said(folder, capsys).splitlines()[0]


def test_names_are_one_line_and_commands_can_be_copied(folder, capsys):
    odd = folder / "small\nfinished $(touch it)"
    (folder / "small" / "a").rename(odd)
    next((odd / "batches").glob("*.results.parquet")).unlink()
    lines = said(folder, capsys).splitlines()
    assert len([line for line in lines if not line.startswith(" ")]) == 1
    assert lines[0].endswith(f"gdstudy resume '{folder}/small\\nfinished $(touch it)'")


def test_what_lies_deeper_than_runs_do_is_not_looked_into(folder, capsys):
    deep = folder / "deep"
    for _ in range(200):
        deep = deep / "x"
    deep.mkdir(parents=True)
    assert "finished" in said(folder, capsys)


def test_a_run_that_grew_and_was_not_shown_since_is_not_finished(tmp_path, capsys, monkeypatch):
    """Its figures and page are of fewer batches; whoever asks for the page has them drawn anew."""
    run = run_study(tiny_study(), tmp_path / "runs" / "tiny")
    before = {path.name: path.read_bytes() for path in (run / "figures").glob("*.png")}

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gdstudy.showing.show", interrupted)
        with pytest.raises(KeyboardInterrupt):
            resume_study(run, grow={"seeds": 6})
    assert "computed, not shown yet; go on with: gdstudy resume" in said(tmp_path, capsys)
    write_report(run)
    assert {path.name: path.read_bytes() for path in (run / "figures").glob("*.png")} != before


def test_what_a_killed_start_left_is_no_run(folder, capsys):
    shutil.copytree(folder / "small" / "a", folder / f".new.0123456789abcdef{PART}")
    assert PART not in said(folder, capsys)
