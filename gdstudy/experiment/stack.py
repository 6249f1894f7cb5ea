"""A batch as tensors, and what all records of it share: keys, spectra, errors on its splits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from gdstudy.closed_form.factors import Intercept, Problem
from gdstudy.data.dataset import Dataset
from gdstudy.data.features import feature_map
from gdstudy.data.splits import training_rows
from gdstudy.experiment.plan import Batch
from gdstudy.experiment.rows import Columns
from gdstudy.linalg.accuracy import SplitAccuracies
from gdstudy.linalg.frame import Frame, plus_means
from gdstudy.linalg.metrics import AllRows, SplitErrors, frobenius, relative_distance, row_space_leak
from gdstudy.linalg.spectrum import spectrum
from gdstudy.study.config import Study
from gdstudy.study.datasets import PREPROCESSES
from gdstudy.study.models import MODELS, Model

_CONSTANT = 8  # eps, by which the numbers of a constant column may differ from their mean


@dataclass(frozen=True)
class Stack:
    """A batch as tensors, in float64 whatever trains: its unablated problem, and what measures readouts on its splits.

    of_targets: mean of Y² over all rows and outputs, and of (Y − its means over rows)²; a test MSE over the first is
    the share of Y that is lost. accuracies: where targets are classes.
    """

    batch: Batch
    problem: Problem
    n_train: Tensor
    errors: SplitErrors
    of_targets: dict[str, float]
    accuracies: SplitAccuracies | None = None

    def at(self, cells: Tensor | slice) -> Stack:
        """The given cells (c,) of the batch, in order and each once; of a slice of it without a copy."""
        if isinstance(cells, Tensor) and len(cells) == len(self.n_train):  # all of them: nothing to copy
            return self
        problem, errors = self.problem, self.errors.at(cells)
        X, Y = errors.rows.split([problem.X.shape[-1], problem.Y.shape[-1]], -1)  # the very same: copied once
        problem = replace(problem, X=X, Y=Y, spectrum=problem.spectrum.at(cells), beta=problem.beta[cells])
        part = replace(self, problem=problem, n_train=self.n_train[cells], errors=errors)
        return part if self.accuracies is None else replace(part, accuracies=self.accuracies.at(cells))

    def measure(self, problems: list[Problem], W: list[Tensor], references: list[Tensor]) -> Columns:
        """The measured columns of `results`, problem by problem: each (L·C,) for L readouts W (C, P, k).

        references: what each readout is to be near.
        """
        problem, errors = self.problem, self.errors
        n_levels, k = len(problems), W[0].shape[-1]
        W = [w.to(torch.float64) for w in W]
        tested = [p.tested(w) for p, w in zip(problems, W, strict=True)]
        linear = [p.linear for p in problems]
        gaps = [w - p.beta if p.linear else w for p, w in zip(problems, tested, strict=True)]
        shifts = [
            w.new_zeros(len(w), k) if p.test_shift is None else (p.test_shift.to(w).unsqueeze(1) @ w).squeeze(1)
            for p, w in zip(problems, tested, strict=True)
        ]
        # Where only the test rows differ, W and Y are the very same: what the training rows say is said once.
        which, first = distinct([(id(w), id(p.Y)) for p, w in zip(problems, W, strict=True)])
        n_distinct, every_W = len(first), side_by_side([W[i] for i in first])
        residuals = errors.rows[..., : problem.X.shape[-1]] @ every_W
        for part, i in zip(residuals.split(k, -1), first, strict=True):
            part.sub_(problems[i].Y)
        train = residuals.square_().sum(1)
        # All levels side by side: one product with the rows for all of them.
        z = errors.of_levels(gaps, linear)
        if any(p.test_shift is not None for p in problems):
            test = errors.sums(z, torch.cat(shifts, -1))[0]
        else:
            # Of the problem itself the training rows have just been asked. For one output there is little to save, and
            # last digits would be others.
            asked = k > 1 and len(problems) == 1 and problems[0] is problem
            test = errors.squares(z, train if asked else None)
        spec, size = problem.spectrum, frobenius(every_W, n_distinct)
        values = {
            "train_mse": (train / errors.n_train[:, None]).unflatten(-1, (n_distinct, k)).mean(-1),
            "distance": relative_distance(every_W, side_by_side([references[i] for i in first]), n_distinct),
            "weight_norm": size,
            "row_space_leak": row_space_leak(every_W, spec.Vt, spec.nonzero, n_distinct, size),
        }
        values = {name: value.reshape(-1, n_distinct) for name, value in values.items()}
        if n_distinct < n_levels:
            values = {name: value[:, which] for name, value in values.items()}
        values["test_mse"] = (test / errors.n_test[:, None]).unflatten(-1, (n_levels, k)).mean(-1)
        if self.accuracies is not None:  # of targets that are classes: not where an ablation makes them others
            known = [not value for value in linear]
            trained, others = zip(*(self.accuracies.shares(W[i]) for i in first), strict=True)
            values["train_accuracy"] = _levels([trained[i] for i in which], known)
            # The same outputs, of other rows, where an ablation does not change what is tested.
            same = [w is own and p.test_shift is None for p, w, own in zip(problems, tested, W, strict=True)]
            test_shares = [
                others[which[level]] if same[level] else self.accuracies.shares(tested[level], shifts[level])[1]
                for level in range(n_levels)
            ]
            values["test_accuracy"] = _levels(test_shares, known)
        return {name: value.T.flatten().cpu().numpy() for name, value in values.items()}


def build_stack(study: Study, dataset: Dataset, batch: Batch) -> Stack:
    model, how = MODELS[batch.model], PREPROCESSES[batch.preprocess]
    P = batch.n_parameters - how.by_training  # a training mean is no row of W
    seeds = np.array([seed for _, seed in batch.cells])
    # A draw of the features for each seed, or one for all where there is nothing to draw.
    drawn = model.random or dataset.input_noise > 0
    draws, draw = np.unique(seeds if drawn else np.zeros_like(seeds), return_inverse=True)
    target = dataset.clean() if model.autoencoder else dataset.Y
    inputs = [dataset.inputs(int(seed)) for seed in draws]
    tables = [
        np.hstack([feature_map(model, x, P, int(seed), study.intercept), target])
        for seed, x in zip(draws, inputs, strict=True)
    ]
    numbers = training_rows(dataset.n_rows, batch.cells, max(n for n, _ in batch.cells))
    if len(tables) == 1:
        rows64 = tables[0][numbers]
    else:
        rows64 = np.empty((*numbers.shape, tables[0].shape[1]))
        for g, table in enumerate(tables):
            cells = draw == g
            rows64[cells] = table[numbers[cells]]
    rows64[numbers < 0] = 0

    rows = torch.from_numpy(rows64).to(study.device)
    everything = AllRows.of(tables)
    which = torch.from_numpy(draw).to(study.device)
    means = _means_taken(model, dataset, P)
    as_given = None  # of rows in float64 as they are the triangles say it, without going through them again
    if means is not None or (dataset.eps or 0) > np.finfo(np.float64).eps:
        features = (torch.from_numpy(table[:, :P]) for table in tables)
        as_given = (x if means is None else x + means for x in features)
    beta = everything.best_readout(P, as_given, dataset.eps).to(study.device)[which]
    n_train = torch.tensor([n for n, _ in batch.cells], device=study.device)
    frame, spec = None, None
    given = None if means is None else plus_means(rows[..., :P], means, n_train)
    if how.by_training:
        scaled = (torch.arange(rows.shape[-1], device=study.device) < P) & how.scales
        frame = Frame.of(rows, n_train, scaled)
        spec = frame.of_columns(P).spectrum(rows[..., :P], n_train, dataset.eps, given)
        # β* of the centred columns of all rows: the slopes of the best fit with a constant.
        rows, beta = frame.of_rows(rows, n_train), beta * frame.scale[:, :P, None]
    X, Y = rows[..., :P], rows[..., P:]
    intercept: Intercept = "mean" if how.by_training else "column" if study.intercept else "none"
    spec = spec or spectrum(X, eps=dataset.eps, rows=given)
    problem = Problem(X, Y, spec, beta, intercept=intercept, eps=dataset.eps, means=means)
    errors = SplitErrors(everything.to(study.device), which, rows, n_train, frame)
    accuracies = _accuracies(study, dataset, batch, tables, numbers, errors)
    return Stack(batch, problem, n_train, errors, _of_targets(target), accuracies)


def _means_taken(model: Model, dataset: Dataset, P: int) -> Tensor | None:
    """What was taken from the columns of X, (P,); None where nothing was, or where features are made of them."""
    if dataset.X_mean is None or model.features is not None:
        return None
    taken = torch.zeros(P, dtype=torch.float64)
    taken[: len(dataset.X_mean)] = torch.from_numpy(dataset.X_mean)
    return taken


def _of_targets(Y: np.ndarray) -> dict[str, float]:
    """Of Y (n, k), as columns: see `study.columns`. What is constant has no variance, rounding aside."""
    squares, variance = np.square(Y).mean(0), Y.var(0)
    variance = np.where(variance > (_CONSTANT * np.finfo(np.float64).eps) ** 2 * squares, variance, 0)
    return {"target_mean_square": float(np.square(Y).mean()), "target_variance": float(variance.mean())}


def _accuracies(
    study: Study, dataset: Dataset, batch: Batch, tables: list[np.ndarray], numbers: np.ndarray, errors: SplitErrors
) -> SplitAccuracies | None:
    """What measures them, where targets are classes. tables: [φ(x) y] of each draw; numbers: of training rows."""
    if not study.facts(dataset.name).classes or MODELS[batch.model].autoencoder:
        return None
    k, frame = dataset.Y.shape[1], errors.frame
    P = tables[0].shape[1] - k
    features = np.stack([table[:, :P] for table in tables])
    taken = np.zeros(k) if dataset.Y_mean is None else dataset.Y_mean
    mean = np.tile(taken, (len(numbers), 1))
    Phi, labels, rows, means = (
        torch.from_numpy(part).to(study.device) for part in (features, dataset.labels, numbers, mean)
    )
    if frame is not None:  # each cell's own means were taken from its targets too
        means, frame = means + frame.location[:, P:], frame.of_columns(P)
    return SplitAccuracies(Phi, errors.draw, labels, rows, errors.n_train, means, frame)


def _levels(shares: list[Tensor], known: list[bool]) -> Tensor:
    """One column a level, empty where it is not known: (C, L)."""
    columns = [share if here else torch.full_like(share, torch.nan) for share, here in zip(shares, known, strict=True)]
    return torch.stack(columns, 1)


def side_by_side(columns: list[Tensor]) -> Tensor:
    """Stacks (C, n, k) joined along their last axis: (C, n, L·k)."""
    if len(columns) == 1 and columns[0].shape[-1] == 1:  # nothing to copy; its strides are those of more
        return columns[0].squeeze(-1).unsqueeze(1).mT
    # Joined along the middle axis of their transposes, where whole columns are copied and not single numbers.
    return torch.cat([c.mT for c in columns], 1).mT


def distinct(keys: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """(number of each key among the distinct ones, where each distinct one comes first)."""
    numbers: dict[tuple[int, int], int] = {}
    which = [numbers.setdefault(key, len(numbers)) for key in keys]
    return which, [which.index(number) for number in range(len(numbers))]


def of_each(f: Callable[[Problem], Tensor], problems: list[Problem], name: str) -> list[Tensor]:
    """What f says of each problem, which depends on its field of this name alone: computed once for each of these."""
    found: dict[int, Tensor] = {}
    for p in problems:
        if (key := id(getattr(p, name))) not in found:
            found[key] = f(p)
    return [found[id(getattr(p, name))] for p in problems]


def geometry(problems: list[Problem]) -> Columns:
    """Spectra of what is trained on, problem by problem: each (L·C,)."""

    def each(f: Callable[[Problem], Tensor]) -> Tensor:
        return torch.stack(of_each(f, problems, "spectrum"))

    smallest = each(lambda p: p.spectrum.smallest)
    values = {
        "smallest_singular_value": smallest,
        "condition_number": each(lambda p: p.spectrum.s[:, 0]) / smallest,
        "rank": each(lambda p: p.rank),
    }
    return {name: value.flatten().cpu().numpy() for name, value in values.items()}
