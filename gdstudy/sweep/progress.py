"""How far a run is: one bar, or plain lines off a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType

from tqdm import tqdm

from gdstudy.experiment.plan import Batch, budget
from gdstudy.study.config import Study
from gdstudy.study.console import tell
from gdstudy.study.ending import NEVER, Deadline

PLAIN_LINE_SECONDS = 10


def _rate(steps: float) -> str:
    return f"{steps / 1e6:.1f}M" if steps >= 1e6 else f"{steps / 1e3:.0f}k"


class Progress:
    """One bar: share of the step budget spent or saved, trainings finished, GD steps a second, time left.

    Off a terminal, a plain line every ten seconds. A closed form counts as one step.
    """

    def __init__(self, study: Study, batches: Sequence[Batch], quiet: bool, deadline: Deadline = NEVER) -> None:
        self.quiet, self._deadline, self._budgets = (
            quiet,
            deadline,
            {batch.number: budget(study, batch) for batch in batches},
        )
        self.n_cells = sum(cells for cells, _ in self._budgets.values())
        self.finished, self.taken, self.spent = 0, 0, 0
        self.started = self.last_line = time.monotonic()
        self.terminal = sys.stderr.isatty()
        self.total = sum(steps for _, steps in self._budgets.values())
        self._bar = tqdm(
            total=self.total,
            disable=quiet or not self.terminal,
            # Updates differ in size by orders of magnitude; by default tqdm would wait for one as large as the last.
            miniters=1,
            bar_format="{percentage:3.0f}%|{bar}| {desc} [{elapsed}<{remaining}]",
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._bar.close()

    def begin(self, batch: Batch) -> None:
        cells, steps = self._budgets[batch.number]
        self._after, self._end = self.finished + cells, self.spent + steps

    def start(self, cells: int, steps: int) -> None:
        """So many cells are about to be trained for at most so many steps."""
        self._running, self._steps, self._t = cells, steps, 0

    def check(self, cell_steps: int, running: int) -> None:
        """Called by the trainer: so many cell-steps more, so many cells still running. Stopped at its deadline."""
        self._deadline.check()
        self._t += cell_steps // self._running
        self.taken += cell_steps
        # A cell that stops early gives back the steps it did not need.
        spent = cell_steps + (self._running - running) * (self._steps - self._t)
        self.finished += self._running - running
        self._running = running
        if self._t >= self._steps:
            self.finished += running
        self._show(spent)

    def skip(self, batch: Batch) -> None:
        cells, steps = self._budgets[batch.number]
        self.finished += cells
        self._show(steps)

    def end(self) -> None:
        """The batch is computed and stored."""
        self.finished = self._after
        self._show(max(0, self._end - self.spent))
        self._bar.refresh()

    def _show(self, spent: int) -> None:
        self.spent += spent
        now = time.monotonic()
        rate = self.taken / max(now - self.started, 1e-9)
        if not self._bar.disable:
            self._bar.set_description_str(f"{self.finished}/{self.n_cells} cells, {_rate(rate)} steps/s", False)
            self._bar.update(spent)
        elif not self.quiet and now - self.last_line > PLAIN_LINE_SECONDS:
            self.last_line = now
            share = self.spent / self.total
            left = (now - self.started) * (1 - share) / max(share, 1e-9)
            cells = f"{self.finished}/{self.n_cells} cells"
            tell(f"{share:4.0%}: {cells}, {_rate(rate)} steps/s, about {left:.0f} s left")
