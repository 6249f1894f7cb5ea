"""What an entry of `datasets` means: a data set of the table, a file, one of OpenML, or data that came from Python."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal

from gdstudy.study.datasets import DATASETS, DatasetFacts, known
from gdstudy.study.errors import StudyError, listed, shown, suggestion
from gdstudy.study.values import Columns, Ternary, Texts

if TYPE_CHECKING:
    from gdstudy.study.config import Study

# How a file's name ends → its format.
SUFFIXES = {
    **{".csv": "text", ".tsv": "text", ".csv.gz": "text", ".tsv.gz": "text"},
    **{".parquet": "parquet", ".feather": "feather", ".npz": "npz", ".npy": "npy"},
    **{".pt": "torch", ".safetensors": "safetensors"},
}
OPENML = "openml:"
# Formats that people have and that are not read, and what to write instead.
_OTHERS = {
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), "a pickle, which can run code when it is read; save it as .npz"),
    **dict.fromkeys((".xls", ".xlsx", ".ods"), "a spreadsheet; save it as .csv"),
    **dict.fromkeys((".txt", ".json", ".jsonl", ".zip", ".h5", ".hdf5", ".mat", ".arff"), "not read"),
    **dict.fromkeys((".arrow", ".pth", ".ckpt", ".xz", ".bz2", ".gz", ".zst"), "not read"),
}
# Folders and files of a run, and what no name can be.
_TAKEN = (
    *("figures", "batches", "config.yaml", "results.csv", "summary.csv", "claims.md", "claims.csv"),
    *("report.html", "comparison.html"),
)
_NAME, _LONGEST = re.compile(r"[^\W_][\w .()-]*(?<![ .])"), 80


@dataclass
class File:
    """How data sets from files, and from OpenML, are read: what a file itself does not say."""

    target: Columns = Columns()
    """Column or columns that are y: a name, a place (from 0; -1 is the last), a range of either, or a list; in a file
    of several arrays the name of one; or another file. `none`: there is no y. Default: what is called y or target."""
    features: Columns = Columns()
    """Columns that are x, written likewise, such as [age, 3-10, first:last]. Default: all others that hold numbers, but
    for the index that pandas writes."""
    key: str = ""
    """Which array is x in a file of several. Default: the one called X, x, features, embeddings or data."""
    name: str = ""
    """What the data set is called in tables, figures and folders. Default: the file's name without its ending."""
    drop_missing: bool = True
    """Rows with a missing value are left out, and counted; false: the first one is an error."""
    impute: Literal["none", "mean", "median"] = "none"
    """Missing numbers of x become this statistic of their column (of all rows), and only rows without y, or a
    text of `categories`, are dropped."""
    categories: Literal["drop", "one_hot"] = "drop"
    """Columns of x that hold texts: left out, and said so, or a column of 0 and 1 for each text."""
    classes: Ternary = Ternary("auto")
    """y is classes: one output of 0 and 1 for each, and accuracies beside errors. `auto`: if it holds texts or true and
    false, but no numbers with signs and no texts of one row each; true: these and whole numbers too; false: never."""
    missing_values: Texts = Texts()
    """Text files: more texts that stand for a missing value, such as ['?']; empty, NA, NaN, null and the like do."""
    sep: str = ""
    """Text files: what separates columns. Default: a tab in .tsv; in .csv the comma, or what the first line has."""
    header: Ternary = Ternary("auto")
    """Text files: the first row holds the names of columns. `auto`: unless all of it is numbers."""
    thousands: str = ""
    """Text files: what groups digits, such as the comma of 1,234.5."""
    decimal: str = "."
    """Text files: the decimal point."""
    encoding: Literal["utf-8", "latin-1", "cp1252", "utf-16"] = "utf-8"
    """Text files: how letters are encoded. A byte-order mark is passed over."""


@dataclass(frozen=True)
class Source:
    """entry: as `datasets` has it. name: of the data set. format: of a file, `openml`, or `named` for what is neither.

    keys: how it is read, None where it is not read from anything.
    """

    entry: str
    name: str
    format: str
    keys: File | None = None


def suffix_of(path: str) -> str:
    """How a file's name ends, as far as that says its format: `.csv.gz`, `.npz`; lower case."""
    suffixes = [part.lower() for part in PurePath(path).suffixes]
    both = "".join(suffixes[-2:])
    return both if both in SUFFIXES else "".join(suffixes[-1:])


def format_of(entry: str) -> str:
    """The format of a file, `openml`, or `named` for any other entry."""
    if entry.startswith(OPENML):
        return "openml"
    return SUFFIXES.get(suffix_of(entry), "named")


def source_of(entry: str, keys: File) -> Source:
    """keys: how the study reads this entry."""
    form = format_of(entry)
    if form == "named":
        return Source(entry, entry, form)
    plain = PurePath(entry).name[: -len(suffix_of(entry))]
    if form == "openml":
        plain = entry.removeprefix(OPENML).replace("@", "-")
    # Accents in one letter, as most write them, where a file system takes them apart.
    name = unicodedata.normalize("NFC", keys.name or plain)
    return Source(entry, name, form, replace(keys, sep="\t") if keys.sep == "\\t" else keys)


def keys_of(study: Study, entry: str) -> File:
    """How one entry of `datasets` is read: `file`, with what `files` says of it in its place."""
    return replace(study.file, **study.files.get(entry, {}))


def facts_of(study: Study, name: str) -> DatasetFacts:
    """What is known of a data set of a study: the table's facts, or those its fingerprint adds once it was read."""
    facts, found = known(name), study.fingerprints.get(name)
    if not facts.external or found is None:
        return facts
    outputs, classes = found.get("outputs", 1), found.get("classes", 0)
    rows, columns = found.get("rows"), _count(found.get("columns", 0))
    n = _count(outputs)
    return replace(facts, rows=rows, columns=columns, has_targets=n > 0, outputs=n, classes=_count(classes))


def _count(value: Any) -> int:
    return len(value) if isinstance(value, list) else int(str(value).split()[0])


def check_name(name: str, what: str, own: bool = True) -> None:
    """StudyError for a name that no data set of one's own can have. own: it may not be one that is built in."""
    letters = "".join(c for c in name if unicodedata.category(c) not in ("Mn", "Mc"))  # without marks upon them
    if not _NAME.fullmatch(letters) or len(name.encode()) > _LONGEST or name.casefold() in _TAKEN:
        why = "is taken by a run's own files" if name.casefold() in _TAKEN else "cannot name a folder of a run"
        raise StudyError(
            f"{what}: {shown(name)} {why}; give it a name of letters, digits, spaces and _ . - (at most {_LONGEST}), "
            "in a file's keys as `name`"
        )
    if own and name in DATASETS and not DATASETS[name].external:
        raise StudyError(f"{what}: {shown(name)} is built in; give yours another name, in a file's keys as `name`")


def complaints(study: Study) -> Iterator[str]:
    """One line for each entry of `datasets`, and each key of files, that cannot be."""
    files = [entry for entry in study.datasets if format_of(entry) != "named"]
    for key, value in vars(study.file).items():
        if not files and value != getattr(File(), key):
            yield f"file.{key}={shown(value)} has no effect: none of datasets={shown(study.datasets)} is a file"
    if study.file.name and len(files) > 1:
        each = f"files: {{{files[0]}: {{name: …}}}}"
        yield f"file.name={shown(study.file.name)} cannot name {len(files)} files; write {each}"
    names: dict[str, str] = {}
    for entry in study.datasets:
        source = source_of(entry, keys_of(study, entry))
        if source.format == "named":
            yield from _of_a_name(study, entry)
        else:
            yield from _of_a_file(source)
        other = names.setdefault(source.name.casefold(), entry)
        if other != entry:
            yield (
                f"datasets: {other} and {entry} are both called {shown(source.name)}; give one another name: "
                f"files: {{{entry}: {{name: …}}}}"
            )
    for entry in study.files:
        if entry not in study.datasets or format_of(entry) == "named":
            close = suggestion(entry, study.datasets)
            yield f"files: {shown(entry)} is no file of datasets={shown(study.datasets)}{close}; write it as there"
    for name, found in study.fingerprints.items():
        if not _is_fingerprint(found):
            yield f"fingerprints.{name}: is not what a run writes there; take it out"
        elif name not in study.names:
            yield f"fingerprints: {shown(name)} is none of datasets={shown(study.datasets)}; take it out"


def _is_fingerprint(found: Mapping[str, Any]) -> bool:
    try:
        sizes = [_count(found[key]) for key in ("rows", "columns", "outputs", "classes")]
    except (KeyError, ValueError, IndexError):
        return False
    whole = type(found["rows"]) is int
    return whole and isinstance(found.get("sha256"), str) and min(sizes) >= 0 and sizes[0] >= 2


def _of_a_name(study: Study, entry: str) -> Iterator[str]:
    ending = suffix_of(entry)
    if entry in study.fingerprints:  # came from Python when the run began
        yield from _said(check_name, entry, "datasets", False)
    elif ending in _OTHERS and entry not in DATASETS:
        yield f"datasets: {shown(entry)} is {_OTHERS[ending]}; formats: {listed(SUFFIXES)}"
    elif entry not in DATASETS:
        yield (
            f"datasets: unknown {shown(entry)}{suggestion(entry, DATASETS)}; known: {listed(DATASETS)}, and files "
            f"({listed(SUFFIXES)}) and {OPENML}NAME"
        )


def _of_a_file(source: Source) -> Iterator[str]:
    assert source.keys is not None
    keys, where = source.keys, source.entry
    yield from _said(check_name, source.name, f"datasets: {where}", True)
    if source.format == "openml" and not re.fullmatch(r"[\w.()-]+(@\d{1,6})?", where.removeprefix(OPENML)):
        yield f"datasets: {shown(where)} is written {OPENML}NAME, {OPENML}NAME@VERSION or {OPENML}NUMBER"
    for key in ("sep", "thousands", "decimal"):
        if not getattr(keys, key).isascii():
            yield f"{where}: {key}={shown(getattr(keys, key))} must be an ASCII character; replace it in the file"
    if len(keys.sep) > 1 or keys.sep in ('"', "\n", "\r"):
        yield f"{where}: sep={shown(keys.sep)} must be one character, such as ';' or '\\t'"
    if len(keys.thousands) > 1 or len(keys.decimal) != 1 or keys.decimal in (keys.thousands, keys.sep):
        yield f"{where}: thousands={shown(keys.thousands)} and decimal={shown(keys.decimal)} must be one character each"


def _said(check: Any, *arguments: Any) -> Iterator[str]:
    try:
        check(*arguments)
    except StudyError as error:
        yield str(error)
