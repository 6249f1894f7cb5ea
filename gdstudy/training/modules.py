"""Stacked models: one nn.Module holds the parameters of many cells on a leading axis."""

from __future__ import annotations

import torch
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


class Bottleneck(nn.Module):
    """X̂ = X A B, a linear autoencoder through k < D hidden units (Baldi & Hornik 1989): (C, N, D) → (C, N, D).

    encoder: the start of A = W₁ᵀ, (C, D, k); decoder: of B = W₂ᵀ, (C, k, D). Both zero is a saddle of the loss.
    """

    def __init__(self, encoder: Tensor, decoder: Tensor) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Parameter(encoder.clone()), nn.Parameter(decoder.clone())

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs @ self.encoder @ self.decoder


class ReLUAutoencoder(nn.Module):
    """x̂ = ReLU(WᵀWx + b), n inputs through m hidden units (Elhage et al. 2022; Henighan et al. 2023):
    (C, N, n) → (C, N, n).

    weight: the start of W, (C, m, n); bias: of b, (C, n). W = 0 with b = 0 is a saddle of the loss.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = inputs @ self.weight.mT
        return torch.relu(hidden @ self.weight + self.bias.unsqueeze(1))
