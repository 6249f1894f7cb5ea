"""The results of a run: a folder of immutable parts, written batch by batch and safe to kill; and results.csv.

A batch is there when its part of `results` is, which is written last and names the other parts of the batch.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from gdstudy.experiment.plan import Batch, producible, producible_levels
from gdstudy.experiment.rows import Records
from gdstudy.experiment.tables import Run, frame
from gdstudy.study.ablations import UNABLATED
from gdstudy.study.columns import ORDER, TABLES
from gdstudy.study.config import Study
from gdstudy.study.errors import StudyError, shown
from gdstudy.study.parser import as_dict, as_yaml, read_study
from gdstudy.sweep.folder import (
    BATCHES,
    CONFIG,
    STUDY,
    abandon,
    check_run,
    clear_remains,
    hold,
    whole_file,
    write_whole,
)
from gdstudy.sweep.parts import (
    Damaged,
    Part,
    as_arrow,
    as_frame,
    check_size,
    open_part,
    part_numbers,
    part_path,
    write_part,
)


class Store:
    """The store of one run, open for writing and locked for other processes until it is closed."""

    def __init__(self, run_dir: Path, study: Study, made_by: Mapping[str, str] | None = None) -> None:
        """Begins the run of a study in a folder, or goes on with it.

        made_by: versions and machine that compute from now on, kept with every batch. StudyError where another process
        writes the run, where its study is another now, and for a run of another version of the store.
        """
        self.run_dir, self._batches, self._made_by = run_dir, run_dir / BATCHES, dict(made_by or {})
        self._batches.mkdir(exist_ok=True)
        self._lock = hold(run_dir)
        try:
            clear_remains(run_dir)
            if (self._batches / STUDY).exists():
                self._check_unchanged(study)
            else:
                self._begin(study)
            self._study = _identity(run_dir)
        except BaseException:
            self.close()
            raise

    def _begin(self, study: Study) -> None:
        """config.yaml first: wherever this is cut off, the folder is unused or config.yaml says what to resume."""
        if part_numbers(self._batches):
            raise StudyError(f"{self._batches / STUDY} is missing; restore it from a copy, or run the study anew")
        said = {**self._made_by, "started": time.strftime("%Y-%m-%d %H:%M:%S %z")}
        comments = "".join(f"# {name}: {value}\n" for name, value in said.items())
        try:
            if not (self.run_dir / CONFIG).exists():
                write_whole(self.run_dir / CONFIG, (comments + as_yaml(study)).encode(), flush=True)
            write_whole(self._batches / STUDY, as_yaml(study).encode(), flush=True)
        except OSError:
            abandon(self.run_dir)
            raise

    def _check_unchanged(self, study: Study) -> None:
        began_with, now = as_dict(load_study(self.run_dir)), as_dict(study)
        if changed := [key for key in now if began_with.get(key) != now[key]]:
            raise StudyError(
                f"--resume {self.run_dir}: {CONFIG} changed since the run began ({', '.join(changed)}); "
                "put it back, or start a new run with --config"
            )

    def finished(self, batches: Sequence[Batch], note: Callable[[str], None] = lambda line: None) -> set[int]:
        """Numbers of those batches that are stored whole and undamaged.

        Every other part is removed after a line to `note` says which and why; so is said where those that stay were
        made by another version of gdstudy or torch. StudyError for parts of another schema, before anything is removed.
        """
        cells = {batch.number: _cells(batch) for batch in batches}
        useless: dict[int, str] = {}
        versions: dict[str, set[str]] = {"gdstudy": set(), "torch": set()}
        numbers = part_numbers(self._batches)
        for number in numbers:
            try:
                for part in _parts(self._batches, number, study=self._study, cells=cells.get(number, "none")):
                    part.read()
                    for name, found in versions.items():
                        found.add(part.facts.get(name, ""))
            except Damaged as error:
                useless[number] = str(error)
        for number, why in useless.items():
            note(f"{why}; " + ("this batch is computed again" if number in cells else "removed, the study has no such"))
            part_path(self._batches, number, "results").unlink(missing_ok=True)
        others = [f"{name} {shown(v)}" for name in versions for v in versions[name] - {self._made_by.get(name, "")}]
        if others:
            now = ", ".join(f"{name} {self._made_by.get(name, 'unknown')}" for name in versions)
            note(f"some batches were computed with {', '.join(sorted(others))}; the others are with {now}")
        return set(numbers) - useless.keys()

    def write(self, batch: Batch, records: Records, seconds: float = 0.0) -> None:
        """Store a batch, once or again, with the same effect. seconds: what it took to compute."""
        groups = {"curves": records.curves, "arrays": records.arrays, "results": records.results}
        frames = {table: frame(table, rows) for table, rows in groups.items() if rows or table == "results"}
        facts = {**self._made_by, "seconds": f"{seconds:.3f}", "batch": str(batch.number)}
        facts |= {"study": self._study, "cells": _cells(batch), "tables": " ".join(frames)}
        try:
            for table, rows in frames.items():
                write_part(part_path(self._batches, batch.number, table), table, rows, facts)
        except OSError as error:
            raise StudyError(f"{self._batches}: {error}; free some space, then --resume {self.run_dir}") from None

    def close(self) -> None:
        self._lock.release()


def _cells(batch: Batch) -> str:
    """What tells the cells of a batch from those of any other."""
    return hashlib.sha256(repr(batch).encode()).hexdigest()


def _identity(run_dir: Path) -> str:
    """What tells the study of a run from any other. StudyError where there is none."""
    load_study(run_dir)  # no larger than a study is
    return hashlib.sha256((run_dir / BATCHES / STUDY).read_bytes()).hexdigest()


def _parts(batches: Path, number: int, tables: Iterable[str] = TABLES, **expected: str) -> list[Part]:
    """The parts of a batch of these tables, `results` first and always, opened.

    Damaged where one is missing, or another than expected.
    """
    results = open_part(part_path(batches, number, "results"), "results", batch=str(number), **expected)
    others = set(results.facts.get("tables", "").split()) & set(tables) - {"results"}
    facts = {"batch": str(number), **expected}
    return [results, *(open_part(part_path(batches, number, table), table, **facts) for table in sorted(others))]


def _read(run_dir: str | Path, *tables: str) -> list[pd.DataFrame]:
    """Tables of a run, each in the order of its keys, in one pass over its parts. StudyError for a damaged part."""
    run_dir = Path(run_dir)
    batches, study = check_run(run_dir), _identity(run_dir)
    found: dict[str, list[pa.Table]] = {table: [] for table in tables}
    size = decoded = 0
    try:
        for number in part_numbers(batches):
            for part in _parts(batches, number, tables, study=study):
                if part.table in found:
                    size, decoded = size + part.size, decoded + part.decoded
                    check_size(part.path, decoded, size)
                    found[part.table].append(part.read())
        return [_in_order(as_frame(table, read)) for table, read in found.items()]
    except Damaged as error:
        raise StudyError(f"{error}; --resume {run_dir} computes it again") from None
    except ValueError as error:
        raise StudyError(f"{batches}: damaged ({error}); restore it from a copy, or run the study anew") from None


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    keys = [table[name].cat.codes if table[name].dtype == "category" else table[name] for name in reversed(ORDER)]
    order = np.lexsort([key.to_numpy() for key in keys])
    return table.take(order).reset_index(drop=True)


def load_results(run_dir: str | Path) -> pd.DataFrame:
    """Table `results` of a run: one row per cell × estimator × ablation × level.

    Texts are categories; empty values are NaN (a column of whole numbers with one of them is float). What the columns
    mean, `gdstudy.study.columns` says. StudyError where there is no run, or a part of it is damaged.
    """
    return _read(run_dir, "results")[0]


def load_curves(run_dir: str | Path) -> pd.DataFrame:
    """Table `curves` of a run: trained cells at their checkpoints beside the exact iterate, ordered by cell and t."""
    return _read(run_dir, "curves")[0]


def load_arrays(run_dir: str | Path) -> pd.DataFrame:
    """What pictures are drawn from, one row per array. `value`: float32 NumPy arrays.

    Autoencoders keep for seed 0 `inputs`, `targets` and `outputs` of the first test rows; a bottleneck `mode_strengths`
    at its checkpoints and, started aligned, `exact_strengths` and `flow_strengths`; superposition `weight`, `hidden`
    data points, `data_point_dimensions` and `feature_dimensions`. StudyError where there is no run.
    """
    return _read(run_dir, "arrays")[0]


def load_study(run_dir: str | Path) -> Study:
    """The study as it was when the run began. StudyError where there is none."""
    return read_study(check_run(Path(run_dir)) / STUDY)


def load_run(run_dir: str | Path) -> Run:
    """All tables of a run. StudyError also where they name what its study cannot produce: names become paths."""
    study = load_study(run_dir)
    run = Run(study, *_read(run_dir, "results", "curves", "arrays"))
    columns, levels, path = producible(study), producible_levels(study), Path(run_dir) / BATCHES
    for table in (run.results, run.curves, run.arrays):
        for column, known in columns.items():
            if column in table:
                _check_known(path, column, table[column], known)
        for ablation, known in levels.items():
            found = table["level"][table["ablation"] == ablation]
            _check_known(path, f"level of {ablation}", found, known)
            if None not in known and found.isna().any():
                raise _strange(path, f"level of {ablation}", "NULL")
    if len(run.results) and not (run.results["ablation"] == UNABLATED[0]).any():
        raise StudyError(f"{path}: rows without ablation are missing; restore it from a copy, or run it anew")
    return run


def _check_known(path: Path, column: str, values: pd.Series, known: set[Any]) -> None:
    """StudyError where a column holds what its study cannot produce. Empty values of numbers are no matter here."""
    if strange := set(values.dropna().unique()) - known:
        raise _strange(path, column, str(min(strange)))


def _strange(path: Path, column: str, value: str) -> StudyError:
    return StudyError(
        f"{path}: {column} {shown(value)} is none of its study; it was damaged or made by hand: restore it from a "
        "copy, or run the study anew"
    )


def export_csv(run_dir: Path, results: pd.DataFrame) -> Path:
    """results.csv: table `results`, empty values left empty."""
    path, stored = run_dir / "results.csv", as_arrow("results", results)
    with whole_file(path) as part, part.open("wb") as file:
        file.write((",".join(stored.column_names) + "\n").encode())
        options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
        pyarrow.csv.write_csv(stored, file, options)
    return path
