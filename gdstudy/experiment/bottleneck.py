"""Linear autoencoders through a bottleneck, beside the best map of their rank and their dynamics where they are exact.

Started at zero both layers have zero gradient, a saddle. Started small they learn the leading principal components one
after the other, and end at the best map of rank k: the projector P_k on them or, with noisy inputs, reduced-rank
regression. Started aligned with the components, each is learnt by a map of one number (Saxe et al. 2014).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from gdstudy.closed_form.bottleneck import bottleneck_flow, bottleneck_iterate
from gdstudy.closed_form.solutions import reduced_rank
from gdstudy.data.dataset import Dataset
from gdstudy.data.splits import stream
from gdstudy.experiment.optimise import check_squares, train, weights
from gdstudy.experiment.plan import Batch, Level
from gdstudy.experiment.rows import Columns, Records, identity
from gdstudy.experiment.running import Running
from gdstudy.experiment.stack import build_stack, geometry
from gdstudy.linalg.metrics import relative_distance
from gdstudy.linalg.units import in_precision
from gdstudy.study.ablations import UNABLATED
from gdstudy.study.config import Study
from gdstudy.study.groups import Training
from gdstudy.study.models import MODELS
from gdstudy.training.compiled_layers import bottleneck_by_hand
from gdstudy.training.descent import State, step_size_for
from gdstudy.training.engine import Saver
from gdstudy.training.modules import Bottleneck
from gdstudy.training.objectives import Autograd, Objective


class Bottlenecks:
    """A batch of bottlenecks of one width k. W: the flattened layers A (D, k) and B (k, D), (C, 2Dk)."""

    def __init__(self, study: Study, dataset: Dataset, batch: Batch) -> None:
        assert batch.n_hidden is not None
        self.study, self.batch, self.k, self.model = study, batch, batch.n_hidden, MODELS[batch.model]
        self.stack = build_stack(study, dataset, batch)
        problem = self.stack.problem
        self.best = reduced_rank(problem.spectrum, problem.Y, self.k)
        self.noisy = dataset.input_noise > 0
        # Leading right singular vectors of the training inputs, zero beyond their rank: (C, D, k).
        leading = (problem.spectrum.Vt * problem.spectrum.nonzero.unsqueeze(-1))[:, : self.k].mT
        self.leading = torch.nn.functional.pad(leading, (0, self.k - leading.shape[-1]))

    def closed_form(self) -> Records:
        rows = {
            **identity(self.batch, (UNABLATED,)),
            **geometry([self.stack.problem]),
            **self.stack.measure([self.stack.problem], [self.best], [self.best]),
            **self.stack.of_targets,
        }
        return Records([{**rows, "estimator": "reduced_rank" if self.noisy else "pca", "status": "closed_form"}], [])

    def task(self, training: Training, level: Level) -> BottleneckTask:
        return BottleneckTask(self, training)

    def start(self, number: int, scale: float) -> tuple[Tensor, Tensor]:
        """Encoder (C, D, k) and decoder (C, k, D)."""
        X = self.stack.problem.X
        if self.model.start == "zero":
            return X.new_zeros(len(X), X.shape[-1], self.k), X.new_zeros(len(X), self.k, X.shape[-1])
        if self.model.start == "aligned":
            encoder = scale * self.leading
            return encoder, encoder.mT.contiguous()
        draws = {
            seed: stream(seed, f"bottleneck {number}").standard_normal((2, X.shape[-1], self.k))
            for _, seed in self.batch.cells
        }
        both = scale * torch.from_numpy(np.stack([draws[seed] for _, seed in self.batch.cells])).to(X)
        # What lies outside the row space never changes, so it is not put there.
        V = self.stack.problem.spectrum.Vt * self.stack.problem.spectrum.nonzero.unsqueeze(-1)
        return V.mT @ (V @ both[:, 0]), both[:, 1].mT.contiguous()


class BottleneckTask:
    """One training of bottlenecks, as the driver trains and measures it."""

    def __init__(self, cells: Bottlenecks, training: Training) -> None:
        self.cells, self.training, self.dtype = cells, training, getattr(torch, training.dtype)
        check_squares(cells.stack.problem.X, self.dtype, cells.batch)
        self.step_size, self.step_size_limit = self._step_sizes()
        self.changed = torch.arange(0)  # there is no ablation
        self.columns: Columns = geometry([cells.stack.problem]) | cells.stack.of_targets
        self._running = Running(cells.stack, cells.best, cells.study.threads.value)
        # Steps (C,) and exact strengths (C, k) that were asked for last: the next go on from there.
        self._reached: tuple[Tensor, Tensor] | None = None

    def _step_sizes(self) -> tuple[Tensor, Tensor]:
        """(η, its bound) of each cell. At the balanced optimum AB = M the curvature is at most 2σ₁²‖M‖₂ (and 2σ₁²
        where ‖M‖₂ = 1, as for a projector), so descent is stable there below 1/(σ₁² max(1, ‖M‖₂)); `auto` takes half.
        """
        largest = self.cells.stack.problem.spectrum.s[:, 0].square()
        gain = torch.linalg.matrix_norm(self.cells.best, 2).clamp(min=1)
        limit = step_size_for(largest * gain)
        fixed = self.training.step_size.value
        eta = limit / 2 if fixed == "auto" else torch.full_like(limit, float(fixed))
        return in_precision(eta, self.dtype), limit

    def states(
        self,
        start: int,
        checkpoints: Sequence[int],
        cells: Tensor,
        on_check: Callable[[int, int], None] | None,
        saver: Saver | None,
    ) -> Iterator[State]:
        problem = self.cells.stack.problem
        module = Bottleneck(*(p.to(self.dtype) for p in self.cells.start(start, self.training.init_scale)))
        X, Y, weight = (a.to(self.dtype) for a in (problem.X, problem.Y, weights(self.training, self.step_size)))
        threads = self.cells.study.threads.value
        objective: Objective
        if self.training.engine == "autograd":
            objective = Autograd(module, X, Y, weight)
        else:
            objective = bottleneck_by_hand(module, X, Y, weight, threads)
        return train(objective, self.training, self.step_size, checkpoints, threads, on_check, saver)

    def _maps(self, W: Tensor) -> Tensor:
        """Flattened parameters (c, 2Dk) → the maps AB (c, D, D), float64."""
        D, k = self.cells.stack.problem.X.shape[-1], self.cells.k
        A, B = W.to(torch.float64).split(D * k, dim=1)
        return A.unflatten(1, (D, k)) @ B.unflatten(1, (k, D))

    def measure(self, W: Tensor, cells: Tensor) -> Columns:
        return self._measure(self._maps(W), cells)

    def _measure(self, M: Tensor, cells: Tensor) -> Columns:
        """Columns of maps M (c, D, D)."""
        return self._running.measure(M, cells)

    def _curvatures(self, cells: Tensor) -> Tensor:
        """λ_r = σ_r² of the leading modes, 0 beyond the rank: (c, k)."""
        s = self.cells.stack.problem.spectrum.s[cells, : self.cells.k].square()
        return torch.nn.functional.pad(s, (0, self.cells.k - s.shape[-1]))

    def _strengths(self, t: Tensor, cells: Tensor) -> Tensor:
        """Exact strength of each leading mode at t (c,) from the aligned start: (c, k).

        Whatever was asked for before, it has the same digits: √u² is u.
        """
        everything = torch.arange(len(self.cells.batch.cells))
        if self._reached is None or bool((self._reached[0][cells] > t).any()):
            self._reached = (torch.zeros(len(everything), dtype=torch.int64), self._first_strengths(everything))
        steps, strengths = self._reached
        more = (t - steps[cells]).to(self.step_size.device).unsqueeze(-1)
        rate = self.step_size[cells, None] * self._curvatures(cells)
        strengths[cells] = bottleneck_iterate(strengths[cells], rate, more)
        steps[cells] = t
        return strengths[cells]

    def _first_strengths(self, cells: Tensor) -> Tensor:
        """Strengths of the aligned start, 0 beyond the rank: (c, k)."""
        return self.training.init_scale**2 * self.cells.leading[cells].square().sum(1)

    def _is_exact(self) -> bool:
        """Aligned with the components and balanced, in plain descent: each mode is a number with a known map."""
        return self.cells.model.start == "aligned" and not self.cells.noisy and self.training.plain

    def exact(self, W: Tensor, t: Tensor, cells: Tensor) -> Columns | None:
        if not self._is_exact():
            return None
        V = self.cells.leading[cells]
        M = V * self._strengths(t, cells).unsqueeze(1) @ V.mT
        exact = {f"exact_{name}": value for name, value in self._measure(M, cells).items()}
        return exact | {"deviation": relative_distance(self._maps(W), M).cpu().numpy()}

    def certificate(self, W: Tensor) -> Columns:
        return {}

    def pictures(self, W: Tensor, t: Tensor, cells: Tensor, last: np.ndarray) -> list[dict[str, np.ndarray]]:
        """Strengths v_r·(AB)v_r of the leading modes, with those of the exact map and of the gradient flow."""
        V, M = self.cells.leading[cells], self._maps(W)
        values = {"mode_strengths": (V * (M @ V)).sum(1)}
        if self._is_exact():
            values["exact_strengths"] = self._strengths(t, cells)
            time = (self.step_size[cells] * t.to(self.step_size.device)).unsqueeze(-1)
            start, curvature = self._first_strengths(cells), self._curvatures(cells)
            values["flow_strengths"] = bottleneck_flow(start, curvature, time)
        arrays = {name: value.cpu().numpy() for name, value in values.items()}
        return [{name: value[c] for name, value in arrays.items()} for c in range(len(cells))]
