"""One batch of cells → records. The only place where gradient descent meets its closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdstudy import closed_form, theory
from gdstudy.config import Study
from gdstudy.data import Dataset, training_rows
from gdstudy.descent import RUNNING, STATUSES, State, gradient_descent, largest_eigenvalue, log_spaced
from gdstudy.factors import ABLATIONS, Problem, bias_readout, variance_modes
from gdstudy.features import RANDOM, feature_map
from gdstudy.metrics import AllRows, SplitErrors, frobenius, relative_distance, row_space_leak
from gdstudy.plan import UNABLATED, Batch, Level
from gdstudy.spectrum import spectrum

Columns = dict[str, Any]  # column name → one value for all rows, or an array with one value a row


@dataclass
class Records:
    """Rows of the tables `results` and `curves` of one batch, as groups of columns."""

    results: list[Columns]
    curves: list[Columns]


@dataclass(frozen=True)
class _Stack:
    """A batch as tensors: its unablated problem, and what measures readouts on its splits."""

    batch: Batch
    problem: Problem
    n_train: Tensor
    errors: SplitErrors

    def measure(
        self, problems: list[Problem], W: list[Tensor], references: list[Tensor], cells: Tensor | None = None
    ) -> Columns:
        """The measured columns of `results`, problem by problem: each (L·C,) for L readouts W (C, P, k).

        references: what each readout is to be near. cells: (C,) of the batch, if not all.
        """
        problem = self.problem if cells is None else self.problem.at(cells)
        errors = self.errors if cells is None else self.errors.at(cells)
        n_levels, k = len(problems), W[0].shape[-1]
        W = [w.to(torch.float64) for w in W]
        tested = [p.tested(w) for p, w in zip(problems, W, strict=True)]
        gaps = [
            errors.value(w - p.beta) if p.linear else errors.residual(w) for p, w in zip(problems, tested, strict=True)
        ]
        shifts = [
            w.new_zeros(len(w), k) if p.test_shift is None else (p.test_shift.to(w).unsqueeze(1) @ w).squeeze(1)
            for p, w in zip(problems, tested, strict=True)
        ]
        # All levels side by side: one product with the rows for all of them.
        test, _ = errors.sums(_side_by_side(gaps), torch.cat(shifts, -1))
        # Where only the test rows differ, W and Y are the very same: what the training rows say is said once.
        which, first = _distinct([(id(w), id(p.Y)) for p, w in zip(problems, W, strict=True)])
        n_distinct, every_W = len(first), _side_by_side([W[i] for i in first])
        predictions = errors.rows[..., : problem.X.shape[-1]] @ every_W
        train = predictions.sub_(_side_by_side([problems[i].Y for i in first])).square_().sum(1)
        spec = problem.spectrum
        values = {
            "train_mse": (train / errors.n_train[:, None]).unflatten(-1, (n_distinct, k)).mean(-1),
            "distance": relative_distance(every_W, _side_by_side([references[i] for i in first]), n_distinct),
            "weight_norm": frobenius(every_W, n_distinct),
            "row_space_leak": row_space_leak(every_W, spec.Vt, spec.nonzero, n_distinct),
        }
        values = {name: value.reshape(-1, n_distinct)[:, which] for name, value in values.items()}
        values["test_mse"] = (test / errors.n_test[:, None]).unflatten(-1, (n_levels, k)).mean(-1)
        return {name: value.T.flatten().cpu().numpy() for name, value in values.items()}


def run_batch(
    study: Study, dataset: Dataset, batch: Batch, on_check: Callable[[int, int], None] | None = None
) -> Records:
    """The closed form of every cell of a batch at every ablation level and, where wanted, its training beside it.

    on_check(cell-steps taken, cells still running): called many times a second while training.
    """
    stack = _build_stack(study, dataset, batch)
    results = _closed_form_rows(stack)
    curves: list[Columns] = []
    unablated: _Trained | None = None
    for level in batch.trained:
        problem = _ablated(stack.problem, level)
        eta = _step_sizes(study, problem)
        if unablated is None:
            trained = unablated = _train(study, stack, problem, eta, on_check, curves)
        else:
            trained = _train_changed(study, stack, problem, eta, on_check, unablated)
        results += _trained_rows(study, stack, level, problem, eta, trained)
    if "theory" in study.estimators and dataset.law is not None and batch.model == "linear":
        results += _theory_rows(batch, dataset)
    return Records(results, curves)


def _build_stack(study: Study, dataset: Dataset, batch: Batch) -> _Stack:
    P = batch.n_parameters
    seeds = np.array([seed for _, seed in batch.cells])
    # A draw of the features for each seed, or one for all where there is nothing to draw.
    draws, draw = np.unique(seeds if batch.model in RANDOM else np.zeros_like(seeds), return_inverse=True)
    tables = [np.hstack([feature_map(batch.model, dataset.X, P, int(seed)), dataset.Y]) for seed in draws]
    numbers = training_rows(len(dataset.X), batch.cells, max(n for n, _ in batch.cells))
    rows64 = np.zeros((*numbers.shape, tables[0].shape[1]))
    for g, table in enumerate(tables):
        cells = draw == g
        rows64[cells] = table[numbers[cells]]
    rows64[numbers < 0] = 0

    dtype = getattr(torch, study.dtype)
    rows = torch.from_numpy(rows64).to(study.device)
    everything = AllRows.of(tables)
    beta = torch.from_numpy(everything.best_readout(P)).to(study.device)
    which = torch.from_numpy(draw).to(study.device)
    n_train = torch.tensor([n for n, _ in batch.cells], device=study.device)
    X, Y = rows[..., :P].to(dtype), rows[..., P:].to(dtype)
    # The cutoff of the cell itself, not of its zero-padded shape.
    spec = spectrum(X, rtol=n_train.clamp(min=P).to(dtype) * torch.finfo(dtype).eps)
    errors = SplitErrors(everything.to(study.device), which, rows, n_train)
    return _Stack(batch, Problem(X, Y, spec, beta.to(dtype)[which]), n_train, errors)


def _ablated(problem: Problem, level: Level) -> Problem:
    name, strength = level
    return problem if level == UNABLATED else ABLATIONS[name](problem, strength)  # type: ignore[arg-type]


def _side_by_side(columns: list[Tensor]) -> Tensor:
    """Stacks (C, n, k) joined along their last axis: (C, n, L·k)."""
    # Joined along the middle axis of their transposes, where whole columns are copied and not single numbers.
    return torch.cat([c.mT for c in columns], 1).mT


def _distinct(keys: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """(number of each key among the distinct ones, where each distinct one comes first)."""
    numbers: dict[tuple[int, int], int] = {}
    which = [numbers.setdefault(key, len(numbers)) for key in keys]
    return which, [which.index(number) for number in range(len(numbers))]


def _min_norm(problems: list[Problem]) -> list[Tensor]:
    """X⁺Y of problems that share their singular vectors: one product for all; one tensor where all is shared."""
    which, first = _distinct([(id(p.Y), id(p.spectrum)) for p in problems])
    parts = [problems[i] for i in first]
    filters = torch.stack([closed_form.min_norm_filter(p.spectrum) for p in parts], -1)
    k = parts[0].Y.shape[-1]
    W = parts[0].spectrum.filtered(filters.repeat_interleave(k, -1), _side_by_side([p.Y for p in parts])).split(k, -1)
    return [W[number] for number in which]


def _step_sizes(study: Study, problem: Problem) -> Tensor:
    """η of each cell: (C,)."""
    X = problem.X
    if study.gd.step_size.value != "auto":
        return torch.full((len(X),), float(study.gd.step_size.value), dtype=X.dtype, device=X.device)
    return 1 / largest_eigenvalue(problem.features()).clamp(min=torch.finfo(X.dtype).tiny)


def _closed_form_rows(stack: _Stack) -> list[Columns]:
    """`min_norm` at every level of the batch, and Eqn. 1's parts where nothing is ablated."""
    levels = stack.batch.closed
    problems = [_ablated(stack.problem, level) for level in levels]
    W = _min_norm(problems)
    measured = stack.measure(problems, W, W)
    rows = {**_identity(stack, levels), **_geometry(problems), **measured}
    rows |= {"estimator": "min_norm", "status": "closed_form"}
    for name, part in _error_parts(stack, W[0]).items():
        rows[name] = np.r_[part, np.full((len(levels) - 1) * len(part), np.nan)]
    return [rows]


def _error_parts(stack: _Stack, W: Tensor) -> Columns:
    """The error ŷ − y* of X⁺y in the parts of Eqn. 1, over the test rows of each cell: each (C,).

    variance_mean_of_squares: mean (x·X⁺E)². bias_mean_of_squares: mean (x·(X⁺X − I)β*)²;
    bias_square_of_mean: (mean x·(X⁺X − I)β*)², what the authors' code calls the squared bias.
    worst_mode_share: the largest share of one mode in Σ_r mean ((1/σ_r)(x·v_r)(u_r·E))².
    mode_sum_error: RMS of what modes and bias leave of ŷ − y*, relative to the RMS of ŷ − y*.
    """
    problem, errors = stack.problem, stack.errors
    beta = problem.beta
    coefficients = variance_modes(problem.spectrum, problem.Y - problem.X @ beta)
    modes = problem.spectrum.Vt.mT
    variance, bias = modes @ coefficients, bias_readout(problem.spectrum, beta)
    error = W - beta
    parts = [variance, bias, error, error - variance - bias]
    k = W.shape[-1]
    no_targets = modes.new_zeros(len(W), k, modes.shape[-1])
    z = _side_by_side([*(errors.value(part) for part in parts), torch.cat([modes, no_targets], 1)])
    squares, sums = errors.sums(z.to(torch.float64))
    n_test = errors.n_test.to(torch.float64)
    of_variance, of_bias, of_error, of_rest = (s.sum(1) for s in squares[:, : 4 * k].split(k, dim=1))
    energy = squares[:, 4 * k :] * coefficients.to(torch.float64).square().sum(-1)
    values = {
        "variance_mean_of_squares": of_variance / (n_test * k),
        "bias_mean_of_squares": of_bias / (n_test * k),
        "bias_square_of_mean": (sums[:, k : 2 * k] / n_test[:, None]).square().mean(1),
        "worst_mode_share": energy.max(1).values / energy.sum(1),
        "mode_sum_error": torch.where(of_rest == 0, 0, (of_rest / of_error).sqrt()),
    }
    return {name: value.cpu().numpy() for name, value in values.items()}


@dataclass(frozen=True)
class _Trained:
    """Cells when they finished. W: (C, P, k); steps, gradient_norm, status codes: (C,)."""

    W: Tensor
    steps: Tensor
    gradient_norm: Tensor
    status: Tensor


def _train(
    study: Study,
    stack: _Stack,
    problem: Problem,
    eta: Tensor,
    on_check: Callable[[int, int], None] | None,
    curves: list[Columns] | None = None,
    n_train: Tensor | None = None,
) -> _Trained:
    """Gradient descent from zero on every cell of a problem; checkpoints are added to `curves`."""
    steps = study.gd.steps
    measured = torch.zeros(len(eta), dtype=torch.bool, device=eta.device)
    (limit,) = _min_norm([problem])
    state: State | None = None
    for state in gradient_descent(
        problem.features(),
        problem.Y,
        [steps] if curves is None else log_spaced(steps, study.gd.checkpoints_per_decade),
        step_size=eta,
        tolerance=study.gd.tolerance,
        engine=study.gd.engine,
        n_rows=stack.n_train if n_train is None else n_train,
        on_check=on_check,
    ):
        if curves is not None:
            cells = (~measured).nonzero().squeeze(-1)
            measured |= state.status != RUNNING
            curves.append(_checkpoint(stack, problem, eta, limit, cells, state))
    assert state is not None  # there is always a last checkpoint
    return _Trained(state.W, state.steps, state.gradient_norm, state.status)


def _train_changed(
    study: Study,
    stack: _Stack,
    problem: Problem,
    eta: Tensor,
    on_check: Callable[[int, int], None] | None,
    unablated: _Trained,
) -> _Trained:
    """Train the cells whose training problem the ablation changed; the others have been trained already."""
    changed = (problem.spectrum.nonzero != stack.problem.spectrum.nonzero).any(-1)
    changed |= (problem.Y != stack.problem.Y).flatten(1).any(-1)
    cells = changed.nonzero().squeeze(-1)
    if not len(cells):
        return unablated
    part = _train(study, stack, problem.at(cells), eta[cells], on_check, n_train=stack.n_train[cells])
    names = ("W", "steps", "gradient_norm", "status")
    return _Trained(*(getattr(unablated, n).index_copy(0, cells, getattr(part, n)) for n in names))


def _exact_iterate(problem: Problem, eta: Tensor, t: Tensor) -> Tensor:
    """W_t of gradient descent in exact arithmetic, each cell at its own t (C,)."""
    f = closed_form.gd_filter(problem.spectrum.s, eta[:, None], t[:, None])
    return problem.spectrum.filtered(f.unsqueeze(-1), problem.Y)


def _trained_rows(
    study: Study,
    stack: _Stack,
    level: Level,
    problem: Problem,
    eta: Tensor,
    trained: _Trained,
) -> list[Columns]:
    """`gd` beside `gd_closed_form`, the exact iterate at the same steps."""
    (limit,) = _min_norm([problem])
    shared = {**_identity(stack, (level,)), **_geometry([problem])}
    shared |= {"step_size": eta.cpu().numpy()}
    shared |= {"step_size_limit": (2 / problem.spectrum.s[:, 0].square()).cpu().numpy()}
    rows = {
        **shared,
        **stack.measure([problem], [trained.W], [limit]),
        **_certificate(study, problem, eta, trained.W, limit),
        "estimator": "gd",
        "step": trained.steps.cpu().numpy(),
        "gradient_norm": trained.gradient_norm.cpu().numpy(),
        "status": np.array(STATUSES)[trained.status.cpu().numpy()],
    }
    exact = stack.measure([problem], [_exact_iterate(problem, eta, trained.steps)], [limit])
    return [rows, {**shared, **exact, "estimator": "gd_closed_form", "status": "closed_form"}]


def _theory_rows(batch: Batch, dataset: Dataset) -> list[Columns]:
    """Exact expected test error of each N whose first seed is in the batch; rows without a seed."""
    sizes = np.array([n for n, seed in batch.cells if seed == 0])
    if dataset.law is None or not len(sizes):
        return []
    risk = theory.gaussian_test_mse(sizes, batch.n_parameters, dataset.law.signal, dataset.law.noise)
    names = {"dataset": batch.dataset, "model": batch.model, "estimator": "theory", "ablation": "none"}
    return [{**names, "n_train": sizes, "n_parameters": batch.n_parameters, "test_mse": risk, "status": "closed_form"}]


def _identity(stack: _Stack, levels: Sequence[Level], cells: np.ndarray | None = None) -> Columns:
    sizes = np.array(stack.batch.cells)[slice(None) if cells is None else cells]
    return {
        "dataset": stack.batch.dataset,
        "model": stack.batch.model,
        "ablation": np.repeat([name for name, _ in levels], len(sizes)),
        "level": np.repeat(np.array([level for _, level in levels], dtype=float), len(sizes)),
        "n_train": np.tile(sizes[:, 0], len(levels)),
        "n_parameters": stack.batch.n_parameters,
        "seed": np.tile(sizes[:, 1], len(levels)),
    }


def _geometry(problems: list[Problem]) -> Columns:
    """Spectra of what is trained on, problem by problem: each (L·C,)."""
    smallest = torch.stack([p.spectrum.smallest for p in problems])
    values = {
        "smallest_singular_value": smallest,
        "condition_number": torch.stack([p.spectrum.s[:, 0] for p in problems]) / smallest,
        "rank": torch.stack([p.spectrum.rank for p in problems]),
    }
    return {name: value.flatten().cpu().numpy() for name, value in values.items()}


def _checkpoint(stack: _Stack, problem: Problem, eta: Tensor, limit: Tensor, cells: Tensor, state: State) -> Columns:
    """Trained cells at one checkpoint beside the exact iterate at the same t."""
    part, t, W, reference = problem.at(cells), state.steps[cells], state.W[cells], limit[cells]
    W_exact = _exact_iterate(part, eta[cells], t)
    exact = stack.measure([part], [W_exact], [reference], cells)
    return {
        **_identity(stack, (UNABLATED,), cells.cpu().numpy()),
        **stack.measure([part], [W], [reference], cells),
        "estimator": "gd",
        "step": t.cpu().numpy(),
        "exact_train_mse": exact["train_mse"],
        "exact_test_mse": exact["test_mse"],
        "exact_distance": exact["distance"],
        "deviation": relative_distance(W, W_exact).cpu().numpy(),
        "status": np.array(STATUSES)[state.status[cells].cpu().numpy()],
    }


def _certificate(study: Study, problem: Problem, eta: Tensor, W: Tensor, limit: Tensor) -> Columns:
    """What is left to learn, mode by mode: c_r = v_r·(W − X⁺Y).

    slowest_singular_value: the smallest σ_r whose |c_r| is still more than the tolerance of ‖X⁺Y‖_F;
    slowest_error_share: its share |c_r|²/Σ|c|² of the remaining squared error; both empty if none is left.
    steps_to_tolerance: how many more until ‖∇L‖ ≤ tolerance·‖XᵀY‖; infinite where the step size is unstable.
    """
    spec, s = problem.spectrum, problem.spectrum.s.to(torch.float64)
    remaining = (spec.Vt @ (W - limit)).to(torch.float64).norm(dim=-1)
    remaining = torch.where(spec.nonzero, remaining, 0)
    unlearnt = remaining > study.gd.tolerance * frobenius(limit).to(torch.float64)[:, None]
    slowest = torch.where(unlearnt, s, torch.inf).min(-1)
    share = remaining.square() / remaining.square().sum(-1, keepdim=True)
    tolerance = max(study.gd.tolerance, 100 * torch.finfo(W.dtype).eps)
    target = tolerance * frobenius(problem.features().mT @ problem.Y).to(torch.float64)
    some = unlearnt.any(-1)
    values = {
        "slowest_singular_value": torch.where(some, slowest.values, torch.nan),
        "slowest_error_share": torch.where(some, share.gather(-1, slowest.indices[:, None]).squeeze(-1), torch.nan),
        "steps_to_tolerance": closed_form.steps_to_gradient(s, eta.to(torch.float64), remaining, target),
    }
    return {name: value.cpu().numpy() for name, value in values.items()}
