"""Readouts: X⁺Y at every ablation level, and gradient descent from zero beside its exact iterate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gdstudy.closed_form.factors import ABLATIONS, Problem
from gdstudy.closed_form.iterates import gd_readout, steps_to_gradient
from gdstudy.data.dataset import Dataset
from gdstudy.data.features import feature_map
from gdstudy.data.splits import split
from gdstudy.experiment.error_parts import error_parts, rounding
from gdstudy.experiment.plan import UNABLATED, Batch, Level
from gdstudy.experiment.stack import Columns, Records, Stack, build_stack, distinct, geometry, identity, side_by_side
from gdstudy.linalg.metrics import frobenius, relative_distance
from gdstudy.linalg.units import in_precision
from gdstudy.study.config import Study
from gdstudy.study.schema import AUTOENCODERS
from gdstudy.study.status import WORDS, Status
from gdstudy.theory.denoising import denoising_law
from gdstudy.theory.hastie import gaussian_test_mse
from gdstudy.training.arguments import check_tolerance, log_spaced
from gdstudy.training.descent import State, largest_eigenvalue
from gdstudy.training.gradient_descent import gradient_descent

PICTURES = 8  # test rows of which an autoencoder's inputs and outputs are kept


def run_readouts(
    study: Study, dataset: Dataset, batch: Batch, on_check: Callable[[int, int], None] | None = None
) -> Records:
    """The closed form of every cell of a batch at every ablation level and, where wanted, its training beside it."""
    stack = build_stack(study, dataset, batch)
    results = _closed_form_rows(stack)
    curves: list[Columns] = []
    arrays = _pictures(stack, dataset, "min_norm", _min_norm([stack.problem])[0])
    unablated: _Trained | None = None
    for level in batch.trained:
        problem = _ablated(stack.problem, level)
        eta = _step_sizes(study, problem)
        if unablated is None:
            trained = unablated = _train(study, stack, problem, eta, on_check, curves)
            arrays += _pictures(stack, dataset, "gd", trained.W)
        else:
            trained = _train_changed(study, stack, problem, eta, on_check, unablated)
        results += _trained_rows(study, stack, level, problem, eta, trained)
    if "theory" in study.estimators:
        results += _theory_rows(batch, dataset)
    return Records(results, curves, arrays)


def _ablated(problem: Problem, level: Level) -> Problem:
    name, strength = level
    return problem if level == UNABLATED else ABLATIONS[name](problem, strength)  # type: ignore[arg-type]


def _min_norm(problems: list[Problem]) -> list[Tensor]:
    """X⁺Y of problems that share their singular vectors: one product for all; one tensor where all is shared."""
    which, first = distinct([(id(p.Y), id(p.spectrum)) for p in problems])
    parts = [problems[i] for i in first]
    filters = torch.stack([p.spectrum.inverse for p in parts], -1)
    k = parts[0].Y.shape[-1]
    W = parts[0].spectrum.filtered(filters.repeat_interleave(k, -1), side_by_side([p.Y for p in parts])).split(k, -1)
    return [W[number] for number in which]


def _step_sizes(study: Study, problem: Problem) -> Tensor:
    """η of each cell as the dtype of training holds it: (C,) float64."""
    X = problem.X
    if study.gd.step_size.value != "auto":
        eta = X.new_full((len(X),), float(study.gd.step_size.value))
    else:
        eta = 1 / largest_eigenvalue(problem.features()).clamp(min=torch.finfo(X.dtype).tiny)
    return in_precision(eta, getattr(torch, study.dtype))


def _closed_form_rows(stack: Stack) -> list[Columns]:
    """`min_norm` at every level of the batch, and Eqn. 1's parts where nothing is ablated."""
    levels = stack.batch.closed
    problems = [_ablated(stack.problem, level) for level in levels]
    W = _min_norm(problems)
    measured = stack.measure(problems, W, W)
    rows = {**identity(stack.batch, levels), **geometry(problems), **measured}
    rows |= {"estimator": "min_norm", "status": "closed_form", "target_mean_square": stack.target_mean_square}
    rows |= _dimensions(rows["rank"], rows)
    rows["rounding"] = torch.cat([rounding(stack, p, w) for p, w in zip(problems, W, strict=True)]).cpu().numpy()
    for name, part in error_parts(stack, W[0]).items():
        rows[name] = np.r_[part, np.full((len(levels) - 1) * len(part), np.nan)]
    return [rows]


def _dimensions(freedom: np.ndarray, rows: Columns) -> Columns:
    """What share of a solution's degrees of freedom falls to each data point and to each feature.

    data_point_dimension: mean leverage of a training row, tr(XX⁺)/N = R/N, by how much ŷ_n follows y_n alone. 1 where
    the Gram matrix XXᵀ is invertible: every row is stored. feature_dimension: mean leverage of a feature, tr(X⁺X)/P =
    R/P; 1 where the second-moment matrix XᵀX is invertible: every direction of features is known (App. C).
    freedom: R, or tr W of a trained linear autoencoder, whose limit X⁺X has that trace.
    """
    return {
        "data_point_dimension": freedom / rows["n_train"],
        "feature_dimension": freedom / rows["n_parameters"],
    }


def _pictures(stack: Stack, dataset: Dataset, estimator: str, W: Tensor) -> list[Columns]:
    """An autoencoder's inputs, targets and outputs on the first test rows of seed 0, each (rows, D)."""
    batch = stack.batch
    if batch.model not in AUTOENCODERS:
        return []
    x, target, groups = dataset.inputs(0), dataset.clean(), []
    for c, (n_train, seed) in enumerate(batch.cells):
        if seed == 0:
            test = split(dataset.n_rows, n_train, 0)[1][:PICTURES]
            features = feature_map(batch.model, x, batch.n_parameters, 0)[test]
            pictures = {"inputs": x[test], "targets": target[test], "outputs": features @ W[c].numpy(force=True)}
            keys = {**identity(batch, (UNABLATED,), np.array([c])), "estimator": estimator}
            groups += [{**keys, "name": name, "value": value} for name, value in pictures.items()]
    return groups


@dataclass(frozen=True)
class _Trained:
    """Cells when they finished. W: (C, P, k); steps, gradient_norm, status codes: (C,)."""

    W: Tensor
    steps: Tensor
    gradient_norm: Tensor
    status: Tensor


def _train(
    study: Study,
    stack: Stack,
    problem: Problem,
    eta: Tensor,
    on_check: Callable[[int, int], None] | None,
    curves: list[Columns] | None = None,
    n_train: Tensor | None = None,
) -> _Trained:
    """Gradient descent from zero on every cell of a problem; checkpoints are added to `curves`."""
    steps = study.gd.steps
    running, cells = stack, torch.arange(len(eta), device=eta.device)
    (limit,) = _min_norm([problem])
    dtype = getattr(torch, study.dtype)
    state: State | None = None
    for state in gradient_descent(
        problem.features().to(dtype),
        problem.Y.to(dtype),
        [steps] if curves is None else log_spaced(steps, study.gd.checkpoints_per_decade),
        step_size=eta,
        tolerance=study.gd.tolerance,
        engine=study.gd.engine,
        n_rows=stack.n_train if n_train is None else n_train,
        threads=study.threads.value,
        on_check=on_check,
    ):
        if curves is not None:
            curves.append(_checkpoint(stack.batch, running, cells, eta, limit, state))
            left = (state.status[cells] == Status.RUNNING).nonzero().squeeze(-1)
            running, cells = running.at(left), cells[left]
    assert state is not None  # there is always a last checkpoint
    return _Trained(state.W, state.steps, state.gradient_norm, state.status)


def _train_changed(
    study: Study,
    stack: Stack,
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


def _trained_rows(
    study: Study,
    stack: Stack,
    level: Level,
    problem: Problem,
    eta: Tensor,
    trained: _Trained,
) -> list[Columns]:
    """`gd` beside `gd_closed_form`, the exact iterate at the same steps."""
    (limit,) = _min_norm([problem])
    shared = {**identity(stack.batch, (level,)), **geometry([problem])}
    shared |= {"step_size": eta.cpu().numpy(), "target_mean_square": stack.target_mean_square}
    shared |= {"step_size_limit": (2 / problem.spectrum.s[:, 0].square()).cpu().numpy()}
    rows = {
        **shared,
        **stack.measure([problem], [trained.W], [limit]),
        **_certificate(study, problem, eta, trained.W, limit),
        "estimator": "gd",
        "step": trained.steps.cpu().numpy(),
        "gradient_norm": trained.gradient_norm.cpu().numpy(),
        "status": np.array(WORDS)[trained.status.cpu().numpy()],
        "precision": torch.finfo(trained.W.dtype).eps,
    }
    if level == UNABLATED and stack.batch.model == "linear_autoencoder" and "+noise" not in stack.batch.dataset:
        rows |= _dimensions(trained.W.diagonal(dim1=-2, dim2=-1).sum(-1).cpu().numpy(), rows)
    exact = stack.measure([problem], [gd_readout(problem.spectrum, problem.Y, eta, trained.steps)], [limit])
    return [rows, {**shared, **exact, "estimator": "gd_closed_form", "status": "closed_form"}]


def _theory_rows(batch: Batch, dataset: Dataset) -> list[Columns]:
    """Exact expected test error of each N whose first seed is in the batch, where it is known; rows without a seed."""
    sizes = np.array([n for n, seed in batch.cells if seed == 0])
    law = dataset.law if batch.model == "linear" else None
    if batch.model == "linear_autoencoder" and dataset.covariance is not None:
        law = denoising_law(dataset.covariance, dataset.input_noise)
    if law is None or not len(sizes):
        return []
    risk = gaussian_test_mse(sizes, batch.n_parameters, law.signal, law.noise, law.isotropic)
    sizes, risk = sizes[~np.isnan(risk)], risk[~np.isnan(risk)]
    if not len(sizes):
        return []
    names = {"dataset": batch.dataset, "model": batch.model, "estimator": "theory", "ablation": "none"}
    energy = {} if dataset.covariance is None else {"target_mean_square": float(dataset.covariance.mean())}
    rows = {"n_train": sizes, "n_parameters": batch.n_parameters, "test_mse": risk, "status": "closed_form"}
    return [{**names, **rows, **energy}]


def _checkpoint(batch: Batch, running: Stack, cells: Tensor, eta: Tensor, limit: Tensor, state: State) -> Columns:
    """Cells of a batch that were running until this checkpoint, beside the exact iterate at the same t."""
    part, t, W, reference = running.problem, state.steps[cells], state.W[cells], limit[cells]
    W_exact = gd_readout(part.spectrum, part.Y, eta[cells], t)
    exact = running.measure([part], [W_exact], [reference])
    return {
        **identity(batch, (UNABLATED,), cells.cpu().numpy()),
        **running.measure([part], [W], [reference]),
        "estimator": "gd",
        "step": t.cpu().numpy(),
        "exact_train_mse": exact["train_mse"],
        "exact_test_mse": exact["test_mse"],
        "exact_distance": exact["distance"],
        "deviation": relative_distance(W.to(torch.float64), W_exact).cpu().numpy(),
        "status": np.array(WORDS)[state.status[cells].cpu().numpy()],
    }


def _certificate(study: Study, problem: Problem, eta: Tensor, W: Tensor, limit: Tensor) -> Columns:
    """What is left to learn, mode by mode: c_r = v_r·(W − X⁺Y).

    slowest_singular_value: the smallest σ_r whose |c_r| is still more than the tolerance of ‖X⁺Y‖_F;
    slowest_error_share: its share |c_r|²/Σ|c|² of the remaining squared error; both empty if none is left.
    steps_to_tolerance: how many more until ‖∇L‖ ≤ tolerance·‖XᵀY‖; infinite where the step size is unstable.
    """
    spec, s = problem.spectrum, problem.spectrum.s
    remaining = (spec.Vt @ (W.to(torch.float64) - limit)).norm(dim=-1)
    remaining = torch.where(spec.nonzero, remaining, 0)
    unlearnt = remaining > study.gd.tolerance * frobenius(limit)[:, None]
    slowest = torch.where(unlearnt, s, torch.inf).min(-1)
    share = remaining.square() / remaining.square().sum(-1, keepdim=True)
    target = check_tolerance(study.gd.tolerance, W.dtype) * frobenius(problem.features().mT @ problem.Y)
    some = unlearnt.any(-1)
    values = {
        "slowest_singular_value": torch.where(some, slowest.values, torch.nan),
        "slowest_error_share": torch.where(some, share.gather(-1, slowest.indices[:, None]).squeeze(-1), torch.nan),
        "steps_to_tolerance": steps_to_gradient(s, eta, remaining, target),
    }
    return {name: value.cpu().numpy() for name, value in values.items()}
