"""What entries of `datasets` mean, before anything is read."""

from pathlib import Path

import pytest
import yaml

from gdstudy.study.config import Study
from gdstudy.study.errors import StudyError
from gdstudy.study.parser import as_yaml, read_option, read_study, study_of
from gdstudy.study.sources import SUFFIXES, File, format_of
from gdstudy.study.values import Columns, Ternary

PRINT = {"sha256": "0" * 64, "rows": 50, "columns": 3, "outputs": ["y"], "classes": 0}


@pytest.mark.parametrize(
    ("entry", "name", "form"),
    [
        ("data/probe.npz", "probe", "npz"),
        ("probe.NPZ", "probe", "npz"),
        ("/abs/Life Expectancy Data.csv", "Life Expectancy Data", "text"),
        ("a.b.csv.gz", "a.b", "text"),
        ("X.npy", "X", "npy"),
        ("weights.pt", "weights", "torch"),
        ("openml:iris", "iris", "openml"),
        ("openml:iris@2", "iris-2", "openml"),
        ("diabetes", "diabetes", "named"),
    ],
)
def test_a_file_is_known_by_its_suffix_and_called_by_its_stem(entry, name, form):
    study = Study(datasets=[entry])
    (source,) = study.sources
    assert (source.name, source.format, study.names) == (name, form, [name])
    assert study.facts(name).external == (form != "named")


def test_every_suffix_is_a_format():
    for suffix, form in SUFFIXES.items():
        assert format_of(f"a{suffix}") == form


def test_single_files_have_keys_of_their_own():
    study = Study(
        datasets=["a.csv", "b.csv"],
        file=File(target="y", sep=";"),
        files={"b.csv": {"target": ["u", "v"], "name": "other"}},
    )
    first, second = (source.keys for source in study.sources)
    assert (first.target, first.sep) == (("y",), ";")
    assert (second.target, second.sep) == (("u", "v"), ";")
    assert study.names == ["a", "other"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"datasets": ["diabetes.csv"]}, "datasets: diabetes.csv: 'diabetes' is built in; give yours another name"),
        ({"datasets": ["openml:diabetes"]}, "'diabetes' is built in"),
        ({"datasets": ["a/x.csv", "b/x.npz"]}, "datasets: a/x.csv and b/x.npz are both called 'x'"),
        ({"datasets": ["x.csv", "X.csv"]}, "are both called 'X'"),
        ({"datasets": ["figures.csv"]}, "'figures' is taken by a run's own files"),
        ({"datasets": ["a+standardize.csv"]}, "cannot name a folder of a run"),
        ({"datasets": ["=cmd.csv"]}, "cannot name a folder of a run"),
        ({"datasets": ["a,b.csv"]}, "cannot name a folder of a run"),
        ({"datasets": ["x" * 90 + ".csv"]}, "cannot name a folder of a run"),
        ({"datasets": [".csv"]}, "datasets: "),
        ({"datasets": ["a.xlsx"]}, "'a.xlsx' is a spreadsheet; save it as .csv; formats: .csv,"),
        ({"datasets": ["a.pkl"]}, "'a.pkl' is a pickle, which can run code when it is read"),
        ({"datasets": ["a.csv.zip"]}, "'a.csv.zip' is not read"),
        ({"datasets": ["diabtes"]}, "unknown 'diabtes' (did you mean diabetes?)"),
        ({"datasets": ["openml:"]}, "datasets: openml:"),
        ({"datasets": ["openml:../etc"]}, "datasets: openml:../etc"),
        (
            {"datasets": ["a.csv"], "files": {"b.csv": {}}},
            "files: 'b.csv' is no file of datasets=['a.csv']",
        ),
        ({"datasets": ["a.csv"], "files": {"a.csv": {"colour": 1}}}, "unknown key 'files.a.csv.colour'"),
        ({"datasets": ["a.csv"], "files": {"a.csv": {"impute": "mode"}}}, "files.a.csv.impute: 'mode' must be one of"),
        ({"datasets": ["diabetes"], "file": {"target": "y"}}, "file.target=('y',) has no effect"),
        ({"datasets": ["a.csv", "b.csv"], "file": {"name": "c"}}, "file.name='c' cannot name 2 files"),
        ({"datasets": ["a.csv"], "file": {"missing_values": True}}, "True is no list of texts"),
        ({"datasets": ["a.csv"], "file": {"missing_values": [["?"]]}}, "is no list of texts"),
        ({"datasets": ["\u0301.csv"]}, "cannot name a folder of a run"),
        ({"datasets": ["a.csv"], "file": {"sep": ", "}}, "a.csv: sep=', ' must be one character"),
        ({"datasets": ["a.csv"], "file": {"decimal": ",", "thousands": ","}}, "must be one character each"),
        ({"datasets": ["a.csv"], "fingerprints": {"a": {}}}, "fingerprints.a: is not what a run writes there"),
        ({"datasets": ["a.csv"], "fingerprints": {"a": {**PRINT, "rows": "many"}}}, "is not what a run writes"),
        ({"datasets": ["a.csv"], "fingerprints": {"a": {**PRINT, "rows": "50"}}}, "is not what a run writes"),
        ({"datasets": ["a.csv"], "fingerprints": {"a": {**PRINT, "rows": ["x", "y"]}}}, "is not what a run writes"),
        ({"datasets": ["a.csv"], "file": {"sep": "§"}}, "a.csv: sep='§' must be an ASCII character"),
        ({"datasets": ["a.csv"], "file": {"thousands": "’"}}, "thousands='’' must be an ASCII character"),
        ({"datasets": ["a.csv"], "file": {"decimal": "٫"}}, "must be an ASCII character"),
        ({"datasets": ["a.csv"], "fingerprints": {"b": PRINT}}, "fingerprints: 'b' is none of datasets=['a.csv']"),
    ],
)
def test_what_cannot_be_is_one_line(values, said):
    with pytest.raises(StudyError) as error:
        study_of(values)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_facts_of_a_file_are_its_fingerprints():
    study = study_of({"datasets": ["a.csv"], "fingerprints": {"a": {**PRINT, "classes": ["u", "v"]}}, "n_train": [49]})
    facts = study.facts("a")
    assert (facts.rows, facts.columns, facts.has_targets, facts.classes, facts.label) == (50, 3, True, 2, "a")
    with pytest.raises(StudyError, match="n_train=50 is too many for a: it has 50 rows"):
        study_of({"datasets": ["a.csv"], "fingerprints": {"a": PRINT}, "n_train": [50]})
    # Before it was read nothing is known of its sizes.
    assert Study(datasets=["a.csv"], n_train=[10**6]).facts("a").rows is None


def test_what_came_from_python_is_known_by_its_fingerprint():
    with pytest.raises(StudyError, match="unknown 'mine'"):
        study_of({"datasets": ["mine"], "n_train": [3]})
    assert study_of({"datasets": ["mine"], "n_train": [3], "fingerprints": {"mine": PRINT}}).facts("mine").rows == 50


@pytest.mark.parametrize("text", ["1e5", "010", "yes", "null", "1:30", "0x1", ".5", "~", "<<", "=", "a: b", "é", "-"])
def test_names_of_columns_are_kept_in_writing(text):
    study = Study(
        datasets=["a.csv"],
        n_train=[3],
        file=File(target=text, features=[text], classes=True, missing_values=["?", text]),
        fingerprints={"a": {**PRINT, "columns": [text, "b", "c"]}},
    )
    again = study_of(yaml.safe_load(as_yaml(study)))
    assert again.file == study.file
    from gdstudy.study.parser import _load

    assert study_of(_load(as_yaml(study))) == study


def test_columns_and_ternaries_are_written_as_people_do():
    assert Columns.parse("a, b") == ("a, b",)
    assert Columns.parse(["a", 3, -1]) == ("a", "3", "-1")
    assert (Ternary.parse(True), Ternary.parse("auto"), Ternary.parse("False")) == ("true", "auto", "false")


@pytest.mark.parametrize(
    ("entry", "name"), [("fu\u0308r.csv", "f\u00fcr"), ("डेटा.csv", "डेटा"), ("für.csv", "für"), ("ท้าย.npz", "ท้าย")]
)
def test_names_have_letters_of_any_script_however_their_marks_are_written(entry, name):
    (source,) = study_of({"datasets": [entry]}).sources
    assert (source.entry, source.name) == (entry, name)


@pytest.mark.parametrize("written", ["\t", "\\t"])
def test_a_tab_may_be_written_as_one_does(written):
    (source,) = study_of({"datasets": ["a.csv"], "file": {"sep": written}}).sources
    assert source.keys.sep == "\t"


def test_texts_that_stand_for_a_missing_value_are_kept_as_they_are_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_option("file.missing_values", "000") == "000"
    assert read_option("file.missing_values", "['?', -99.9]") == ["?", "-99.9"]
    Path("written.yaml").write_text("datasets: [a.csv]\nfile: {missing_values: [000, -99.90, 1e3, '?']}\n")
    assert read_study(Path("written.yaml")).file.missing_values == ("000", "-99.90", "1e3", "?")
    study = study_of({"datasets": ["a.csv"], "file": {"missing_values": ["?", -99.9, 7]}})
    assert study.file.missing_values == ("?", "-99.9", "7")
    assert study_of(yaml.safe_load(as_yaml(study))) == study
