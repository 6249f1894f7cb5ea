"""What a run stored, as tables: DataFrames of all its batches, the study they belong to, and results.csv."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from gdstudy.experiment.plan import producible, producible_levels
from gdstudy.experiment.tables import Run
from gdstudy.study.ablations import UNABLATED
from gdstudy.study.columns import ORDER, TABLES
from gdstudy.study.config import Study
from gdstudy.study.console import one_line
from gdstudy.study.errors import StudyError, shown
from gdstudy.sweep.folder import BATCHES, check_run, whole_file
from gdstudy.sweep.generations import cells_of, generations, planned
from gdstudy.sweep.identity import identity
from gdstudy.sweep.parts import Damaged, Part, as_arrow, as_frame, check_size, open_part, part_numbers, part_path

_NEVER_EMPTY = ("n_train", "n_parameters", "seed", "input_noise")


def parts_of(batches: Path, number: int, tables: Iterable[str] = TABLES, **expected: str) -> list[Part]:
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
    batches, study = check_run(run_dir), identity(run_dir)
    cells = {batch.number: cells_of(batch) for batch in planned(generations(run_dir))}
    found: dict[str, list[pa.Table]] = {table: [] for table in tables}
    size = decoded = 0
    try:
        for number in part_numbers(batches):
            for part in parts_of(batches, number, tables, study=study, cells=cells.get(number, "none")):
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

    All of the study's first seed. Autoencoders keep `inputs`, `targets` and `outputs` of the first test rows; a
    bottleneck `mode_strengths` at its checkpoints and, started aligned, `exact_strengths` and `flow_strengths`;
    superposition `weight`, `hidden` data points, `data_point_dimensions` and `feature_dimensions`. StudyError where
    there is no run.
    """
    return _read(run_dir, "arrays")[0]


def load_study(run_dir: str | Path) -> Study:
    """The study of a run, as it began or has grown since. StudyError where there is none."""
    return generations(Path(run_dir))[-1]


def load_run(run_dir: str | Path) -> Run:
    """All tables of a run. StudyError also where they name what its study cannot produce: names become paths."""
    study = load_study(run_dir)
    run = Run(study, *_read(run_dir, "results", "curves", "arrays"))
    columns, levels, path = producible(study), producible_levels(study), Path(run_dir) / BATCHES
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
    path, stored = run_dir / "results.csv", as_arrow("results", results)
    with whole_file(path) as part, part.open("wb") as file:
        file.write((",".join(stored.column_names) + "\n").encode())
        options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
        pyarrow.csv.write_csv(stored, file, options)
    return path
