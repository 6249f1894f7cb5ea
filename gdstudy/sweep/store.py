"""The results of a run: results.sqlite, written batch by batch and safe to kill; results.csv; config.yaml."""

from __future__ import annotations

import csv
import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gdstudy.experiment.plan import UNABLATED, Batch, producible, producible_levels
from gdstudy.experiment.stack import Columns, Records
from gdstudy.experiment.tables import Table
from gdstudy.experiment.tables import Tables as Run  # SHIM
from gdstudy.study.config import Study
from gdstudy.study.console import one_line
from gdstudy.study.parser import MOST_BYTES, read_yaml, study_of
from gdstudy.study.schema import StudyError
from gdstudy.study.values import shown
from gdstudy.sweep.folder import STORE, check_store, whole_file

_KEYS = {
    "dataset": "TEXT NOT NULL",
    "model": "TEXT NOT NULL",
    "estimator": "TEXT NOT NULL",
    "ablation": "TEXT NOT NULL",
    "level": "REAL",
    "n_train": "INTEGER NOT NULL",
    "n_parameters": "INTEGER NOT NULL",
    "seed": "INTEGER",
}
_MEASURED = dict.fromkeys(("train_mse", "test_mse", "distance", "weight_norm", "row_space_leak"), "REAL")
RESULTS = {
    **_KEYS,
    "step": "INTEGER",
    **_MEASURED,
    "smallest_singular_value": "REAL",
    "condition_number": "REAL",
    "rank": "INTEGER",
    "status": "TEXT NOT NULL",
    "n_hidden": "INTEGER",
    "target_mean_square": "REAL",
    "step_size": "REAL",
    "step_size_limit": "REAL",
    "gradient_norm": "REAL",
    "slowest_singular_value": "REAL",
    "slowest_error_share": "REAL",
    "steps_to_tolerance": "REAL",
    "variance_mean_of_squares": "REAL",
    "bias_mean_of_squares": "REAL",
    "bias_square_of_mean": "REAL",
    "worst_mode_share": "REAL",
    "mode_sum_error": "REAL",
    "rounding": "REAL",
    "precision": "REAL",
    "data_point_dimension": "REAL",
    "feature_dimension": "REAL",
}
CURVES = {
    **_KEYS,
    "step": "INTEGER NOT NULL",
    **_MEASURED,
    "exact_train_mse": "REAL",
    "exact_test_mse": "REAL",
    "exact_distance": "REAL",
    "deviation": "REAL",
    "status": "TEXT NOT NULL",
    "n_hidden": "INTEGER",
}
# What pictures are drawn from: arrays of single precision, in C order.
ARRAYS = {
    **_KEYS,
    "step": "INTEGER",
    "n_hidden": "INTEGER",
    "name": "TEXT NOT NULL",
    "shape": "TEXT NOT NULL",
    "value": "BLOB NOT NULL",
}
_TABLES = {"results": RESULTS, "curves": CURVES, "arrays": ARRAYS}


# Texts in tables are names: no longer, and no more different ones, than these.
_LONGEST_WORD, _MOST_WORDS = 200, 10_000
# Rows of a batch have row numbers of their own: writing it again replaces them, and no index has to be kept.
_ROWS_PER_BATCH = 1 << 32


def _schema() -> Iterator[str]:
    for table, columns in _TABLES.items():
        yield f"CREATE TABLE {table} ({', '.join(f'{n} {kind}' for n, kind in columns.items())})"
    yield "CREATE TABLE batches (number INTEGER PRIMARY KEY)"
    yield "CREATE TABLE study (config TEXT NOT NULL)"


@cache
def _tables() -> frozenset[tuple[str, str, str]]:
    """(type, name, statement) of all that a store holds, as SQLite keeps it."""
    db = sqlite3.connect(":memory:")
    for statement in _schema():
        db.execute(statement)
    found = frozenset(db.execute("SELECT type, name, sql FROM sqlite_master"))
    db.close()
    return found


def _check_tables(db: sqlite3.Connection, path: Path) -> None:
    """StudyError unless a store holds the tables of a run and nothing else: a view or a trigger may never end."""
    rows = db.execute("SELECT type, name, substr(sql, 1, 10000) FROM sqlite_master").fetchmany(100)
    if frozenset(rows) != _tables():
        raise StudyError(
            f"{path}: its tables are not those of a run of this version of gdstudy; run the study anew, or read it "
            "with the version that made it"
        )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        full = "full" in str(error) or "disk I/O" in str(error)
        remedy = "free some space, then --resume" if full else "restore it from a copy, or run the study anew"
        raise StudyError(f"{path}: {error}; {remedy}") from None


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A store to read from, which is not changed. StudyError where it holds what no run writes."""
    with _explained(path):
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            db.execute("PRAGMA trusted_schema=OFF")
            _check_tables(db, path)
            yield db
        except (ValueError, TypeError, OverflowError) as error:  # texts for numbers, arrays of another shape
            why = one_line(error)
            raise StudyError(f"{path}: damaged ({why}); restore it from a copy, or run the study anew") from None
        finally:
            db.close()


class Store:
    """results.sqlite of one run, open for writing. A batch is one transaction: all of it is kept, or nothing."""

    def __init__(self, run_dir: Path, config: str | None = None) -> None:
        """Opens the store of a run; with `config`, creates it. StudyError for a damaged one."""
        self.path = run_dir / STORE if config is not None else check_store(run_dir)
        with _explained(self.path):
            self._db = sqlite3.connect(self.path, isolation_level=None)
            self._db.execute("PRAGMA trusted_schema=OFF")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            if config is not None:
                with self._transaction():
                    for statement in _schema():
                        self._db.execute(statement)
                    self._db.execute("INSERT INTO study VALUES (?)", (config,))
            else:
                _check_tables(self._db, self.path)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _explained(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def finished(self) -> set[int]:
        """Numbers of the batches that are stored."""
        with _explained(self.path):
            return {number for (number,) in self._db.execute("SELECT number FROM batches")}

    def write(self, batch: Batch, records: Records) -> None:
        """Store a batch, once or again, with the same effect."""
        first = batch.number * _ROWS_PER_BATCH
        with self._transaction():
            arrays = [_as_blob(group) for group in records.arrays]
            for table, groups in (("results", records.results), ("curves", records.curves), ("arrays", arrays)):
                number = itertools.count(first)
                for group in groups:
                    if unknown := group.keys() - _TABLES[table].keys():
                        raise KeyError(f"no column {sorted(unknown)} in the store")
                    # Columns that a group lacks are left out of the statement: they stay empty.
                    columns = f"rowid, {', '.join(group)}"
                    insert = f"INSERT OR REPLACE INTO {table} ({columns}) VALUES (?{', ?' * len(group)})"
                    self._db.executemany(insert, _rows(group, number))
            self._db.execute("INSERT OR REPLACE INTO batches VALUES (?)", (batch.number,))

    def close(self) -> None:
        # Leave one plain file: a later reader of a store in WAL mode would litter two more.
        # A reader at this moment may hold it: then the files stay, and nothing is lost.
        with suppress(sqlite3.OperationalError):
            self._db.execute("PRAGMA journal_mode=DELETE")
        self._db.close()


def _as_blob(group: Columns) -> Columns:
    """One row of the table `arrays`; its value becomes bytes and a shape."""
    value = np.ascontiguousarray(group["value"], dtype=np.float32)
    return {**group, "shape": ",".join(map(str, value.shape)), "value": value.tobytes()}


def _rows(columns: Columns, number: Iterator[int]) -> Iterator[tuple[object, ...]]:
    """A row number and the values of each row of a group of columns."""
    length = max(len(v) for v in columns.values() if isinstance(v, np.ndarray))
    lists = [v.tolist() if isinstance(v, np.ndarray) else itertools.repeat(v, length) for v in columns.values()]
    return zip(itertools.islice(number, length), *lists, strict=True)


def _bounded(name: str, kind: str) -> str:
    """A column as it is read: no text of a run is long."""
    return f"substr({name}, 1, {_LONGEST_WORD})" if kind.startswith("TEXT") else name


def _read(run_dir: str | Path, table: str) -> Table:
    path, columns = check_store(Path(run_dir)), _TABLES[table]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in columns}
    words: dict[str, int] = {}  # each text once, numbered: a million strings would be slow to sort and to hold
    with _opened(path) as db:
        cursor = db.execute(f"SELECT {', '.join(map(_bounded, columns, columns.values()))} FROM {table}")
        # Piece by piece: a million rows as Python objects would fill the memory.
        while rows := cursor.fetchmany(50_000):
            for (name, kind), values in zip(columns.items(), zip(*rows, strict=True), strict=True):
                texts = kind.startswith("TEXT")
                coded = [words.setdefault(v, len(words)) for v in values] if texts else values
                if len(words) > _MOST_WORDS:
                    raise ValueError(f"{name} holds more names than any study has")
                parts[name].append(np.array(coded, dtype=np.float64))
    numbers = {name: np.concatenate(part) if part else np.array([]) for name, part in parts.items()}
    spelled = np.array(list(words), dtype=str)
    place = np.argsort(np.argsort(spelled))  # of each text in alphabetical order
    text = {name for name, kind in columns.items() if kind.startswith("TEXT")}
    keys = ("step", "seed", "n_train", "n_hidden", "n_parameters", "level", "ablation", "estimator", "model", "dataset")
    sortable = [place[numbers[key].astype(np.int64)] if key in text else numbers[key] for key in keys]
    order = np.lexsort(sortable)
    result: Table = {}
    for name, kind in columns.items():
        column = numbers[name][order]
        whole = kind.startswith("INTEGER") and not np.isnan(column).any()
        result[name] = (
            spelled[column.astype(np.int64)] if name in text else column.astype(np.int64) if whole else column
        )
    return result


def load_results(run_dir: str | Path) -> Table:
    """Table `results` of a run: column name → array, one row per cell × estimator × ablation × level.

    Empty values are NaN (a column of whole numbers with one of them is float).
    `pandas.DataFrame(load_results(run_dir))` works. StudyError where there is no run.
    """
    return _read(run_dir, "results")


def load_curves(run_dir: str | Path) -> Table:
    """Table `curves` of a run: trained cells at their checkpoints beside the exact iterate, ordered by cell and t."""
    return _read(run_dir, "curves")


def load_arrays(run_dir: str | Path) -> Table:
    """What pictures are drawn from: column name → array, one row per array. `value`: float32 arrays (an object array).

    Autoencoders keep for seed 0 `inputs`, `targets` and `outputs` of the first test rows; a bottleneck `mode_strengths`
    at its checkpoints and, started aligned, `exact_strengths` and `flow_strengths`; superposition `weight`, `hidden`
    data points, `data_point_dimensions` and `feature_dimensions`. StudyError where there is no run.
    """
    path = check_store(Path(run_dir))
    columns = [name for name in ARRAYS if name != "shape"]
    table: Table = {}
    with _opened(path) as db:
        keys = "dataset, model, estimator, ablation, level, n_parameters, n_hidden, n_train, seed, step"
        wanted = ", ".join(map(_bounded, ARRAYS, ARRAYS.values()))
        rows = db.execute(f"SELECT {wanted} FROM arrays ORDER BY {keys}").fetchall()
        for place, (name, kind) in enumerate(ARRAYS.items()):
            dtype = str if kind.startswith("TEXT") else object if name == "value" else float
            table[name] = np.array([row[place] for row in rows], dtype=dtype)
        for k, (shape, value) in enumerate(zip(table["shape"], table["value"], strict=True)):
            table["value"][k] = np.frombuffer(value, np.float32).reshape([int(n) for n in shape.split(",")])
    return {name: table[name] for name in columns}


def load_study(run_dir: str | Path) -> Study:
    """The study as it was when the run began. StudyError where there is none."""
    path = check_store(Path(run_dir))
    with _opened(path) as db:
        found = db.execute("SELECT substr(config, 1, ?) FROM study", (MOST_BYTES + 1,)).fetchone()
    if found is None:
        raise StudyError(f"{path} holds no study; restore it from a copy, or run the study anew")
    return study_of(read_yaml(path, str(found[0]).encode()))


def load_run(run_dir: str | Path) -> Run:
    """All tables of a run. StudyError also where they name what its study cannot produce: names become paths."""
    run = Run(load_results(run_dir), load_curves(run_dir), load_arrays(run_dir))
    study, path = load_study(run_dir), Path(run_dir) / STORE
    columns, levels = producible(study), producible_levels(study)
    for table in run:
        for column, known in columns.items():
            _check_known(path, column, table.get(column, np.array([])), known)
        for ablation, known in levels.items() if len(table) else ():
            found = table["level"][table["ablation"] == ablation]
            _check_known(path, f"level of {ablation}", found, known)
            if None not in known and np.isnan(found).any():
                raise _strange(path, f"level of {ablation}", "NULL")
    ablations = run.results["ablation"]
    if len(ablations) and UNABLATED[0] not in ablations:
        raise StudyError(f"{path}: rows without ablation are missing; restore it from a copy, or run it anew")
    return run


def _check_known(path: Path, column: str, values: np.ndarray, known: set[Any]) -> None:
    """StudyError where a column holds what its study cannot produce. Empty values of numbers are no matter here."""
    if strange := set(values[values == values].tolist()) - known:
        raise _strange(path, column, str(min(strange)))


def _strange(path: Path, column: str, value: str) -> StudyError:
    return StudyError(
        f"{path}: {column} {shown(value)} is none of its study; it was damaged or made by hand: restore it from a "
        "copy, or run the study anew"
    )


def export_csv(run_dir: Path, results: Table) -> Path:
    """results.csv: table `results`, empty values left empty."""
    path = run_dir / "results.csv"
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(results)
        for first in range(0, len(results["dataset"]), 50_000):
            piece = [_as_text(name, column[first : first + 50_000]) for name, column in results.items()]
            writer.writerows(zip(*piece, strict=True))
    return path


def _as_text(name: str, column: np.ndarray) -> list[object]:
    values = column.tolist()
    if column.dtype.kind != "f":
        return values
    shown: type = int if RESULTS[name].startswith("INTEGER") else float
    return ["" if v != v else shown(v) for v in values]
