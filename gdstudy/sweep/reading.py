"""What a run stored, as tables: DataFrames of all its batches, the study they belong to, and results.csv."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from tqdm import tqdm

from gdstudy.experiment.plan import producible, producible_levels
from gdstudy.experiment.tables import Run, in_order
from gdstudy.study.ablations import UNABLATED
from gdstudy.study.columns import ORDER, TABLES
from gdstudy.study.config import Study
from gdstudy.study.console import one_line, typed
from gdstudy.study.errors import StudyError, shown, suggestion
from gdstudy.sweep.folder import BATCHES, check_run, whole_file
from gdstudy.sweep.generations import cells_of, generations, planned
from gdstudy.sweep.identity import identity
from gdstudy.sweep.mapped import mapped_frame
from gdstudy.sweep.parts import (
    Damaged,
    Part,
    Unreadable,
    Whole,
    as_arrow,
    as_frame,
    check_size,
    open_part,
    part_numbers,
    part_path,
)

_OF_THE_STORE = {"schema", "table", "tables", "batch", "cells", "study", "seconds"}  # facts of a part
_NEVER_EMPTY = ("n_train", "n_parameters", "input_noise")  # others have no seed, as theory
# Rows of a table that is held in memory (results: some 300 bytes each), and that are written to results.csv at once.
MOST_ROWS, _CSV_ROWS = 10**6, 1 << 17


def parts_of(
    batches: Path, number: int, tables: Iterable[str] = TABLES, whole: Whole | None = None, **expected: str
) -> list[Part]:
    """The parts of a batch of these tables, `results` first and always, opened.

    whole: files whose checksums are known to be right. Damaged where one is missing, or another than expected.
    """
    results = open_part(part_path(batches, number, "results"), "results", whole, batch=str(number), **expected)
    others = set(results.facts.get("tables", "").split()) & set(tables) - {"results"}
    facts = {"batch": str(number), **expected}
    return [results, *(open_part(part_path(batches, number, table), table, whole, **facts) for table in sorted(others))]


class _Stored:
    """The parts that a run has now, as often as they are read: it is planned, and each is looked through for damage,
    once. What others store meanwhile is not seen."""

    def __init__(self, run_dir: str | Path) -> None:
        self.run_dir = Path(run_dir)
        self.batches, self._study = check_run(self.run_dir), identity(self.run_dir)
        # Before the generations: of a run that grows meanwhile, all of these are planned.
        self._numbers = part_numbers(self.batches)
        self.stages = generations(self.run_dir)
        self._cells = {batch.number: cells_of(batch) for batch in planned(self.stages)}
        self._whole: Whole = {}

    def opened(self, tables: Iterable[str]) -> Iterator[Part]:
        """The parts of these tables. Damaged where one, or `results` beside it, is not what its run plans."""
        for number in self._numbers:
            cells = self._cells.get(number, "none")
            for part in parts_of(self.batches, number, tables, self._whole, study=self._study, cells=cells):
                if part.table in tables:
                    yield part

    def read(self, *tables: str, columns: Iterable[str] | None = None, **only: str) -> list[pd.DataFrame]:
        """Tables, each in the order of its keys, in one pass. StudyError for a damaged part.

        columns: those that are read, default all. only: the text that a column is to hold.
        """
        found: dict[str, list[pa.Table]] = {table: [] for table in tables}
        size = decoded = 0
        with _explained(self.run_dir, self.batches):
            for part in self.opened(tables):
                size, decoded = size + part.size, decoded + part.decoded
                check_size(part.path, decoded, size)
                read = part.read(columns)
                for name, value in only.items():
                    read = read.filter(pc.field(name) == value)
                found[part.table].append(read)
            return [in_order(as_frame(table, read)) for table, read in found.items()]

    def mapped(self, table: str) -> tuple[pd.DataFrame, Callable[[], None]]:
        """The same of a table that is too large for memory (`gdstudy.sweep.mapped`)."""

        def read(columns: Iterable[str]) -> Iterator[pa.Table]:
            parts = self.opened([table])
            for part in tqdm(parts, desc=f"reading {table}", unit="batch", disable=None, leave=False, delay=2):
                yield part.read(columns)

        with _explained(self.run_dir, self.batches):
            return mapped_frame(table, read, self.run_dir)

    def rows(self, *tables: str) -> dict[str, int]:
        """How many of each table, as the parts say."""
        rows = dict.fromkeys(tables, 0)
        with _explained(self.run_dir, self.batches):
            for part in self.opened(tables):
                rows[part.table] += part.file.metadata.num_rows
        return rows

    def made_by(self) -> tuple[dict[str, list[str]], tuple[int, int]]:
        """What computed the run, as its batches say: package, machine or setting → its values, each once; then how many
        batches are there, and the seconds that they took. Beside it how many are there and planned."""
        found, seconds = dict[str, dict[str, None]](), list[float]()
        with _explained(self.run_dir, self.batches):
            for part in self.opened(["results"]):
                seconds.append(_seconds(part.facts.get("seconds", "")))
                for name in sorted(part.facts.keys() - _OF_THE_STORE, key=str.casefold):
                    found.setdefault(name, {})[part.facts[name]] = None
        stored = {"batches": [f"{len(seconds)} of {len(self._cells)}"], "seconds": [f"{sum(seconds):.0f}"]}
        return {name: list(values) for name, values in found.items()} | stored, (len(seconds), len(self._cells))


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


@contextmanager
def _explained(run_dir: Path, batches: Path) -> Iterator[None]:
    """What is wrong with parts as StudyError."""
    try:
        yield
    except Damaged as error:
        raise StudyError(f"{error}; --resume {typed(run_dir)} computes it again") from None
    except ValueError as error:
        raise StudyError(f"{batches}: damaged ({error}); restore it from a copy, or run the study anew") from None


def read_batch(batches: Path, number: int, tables: Sequence[str]) -> dict[str, pd.DataFrame] | None:
    """These tables of one batch, of those that it has; None where it is not there whole, as seen from this machine."""
    try:
        parts = [part for part in parts_of(batches, number, tables) if part.table in tables]
        return {part.table: as_frame(part.table, [part.read()]) for part in parts}
    except (Damaged, Unreadable):
        return None


def load_results(
    run_dir: str | Path, columns: Sequence[str] | None = None, estimator: str | None = None
) -> pd.DataFrame:
    """Table `results` of a run: one row per cell × estimator × ablation × level.

    columns: those that are wanted, default all; estimator: whose rows, default of all. A row takes about 300 bytes, and
    8 for each of these columns. Texts are categories; empty values are NaN (a column of whole numbers with one of them
    is float). What the columns mean, `gdstudy.study.columns` says. StudyError where there is no run, where a part of it
    is damaged, and for a column that the table has not.
    """
    only = {} if estimator is None else {"estimator": estimator}
    if columns is None:
        return _Stored(run_dir).read("results", **only)[0]
    known = [column.name for column in TABLES["results"]]
    for name in columns:
        if name not in known:
            raise StudyError(f"load_results: no column {shown(name)} in table results{suggestion(name, known)}")
    return _Stored(run_dir).read("results", columns=dict.fromkeys([*ORDER, *columns]), **only)[0][list(columns)]


def load_curves(run_dir: str | Path) -> pd.DataFrame:
    """Table `curves` of a run: trained cells at their checkpoints beside the exact iterate, ordered by cell and t."""
    return _Stored(run_dir).read("curves")[0]


def load_arrays(run_dir: str | Path) -> pd.DataFrame:
    """What pictures are drawn from, one row per array. `value`: float32 NumPy arrays.

    All of the study's first seed. Autoencoders keep `inputs`, `targets` and `outputs` of the first test rows; a
    bottleneck `mode_strengths` at its checkpoints and, started aligned, `exact_strengths` and `flow_strengths`;
    superposition `weight`, `hidden` data points, `data_point_dimensions` and `feature_dimensions`. StudyError where
    there is no run.
    """
    return _Stored(run_dir).read("arrays")[0]


def load_study(run_dir: str | Path) -> Study:
    """The study of a run, as it began or has grown since. StudyError where there is none."""
    return generations(Path(run_dir))[-1]


def load_run(run_dir: str | Path) -> Run:
    """All tables of a run; those of more than MOST_ROWS are mapped from a scratch file in its folder.

    StudyError also where they name what its study cannot produce: names become paths.
    """
    run = _tables(Path(run_dir))
    columns, levels, path = producible(run.study), producible_levels(run.study), Path(run_dir) / BATCHES
    for table in (run.results, run.curves, run.arrays):
        for column, known in columns.items():
            if column in table:
                _check_known(path, column, table[column], known)
                if column in _NEVER_EMPTY and table[column].isna().any():
                    raise _strange(path, column, "NULL")
        for ablation, known in levels.items():
            found = table["level"][table["ablation"] == ablation]
            _check_known(path, f"level of {ablation}", found, known)
            if None not in known and found.isna().any():
                raise _strange(path, f"level of {ablation}", "NULL")
    if len(run.results) and not (run.results["ablation"] == UNABLATED[0]).any():
        raise StudyError(f"{path}: rows without ablation are missing; restore it from a copy, or run it anew")
    run.release()
    return run


def _tables(run_dir: Path) -> Run:
    stored = _Stored(run_dir)
    rows = stored.rows("results", "curves")
    held = [*(table for table in rows if rows[table] <= MOST_ROWS), "arrays"]
    tables = dict(zip(held, stored.read(*held), strict=True))
    mapped = {table: stored.mapped(table) for table in rows if table not in held}
    tables |= {table: found for table, (found, _) in mapped.items()}

    def release() -> None:
        for _, give_back in mapped.values():
            give_back()

    made_by, batches = stored.made_by()
    return Run(stored.stages[-1], **tables, release=release, made_by=made_by, batches=batches)


def _check_known(path: Path, column: str, values: pd.Series, known: set[Any]) -> None:
    """StudyError where a column holds what its study cannot produce. Empty values of numbers are no matter here."""
    if strange := set(values.dropna().unique()) - known:
        raise _strange(path, column, str(min(strange)))


def _strange(path: Path, column: str, value: str) -> StudyError:
    return StudyError(
        f"{path}: {column} {shown(value)} is none of its study; it was damaged or made by hand: restore it from a "
        "copy, or run the study anew"
    )


@contextmanager
def shown_whole(run_dir: Path) -> Iterator[None]:
    """What views stumble over in tables that no study gives, such as pictures of another shape, as StudyError."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise StudyError(
            f"{run_dir}: its tables cannot be shown ({type(error).__name__}: {one_line(error)[:200]}); where nobody "
            "has changed them, please report this"
        ) from error


def export_csv(run_dir: Path, results: pd.DataFrame) -> Path:
    """results.csv: table `results`, empty values left empty."""
    path = run_dir / "results.csv"
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    with whole_file(path) as part, part.open("wb") as file:
        file.write((",".join(results.columns) + "\n").encode())
        for start in range(0, len(results), _CSV_ROWS):
            pyarrow.csv.write_csv(as_arrow("results", results.iloc[start : start + _CSV_ROWS]), file, options)
    return path
