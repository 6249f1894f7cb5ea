"""What is done of a batch that is under way: a batch that was cut off goes on from there, with the same numbers.

Closed forms are computed again, and what is measured at the end of a training; trainings and their checkpoints are not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from gdstudy.experiment.rows import Columns, Records
from gdstudy.training.engine import Snapshot

Tree = dict[str, Any]  # mappings and lists of tensors, arrays, texts and numbers


class Keeper(Protocol):
    """Who keeps a batch while it is under way. saved: what was kept of it before; None where it is at its beginning.

    due: whether it is to be kept now. save: keep it; its tensors change with the next step.
    """

    @property
    def saved(self) -> Tree | None: ...
    def due(self) -> bool: ...
    def save(self, tree: Tree) -> None: ...


@dataclass(frozen=True)
class Trained:
    """Cells when they finished. W: (C, …), on their device; the others (C,), on the CPU."""

    W: Tensor
    steps: Tensor
    gradient_norm: Tensor
    status: Tensor

    def at(self, cells: Tensor) -> Trained:
        """The given cells (c,)."""
        others = (values[cells] for values in (self.steps, self.gradient_norm, self.status))
        return Trained(self.W[cells.to(self.W.device)], *others)

    def put(self, cells: Tensor, other: Trained) -> Trained:
        """With some cells as they are in another, which has these cells only."""
        here = {"W": self.W.index_copy(0, cells.to(self.W.device), other.W)}
        here |= {
            name: getattr(self, name).index_copy(0, cells, getattr(other, name))
            for name in ("steps", "gradient_norm", "status")
        }
        return Trained(**here)


@dataclass
class Start:
    """Cells trained from one start. curves: the cells (c,) of each checkpoint and their rows; arrays: (cell, rows)."""

    end: Trained
    curves: list[tuple[Tensor, Columns]]
    arrays: list[tuple[int, list[Columns]]]

    def add_to(self, records: Records, name: str, cells: Tensor) -> None:
        """What some cells (C,) bool went through, as rows of a training of this name."""
        for running, rows in self.curves:
            here = cells[running].numpy()
            if here.any():
                some = {key: value[here] if isinstance(value, np.ndarray) else value for key, value in rows.items()}
                records.curves.append({**some, "estimator": name})
        for cell, arrays in self.arrays:
            records.arrays += [{**one, "estimator": name} for one in arrays if cells[cell]]


class Journal:
    """The trainings of a batch in the order in which they are done, the same each time: those that were kept, then
    those that are done now. starts: unablated ones; levels: rows of ablated ones."""

    def __init__(self, keeper: Keeper | None) -> None:
        self.keeper = keeper
        saved = None if keeper is None else keeper.saved
        if saved is None:
            saved = {"starts": [], "levels": [], "descent": None}
        self.starts = [Start(**{**kept, "end": Trained(**kept["end"])}) for kept in saved["starts"]]
        self.levels: list[list[Columns]] = saved["levels"]
        self._descent: Tree | None = saved["descent"]
        self._start = self._level = 0

    def start(self, train: Callable[[], Start]) -> Start:
        """The next unablated training: as it was kept, or as it is trained now."""
        if self._start == len(self.starts):
            self.starts.append(train())
        self._start += 1
        return self.starts[self._start - 1]

    def rows(self, make: Callable[[], list[Columns]]) -> list[Columns]:
        """Rows of the next ablated training."""
        if self._level == len(self.levels):
            self.levels.append(make())
        self._level += 1
        return self.levels[self._level - 1]

    def descent(self, everything: Tensor) -> Descent:
        """The training that begins now, or goes on where it was kept. everything: its cells, (C,)."""
        kept, self._descent = self._descent, None
        if kept is None:
            return Descent(self, None, everything, [], [])
        return Descent(self, **kept)

    def save(self, descent: Tree) -> None:
        assert self.keeper is not None
        starts = [{**vars(start), "end": vars(start.end)} for start in self.starts]
        self.keeper.save({"starts": starts, "levels": self.levels, "descent": descent})


@dataclass
class Descent:
    """A training under way: a `Saver` of its descent. saved: where that goes on.

    running: the cells that ran at the last checkpoint; curves, arrays: until there, as of a `Start`.
    """

    journal: Journal
    saved: Snapshot | None
    running: Tensor
    curves: list[tuple[Tensor, Columns]]
    arrays: list[tuple[int, list[Columns]]]

    def due(self) -> bool:
        return self.journal.keeper is not None and self.journal.keeper.due()

    def save(self, snapshot: Snapshot) -> None:
        if self.journal.keeper is not None:
            names = ("running", "curves", "arrays")
            self.journal.save({"saved": snapshot, **{name: getattr(self, name) for name in names}})
