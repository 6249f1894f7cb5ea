"""Cells → batches → store: runs what is missing of a study, and says how far it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType

from tqdm import tqdm

from gdstudy.config import Study, StudyError
from gdstudy.data import Dataset, load_dataset
from gdstudy.experiment import plan, run_batch
from gdstudy.store import Store

PLAIN_LINE_SECONDS = 10


def load_datasets(study: Study) -> list[Dataset]:
    """The study's data, checked against its sizes. StudyError where N leaves no test row."""
    datasets = [load_dataset(name, study.preprocess) for name in study.datasets]
    for dataset in datasets:
        if max(study.n_train) >= len(dataset.X):
            raise StudyError(
                f"n_train={max(study.n_train)} is too many for {dataset.name}: it has {len(dataset.X)} rows, "
                f"and at least one is for testing; use at most {len(dataset.X) - 1}"
            )
    return datasets


class Progress:
    """One bar: share of the step budget spent or saved, cells finished, GD steps a second, time left.

    Off a terminal, a plain line every ten seconds.
    """

    def __init__(self, n_cells: int, steps: int, quiet: bool) -> None:
        self.n_cells, self.steps, self.quiet = n_cells, steps, quiet
        self.finished, self.taken, self.spent = 0, 0, 0
        self.started = self.last_line = time.monotonic()
        self.terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=n_cells * steps,
            disable=quiet or not self.terminal,
            # Updates differ in size by orders of magnitude; by default tqdm would wait for one as large as the last.
            miniters=1,
            bar_format="training {percentage:3.0f}%|{bar}| {desc} [{elapsed}<{remaining}]",
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._bar.close()

    def batch(self, n_cells: int) -> None:
        self._batch_cells, self._running, self._t, self._before = n_cells, n_cells, 0, self.finished

    def check(self, cell_steps: int, running: int) -> None:
        """Called by the trainer: so many cell-steps more, so many cells still running."""
        self._t += cell_steps // self._running
        self.taken += cell_steps
        # A cell that stops early gives back the steps it did not need.
        saved = cell_steps + (self._running - running) * (self.steps - self._t)
        self.finished, self._running = self._before + self._batch_cells - running, max(running, 1)
        self._show(saved)

    def skip(self, n_cells: int) -> None:
        self.finished += n_cells
        self._bar.update(n_cells * self.steps)

    def end_batch(self) -> None:
        """The cells still running have taken their last step and are stored."""
        self.finished = self._before + self._batch_cells
        self._show(0)
        self._bar.refresh()

    def _show(self, spent: int) -> None:
        self.spent += spent
        now = time.monotonic()
        rate = self.taken / max(now - self.started, 1e-9)
        if not self._bar.disable:
            self._bar.set_description_str(f"{self.finished}/{self.n_cells} cells, {rate / 1e6:.1f}M GD steps/s", False)
            self._bar.update(spent)
        elif not self.quiet and now - self.last_line > PLAIN_LINE_SECONDS:
            self.last_line = now
            share = self.spent / (self.n_cells * self.steps)
            left = (now - self.started) * (1 - share) / max(share, 1e-9)
            print(
                f"training {share:4.0%}: {self.finished}/{self.n_cells} cells, {rate / 1e6:.1f}M GD steps/s, "
                f"about {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )


def run_missing(study: Study, datasets: Sequence[Dataset], store: Store, quiet: bool = False) -> None:
    """Train and store every batch the store lacks, in the study's order."""
    by_name = {dataset.name: dataset for dataset in datasets}
    finished = store.finished()
    batches = plan(study, datasets)
    with Progress(sum(len(b.cells) for b in batches), study.gd.steps, quiet) as progress:
        for batch in batches:
            if batch.number in finished:
                progress.skip(len(batch.cells))
                continue
            progress.batch(len(batch.cells))
            store.write(batch, run_batch(study, by_name[batch.dataset], batch, progress.check))
            progress.end_batch()
