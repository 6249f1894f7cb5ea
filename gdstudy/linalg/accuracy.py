"""How many rows of splits a readout puts in their class: the one with the largest output."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gdstudy.linalg.frame import Frame

_CHUNK = 1 << 22  # outputs that are held at once


@dataclass(frozen=True)
class SplitAccuracies:
    """Shares of the training and of the test rows of splits of one data set whose largest output is their class's.

    features: (G, n, P) all rows, for each draw of the features; draw: (C,) which of these a cell uses. labels: (n,)
    class of each row, 0 … k−1. rows: (C, N) numbers of the training rows, −1 beyond n_train: (C,).
    mean: (C, k) what was taken from the targets, and is added to outputs before they are compared. frame: in which each
    cell sees the features, which `features` are not; or None.
    """

    features: Tensor
    draw: Tensor
    labels: Tensor
    rows: Tensor
    n_train: Tensor
    mean: Tensor
    frame: Frame | None = None

    def shares(self, W: Tensor, shift: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Share of the training rows, and of all others, under readouts W (C, P, k) with outputs x·W + shift (C, k),
        default 0: each (C,)."""
        among_rows, among_all = self._hits(W, torch.zeros_like(W[:, 0]) if shift is None else shift)
        others = (among_all - among_rows).double() / (len(self.labels) - self.n_train)
        return among_rows.double() / self.n_train, others

    def _hits(self, W: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """How many training rows, and how many rows in all, are put in their class: each (C,)."""
        among_rows, among_all = torch.zeros_like(self.n_train), torch.zeros_like(self.n_train)
        if self.frame is not None:
            W, offset = self.frame.outside(W)
            shift = shift + offset
        size = max(1, _CHUNK // (len(self.labels) * W.shape[-1]))
        for g in range(len(self.features)):
            for cells in (self.draw == g).nonzero().squeeze(-1).split(size):
                outputs = self.features[g] @ W[cells] + (shift + self.mean)[cells].unsqueeze(1)
                hits = outputs.argmax(-1) == self.labels
                rows = self.rows[cells]
                among_rows[cells] = (hits.gather(1, rows.clamp(min=0)) & (rows >= 0)).sum(1)
                among_all[cells] = hits.sum(1)
        return among_rows, among_all

    def at(self, cells: Tensor | slice) -> SplitAccuracies:
        """The same for the given cells (c,)."""
        draw, rows, n_train, mean = (values[cells] for values in (self.draw, self.rows, self.n_train, self.mean))
        frame = None if self.frame is None else self.frame.at(cells)
        return replace(self, draw=draw, rows=rows, n_train=n_train, mean=mean, frame=frame)
