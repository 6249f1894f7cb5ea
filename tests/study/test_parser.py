"""The config reader: what no study can be is one line, at once, whatever it is."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_origin

import pytest
import yaml

from gdstudy.study.config import Study, kinds
from gdstudy.study.datasets import DATASETS
from gdstudy.study.errors import StudyError
from gdstudy.study.groups import GROUPS
from gdstudy.study.options import StudyParser
from gdstudy.study.parser import as_yaml, find_config, read_option, read_study, read_yaml, study_of
from gdstudy.study.seeds import Seeds
from gdstudy.study.values import Columns, Levels, Memory, Sizes, StepSize, Ternary, Texts, Threads

MEGABYTES, SECONDS = 500, 2
HUGE, DEEP = "9" * 5000, "[" * 30_000
WRONG = {
    int: ["", "many", "2.5", "true", "[1]", "{a: 1}", ".nan", "1e400", "-1", HUGE, "99999999999999999999999", "1:30"],
    float: ["", "many", "true", "[1]", "{a: 1}", ".inf", HUGE, "-1", "2e9"],
    bool: ["", "maybe", "1", "[true]", "{a: 1}", "yes"],
    str: ["", "3", "[cpu]", "{a: 1}", "true", "nowhere"],
    list[str]: ["", "3", "[3]", "{a: 1}", "[[a]]", "[nowhere]", "[~]", "true", "nowhere"],
    Literal: ["", "other", "3", "[none]", "{a: 1}", "true"],
    Sizes: ["", "many", "9-3", "0", "[true]", "[2.5]", "{a: 1}", "[[1]]", "1-1000000000", "1-60/0", "[~]", HUGE],
    Seeds: [
        "",
        "0",
        "many",
        "2.5",
        "-1",
        "true",
        "9-3",
        "[]",
        "[true]",
        "[-1]",
        "[2.5]",
        "{a: 1}",
        "[[1]]",
        "1000001",
        "0-1000000",
        "4294967295-4294967296",
        "0-9/0",
        "[~]",
        HUGE,
    ],
    Levels: ["", "many", "[true]", "[-1]", "{a: 1}", "[[1]]", "[.nan]", "[~]", f"[{HUGE}]", "true"],
    StepSize: ["", "big", "0", "-1", "true", "[1]", "{a: 1}", ".inf"],
    Columns: ["", "true", "{a: 1}", "2.5", "[[1]]", "[~]", f"[{'x' * 2000}]"],
    Texts: ["", "true", "{a: 1}", "[[1]]", "[~]", f"[{'x' * 2000}]"],
    Ternary: ["", "3", "[true]", "maybe", "{a: 1}"],
    Memory: ["", "0", "many", "10MB", "-2GB", "2 GiB", "true", "[1]", "{a: 1}", "2PB", ".inf", HUGE],
    Threads: ["", "0", "many", "2.5", "true", "[1]", "{a: 1}"],
    dict: ["", "3", "many", "[1]", "{a: [x]}", "{1: 2}", "{a: }", "true"],
}


def by_schema():
    """Every key x every wrong type: (name, YAML, what the message must hold)."""
    for group, kind in {"": Study, **{f"{name}.": kind for name, kind in GROUPS.items()}}.items():
        for key, of in kinds(kind).items():
            wrong = (
                ["", "3", "[1]", "many", "true"]
                if key in GROUPS
                else WRONG[get_origin(of) or of if of not in WRONG else of]
            )
            for number, value in enumerate(wrong):
                line = f"{key}: {value}"
                yield f"{group}{key}-{number}", f"{group[:-1]}:\n  {line}" if group else line, f"{group}{key}"


STRUCTURAL = {
    "alias of itself": ("&a\ngd: *a\n", "anchors and aliases are not allowed"),
    "alias": ("seeds: &n 5\nbatch_cells: *n\n", "line 1: not valid YAML: anchors and aliases"),
    "billion laughs": ("a: &a [1]\nb: &b [*a, *a]\nc: &c [*b, *b]\nseeds: [*c, *c]\n", "aliases"),
    "python tag": ("seeds: !!python/object/apply:os.system [true]\n", "tags such as"),
    "int tag": ("seeds: !!int x\n", "tags such as"),
    "deep list": (f"n_train: {DEEP}\n", "nested too deep"),
    "deep mapping": ("gd: " + "{a: " * 10_000 + "\n", "nested too deep"),
    "key twice": ("seeds: 3\nseeds: 4\n", "line 2: not valid YAML: the key 'seeds' stands twice"),
    "group key twice": ("gd: {steps: 3, steps: 4}\n", "the key 'steps' stands twice"),
    "many noises": (f"input_noise: {list(range(10_000))}\n", "10,000 numbers are too many"),
    "too large": ("datasets: [" + "diabetes, " * 20_000 + "]\n", "is larger than 64 KiB"),
    "a list": ("- 1\n", "must be a mapping"),
    "a text": ("hello\n", "must be a mapping"),
    "nothing": ("", "must be a mapping"),
    "a comment": ("# nothing\n", "must be a mapping"),
    "unclosed": ("seeds: [1\n", "not valid YAML"),
    "tabs": ("gd:\n\tsteps: 3\n", "line 2: not valid YAML"),
    "two documents": ("seeds: 3\n---\nseeds: 4\n", "not valid YAML"),
    "merge key": ("<<: {seeds: 3}\n", "unknown key '<<'"),
    "number as key": ("3: 4\n", "unknown key '3'"),
    "list as key": ("? [a]\n: 3\n", "not valid YAML"),
    "null as key": ("~: 3\n", "unknown key"),
    "run_dir": ("run_dir: elsewhere\n", "unknown key 'run_dir'"),
    "quiet": ("quiet: true\n", "unknown key 'quiet'"),
    "resume": ("resume: runs/x\n", "unknown key 'resume'"),
    "config": ("config: linear.yaml\n", "unknown key 'config'"),
    "misspelt": ("sedes: 3\n", "unknown key 'sedes' (did you mean seeds?)"),
    "misspelt in group": ("gd: {stepz: 3}\n", "unknown key 'gd.stepz' (did you mean gd.steps?)"),
    "dotted key": ("gd.steps: 3\n", "unknown key 'gd.steps'; in a file write steps below gd, as gd: {steps: …}"),
    "not UTF-8": (b"seeds: 3\n# caf\xe9\n", "line 2: not valid YAML: no UTF-8 text"),
    "NUL": (b"seeds: \x00\n", "not valid YAML"),
    "no character": ('datasets: "\\UFFFFFFFF"\n', "not valid YAML"),
    "beyond the last character": ('datasets: "\\U00110000"\n', "not valid YAML"),
    "YAML of the far future": (f"%YAML 1.{HUGE}\n---\nseeds: 3\n", "not valid YAML"),
    "sizes of many names": (
        "ablations:\n  leading_modes_of: {" + ", ".join(f"a{k}: 1-100000" for k in range(1000)) + "}\n",
        "1,000 names are too many",
    ),
    "sizes of all names": (
        "n_train: 1-100000\nn_parameters: 1-100000\nn_hidden: 1-100000\nablations:\n  leading_modes_of: {"
        + ", ".join(f"{name}: 1-100000" for name in DATASETS) + "}\n",
        "100000",
    ),
    "old key": ("dtype: float32\n", "dtype is no key any more: each training has its own; write gd.dtype"),
    "old ablation": ("ablations: {learning_rate: [1]}\n", "ablations.learning_rate is no key any more: a step size is"),
    "hostile training": ('trainings: {"\\e[31mred\\a": {}}\n', "names an estimator: small letters, digits and _"),
    "many trainings": (
        "trainings: {" + ", ".join(f"a{k}: {{}}" for k in range(3000)) + "}\n", "names are too many",
    ),
    "training of a long name": ("trainings: {" + "a" * 900 + ": {steps: 0}}\n", "names an estimator"),
    "many options": (
        "gd: {optimizer_options: {" + ", ".join(f"option{k}: 1" for k in range(3000)) + "}}\n", "names are too many",
    ),
    "binary": (bytes(range(256)), "not valid YAML"),
    "control characters": (b"datasets: [\"\\e[31mred\\a\"]\n", "datasets: unknown"),
    "sparse of any size": (
        "datasets: sparse_features\nmodels: superposition\nn_hidden: 2\ngd: {step_size: 0.1}\n"
        "synthetic: {n_rows: 10000000, n_inputs: 1000000}\n",
        "too large for sparse_features",
    ),
    "dense of any size": (
        "datasets: isotropic\nmodels: linear_autoencoder\nsynthetic: {n_rows: 10000000, n_inputs: 1000}\n",
        "too large for isotropic",
    ),
    "cells without end": ("n_train: 1-400\nseeds: 1000000\n", "the study has 800,000,000 cells"),
    "one size too many": ("n_train: 1-1000\n", "n_train=1000 is too many for student_teacher: it has 1000 rows"),
    "a large size": ("n_train: 999999999\n", "n_train=999999999 is too many for student_teacher"),
    "leading modes": ("ablations: {leading_modes: 99999999999999999999}\n", "ablations.leading_modes"),
}  # fmt: skip
OPTIONS = {
    "unclosed list": (["--n_train", "[5"], "n_train: '[5' is not valid YAML"),
    "closed twice": (["--n_train", "5]"], "n_train: '5]' is no list of sizes"),
    "boolean level": (["--ablations.adversarial_test", "[true]"], "[True] is no list of numbers"),
    "half a seed": (["--seeds", "2.5"], "seeds: 2.5 is no whole number; write one such as 50 or 1e5"),
    "blank": (["--seeds", ""], "seeds: is blank"),
    "no character": (["--datasets", '"\\UFFFFFFFF"'], "is not valid YAML"),
    "missing": (["--seeds"], "expected one argument"),
    "alias": (["--datasets", "*a"], "datasets: '*a' is not valid YAML"),
    "deep": (["--datasets", DEEP], "nested too deep"),
    "long": (["--seeds", HUGE], "seeds"),
    "unknown": (["--stepz", "3"], "unknown key 'stepz'"),
    "a group": (["--gd", "{steps: 3}"], "unknown key 'gd'"),
    "a name without options": (["linear.yaml"], "unexpected 'linear.yaml'; options are written --key value"),
    "an old key": (["--dtype", "float32"], "dtype is no key any more: each training has its own; write gd.dtype"),
    "an old ablation": (["--ablations.restarts", "[2]"], "ablations.restarts is no key any more: they are a training"),
    "a training's unknown key": (["--trainings.adam.stepsize", "1"], "(did you mean trainings.adam.step_size?)"),
    "a training's value": (["--trainings.adam.steps", "many"], "trainings.adam.steps: 'many' is no whole number"),
    "a training's bound": (["--trainings.adam.steps=0"], "trainings.adam.steps=0 must lie in 1"),
    "a training without keys": (["--trainings.adam", "3"], "trainings: 3 must be a mapping of names to values"),
    "a training of no name": (["--trainings..steps", "3"], "trainings: '' names an estimator"),
    "a training of many words": (["--trainings.a.b.c.d", "3"], "unknown key 'trainings.a.b'"),
    "a training's blank": (["--trainings.adam.steps"], "trainings.adam.steps: is blank"),
    "a name of a mapping": (["--gd.optimizer_options.eps", "many"], "gd.optimizer_options: 'many' is no number"),
}  # fmt: skip


def cases():
    """name → (arguments, content of the config file, what the message must hold)."""
    for name, text, message in by_schema():
        yield name, ["--config", "study.yaml"], text, message
    for name, (text, message) in STRUCTURAL.items():
        yield name, ["--config", "study.yaml"], text, message
    for name, (arguments, message) in OPTIONS.items():
        yield f"option: {name}", ["--config", "study.yaml", *arguments], "seeds: 3\n", message


CASES = {name: rest for name, *rest in cases()}
# Runs every case of the standard input in one process: the memory that all of them take together bounds that of each.
RUN_ALL = """
import contextlib, io, json, os, sys, time
from pathlib import Path
from gdstudy.train import main

found = {}
for name, arguments, text in json.load(sys.stdin):
    with open("study.yaml", "wb") as file:
        file.write(text.encode("latin-1"))
    out, err, before = io.StringIO(), io.StringIO(), sorted(os.listdir("."))
    started = time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(arguments)
        except BaseException as error:
            status = repr(error)
    seconds = time.process_time() - started
    found[name] = status, out.getvalue(), err.getvalue(), sorted(os.listdir(".")) == before, seconds
# Not getrusage: its maximum begins with that of the process that started this one.
megabytes = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
json.dump([found, megabytes], sys.__stdout__)
"""


def as_bytes(text):
    """Text or bytes as a string of one character a byte."""
    return (text if isinstance(text, bytes) else text.encode()).decode("latin-1")


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    work = [(name, arguments, as_bytes(text)) for name, (arguments, text, _) in CASES.items()]
    folder = tmp_path_factory.mktemp("corpus")
    command = [sys.executable, "-c", RUN_ALL]
    done = subprocess.run(command, input=json.dumps(work), cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_corpus_is_large_and_holds_every_key():
    assert len(CASES) >= 150
    keys = {f"{group}.{key}" for group, kind in GROUPS.items() for key in kinds(kind)} | set(kinds(Study))
    assert keys <= {name.rpartition("-")[0] for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_a_malformed_study_is_one_line_at_once_and_leaves_nothing(name, answers):
    status, out, err, nothing_left, seconds = answers[0][name]
    message = CASES[name][2]
    assert (status, out) == (2, ""), err[:300]
    assert err.count("\n") == 1
    assert message in err
    assert len(err) < 700
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", err)
    assert nothing_left
    assert seconds < SECONDS


def test_no_malformed_study_takes_much_memory(answers):
    assert answers[1] < MEGABYTES


def test_a_good_study_goes_through_the_same_reader(tmp_path):
    """Control: the corpus is not refused for how it is run."""
    (tmp_path / "good.yaml").write_text("datasets: diabetes\nn_train: 1-60/5\nseeds: 1e1\ngd: {steps: 1e5}\n")
    study = read_study(tmp_path / "good.yaml")
    assert (study.datasets, len(study.seeds), study.gd.steps, list(study.n_train)[:3]) == (
        ["diabetes"],
        10,
        10**5,
        [1, 6, 11],
    )


def test_options_are_written_as_people_write_them(tmp_path, capsys, monkeypatch):
    from gdstudy.train import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text("gd: {optimizer_options: {eps: 1e-6, weight_decay: 0.1}, steps: 7}\n")
    arguments = ["--gd.steps", "1e5", "--datasets", "diabetes", "--n_train", "1-60/5", "--seeds=5", "--print_config"]
    names = ["--gd.optimizer_options.eps=1e-9", "--models", "bottleneck", "--n_hidden", "2", "--gd.optimizer", "adamw"]
    assert main(["--config", "study.yaml", *arguments, *names, "--gd.step_size", "0.1"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert (printed["datasets"], printed["seeds"], printed["gd"]["steps"]) == (["diabetes"], 5, 100_000)
    assert printed["n_train"] == "1-56/5"
    # One name of a mapping is set in it; the whole mapping takes its place.
    assert printed["gd"]["optimizer_options"] == {"eps": 1e-9, "weight_decay": 0.1}
    whole = ["--gd.optimizer_options", "{eps: 1}"]
    assert main(["--config", "study.yaml", *arguments, *names, "--gd.step_size", "0.1", *whole]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["gd"]["optimizer_options"] == {"eps": 1}


@pytest.mark.parametrize("sign", ["|", ">", ",", "?", "#", " ", "-", ":", "\t", ";", "'"])
def test_a_sign_alone_is_itself_whatever_it_means_in_yaml(sign):
    assert read_option("file.sep", sign) == sign
    assert (read_option("k", "~"), read_option("k", "3"), read_option("k", "y")) == (None, 3, "y")  # control


def test_keys_of_trainings_are_options(tmp_path, capsys, monkeypatch):
    from gdstudy.train import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text("trainings: {adam: {optimizer: adam, step_size: 0.1}, slow: {steps: 9}}\n")

    def printed(*arguments):
        assert main(["--config", "study.yaml", *arguments, "--print_config"]) == 0
        return yaml.safe_load(capsys.readouterr().out)["trainings"]

    untouched = printed()
    assert untouched == {"adam": {"optimizer": "adam", "step_size": "0.1"}, "slow": {"steps": 9}}
    # One key of a training, of an optimizer's options in it, and of a training that was not there.
    changed = printed("--trainings.adam.step_size", "0.01", "--trainings.adam.optimizer_options.eps=1e-6")
    adam = {"optimizer": "adam", "step_size": "0.01", "optimizer_options": {"eps": 1e-6}}
    assert changed == {"adam": adam, "slow": {"steps": 9}}
    assert printed("--trainings.new.steps", "1e2") == {**untouched, "new": {"steps": 100}}
    assert printed("--trainings.slow", "{steps: 3}") == {**untouched, "slow": {"steps": 3}}
    assert printed("--trainings", "{}") == {}


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_config_that_is_no_file_is_refused(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make("odd.yaml")
    with pytest.raises(StudyError, match=r"config 'odd.yaml' is no file here"):
        find_config("odd.yaml")


def test_numbers_are_those_of_yaml_1_2(tmp_path):
    path = tmp_path / "numbers.yaml"
    path.write_text("a: 1e5\nb: 010\nc: 1:30\nd: yes\ne: .5\nf: 0x10\ng: ~\nh: '3'\ni: 2001-01-01\n")
    found = read_yaml(path)
    assert found == {
        "a": 1e5,
        "b": 10,
        "c": "1:30",
        "d": "yes",
        "e": 0.5,
        "f": "0x10",
        "g": None,
        "h": "3",
        "i": "2001-01-01",
    }


@pytest.mark.parametrize("name", ["...yaml", "..yaml"])
def test_a_config_without_a_name_does_not_file_its_runs_elsewhere(name, tmp_path, monkeypatch, capsys):
    from gdstudy.train import main

    work = tmp_path / "a" / "b"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    (work / name).write_text("seeds: 3\n")
    before = sorted(tmp_path.rglob("*"))
    assert main(["--config", name]) == 2
    assert "has no name to file its runs under" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("turned", [False, True])
def test_a_single_key_of_a_training_is_put_into_the_whole_ones_in_either_order(turned):
    whole = ["--trainings", "{adam: {optimizer: adam, step_size: 0.01}}"]
    one = ["--trainings.adam.step_size", "0.1"]
    _, study = StudyParser("x", "x").study(["--config", "linear.yaml", *(one + whole if turned else whole + one)])
    assert study.trained["adam"].step_size.value == 0.1


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_study_in_short_is_the_study(path):
    study = read_study(path)
    short = as_yaml(study, short=True)
    assert study_of(yaml.safe_load(short)) == study
    assert len(short) < len(as_yaml(study)) / 2
    assert "csv_rows" not in short  # as by default
