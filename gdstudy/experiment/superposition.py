"""The toy ReLU autoencoder of Henighan et al. 2023, "Superposition, Memorization, and Double Descent".

T sparse inputs, n features, m < n hidden units, x̂ = ReLU(WᵀWx + b). With few data it stores data points, with many it
learns features, and in between its test loss is worst. It has no closed form: it is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from gdstudy.data.dataset import Dataset
from gdstudy.data.splits import stream, training_rows
from gdstudy.experiment.optimise import check_squares, train, weights
from gdstudy.experiment.plan import Batch, Level
from gdstudy.experiment.rows import Columns, Records
from gdstudy.linalg.metrics import dimensionality
from gdstudy.study.config import Study
from gdstudy.study.groups import Training
from gdstudy.study.models import MODELS
from gdstudy.training.compiled_layers import relu_by_hand
from gdstudy.training.descent import State
from gdstudy.training.engine import Saver
from gdstudy.training.modules import ReLUAutoencoder
from gdstudy.training.objectives import Autograd, Objective

# Numbers of a chunk of rows of the data set, and outputs of a stack that are held at once while it is measured: each is
# gone through several times, on a CPU in its cache.
CPU_CHUNK, GPU_CHUNK = 1 << 21, 1 << 28
CPU_OUTPUTS = 1 << 18
# Hidden data points of the first seed that are kept for the pictures.
HIDDEN_POINTS = 1000


class Superpositions:
    """A batch of toy ReLU autoencoders of one width m.

    The loss is the mean over data of the sum over features, ‖x − x̂‖². Stored MSEs are means over features too; over
    `target_mean_square` they are that loss again, which is 1 for x̂ = 0.
    """

    def __init__(self, study: Study, dataset: Dataset, batch: Batch) -> None:
        assert batch.n_hidden is not None
        self.study, self.dataset, self.batch, self.m = study, dataset, batch, batch.n_hidden
        self.device, self.model = torch.device(study.device), MODELS[batch.model]
        self.n_train = torch.tensor([n for n, _ in batch.cells])
        squares = dataset.X**2
        self.energy = float(squares.mean())

    def closed_form(self) -> Records:
        return Records([], [])

    def task(self, training: Training, level: Level) -> SuperpositionTask:
        return SuperpositionTask(self, training)

    def rows(self, dtype: str) -> Tensor:
        """Training rows, zero beyond each cell's N: (C, N, n)."""
        numbers = training_rows(self.dataset.n_rows, self.batch.cells, int(self.n_train.max()))
        X = self.dense(np.maximum(numbers, 0).ravel(), dtype).unflatten(0, numbers.shape)
        X[torch.from_numpy(numbers < 0)] = 0
        return X.to(self.device)

    def dense(self, rows: np.ndarray | slice, dtype: str) -> Tensor:
        """Rows of the data set in this precision: (rows, n)."""
        part = self.dataset.X[rows].astype(dtype)
        return torch.from_numpy(part if isinstance(part, np.ndarray) else part.toarray())

    def start(self, number: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """W (C, m, n): Xavier's uniform weights (Glorot & Bengio 2010), or zero; b = 0."""
        shape = (self.m, self.batch.n_parameters)
        W = torch.zeros(len(self.batch.cells), *shape, dtype=torch.float64)
        if self.model.start == "xavier":
            bound = np.sqrt(6 / sum(shape))
            draws = {s: stream(s, f"superposition {number}").uniform(-bound, bound, shape) for _, s in self.batch.cells}
            W = torch.from_numpy(np.stack([draws[seed] for _, seed in self.batch.cells]))
        W = W.to(dtype).to(self.device)
        return W, W.new_zeros(len(W), shape[1])


class SuperpositionTask:
    """One training of toy ReLU autoencoders, as the driver trains and measures it. W: flattened weights and biases."""

    def __init__(self, cells: Superpositions, training: Training) -> None:
        self.cells, self.training, self.dtype = cells, training, getattr(torch, training.dtype)
        self.device, self.n_train, self.m = cells.device, cells.n_train, cells.m
        on_cpu = self.device.type == "cpu"
        self.chunk, self.outputs = (CPU_CHUNK, CPU_OUTPUTS) if on_cpu else (GPU_CHUNK, GPU_CHUNK)
        self.X = cells.rows(training.dtype)
        check_squares(self.X, self.dtype, cells.batch)
        self.step_size = torch.full((len(cells.batch.cells),), float(training.step_size.value), dtype=self.dtype)
        self.step_size_limit = torch.full_like(self.step_size, torch.nan)
        self.changed = torch.arange(0)  # there is no ablation
        self.columns: Columns = {"target_mean_square": cells.energy}

    def states(
        self,
        start: int,
        checkpoints: Sequence[int],
        cells: Tensor,
        on_check: Callable[[int, int], None] | None,
        saver: Saver | None,
    ) -> Iterator[State]:
        module, n_rows = ReLUAutoencoder(*self.cells.start(start, self.dtype)), self.n_train.to(self.device)
        weight = weights(self.training, self.step_size) * 2 / self.n_train
        weight = weight.to(self.dtype).to(self.device)
        objective: Objective
        if self.training.engine == "autograd":
            objective = Autograd(module, self.X, self.X, weight, n_rows)
        else:
            objective = relu_by_hand(module, self.X, weight, n_rows)
        threads = self.cells.study.threads.value
        return train(objective, self.training, self.step_size, checkpoints, threads, on_check, saver)

    def exact(self, W: Tensor, t: Tensor, cells: Tensor) -> Columns | None:
        return None

    def certificate(self, W: Tensor) -> Columns:
        return {}

    def _unflatten(self, W: Tensor) -> tuple[Tensor, Tensor]:
        n = self.cells.batch.n_parameters
        weight, bias = W.to(self.device).split([self.m * n, n], dim=1)
        return weight.unflatten(1, (self.m, n)), bias

    def measure(self, W: Tensor, cells: Tensor) -> Columns:
        """Errors, ‖W‖, and how many hidden dimensions data points and features have to themselves.

        data_point_dimension: median over training rows of D_i = ‖h_i‖²/Σ_j(ĥ_i·h_j)² with h = Wx; m/N where all data
        points share the m dimensions alike, 0 where a few features take them. feature_dimension: ΣD²/ΣD over
        columns of W, the typical D of those that have any (Henighan et al. 2023).
        """
        weight, bias = self._unflatten(W)
        X, n_train = self.X[cells.to(self.device)], self.n_train[cells].to(torch.float64).numpy()
        n, n_rows = self.cells.batch.n_parameters, self.cells.dataset.n_rows
        train = self._squares(X, weight, bias, self.n_train[cells])
        total = sum(self._squares(rows, weight, bias) for rows in self._all_rows())
        with np.errstate(invalid="ignore"):  # infinite minus infinite, of a diverged cell
            test = np.maximum(total - train, 0)
        points = dimensionality(X @ weight.mT).cpu().to(torch.float64)
        present = torch.arange(X.shape[1]) < self.n_train[cells, None]
        points[~present] = torch.nan
        features = dimensionality(weight.mT).cpu().to(torch.float64)
        return {
            "train_mse": train / (n_train * n),
            "test_mse": test / ((n_rows - n_train) * n),
            "weight_norm": weight.flatten(1).norm(dim=1).cpu().numpy(),
            "data_point_dimension": np.nanmedian(points.numpy(), axis=1),
            "feature_dimension": (features.square().sum(1) / features.sum(1).clamp(min=1e-300)).numpy(),
        }

    def _all_rows(self) -> Iterator[Tensor]:
        """All rows of the data set, a chunk after the other, each (1, rows, n): no more are ever dense at once."""
        size = max(1, self.chunk // self.cells.batch.n_parameters)
        for first in range(0, self.cells.dataset.n_rows, size):
            yield self.cells.dense(slice(first, first + size), self.training.dtype).to(self.device).unsqueeze(0)

    def _squares(self, X: Tensor, weight: Tensor, bias: Tensor, n_rows: Tensor | None = None) -> np.ndarray:
        """Σ‖x̂ − x‖² of each cell over rows X, the first n_rows (c,) of them, summed in float64: (c,)."""
        total = torch.zeros(len(weight), dtype=torch.float64, device=X.device)
        size = max(1, self.outputs // (len(weight) * X.shape[-1]))
        for first in range(0, X.shape[1], size):
            part = X[:, first : first + size]
            Z = torch.baddbmm(bias.unsqueeze(1), part @ weight.mT, weight)
            errors = Z.clamp_(min=0).sub_(part).square_().sum(2, dtype=torch.float64)
            if n_rows is not None:
                present = torch.arange(first, first + part.shape[1]) < n_rows[:, None]
                errors *= present.to(errors.device)
            total += errors.sum(1)
        return total.cpu().numpy()

    def pictures(self, W: Tensor, t: Tensor, cells: Tensor, last: np.ndarray) -> list[dict[str, np.ndarray]]:
        """W (m, n), hidden data points WX (rows, m) and their dimensionalities, once trained to the end."""
        weights, _ = self._unflatten(W)
        return [
            self._picture(weight, cell) if finished else {}
            for weight, cell, finished in zip(weights, cells.tolist(), last, strict=True)
        ]

    def _picture(self, weight: Tensor, cell: int) -> dict[str, np.ndarray]:
        hidden = self.X[cell, : int(self.n_train[cell])] @ weight.mT
        values = {
            "weight": weight,
            "hidden": hidden[:HIDDEN_POINTS],
            "data_point_dimensions": dimensionality(hidden)[:HIDDEN_POINTS],
            "feature_dimensions": dimensionality(weight.mT),
        }
        return {name: value.cpu().numpy() for name, value in values.items()}
