"""Run folders that come from somebody else: nothing outside them is written or removed, whatever they hold."""

import os
import shutil
import socket
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import without_views
from parts_of import column, finish, parts, rewrite

from gdstudy import figures, load_arrays, load_curves, load_results, report
from gdstudy.study.errors import StudyError
from gdstudy.sweep.folder import check_folder, clear_remains, whole_file, write_whole
from gdstudy.sweep.parts import sealed
from gdstudy.sweep.reading import load_run
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


def write(name, text):
    return lambda run, outside: (run / name).write_text(text)


def remove(*names):
    return lambda run, outside: [(run / name).unlink() for name in names]


def hold(table, name, values):
    """A column of every part of a table holds something else."""

    def build(run, outside):
        for path in parts(run, table):
            rewrite(path, column(name, values.format(outside=outside) if isinstance(values, str) else values))

    return build


def hold_both(table, **columns):
    def build(run, outside):
        for name, value in columns.items():
            hold(table, name, value)(run, outside)

    return build


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


def move_out(name, hard):
    """A path of the run moves out of it, and a name of it stays."""

    def build(run, outside):
        shutil.move(run / name, outside / "moved")
        os.link(outside / "moved", run / name) if hard else (run / name).symlink_to(outside / "moved")

    return build


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


FIRST, STUDY, LOCK = "batches/000000.results.parquet", "batches/study.yaml", "batches/lock"
HOSTILE = {
    "an absolute path as a name": hold("results", "dataset", "{outside}"),
    "a path upwards as a name": hold("results", "dataset", "../outside"),
    "the parent as a name": hold("results", "dataset", ".."),
    "the folder itself as a name": hold("results", "dataset", "."),
    "an empty name": hold("results", "dataset", ""),
    "a control character in a name": hold("results", "dataset", "\x1b[31mdiabetes"),
    "another data set": hold("results", "dataset", "digits"),
    "a preprocessing of none": hold("results", "preprocess", "../x"),
    "a noise of none": hold("curves", "input_noise", 0.5),
    "a model of none": hold("results", "model", "../../outside"),
    "an estimator of none": hold("results", "estimator", lambda old: ["/tmp" if e == "gd" else e for e in old]),
    "an ablation of none": hold("curves", "ablation", "../x"),
    "a status of none": hold("results", "status", "\x1b[2J"),
    "no level": hold_both("results", ablation="leading_modes", level=None),
    "an infinite level": hold("results", "level", float("inf")),
    "a level of none": hold("curves", "level", 3.0),
    "a negative size": hold("results", "n_train", lambda old: [-5, *old[1:]]),
    "no parameters": hold("results", "n_parameters", 0),
    "an empty size": hold("results", "n_train", None),
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
    "a link for the store": move_out("batches", hard=False),
    "a link for a part of the store": move_out(FIRST, hard=False),
    "a link for the study of the store": move_out(STUDY, hard=False),
    "a link for the lock": move_out(LOCK, hard=False),
    "a pipe for a figure": special("figures/bias.png", os.mkfifo),
    "a pipe for the config": special("config.yaml", os.mkfifo),
    "a pipe for a part of the store": special(FIRST, os.mkfifo),
    "a pipe for the study of the store": special(STUDY, os.mkfifo),
    "a pipe for the lock": special(LOCK, os.mkfifo),
    "a socket": special("socket", bind),
}
LOST = {
    "no study": remove(STUDY),
    "a study of aliases": write(STUDY, "a: &a [1, 1]\nseeds: [*a, *a]"),
    "an endless study": write(STUDY, "x" * 200_000),
    "a study of another kind": write(STUDY, "seeds: [1]"),
}
# To read the tables `report` calls what `figures` does.
HOSTILE_TO = [(kind, command) for kind in HOSTILE for command in ("resume", "figures")]
HOSTILE_TO += [(kind, "report") for kind in HOSTILE if kind.startswith("a link for a")]
COMMANDS = {
    "resume": lambda run: main(["--resume", str(run)]),
    "figures": lambda run: figures.main([str(run)]),
    "report": lambda run: report.main([str(run)]),
}


@pytest.mark.parametrize(("kind", "command"), HOSTILE_TO)
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


@pytest.mark.parametrize("kind", LOST)
def test_a_study_that_is_lost_is_restored_from_the_config_that_its_parts_confirm(
    kind, run, tmp_path, capsys, monkeypatch
):
    without_views(monkeypatch)
    before, study = load_results(run), (run / STUDY).read_bytes()
    LOST[kind](run, tmp_path / "outside")
    assert figures.main([str(run)]) == 2
    err = capsys.readouterr().err
    assert "study.yaml" in err
    assert err.count("\n") == 1
    parts_before = {path: path.read_bytes() for path in parts(run)}
    assert main(["--resume", str(run), "--quiet"]) == 0
    assert capsys.readouterr().err == f"{run / STUDY}: was missing or damaged; it is restored from config.yaml\n"
    assert (run / STUDY).read_bytes() == study
    assert {path: path.read_bytes() for path in parts(run)} == parts_before
    pd.testing.assert_frame_equal(load_results(run), before)


def test_a_lost_study_is_not_restored_from_another_config(run, capsys, monkeypatch):
    """Nothing that was computed is thrown away."""
    without_views(monkeypatch)
    (run / STUDY).unlink()
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("seeds: 4", "seeds: 3"))
    before = everything(run / "batches")
    assert main(["--resume", str(run), "--quiet"]) == 2
    assert "batch 0 was not computed for what config.yaml says" in capsys.readouterr().err
    (run / "batches/writer").unlink()
    before.pop(run / "batches/writer")
    assert everything(run / "batches") == before
    (run / "config.yaml").write_text(text)
    assert main(["--resume", str(run), "--quiet"]) == 0


def wide(table):
    return table.append_column("more", [list(range(len(table)))])


def texts_for(name):
    """Numbers that are texts."""

    def change(table):
        return table.set_column(table.schema.get_field_index(name), name, [["many"] * len(table)])

    return change


def many_names(table):
    table = pa.concat_tables([table] * 500)
    return column("status", lambda old: [f"status {k}" for k in range(len(old))])(table)


def many_rows(path):
    """Few bytes that claim millions of rows."""
    table = pq.read_table(path)
    empty = pa.table({f.name: pa.nulls(50_000, f.type) for f in table.schema}, table.schema)
    with pq.ParquetWriter(path, table.schema, compression="zstd", write_page_checksum=True) as writer:
        for _ in range(40):
            writer.write_table(empty)
        writer.add_key_value_metadata(table.schema.metadata)
    path.write_bytes(sealed(path.read_bytes()))


# A part that no run writes: (what becomes of the first part of `results`, what is said).
DAMAGED = {
    "no Parquet": (lambda path: path.write_bytes(b"garbage" * 1000), "damaged"),
    "nothing": (lambda path: path.write_bytes(b""), "damaged"),
    "a text for a number": (lambda path: rewrite(path, texts_for("test_mse")), "its columns are not those of results"),
    "a column more": (lambda path: rewrite(path, wide), "its columns are not those of results"),
    "a long name": (lambda path: rewrite(path, column("dataset", "x" * 30_000_000)), "more or longer names"),
    "many names": (lambda path: rewrite(path, many_names), "more or longer names"),
    "no name": (lambda path: rewrite(path, column("status", None)), "status is empty"),
    "millions of rows in a few bytes": (many_rows, "cannot hold what it says"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_part_that_no_run_writes_is_one_line_and_is_computed_again(kind, run, capsys):
    damage, said = DAMAGED[kind]
    before = load_results(run)
    damage(run / FIRST)
    assert figures.main([str(run)]) == 2
    err = capsys.readouterr().err
    assert f"{run / FIRST}: " in err
    assert said in err
    assert f"--resume {run} computes it again" in err
    assert err.count("\n") == 1
    after = finish(run)
    err = capsys.readouterr().err
    assert f"{run / FIRST}: " in err
    assert "this batch is computed again" in err
    assert err.count("\n") == 1
    pd.testing.assert_frame_equal(after.results, before)


def test_a_store_of_ablated_rows_alone_is_damaged(paper_run, tmp_path):
    shutil.copytree(paper_run, tmp_path / "run")
    for path in parts(tmp_path / "run"):
        rewrite(path, lambda table: table.filter(pc.not_equal(pc.cast(table["ablation"], pa.string()), "none")))
    with pytest.raises(StudyError, match="rows without ablation are missing"):
        load_run(tmp_path / "run")


@pytest.mark.parametrize("load", [load_results, load_curves, load_arrays])
@pytest.mark.parametrize("kind", [name for name in HOSTILE if "store" in name])
def test_reading_a_hostile_store_touches_nothing_outside(kind, load, run, tmp_path):
    outside = tmp_path / "outside"
    HOSTILE[kind](run, outside)
    before = everything(outside)
    with pytest.raises(StudyError, match=r"is a symbolic link|is no regular file"):
        load(run)
    assert everything(outside) == before


def test_a_second_name_of_the_lock_is_refused(run, tmp_path, capsys):
    """A lock is opened for writing; parts and figures never are, so that copies by hard links are runs."""
    move_out(LOCK, hard=True)(run, tmp_path / "outside")
    assert main(["--resume", str(run)]) == 2
    assert "has a second name somewhere else" in capsys.readouterr().err
    (run / LOCK).unlink()
    move_out(FIRST, hard=True)(run, tmp_path)
    assert len(finish(run).results) > 0


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_is_as_it_was_made_is_not_refused(command, run, tmp_path):
    """Control; and what lies outside stays there when the folder is in order, too."""
    before = everything(tmp_path / "outside")
    assert COMMANDS[command](run) == 0
    assert everything(tmp_path / "outside") == before


def test_a_run_may_be_reached_through_a_link(run, tmp_path):
    (tmp_path / "latest").symlink_to(run)
    check_folder(tmp_path / "latest")
    assert len(load_results(tmp_path / "latest")) > 0


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
    assert {len(list((folder / "diabetes/gd").glob(f"{EVENTS}*"))) for folder in (run, run_dir)} == {1}


def test_remains_of_files_that_were_being_written_are_cleared_away(run):
    part = run / "figures/.bias.png.0123456789abcdef.part"
    part.write_bytes(b"half")
    check_folder(run)
    assert part.exists()  # who only reads leaves them: another process may be writing
    clear_remains(run)
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
