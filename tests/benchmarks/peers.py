"""What a user would write instead, in PyTorch, NumPy and scikit-learn, as well as those would be written.

All take the same steps from W = 0, W ← W − η Xᵀ(XW − Y), each cell with its own η. Those in JAX are in `jax_peers`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LinearRegression, Ridge

from tests.benchmarks.cells import Cells


@dataclass(frozen=True)
class Stepper:
    """Cells in training. advance: take so many steps. weights: () → (c, P, k) of `cells` (c,), all or a sample."""

    advance: Callable[[int], None]
    weights: Callable[[], np.ndarray]
    cells: np.ndarray
    compile_seconds: float = 0.0


def torch_loop(cells: Cells) -> Stepper:
    """(a) A loop over cells, each an nn.Linear under autograd and torch.optim.SGD; a sample of them."""
    some = cells.sample()
    trained = []
    for c in some:
        X, Y = (torch.from_numpy(a[c, : cells.n_rows[c]].copy()) for a in (cells.X, cells.Y))
        model = torch.nn.Linear(X.shape[1], Y.shape[1], bias=False, dtype=X.dtype)
        torch.nn.init.zeros_(model.weight)
        trained.append((model, torch.optim.SGD(model.parameters(), lr=float(cells.eta[c])), X, Y))

    def advance(n_steps: int) -> None:
        for model, optimizer, X, Y in trained:
            for _ in range(n_steps):
                optimizer.zero_grad()
                loss = 0.5 * (model(X) - Y).square().sum()
                loss.backward()
                optimizer.step()

    return Stepper(advance, lambda: np.stack([model.weight.detach().numpy().T for model, *_ in trained]), some)


def torch_vmap(cells: Cells) -> Stepper:
    """(b) All cells at once through torch.func.vmap(grad)."""
    X, Y, eta = (torch.from_numpy(a) for a in (cells.X, cells.Y, cells.eta))
    W = torch.zeros(len(cells), X.shape[2], Y.shape[2], dtype=X.dtype)

    def loss(W: torch.Tensor, X: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
        return 0.5 * (X @ W - Y).square().sum()

    gradient = torch.func.vmap(torch.func.grad(loss))

    def advance(n_steps: int) -> None:
        for _ in range(n_steps):
            W.sub_(eta[:, None, None] * gradient(W, X, Y))

    return Stepper(advance, lambda: W.numpy().copy(), np.arange(len(cells)))


def numpy_loop(cells: Cells) -> Stepper:
    """(e) One cell at a time in NumPy, on the Gram matrix; a sample of them."""
    some = cells.sample()
    problems, weights = [], []
    for c in some:
        X, Y = (a[c, : cells.n_rows[c]] for a in (cells.X, cells.Y))
        problems.append((cells.eta[c] * (X.T @ X), cells.eta[c] * (X.T @ Y)))
        weights.append(np.zeros((X.shape[1], Y.shape[1])))

    def advance(n_steps: int) -> None:
        for W, (A, B) in zip(weights, problems, strict=True):
            for _ in range(n_steps):
                W -= A @ W - B

    return Stepper(advance, lambda: np.stack(weights), some)


def sklearn_min_norm(cells: Cells) -> np.ndarray:
    """(f) LinearRegression, cell by cell: (C, P, k)."""
    return _fitted(cells, lambda c: LinearRegression(fit_intercept=False))


def sklearn_ridge(cells: Cells, lam: float) -> np.ndarray:
    """(f) Ridge, cell by cell: (C, P, k) of the same λ."""
    return _fitted(cells, lambda c: Ridge(alpha=lam, fit_intercept=False, solver="cholesky"))


def _fitted(cells: Cells, model: Callable[[int], LinearRegression | Ridge]) -> np.ndarray:
    found = []
    for c, n in enumerate(cells.n_rows):
        fitted = model(c).fit(cells.X[c, :n], cells.Y[c, :n])
        found.append(np.atleast_2d(fitted.coef_).T)
    return np.stack(found)
