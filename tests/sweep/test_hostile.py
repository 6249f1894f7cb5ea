"""Run folders made to harm: nothing is followed, waited for or unpacked beyond bounds, and all is one line."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import without_views
from parts_of import column, parts, rewrite
from test_damage import differ

from gdstudy import figures, load_arrays, load_results
from gdstudy.study.errors import StudyError
from gdstudy.sweep.identity import seal
from gdstudy.sweep.lock import hold
from gdstudy.sweep.parts import sealed
from gdstudy.train import main
from gdstudy.views.board import EVENTS

CONFIG, STUDY, LOCK, WRITER = "config.yaml", "batches/study.yaml", "batches/lock", "batches/writer"
RESULTS, ARRAYS = "batches/000000.results.parquet", "batches/000000.arrays.parquet"


@pytest.fixture
def run(tiny, tmp_path):
    return shutil.copytree(tiny, tmp_path / "run")


def write_study(run, text):
    """As somebody would who knows how it is sealed."""
    (run / STUDY).write_bytes(seal(text.encode()))
    (run / CONFIG).write_text(text)


# Large without being so: made in a process that has only so much memory beside what it needs anyway.


def sparse(name):
    def build(run):
        with (run / name).open("ab") as file:
            file.truncate(1 << 40)

    return build


def ending_like_a_part(run):
    with (run / RESULTS).open("r+b") as file:
        file.truncate(1 << 40)
        file.seek(0, os.SEEK_END)
        file.write((100).to_bytes(4, "little") + b"PAR1")


def bomb(run):
    """Few bytes with one name of 300 MB, in a file whose own footer says that it is none."""
    name = "x" * 300_000_000
    rewrite(run / RESULTS, column("dataset", lambda old: [name, *old[1:]]))
    content = (run / RESULTS).read_bytes()
    about = pq.read_metadata(run / RESULTS).row_group(0)
    dataset = next(c for c in map(about.column, range(about.num_columns)) if c.path_in_schema == "dataset")
    for size in (about.total_byte_size, dataset.total_uncompressed_size):
        content = content.replace(varint(2 * size), varint(2 * 100, len(varint(2 * size))))
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    (run / RESULTS).write_bytes(sealed(content[: footer - 32] + content[footer:]))
    assert pq.read_metadata(run / RESULTS).row_group(0).total_byte_size == 100


def varint(number, length=0):
    """As Thrift's compact protocol writes it, also with more bytes than it needs."""
    found = []
    while number > 127 or len(found) + 1 < length:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def aliases(run):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 12)]
    write_study(run, "\n".join(lines))


LARGE = {
    "a config of a tebibyte": sparse(CONFIG),
    "a study of a tebibyte": sparse(STUDY),
    "a part of a tebibyte": sparse(RESULTS),
    "a part of a tebibyte that ends like one": ending_like_a_part,
    "a lock of a tebibyte": sparse(LOCK),
    "a writer of a tebibyte": sparse(WRITER),
    "a table of a tebibyte": sparse("results.csv"),
    "events of a tebibyte": sparse(f"{EVENTS}0.host"),
    "a name of 300 MB in few bytes": bomb,
    "a billion laughs": aliases,
    "a deep study": lambda run: write_study(run, "gd: " + "[" * 30_000),
    "megabytes of a study": lambda run: write_study(run, "seeds: 4\n" + "# x\n" * 10**6),
    "one million keys": lambda run: write_study(run, "\n".join(f"k{k}: 1" for k in range(10**6))),
}
HARMLESS = {"a lock of a tebibyte", "a writer of a tebibyte", "a table of a tebibyte", "events of a tebibyte"}
READ_WITHIN = """
import io, json, resource, sys
from contextlib import redirect_stderr, redirect_stdout
import test_damage, pytest
from gdstudy import figures
from gdstudy.train import main

def status(command):
    err = io.StringIO()
    with redirect_stderr(err), redirect_stdout(io.StringIO()):
        return command(), err.getvalue()

test_damage.without_views(pytest.MonkeyPatch())
warm, *runs = sys.argv[1:]
commands = {"figures": lambda run: figures.main([run]), "resume": lambda run: main(["--resume", run, "--quiet"])}
found = {"": [status(lambda: command(warm)) for command in commands.values()]}
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + 400_000_000
resource.setrlimit(resource.RLIMIT_AS, (most, most))
for run in runs:
    found[run] = [status(lambda: command(run)) for command in commands.values()]
print(json.dumps(found))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_what_is_large_is_not_read(tiny, tmp_path):
    for kind, build in LARGE.items():
        build(shutil.copytree(tiny, tmp_path / kind))
    folders = [str(tmp_path / kind) for kind in LARGE]
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    shutil.copytree(tiny, tmp_path / "warm")
    code = [sys.executable, "-c", READ_WITHIN, str(tmp_path / "warm"), *folders]
    done = subprocess.run(code, capture_output=True, text=True, env=here, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("") == [[0, ""], [0, ""]]
    for folder, ((drawn, said), (resumed, complaint)) in found.items():
        kind = Path(folder).name
        if kind in HARMLESS:
            assert (drawn, resumed) == (0, 0), (kind, said, complaint)
            continue
        assert (drawn == 2) == (kind != "a config of a tebibyte"), (kind, said)
        assert said.count("\n") == (drawn == 2), (kind, said)
        assert folder in said + complaint, kind
        assert "memory" not in said + complaint, (kind, said, complaint)
        assert complaint.count("\n") == 1, (kind, complaint)
        assert resumed == (0 if "part" in kind or "name of" in kind or "study of" in kind else 2), (kind, complaint)
        if "name of" in kind:
            assert "cannot hold what it says it does" in said


def test_who_holds_a_run_is_said_in_so_many_letters(run):
    lock = hold(run)
    sparse(WRITER)(run)
    with pytest.raises(StudyError, match="is being written by process") as error:
        hold(run)
    assert len(str(error.value)) < 500 + 4 * 300
    lock.release()


# What is no file


def link(target):
    def build(path):
        path.unlink()
        path.symlink_to(target)

    return build


def loop(path):
    path.unlink()
    path.symlink_to(path.name)


def device(path):
    path.unlink()
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")


def pipe(path):
    path.unlink()
    os.mkfifo(path)


KINDS = {
    "zeros without end": link("/dev/zero"),
    "a loop": loop,
    "a device": device,
    "a pipe": pipe,
    "nothing": link("x"),
}


@pytest.mark.parametrize("name", [CONFIG, STUDY, RESULTS, LOCK, WRITER])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_neither_read_nor_waited_for(kind, name, run, capsys):
    KINDS[kind](run / name)
    signal.alarm(300)  # what waits is ended
    try:
        for command in (lambda: figures.main([str(run)]), lambda: main(["--resume", str(run)])):
            assert command() == 2
            err = capsys.readouterr().err
            assert err.count("\n") == 1
            assert "no regular file" in err or "a symbolic link" in err or "no run is there" in err
    finally:
        signal.alarm(0)


def test_what_has_a_second_name_elsewhere_is_never_written_through(run, tmp_path):
    """Every file of a run but its locks, which are refused (`test_folder`)."""
    (tmp_path / "outside").mkdir()
    paths = [path for path in run.rglob("*") if path.is_file() and path.name not in ("lock", "gate")]
    for k, path in enumerate(paths):
        os.link(path, tmp_path / "outside" / f"{k}")
    kept = [path.read_bytes() for path in paths]
    shutil.copyfile(parts(run)[1], tmp_path / "other")
    os.replace(tmp_path / "other", parts(run)[0])  # one batch is computed again
    assert main(["--resume", str(run), "--quiet"]) == 0
    assert [(tmp_path / "outside" / f"{k}").read_bytes() for k in range(len(paths))] == kept
    linked = [path for path in run.rglob("*") if path.is_file() and path.stat().st_nlink > 1]
    assert all(path.suffix in (".parquet", ".yaml") for path in linked)  # which were only read


def test_a_folder_in_the_place_of_what_is_written_is_one_line(run, capsys):
    for name in (f"{EVENTS}0.host", "results.csv", "figures/autoencoder.png", "claims.md"):
        copy = shutil.copytree(run, run.parent / f"with a folder {Path(name).name}")
        (copy / name).unlink(missing_ok=True)
        (copy / name / "mine").mkdir(parents=True)
        assert main(["--resume", str(copy), "--quiet"]) == 2, name
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert Path(name).name in err
        assert (copy / name / "mine").is_dir()


# Parts by somebody who knows how they are sealed

HOLDS = np.ones((2, 3), np.float32)
SHAPES = {
    "negative": [-1, 6],
    "negative twice": [-2, -3],
    "of other numbers": [2, 4],
    "beyond all numbers": [2**62, 4],
    "whose product is small again": [2**32, 2**32],
    "of thousands of axes": [1] * 5000,
    "wide and empty": [0, 2**62],
    "none": None,
    "of an empty axis": [2, None],
}


@pytest.mark.parametrize("kind", SHAPES)
def test_an_array_of_a_shape_that_it_has_not_is_a_damaged_part(kind, run, capsys):
    rewrite(run / ARRAYS, column("shape", lambda old: [SHAPES[kind], *old[1:]]))
    with pytest.raises(
        StudyError, match=r"000000.arrays.parquet: damaged \(an array .*; --resume .* computes it again"
    ):
        load_arrays(run)


def test_an_array_of_its_own_shape_is_read(run, tiny):
    """Control."""
    rewrite(run / ARRAYS, column("shape", lambda old: old))
    assert not differ(load_arrays(run), load_arrays(tiny))


def test_a_part_of_another_table_or_batch_is_named(run):
    shutil.copyfile(run / "batches/000000.curves.parquet", run / ARRAYS)
    with pytest.raises(StudyError, match=r"000000.arrays.parquet: is of another table"):
        load_arrays(run)
    shutil.copyfile(parts(run)[1], parts(run)[0])
    with pytest.raises(StudyError, match=r"000000.results.parquet: is of another batch"):
        load_results(run)


def test_tables_that_no_view_can_show_are_one_line(run, capsys):
    for path in parts(run):
        rewrite(path, column("step", None))
        rewrite(path, column("test_mse", 0.0))
    for command in (lambda: figures.main([str(run)]), lambda: main(["--resume", str(run), "--quiet"])):
        assert command() == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert f"{run}: its tables cannot be shown (ValueError" in err


def test_thousands_of_parts_that_are_none_are_named_in_few_lines(run, tiny, capsys, monkeypatch):
    without_views(monkeypatch)
    for k in range(300):
        os.link(tiny / RESULTS, run / f"batches/{10**190 + k}.results.parquet")
        os.link(tiny / RESULTS, run / f"batches/{10**190 + k}.results.parquet.\x1b[31m\u202e")
    assert figures.main([str(run)]) == 2
    assert main(["--resume", str(run), "--quiet"]) == 0
    err = capsys.readouterr().err
    assert "is of another batch; removed, the study has no such" in err
    assert "and 280 more parts that cannot be used" in err
    assert err.count("\n") < 30
    assert "\x1b" not in err
    assert not differ(load_results(run), load_results(tiny))
    assert (tiny / RESULTS).exists()


# Names

NAMES = {
    "a control character": "datasets: ['\\u001b[31mred']".replace("'", '"'),
    "letters from right to left": 'datasets: ["\\u202egnp.csv"]',
    "a file upwards": "datasets: [../../../etc/shadow]",
    "a file by its path": "datasets: [/etc/passwd]",
    "a training with a path": "trainings: {../../x: {step_size: 0.1}}",
    "a training with a control character": 'trainings: {"\\u001b[2J": {step_size: 0.1}}',
    "a name upwards": "{datasets: [a.csv], files: {a.csv: {name: ../../x}}}",
    "a name with a control character": '{datasets: [a.csv], files: {a.csv: {name: "\\u001b]0;x"}}}',
    "Python": "datasets: !!python/object/apply:os.system ['touch ran']",
    "a Python name": "datasets: !!python/name:os.system",
    "a merge": "{<<: {seeds: 3}, seeds: 4}",
}


@pytest.mark.parametrize("kind", NAMES)
def test_names_lead_nowhere_and_are_shown_by_their_codes(kind, run, capsys, monkeypatch):
    monkeypatch.chdir(run.parent)
    write_study(run, NAMES[kind])
    for command in (lambda: figures.main([str(run)]), lambda: main(["--resume", str(run)])):
        assert command() == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert not {"\x1b", "\u202e"} & set(err)
        assert "root:" not in err
    assert sorted(path.name for path in run.parent.iterdir()) == ["run"]


def test_a_file_that_a_study_names_is_read_as_numbers_and_shown_by_a_few_letters(run, tmp_path, capsys):
    """Whoever resumes a stranger's study reads what it names, with their own rights: SECURITY in README."""
    secret = tmp_path / "secret.csv"
    secret.write_text("user,password\n" + "".join(f"me{k},hunter{k}\n" for k in range(2000)))
    write_study(run, f"{{datasets: [{secret}], models: [linear], file: {{target: password}}}}")
    assert main(["--resume", str(run)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.count("hunter") <= 1
    assert len(err) < 600
