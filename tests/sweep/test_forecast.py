"""What a study would take, said before it is run, and nothing else done."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from conftest import small_study

from gdstudy.experiment.plan import bytes_of, plan
from gdstudy.study.groups import GDExact, Training
from gdstudy.sweep.disk import said_of_size
from gdstudy.sweep.forecast import forecast
from gdstudy.sweep.machine import available_memory
from gdstudy.sweep.run import load_datasets
from gdstudy.train import dry_run, main


def told(study):
    return forecast(study, load_datasets(study))


def test_a_forecast_counts_what_a_plan_holds():
    study = small_study(estimators=["min_norm", "gd", "gd_exact"], gd_exact=GDExact(steps=[10]))
    found, batches = told(study), plan(study)
    assert found.cells == sum(len(batch.cells) for batch in batches)
    assert found.batches == len(batches)
    assert found.memory == max(bytes_of(study, batch) for batch in batches)
    assert found.most == found.cells * study.gd.steps
    assert 0 < found.steps < found.most
    assert all(seconds > 0 for seconds in found.seconds)
    untrained = told(small_study(estimators=["min_norm"]))
    assert (untrained.steps, untrained.most, untrained.seconds[1]) == (0, 0, 0)
    assert untrained.disk < found.disk


def test_the_steps_it_expects_are_those_that_are_taken(run_dir):
    """Of both data sets, some of whose cells converge early and some never."""
    from gdstudy import load_results

    rows = load_results(run_dir)
    taken = rows["step"][rows["estimator"] == "gd"].sum()
    assert told(small_study()).steps == pytest.approx(taken, rel=0.1)


def test_the_disk_it_expects_is_about_what_a_run_leaves(run_dir):
    used = sum(path.stat().st_size for path in run_dir.rglob("*") if path.is_file())
    assert used / 5 < told(small_study()).disk < 5 * used


def test_more_cells_take_longer():
    few, many = told(small_study(seeds=2)), told(small_study(seeds=200))
    assert many.seconds[0] > 5 * few.seconds[0]
    assert many.seconds[1] > 5 * few.seconds[1]


def test_several_trainings_are_counted():
    adam = {"adam": {"optimizer": "adam", "step_size": 0.01, "steps": 50}}
    study = small_study(gd=Training(steps=100), trainings=adam, n_train=[5, 10], datasets=["diabetes"])
    found = told(study)
    assert found.most == found.cells * 150
    assert found.steps == pytest.approx(found.cells * 50 + 100 * found.cells, rel=0.5)


def test_it_is_one_screen_of_text_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = dry_run(small_study()).splitlines()
    assert [line.split()[0] for line in lines] == ["cells", "memory", "disk", "time", "nothing"]
    assert max(map(len, lines)) < 200
    assert list(tmp_path.iterdir()) == []


def test_from_the_command_line(tmp_path):
    (tmp_path / "small.yaml").write_text(
        "datasets: [diabetes]\nn_train: [5, 10]\nseeds: 2\nestimators: [min_norm, ridge_loo]\n"
    )
    command = [sys.executable, "-m", "gdstudy", "train", "--config", "small.yaml", "--dry_run"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("cells     4 in 1 batches\n")
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


def test_what_is_wrong_is_said_as_before_a_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gdstudy.sweep.prepare.available_memory", lambda: 10**6)
    config = tmp_path / "small.yaml"
    config.write_text("n_train: [5]\nseeds: 2\n")
    for more in (["--dry_run"], ["--run_dir", str(tmp_path / "run")]):
        assert main(["--config", str(config), *more]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "and 1 MB are free here" in line
    assert not (tmp_path / "run").exists()


def test_the_machine_says_what_memory_is_free():
    found = available_memory()
    assert found is None or found > 10**7


def test_a_run_that_goes_on_needs_room_for_what_it_lacks(tmp_path, monkeypatch):
    study = small_study()
    batches, free = plan(study), 6 * 10**6
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=free))
    whole = said_of_size(study, batches * 50, batches * 50, tmp_path)
    assert "that is hardly enough" in whole
    rest = said_of_size(study, batches * 50, batches[:1], tmp_path)
    assert f"stored are {50 * len(batches) - 1}; about 5" in rest
    assert "more on the disk, where 6 MB are free" in rest
    assert "enough" not in rest
