"""Run folders that come from somebody else: nothing outside them is written or removed, whatever they hold."""

import os
import shutil
import socket
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from gdstudy import figures, load_arrays, load_curves, load_results
from gdstudy.study.schema import StudyError
from gdstudy.sweep.folder import check_folder, whole_file, write_whole
from gdstudy.sweep.store import load_run
from gdstudy.train import main
from gdstudy.views.board import EVENTS


@pytest.fixture
def run(run_dir, tmp_path):
    """A copy of a finished run, and beside it a folder with files that are none of its business."""
    shutil.copytree(run_dir, tmp_path / "run")
    outside = tmp_path / "outside"
    for name in ("precious.txt", "deep/precious.png", f"{EVENTS}1.mine", "results.csv"):
        (outside / name).parent.mkdir(parents=True, exist_ok=True)
        (outside / name).write_text("precious")
    return tmp_path / "run"


def everything(folder):
    """Path → content of all files below, and the folders."""
    return {p: p.read_bytes() if p.is_file() else None for p in Path(folder).rglob("*")}


def execute(run, statement, *values):
    with closing(sqlite3.connect(run / "results.sqlite")) as db:
        db.execute(statement, values)
        db.commit()


def endless(table, select):
    """A table becomes a view that never ends."""

    def build(run, outside):
        execute(run, f"ALTER TABLE {table} RENAME TO {table}_")
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
        execute(run, f"CREATE VIEW {table} AS {numbers} {select}")

    return build


def rename_datasets(name):
    return lambda run, outside: execute(run, "UPDATE results SET dataset = ?", name.format(outside=outside))


def replace_by_link(name, target="", hard=False):
    """A path of the run becomes a link to one outside."""

    def build(run, outside):
        path = run / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        if hard:
            os.link(outside / target, path)
        else:
            path.symlink_to(outside / target)

    return build


def move_store_out(suffix, hard):
    def build(run, outside):
        store = run / f"results.sqlite{suffix}"
        if not store.exists():
            store.write_bytes(b"")
        shutil.move(store, outside / "store")
        os.link(outside / "store", store) if hard else store.symlink_to(outside / "store")

    return build


def super_journal(run, outside):
    """A journal that has SQLite delete the file it names."""
    name = str(outside / "precious.txt").encode()
    footer = name + len(name).to_bytes(4, "big") + sum(name).to_bytes(4, "big") + bytes.fromhex("d9d505f920a163d7")
    (run / "results.sqlite-journal").write_bytes(bytes(512) + footer)


def special(name, make):
    def build(run, outside):
        path = run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            path.unlink()
        make(path)

    return build


def bind(path):
    here = os.getcwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


HOSTILE = {
    "an absolute path as a name": rename_datasets("{outside}"),
    "a path upwards as a name": rename_datasets("../outside"),
    "the parent as a name": rename_datasets(".."),
    "the folder itself as a name": rename_datasets("."),
    "an empty name": rename_datasets(""),
    "a control character in a name": rename_datasets("\x1b[31mdiabetes"),
    "another data set": rename_datasets("digits"),
    "a model of none": lambda run, _: execute(run, "UPDATE results SET model = '../../outside'"),
    "an estimator of none": lambda run, _: execute(run, "UPDATE results SET estimator = '/tmp' WHERE estimator = 'gd'"),
    "an ablation of none": lambda run, _: execute(run, "UPDATE curves SET ablation = '../x'"),
    "a status of none": lambda run, _: execute(run, "UPDATE results SET status = '\x1b[2J'"),
    "a text for a number": lambda run, _: execute(run, "UPDATE results SET test_mse = 'many' WHERE seed = 1"),
    "a text for a size": lambda run, _: execute(run, "UPDATE curves SET n_train = x'00' WHERE seed = 1"),
    "no level": lambda run, _: execute(run, "UPDATE results SET ablation = 'leading_modes', level = NULL"),
    "an infinite level": lambda run, _: execute(run, "UPDATE results SET level = 9e999"),
    "a level of none": lambda run, _: execute(run, "UPDATE curves SET level = 3"),
    "a negative size": lambda run, _: execute(run, "UPDATE results SET n_train = -5 WHERE seed = 1"),
    "no parameters": lambda run, _: execute(run, "UPDATE results SET n_parameters = 0"),
    "a long name": lambda run, _: execute(run, "UPDATE results SET dataset = printf('%.*c', 30000000, 'x')"),
    "many names": lambda run, _: execute(run, "UPDATE curves SET status = rowid || dataset"),
    "an endless view of results": endless("results", "SELECT r.* FROM results_ AS r, n"),
    "an endless view of curves": endless("curves", "SELECT r.* FROM curves_ AS r, n"),
    "an endless view for a study": endless("study", "SELECT count(*) AS config FROM n"),
    "an endless view of batches": endless("batches", "SELECT i AS number FROM n"),
    "a trigger": lambda run, _: execute(run, "CREATE TRIGGER t AFTER INSERT ON results BEGIN DELETE FROM curves; END"),
    "a table more": lambda run, _: execute(run, "CREATE TABLE more (x)"),
    "no study": lambda run, _: execute(run, "DELETE FROM study"),
    "a study of aliases": lambda run, _: execute(run, "UPDATE study SET config = 'a: &a [1, 1]\nseeds: [*a, *a]'"),
    "an endless study": lambda run, _: execute(run, "UPDATE study SET config = printf('%.*c', 200000, 'x')"),
    "a study of another kind": lambda run, _: execute(run, "UPDATE study SET config = 'seeds: [1]'"),
    "a link for its figures": replace_by_link("figures"),
    "a link for a figure": replace_by_link("figures/mse_against_n.png", "deep/precious.png"),
    "a link for a table": replace_by_link("results.csv", "results.csv"),
    "a link for claims": replace_by_link("claims.md", "precious.txt"),
    "a link for the config": replace_by_link("config.yaml", "precious.txt"),
    "a link for a part": replace_by_link("results.csv.part", "precious.txt"),
    "a link for a data set": replace_by_link("diabetes"),
    "a link for an estimator": replace_by_link("diabetes/gd"),
    "a link for events": replace_by_link(f"diabetes/gd/{EVENTS}0.host", f"{EVENTS}1.mine"),
    "a link that leads nowhere": replace_by_link("figures/new.png", "not/there"),
    "a link for the store": move_store_out("", hard=False),
    "a second name of the store": move_store_out("", hard=True),
    "a link for the log of the store": move_store_out("-wal", hard=False),
    "a link for the index of the log": move_store_out("-shm", hard=False),
    "a journal that names another": super_journal,
    "a pipe for a figure": special("figures/bias.png", os.mkfifo),
    "a pipe for the config": special("config.yaml", os.mkfifo),
    "a pipe for the store": special("results.sqlite", os.mkfifo),
    "a socket": special("socket", bind),
}
COMMANDS = {"resume": lambda run: main(["--resume", str(run)]), "figures": lambda run: figures.main([str(run)])}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_folder_is_one_line_and_nothing_outside_is_touched(kind, command, run, tmp_path, capsys):
    outside = tmp_path / "outside"
    HOSTILE[kind](run, outside)
    before = everything(outside)
    assert COMMANDS[command](run) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 + ("drawing figures" in err)
    assert out == ""
    assert "\x1b" not in err
    assert everything(outside) == before
    assert (outside / "precious.txt").read_text() == "precious"


def test_a_store_of_ablated_rows_alone_is_damaged(paper_run, tmp_path):
    shutil.copytree(paper_run, tmp_path / "run")
    execute(tmp_path / "run", "DELETE FROM results WHERE ablation = 'none'")
    with pytest.raises(StudyError, match="rows without ablation are missing"):
        load_run(tmp_path / "run")


@pytest.mark.parametrize("load", [load_results, load_curves, load_arrays])
@pytest.mark.parametrize("kind", [name for name in HOSTILE if "store" in name or "journal" in name])
def test_reading_a_hostile_store_touches_nothing_outside(kind, load, run, tmp_path):
    outside = tmp_path / "outside"
    HOSTILE[kind](run, outside)
    before = everything(outside)
    with pytest.raises(StudyError, match=r"is a link or no regular file|names another journal|is no run"):
        load(run)
    assert everything(outside) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_is_as_it_was_made_is_not_refused(command, run, tmp_path):
    """Control; and what lies outside stays there when the folder is in order, too."""
    before = everything(tmp_path / "outside")
    assert COMMANDS[command](run) == 0
    assert everything(tmp_path / "outside") == before


def test_a_run_may_be_reached_through_a_link(run, tmp_path):
    (tmp_path / "latest").symlink_to(run)
    check_folder(tmp_path / "latest")
    assert len(load_results(tmp_path / "latest")["seed"]) > 0


def test_what_the_user_keeps_in_a_run_stays(run, run_dir):
    """Events are written anew; what lies beside them is not the board's."""
    mine = [run / "notes.md", run / "diabetes/notes.md", run / "diabetes/gd/old/picture.png"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    stale = run / "diabetes/gone" / f"{EVENTS}0.old"
    stale.parent.mkdir()
    stale.write_bytes(b"")
    assert main(["--resume", str(run), "--quiet"]) == 0
    assert all(path.read_text() == "mine" for path in mine)
    assert not stale.parent.exists()
    assert {len(list((folder / "diabetes/gd").glob(f"{EVENTS}*"))) for folder in (run, run_dir)} == {2}


def test_remains_of_files_that_were_being_written_are_cleared_away(run):
    part = run / "figures/.bias.png.0123456789abcdef.part"
    part.write_bytes(b"half")
    check_folder(run)
    assert not part.exists()


def test_files_are_there_whole_or_as_they_were(tmp_path):
    path = tmp_path / "table.csv"
    write_whole(path, b"first")
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()

    def write_half():
        with whole_file(path) as part:
            part.write_bytes(b"half")
            assert path.read_bytes() == b"first"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    write_whole(path, b"second")  # takes the place of the link
    assert not (tmp_path / "elsewhere").exists()
    assert (path.is_symlink(), path.read_bytes()) == (False, b"second")


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
