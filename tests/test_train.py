"""The command line as users meet it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import tiny_study, without_figures

from gdstudy import load_curves, load_results, run_study
from gdstudy.__main__ import main as gdstudy
from gdstudy.figures import redraw
from gdstudy.study.ending import Deadline
from gdstudy.study.parser import as_yaml, find_config, read_study
from gdstudy.train import main

SMALL = "n_train: [5, 10, 20]\nseeds: 3\nbatch_cells: 4\ngd: {steps: 300, checkpoints_per_decade: 3}\n"
HIDDEN = """
datasets: [power_law]
synthetic: {n_rows: 60}
models: [bottleneck]
n_train: [5, 10]
n_hidden: [2]
seeds: 2
gd: {steps: 300, checkpoints_per_decade: 3}
"""
ADAMW = ["--config", "hidden.yaml", "--gd.optimizer", "adamw", "--gd.step_size", "0.01"]
COMMAND = [sys.executable, "-m", "gdstudy.train"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "hidden.yaml").write_text(HIDDEN)


@pytest.mark.parametrize(
    ("data", "size", "said"),
    [
        ("diabetes", "1e+30", r"diabetes, linear, P=10: step_size=1e\+30 is so far above 2/σ₁²"),
        ("tiny.csv", "1e-30", "tiny, linear, P=1: step_size=1e-30 is so far below 2/σ₁²"),
    ],
)
def test_a_step_size_that_no_step_can_take_is_one_line(data, size, said, tmp_path, capsys):
    Path("tiny.csv").write_text("a,y\n1e-8,1\n2e-8,2\n5e-8,3\n")
    asked = ["--datasets", data, "--n_train", "2", "--seeds", "1", "--gd.dtype", "float32", "--gd.step_size", size]
    assert main(["--config", "small.yaml", *asked, "--run_dir", str(tmp_path / "run"), "--quiet"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert re.search(said, err)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no study is named"),
        (
            ["--config", "nowhere.yaml"],
            "'nowhere.yaml' is no file here or in configs/ (did you mean linear.yaml?); known studies: autoencoder",
        ),
        (["--config", "small.yaml", "--sedes", "3"], "unknown key 'sedes' (did you mean seeds?)"),
        (["--config", "small.yaml", "--gd.stepsize", "3"], "unknown key 'gd.stepsize'"),
        (["--config", "small.yaml", "--trainings.a.stepsize", "3"], "unknown key 'trainings.a.stepsize'"),
        (["--config", "small.yaml", "--ablations.cutoff", "[1]"], "unknown key 'ablations.cutoff'"),
        (["--config", "small.yaml", "--dtype", "float32"], "write gd.dtype"),
        (
            ["--config", "small.yaml", "--seeds", "many"],
            "seeds: 'many' is no whole number; write one such as 50 or 1e5",
        ),
        (["--config", "small.yaml", "--seeds", "0"], "seeds: 0 must be 1 … 1000000 seeds"),
        (["--config", "small.yaml", "--gd.step_size", "-0.1"], "must be `auto`"),
        (["--config", "small.yaml", "--datasets", "[]"], "datasets=[] is empty"),
        (["--config", "small.yaml", "--n_train", "9-3"], "n_train"),
        (["--config", "small.yaml", "--preprocess", "standardise"], "standardize_train (did you mean standardize?)"),
        (["small.yaml", "--run-dir", "run"], "unknown key 'run-dir' (did you mean run_dir?)"),
        (["--config", "small.yaml", "--ablations.adversarial_test", "[-1]"], "ablations.adversarial_test"),
        (["--config", "small.yaml", "--ablations.leading_modes", "0-3"], "ablations.leading_modes"),
        (["--config", "hidden.yaml", "--gd.optimizer_options.weight_decay=5"], "has no effect on optimizer gd"),
        # What torch alone knows is asked of it before anything is written.
        ([*ADAMW, "--gd.optimizer_options.foreach=1"], "gd.optimizer_options: adamw has no 'foreach'"),
        (
            [*ADAMW, "--gd.optimizer_options", "{momentum: 0.9}"],
            "gd.optimizer_options: adamw has no 'momentum'; it has eps, weight_decay",
        ),
        (
            ["--config", "small.yaml", "--trainings.a", "{optimizer: adam, step_size: 1, optimizer_options: {b: 1}}"],
            "trainings.a.optimizer_options: adam has no 'b'; it has eps, weight_decay",
        ),
        ([*ADAMW, "--gd.optimizer_options", "{eps: many}"], "gd.optimizer_options: 'many' is no number"),
        (["--config", "hidden.yaml", "--gd.schedule", "linear"], "gd.schedule"),
        (["--config", "small.yaml", "--device", "cuda:9"], "CUDA devices are here"),
        (["--config", "small.yaml", "--run_dir", "/proc/nowhere"], "cannot write the run folder /proc/nowhere"),
        (["--config", "broken.yaml"], "broken.yaml, line 2: not valid YAML"),
        (["--config", "list.yaml"], "list.yaml, line 1: must be a mapping"),
        (["--config", "unknown.yaml"], "unknown key 'gd.speed'"),
        (["--resume", "."], "no run is there"),
        (["--resume", ".", "--seeds", "3"], "leave out --seeds"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(arguments, said, tmp_path, capsys):
    (tmp_path / "broken.yaml").write_text("seeds: 3\ngd: [1, : 2\nx\n")
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "unknown.yaml").write_text("gd: {speed: 3}\n")
    before = sorted(tmp_path.rglob("*"))
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert said in err
    assert sorted(tmp_path.rglob("*")) == before


def test_help_names_every_key_with_its_default_at_once():
    started = time.perf_counter()
    text = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True).stdout
    assert time.perf_counter() - started < 1.5  # 0.15 s here; torch alone takes longer than this allows
    readouts = ("datasets", "preprocess", "n_train", "seeds", "gd.steps", "gd.step_size", "gd.engine", "gd.dtype")
    autoencoders = (
        "input_noise",
        "n_hidden",
        "synthetic.n_inputs",
        "gd.optimizer",
        "gd.warmup",
        "gd.restarts",
        "trainings",
    )
    for key in (*readouts, *autoencoders):
        assert f"--{key}" in text
    assert "2/σ₁²" in text


def test_help_is_grouped_and_says_what_each_option_takes():
    text = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True).stdout
    headings = re.findall(r"^([a-z].*):$", text, re.MULTILINE)
    assert headings[1:5] == ["data", "models and sizes", "what is fitted", "how it is computed and kept"]
    assert "--gd.dtype float64|float32" in text
    assert "<class" not in text


def test_a_study_can_be_named_without_its_option(capsys):
    for named in (
        ["small.yaml", "--seeds", "2"],
        ["--seeds", "2", "small.yaml"],
        ["--config", "small.yaml", "--seeds", "2"],
    ):
        assert main([*named, "--print_config"]) == 0
        assert yaml.safe_load(capsys.readouterr().out)["seeds"] == 2
    for twice in (["small.yaml", "hidden.yaml"], ["--config", "small.yaml", "hidden.yaml"]):
        assert main(twice) == 2
        assert ".yaml'" in capsys.readouterr().err


def test_auto_is_a_device_that_is_here_and_a_run_keeps_it(tmp_path, capsys, monkeypatch):
    without_figures(monkeypatch)
    assert main(["small.yaml", "--device", "auto", "--seeds", "1", "--run_dir", "run"]) == 0
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["device"]
    assert kept == "cpu"  # of so small a study, also where a GPU is
    err = capsys.readouterr().err
    assert re.search(r"^6 cells in \d batch(es)?; about \S+ MB on the disk, where \S+ GB are free$", err, re.MULTILINE)


def test_help_and_config_import_no_torch_and_no_scikit_learn():
    code = "import sys, gdstudy.train; sys.exit(bool({'torch', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("name", sorted(p.name for p in (Path(__file__).parent.parent / "configs").glob("*.yaml")))
def test_each_study_that_comes_with_the_package_is_a_study(name, tmp_path):
    """And its printed form is the same study: what a run keeps of it can be run again."""
    study = read_study(find_config(name))
    (tmp_path / "again.yaml").write_text(as_yaml(study))
    assert read_study("again.yaml") == study


def test_print_config_is_the_resolved_study_and_can_be_run(tmp_path, capsys):
    assert main(["--config", "small.yaml", "--gd.steps", "7", "--print_config"]) == 0
    printed = capsys.readouterr().out
    assert yaml.safe_load(printed)["gd"]["steps"] == 7
    (tmp_path / "again.yaml").write_text(printed)
    study = read_study("again.yaml")
    assert (study.gd.steps, tuple(study.n_train), len(study.seeds)) == (7, (5, 10, 20), 3)


def test_a_run_leaves_what_the_design_says_and_reports_it(tmp_path, capsys):
    assert main(["--config", "small.yaml", "--run_dir", "mine"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"20 = P +[\d.e+]+", out)
    assert "tensorboard --logdir mine" in out
    names = {p.name for p in (tmp_path / "mine").iterdir() if not p.name.startswith("events")}
    files = {"config.yaml", "batches", "results.csv", "summary.csv", "claims.md", "claims.csv", "report.html"}
    assert names == files | {"figures", "student_teacher", "diabetes"}
    config = (tmp_path / "mine/config.yaml").read_text()
    assert "torch" in config
    assert config.endswith(as_yaml(read_study("small.yaml")))
    # The folder is taken now.
    assert main(["--config", "small.yaml", "--run_dir", "mine"]) == 2
    assert "--resume mine" in capsys.readouterr().err
    # A finished run can be resumed without harm, unless its study was changed.
    assert main(["--resume", "mine", "--quiet"]) == 0
    (tmp_path / "mine/config.yaml").write_text(config.replace("seeds: 3", "seeds: 4"))
    assert main(["--resume", "mine"]) == 2
    assert "changed since the run began (seeds)" in capsys.readouterr().err


def start(*arguments):
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [*COMMAND, *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        # A shell starts what runs in its background with SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_for_a_batch(run_dir, process):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if len(list(Path(run_dir).glob("batches/*.results.parquet"))) >= 2:
            return
        time.sleep(0.01)
    raise AssertionError("no batch was stored")


def test_a_shard_that_is_stopped_goes_on_as_that_shard(tmp_path, capsys):
    command = ["--config", "small.yaml", "--run_dir", "part", "--shard", "2/2", "--quiet"]
    assert main([*command, "--stop_after", "0s"]) == 75
    assert capsys.readouterr().err.strip().endswith("--resume part --shard 2/2")


def test_a_run_that_ctrl_c_cuts_off_resumes_to_the_same_values(monkeypatch):
    """What a killed one leaves is in `faults`."""
    without_figures(monkeypatch)
    longer = ["--config", "small.yaml", "--gd.steps", "20000", "--gd.tolerance", "1e-13"]
    assert main([*longer, "--run_dir", "whole", "--quiet"]) == 0
    process = start(*longer, "--run_dir", "cut", "--quiet")
    wait_for_a_batch("cut", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip().endswith("--resume cut")
    assert err.count("\n") == 1
    kept = len(load_results("cut"))
    assert 0 < kept < len(load_results("whole"))
    assert main(["--resume", "cut", "--quiet"]) == 0
    for load in (load_results, load_curves):
        pd.testing.assert_frame_equal(load("cut"), load("whole"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "linear.yaml", "--shard", "1/3", "--dry_run"], "--dry_run says what the whole study takes; leave"),
        (["train", "linear.yaml", "--shard", "9/3", "--print_config"], "9/3"),
        (["resume", "--quiet", "run"], "resume: name the run's folder first: gdstudy resume RUN_DIR --quiet"),
        (["extend", "--seeds", "5", "run"], "extend: name the run's folder first"),
        (["resume", "one", "two"], "unexpected 'two'"),
    ],
)
def test_words_that_nothing_can_be_made_of_are_one_line(arguments, said, tmp_path, capsys):
    before = sorted(tmp_path.iterdir())
    assert gdstudy(arguments) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_the_command_that_goes_on_can_be_copied_whatever_the_folder_is_called():
    with pytest.raises(KeyboardInterrupt, match=r"--resume 'my run; \$1'$"):
        run_study(tiny_study(), "my run; $1", deadline=Deadline(0.0))


def test_a_quiet_run_draws_no_bar_on_a_terminal(tiny, tmp_path, monkeypatch, capsys):
    run = shutil.copytree(tiny, tmp_path / "run")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    shown = {}
    for quiet in (True, False):
        redraw(run, quiet=quiet)
        shown[quiet] = capsys.readouterr().err
    assert shown[True] == ""
    assert "drawing figures" in shown[False]  # control
