"""The cells of a stack that are trained, measured again and again while ever fewer of them run."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from gdstudy.experiment.rows import Columns
from gdstudy.experiment.stack import Stack
from gdstudy.linalg.spectrum import product
from gdstudy.linalg.threads import SMALL_CELL, all_threads, share

# What is held is copied anew where less than this share of it runs: more often costs more than measuring what has left.
_KEPT = 0.75
# Products of two numbers from which on cells are shared among threads, each of which calls for some forty operations.
_WORTH_THREADS = 1 << 23
# A thread has no fewer cells: a product of one matrix alone has other digits.
_FEWEST = 4


class Running:
    """Part of a stack: the cells that run, and some that have left where that changes no digit of the others.

    Cells leave and never return, or all begin anew.
    """

    def __init__(self, everything: Stack, references: Tensor, threads: int | None = None) -> None:
        """references: what each readout is to be near, (C, P, k). threads: on which cells are shared; default all."""
        self._everything, self._references = everything, references
        rows, device = everything.errors.rows, everything.errors.rows.device
        # Products of one cell are divided among PyTorch's threads where it is large, and with others on a GPU.
        small = rows[0].numel() <= SMALL_CELL and device.type == "cpu"
        self._threads = (threads or all_threads()) if small else 1
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
        W = self._spread(W, cells)
        products = self._part.errors.rows[..., 0].numel() * W[0].numel()
        threads = min(self._threads, len(W) // _FEWEST) if products >= _WORTH_THREADS else 1
        parts = share(partial(self._measure, W), len(W), threads, products, parts=1)
        values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if len(cells) == len(self._cells):
            return values
        where = torch.searchsorted(self._cells, cells).numpy()
        return {name: value[where] for name, value in values.items()}

    def _measure(self, W: Tensor, begin: int, end: int) -> dict[str, np.ndarray]:
        """Columns of some of the cells that are held, of W (C, P, k)."""
        cells = slice(begin, end)
        part = self._part if end - begin == len(W) else self._part.at(cells)
        return part.measure([part.problem], [W[cells]], [self._near[cells]])

    def readouts(self, coefficients: Tensor, cells: Tensor) -> Tensor:
        """V c of the cells (c,), for coefficients of their right singular vectors (c, R, k): (c, P, k)."""
        self._hold_at_least(cells)
        W = product(self._part.problem.spectrum.Vt.mT, self._spread(coefficients, cells))
        return W if len(cells) == len(W) else W[torch.searchsorted(self._cells, cells).to(W.device)]
