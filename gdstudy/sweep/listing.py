"""What run folders there are, and how far each is. Nothing is written."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gdstudy.study.config import Study
from gdstudy.study.errors import StudyError
from gdstudy.study.seeds import Shard
from gdstudy.sweep.folder import BATCHES, PART, SUMMARY, check_file
from gdstudy.sweep.generations import generations, planned
from gdstudy.sweep.identity import has_study
from gdstudy.sweep.lock import shards_of, writer_of
from gdstudy.sweep.parts import part_numbers

_LARGEST, _DEEPEST = 1 << 28, 8  # bytes of a summary that is read; folders above a run


@dataclass(frozen=True)
class Listed:
    """A run folder. study: None where it cannot be read, and then error says why; stored, batches: how many; shards:
    those that were begun, and whether each is done; writer: the process that writes it now; size: bytes on the disk."""

    folder: Path
    size: int
    study: Study | None = None
    stored: int = 0
    batches: int = 0
    shards: Mapping[Shard, bool] = field(default_factory=dict)
    writer: str | None = None
    error: str = ""

    @property
    def complete(self) -> bool:
        return self.study is not None and self.stored == self.batches


def listed(parent: Path) -> Iterator[Listed]:
    """The run folders at and below a folder, in the order of their paths. Links are not followed, nor what is deeper
    than runs are filed."""
    for path, folders, _ in os.walk(parent):
        if len(Path(path).parts) - len(parent.parts) >= _DEEPEST:
            folders[:] = []
        elif BATCHES in folders:
            folders[:] = []  # there are no runs in runs
            name = Path(path).name
            if not (name.startswith(".") and name.endswith(PART)):  # what a killed start left
                yield _listed(Path(path))
        else:
            folders.sort()


def _listed(folder: Path) -> Listed:
    size = _size(folder)
    try:
        if not has_study(folder):
            raise StudyError("holds no study")
        stages = generations(folder)
        numbers = {batch.number for batch in planned(stages)}
        stored = numbers.intersection(part_numbers(folder / BATCHES))
        shards = {shard: not any(map(shard.has, numbers - stored)) for shard in shards_of(folder)}
        return Listed(folder, size, stages[-1], len(stored), len(numbers), shards, writer_of(folder))
    except (StudyError, OSError) as error:
        return Listed(folder, size, error=str(error))


def _size(folder: Path) -> int:
    found = 0
    for path, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                found += os.lstat(Path(path, name)).st_size
    return found


def summary_rows(folder: Path) -> Iterator[dict[str, str]]:
    """Rows of a run's summary.csv, as texts; none where there is none, or one that no run has written."""
    path = folder / SUMMARY
    with suppress(OSError, ValueError, csv.Error, StudyError):
        check_file(path)
        if path.stat().st_size <= _LARGEST:
            with path.open(newline="", encoding="utf-8") as file:
                yield from csv.DictReader(file)
