"""Files that are no data, made as they are asked for: each with the keys it is read under and what is said of it."""

import gzip
import io
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import torch
from safetensors.torch import save

HEADER = "a,b,y\n"
GOOD = HEADER + "".join(f"{k},{k * k},{3 * k}\n" for k in range(12))
FRAME = pd.DataFrame({"a": np.arange(12.0), "b": np.arange(12.0) ** 2, "y": np.arange(12.0) * 3})
X, Y = np.array(FRAME[["a", "b"]], order="C"), np.array(FRAME["y"])


class Case(NamedTuple):
    file: str
    content: object  # bytes, text, or a function of the path that makes the file
    said: str
    keys: dict | None = None


class Canary:
    """Whoever unpickles it leaves a file behind."""

    def __reduce__(self):
        return os.mkdir, ("the_canary_sang",)


def npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def torched(value, **options):
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def parquet(frame, **options):
    stream = io.BytesIO()
    pq.write_table(frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(frame), stream, **options)
    return stream.getvalue()


def feather(frame, **options):
    stream = io.BytesIO()
    pa.feather.write_feather(frame, stream, **options)
    return stream.getvalue()


def with_value(column, row, value):
    frame = FRAME.astype({column: object})
    frame.loc[row, column] = value
    return frame


def lying_npy():
    """A header of 10¹² numbers before three of them."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)})
    return stream.getvalue() + bytes(24)


def zipped(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return stream.getvalue()


def zip_bomb(path):
    """Two hundred megabytes of zeros in two hundred kilobytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("X.npy", "w") as member:
        for _ in range(200):
            member.write(bytes(1 << 20))


def lying_zip():
    """An archive whose directory says that a member is small."""
    content = bytearray(zipped(X=npy(np.zeros((1000, 1000))), y=npy(np.zeros(1000))))
    at = content.rindex(b"PK\x01\x02", 0, content.rindex(b"PK\x01\x02"))
    content[at + 24 : at + 28] = struct.pack("<I", 100)
    return bytes(content)


def gzip_bomb(path):
    with gzip.open(path, "wb") as file:
        for _ in range(200):
            file.write(b"0,0,0\n" * (1 << 17))


def lying_feather():
    """A packed column whose first buffer says that it unpacks to 2⁴⁰ bytes."""
    content = bytearray(feather(pd.DataFrame({"a": np.zeros(4096), "y": np.zeros(4096)}), compression="zstd"))
    at = content.index(struct.pack("<q", 8 * 4096) + b"\x28\xb5\x2f\xfd")
    content[at : at + 8] = struct.pack("<q", 1 << 40)
    return bytes(content)


def parquet_bomb(path):
    """1.2·10⁸ times false in some kilobytes, as run lengths."""
    column = pa.array(np.zeros(4 * 10**7, bool))
    pq.write_table(pa.table({"a": column, "b": column, "y": column}), path)


def huge_tensor():
    """A view of one number as 10¹²."""
    return torched({"X": torch.zeros(1).expand(10**6, 10**6), "y": torch.zeros(10)})


def safetensors_header(text):
    return struct.pack("<Q", len(text)) + text.encode()


def fifo(path):
    os.mkfifo(path)


def folder(path):
    path.mkdir()


def many_columns(path, n=100_001):
    path.write_text(",".join(f"c{k}" for k in range(n)) + "\n" + ",".join(["1"] * n) + "\n")


TEXT = {
    "empty": Case("a.csv", "", "a.csv: is empty"),
    "blank": Case("a.csv", "\n\n  \n", "a.csv: "),
    "header only": Case("a.csv", HEADER, "a.csv: has no rows"),
    "one row": Case("a.csv", HEADER + "1,2,3\n", "a.csv: 1 of 1 rows"),
    "one column": Case("a.csv", "y\n1\n2\n3\n", "no column of numbers is left for x"),
    "ragged": Case("a.csv", GOOD + "1,2,3,4\n", "a.csv, line 14: has 4 fields where the first has 3"),
    "longer rows": Case("a.csv", HEADER + "1,2,3,4\n" * 5, "a.csv"),
    "no y": Case("a.csv", GOOD.replace("y", "z"), "which column is y? Name it in file.target"),
    "two y": Case("a.csv", GOOD.replace("b", "target"), "which column is y?"),
    "no such target": Case("a.csv", GOOD, "file.target: no column 'outcom'", {"target": "outcom"}),
    "target too far": Case("a.csv", GOOD, "file.target: no column '7'", {"target": 7}),
    "no such feature": Case("a.csv", GOOD, "file.features: no column 'c'", {"features": ["a", "c"]}),
    "feature twice": Case("a.csv", GOOD, "names the column 'a' twice", {"features": ["a", "0-1"]}),
    "x is y": Case("a.csv", GOOD, "column 'y' is asked for as x and as y", {"features": ["a", "y"]}),
    "y twice": Case("a.csv", GOOD.replace("b", "y"), "2 columns are called 'y'"),
    "x twice": Case("a.csv", GOOD.replace("b", "a"), "2 columns are called 'a'", {"features": "a"}),
    "a slip": Case("a.csv", GOOD.replace("\n5,", "\nfive,"), "column 'a', row 6: 'five' is no number (1 such)"),
    "a slip of y": Case("a.csv", GOOD.replace(",15\n", ",15kg\n"), "column 'y', row 6: '15kg' is no number"),
    "question marks": Case("a.csv", GOOD.replace(",25,", ",?,"), "column 'b', row 6: '?' is no number"),
    "thousands": Case("a.csv", GOOD.replace(";", ",").replace("\n11,", '\n"1,100",'), "'1,100' is no number"),
    "infinite": Case("a.csv", GOOD.replace("\n5,", "\ninf,"), "column 'a', row 6: inf is no number to compute with"),
    "beyond": Case("a.csv", GOOD.replace("\n5,", "\n1e200,"), "column 'a', row 6: 1e+200 is no number to compute"),
    "all missing": Case("a.csv", HEADER + ",,\n" * 9, "no column of numbers is left"),
    "y all missing": Case("a.csv", HEADER + "1,2,\n" * 9, "0 of 9 rows have all values"),
    "one complete row": Case("a.csv", HEADER + "1,,3\n" * 9 + "1,2,3\n", "column 'b' lacks most, 9"),
    "missing kept": Case(
        "a.csv", GOOD + "1,,2\n", "column 'b', row 13: has no value (1 such)", {"drop_missing": False}
    ),
    "nothing to impute": Case(
        "a.csv",
        HEADER + "1,,3\n" * 9,
        "column 'b' has no value to impute from",
        {"impute": "mean", "features": ["a", "b"]},
    ),
    "texts as x": Case("a.csv", "a,b,y\n" + "u,v,1\n" * 9, "no column of numbers is left for x"),
    "texts asked for": Case("a.csv", "a,b,y\n" + "1,v,1\n" * 9, "column 'b' holds texts", {"features": ["a", "b"]}),
    "texts as y": Case("a.csv", "a,y\n" + "1,v\n2,u\n" * 9, "column 'y' holds texts", {"classes": False}),
    "one class": Case("a.csv", "a,y\n" + "1,v\n" * 9, "column 'y' holds 1 different values"),
    "many classes": Case(
        "a.csv",
        "a,y\n" + "".join(f"1,v{k}\n" for k in range(1500)),
        "holds 1,500 different values, and classes are",
        {"classes": True},
    ),
    "texts of one row each": Case(
        "a.csv", "a,y\n" + "".join(f"1,v{k}\n" for k in range(150)), "such as 'v0', most of which stand in a row alone"
    ),
    "broken classes": Case("a.csv", GOOD.replace(",15\n", ",1.5\n"), "not one column of whole", {"classes": True}),
    "ids as categories": Case(
        "a.csv",
        "a,y\n" + "".join(f"v{k},{k}\n" for k in range(1500)),
        "column 'a' holds 1,500 different texts, which are no categories",
        {"categories": "one_hot", "features": "a"},
    ),
    "Latin letters": Case("a.csv", GOOD.encode() + "5,é,3\n".encode("latin-1"), "a.csv, line 14: is no utf-8 text"),
    "UTF-16": Case("a.csv", GOOD.encode("utf-16"), "a.csv, line 1: is no text"),
    "zero bytes": Case("a.csv", GOOD.encode() + b"\0\0\0", "a.csv, line 14: is no text (it holds a zero byte)"),
    "a picture": Case("a.csv", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "a.csv, line 3: is no text"),
    "open quote": Case("a.csv", GOOD + '"1,2,3\n', "a.csv"),
    "too many columns": Case("a.csv", many_columns, "has 100,001 columns, more than 100,000"),
    "a folder": Case("a.csv", folder, "a.csv: is a folder; name a file"),
    "a pipe": Case("a.csv", fifo, "a.csv: is no regular file; name a file"),
    "not there": Case("a.csv", lambda path: None, "a.csv: No such file or directory (looked in "),
    "no gzip": Case("a.csv.gz", GOOD, "a.csv.gz: is no whole .gz file"),
    "cut gzip": Case("a.csv.gz", gzip.compress(GOOD.encode())[:-12], "a.csv.gz: is no whole .gz file"),
    "empty gzip": Case("a.tsv.gz", gzip.compress(b""), "a.tsv.gz: is empty"),
    "gzip bomb": Case("a.csv.gz", gzip_bomb, "unpacks to more than"),
    "commas in tsv": Case("a.tsv", GOOD, "which column is y?"),
    "a second file too short": Case(
        "a.csv", GOOD, "x has 12 rows and y 11", {"target": "y.csv", "features": ["a", "b"]}
    ),
    "no second file": Case("a.csv", GOOD, "other.csv: No such file", {"target": "other.csv"}),
}
ARRAYS = {
    "empty npy": Case("a.npy", b"", "a.npy: is empty"),
    "text as npy": Case("a.npy", GOOD, "a.npy: no array as NumPy writes it"),
    "cut npy": Case("a.npy", npy(X)[:-8], "a.npy: is cut off", {"target": -1}),
    "cut header": Case("a.npy", npy(X)[:20], "a.npy: no array as NumPy writes it"),
    "lying npy": Case("a.npy", lying_npy(), "is cut off, or says that it holds (1000000, 1000000)"),
    "pickled npy": Case("a.npy", npy(np.array([Canary()], object)), "holds Python objects, as a pickle"),
    "a pickle as npy": Case("a.npy", pickle.dumps(Canary()), "no array as NumPy writes it"),
    "three axes": Case("a.npy", npy(np.zeros((3, 4, 5))), "has shape 3×4×5; save it as rows × columns"),
    "no axes": Case("a.npy", npy(np.float64(3)), "has shape no axes"),
    "complex": Case("a.npy", npy(X + 1j), "holds complex128, neither real numbers nor texts"),
    "dates": Case("a.npy", npy(np.zeros((9, 2), "datetime64[s]")), "holds datetime64[s], neither"),
    "records": Case("a.npy", npy(np.zeros(9, [("a", "f8"), ("y", "f8")])), "neither real numbers nor texts"),
    "no y in npy": Case("a.npy", npy(X), "which column is y?"),
    "NaN everywhere": Case("a.npz", npz(X=X * np.nan, y=Y), "no column of numbers is left for x"),
    "infinite npz": Case("a.npz", npz(X=np.where(X == 9, np.inf, X), y=Y), "column '1', row 4: inf is no number"),
    "y without columns": Case("a.npz", npz(X=X, y=np.empty((12, 0))), "y has no column; name another"),
    "rows apart": Case("a.npz", npz(X=X, y=Y[:-1]), "x has 12 rows and y 11; they belong together"),
    "no x": Case("a.npz", npz(one=X, two=X, y=Y), "which array is x? Name it in file.key; it has one, two, y"),
    "no such key": Case("a.npz", npz(X=X, y=Y), "file.key='Z' is none of its arrays", {"key": "Z"}),
    "two ys": Case("a.npz", npz(X=X, y=Y, labels=Y), "which array is y? Name it in file.target"),
    "no array": Case("a.npz", npz(), "a.npz: holds no array"),
    "pickled npz": Case("a.npz", npz(X=np.array([[Canary()]] * 3, object), y=Y), "a.npz, X: holds Python objects"),
    "pickled y": Case("a.npz", npz(X=X, y=np.array([Canary()] * 12, object)), "a.npz, y: holds Python objects"),
    "cut npz": Case("a.npz", npz(X=X, y=Y)[:-30], "a.npz: no archive of arrays, or cut off"),
    "text as npz": Case("a.npz", GOOD, "a.npz: no archive of arrays"),
    "zip bomb": Case("a.npz", zip_bomb, "unpacks to more than"),
    "lying zip": Case("a.npz", lying_zip(), "a.npz"),
    "lying npz": Case("a.npz", zipped(X=lying_npy(), y=npy(Y)), "a.npz, X: is cut off, or says"),
    "empty pt": Case("a.pt", b"", "a.pt: is empty"),
    "text as pt": Case("a.pt", GOOD, "a.pt: is no file of torch.save"),
    "old pt": Case("a.pt", torched(torch.zeros(3), _use_new_zipfile_serialization=False), "of its old format"),
    "pickled pt": Case("a.pt", torched({"X": Canary()}), "holds more than tensors, or is damaged"),
    "cut pt": Case("a.pt", torched({"X": torch.from_numpy(X)})[:-40], "a.pt: no archive of arrays, or cut off"),
    "no tensor": Case("a.pt", torched({"X": 3}), "a.pt: holds no array"),
    "huge tensor": Case("a.pt", huge_tensor(), "a.pt, X: has 1,000,000 columns, more than 100,000"),
    "sparse tensor": Case("a.pt", torched({"X": torch.eye(3).to_sparse(), "y": torch.zeros(3)}), "is no plain tensor"),
    "complex tensor": Case("a.pt", torched({"X": torch.zeros(3, 2) + 1j, "y": torch.zeros(3)}), "neither real numbers"),
    "empty tensor": Case("a.pt", torched({"X": torch.zeros(0, 2), "y": torch.zeros(0)}), "a.pt"),
    "text as safetensors": Case("a.safetensors", GOOD, "no .safetensors file, or damaged"),
    "cut safetensors": Case("a.safetensors", save({"X": torch.from_numpy(X)})[:-8], "no .safetensors file, or damaged"),
    "long header": Case("a.safetensors", struct.pack("<Q", 1 << 60) + b"{}", "no .safetensors file"),
    "lying offsets": Case(
        "a.safetensors",
        safetensors_header('{"X": {"dtype": "F64", "shape": [1000000, 1000000], "data_offsets": [0, 8000000000000]}}'),
        "no .safetensors file",
    ),
    "no tensors": Case("a.safetensors", save({}), "holds no array"),
}
TABLES = {
    "empty parquet": Case("a.parquet", b"", "a.parquet: is empty"),
    "text as parquet": Case("a.parquet", GOOD, "no Parquet file, or damaged"),
    "cut parquet": Case("a.parquet", parquet(FRAME)[:-20], "no Parquet file, or damaged"),
    "damaged parquet": Case("a.parquet", parquet(FRAME)[:40] + bytes(60) + parquet(FRAME)[100:], "a.parquet"),
    "no rows": Case("a.parquet", parquet(FRAME[:0]), "a.parquet: has no rows"),
    "lists": Case(
        "a.parquet", parquet(pa.table({"a": [[1.0]] * 9, "y": [1.0] * 9})), "no column of numbers is left for x"
    ),
    "lists asked for": Case(
        "a.parquet",
        parquet(pa.table({"a": [[1.0]] * 9, "b": [1.0] * 9, "y": [1.0] * 9})),
        "a.parquet",
        {"features": "a"},
    ),
    "a slip in parquet": Case(
        "a.parquet", parquet(with_value("a", 4, "four").astype({"a": str})), "column 'a', row 5: 'four' is no number"
    ),
    "parquet bomb": Case("a.parquet", parquet_bomb, "40,000,000 rows of 3 columns"),
    "empty feather": Case("a.feather", b"", "a.feather: is empty"),
    "text as feather": Case("a.feather", GOOD, "no Feather file of version 2"),
    "old feather": Case("a.feather", b"FEA1" + bytes(40), "no Feather file of version 2"),
    "cut feather": Case("a.feather", feather(FRAME)[:200], "no Feather file, or damaged"),
    "lying feather": Case("a.feather", lying_feather(), "unpacks to 1,099,511,"),
    "dates as y": Case(
        "a.feather",
        feather(FRAME.assign(y=pd.Timestamp("2020-01-01"))),
        "a.feather: file.target: no column 'y'",
        {"target": "y"},
    ),
}
CORPUS = {**TEXT, **ARRAYS, **TABLES}


def make(case, at):
    """The file of a case in a folder."""
    path = Path(at) / case.file
    content = case.content
    if callable(content):
        content = content(path)
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
