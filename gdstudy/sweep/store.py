"""The results of a run as they are written: a folder of immutable parts, batch by batch and safe to kill.

A batch is there when its part of `results` is, which is written last and names the other parts of the batch.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gdstudy.experiment.plan import Batch
from gdstudy.experiment.rows import Records
from gdstudy.experiment.tables import frame
from gdstudy.study.config import HOW, Study
from gdstudy.study.errors import StudyError, shown
from gdstudy.study.parser import as_dict, as_yaml
from gdstudy.sweep.folder import (
    BATCHES,
    CONFIG,
    LOCK,
    STUDY,
    check_place,
    clear_remains,
    hold,
    is_blank,
    place,
    remedy,
    write_whole,
)
from gdstudy.sweep.parts import Damaged, open_part, part_numbers, part_path, write_part
from gdstudy.sweep.reading import identity, load_study, parts_of


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
            if is_blank(self._batches / STUDY):
                self._begin(study)
            else:
                self._check_unchanged(study)
            self._study, self._place = identity(run_dir), place(self._batches / LOCK)
        except BaseException:
            self.close()
            raise

    def _begin(self, study: Study) -> None:
        """The study of a run that has none: a new one, or one that lost it and has parts of the same study alone."""
        if (numbers := part_numbers(self._batches)) and not self._are_of(study, numbers):
            raise StudyError(f"{self._batches / STUDY} is missing; restore it from a copy, or run the study anew")
        said = {**self._made_by, "started": time.strftime("%Y-%m-%d %H:%M:%S %z")}
        comments = "".join(f"# {name}: {value}\n" for name, value in said.items())
        if is_blank(self.run_dir / CONFIG):
            write_whole(self.run_dir / CONFIG, (comments + as_yaml(study)).encode(), flush=True)
        write_whole(self._batches / STUDY, as_yaml(study).encode(), flush=True)

    def _are_of(self, study: Study, numbers: Sequence[int]) -> bool:
        """Whether parts say that they are of this study, and none that can be read says otherwise."""
        found = set()
        for path in (part_path(self._batches, number, "results") for number in numbers):
            with suppress(Damaged):
                part = open_part(path, "results")
                part.file.close()
                found.add(part.facts.get("study"))
        return found == {hashlib.sha256(as_yaml(study).encode()).hexdigest()}

    def moved(self, run_dir: Path) -> None:
        """The run's folder has another name now."""
        self.run_dir, self._batches = run_dir, run_dir / BATCHES

    def check_place(self) -> None:
        """StudyError where the run's folder is not the one that was opened; then nothing is to be written there."""
        check_place(self.run_dir, self._place)

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
                self.check_place()
                write_part(part_path(self._batches, batch.number, table), table, rows, facts)
        except OSError as error:
            self.check_place()
            raise StudyError(f"{self._batches}: {error}; {remedy(error)}, then --resume {self.run_dir}") from None

    def close(self) -> None:
        self._lock.release()


def _cells(batch: Batch) -> str:
    """What tells the cells of a batch from those of any other."""
    return hashlib.sha256(repr(batch).encode()).hexdigest()
