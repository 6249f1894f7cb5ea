"""gdstudy's own engine as a peer among others, and which of its ways the steps take."""

from __future__ import annotations

import time

import numpy as np
import torch

from gdstudy.training.gram import Gram
from tests.benchmarks.cells import Cells
from tests.benchmarks.peers import Stepper


def engine(cells: Cells) -> Gram:
    X, Y, eta, n_rows = (torch.from_numpy(a) for a in (cells.X, cells.Y, cells.eta, cells.n_rows))
    return Gram(X, Y, X.new_zeros(len(X), X.shape[2], Y.shape[2]), eta, n_rows)


def way(gram: Gram) -> str:
    """What takes the steps: PyTorch, or machine code that is written for their size."""
    rooms = {type(block).__module__.rsplit(".", 1)[-1] for block in gram.blocks}
    return "PyTorch" if rooms == {"gram"} else "machine code"


def weights(gram: Gram) -> np.ndarray:
    """(C, P, k), in the order of cells."""
    return gram.solution()[gram.cells.argsort()].numpy()


def stepper(cells: Cells) -> tuple[Stepper, str]:
    """(what takes the steps, by which way); compile time is that of a first engine and step over a second's."""
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        gram = engine(cells)
        gram.advance(1)
        seconds.append(time.perf_counter() - began)
    gram = engine(cells)
    compiled = max(0.0, seconds[0] - seconds[1]) if way(gram) != "PyTorch" else 0.0
    return Stepper(gram.advance, lambda: weights(gram), np.arange(len(cells)), compiled), way(gram)
