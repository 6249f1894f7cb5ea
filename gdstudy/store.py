"""The results of a run: results.sqlite, written batch by batch and safe to kill; results.csv; config.yaml."""

from __future__ import annotations

import csv
import io
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from gdstudy.config import StudyError
from gdstudy.experiment import Batch, Columns, Records

Table = dict[str, np.ndarray]

_KEYS = {
    "dataset": "TEXT NOT NULL",
    "model": "TEXT NOT NULL",
    "estimator": "TEXT NOT NULL",
    "ablation": "TEXT NOT NULL",
    "level": "REAL",
    "n_train": "INTEGER NOT NULL",
    "n_parameters": "INTEGER NOT NULL",
    "seed": "INTEGER NOT NULL",
}
_MEASURED = dict.fromkeys(("train_mse", "test_mse", "distance", "weight_norm", "row_space_leak"), "REAL")
RESULTS = {
    **_KEYS,
    "step": "INTEGER",
    **_MEASURED,
    "smallest_singular_value": "REAL",
    "condition_number": "REAL",
    "rank": "INTEGER NOT NULL",
    "status": "TEXT NOT NULL",
    "step_size": "REAL",
    "step_size_limit": "REAL",
    "gradient_norm": "REAL",
    "slowest_singular_value": "REAL",
    "slowest_error_share": "REAL",
    "steps_to_tolerance": "REAL",
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
}
_TABLES = {"results": RESULTS, "curves": CURVES}


def _schema() -> Iterator[str]:
    keys = ", ".join("ifnull(level, '')" if key == "level" else key for key in _KEYS)
    for table, columns in _TABLES.items():
        yield f"CREATE TABLE {table} ({', '.join(f'{n} {kind}' for n, kind in columns.items())})"
        # An index on an expression, because SQL holds two empty levels for different.
        yield f"CREATE UNIQUE INDEX {table}_cell ON {table} ({keys}{', step' if table == 'curves' else ''})"
    yield "CREATE TABLE batches (number INTEGER PRIMARY KEY)"
    yield "CREATE TABLE study (config TEXT NOT NULL)"


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        full = "full" in str(error) or "disk I/O" in str(error)
        remedy = "free some space, then --resume" if full else "restore it from a copy, or run the study anew"
        raise StudyError(f"{path}: {error}; {remedy}") from None


class Store:
    """results.sqlite of one run, open for writing. A batch is one transaction: all of it is kept, or nothing."""

    def __init__(self, run_dir: Path, config: str | None = None) -> None:
        """Opens the store of a run; with `config`, creates it. StudyError for a damaged one."""
        self.path = run_dir / "results.sqlite"
        with _explained(self.path):
            self._db = sqlite3.connect(self.path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            if config is not None:
                with self._transaction():
                    for statement in _schema():
                        self._db.execute(statement)
                    self._db.execute("INSERT INTO study VALUES (?)", (config,))

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

    def config(self) -> str:
        """The study as it was when the run began."""
        with _explained(self.path):
            return str(self._db.execute("SELECT config FROM study").fetchone()[0])

    def finished(self) -> set[int]:
        """Numbers of the batches that are stored."""
        with _explained(self.path):
            return {number for (number,) in self._db.execute("SELECT number FROM batches")}

    def write(self, batch: Batch, records: Records) -> None:
        """Store a batch, once or again, with the same effect."""
        with self._transaction():
            for table, groups in (("results", records.results), ("curves", records.curves)):
                names = _TABLES[table]
                marks = ", ".join("?" * len(names))
                for group in groups:
                    self._db.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", _rows(group, names))
            self._db.execute("INSERT OR REPLACE INTO batches VALUES (?)", (batch.number,))

    def close(self) -> None:
        # Leave one plain file: a later reader of a store in WAL mode would litter two more.
        # A reader at this moment may hold it: then the files stay, and nothing is lost.
        with suppress(sqlite3.OperationalError):
            self._db.execute("PRAGMA journal_mode=DELETE")
        self._db.close()


def _rows(columns: Columns, names: dict[str, str]) -> Iterator[tuple[object, ...]]:
    if unknown := columns.keys() - names.keys():
        raise KeyError(f"no column {sorted(unknown)} in the store")
    length = max(len(v) for v in columns.values() if isinstance(v, np.ndarray))
    lists = []
    for name in names:
        value = columns.get(name)
        lists.append(value.tolist() if isinstance(value, np.ndarray) else [value] * length)
    return zip(*lists, strict=True)


def _read(run_dir: str | Path, table: str) -> Table:
    path = Path(run_dir) / "results.sqlite"
    if not path.is_file():
        raise StudyError(f"{run_dir} is no run: it has no results.sqlite")
    columns = _TABLES[table]
    order = "dataset, model, estimator, ablation, level, n_parameters, n_train, seed, step"
    with _explained(path):
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            rows = db.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}").fetchall()
        finally:
            db.close()
    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    result: Table = {}
    for (name, kind), column in zip(columns.items(), values, strict=True):
        if kind.startswith("TEXT"):
            result[name] = np.array(column, dtype=str)
        elif kind == "INTEGER NOT NULL":
            result[name] = np.array(column, dtype=np.int64)
        else:
            result[name] = np.array(column, dtype=np.float64)  # empty becomes NaN
    return result


def load_results(run_dir: str | Path) -> Table:
    """Table `results` of a run: column name → array, one row per cell × estimator × ablation × level.

    Empty values are NaN. `pandas.DataFrame(load_results(run_dir))` works. StudyError where there is no run.
    """
    return _read(run_dir, "results")


def load_curves(run_dir: str | Path) -> Table:
    """Table `curves` of a run: trained cells at their checkpoints beside the exact iterate, ordered by cell and t."""
    return _read(run_dir, "curves")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def export_csv(run_dir: Path) -> Path:
    """results.csv: table `results`, empty values left empty."""
    table = load_results(run_dir)
    lists = []
    for name, column in table.items():
        values = column.tolist()
        if column.dtype.kind == "f":
            whole = name == "step"
            values = ["" if v != v else (int(v) if whole else repr(v)) for v in values]
        lists.append(values)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*lists, strict=True))
    path = run_dir / "results.csv"
    write_whole(path, text.getvalue().encode())
    return path
