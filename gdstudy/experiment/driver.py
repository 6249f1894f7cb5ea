"""A batch of cells → rows: the closed form, and each training beside it. The only driver of training there is.

A kind of model is a class of `Cells`, and one training of it at one ablation level a `Task`; what they have in common,
checkpoints, restarts and the rows of the tables, stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from gdstudy.data.dataset import Dataset
from gdstudy.experiment.expected import expected_risk
from gdstudy.experiment.journal import Journal, Keeper, Start, Trained
from gdstudy.experiment.plan import Batch, Level, n_starts
from gdstudy.experiment.rows import Columns, Records, identity
from gdstudy.linalg.threads import Pace, one_blas_thread
from gdstudy.study.ablations import UNABLATED
from gdstudy.study.columns import TABLES
from gdstudy.study.config import Study
from gdstudy.study.entries import code
from gdstudy.study.groups import Training
from gdstudy.study.models import MODELS
from gdstudy.study.optimizers import OPTIMIZERS
from gdstudy.study.status import WORDS, Status
from gdstudy.study.values import log_spaced
from gdstudy.training.descent import State
from gdstudy.training.engine import Saver

_OF_CURVES = {column.name for column in TABLES["curves"]}


class Monitor(Protocol):
    """Who watches. start: so many cells are about to be trained for so many steps. check(cell-steps taken, cells still
    running): called many times a second while they are. measured: a checkpoint was, in a training without ablation;
    until the next call so_far() gives its checkpoints and, where there is nothing to choose from several starts, what
    is known of results: closed forms, and a row of the training for each of its cells that says no more than which."""

    def start(self, cells: int, steps: int) -> None: ...
    def check(self, cell_steps: int, running: int) -> None: ...
    def measured(self, so_far: Callable[[], Records]) -> None: ...


class Task(Protocol):
    """One training of a batch at one ablation level. W: what is trained of some cells (c, …); cells: (c,) which.

    step_size: (C,) η as the dtype of training holds it. step_size_limit: (C,) it must stay below, NaN where unknown.
    changed: cells that are to be trained at this level; the others end as without ablation. columns: of all rows.
    states: training of the given cells from a start of this number. measure: columns of W. exact: `exact_…` columns of
    the exact iterate at t (c,), if there is one. certificate: columns of how far all cells came, once they ended.
    pictures: for each of the cells its arrays by name; last: (c,) it has finished.
    """

    step_size: Tensor
    step_size_limit: Tensor
    changed: Tensor
    columns: Columns

    def states(
        self,
        start: int,
        checkpoints: Sequence[int],
        cells: Tensor,
        on_check: Callable[[int, int], None] | None,
        saver: Saver | None,
    ) -> Iterator[State]: ...
    def measure(self, W: Tensor, cells: Tensor) -> Columns: ...
    def exact(self, W: Tensor, t: Tensor, cells: Tensor) -> Columns | None: ...
    def certificate(self, W: Tensor) -> Columns: ...
    def pictures(self, W: Tensor, t: Tensor, cells: Tensor, last: np.ndarray) -> list[dict[str, np.ndarray]]: ...


class Cells(Protocol):
    """A batch of one kind of model. closed_form: its rows, if it has one. task: one training at one level."""

    def closed_form(self) -> Records: ...
    def task(self, training: Training, level: Level) -> Task: ...


def run_batch(
    study: Study, dataset: Dataset, batch: Batch, monitor: Monitor | None = None, keeper: Keeper | None = None
) -> Records:
    """The closed form of every cell of a batch and, where wanted, its trainings beside it.

    keeper: keeps what is done of its trainings while they are under way, and where they go on.
    """
    largest = max(n_train for n_train, _ in batch.cells)
    cell = max(largest, batch.n_parameters) * batch.n_parameters
    with Pace(cell, torch.device(study.device), study.threads.value).around(), one_blas_thread():
        cells: Cells = code(MODELS[batch.model].cells)(study, dataset, batch)
        records = cells.closed_form()
        runs = _Runs(batch, cells, study.seeds[0], monitor, Journal(keeper))
        for name, levels in batch.trained:
            for level in levels:
                runs.add(records, name, study.trained[name], level)
        if "theory" in study.estimators:
            records.results += expected_risk(batch, dataset, study.seeds[0], study.intercept)
    return records


class _Runs:
    """The trainings of a batch. What two of them have in common is trained once."""

    def __init__(self, batch: Batch, cells: Cells, first_seed: int, monitor: Monitor | None, journal: Journal) -> None:
        self.batch, self.cells, self.monitor, self.journal = batch, cells, monitor, journal
        self.everything = torch.arange(len(batch.cells))
        self.keys = identity(batch, (UNABLATED,))
        self.of_first_seed = torch.from_numpy(self.keys["seed"] == first_seed)
        self._done: list[tuple[Training, list[Start]]] = []  # unablated, from start 0, 1, …

    def add(self, records: Records, name: str, training: Training, level: Level) -> None:
        """Rows of one training at one level; its curves are those of the start that each cell keeps."""
        starts = self._starts(training)
        if level == UNABLATED:
            records.results += self._unablated(records, name, training, starts)
        else:
            records.results += self.journal.rows(lambda: self._ablated(name, training, level, starts[0].end))

    def _unablated(self, records: Records, name: str, training: Training, starts: list[Start]) -> list[Columns]:
        task = self.cells.task(training, UNABLATED)
        several = n_starts(MODELS[self.batch.model], training.restarts)
        for number in range(len(starts), several):
            so_far = partial(self._so_far, records.results if several == 1 else None, name, task)
            train = partial(self._train, task, training, number, self.everything, so_far)
            starts.append(self.journal.start(train))
        trained, kept = self._best(task, [start.end for start in starts[:several]])
        for number, start in enumerate(starts[:several]):
            start.add_to(records, name, kept == number)
        return self._rows(task, name, training, UNABLATED, trained)

    def _ablated(self, name: str, training: Training, level: Level, trained: Trained) -> list[Columns]:
        task = self.cells.task(training, level)
        if len(task.changed):
            trained = trained.put(task.changed, self._train(task, training, 0, task.changed).end)
        return self._rows(task, name, training, level, trained)

    def _starts(self, training: Training) -> list[Start]:
        """What was trained so from start 0, 1, …, in whatever number of restarts."""
        same = replace(training, restarts=1, n_hidden=type(training.n_hidden)(), ablations=[])
        for other, starts in self._done:
            if other == same:
                return starts
        self._done.append((same, []))
        return self._done[-1][1]

    def _so_far(self, closed: list[Columns] | None, name: str, task: Task, curves: list[Columns]) -> Records:
        """What a `Monitor` is given of a training under way. closed: rows of closed forms, None: of several starts."""
        rows = [{**one, "estimator": name} for one in curves]
        if closed is None:
            return Records([], rows)
        exact = any(column.startswith("exact_") for column in rows[-1])
        names = (name, f"{name}_closed_form") if exact else (name,)
        cells = {**identity(self.batch, (UNABLATED,)), **task.columns, "status": Status.RUNNING.word}
        return Records([*closed, *({**cells, "estimator": one} for one in names)], rows)

    def _train(
        self,
        task: Task,
        training: Training,
        number: int,
        cells: Tensor,
        so_far: Callable[[list[Columns]], Records] | None = None,
    ) -> Start:
        """Train some cells from the start of this number; with their checkpoints where it can be said how far it is."""
        checkpoints = [training.steps]
        if so_far is not None:
            checkpoints = log_spaced(training.steps, training.checkpoints_per_decade)
        descent = self.journal.descent(self.everything)
        if self.monitor is not None:
            reached = descent.saved or {"cells": cells, "t": 0}
            self.monitor.start(len(reached["cells"]), training.steps - reached["t"])
        state: State | None = None
        check = self.monitor.check if self.monitor else None
        for state in task.states(number, checkpoints, cells, check, descent):
            if so_far is not None:
                rows, arrays = self._checkpoint(task, descent.running, state)
                descent.curves.append((descent.running, rows))
                descent.arrays += arrays
                descent.running = descent.running[state.status.cpu()[descent.running] == Status.RUNNING]
                if self.monitor is not None:
                    self.monitor.measured(partial(so_far, [rows for _, rows in descent.curves]))
        assert state is not None  # there is always a last checkpoint
        end = Trained(state.W, state.steps.cpu(), state.gradient_norm.cpu(), state.status.cpu())
        return Start(end, descent.curves, descent.arrays)

    def _best(self, task: Task, starts: list[Trained]) -> tuple[Trained, Tensor]:
        """For each cell the start with the lowest training loss, and its number (C,); what diverged loses."""
        if len(starts) == 1:
            return starts[0], torch.zeros_like(self.everything)
        losses = []
        for run in starts:
            loss = torch.from_numpy(task.measure(run.W, self.everything)["train_mse"])
            losses.append(loss.nan_to_num(torch.inf).masked_fill(run.status == Status.DIVERGED, torch.inf))
        best, kept = starts[0], torch.stack(losses).argmin(0)  # the first of equals
        for number, run in enumerate(starts):
            cells = (kept == number).nonzero().squeeze(-1)
            best = best.put(cells, run.at(cells))
        return best, kept

    def _checkpoint(self, task: Task, running: Tensor, state: State) -> tuple[Columns, list[tuple[int, list[Columns]]]]:
        """The cells that were running until now, at one checkpoint, beside the exact iterate where there is one."""
        W, t = state.W[running.to(state.W.device)], state.steps.cpu()[running]
        status = np.array(WORDS)[state.status.cpu()[running].numpy()]
        rows = {**self._keys(running), **task.measure(W, running)}
        rows |= {"step": t.numpy(), "status": status, **(task.exact(W, t, running) or {})}
        rows = {column: value for column, value in rows.items() if column in _OF_CURVES}
        shown = self.of_first_seed[running]
        if not bool(shown.any()):
            return rows, []
        cells, steps, last = running[shown], t[shown], status[shown.numpy()] != Status.RUNNING.word
        found = []
        for cell, step, arrays in zip(
            cells.tolist(), steps.tolist(), task.pictures(W[shown.to(W.device)], steps, cells, last), strict=True
        ):
            if arrays:
                one = {**self._keys(torch.tensor([cell])), "step": step}
                found.append((cell, [{**one, "name": key, "value": value} for key, value in arrays.items()]))
        return rows, found

    def _keys(self, cells: Tensor) -> Columns:
        """What tells the rows of these cells (c,) apart."""
        which = cells.numpy()
        return {name: keys[which] if isinstance(keys, np.ndarray) else keys for name, keys in self.keys.items()}

    def _rows(self, task: Task, name: str, training: Training, level: Level, trained: Trained) -> list[Columns]:
        """Trained cells of one level and, where there is one, the exact iterate at the same steps."""
        plain = OPTIMIZERS[training.optimizer].plain
        shared = {
            **identity(self.batch, (level,)),
            **task.columns,
            "step_size": task.step_size.cpu().numpy(),
            "step_size_limit": task.step_size_limit.cpu().numpy() if plain else None,
        }
        rows = {
            **shared,
            **task.measure(trained.W, self.everything),
            **task.certificate(trained.W),
            "estimator": name,
            "step": trained.steps.numpy(),
            "gradient_norm": trained.gradient_norm.numpy(),
            "status": np.array(WORDS)[trained.status.numpy()],
            "precision": torch.finfo(trained.W.dtype).eps,
        }
        exact = task.exact(trained.W, trained.steps, self.everything)
        if exact is None:
            return [rows]
        values = {key.removeprefix("exact_"): value for key, value in exact.items() if key.startswith("exact_")}
        return [rows, {**shared, **values, "estimator": f"{name}_closed_form", "status": "closed_form"}]
