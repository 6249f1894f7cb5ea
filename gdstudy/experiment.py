"""One batch of cells → records. The only place where gradient descent meets its closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdstudy import closed_form
from gdstudy.config import Study
from gdstudy.data import Dataset, training_stack
from gdstudy.descent import RUNNING, STATUSES, State, gradient_descent, largest_eigenvalue, log_spaced
from gdstudy.metrics import SplitErrors, frobenius, relative_distance, row_space_leak

Columns = dict[str, Any]  # column name → one value for all rows, or an array with one value a row


@dataclass(frozen=True)
class Batch:
    """Cells of one data set and model that train as one stack; `number` is its place in the study."""

    number: int
    dataset: str
    model: str
    cells: tuple[tuple[int, int], ...]  # (n_train, seed)


@dataclass
class Records:
    """Rows of the tables `results` and `curves` of one batch, as groups of columns."""

    results: list[Columns]
    curves: list[Columns]


@dataclass(frozen=True)
class _Stack:
    """A batch as tensors, with the closed form of what it trains."""

    X: Tensor
    Y: Tensor
    n_train: Tensor
    spec: closed_form.Spectrum
    W_min_norm: Tensor
    eta: Tensor
    errors: SplitErrors

    def measure(self, W: Tensor, cells: Tensor) -> dict[str, np.ndarray]:
        """The measured columns of `results` for readouts W (c, P, k) of the given cells (c,)."""
        train, test = self.errors(W, cells)
        leak = row_space_leak(W, self.spec.Vt[cells], self.spec.nonzero[cells])
        values = {
            "train_mse": train,
            "test_mse": test,
            "distance": relative_distance(W, self.W_min_norm[cells]),
            "weight_norm": frobenius(W),
            "row_space_leak": leak,
        }
        return {name: value.cpu().numpy() for name, value in values.items()}

    def exact_iterate(self, t: Tensor, cells: Tensor) -> Tensor:
        """W_t of gradient descent in exact arithmetic, each cell at its own t (c,)."""
        f = closed_form.gd_filter(self.spec.s[cells], self.eta[cells, None], t[:, None])
        part = closed_form.Spectrum(
            self.spec.U[cells], self.spec.s[cells], self.spec.Vt[cells], self.spec.nonzero[cells]
        )
        return part.filtered(f, self.Y[cells])


def run_batch(
    study: Study, dataset: Dataset, batch: Batch, on_check: Callable[[int, int], None] | None = None
) -> Records:
    """Train every cell of a batch by gradient descent and put its closed form beside it.

    on_check(cell-steps taken, cells still running): called many times a second, for progress.
    """
    stack = _build_stack(study, dataset, batch)
    n_cells = len(batch.cells)
    everyone = torch.arange(n_cells, device=stack.X.device)
    identity = _identity(batch, stack, everyone.cpu().numpy())
    geometry = _geometry(stack)

    curves: list[Columns] = []
    measured = torch.zeros(n_cells, dtype=torch.bool, device=stack.X.device)
    state: State | None = None
    for state in gradient_descent(
        stack.X,
        stack.Y,
        log_spaced(study.gd.steps, study.gd.checkpoints_per_decade),
        step_size=stack.eta,
        tolerance=study.gd.tolerance,
        engine=study.gd.engine,
        n_rows=stack.n_train,
        on_check=on_check,
    ):
        status, steps, W = _tensors(state)
        cells = (~measured).nonzero().squeeze(-1)
        measured |= status != RUNNING
        curves.append(_checkpoint(batch, stack, cells, steps[cells], W[cells], status[cells]))
    assert state is not None  # there is always a last checkpoint
    status, steps, W = _tensors(state)
    trained = {
        **identity,
        **geometry,
        **stack.measure(W, everyone),
        **_certificate(study, stack, W),
        "estimator": "gd",
        "step": steps.cpu().numpy(),
        "gradient_norm": torch.as_tensor(state.gradient_norm).cpu().numpy(),
        "status": np.array(STATUSES)[status.cpu().numpy()],
    }
    exact = stack.measure(stack.exact_iterate(steps, everyone), everyone)
    limit = stack.measure(stack.W_min_norm, everyone)
    closed = {**identity, **geometry, "status": "closed_form"}
    results = [
        trained,
        {**closed, **exact, "estimator": "gd_closed_form"},
        {**closed, **limit, "estimator": "min_norm"},
    ]
    return Records(results, curves)


def _build_stack(study: Study, dataset: Dataset, batch: Batch) -> _Stack:
    X64, Y64 = (
        torch.from_numpy(a).to(study.device)
        for a in training_stack(dataset, batch.cells, max(n for n, _ in batch.cells))
    )
    dtype = getattr(torch, study.dtype)
    X, Y = X64.to(dtype), Y64.to(dtype)
    n_train = torch.tensor([n for n, _ in batch.cells], device=study.device)
    P = X.shape[-1]
    # The cutoff of the cell itself, not of its zero-padded shape.
    spec = closed_form.spectrum(X, rtol=n_train.clamp(min=P).to(dtype) * torch.finfo(dtype).eps)
    step_size = study.gd.step_size.value
    if step_size == "auto":
        eta = 1 / largest_eigenvalue(X).clamp(min=torch.finfo(dtype).tiny)
    else:
        eta = torch.full((len(X),), float(step_size), dtype=dtype, device=study.device)
    R = np.linalg.qr(np.hstack([dataset.X, dataset.Y]), mode="r")
    errors = SplitErrors(torch.from_numpy(R).to(study.device), X64, Y64, n_train, len(dataset.X))
    W_min_norm = spec.filtered(closed_form.min_norm_filter(spec), Y)
    return _Stack(X, Y, n_train, spec, W_min_norm, eta, errors)


def _tensors(state: State) -> tuple[Tensor, Tensor, Tensor]:
    return torch.as_tensor(state.status), torch.as_tensor(state.steps), torch.as_tensor(state.W)


def _identity(batch: Batch, stack: _Stack, cells: np.ndarray) -> Columns:
    sizes = np.array(batch.cells)[cells]
    return {
        "dataset": batch.dataset,
        "model": batch.model,
        "ablation": "none",
        "n_train": sizes[:, 0],
        "n_parameters": stack.X.shape[-1],
        "seed": sizes[:, 1],
    }


def _geometry(stack: _Stack) -> Columns:
    smallest = stack.spec.smallest
    values = {
        "smallest_singular_value": smallest,
        "condition_number": stack.spec.s[:, 0] / smallest,
        "rank": stack.spec.rank,
        "step_size": stack.eta,
        "step_size_limit": 2 / stack.spec.s[:, 0].square(),
    }
    return {name: value.cpu().numpy() for name, value in values.items()}


def _checkpoint(batch: Batch, stack: _Stack, cells: Tensor, t: Tensor, W: Tensor, status: Tensor) -> Columns:
    """Trained cells at one checkpoint beside the exact iterate at the same t."""
    W_exact = stack.exact_iterate(t, cells)
    exact = stack.measure(W_exact, cells)
    return {
        **_identity(batch, stack, cells.cpu().numpy()),
        **stack.measure(W, cells),
        "estimator": "gd",
        "step": t.cpu().numpy(),
        "exact_train_mse": exact["train_mse"],
        "exact_test_mse": exact["test_mse"],
        "exact_distance": exact["distance"],
        "deviation": relative_distance(W, W_exact).cpu().numpy(),
        "status": np.array(STATUSES)[status.cpu().numpy()],
    }


def _certificate(study: Study, stack: _Stack, W: Tensor) -> Columns:
    """What is left to learn, mode by mode: c_r = v_r·(W − X⁺Y).

    slowest_singular_value: the smallest σ_r whose |c_r| is still more than the tolerance of ‖X⁺Y‖_F;
    slowest_error_share: its share |c_r|²/Σ|c|² of the remaining squared error; both empty if none is left.
    steps_to_tolerance: the fewest further steps s with ‖∇L‖ = √Σ(σ_r² |c_r| |1 − ησ_r²|^s)² at or below
    tolerance·‖XᵀY‖; infinite where the step size is unstable.
    """
    s = stack.spec.s.to(torch.float64)
    eta = stack.eta.to(torch.float64)[:, None]
    remaining = (stack.spec.Vt @ (W - stack.W_min_norm)).to(torch.float64).norm(dim=-1)
    remaining = torch.where(stack.spec.nonzero, remaining, 0)
    scale = frobenius(stack.W_min_norm).to(torch.float64)[:, None]
    unlearnt = remaining > study.gd.tolerance * scale
    slowest = torch.where(unlearnt, s, torch.inf).min(-1)
    share = remaining.square() / remaining.square().sum(-1, keepdim=True)
    some = unlearnt.any(-1)

    tolerance = max(study.gd.tolerance, 100 * torch.finfo(stack.X.dtype).eps)
    target = tolerance * frobenius(stack.X.mT @ stack.Y).to(torch.float64)
    log_decay = (1 - eta * s.square()).abs().log()

    def gradient(more: Tensor) -> Tensor:
        decay = torch.where(log_decay == 0, log_decay, torch.special.xlogy(more[:, None], log_decay.exp()))
        return (s.square() * remaining * decay.exp()).norm(dim=-1)

    low, high = torch.zeros_like(target), torch.full_like(target, 1e18)
    done = ~(gradient(low) > target)
    never = ~(gradient(high) <= target)
    for _ in range(120):  # bisection on whole numbers up to 10¹⁸
        middle = ((low + high) / 2).floor()
        enough = gradient(middle) <= target
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    steps = torch.where(done, 0, torch.where(never, torch.inf, high))
    return {
        "slowest_singular_value": torch.where(some, slowest.values, torch.nan).cpu().numpy(),
        "slowest_error_share": torch.where(some, share.gather(-1, slowest.indices[:, None]).squeeze(-1), torch.nan)
        .cpu()
        .numpy(),
        "steps_to_tolerance": steps.cpu().numpy(),
    }


def plan(study: Study, datasets: Sequence[Dataset]) -> list[Batch]:
    """The study's batches, the same for the same study: N-contiguous, of at most `batch_cells` cells.

    Neighbouring N have similar condition numbers, so a stack of them finishes together.
    """
    batches: list[Batch] = []
    cells = [(n, seed) for n in study.n_train for seed in range(study.seeds)]
    for dataset in datasets:
        for model in study.models:
            for first in range(0, len(cells), study.batch_cells):
                part = tuple(cells[first : first + study.batch_cells])
                batches.append(Batch(len(batches), dataset.name, model, part))
    return batches
