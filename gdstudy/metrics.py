"""From tensors to numbers: errors, distances, norms."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def frobenius(W: Tensor) -> Tensor:
    """‖W‖_F over the last two axes: (...,)."""
    return W.flatten(-2).norm(dim=-1)


def relative_distance(W: Tensor, reference: Tensor) -> Tensor:
    """‖W − W*‖_F / ‖W*‖_F: (...,), no unit; 0 where both are zero."""
    gap, size = frobenius(W - reference), frobenius(reference)
    return torch.where(gap == 0, gap, gap / size)


def row_space_leak(W: Tensor, Vt: Tensor, nonzero: Tensor) -> Tensor:
    """‖(I − X⁺X)W‖_F / ‖W‖_F: how far a readout left the row space of X; 0 where W = 0.

    W: (..., P, k); Vt: (..., R, P) right singular vectors; nonzero: (..., R) those of the row space.
    """
    V = Vt * nonzero.unsqueeze(-1)
    gap, size = frobenius(W - V.mT @ (V @ W)), frobenius(W)
    return torch.where(gap == 0, gap, gap / size)


@dataclass(frozen=True)
class SplitErrors:
    """Train and test MSE of readouts on splits of one data set, without touching a test row.

    With the triangle R of the QR factorisation of all rows [Φ Y], the squared error over all rows is
    ‖R [W; −I]‖²_F; the test rows' share is that minus the training rows'. Always in float64.

    R: (P+k, P+k); X: (C, N, P), Y: (C, N, k) training rows, zero beyond n_train: (C,); n_rows: all rows.
    """

    R: Tensor
    X: Tensor
    Y: Tensor
    n_train: Tensor
    n_rows: int

    def __call__(self, W: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        """(train_mse, test_mse) of W (c, P, k) on the given cells (c,): means over rows and outputs, units of Y²."""
        W = W.to(torch.float64)
        P, k = W.shape[-2:]
        train = (self.X[cells] @ W - self.Y[cells]).square().sum((1, 2))
        everything = (self.R[:, :P] @ W - self.R[:, P:]).square().sum((1, 2))
        n_train = self.n_train[cells]
        test = (everything - train).clamp(min=0)
        return train / (n_train * k), test / ((self.n_rows - n_train) * k)
