"""How far a run is: one bar, or plain lines off a terminal."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol

from tqdm import tqdm

from gdstudy.experiment.plan import Batch, budget
from gdstudy.experiment.rows import Records
from gdstudy.study.config import Study
from gdstudy.study.console import tell
from gdstudy.study.ending import NEVER, Deadline
from gdstudy.sweep.remaining import Remaining

PLAIN_LINE_SECONDS, BAR_SECONDS = 10.0, 0.5
# Share of the expected work from which on the time left is told roughly, as if all work were alike, while it is not
# known better: in recorded runs at most 3.3 times too long or short, half of the times less than 1.3.
ROUGHLY = 0.2


def _rate(steps: float) -> str:
    if steps < 1e4:
        return f"{steps:.0f}"
    return f"{steps / 1e6:.1f}M" if steps >= 1e6 else f"{steps / 1e3:.0f}k"


def duration(seconds: float | None) -> str:
    """h:mm:ss, or ? where it is not known."""
    if seconds is None or not math.isfinite(seconds):
        return "?"
    minutes, seconds = divmod(max(0, round(seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


class Observer(Protocol):
    """Who shows a run while it goes on. stored: a batch is in the store, from before or from now on. under_way: a batch
    is trained in this process, and what it is `so_far` (the Monitor of `experiment.driver`). look: called often, with
    the cells that are finished and the steps that were taken in this process. None of them is to raise what should not
    end the run. hint: how to look at it, for people."""

    @property
    def hint(self) -> str: ...
    def stored(self, batch: Batch) -> None: ...
    def under_way(self, batch: Batch, so_far: Callable[[], Records]) -> None: ...
    def look(self, cells: int, steps: int) -> None: ...


class Progress:
    """One bar: share of the expected work that is done, trainings finished, GD steps a second, time gone and left.

    Off a terminal, a plain line every ten seconds. Of every batch skip says that it was stored before, or end that it
    is computed and stored, in so many seconds. For a batch of this process begin comes before, and start and check (the
    Monitor of `experiment.driver`) meanwhile; of those of other processes nothing else is known, `workers` of them
    are computed at once. `clock`: seconds, never going back. observer: is told all that, also where quiet.
    """

    def __init__(
        self,
        study: Study,
        batches: Sequence[Batch],
        quiet: bool,
        deadline: Deadline = NEVER,
        clock: Callable[[], float] = time.monotonic,
        observer: Observer | None = None,
    ) -> None:
        self._deadline, self._observer = deadline, observer
        self._batch: Batch | None = None  # that is computed in this process
        self.quiet, self._clock, self._workers = quiet, clock, 1
        self._cells = {batch.number: budget(study, batch)[0] for batch in batches}
        self.n_cells = sum(self._cells.values())
        self.finished = self.taken = self._under_way = 0
        self._remaining = None if quiet else Remaining(study, batches)
        self._stored = 0.0  # share of the work that was before
        self._began = self._shown = clock()
        terminal = not quiet and sys.stderr.isatty()
        self._every = BAR_SECONDS if terminal else PLAIN_LINE_SECONDS
        self._bar = tqdm(total=1.0, disable=not terminal, bar_format="{percentage:3.0f}%|{bar}| {desc}")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error is None and self._remaining is not None and not self._bar.disable:
            self._set_bar()  # what came since it was last shown
        self._bar.close()

    def workers(self, number: int) -> None:
        """So many batches are computed at once."""
        self._workers = number
        self._look()
        if self._remaining is not None:
            self._show()

    def skip(self, batch: Batch) -> None:
        self.finished += self._cells[batch.number]
        if self._observer is not None:
            self._observer.stored(batch)
        if self._remaining is not None:
            self._remaining.skip(batch)
            self._stored = self._remaining.share()

    def begin(self, batch: Batch) -> None:
        self._under_way, self._batch = 0, batch
        if self._remaining is not None:
            self._remaining.begin(batch, self._clock())

    def start(self, cells: int, steps: int) -> None:
        """So many cells are about to be trained for at most so many steps."""
        self._running, self._steps, self._t = cells, steps, 0
        if self._remaining is not None:
            self._remaining.start(cells, steps)

    def check(self, cell_steps: int, running: int) -> None:
        """Called by the trainer: so many cell-steps more, so many cells still running. Stopped at its deadline."""
        self._deadline.check()
        self._t += cell_steps // self._running
        self.taken += cell_steps
        done = self._running - running + (running if self._t >= self._steps else 0)
        self.finished, self._under_way, self._running = self.finished + done, self._under_way + done, running
        if self._remaining is not None:
            self._remaining.check(cell_steps, running, self._clock())
            self._show()
        self._look()

    def measured(self, so_far: Callable[[], Records]) -> None:
        """A checkpoint of the batch that was begun."""
        if self._observer is not None and self._batch is not None:
            self._observer.under_way(self._batch, so_far)

    def end(self, batch: Batch, seconds: float) -> None:
        """The batch is computed, in so many seconds, and stored."""
        self.finished += self._cells[batch.number] - self._under_way
        self._under_way = 0
        if self._observer is not None:
            self._observer.stored(batch)
        self._look()
        if self._remaining is not None:
            self._remaining.end(batch, seconds, self._clock())
            self._show()

    def text(self) -> str:
        """Cells, steps a second, time gone and left."""
        now = self._clock()
        gone, left = now - self._began, "?"
        if self._remaining is not None:
            seconds, share = self._remaining.seconds(now, self._workers), self._remaining.share()
            done = (share - self._stored) / max(1 - self._stored, 1e-9)
            if seconds is not None:
                left = duration(seconds)
            elif done >= ROUGHLY:
                left = f"~{duration(gone * (1 - done) / done)}"
        steps = f", {_rate(self.taken / max(gone, 1e-9))} steps/s" if self.taken else ""
        return f"{self.finished}/{self.n_cells} fits{steps}, {duration(gone)} gone, {left} left"

    def _look(self) -> None:
        if self._observer is not None:
            self._observer.look(self.finished, self.taken)

    def _show(self) -> None:
        now = self._clock()
        if now - self._shown < self._every or self._remaining is None:
            return
        self._shown = now
        if self._bar.disable:
            tell(f"{self._remaining.share():4.0%}: {self.text()}")
        else:
            self._set_bar()

    def _set_bar(self) -> None:
        assert self._remaining is not None
        self._bar.n = self._remaining.share()
        self._bar.set_description_str(self.text())
