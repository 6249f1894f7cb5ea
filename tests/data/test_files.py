"""Files as data sets: what is wrong with one is one line; the same table is the same data in every format."""

import gzip
import io
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from malformed import CORPUS, FRAME, GOOD, make, npy, npz, parquet, torched
from safetensors.torch import save

from gdstudy.data.files import read_file
from gdstudy.data.guards import LARGEST
from gdstudy.data.reading import Table, as_dataset, differences
from gdstudy.study.config import Study
from gdstudy.study.errors import StudyError
from gdstudy.study.sources import SUFFIXES, File
from gdstudy.train import main

X, Y = np.array(FRAME[["a", "b"]], order="C"), np.array(FRAME[["y"]])


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(file, **keys):
    (source,) = Study(datasets=[str(file)], file=File(**keys)).sources
    return read_file(source)


def said(file, **keys):
    with pytest.raises(StudyError) as error:
        read(file, **keys)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", CORPUS)
def test_what_is_wrong_with_a_file_is_one_line(name, tmp_path):
    case = CORPUS[name]
    make(case, tmp_path)
    (tmp_path / "y.csv").write_text("y\n" + "1\n" * 11)
    before = sorted(tmp_path.iterdir())
    line = said(case.file, **(case.keys or {}))
    assert case.said in line
    assert len(line) < 400
    assert sorted(tmp_path.iterdir()) == before  # no pickle was read, nothing was written


def test_the_corpus_is_of_all_formats_and_large():
    assert len(CORPUS) >= 100
    assert {case.file.partition(".")[2] for case in CORPUS.values()} >= {s[1:] for s in SUFFIXES} - {"tsv"}


# One or more of each format, from the command line.
AT_THE_TERMINAL = [
    *("ragged", "a slip", "infinite", "y all missing", "Latin letters", "a folder", "a pipe", "not there", "no y"),
    *("gzip bomb", "commas in tsv", "pickled npy", "three axes", "pickled npz", "zip bomb", "rows apart", "pickled pt"),
    *("huge tensor", "text as safetensors", "cut parquet", "parquet bomb", "cut feather", "lying feather"),
]


@pytest.mark.parametrize("name", AT_THE_TERMINAL)
def test_from_the_command_line_too_and_the_exit_status_is_2(name, tmp_path, capsys):
    case = CORPUS[name]
    make(case, tmp_path)
    (tmp_path / "study.yaml").write_text("n_train: [3]\nseeds: 1\n")
    before = sorted(tmp_path.rglob("*"))
    assert main(["--config", "study.yaml", "--datasets", f"[{case.file}]"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("gdstudy.train: ")
    assert case.said in err
    assert sorted(tmp_path.rglob("*")) == before


def test_the_canary_does_sing():
    """A negative control: whoever reads these files as pickles runs them."""
    for name, load in (("pickled npy", np.load), ("pickled pt", torch.load)):
        case = CORPUS[name]
        options = {"allow_pickle": True} if load is np.load else {"weights_only": False}
        load(io.BytesIO(case.content), **options)
        assert Path("the_canary_sang").is_dir()
        Path("the_canary_sang").rmdir()


def test_bombs_take_no_memory(tmp_path):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name in ("zip bomb", "lying npy", "lying npz", "huge tensor", "lying feather", "lying offsets", "parquet bomb"):
        said(make(CORPUS[name], tmp_path).name)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 700 << 10  # making them takes some


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "a.csv").open("wb") as file:
        file.truncate(LARGEST + 1)  # a hole
    assert "has 1,073,741,825 bytes, more than" in said("a.csv")


# The same table in every format


def text(sep=",", header=True, **options):
    return FRAME.to_csv(sep=sep, index=False, header=header, **options).encode()


def feather_of(frame):
    stream = io.BytesIO()
    pa.feather.write_feather(frame, stream)
    return stream.getvalue()


T, U = torch.from_numpy(X), torch.from_numpy(Y[:, 0])
SAME = {
    "csv": ("a.csv", text(), {}),
    "suffix in capitals": ("A.CSV", text(), {}),
    "without a header": ("a.csv", text(header=False), {"target": -1}),
    "a header that is all numbers": ("a.csv", b"1,2,3\n" + text(header=False), {"target": "3", "header": True}),
    "BOM": ("a.csv", b"\xef\xbb\xbf" + text(), {}),
    "Windows": ("a.csv", text().replace(b"\n", b"\r\n"), {}),
    "semicolons": ("a.csv", text(";"), {}),
    "semicolons and commas": ("a.csv", text(";", decimal=","), {"decimal": ","}),
    "bars": ("a.csv", text("|"), {}),
    "another separator": ("a.csv", text(" "), {"sep": " "}),
    "quoted": ("a.csv", text(quoting=1), {}),
    "thousands": ("a.csv", text(";").replace(b"121.0", b"1'2'1.0"), {"thousands": "'"}),
    "UTF-16": ("a.csv", text().decode().encode("utf-16"), {"encoding": "utf-16"}),
    "blank lines": ("a.csv", b"\n\n" + text().replace(b"\n", b"\n\n"), {}),
    "packed csv": ("a.csv.gz", gzip.compress(text()), {}),
    "tsv": ("a.tsv", text("\t"), {}),
    "packed tsv": ("a.tsv.gz", gzip.compress(text("\t")), {}),
    "parquet": ("a.parquet", parquet(FRAME), {}),
    "parquet of whole numbers": ("a.parquet", parquet(FRAME.astype(int)), {}),
    "parquet with an index": ("a.parquet", parquet(FRAME.set_index("y").reset_index()), {}),
    "feather": ("a.feather", feather_of(FRAME), {}),
    "npy": ("a.npy", npy(np.hstack([X, Y])), {"target": 2}),
    "npy in columns": ("a.npy", npy(np.asfortranarray(np.hstack([X, Y]))), {"target": [-1]}),
    "npz": ("a.npz", npz(X=X, y=Y[:, 0]), {}),
    "npz, y a column": ("a.npz", npz(X=X, y=Y), {}),
    "npz, other names": ("a.npz", npz(first=X, second=Y, third=Y), {"key": "first", "target": "second"}),
    "npz, big-endian": ("a.npz", npz(X=X.astype(">f4"), y=Y.astype(">i2")), {}),
    "npz of one table": ("a.npz", npz(table=np.hstack([X, Y])), {"target": 2}),
    "pt": ("a.pt", torched({"X": T, "y": U}), {}),
    "pt of two": ("a.pt", torched((T, U)), {}),
    "pt of one table": ("a.pt", torched(torch.column_stack([T, U])), {"target": 2}),
    "pt in bfloat16": ("a.pt", torched({"X": T.bfloat16(), "y": U.bfloat16()}), {}),
    "pt that requires gradients": ("a.pt", torched({"embeddings": T.clone().requires_grad_(), "labels": U}), {}),
    "safetensors": ("a.safetensors", save({"X": T, "y": U}), {}),
    "safetensors in float16": ("a.safetensors", save({"X": T.half(), "y": U.half()}), {}),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_table_is_the_same_data_in_every_format(name, tmp_path):
    file, content, keys = SAME[name]
    (tmp_path / file).write_bytes(content)
    found = read(file, **keys)
    np.testing.assert_array_equal(found.data.X, X)
    np.testing.assert_array_equal(found.data.Y, Y)
    assert (found.data.X.dtype, found.data.Y.dtype) == (np.float64, np.float64)
    assert found.data.name == file.partition(".")[0]
    assert found.notes == ()
    assert (found.fingerprint["rows"], found.fingerprint["dropped_rows"]) == (12, 0)
    assert len(found.fingerprint["sha256"]) == 64


DAMAGED = ("csv", "packed csv", "parquet", "feather", "npy", "npz", "pt", "safetensors")


@pytest.mark.parametrize("name", DAMAGED)
def test_bytes_that_are_damaged_anywhere_are_read_or_refused_in_one_line(name, tmp_path):
    file, content, keys = SAME[name]
    random, refused = np.random.default_rng(0), []
    for k in range(40):
        damaged = bytearray(content)
        at = int(random.integers(len(damaged) - 8))
        if k % 3 == 0:
            damaged = damaged[:at]
        elif k % 3 == 1:
            damaged[at] ^= 1 << int(random.integers(8))
        else:  # a number that says how much there is
            damaged[at : at + 8] = int(random.choice([0, 1, 1 << 31, 1 << 40, 1 << 62])).to_bytes(8, "little")
        (tmp_path / file).write_bytes(damaged)
        try:
            read(file, **keys)
        except StudyError as error:
            refused.append(str(error))
    assert len(refused) >= 10
    assert not any("\n" in line for line in refused)


def test_y_may_lie_in_another_file(tmp_path):
    np.save("probe_X.npy", X)
    np.save("probe_y.npy", Y)
    np.save("X.npy", X)
    np.save("y.npy", Y[:, 0])
    (tmp_path / "elsewhere").mkdir()
    Path("elsewhere/labels.csv").write_bytes(FRAME[["y"]].to_csv(index=False).encode())
    for file, keys in (
        ("probe_X.npy", {}),
        ("X.npy", {}),
        ("X.npy", {"target": "elsewhere/labels.csv"}),
        ("X.npy", {"target": "probe_y.npy"}),
    ):
        found = read(file, **keys)
        np.testing.assert_array_equal(found.data.Y, Y)
        assert set(found.fingerprint) >= {"sha256", "target_sha256"}


def test_a_hundred_thousand_columns_are_read():
    n = 99_999
    rows = np.arange(3 * n).reshape(3, n)
    np.savez("wide.npz", X=rows, y=[1, 2, 3])
    found = read("wide.npz")
    assert found.data.X.shape == (3, n)
    assert found.fingerprint["columns"].startswith("99999 (sha256 ")


# Which columns, what is missing, categories, classes


def rows_of(frame, **keys):
    (source,) = Study(datasets=["t.csv"], file=File(**keys)).sources
    return as_dataset(Table("t", frame, None, {"sha256": ""}), source.keys, "t")


def mixed():
    frame = FRAME.assign(sex=["m", "f", "f"] * 4, when=pd.Timestamp("2020-01-01"), empty=np.nan, mark=[True, False] * 6)
    return frame.assign(b=frame["b"].where(frame.index != 3))


def read_mixed(**keys):
    return rows_of(mixed(), **keys)


def test_what_is_left_out_is_said():
    found = read_mixed()
    assert found.data.columns == ("a", "b", "mark")
    assert found.data.n_rows == 11
    assert found.fingerprint["dropped_rows"] == 1
    assert found.notes == (
        "t: left out 1 column without a value: empty",
        "t: left out 1 column of neither numbers nor texts: when",
        "t: left out 1 column of texts: sex (file.categories=one_hot keeps them)",
        "t: left out 1 of 12 rows, which lack a value (most in column 'b')",
    )


def test_columns_are_asked_for_by_name_place_and_range():
    for features, names in (
        ("b", ["b"]),
        (["mark", "a"], ["mark", "a"]),
        ("0-1", ["a", "b"]),
        ([0, "mark"], ["a", "mark"]),
        ("a:b", ["a", "b"]),
        (-1, ["mark"]),
    ):
        assert read_mixed(features=features).data.columns == tuple(names)
    both = read_mixed(target=["y", "a"]).data
    assert (both.columns, both.Y.shape) == (("b", "mark"), (11, 2))
    assert read_mixed(target="none").data.Y.shape == (11, 0)


def test_categories_become_a_column_each():
    found = read_mixed(categories="one_hot").data
    assert found.columns == ("a", "b", "mark", "sex=f", "sex=m")
    np.testing.assert_array_equal(found.X[:, 3:].sum(1), 1)
    np.testing.assert_array_equal(found.X[:3, 4], [1, 0, 0])


@pytest.mark.parametrize(("how", "value"), [("mean", np.mean), ("median", np.median)])
def test_missing_numbers_are_imputed_and_missing_targets_are_not(how, value):
    frame = mixed().assign(y=FRAME["y"].where(FRAME.index != 7))
    found = rows_of(frame, impute=how, features=["a", "b"])
    assert (found.data.n_rows, found.fingerprint["dropped_rows"]) == (11, 1)
    there = np.arange(12.0)[np.arange(12) != 3] ** 2
    assert found.data.X[3, 1] == value(there)


@pytest.mark.parametrize(
    ("labels", "keys", "names"),
    [
        (["no", "yes", "no"], {}, ("no", "yes")),
        ([True, False, True], {}, ("False", "True")),
        ([10, 9, 10], {"classes": True}, ("9", "10")),
        ([10.0, 9.0, np.nan], {"classes": True}, ("9", "10")),
        (["no", "yes", None], {}, ("no", "yes")),
    ],
)
def test_classes_are_outputs_of_0_and_1(labels, keys, names):
    frame = pd.DataFrame({"a": np.arange(12.0), "y": labels * 4})
    found = rows_of(frame, **keys)
    assert found.data.classes == names
    assert found.data.Y.shape == (12 - 4 * frame["y"][:3].isna().sum(), 2)
    np.testing.assert_array_equal(found.data.Y.sum(1), 1)
    there = [str(label).removesuffix(".0") for label in frame["y"].dropna()]
    assert [names[label] for label in found.data.labels] == there
    assert found.fingerprint["classes"] == list(names)


def test_numbers_that_may_be_classes_are_numbers_and_it_is_said():
    frame = pd.DataFrame({"a": np.sqrt(np.arange(60.0)), "y": [0, 1, 2] * 20})
    found = rows_of(frame)
    assert (found.data.classes, found.data.Y.shape) == ((), (60, 1))
    assert found.notes == (
        "t: y (y) holds 3 whole numbers and is taken as a number; file.classes=true makes them classes",
    )
    silent = rows_of(frame, classes=False)
    assert silent.notes == ()


def test_a_column_that_numbers_the_rows_is_said_to_unless_it_is_asked_for():
    order = np.random.default_rng(0).permutation(30)
    columns = {"id": order + 100, "gap": np.arange(30) * 2, "twice": np.repeat(np.arange(15), 2), "y": order**2}
    found = rows_of(pd.DataFrame(columns))
    (note,) = found.notes
    assert note.startswith("t: column id numbers the rows, and is taken as x;")
    assert found.data.columns == ("id", "gap", "twice")
    assert rows_of(pd.DataFrame(columns), features=["id", "gap"]).notes == ()
    assert rows_of(pd.DataFrame(columns | {"id": np.where(order == 0, 31, order)})).notes == ()


cells = st.one_of(st.floats(-1e6, 1e6), st.just(np.nan))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(cells, cells, cells), min_size=2, max_size=15), st.permutations(["a", "b", "y"]))
def test_every_complete_row_is_kept_as_it_is_in_order_and_no_other(rows, order):
    frame = pd.DataFrame(rows, columns=["a", "b", "y"])
    complete = frame.dropna()
    if len(complete) < 2:
        with pytest.raises(StudyError, match=r"rows have all values|no column of numbers"):
            rows_of(frame[list(order)], features=["a", "b"])
        return
    found = rows_of(frame[list(order)], features=["a", "b"])
    np.testing.assert_array_equal(found.data.X, complete[["a", "b"]])
    np.testing.assert_array_equal(found.data.Y, complete[["y"]])
    assert found.fingerprint["dropped_rows"] == len(frame) - len(complete)
    assert bool(found.notes) == (len(complete) < len(frame))


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)


@settings(max_examples=40, deadline=None)
@given(st.lists(words, min_size=2, max_size=12))
def test_any_texts_are_categories_and_classes(texts):
    """They are told apart exactly, whatever they are."""
    frame = pd.DataFrame({"a": np.arange(len(texts)), "word": texts, "y": texts})
    keys = {"categories": "one_hot", "features": ["word", "a"]}
    numbers = pd.to_numeric(frame["y"].astype(object), errors="coerce").notna()
    if len(set(texts)) < 2 or 0 < (~numbers).sum() <= numbers.sum():
        with pytest.raises(StudyError, match=r"different values|is no number"):
            rows_of(frame, **keys)
        return
    found = rows_of(frame, **keys).data
    assert [found.classes[label] for label in found.labels] == texts
    assert [found.columns[1:][place][5:] for place in found.X[:, 1:].argmax(1)] == texts


def test_long_texts_and_many_categories_take_no_memory(monkeypatch):
    """An array of texts would be as wide as the longest, and one of categories as wide as there are of them."""
    texts = ["u", "v"] * 50_000
    texts[7] = "w" * 100_000
    frame = pd.DataFrame({"a": np.arange(100_000.0), "word": texts, "y": texts})
    found = rows_of(frame, categories="one_hot").data
    assert (found.X.shape, found.Y.shape, len(found.classes[2])) == ((100_000, 4), (100_000, 3), 100_000)
    monkeypatch.setattr("gdstudy.data.guards.MOST_NUMBERS", 10**5)
    many = {f"c{k}": [f"{j % 90}c" for j in range(1000)] for k in range(2)}
    with pytest.raises(StudyError, match=r"t, as categories: has 1,000 rows of 180 columns, more than 100,000"):
        rows_of(pd.DataFrame(many).assign(y=np.arange(1000.0)), categories="one_hot")
    with pytest.raises(StudyError, match=r"t, as classes: has 2,000 rows of 90 columns, more than"):
        rows_of(pd.DataFrame({"a": np.arange(2e3), "y": many["c0"] * 2}))


def test_fingerprints_differ_where_contents_do(tmp_path):
    (tmp_path / "a.csv").write_text(GOOD)
    first = read("a.csv").fingerprint
    assert differences(first, read("a.csv").fingerprint) == ""
    (tmp_path / "a.csv").write_text(GOOD.replace("11,121", "11,122"))
    assert differences(first, read("a.csv").fingerprint).startswith("sha256 ")
    (tmp_path / "a.csv").write_text(GOOD + "1,2,3\n")
    assert differences(first, read("a.csv").fingerprint) == "rows 13 instead of 12"
    renamed = read("a.csv", target="a").fingerprint
    assert "columns 2 (b, y) instead of 2 (a, b)" in differences(replace_rows(first, 13), renamed)


def replace_rows(fingerprint, rows):
    return {**fingerprint, "rows": rows}


def test_a_copy_under_another_name_is_the_same_data(tmp_path):
    (tmp_path / "a.csv").write_text(GOOD)
    (tmp_path / "b.csv").write_text(GOOD)
    assert replace(read("a.csv").data, name="b").columns == read("b.csv").data.columns
    assert read("a.csv").fingerprint == read("b.csv").fingerprint


TEXTS_OF_NUMBERS = {
    "decimal commas": ([f"{k},{k % 10}" for k in range(40)], "numbers have commas, such as '0,0'"),
    "thousands": ([f"1,{k:03d}" for k in range(40)], "numbers have commas"),
    "millions": (
        [f"1,{k % 7:03d},000" for k in range(40)],
        "such as '1,000,000', which are numbers but for their signs",
    ),
    "blanks": ([f"1 {k % 7:03d}" for k in range(40)], "which are numbers but for their signs"),
    "shares": ([f"{k}%" for k in range(40)], "such as '0%', which are numbers but for their signs; make them numbers"),
    "few shares": ([f"{k % 3}.5 %" for k in range(40)], "which are numbers but for their signs"),
    "names": ([f"v{k}" for k in range(40)], "most of which stand in a row alone; make them numbers"),
}


@pytest.mark.parametrize("kind", TEXTS_OF_NUMBERS)
def test_numbers_that_are_written_as_texts_are_no_classes(kind):
    values, message = TEXTS_OF_NUMBERS[kind]
    rows = [f"{k};{k * k % 7};{value}" for k, value in enumerate(values)]
    Path("german.csv").write_text("\n".join(["a;b;y", *rows]))
    assert message in said("german.csv")
    assert len(read("german.csv", classes="true").data.classes) == len(set(values))  # who says so has them
    few = [row.rpartition(";")[0] + f";{k % 3}a" for k, row in enumerate(rows)]
    Path("few.csv").write_text("\n".join(["a;b;y", *few]))
    assert read("few.csv").data.classes == ("0a", "1a", "2a")  # control


def test_a_second_file_is_read_by_the_same_keys():
    Path("X.csv").write_text("a;b\n" + "\n".join(f"{k};{k * k % 7}" for k in range(30)))
    Path("lab.csv").write_text("\n".join(["?", *(f"{k},5" for k in range(1, 30))]))
    found = read("X.csv", target=["lab.csv"], decimal=",", missing_values=["?"], header="auto", sep=";")
    np.testing.assert_array_equal(found.data.Y[:, 0], np.arange(1, 30) + 0.5)
    assert found.data.n_rows == 29


INDEXED = FRAME.set_axis(10 * np.arange(len(FRAME)) % 7 + np.arange(len(FRAME)))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("gaps.parquet", lambda path: INDEXED.to_parquet(path)),
        ("named.parquet", lambda path: INDEXED.rename_axis("id").to_parquet(path)),
        ("index.csv", lambda path: INDEXED.to_csv(path)),
        ("table.feather", lambda path: pa.feather.write_feather(pa.Table.from_pandas(INDEXED), path)),
    ],
)
def test_the_index_of_a_data_frame_is_left_out_and_said(name, write):
    write(name)
    found = read(name, categories="drop")
    assert found.data.columns == read_control(name).columns
    assert any("left out 1 column that names the rows" in note and "pandas' index" in note for note in found.notes)


def read_control(name):
    """The same table without its index."""
    FRAME.to_parquet("control.parquet", index=False)
    found = read("control.parquet", categories="drop")
    assert not any("names the rows" in note for note in found.notes)
    return found.data


def test_an_index_that_is_asked_for_is_a_feature():
    INDEXED.rename_axis("id").to_parquet("named.parquet")
    assert read("named.parquet", features=["id", "a"]).data.columns == ("id", "a")
    for noted in ('{"index_columns": 3}', '{"index_columns": [["a"], {"kind": "range"}, "b"]}', "3", "{[", "[" * 10**5):
        table = pa.table({"a": X[:, 0], "y": Y[:, 0]}).replace_schema_metadata({"pandas": noted})
        pq.write_table(table, "odd.parquet")
        assert read("odd.parquet").data.columns == ("a",)


def test_a_slip_far_down_a_large_file_is_named():
    """pandas' own chunks would make texts of a part of the column alone."""
    table = np.random.default_rng(0).integers(0, 1000, (5000, 301)).astype(str)
    table[4000, 5] = "oops"
    header = ",".join([*(f"c{k}" for k in range(300)), "y"])
    Path("large.csv").write_text("\n".join([header, *(",".join(row) for row in table)]))
    assert "column 'c5', row 4001: 'oops' is no number" in said("large.csv")


def test_values_and_columns_without_a_name_are_no_index():
    table = np.random.default_rng(0).standard_normal((30, 3))
    rows = [",".join(map(str, row)) for row in table]
    Path("values.csv").write_text("\n".join([",1.29,0.3", *rows]))  # no header, and one value is missing
    found = read("values.csv", target=[-1])
    assert (found.data.X.shape, found.data.columns) == ((30, 2), ("0", "1"))
    assert not any("names the rows" in note for note in found.notes)
    Path("two.csv").write_text("\n".join([",b,y,", *(f"{k},{row}" for k, row in enumerate(rows))]))
    assert read("two.csv").data.columns == ("", "b", "")
    pd.DataFrame(table).to_csv("places.csv")
    found = read("places.csv", target=["2"])
    assert (found.data.columns, found.data.n_rows) == (("0", "1"), 30)
    assert any("names the rows" in note for note in found.notes)
