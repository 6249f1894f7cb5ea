"""Autoencoders of two layers at one N, and what a user would write to train them in PyTorch, cell by cell.

bottleneck: ½‖XAB − X‖²_F under plain descent. relu: ‖ReLU(XWᵀW + b) − X‖²_F/N under AdamW (Henighan et al. 2023).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

LEARNING_RATE, WEIGHT_DECAY = 0.01, 0.01  # of AdamW, as in superposition.yaml


@dataclass(frozen=True)
class Layered:
    """X: (C, N, D); start: two arrays (C, …), A (D, k) and B (k, D), or W (m, D) and b (D,).

    eta: (C,) of plain descent.
    """

    X: np.ndarray
    start: tuple[np.ndarray, np.ndarray]
    eta: np.ndarray
    relu: bool

    def astype(self, dtype: str) -> Layered:
        first, second = self.start
        return Layered(
            self.X.astype(dtype), (first.astype(dtype), second.astype(dtype)), self.eta.astype(dtype), self.relu
        )


@dataclass(frozen=True)
class LayeredStepper:
    """As `peers.Stepper`; weights: () → (c, n), both arrays flattened."""

    advance: Callable[[int], None]
    weights: Callable[[], np.ndarray]
    cells: int
    compile_seconds: float = 0.0


def bottlenecks(n_cells: int, N: int, D: int = 16, k: int = 4) -> Layered:
    """Rows with standard deviations 1/√i, as `power_law`."""
    random = np.random.default_rng(N)
    X = random.standard_normal((n_cells, N, D)) * np.arange(1, D + 1) ** -0.5
    start = tuple(0.1 * random.standard_normal((n_cells, *shape)) for shape in ((D, k), (k, D)))
    return Layered(X, start, 0.25 / np.linalg.norm(X, 2, axis=(1, 2)) ** 2, relu=False)


def superpositions(n_cells: int, N: int, D: int = 50, m: int = 2) -> Layered:
    """Sparse rows of length 1, as `sparse_features`."""
    random = np.random.default_rng(N)
    X = random.uniform(size=(n_cells, N, D)) * (random.uniform(size=(n_cells, N, D)) < 0.05)
    X[..., 0] += X.sum(-1) == 0
    X /= np.linalg.norm(X, axis=-1, keepdims=True)
    bound = np.sqrt(6 / (m + D))
    W = random.uniform(-bound, bound, (n_cells, m, D))
    return Layered(X, (W, np.zeros((n_cells, D))), np.full(n_cells, LEARNING_RATE), relu=True)


class ReLUAutoencoder(nn.Module):
    def __init__(self, W: torch.Tensor, b: torch.Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(W), nn.Parameter(b)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return torch.relu(X @ self.weight.T @ self.weight + self.bias)


def module(first: torch.Tensor, second: torch.Tensor, relu: bool) -> nn.Module:
    """One cell's."""
    if relu:
        return ReLUAutoencoder(first, second)
    (D, k), dtype = first.shape, first.dtype
    layers = nn.Linear(D, k, bias=False, dtype=dtype), nn.Linear(k, D, bias=False, dtype=dtype)
    for layer, start in zip(layers, (first, second), strict=True):
        layer.weight = nn.Parameter(start.T.contiguous())
    return nn.Sequential(*layers)


def torch_loop(of: Layered, n_cells: int = 2) -> LayeredStepper:
    """A loop over cells under autograd and torch.optim, of the first cells."""
    trained = []
    for c in range(n_cells):
        X, first, second = (torch.from_numpy(a[c].copy()) for a in (of.X, *of.start))
        model = module(first, second, of.relu)
        if of.relu:
            optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        else:
            optimizer = torch.optim.SGD(model.parameters(), lr=float(of.eta[c]))
        trained.append((model, optimizer, X, 1 / len(X) if of.relu else 0.5))

    def advance(n_steps: int) -> None:
        for model, optimizer, X, scale in trained:
            for _ in range(n_steps):
                optimizer.zero_grad()
                (scale * (model(X) - X).square().sum()).backward()
                optimizer.step()

    def weights() -> np.ndarray:
        back = (lambda p: p) if of.relu else (lambda p: p.T)
        return np.stack(
            [np.concatenate([back(p.detach().numpy()).ravel() for p in model.parameters()]) for model, *_ in trained]
        )

    return LayeredStepper(advance, weights, n_cells)
