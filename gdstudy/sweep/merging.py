"""One run of several: shards of a study, and runs of it with other seeds or sizes."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from gdstudy.experiment.plan import Batch
from gdstudy.study.config import GROWS, HOW, Study
from gdstudy.study.errors import StudyError
from gdstudy.study.parser import as_yaml
from gdstudy.sweep.folder import BATCHES, CONFIG, PART, STUDY, check_folder, flush_to_disk, rename, write_whole
from gdstudy.sweep.generations import cells_of, differing, generations, planned, record, sizes_of, together
from gdstudy.sweep.identity import identity
from gdstudy.sweep.lock import hold
from gdstudy.sweep.parts import SCHEMA, Damaged, Part, encoded_table, part_numbers, part_path
from gdstudy.sweep.reading import parts_of


@dataclass(frozen=True)
class _Run:
    """One of the runs that are merged. study: what its parts say that they are of; batches: by what they hold; stored:
    numbers of those that are there."""

    folder: Path
    generations: list[Study]
    study: str
    batches: Mapping[str, Batch]
    stored: frozenset[int]

    @classmethod
    def of(cls, folder: Path) -> _Run:
        check_folder(folder)
        stages = generations(folder)
        batches = {_content(batch): batch for batch in planned(stages)}
        return cls(folder, stages, identity(folder), batches, frozenset(part_numbers(folder / BATCHES)))

    @property
    def first_seed(self) -> int:
        return self.generations[0].seeds[0]

    def parts(self, batch: Batch) -> list[tuple[Part, pa.Table]]:
        """The parts of one of its batches, `results` last. Damaged where one is not as it was written."""
        batches, cells = self.folder / BATCHES, cells_of(batch)
        results, *others = parts_of(batches, batch.number, study=self.study, cells=cells)
        return [(part, part.read()) for part in (*others, results)]


def _content(batch: Batch) -> str:
    """What tells its cells from those of another, whatever its number."""
    return cells_of(replace(batch, number=0))


def merge(new_dir: Path, run_dirs: Sequence[Path], note: Callable[[str], None]) -> tuple[int, int]:
    """Make one run of several. Returns how many batches it has, and how many it lacks.

    They are of one study, but for seeds and sizes; each adds some of one kind to those before it. Parts are verified,
    and their values stay untouched; what is damaged is left out after a line to `note`. Of a batch that several have,
    the first undamaged is taken. The new folder appears whole. StudyError where they do not fit.
    """
    if new_dir.exists() and (not new_dir.is_dir() or any(new_dir.iterdir())):
        raise StudyError(f"{new_dir} is not empty; name a new folder for the merged run")
    place = Path(os.path.realpath(new_dir))  # of a link, where it leads
    if place.is_mount():  # nothing can be renamed to it
        raise StudyError(f"{new_dir} is where a file system is mounted; name a new folder in it for the merged run")
    runs = [_Run.of(folder) for folder in run_dirs]
    stages = _joined(runs)
    batches = planned(stages)
    _check_fits(runs, batches)
    with _aside(place) as folder:
        write_whole(folder / BATCHES / STUDY, (runs[0].folder / BATCHES / STUDY).read_bytes(), flush=True)
        if len(stages) > 1:
            record(folder, stages)
        merged = "".join(f"# merged: {run.folder}\n" for run in runs)
        write_whole(folder / CONFIG, (merged + as_yaml(stages[-1])).encode(), flush=True)
        study = identity(folder)
        stored = sum(_take(batch, runs, folder, study, note) for batch in batches)
    return stored, len(batches) - stored


def _joined(runs: Sequence[_Run]) -> list[Study]:
    """The generations of the merged run: those of the first, and then what each of the others adds."""
    stages = list(runs[0].generations)
    for run in runs[1:]:
        if others := differing(stages[-1], run.generations[-1], (*HOW, *GROWS)):
            raise StudyError(
                f"{run.folder} is of another study than {runs[0].folder} ({', '.join(others)}); only "
                f"{', '.join(GROWS)} may differ"
            )
        for study in run.generations:
            now = stages[-1]
            sizes = {key: type(getattr(now, key))(sorted({*getattr(now, key), *getattr(study, key)})) for key in GROWS}
            more = replace(now, **{**sizes, "seeds": together(now.seeds, study.seeds)})
            if sizes_of(more) != sizes_of(now):
                stages.append(more)
    return stages


def _check_fits(runs: Sequence[_Run], batches: Sequence[Batch]) -> None:
    """StudyError where a run has batches that the merged one would not have."""
    known = {_content(batch) for batch in batches}
    for run in runs:
        if run.batches.keys() - known:
            raise StudyError(
                f"{run.folder} does not fit the others: seeds and sizes must be the same, or differ in one of "
                f"{', '.join(GROWS)} and have none of that in common; one that was extended is divided otherwise "
                "than one that had it all at once"
            )


def _take(batch: Batch, runs: Sequence[_Run], folder: Path, study: str, note: Callable[[str], None]) -> bool:
    """Store a batch of the merged run as the first run has it that has it undamaged; whether one has."""
    for run in runs:
        found = run.batches.get(_content(batch))
        if found is None or found.number not in run.stored:
            continue
        try:
            parts = run.parts(found)
        except Damaged as error:
            note(f"{error}; left out")
            continue
        for part, content in _as_of(batch, run, parts, study, runs[0].first_seed):
            write_whole(part_path(folder / BATCHES, batch.number, part), content, flush=True)
        return True
    return False


def _as_of(
    batch: Batch, run: _Run, parts: Sequence[tuple[Part, pa.Table]], study: str, first_seed: int
) -> Iterator[tuple[str, bytes]]:
    """The tables of a batch as parts of the merged run: the very files where they say the same."""
    facts = {"batch": str(batch.number), "study": study, "cells": cells_of(batch)}
    if run.first_seed != first_seed:
        parts = [(part, found) for part, table in parts if (found := _without_first(part.table, table)) is not None]
        facts["tables"] = " ".join(part.table for part, _ in parts)
    for part, table in parts:
        if part.facts == {**part.facts, **facts}:
            yield part.table, part.path.read_bytes()
        else:  # with all columns of today, be they empty
            yield part.table, encoded_table(part.table, table, {**part.facts, **facts, "schema": SCHEMA})


def _without_first(name: str, table: pa.Table) -> pa.Table | None:
    """A table without what is kept for the first seed of a study alone: pictures, and rows that have no seed."""
    if name == "arrays":
        return None
    return table.filter(pc.is_valid(table["seed"]))


@contextmanager
def _aside(run_dir: Path) -> Iterator[Path]:
    """A run's folder that is made beside its place, held, and has its name at the end; of a killed one nothing counts,
    and the next removes it."""
    prefix, home = f".{run_dir.name[:60]}.", run_dir.parent
    home.mkdir(parents=True, exist_ok=True)
    name = re.compile(re.escape(prefix) + "[0-9a-f]{16}" + re.escape(PART))
    for left in [path for path in home.iterdir() if name.fullmatch(path.name) and (path / BATCHES).is_dir()]:
        with suppress(StudyError, OSError):
            hold(left).release()
            shutil.rmtree(left)
    part = home / f"{prefix}{secrets.token_hex(8)}{PART}"
    (part / BATCHES).mkdir(parents=True)
    held = hold(part)
    try:
        yield part
        for folder in (part / BATCHES, part):
            flush_to_disk(folder)
        rename(part, run_dir)
        flush_to_disk(home)
    finally:
        held.release()
        shutil.rmtree(part, ignore_errors=True)
