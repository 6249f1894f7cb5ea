"""A damaged run gives the very same numbers or one line that names the file; --resume computes anew what is damaged."""

import os
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import without_views
from damages import damage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parts_of import parts

from gdstudy import figures, load_arrays, load_curves, load_results
from gdstudy.report import short_name
from gdstudy.study.errors import StudyError
from gdstudy.sweep.parts import Damaged, open_part, sealed
from gdstudy.sweep.reading import load_run, load_study
from gdstudy.train import main

DAMAGES = int(os.environ.get("GDSTUDY_DAMAGES", "25"))
LOADERS = {"results": load_results, "curves": load_curves, "arrays": load_arrays}
WRITTEN = ("results.csv", "claims.md", "claims.csv")


@pytest.fixture(scope="module")
def tables(tiny):
    return {name: load(tiny) for name, load in LOADERS.items()}


@pytest.fixture
def run(tiny, tmp_path):
    return shutil.copytree(tiny, tmp_path / "run")


def differ(found, table):
    """Whether two tables differ in any bit."""
    if list(found) != list(table) or len(found) != len(table):
        return True
    arrays = zip(found.get("value", ()), table.get("value", ()), strict=True)
    if any(a.shape != b.shape or a.tobytes() != b.tobytes() for a, b in arrays):
        return True
    plain = [name for name in table if name != "value"]
    return any(not found[name].equals(table[name]) for name in plain)


def is_one_line_about(err, paths):
    return err.count("\n") == 1 and any(str(path) in err for path in paths)


@pytest.mark.parametrize("first", range(0, DAMAGES, 20))
def test_of_a_damaged_run_no_number_is_wrong_and_resuming_makes_it_whole(first, tiny, tables, tmp_path, capsys):
    for seed in range(first, min(first + 20, DAMAGES)):
        run = shutil.copytree(tiny, tmp_path / f"{seed}")
        done, paths = damage(run, seed)
        case = f"seed {seed}: {done} {[str(path.relative_to(run)) for path in paths]}"
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patched:
            if whole := seed % 50 == 0:
                assert figures.main([str(run)]) in (0, 2), case
                capsys.readouterr()
            shown = [] if whole else without_views(patched)
            check_reading(run, tables, case, done, paths, list(LOADERS) if seed % 4 == 0 else ["all"])
            status, err = main(["--resume", str(run), "--quiet"]), capsys.readouterr().err
        if status == 2:  # of the study nobody knows which file is right
            assert is_one_line_about(err, [*paths, run]), (case, err)
            assert "config.yaml" in err, (case, err)
            assert any(path.name in ("config.yaml", "study.yaml") for path in paths), (case, err)
            continue
        assert status == 0, (case, err)
        found = shown[-1] if shown else load_run(run)
        for name, table in tables.items():
            assert not differ(getattr(found, name), table), (case, name)
        assert [name for name in WRITTEN[: 3 if whole else 1] if not is_same(run / name, tiny / name)] == [], case
        if noticed := [path.name for path in paths if path.suffix == ".parquet"]:
            assert done in ("removed", "swapped", "duplicated") or any(name in err for name in noticed), (case, err)
        shutil.rmtree(run)


def is_same(path, other):
    """The same content, but for the run's name, which its page says."""
    contents = [p.read_bytes().replace(short_name(p.parent).encode(), b"") for p in (path, other) if p.exists()]
    return len(contents) == 2 and contents[0] == contents[1]


def check_named(error, paths, case=""):
    assert any(path.name in str(error) for path in paths), (case, error)
    assert "\n" not in str(error), (case, error)


def check_reading(run, tables, case, done, paths, how):
    for what in how:
        try:
            found = vars(load_run(run)) if what == "all" else {what: LOADERS[what](run)}
        except StudyError as error:
            check_named(error, paths, case)
            continue
        for name in tables.keys() & found.keys():
            if done == "removed" and ".results." in paths[0].name:  # as of a run that was cut off before that batch
                assert 0 < len(found[name]) < len(tables[name]), case
            else:
                assert not differ(found[name], tables[name]), (case, name)


def test_without_its_seal_a_damage_would_give_a_wrong_number(run, tables):
    """Control: the comparison sees one bit of one number, and what is sealed again with it is read."""
    content = bytearray(sealed_away(parts(run)[0]))
    changed = tables["results"].copy()
    changed.loc[3, "test_mse"] = np.nextafter(changed.loc[3, "test_mse"], np.inf)
    assert differ(changed, tables["results"])
    parts(run)[0].write_bytes(sealed(bytes(content)))
    assert not differ(load_results(run), tables["results"])


def sealed_away(path):
    """A part without its seal."""
    content = path.read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    return content[: footer - 32] + content[footer:]


@pytest.mark.parametrize("name", ["config.yaml", "batches/study.yaml"])
def test_a_changed_digit_of_the_study_is_found(name, run, tables, capsys):
    text = (run / name).read_text()
    assert "steps: 100" in text
    (run / name).write_text(text.replace("steps: 100", "steps: 900"))
    status, err = main(["--resume", str(run), "--quiet"]), capsys.readouterr().err
    if name == "config.yaml":
        assert status == 2
        assert f"--resume {run}: config.yaml changed since the run began (gd); put it back" in err
        assert not differ(load_results(run), tables["results"])
    else:
        assert status == 0
        assert f"{run / name}: was missing or damaged; it is restored from config.yaml" in err
        assert (run / name).read_text() == text


def test_a_changed_digit_of_a_study_without_batches_is_found(run):
    for path in (run / "batches").glob("*.parquet"):
        path.unlink()
    study = run / "batches/study.yaml"
    assert len(load_results(run)) == 0
    study.write_text(study.read_text().replace("steps: 100", "steps: 900"))
    with pytest.raises(StudyError, match=r"study.yaml: damaged \(its checksum is another\); --resume"):
        load_results(run)


def test_a_study_of_version_0_3_which_has_no_seal_is_vouched_for_by_its_parts(run, tables):
    study = run / "batches/study.yaml"
    text = study.read_text().partition("# sha256")[0]
    study.write_text(text)
    assert not differ(load_results(run), tables["results"])
    study.write_text(text.replace("steps: 100", "steps: 900"))
    with pytest.raises(StudyError, match=r"study.yaml: damaged"):
        load_results(run)


def test_what_was_removed_beside_the_store_is_written_again(run, tiny):
    for path in run.iterdir():
        if path.name not in ("batches", "config.yaml"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert main(["--resume", str(run), "--quiet"]) == 0
    assert names(run) == names(tiny)
    for path in tiny.rglob("*"):
        if path.is_file() and path.parent.name != "batches" and "tfevents" not in path.name:
            assert is_same(run / path.relative_to(tiny), path), path


def names(run):
    """Paths in a run, of events without the time and process in their names."""
    return sorted(str(path.relative_to(run)).partition(".tfevents")[0] for path in run.rglob("*"))


edit = st.tuples(st.integers(0, 10**6), st.sampled_from(["set", "drop", "put"]), st.integers(0, 255))
edits = st.lists(edit, min_size=1, max_size=6)
few = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def edited(content, changes):
    content = bytearray(content)
    for at, how, byte in changes:
        at %= len(content) + (how == "put")
        content[at : at + (how != "put")] = b"" if how == "drop" else bytes([byte])
        content = content or bytearray(b"x")
    return bytes(content)


@few
@given(edits)
def test_whatever_bytes_change_in_a_study_it_is_the_same_or_refused(tiny, tmp_path, changes):
    copy = tmp_path / "batches"
    if not copy.exists():
        shutil.copytree(tiny / "batches", copy)
    original, study = (tiny / "batches/study.yaml").read_bytes(), copy / "study.yaml"
    study.write_bytes(edited(original, changes))
    try:
        assert load_study(tmp_path) == load_study(tiny)
    except StudyError as error:
        check_named(error, [study])
    else:
        assert study.read_bytes() == original


@few
@given(changes=edits, reseal=st.booleans())
def test_whatever_bytes_change_in_a_footer_a_part_is_damaged(tiny, tmp_path, changes, reseal):
    """reseal: by somebody who knows how; then it may be read, if it is a part at all, and never ends the process."""
    original = sealed_away(parts(tiny)[0])
    footer = len(original) - 8 - int.from_bytes(original[-8:-4], "little")
    changed = original[:footer] + edited(original[footer:-8], changes) + original[-8:]
    changed = changed[:-8] + (len(changed) - 8 - footer).to_bytes(4, "little") + b"PAR1"
    part = tmp_path / "000000.results.parquet"
    old = parts(tiny)[0].read_bytes()[footer : footer + 32]
    part.write_bytes(sealed(changed) if reseal else changed[:footer] + old + changed[footer:])
    try:
        table = open_part(part, "results").read()
    except (Damaged, StudyError) as error:
        check_named(error, [part])
    else:
        assert reseal or changed == original
        assert pd.DataFrame(table.to_pandas()).shape[1] == len(table.schema)
