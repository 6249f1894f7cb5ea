"""The cells of a stack that are trained, measured again and again while ever fewer of them run."""

from __future__ import annotations

import torch
from torch import Tensor

from gdstudy.experiment.rows import Columns
from gdstudy.experiment.stack import Stack
from gdstudy.linalg.spectrum import product

# What is held is copied anew where less than this share of it runs: more often costs more than measuring what has left.
_KEPT = 0.75


class Running:
    """Part of a stack: the cells that run, and some that have left where that changes no digit of the others.

    Cells leave and never return, or all begin anew.
    """

    def __init__(self, everything: Stack, references: Tensor) -> None:
        """references: what each readout is to be near, (C, P, k)."""
        self._everything, self._references = everything, references
        self._hold(torch.arange(len(references)))

    def _hold(self, cells: Tensor) -> None:
        self._cells, self._part = cells, self._everything.at(cells)
        whole = len(cells) == len(self._references)
        self._near = self._references if whole else self._references[cells.to(self._references.device)]

    def _hold_at_least(self, cells: Tensor) -> None:
        if not _KEPT * len(self._cells) <= len(cells) <= len(self._cells):
            self._hold(cells)

    def _spread(self, values: Tensor, cells: Tensor) -> Tensor:
        """Values (c, …) of the cells (c,) as those of all that are held, 0 of the others."""
        if len(cells) == len(self._cells):
            return values
        where = torch.searchsorted(self._cells, cells).to(values.device)
        return values.new_zeros(len(self._cells), *values.shape[1:]).index_copy_(0, where, values)

    def measure(self, W: Tensor, cells: Tensor) -> Columns:
        """Columns of readouts W (c, P, k) of the cells (c,)."""
        self._hold_at_least(cells)
        part = self._part
        values = part.measure([part.problem], [self._spread(W, cells)], [self._near])
        if len(cells) == len(self._cells):
            return values
        where = torch.searchsorted(self._cells, cells).numpy()
        return {name: value[where] for name, value in values.items()}

    def readouts(self, coefficients: Tensor, cells: Tensor) -> Tensor:
        """V c of the cells (c,), for coefficients of their right singular vectors (c, R, k): (c, P, k)."""
        self._hold_at_least(cells)
        W = product(self._part.problem.spectrum.Vt.mT, self._spread(coefficients, cells))
        return W if len(cells) == len(W) else W[torch.searchsorted(self._cells, cells).to(W.device)]
