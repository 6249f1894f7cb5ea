"""Models that are not linear in their parameters: trained at each step size, and the best of several starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from gdstudy.experiment.plan import UNABLATED, Batch, Level
from gdstudy.experiment.stack import Columns, Records, identity
from gdstudy.study.config import Study
from gdstudy.study.status import WORDS, Status
from gdstudy.training.arguments import check_tolerance, log_spaced
from gdstudy.training.descent import State, descend
from gdstudy.training.objectives import Objective
from gdstudy.training.optimised import Optimised
from gdstudy.training.optimizers import Schedule, torch_optimizer


class Cells(Protocol):
    """A batch of one kind of model. W: parameters of the given cells, flattened, (c, n); cells: (c,) of the batch.

    objective: from the start of this number, with the step size of each cell or, for another optimizer, without.
    step_sizes: (C,) plain gradient descent's, and the bound that it must stay below (NaN where none is known).
    closed_form: rows of the closed form, if there is one. measure: columns of W. exact: columns of the exact iterate
    at t (c,), or none. pictures: for each of the cells its arrays by name; last: (c,) it has finished.
    """

    batch: Batch
    energy: float

    def objective(self, start: int, weight: Tensor) -> Objective: ...
    def step_sizes(self) -> tuple[Tensor, Tensor]: ...
    def closed_form(self) -> list[Columns]: ...
    def measure(self, W: Tensor, cells: Tensor) -> Columns: ...
    def exact(self, W: Tensor, eta: Tensor, t: Tensor, cells: Tensor) -> Columns | None: ...
    def pictures(
        self, W: Tensor, eta: Tensor, t: Tensor, cells: Tensor, last: np.ndarray
    ) -> list[dict[str, np.ndarray]]: ...


@dataclass(frozen=True)
class _Trained:
    """Cells when they finished. W: (C, n) flattened parameters, on their device; the others (C,), on the CPU."""

    W: Tensor
    steps: Tensor
    gradient_norm: Tensor
    status: Tensor
    train_loss: Tensor

    def best(self, other: _Trained) -> _Trained:
        """For each cell the one with the lower training loss; what diverged loses."""
        mine, others = (
            run.train_loss.nan_to_num(torch.inf).masked_fill(run.status == Status.DIVERGED, torch.inf)
            for run in (self, other)
        )
        first = mine <= others
        rest = {
            name: torch.where(first, getattr(self, name), getattr(other, name))
            for name in ("steps", "gradient_norm", "status", "train_loss")
        }
        return _Trained(torch.where(first.to(self.W.device).unsqueeze(-1), self.W, other.W), **rest)


def run_nonlinear(study: Study, cells: Cells, on_check: Callable[[int, int], None] | None = None) -> Records:
    """The closed form of a batch, if its model has one, and its training at every level the batch is to have."""
    records = Records(cells.closed_form(), [])
    everything = torch.arange(len(cells.batch.cells))
    eta, limit = cells.step_sizes()
    runs: list[_Trained] = []  # from start 0, 1, … at the study's own step size
    for level in cells.batch.trained:
        name, value = level
        rate = eta
        if name == "learning_rate":
            rate = torch.full_like(eta, float(value or 0))
            trained = _train(study, cells, rate, 0, on_check)
        else:
            for start in range(len(runs), int(value or 1)):
                runs.append(_train(study, cells, rate, start, on_check, records if level == UNABLATED else None))
            trained = runs[0]
            for run in runs[1 : int(value or 1)]:
                trained = trained.best(run)
        records.results += _rows(study, cells, level, trained, rate, limit, everything)
    return records


def _train(
    study: Study,
    cells: Cells,
    eta: Tensor,
    start: int,
    on_check: Callable[[int, int], None] | None,
    records: Records | None = None,
) -> _Trained:
    """Train every cell from one start; checkpoints are added to the curves and arrays of `records`."""
    gd, plain = study.gd, study.gd.optimizer == "gd"
    schedule = Schedule(gd.steps, gd.warmup, gd.schedule) if gd.warmup or gd.schedule != "constant" else None
    objective = cells.objective(start, eta if plain else torch.ones_like(eta))
    optimizer = None if plain else torch_optimizer(gd.optimizer, float(eta[0]), gd.optimizer_options)
    engine = Optimised(objective, optimizer, schedule, threads=study.threads.value)
    checkpoints = [gd.steps] if records is None else log_spaced(gd.steps, gd.checkpoints_per_decade)
    measured = torch.zeros(len(eta), dtype=torch.bool)
    # Another optimizer takes all its steps: its schedule and weight decay belong to what it is.
    tolerance = check_tolerance(gd.tolerance, getattr(torch, study.dtype)) if plain else 0.0
    state: State | None = None
    for state in descend(engine, checkpoints, tolerance, on_check):
        if records is not None:
            running = (~measured).nonzero().squeeze(-1)
            measured |= (state.status != Status.RUNNING).cpu()
            _checkpoint(study, cells, eta, running, state, records)
    assert state is not None  # there is always a last checkpoint
    loss = torch.from_numpy(cells.measure(state.W, torch.arange(len(eta)))["train_mse"])
    return _Trained(state.W, state.steps.cpu(), state.gradient_norm.cpu(), state.status.cpu(), loss)


def _checkpoint(study: Study, cells: Cells, eta: Tensor, running: Tensor, state: State, records: Records) -> None:
    """The cells that were running until now, at one checkpoint, beside the exact iterate where there is one."""
    batch = cells.batch
    keys = {**identity(batch, (UNABLATED,), running.numpy()), "estimator": study.gd.optimizer}
    W, t = state.W[running.to(state.W.device)], state.steps.cpu()[running]
    rows = {**keys, **cells.measure(W, running), "step": t.numpy()}
    rows["status"] = status = np.array(WORDS)[state.status.cpu().numpy()[running.numpy()]]
    rows |= cells.exact(W, eta, t, running) or {}
    records.curves.append({name: value for name, value in rows.items() if name in _OF_CURVES})
    kept = np.array([batch.cells[cell][1] == 0 for cell in running.tolist()])
    if kept.any():
        seed_0, last = torch.from_numpy(kept), status[kept] != Status.RUNNING.word
        pictures = cells.pictures(W[seed_0.to(W.device)], eta, t[seed_0], running[seed_0], last)
        for cell, step, arrays in zip(running[seed_0].tolist(), t[seed_0].tolist(), pictures, strict=True):
            one = {**identity(batch, (UNABLATED,), np.array([cell])), "estimator": study.gd.optimizer, "step": step}
            records.arrays += [{**one, "name": name, "value": value} for name, value in arrays.items()]


_OF_CURVES = {
    *("dataset", "model", "estimator", "ablation", "level", "n_train", "n_parameters", "n_hidden", "seed", "step"),
    *("train_mse", "test_mse", "distance", "weight_norm", "row_space_leak", "status"),
    *("exact_train_mse", "exact_test_mse", "exact_distance", "deviation"),
}


def _rows(
    study: Study, cells: Cells, level: Level, trained: _Trained, eta: Tensor, limit: Tensor, everything: Tensor
) -> list[Columns]:
    """Trained cells of one level and, where there is one, the exact iterate at the same steps."""
    rows = {
        **identity(cells.batch, (level,)),
        **cells.measure(trained.W, everything),
        "estimator": study.gd.optimizer,
        "step": trained.steps.numpy(),
        "gradient_norm": trained.gradient_norm.numpy(),
        "status": np.array(WORDS)[trained.status.numpy()],
        "step_size": eta.cpu().numpy(),
        "step_size_limit": limit.cpu().numpy() if study.gd.optimizer == "gd" else None,
        "target_mean_square": cells.energy,
        "precision": torch.finfo(trained.W.dtype).eps,
    }
    exact = cells.exact(trained.W, eta, trained.steps, everything) if level == UNABLATED else None
    if exact is None:
        return [rows]
    same = ("n_train", "n_parameters", "n_hidden", "seed", "dataset", "model", "ablation", "level", "step_size")
    shared = {name: rows[name] for name in (*same, "target_mean_square")}
    values = {name.removeprefix("exact_"): value for name, value in exact.items() if name.startswith("exact_")}
    return [rows, {**shared, **values, "estimator": "gd_closed_form", "status": "closed_form"}]
