"""The results of a run as they are written: a folder of immutable parts, batch by batch and safe to kill.

A batch is there when its part of `results` is, which is written last and names the other parts of the batch.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gdstudy.experiment.plan import Batch, plan
from gdstudy.experiment.rows import Records
from gdstudy.experiment.tables import frame
from gdstudy.study.config import HOW, Study
from gdstudy.study.errors import StudyError, shown
from gdstudy.study.parser import as_dict, as_yaml
from gdstudy.sweep.folder import BATCHES, CONFIG, STUDY, abandon, clear_remains, hold, write_whole
from gdstudy.sweep.parts import Damaged, open_part, part_numbers, part_path, write_part
from gdstudy.sweep.reading import has_study, identity, identity_of, load_study, parts_of, sealed_study

_MOST_NOTES = 20  # parts that are named one by one


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
            self._notes: list[str] = []
            if has_study(run_dir):
                self._check_unchanged(study)
            elif part_numbers(self._batches):
                self._restore(study)
            else:
                self._begin(study)
            self._study = identity(run_dir)
        except BaseException:
            self.close()
            raise

    def _begin(self, study: Study) -> None:
        """config.yaml first: wherever this is cut off, the folder is unused or config.yaml says what to resume."""
        said = {**self._made_by, "started": time.strftime("%Y-%m-%d %H:%M:%S %z")}
        comments = "".join(f"# {name}: {value}\n" for name, value in said.items())
        try:
            if not (self.run_dir / CONFIG).exists():
                write_whole(self.run_dir / CONFIG, (comments + as_yaml(study)).encode(), flush=True)
            write_whole(self._batches / STUDY, sealed_study(study), flush=True)
        except OSError:
            abandon(self.run_dir)
            raise

    def _restore(self, study: Study) -> None:
        """study.yaml anew, from config.yaml, where it is gone or damaged and all parts that are whole are of that."""
        path, content = self._batches / STUDY, sealed_study(study)
        cells = {batch.number: _cells(batch) for batch in plan(study)}
        for number in part_numbers(self._batches):
            try:
                facts = open_part(part_path(self._batches, number, "results"), "results").facts
            except Damaged:
                continue  # computed again
            if facts.get("study") != identity_of(content) or facts.get("cells") != cells.get(number):
                raise StudyError(
                    f"{path}: is missing or damaged, and batch {number} was not computed for what {CONFIG} says; "
                    "restore either from a copy, or run the study anew"
                )
        write_whole(path, content, flush=True)
        self._notes.append(f"{path}: was missing or damaged; it is restored from {CONFIG}")

    def _check_unchanged(self, study: Study) -> None:
        began_with, now = as_dict(load_study(self.run_dir)), as_dict(study)
        if changed := [key for key in now if key not in HOW and began_with.get(key) != now[key]]:
            raise StudyError(
                f"--resume {self.run_dir}: {CONFIG} changed since the run began ({', '.join(changed)}); "
                "put it back, or start a new run with --config"
            )

    def finished(self, batches: Sequence[Batch], note: Callable[[str], None] = lambda line: None) -> set[int]:
        """Numbers of those batches that are stored whole and undamaged.

        Every other part is removed after a line to `note` says which and why; so is said where those that stay were
        made by another version of gdstudy or torch. StudyError for parts of another schema, before anything is removed.
        """
        for line in self._notes:
            note(line)
        cells = {batch.number: _cells(batch) for batch in batches}
        useless: dict[int, str] = {}
        versions: dict[str, set[str]] = {"gdstudy": set(), "torch": set()}
        numbers = part_numbers(self._batches)
        for number in numbers:
            try:
                for part in parts_of(self._batches, number, study=self._study, cells=cells.get(number, "none")):
                    part.read()
                    for name, found in versions.items():
                        found.add(part.facts.get(name, ""))
            except Damaged as error:
                useless[number] = str(error)
        for said, (number, why) in enumerate(useless.items()):
            if said < _MOST_NOTES:
                kept = "this batch is computed again" if number in cells else "removed, the study has no such"
                note(f"{why}; {kept}")
            part_path(self._batches, number, "results").unlink(missing_ok=True)
        if len(useless) > _MOST_NOTES:
            note(f"{self._batches}: and {len(useless) - _MOST_NOTES} more parts that cannot be used")
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
