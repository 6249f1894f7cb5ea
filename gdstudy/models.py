"""Stacked models: one nn.Module holds the parameters of many cells on a leading axis."""

from __future__ import annotations

from torch import Tensor, nn


class LinearReadout(nn.Module):
    """Ŷ = φ(X) W for a stack of cells: (C, N, P) features → (C, N, k) predictions.

    weight: the start W₀, (C, P, k); zeros for the paper's gradient descent.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())

    def forward(self, features: Tensor) -> Tensor:
        return features @ self.weight
