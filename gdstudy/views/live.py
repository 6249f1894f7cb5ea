"""TensorBoard while a run goes on: what is final is appended to its files, a few seconds after it is known.

`board` completes the same files when the run ends.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary

from gdstudy.experiment.plan import Batch
from gdstudy.experiment.rows import Records
from gdstudy.study.config import Study
from gdstudy.views.board import PROGRESS
from gdstudy.views.cards import described
from gdstudy.views.complete import Complete, Tag
from gdstudy.views.events import Events
from gdstudy.views.growing import Growing
from gdstudy.views.layout import browse
from gdstudy.views.summary import Curve

# Seconds between two writes, at least, and for which stored batches are read at once. All of it may take CREDIT
# seconds, and this share of the time (Arrow's threads come on top of it).
PAUSE, AT_ONCE, CREDIT, SHARE = 2.0, 0.5, 0.5, 0.01
_SAID = "The step of this card is the number of seconds since this process took up the run. "
DESCRIPTIONS = {
    "cells": f"{_SAID}Cells that are finished: trained in this run, or stored before.",
    "steps_per_second": f"{_SAID}Training steps a second, each of one cell, since the last point.",
    "train_mse": f"{_SAID}Median train MSE of the cells that are trained just now, at their last checkpoint.",
}
Read = Callable[[int, list[str]], "dict[str, Any] | None"]


class Live:
    """Shows a run while it goes on; an Observer of `sweep.progress`. files: those that it writes.

    `sweep/…` comes with each N as soon as all its seeds are stored and smaller N are shown, `convergence/…` at the
    checkpoints of a stack that is trained in this process and holds all seeds of its N, else once they are stored.
    It is a view: whatever fails in it is told once, and then nothing more is shown until the run ends.
    """

    def __init__(
        self,
        run_dir: Path,
        study: Study,
        batches: list[Batch],
        files: Growing,
        read: Read,
        tell: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """batches: all of the run. read: tables of a stored batch by its number, None where it is not seen yet."""
        self.files, self._run_dir, self._read, self._tell, self._clock = files, run_dir, read, tell, clock
        self._complete = Complete(study, batches)
        self._stored: deque[Batch] = deque()  # and not read yet
        self._under_way: Batch | None = None
        self._so_far: Callable[[], Records] | None = None  # of a checkpoint that is not shown yet
        self._train_mse = np.nan
        self._began = clock()
        self._next, self._spent = self._began + PAUSE, 0.0
        self._last = 0, 0.0  # steps taken and seconds gone at the last point
        self._failed = False

    @property
    def hint(self) -> str:
        return "\n".join(["to watch it:", *browse(self._run_dir, self._complete.shown())])

    def stored(self, batch: Batch) -> None:
        self._stored.append(batch)
        if self._under_way is not None and self._under_way.number == batch.number:
            self._under_way, self._so_far, self._train_mse = None, None, np.nan

    def under_way(self, batch: Batch, so_far: Callable[[], Records]) -> None:
        self._under_way, self._so_far = batch, so_far

    def look(self, cells: int, steps: int) -> None:
        now = self._clock()
        if now < self._next or self._failed:
            return
        try:
            self._write(cells, steps, now)
        except Exception as error:  # of a view, which is to stop no training
            self._failed = True
            why = " ".join(f"{type(error).__name__}: {error}".split())
            self._tell(f"TensorBoard shows nothing more until the run ends ({why[:200]}); the run goes on")
        end = self._clock()
        self._spent += end - now
        self._next = max(end + PAUSE, self._began + (self._spent - CREDIT) / SHARE)

    def _write(self, cells: int, steps: int, now: float) -> None:
        self._read_stored(now)
        self._add(self._complete.points())
        if self._under_way is not None and self._so_far is not None:
            records, self._so_far = self._so_far(), None
            self._add(self._complete.of_stack(self._under_way, records))
            self._train_mse = float(np.median(records.curves[-1]["train_mse"]))
        self._add_progress(cells, steps, now - self._began)

    def _read_stored(self, now: float) -> None:
        """As many batches as time allows. What another machine has just written may be seen later."""
        for _ in range(len(self._stored)):
            batch = self._stored.popleft()
            if wanted := self._complete.tables(batch):
                tables = self._read(batch.number, wanted)
                if tables is None:
                    self._stored.append(batch)
                    continue
                self._complete.add(batch, tables)
            if self._clock() - now > AT_ONCE:
                return

    def _add(self, curves: Iterable[tuple[Tag, Curve]]) -> None:
        found: defaultdict[Path, list[tuple[str, Curve]]] = defaultdict(list)
        for (folder, tag), curve in curves:
            new = curve.x > self.files.after(self._run_dir / folder, tag)
            if new.any():
                found[self._run_dir / folder].append((tag, Curve(**{k: v[new] for k, v in vars(curve).items()})))
        for folder, some in found.items():
            events = Events(begins=False)
            events.tags |= self.files.tags(folder)  # they are described there
            events.add_curves(some)
            if any(events):
                self.files.add(folder, events)

    def _add_progress(self, cells: int, steps: int, gone: float) -> None:
        values = {"cells": float(cells)}
        if steps:
            values["steps_per_second"] = (steps - self._last[0]) / max(gone - self._last[1], 1e-9)
        if np.isfinite(self._train_mse):
            values["train_mse"] = self._train_mse
        self._last = steps, gone
        summary = Summary()
        for name, value in values.items():
            said = described(DESCRIPTIONS[name], "scalars", "DATA_CLASS_SCALAR")
            summary.value.add(tag=f"progress/{name}", simple_value=value, metadata=said)
        events, folder, step = Events(begins=False), self._run_dir / PROGRESS, int(gone)
        if step > self.files.after(folder, "progress/cells"):
            events.add_summary(summary, step)
            self.files.add(folder, events)
