"""What a run leaves: the same whether its tables are held or mapped, and results.csv as long as csv_rows."""

import shutil

import pytest
from conftest import small_study, without_figures
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gdstudy.report import short_name
from gdstudy.showing import show
from gdstudy.study.errors import StudyError
from gdstudy.study.groups import Training
from gdstudy.study.values import Sizes
from gdstudy.sweep import reading
from gdstudy.sweep.reading import load_results, load_study
from gdstudy.sweep.store import Store
from gdstudy.train import resume_study, run_study
from gdstudy.views import quartiles, summary


def close_run(folder, csv_rows, quiet):
    store = Store(folder, load_study(folder))
    try:
        show(store, csv_rows, quiet)
    finally:
        store.close()


def scalars(folder):
    """Every number that TensorBoard shows, by folder and tag."""
    found = {}
    for path in sorted({path.parent for path in folder.rglob("events.out.tfevents.*")}):
        events = EventAccumulator(str(path), size_guidance={"scalars": 0})
        events.Reload()
        for tag in events.Tags()["scalars"]:
            found[str(path.relative_to(folder)), tag] = [(e.step, e.value) for e in events.Scalars(tag)]
    return found


def contents(folder):
    """Every table and figure of a run, without its store."""
    paths = [*folder.glob("*.csv"), *folder.glob("*.md"), *folder.glob("figures/*")]
    name = short_name(folder).encode()  # which a page says
    page = {"report.html": (folder / "report.html").read_bytes().replace(name, b"")}
    return page | {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_run_that_does_not_fit_in_memory_leaves_what_it_would(paper_run, tmp_path, monkeypatch):
    for name in ("batches", "config.yaml"):
        (shutil.copytree if (paper_run / name).is_dir() else shutil.copy)(paper_run / name, tmp_path / name)
    for module, name in ((reading, "MOST_ROWS"), (reading, "_CSV_ROWS"), (summary, "_AT_ONCE"), (quartiles, "_ROWS")):
        monkeypatch.setattr(module, name, 100)
    close_run(tmp_path, 10**6, quiet=True)
    expected = contents(paper_run)
    assert {"results.csv", "summary.csv", "claims.csv", "claims.md", "figures/divergence.png"} <= expected.keys()
    found = contents(tmp_path)
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []
    assert scalars(tmp_path) == scalars(paper_run)
    assert len(scalars(tmp_path)) > 100


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A run of a few rows, with the number of them."""
    changes = {"datasets": ["diabetes"], "n_train": Sizes((5, 10, 20)), "seeds": 2, "gd": Training(steps=50)}
    with pytest.MonkeyPatch.context() as patch:
        without_figures(patch)
        folder = run_study(small_study(**changes, csv_rows=10), tmp_path_factory.mktemp("runs") / "short")
    return folder, len(load_results(folder))


def test_results_csv_has_csv_rows_at_most(short, tmp_path, capsys, monkeypatch):
    without_figures(monkeypatch)
    folder, rows = short
    assert rows > 10
    assert not (folder / "results.csv").exists()
    assert (folder / "summary.csv").read_text().count("\n") > 3
    shutil.copytree(folder, tmp_path / "run")
    close_run(tmp_path / "run", rows, quiet=False)
    said = capsys.readouterr()
    assert (tmp_path / "run/results.csv").read_text().count("\n") == rows + 1
    assert "left out" not in said.err
    assert "results.csv" in said.out
    close_run(tmp_path / "run", rows - 1, quiet=False)  # what was there is of another time
    said = capsys.readouterr()
    assert not (tmp_path / "run/results.csv").exists()
    assert f"results.csv is left out: {rows} rows are more than csv_rows={rows - 1}" in said.err
    assert "load_results(" in said.err
    assert "summary.csv" in said.out


def test_csv_rows_may_change_when_a_run_is_resumed(short, tmp_path, monkeypatch):
    without_figures(monkeypatch)
    folder, rows = short
    shutil.copytree(folder, tmp_path / "run")
    config = tmp_path / "run/config.yaml"
    written = config.read_text()
    config.write_text(written.replace("csv_rows: 10\n", "csv_rows: 1000\n"))
    resume_study(tmp_path / "run")
    assert (tmp_path / "run/results.csv").read_text().count("\n") == rows + 1
    config.write_text(written.replace("seeds: 2\n", "seeds: 3\n"))  # which says what it is
    with pytest.raises(StudyError, match="seeds"):
        resume_study(tmp_path / "run")
