"""`gdstudy report`: a run's page, made anew, and two runs side by side; what is no run is one line."""

import errno
import os
import shutil
import subprocess
import sys

import pytest

from gdstudy import figures
from gdstudy.report import main, write_report
from gdstudy.sweep.folder import PART


@pytest.fixture
def run(tiny, tmp_path):
    return shutil.copytree(tiny, tmp_path / "mine")


def test_a_page_is_made_anew_as_it_was_at_the_end_of_the_run(run, capsys):
    page = run / "report.html"
    page.unlink()
    assert main([str(run)]) == 0
    assert capsys.readouterr().out.strip() == str(page)
    first = page.read_bytes()
    assert b"mine" in first
    page.write_bytes(b"")
    shutil.rmtree(run / "figures")  # then they are drawn
    assert write_report(run) == page
    assert page.read_bytes() == first


def test_it_waits_for_no_pytorch(run):
    script = "import sys; from gdstudy.report import main; main([sys.argv[1]]); sys.exit('torch' in sys.modules)"
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    (run / "report.html").unlink()
    assert subprocess.run([sys.executable, "-c", script, str(run)], env=here).returncode == 0
    assert (run / "report.html").is_file()


def test_a_run_that_lacks_batches_says_so_on_its_page_and_to_whoever_redraws_it(run, capsys):
    assert main([str(run)]) == 0
    assert "Unfinished" not in (run / "report.html").read_text()  # control
    assert "as far as it is" not in capsys.readouterr().err
    planned = len(list((run / "batches").glob("*.results.parquet")))
    next((run / "batches").glob("*.results.parquet")).unlink()
    said = f"{planned - 1} of {planned} batches"
    for command in (main, figures.main):
        assert command([str(run)]) == 0
        assert f"{run} is shown as far as it is, {said}; go on with --resume {run}" in capsys.readouterr().err
    assert f"<b>Unfinished:</b> {said} are stored." in (run / "report.html").read_text()


def test_the_page_of_an_unfinished_run_has_figures_of_the_batches_that_it_speaks_of(run):
    def drawn():
        return {path.name: path.read_bytes() for path in (run / "figures").glob("*.png")}

    assert main([str(run)]) == 0
    of_all = drawn()
    assert main([str(run)]) == 0
    assert drawn() == of_all  # control: a finished run keeps them
    next((run / "batches").glob("*.results.parquet")).unlink()
    assert main([str(run)]) == 0
    assert drawn() != of_all


def test_the_page_of_an_unfinished_run_that_cannot_be_written_has_the_figures_that_are_there(
    run, tmp_path, monkeypatch, capsys
):
    assert main([str(run)]) == 0
    next((run / "batches").glob("*.results.parquet")).unlink()

    def read_only(code):
        def redraw(*_):
            raise OSError(code, os.strerror(code), str(run))

        return redraw

    monkeypatch.setattr("gdstudy.report.redraw", read_only(errno.EROFS))
    assert main([str(run), "--output", str(tmp_path / "mine.html")]) == 0
    assert "has the figures that were drawn before" in capsys.readouterr().err
    assert "Unfinished" in (tmp_path / "mine.html").read_text()
    monkeypatch.setattr("gdstudy.report.redraw", read_only(errno.ENOSPC))  # control: what is to be put right
    assert main([str(run), "--output", str(tmp_path / "mine.html")]) == 2


def test_two_runs_are_put_side_by_side(run, tmp_path, capsys):
    other = shutil.copytree(run, tmp_path / "other")
    assert main([str(run), str(other)]) == 0
    page = run / "comparison.html"
    assert capsys.readouterr().out.strip() == str(page)
    assert b"mine" in page.read_bytes()
    assert b"other" in page.read_bytes()
    assert not (other / "comparison.html").exists()
    assert main([str(run), str(other), "--output", str(tmp_path / "both.html")]) == 0
    assert (tmp_path / "both.html").read_bytes() == page.read_bytes()


@pytest.mark.parametrize(
    "given", [["nothing"], ["RUN", "nothing"], ["RUN", "--output", "."], ["RUN", "--output", "no/where.html"]]
)
def test_what_cannot_be_is_one_line_and_no_page(given, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (run / "report.html").write_bytes(b"as it was")
    before = sorted(tmp_path.rglob("*"))
    assert main([str(run) if word == "RUN" else word for word in given]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert sorted(tmp_path.rglob("*")) == before
    assert (run / "report.html").read_bytes() == b"as it was"


def test_a_page_is_written_whole_or_not_at_all(run, monkeypatch, capsys):
    (run / "report.html").write_bytes(b"as it was")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    assert main([str(run)]) == 2
    assert "No space left" in capsys.readouterr().err
    assert (run / "report.html").read_bytes() == b"as it was"
    assert not list(run.glob(f".*{PART}"))


def test_a_figure_that_is_none_of_ours_is_left_out(run):
    whole = write_report(run).read_bytes()
    largest = next(run.glob("figures/*.png"))
    with largest.open("ab") as file:
        file.truncate(1 << 40)  # a tebibyte of nothing
    assert len(write_report(run).read_bytes()) < len(whole)
    largest.unlink()
    largest.symlink_to("/etc/hostname")
    assert main([str(run)]) == 2


@pytest.mark.parametrize("kind", ["a link", "a pipe"])
def test_what_is_no_file_is_not_replaced_by_one(kind, run_dir, tmp_path, capsys):
    path, victim = tmp_path / "page.html", tmp_path / "victim"
    victim.write_text("mine")
    {"a link": lambda: path.symlink_to(victim), "a pipe": lambda: os.mkfifo(path)}[kind]()
    before = path.lstat()
    assert main([str(run_dir), "--output", str(path)]) == 2
    assert "is a link, a folder or a device; name a file" in capsys.readouterr().err
    assert path.lstat() == before
    assert victim.read_text() == "mine"
