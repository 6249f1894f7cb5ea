"""Cells whose Gram matrices share one size, each taken through all its steps by a GPU's program (`triton_kernel.py`).

PyTorch launches two products and more a step, each of which takes longer than the arithmetic of small cells does, and
reads every Gram matrix anew. Here a launch is many steps with their looks, and a matrix stays in registers while they
are taken or, where it is too large for them, is read once a step. Written for Triton, which comes with PyTorch for
CUDA; compiled in about a second a size, once for a machine. The sizes below follow from what the compiler says of
registers; what they gain is not measured.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from gdstudy.linalg.spectrum import product
from gdstudy.study.console import one_line
from gdstudy.training.compiled import norm_scale, to_look
from gdstudy.training.engine import Looked

# Gram matrices of so many rows stay in registers. Larger ones are read by one program a cell, up to where a few cells
# would leave most of the memory's bandwidth idle, and once for each output, where PyTorch's products read them once.
_HELD, _READ = 128, 512
_MOST_OUTPUTS, _FEW_OUTPUTS = 32, 4
# Bytes of a matrix that a program asks for at once, at most 16 rows: enough on their way to keep the memory busy.
_AT_ONCE = 1 << 15
# Products of two numbers in a launch, of all cells and of one (a step is at least _STEP of them): some .5 s on a slow
# GPU, since one that also draws a screen ends what takes it for seconds.
_LAUNCH, _OF_A_CELL, _STEP = 1 << 36, 1 << 31, 1 << 14
# How many times as many products as a CPU a GPU takes before anybody is told how far it is.
_FASTER = 64
_FEATURES = 8  # columns of X at once


def fuses(device: torch.device, n: int, k: int) -> bool:
    """Whether cells of Gram matrices (n, n) and k outputs on a device are for a program of Triton's, which works there.

    GDSTUDY_FAST=0 turns it off. A cell's own size decides, so that its digits depend on no other's.
    """
    if device.type != "cuda" or torch.version.hip is not None or os.environ.get("GDSTUDY_FAST") == "0":
        return False  # AMD's GPUs, which PyTorch calls cuda too, have other registers
    return n <= _READ and k <= (_MOST_OUTPUTS if n <= _HELD else _FEW_OUTPUTS) and _works(device)


@cache
def _works(device: torch.device) -> bool:
    """Whether Triton is installed and takes a step; it needs a C compiler, and a GPU that it knows."""
    try:
        import triton  # noqa: F401
    except ImportError:
        return False
    try:
        one = torch.ones(1, 1, 1, dtype=torch.float64, device=device)
        block = FusedBlock(one.flatten().long(), one, one, one[:, :0], one.flatten(), 0.0)
        block.advance(1)
        if float(block.displacement()) != 1:
            raise RuntimeError(f"its first step led to {float(block.displacement())} instead of 1")
    except Exception as error:  # of Triton's, its compilers' or the driver's
        why = f"Triton cannot be used on {device}, so that steps take longer: {one_line(error)[:200]}"
        warnings.warn(f"{why}. GDSTUDY_FAST=0 does without it.", RuntimeWarning, stacklevel=2)
        return False
    return True


@dataclass(frozen=True)
class Shape:
    """How a program holds a cell: in vectors of `size` numbers, its Gram matrix by so many rows, on so many warps."""

    size: int
    rows: int
    warps: int

    @classmethod
    def of(cls, width: int, bytes_of_number: int) -> Shape:
        size = max(16, 1 << (width - 1).bit_length())
        if size > _HELD:
            return cls(size, min(16, _AT_ONCE // (size * bytes_of_number)), 8)
        # A matrix is at most 64 of the 255 registers of a thread, or of 128 where there are 16 warps.
        return cls(size, size, max(1, size**2 * bytes_of_number // 4 // (64 * 32)) if size > 32 else 1)


class FusedBlock:
    """As `gram.Block`. A: (C, width, width), B, Z, V: (C, k, width) and X: (C, width, P) are padded with zeros.

    scale: (C, 2) as `norm_scale` says.
    """

    def __init__(
        self,
        cells: Tensor,
        gram: Tensor,
        right: Tensor,
        X: Tensor,
        eta: Tensor,
        momentum: float = 0.0,
        threads: int | None = None,
    ) -> None:
        """threads: of a CPU, and so of no use here."""
        self.cells, self.momentum, self.dual = cells, momentum, X.shape[1] > 0
        self.n, self.k = gram.shape[-1], right.shape[-1]
        self.width = -(-self.n // 16) * 16  # rows begin where several numbers can be read at once
        self.shape = Shape.of(self.width, gram.element_size())
        beyond = self.width - self.n
        self.A = pad(eta[:, None, None] * gram, (0, beyond, 0, beyond)).contiguous()
        B = (eta[:, None, None] * right).mT
        self.B, self.scale = pad(B, (0, beyond)).contiguous(), norm_scale(B, eta)
        self.X = pad(X, (0, 0, 0, beyond)).contiguous() if self.dual else X
        self.Z, self.V = torch.zeros_like(self.B), torch.zeros_like(self.B[:, :, : self.width if momentum else 0])

    beside = False

    @property
    def work(self) -> int:
        """Products of two numbers in a step of all cells, as many as take a CPU as long."""
        return -(-self.B.numel() * self.width // _FASTER)

    def through(
        self, intervals: Sequence[int], first: Tensor, largest: Tensor, tolerance: float, divergence: float
    ) -> Looked:
        """Steps with a look after each of the intervals; a cell that is done takes no more."""
        device, real = self.A.device, torch.float64
        largest, first = largest.to(real, copy=True), first.to(real, copy=True)
        taken, norm = torch.zeros_like(self.cells), torch.empty_like(largest)
        running = torch.ones_like(self.cells, dtype=torch.int32)
        bounds = torch.tensor([tolerance, divergence, self.momentum], dtype=real, device=device)
        known = (first, largest, norm, self.scale, bounds)
        of_a_cell = self.k * max(self.width**2, _STEP)
        most = max(1, min(_OF_A_CELL // of_a_cell, _LAUNCH // max(1, self.B.numel() * self.width)))
        for steps, looking in launches(intervals, most):
            looks = torch.tensor(steps, device=device)
            self._launch(*known, looks, taken, running, len(steps), int(looking))
        looks = torch.tensor(intervals, device=device)
        return Looked(len(intervals), looks.cumsum(0)[taken - 1], norm, largest)

    def _launch(self, *arguments: Any) -> None:
        from gdstudy.training.triton_kernel import descent

        shape, (k, width), P = self.shape, self.B.shape[1:], self.X.shape[-1]
        with torch.cuda.device_of(self.A):
            descent[(len(self.cells),)](
                *(self.A, self.B, self.Z, self.V, self.X, *arguments, k, width, P),
                SIZE=shape.size,
                ROWS=shape.rows,
                FEATURES=_FEATURES if self.dual else 0,
                MOMENTUM=self.momentum > 0,
                num_warps=shape.warps,
                num_stages=1,
                enable_fp_fusion=True,
            )

    def advance(self, n_steps: int) -> None:
        to_look(self, n_steps)

    def gradient_norm(self) -> Tensor:
        """‖∇L‖: (C,) float64."""
        return to_look(self, 0).norm

    def displacement(self, some: Tensor | slice = slice(None)) -> Tensor:
        """W − W₀ of all or some cells: (c, P, k)."""
        Z = self.Z[some, :, : self.n]
        return (product(Z, self.X[some, : self.n]) if self.dual else Z).mT

    def keep(self, mask: Tensor) -> None:
        if not bool(mask.all()):
            for name in ("cells", "A", "B", "Z", "V", "X", "scale"):
                setattr(self, name, getattr(self, name)[mask])

    def state(self) -> dict[str, Tensor]:
        """What steps have changed: Z and V, (C, k, n)."""
        return {name: getattr(self, name)[:, :, : self.n] for name in ("Z", "V")}


def launches(intervals: Sequence[int], most: int) -> Iterator[tuple[list[int], bool]]:
    """Launches that take the steps of these intervals, at most so many each: intervals, and whether it looks after
    each. One that takes more has launches of its own, of which only the last looks."""
    together: list[int] = []
    for interval in intervals:
        if together and sum(together) + interval > most:
            yield together, True
            together = []
        while interval > most:
            yield [most], False
            interval -= most
        together.append(interval)
    yield together, True
