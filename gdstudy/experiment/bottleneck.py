"""Linear autoencoders through a bottleneck, beside the best map of their rank and their dynamics where they are exact.

Started at zero both layers have zero gradient, a saddle. Started small they learn the leading principal components one
after the other, and end at the best map of rank k: the projector P_k on them or, with noisy inputs, reduced-rank
regression. Started aligned with the components, each is learnt by a map of one number (Saxe et al. 2014).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gdstudy.closed_form.bottleneck import bottleneck_flow, bottleneck_iterate
from gdstudy.closed_form.solutions import reduced_rank
from gdstudy.data.dataset import Dataset
from gdstudy.data.splits import stream
from gdstudy.experiment.plan import UNABLATED, Batch
from gdstudy.experiment.stack import Columns, build_stack, geometry, identity
from gdstudy.linalg.metrics import relative_distance
from gdstudy.linalg.units import in_precision
from gdstudy.study.config import Study
from gdstudy.training.modules import Bottleneck
from gdstudy.training.objectives import Autograd, BottleneckByHand, Objective


class BottleneckCells:
    """A batch of bottlenecks of one width k, as `nonlinear` trains and measures it."""

    def __init__(self, study: Study, dataset: Dataset, batch: Batch) -> None:
        assert batch.n_hidden is not None
        self.study, self.batch, self.k, self.dtype = study, batch, batch.n_hidden, getattr(torch, study.dtype)
        self.stack = build_stack(study, dataset, batch)
        self.energy = self.stack.target_mean_square
        problem = self.stack.problem
        self.best = reduced_rank(problem.spectrum, problem.Y, self.k)
        # Steps (C,) and exact strengths (C, k) that were asked for last: the next go on from there.
        self._reached: tuple[Tensor, Tensor] | None = None
        self.noisy = dataset.input_noise > 0
        # Leading right singular vectors of the training inputs, zero beyond their rank: (C, D, k).
        leading = (problem.spectrum.Vt * problem.spectrum.nonzero.unsqueeze(-1))[:, : self.k].mT
        self.leading = torch.nn.functional.pad(leading, (0, self.k - leading.shape[-1]))

    def objective(self, start: int, weight: Tensor) -> Objective:
        module = Bottleneck(*(p.to(self.dtype) for p in self._start(start)))
        X, Y, weight = (a.to(self.dtype) for a in (self.stack.problem.X, self.stack.problem.Y, weight))
        return (Autograd if self.study.gd.engine == "autograd" else BottleneckByHand)(module, X, Y, weight)

    def _start(self, start: int) -> tuple[Tensor, Tensor]:
        """Encoder (C, D, k) and decoder (C, k, D)."""
        X, scale = self.stack.problem.X, self.study.gd.init_scale
        if self.batch.model == "bottleneck_zero":
            return X.new_zeros(len(X), X.shape[-1], self.k), X.new_zeros(len(X), self.k, X.shape[-1])
        if self.batch.model == "bottleneck_aligned":
            encoder = scale * self.leading
            return encoder, encoder.mT.contiguous()
        draws = {
            seed: stream(seed, f"bottleneck {start}").standard_normal((2, X.shape[-1], self.k))
            for _, seed in self.batch.cells
        }
        both = scale * torch.from_numpy(np.stack([draws[seed] for _, seed in self.batch.cells])).to(X)
        # What lies outside the row space never changes, so it is not put there.
        V = self.stack.problem.spectrum.Vt * self.stack.problem.spectrum.nonzero.unsqueeze(-1)
        return V.mT @ (V @ both[:, 0]), both[:, 1].mT.contiguous()

    def step_sizes(self) -> tuple[Tensor, Tensor]:
        """(η, its bound) of each cell. At the balanced optimum AB = M the curvature is at most 2σ₁²‖M‖₂ (and 2σ₁²
        where ‖M‖₂ = 1, as for a projector), so descent is stable there below 1/(σ₁² max(1, ‖M‖₂)); `auto` takes half.
        """
        largest = self.stack.problem.spectrum.s[:, 0].square()
        gain = torch.linalg.matrix_norm(self.best, 2).clamp(min=1)
        limit = 1 / (largest * gain).clamp(min=torch.finfo(largest.dtype).tiny)
        fixed = self.study.gd.step_size.value
        eta = limit / 2 if fixed == "auto" else torch.full_like(limit, float(fixed))
        return in_precision(eta, self.dtype), limit

    def closed_form(self) -> list[Columns]:
        rows = {
            **identity(self.batch, (UNABLATED,)),
            **geometry([self.stack.problem]),
            **self.stack.measure([self.stack.problem], [self.best], [self.best]),
            "target_mean_square": self.energy,
        }
        return [{**rows, "estimator": "reduced_rank" if self.noisy else "pca", "status": "closed_form"}]

    def _maps(self, W: Tensor) -> Tensor:
        """Flattened parameters (c, 2Dk) → the maps AB (c, D, D), float64."""
        D = self.stack.problem.X.shape[-1]
        A, B = W.to(torch.float64).split(D * self.k, dim=1)
        return A.unflatten(1, (D, self.k)) @ B.unflatten(1, (self.k, D))

    def measure(self, W: Tensor, cells: Tensor) -> Columns:
        measured = self._measure(self._maps(W), cells)
        if len(cells) == len(self.batch.cells):
            measured |= geometry([self.stack.problem])
        return measured

    def _measure(self, M: Tensor, cells: Tensor) -> Columns:
        """Columns of maps M (c, D, D)."""
        part = self.stack.at(cells)
        return part.measure([part.problem], [M], [self.best[cells]])

    def _curvatures(self, cells: Tensor) -> Tensor:
        """λ_r = σ_r² of the leading modes, 0 beyond the rank: (c, k)."""
        s = self.stack.problem.spectrum.s[cells, : self.k].square()
        return torch.nn.functional.pad(s, (0, self.k - s.shape[-1]))

    def _strengths(self, eta: Tensor, t: Tensor, cells: Tensor) -> Tensor:
        """Exact strength of each leading mode at t (c,) from the aligned start: (c, k)."""
        everything = torch.arange(len(self.batch.cells))
        if self._reached is None or bool((self._reached[0][cells] > t).any()):
            self._reached = (torch.zeros(len(everything), dtype=torch.int64), self._first_strengths(everything))
        steps, strengths = self._reached
        more = (t - steps[cells]).to(eta.device).unsqueeze(-1)
        rate = eta[cells, None] * self._curvatures(cells)
        strengths[cells] = bottleneck_iterate(strengths[cells], rate, more)
        steps[cells] = t
        return strengths[cells]

    def _first_strengths(self, cells: Tensor) -> Tensor:
        """Strengths of the aligned start, 0 beyond the rank: (c, k)."""
        return self.study.gd.init_scale**2 * self.leading[cells].square().sum(1)

    def _is_exact(self) -> bool:
        """Aligned with the components and balanced, in plain descent: each mode is a number with a known map."""
        gd = self.study.gd
        plain = gd.optimizer == "gd" and not gd.warmup and gd.schedule == "constant"
        return self.batch.model == "bottleneck_aligned" and not self.noisy and plain

    def exact(self, W: Tensor, eta: Tensor, t: Tensor, cells: Tensor) -> Columns | None:
        if not self._is_exact():
            return None
        V = self.leading[cells]
        M = V * self._strengths(eta, t, cells).unsqueeze(1) @ V.mT
        exact = self._measure(M, cells)
        names = ("train_mse", "test_mse", "distance", "weight_norm", "row_space_leak")
        return {f"exact_{name}": exact[name] for name in names} | {
            "deviation": relative_distance(self._maps(W), M).cpu().numpy()
        }

    def pictures(
        self, W: Tensor, eta: Tensor, t: Tensor, cells: Tensor, last: np.ndarray
    ) -> list[dict[str, np.ndarray]]:
        """Strengths v_r·(AB)v_r of the leading modes, with those of the exact map and of the gradient flow."""
        V, M = self.leading[cells], self._maps(W)
        values = {"mode_strengths": (V * (M @ V)).sum(1)}
        if self._is_exact():
            values["exact_strengths"] = self._strengths(eta, t, cells)
            time = (eta[cells] * t.to(eta.device)).unsqueeze(-1)
            start, curvature = self._first_strengths(cells), self._curvatures(cells)
            values["flow_strengths"] = bottleneck_flow(start, curvature, time)
        arrays = {name: value.cpu().numpy() for name, value in values.items()}
        return [{name: value[c] for name, value in arrays.items()} for c in range(len(cells))]
