"""The results of a run as they are written: a folder of immutable parts, batch by batch and safe to kill.

A batch is there when its part of `results` is, which is written last and names the other parts of the batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gdstudy.experiment.plan import Batch, plan
from gdstudy.experiment.rows import Records
from gdstudy.study.config import Study
from gdstudy.study.console import typed
from gdstudy.study.errors import StudyError, shown
from gdstudy.study.parser import as_yaml
from gdstudy.study.seeds import Shard
from gdstudy.sweep.folder import (
    BATCHES,
    CONFIG,
    STUDY,
    check_place,
    clear_remains,
    is_blank,
    place,
    remedy,
    write_whole,
)
from gdstudy.sweep.generations import cells_of, differing, generations, planned, record, renew_config
from gdstudy.sweep.identity import has_study, identity, identity_of, sealed_study
from gdstudy.sweep.lock import gate, hold
from gdstudy.sweep.partial import partial_path
from gdstudy.sweep.parts import Damaged, encoded_part, open_part, part_numbers, part_path
from gdstudy.sweep.reading import parts_of

_MOST_NOTES = 20  # parts that are named one by one


class Store:
    """The store of one run, open for writing and locked for other processes until it is closed.

    shard: the share of its batches that is open; None: all, and nobody else writes any.
    """

    def __init__(
        self, run_dir: Path, study: Study, made_by: Mapping[str, str] | None = None, shard: Shard | None = None
    ) -> None:
        """Begins the run of a study in a folder, or goes on with it.

        made_by: versions and machine that compute from now on, kept with every batch. StudyError where another process
        writes the run, or this shard, where its study is another now, and for a run of another version of the store.
        """
        self.shard = shard
        self._plan: list[Batch] | None = None  # of many cells that takes seconds
        self.run_dir, self._batches, self._made_by = run_dir, run_dir / BATCHES, dict(made_by or {})
        self._batches.mkdir(exist_ok=True)
        self._held = hold(run_dir, shard)
        try:
            self._notes: list[str] = []
            with gate(run_dir):  # shards may begin at once
                if shard is None:
                    clear_remains(run_dir)
                if not has_study(run_dir):
                    (self._restore if part_numbers(self._batches) else self._begin)(study)
                self._generations = generations(run_dir)
                self._check_unchanged(study)
                renew_config(run_dir, study)
            self._study, self._place = identity(run_dir), place(self._batches / self._held.name)
        except BaseException:
            self.close()
            raise

    def _begin(self, study: Study) -> None:
        """config.yaml first: it says what to resume where the other is lost."""
        said = {**self._made_by, "started": time.strftime("%Y-%m-%d %H:%M:%S %z")}
        comments = "".join(f"# {name}: {value}\n" for name, value in said.items())
        if is_blank(self.run_dir / CONFIG):
            write_whole(self.run_dir / CONFIG, (comments + as_yaml(study)).encode(), flush=True)
        write_whole(self._batches / STUDY, sealed_study(study), flush=True)

    def moved(self, run_dir: Path) -> None:
        """The run's folder has another name now."""
        self.run_dir, self._batches = run_dir, run_dir / BATCHES

    def check_place(self) -> None:
        """StudyError where the run's folder is not the one that was opened; then nothing is to be written there."""
        check_place(self.run_dir, self._held.name, self._place)

    def _restore(self, study: Study) -> None:
        """study.yaml anew, from config.yaml, where it is gone or damaged and all parts that are whole are of that."""
        path, content = self._batches / STUDY, sealed_study(study)
        cells = {batch.number: cells_of(batch) for batch in plan(study)}
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
        if changed := differing(self._generations[-1], study):
            raise StudyError(
                f"--resume {typed(self.run_dir)}: {CONFIG} changed since the run began ({', '.join(changed)}); "
                "put it back, or start a new run with --config"
            )

    def grow(self, study: Study) -> None:
        """Have the run grow to a study that has more sizes or seeds, and all else as it is (`generations.grown`)."""
        self._generations.append(study)
        self._plan = None
        record(self.run_dir, self._generations)
        renew_config(self.run_dir, study)

    @property
    def study(self) -> Study:
        """As it is now."""
        return self._generations[-1]

    def planned(self) -> list[Batch]:
        """The batches of the run that are open here, in their order."""
        return [batch for batch in self._all_planned() if self._is_open(batch.number)]

    def _all_planned(self) -> list[Batch]:
        if self._plan is None:
            self._plan = planned(self._generations)
        return self._plan

    def _is_open(self, number: int) -> bool:
        return self.shard is None or self.shard.has(number)

    def take_over(self) -> tuple[int, int]:
        """Let go of a shard that is done, and hold the whole run if all of it is stored and nobody else holds any.

        Returns how many batches are stored, and how many there are. `shard` is None then if the whole run is held.
        """
        # First let go and then look: of shards that end at once one sees all of it, and nobody else.
        self.close()
        numbers = {batch.number for batch in self._all_planned()}
        stored = len(numbers.intersection(part_numbers(self._batches)))
        if stored == len(numbers):
            with suppress(StudyError):
                self._held, self.shard = hold(self.run_dir), None
                self._place = place(self._batches / self._held.name)
                clear_remains(self.run_dir)
        return stored, len(numbers)

    def finished(self, batches: Sequence[Batch], note: Callable[[str], None] = lambda line: None) -> set[int]:
        """Numbers of those batches that are stored whole and undamaged.

        Every other part is removed after a line to `note` says which and why; so is said where those that stay were
        made by another version of gdstudy, torch or llvmlite. StudyError for parts of another schema, before anything
        is removed.
        """
        for line in self._notes:
            note(line)
        cells = {batch.number: cells_of(batch) for batch in batches}
        useless: dict[int, str] = {}
        versions: dict[str, set[str]] = {"gdstudy": set(), "torch": set(), "llvmlite": set()}
        numbers = [number for number in part_numbers(self._batches) if self._is_open(number)]
        for number in numbers:
            try:
                for part in parts_of(self._batches, number, study=self._study, cells=cells.get(number, "none")):
                    part.read()
                    for name, found in versions.items():
                        found.add(part.facts.get(name, "none"))
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
        there = set(numbers) - useless.keys()
        for number in there:
            partial_path(self._batches, number).unlink(missing_ok=True)
        return there

    @property
    def batches(self) -> Path:
        """The folder of the parts, as any process of this machine finds it."""
        return self._batches.absolute()

    @property
    def token(self) -> tuple[Path, bytes]:
        """A file that says who writes this run, and what it says: whoever reads the same sees the same disk."""
        path = self.batches / self._held.writer
        return path, path.read_bytes()

    @property
    def facts(self) -> dict[str, str]:
        """What all parts say that are written from now on."""
        return {**self._made_by, "study": self._study}

    def write(self, batch: Batch, records: Records, seconds: float = 0.0) -> None:
        """Store a batch, once or again, with the same effect. seconds: what it took to compute."""
        self.put(batch.number, encoded(batch, records, {**self.facts, "seconds": f"{seconds:.3f}"}))

    def put(self, number: int, parts: Mapping[str, bytes]) -> None:
        """Store a batch that was encoded. StudyError where it cannot be written."""
        try:
            self.check_place()
            write_batch(self._batches, number, parts)
        except OSError as error:
            self.check_place()
            raise StudyError(
                f"{self._batches}: {error}; {remedy(error)}, then --resume {typed(self.run_dir)}"
            ) from None

    def close(self) -> None:
        self._held.release()


def encoded(batch: Batch, records: Records, facts: Mapping[str, str]) -> dict[str, bytes]:
    """Table → its part of a batch, `results` last: with it the batch is there. facts: what all its parts are to say."""
    groups = {"curves": records.curves, "arrays": records.arrays, "results": records.results}
    there = {table: rows for table, rows in groups.items() if rows or table == "results"}
    said = {**facts, "batch": str(batch.number), "cells": cells_of(batch), "tables": " ".join(there)}
    return {table: encoded_part(table, rows, said) for table, rows in there.items()}


def write_batch(batches: Path, number: int, parts: Mapping[str, bytes]) -> None:
    """Write the parts of a batch, each whole, in the order of `encoded`. Any process may, also again."""
    for table, content in parts.items():
        write_whole(part_path(batches, number, table), content, flush=True)
    partial_path(batches, number).unlink(missing_ok=True)
