"""Readouts: X⁺Y at every ablation level, and training from zero beside its exact iterate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from gdstudy.closed_form.certificate import left_to_learn, slowest_mode
from gdstudy.closed_form.factors import Problem
from gdstudy.closed_form.iterates import gd_filter, steps_to_gradient
from gdstudy.data.dataset import Dataset
from gdstudy.data.features import feature_map
from gdstudy.data.splits import split, stream
from gdstudy.experiment.error_parts import error_parts, rounding
from gdstudy.experiment.optimise import train, weights
from gdstudy.experiment.plan import Batch, Level
from gdstudy.experiment.regularised import closed_forms
from gdstudy.experiment.rows import Columns, Records, identity
from gdstudy.experiment.running import Running
from gdstudy.experiment.stack import build_stack, distinct, geometry, side_by_side
from gdstudy.linalg.metrics import frobenius, relative_distance
from gdstudy.linalg.spectrum import product
from gdstudy.linalg.units import in_precision, times_power_of_two
from gdstudy.study.ablations import ABLATIONS, UNABLATED
from gdstudy.study.config import Study
from gdstudy.study.entries import code
from gdstudy.study.errors import StudyError
from gdstudy.study.groups import Training
from gdstudy.study.models import MODELS
from gdstudy.training.arguments import check_tolerance
from gdstudy.training.descent import State, largest_eigenvalue, step_size_for
from gdstudy.training.engine import Saver
from gdstudy.training.gradient_descent import gradient_descent
from gdstudy.training.modules import LinearReadout
from gdstudy.training.objectives import Autograd

PICTURES = 8  # test rows of which an autoencoder's inputs and outputs are kept


class Readouts:
    """A batch of readouts W (C, P, k) on frozen features, trained from zero."""

    def __init__(self, study: Study, dataset: Dataset, batch: Batch) -> None:
        self.study, self.dataset, self.batch, self.model = study, dataset, batch, MODELS[batch.model]
        self.stack = build_stack(study, dataset, batch)

    def closed_form(self) -> Records:
        """`min_norm` at every level of the batch, and Eqn. 1's parts where nothing is ablated."""
        stack, levels = self.stack, self.batch.closed
        problems = [ablated(stack.problem, level) for level in levels]
        W = min_norm(problems)
        measured = stack.measure(problems, W, W)
        rows = {**identity(self.batch, levels), **geometry(problems), **measured}
        rows |= {"estimator": "min_norm", "status": "closed_form", **stack.of_targets}
        rows |= _dimensions(rows["rank"], rows)
        rows["rounding"] = rounding(stack, problems, W).cpu().numpy()
        for name, part in error_parts(stack, W[0]).items():
            rows[name] = np.r_[part, np.full((len(levels) - 1) * len(part), np.nan)]
        beside = closed_forms(self.study, stack, W[0])
        return Records([rows, *beside], [], self._closed_pictures(W[0]))

    def _closed_pictures(self, W: Tensor) -> list[Columns]:
        first = [c for c, (_, seed) in enumerate(self.batch.cells) if seed == self.study.seeds[0]]
        shown = torch.tensor(first, dtype=torch.int64)
        groups = []
        for cell, arrays in zip(shown.tolist(), self.pictures(W[shown], shown), strict=True):
            keys = {**identity(self.batch, (UNABLATED,), np.array([cell])), "estimator": "min_norm"}
            groups += [{**keys, "name": name, "value": value} for name, value in arrays.items()]
        return groups

    def pictures(self, W: Tensor, cells: Tensor) -> list[dict[str, np.ndarray]]:
        """An autoencoder's inputs, targets and outputs on the first test rows of the first seed, each (rows, D)."""
        if not self.model.autoencoder or not len(cells):
            return [{} for _ in cells]
        seed = self.study.seeds[0]
        x, target, found = self.dataset.inputs(seed), self.dataset.clean(), []
        features = feature_map(self.model, x, self.batch.n_parameters, seed, self.study.intercept)
        for w, cell in zip(W, cells.tolist(), strict=True):
            test = split(self.dataset.n_rows, self.batch.cells[cell][0], seed)[1][:PICTURES]
            outputs = features[test] @ w.numpy(force=True)
            found.append({"inputs": x[test], "targets": target[test], "outputs": outputs})
        return found

    def task(self, training: Training, level: Level) -> ReadoutTask:
        return ReadoutTask(self, training, level)


class ReadoutTask:
    """One training of readouts at one ablation level, as the driver trains and measures it."""

    def __init__(self, cells: Readouts, training: Training, level: Level) -> None:
        self.cells, self.training, self.level = cells, training, level
        self.problem = ablated(cells.stack.problem, level)
        self.dtype = getattr(torch, training.dtype)
        # A descent from W₀ is one from zero on what W₀ leaves of the targets.
        self.W0 = self._start()
        self.rest = self.problem if self.W0 is None else self._without_start(self.W0)
        (limit,) = min_norm([self.rest])
        self.limit = limit if self.W0 is None else self.W0 + limit
        self.step_size = self._step_sizes()
        self.step_size_limit = 2 * (1 + training.momentum) / self.problem.spectrum.s[:, 0].square()
        self.columns: Columns = geometry([self.problem]) | cells.stack.of_targets
        self._running = Running(cells.stack, self.limit, cells.study.threads.value)
        self._seen = product(self.rest.spectrum.U.mT, self.rest.Y)

    def _start(self) -> Tensor | None:
        """W₀ of each cell, (C, P, k), drawn for its seed; None for zero."""
        if self.training.start == "own":
            return None
        cells, shape = self.cells.batch.cells, (self.problem.X.shape[-1], self.problem.Y.shape[-1])
        draws = {seed: stream(seed, "readout").standard_normal(shape) for _, seed in cells}
        return self.training.init_scale * torch.from_numpy(np.stack([draws[s] for _, s in cells])).to(self.problem.X)

    def _without_start(self, W0: Tensor) -> Problem:
        return replace(self.problem, Y=self.problem.Y - self.problem.features() @ W0)

    def _step_sizes(self) -> Tensor:
        X = self.problem.X
        if self.training.step_size.value != "auto":
            eta = X.new_full((len(X),), float(self.training.step_size.value))
        else:
            eta = step_size_for(largest_eigenvalue(self.problem.features()))
        return in_precision(eta, self.dtype)

    @property
    def changed(self) -> Tensor:
        """Cells whose training problem the ablation changed: (c,)."""
        unablated = self.cells.stack.problem
        changed = (self.problem.spectrum.nonzero != unablated.spectrum.nonzero).any(-1)
        changed |= (self.problem.Y != unablated.Y).flatten(1).any(-1)
        return changed.nonzero().squeeze(-1).cpu()

    def states(
        self,
        start: int,
        checkpoints: Sequence[int],
        cells: Tensor,
        on_check: Callable[[int, int], None] | None,
        saver: Saver | None,
    ) -> Iterator[State]:
        problem = self.problem if len(cells) == len(self.limit) else self.problem.at(cells)
        X, Y, eta = problem.features().to(self.dtype), problem.Y.to(self.dtype), self.step_size[cells]
        n_rows, threads = self.cells.stack.n_train[cells], self.cells.study.threads.value
        W0 = None if self.W0 is None else self.W0[cells].to(self.dtype)
        if self.training.plain:
            try:
                return gradient_descent(
                    X,
                    Y,
                    checkpoints,
                    step_size=eta,
                    tolerance=self.training.tolerance,
                    W0=W0,
                    engine=self.training.engine,
                    n_rows=n_rows,
                    threads=threads,
                    on_check=on_check,
                    momentum=self.training.momentum,
                    saver=saver,
                )
            except ValueError as error:  # of numbers that its dtype does not hold
                batch = self.cells.batch
                raise StudyError(f"{batch.dataset}, {batch.model}, P={batch.n_parameters}: {error}") from error
        module = LinearReadout(X.new_zeros(len(X), X.shape[-1], Y.shape[-1]) if W0 is None else W0)
        objective = Autograd(module, X, Y, weights(self.training, eta).to(X), n_rows)
        return train(objective, self.training, eta, checkpoints, threads, on_check, saver)

    def measure(self, W: Tensor, cells: Tensor) -> Columns:
        if self.level == UNABLATED:
            return self._running.measure(W, cells)
        assert len(cells) == len(self.limit)  # checkpoints are measured without ablation
        return self.cells.stack.measure([self.problem], [W], [self.limit])

    def exact(self, W: Tensor, t: Tensor, cells: Tensor) -> Columns | None:
        if not self.training.plain:
            return None
        modes, eta = self.rest.spectrum.modes(cells), self.step_size[cells, None]
        f, power = gd_filter(modes, eta, t.to(W.device)[:, None], self.training.momentum)
        W_exact = self._running.readouts(f.unsqueeze(-1) * self._seen[cells], cells)
        W_exact = times_power_of_two(W_exact, power[:, None, None])
        W_exact = W_exact if self.W0 is None else self.W0[cells] + W_exact
        exact = {f"exact_{name}": value for name, value in self.measure(W_exact, cells).items()}
        return exact | {"deviation": relative_distance(W.to(torch.float64), W_exact).cpu().numpy()}

    def certificate(self, W: Tensor) -> Columns:
        """What is left to learn, mode by mode: c_r = v_r·(W − X⁺Y).

        slowest_singular_value: the smallest σ_r whose |c_r| is still more than the tolerance of ‖X⁺Y‖_F;
        slowest_error_share: its share |c_r|²/Σ|c|² of the remaining squared error; both empty if none is left.
        steps_to_tolerance: how many more until ‖∇L‖ ≤ tolerance·‖XᵀY‖; infinite where the step size is unstable, empty
        where it is not one constant step size, or momentum carries W on.
        """
        problem, s = self.problem, self.problem.spectrum.s
        remaining = left_to_learn(problem.spectrum, W, self.limit)
        slowest, share = slowest_mode(s, remaining, self.training.tolerance * frobenius(self.limit))
        values = {"slowest_singular_value": slowest, "slowest_error_share": share}
        if self.training.plain and not self.training.momentum:
            largest = frobenius(problem.features().mT @ problem.Y)
            if self.W0 is not None:
                largest = torch.maximum(largest, frobenius(problem.features().mT @ self.rest.Y))
            target = check_tolerance(self.training.tolerance, W.dtype) * largest
            values["steps_to_tolerance"] = steps_to_gradient(s, self.step_size, remaining, target)
        columns: Columns = {name: value.cpu().numpy() for name, value in values.items()}
        model = self.cells.model
        exact_trace = model.plain and self.problem.intercept == "none" and not self.cells.dataset.input_noise
        if self.level == UNABLATED and model.autoencoder and exact_trace:
            trace = W.diagonal(dim1=-2, dim2=-1).sum(-1).cpu().numpy()
            columns |= _dimensions(trace, identity(self.cells.batch, (self.level,)))
        return columns

    def pictures(self, W: Tensor, t: Tensor, cells: Tensor, last: np.ndarray) -> list[dict[str, np.ndarray]]:
        found = iter(self.cells.pictures(W[torch.from_numpy(last)], cells[torch.from_numpy(last)]))
        return [next(found) if finished else {} for finished in last]


def ablated(problem: Problem, level: Level) -> Problem:
    """The problem without what an ablation takes out at this level."""
    name, strength = level
    return problem if level == UNABLATED else code(ABLATIONS[name].apply)(problem, strength)


def min_norm(problems: list[Problem]) -> list[Tensor]:
    """X⁺Y of problems that share their singular vectors: one product for all; one tensor where all is shared."""
    which, first = distinct([(id(p.Y), id(p.spectrum)) for p in problems])
    parts = [problems[i] for i in first]
    filters = torch.stack([p.spectrum.inverse for p in parts], -1)
    k = parts[0].Y.shape[-1]
    W = parts[0].spectrum.filtered(filters.repeat_interleave(k, -1), side_by_side([p.Y for p in parts])).split(k, -1)
    return [W[number] for number in which]


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
