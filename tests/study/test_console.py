"""What reaches the terminal, whatever the streams are."""

import io
import os
import shlex
import subprocess
import sys

import pytest

from gdstudy.study import console

SMALL = "datasets: diabetes\nn_train: 10\nseeds: 2\ngd: {steps: 50, checkpoints_per_decade: 2}\n"
COMMAND = [sys.executable, "-m", "gdstudy.train"]
# Figures take half of the time of such a run, and say nothing.
WITHOUT_FIGURES = """
import runpy
from gdstudy.views import figures
figures.FIGURES = {}
runpy.run_module("gdstudy.train", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(autouse=True)
def _in_a_folder_with_a_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL)


def run(shell, **environment):
    """A shell command line in which gdstudy is the training command, with no figures where it runs small.yaml:
    (status, standard output, standard error)."""
    drawn = "--config small.yaml --run_dir mine" not in shell or environment
    command = COMMAND if drawn else [sys.executable, "-c", WITHOUT_FIGURES]
    line = shell.replace("gdstudy", shlex.join(command), 1)
    done = subprocess.run(["bash", "-c", line], capture_output=True, env={**os.environ, **environment}, timeout=120)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    assert b"Exception ignored" not in done.stderr, done.stderr.decode()
    return done.returncode, done.stdout, done.stderr


def test_control_and_formatting_characters_become_their_codes():
    hostile = "a\x1b[31mred\x07\u202eb\x9bc\u2028\ud800\n\tσ"
    shown = console.printable(hostile)
    assert shown == "a\\x1b[31mred\\x07\\u202eb\\x9bc\\u2028\ud800\n\\tσ"
    assert console.printable("N ≥ P, ‖W‖²") == "N ≥ P, ‖W‖²"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_symbols_that_a_stream_does_not_know_fall_back_to_ascii(encoding, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    console.prepare()
    console.say("η < 2/σ₁², N ≥ P \udce9 ♞")
    text = raw.getvalue().decode(encoding, "surrogateescape")
    if encoding == "utf-8":
        assert text.startswith("η < 2/σ₁², N ≥ P")
    else:
        assert "sigma_1" in text
        assert "N >= P" in text
    assert text.endswith("♞\n" if encoding == "utf-8" else "\\u265e\n")


def test_a_run_ends_well_on_a_terminal_of_few_symbols():
    status, out, _ = run("gdstudy --config small.yaml --run_dir mine", PYTHONIOENCODING="ascii")
    assert status == 0
    text = out.decode("ascii")
    assert "X+y" in text
    assert "tensorboard --logdir mine" in text
    for encoding in ("ascii", "cp1252"):
        status, out, err = run("gdstudy --help", PYTHONIOENCODING=encoding)
        assert (status, err) == (0, b"")
        assert "sigma" in out.decode(encoding)


@pytest.mark.parametrize("what", ["--help", "--config small.yaml --print_config", "--config small.yaml --run_dir mine"])
def test_a_reader_that_goes_ends_it_quietly_and_loses_nothing(what, tmp_path):
    status, out, err = run(f"gdstudy {what} | head -1; exit ${{PIPESTATUS[0]}}")
    assert status == 0
    assert out.count(b"\n") == 1
    if "mine" in what:
        assert (tmp_path / "mine/results.csv").is_file()
        assert (tmp_path / "mine/claims.md").is_file()
    else:
        assert err == b""


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_nothing_in_what_a_run_leaves(closed, tmp_path):
    status, out, _ = run(f"gdstudy --config small.yaml --run_dir mine {closed}")
    assert status == 0
    assert (tmp_path / "mine/results.csv").is_file()
    # What was printed went nowhere, and not into a file that took the number of a stream.
    for path in (tmp_path / "mine").rglob("*"):
        if path.is_file():
            assert b"drawing figures" not in path.read_bytes()
    assert run(f"gdstudy --config nowhere.yaml {closed}")[0] == 2
    assert (b"browse" in out) == (closed == "2>&-")


def test_the_reader_of_messages_may_go_too():
    status, _, _ = run("gdstudy --config small.yaml --run_dir mine 2> >(exec true)")
    assert status == 0


def test_folders_and_configs_whose_names_are_no_utf_8_do(tmp_path):
    into = r"mkdir $'caf\xe9' && cp small.yaml $'caf\xe9/st\xfcdy.yaml' && cd $'caf\xe9'"
    status, _, err = run(rf"{into} && gdstudy --config $'st\xfcdy.yaml' --run_dir mine")
    assert status == 0, err
    folder = os.fsencode(tmp_path) + b"/caf\xe9/"
    assert os.path.isfile(folder + b"mine/results.csv")
    assert any(b"events" in name for name in os.listdir(folder + b"mine/diabetes/gd"))
    # Only where events are to be written they do not, and that is said before anything is.
    for line in (
        r"gdstudy --config small.yaml --run_dir $'r\xfcn'",
        r"cd $'caf\xe9' && gdstudy --config $'st\xfcdy.yaml'",
    ):
        status, _, err = run(line)
        assert status == 2
        assert err.count(b"\n") == 1
        assert b"\\udcfc" in err
        assert b"is no UTF-8 text, and TensorBoard cannot write there" in err
    assert {*os.listdir(folder)} == {b"st\xfcdy.yaml", b"mine"}
    status, _, err = run(r"gdstudy --config $'no\xfc.yaml'")
    assert (status, err.count(b"\n")) == (2, 1)


def test_names_with_control_characters_reach_the_terminal_as_codes():
    status, _, err = run(r"gdstudy --config $'\e[31mred\a.yaml'")
    assert status == 2
    assert b"\x1b" not in err
    assert b"\\x1b[31mred\\x07.yaml" in err
    status, _, err = run(r"gdstudy --resume $'\e[31mred\a'")
    assert (status, b"\x1b" in err) == (2, False)
    assert run(r"gdstudy --config small.yaml --datasets $'[\"\\e[31m\"]'")[0] == 2


def test_a_full_device_is_said_and_is_no_success():
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    status, _, err = run("gdstudy --config small.yaml --print_config > /dev/full")
    assert status == 2
    assert b"No space left" in err


def test_a_full_device_behind_the_closing_table_blames_no_folder_and_loses_nothing(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    status, _, err = run("gdstudy --config small.yaml --run_dir mine > /dev/full")
    assert status == 2
    last = err.decode().splitlines()[-1]
    assert last.startswith("gdstudy.train: standard output cannot be written: ")
    assert "mine" not in last
    assert (tmp_path / "mine" / "summary.csv").is_file()
