"""The thin SVD of a stack of matrices, and which of its modes count: what closed forms filter and the three factors
are read from. Always in float64, whatever trains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gdstudy.linalg.threads import LARGE_CELL, all_threads, one_blas_thread, share

# Both measured (tests/linalg/test_spectrum.py), as multiples of what rounding does to a singular value: rounding the
# numbers of X alone .3, a product computed in their precision up to 1.6; LAPACK's own errors up to 1.5.
_DATA_MARGIN, _SVD_MARGIN = 2, 4
# An SVD of 64 × 64 takes as long as so many products XXᵀ, smaller ones as more; but 64 of 8 × 8 take .9 ms on one
# thread, and no less on two.
_SVD_PRODUCTS = 30


class Modes(NamedTuple):
    """What a filter needs of a spectrum: s, nonzero, as there."""

    s: Tensor
    nonzero: Tensor


@dataclass(frozen=True)
class Spectrum:
    """Thin SVD X = U diag(σ) Vᵀ of a stack of matrices, R = min(N, P). float64.

    U: (..., N, R); s: (..., R), descending, in units of X; Vt: (..., R, P).
    nonzero: (..., R), True where σ_r is above the cutoff, so that it is part of the rank.
    cutoff: (...,), in units of X.
    """

    U: Tensor
    s: Tensor
    Vt: Tensor
    nonzero: Tensor
    cutoff: Tensor

    @property
    def rank(self) -> Tensor:
        """Number of singular values above the cutoff: (...,) int64."""
        return self.nonzero.sum(-1)

    @property
    def smallest(self) -> Tensor:
        """Smallest singular value above the cutoff, in units of X; NaN where X = 0: (...,)."""
        last = (self.rank - 1).clamp(min=0).unsqueeze(-1)
        return torch.where(self.rank > 0, self.s.gather(-1, last).squeeze(-1), torch.nan)

    @property
    def inverse(self) -> Tensor:
        """1/σ of the modes that count, 0 of the others: (..., R), in 1/units of X."""
        return torch.where(self.nonzero, 1 / self.s, 0)

    def without(self, removed: Tensor) -> Spectrum:
        """The spectrum of X with the modes in `removed` (..., R) taken out: their σ is zero."""
        kept = ~removed
        return replace(self, s=self.s * kept, nonzero=self.nonzero & kept)

    def at(self, cells: Tensor | slice) -> Spectrum:
        """The spectra of the given cells (c,) of a stack; of a slice of it without a copy."""
        return Spectrum(self.U[cells], self.s[cells], self.Vt[cells], self.nonzero[cells], self.cutoff[cells])

    def modes(self, cells: Tensor) -> Modes:
        """σ of the given cells (c,), without the singular vectors, which are much larger."""
        return Modes(self.s[cells], self.nonzero[cells])

    def matrix(self) -> Tensor:
        """U diag(σ) Vᵀ over the modes that count: (..., N, P)."""
        return product(self.U * (self.s * self.nonzero).unsqueeze(-2), self.Vt)

    def filtered(self, f: Tensor, Y: Tensor) -> Tensor:
        """Readout W = V (f ∘ UᵀY). f: (..., R, 1), or (..., R, k) for a filter of each output; Y: (..., N, k).

        Returns (..., P, k).
        """
        return product(self.Vt.mT, f * product(self.U.mT, Y))

    def solve(self, Y: Tensor) -> Tensor:
        """X⁺Y: (..., N, k) → (..., P, k)."""
        return self.filtered(self.inverse.unsqueeze(-1), Y)


def spectrum(
    X: Tensor, rtol: float | Tensor | None = None, eps: float | None = None, rows: Tensor | None = None
) -> Spectrum:
    """Thin SVD of a stack, in float64, with the singular values that count as zero marked.

    X: (..., N, P). rtol: σ at or below rtol·σ₁ counts as zero, a number or (...,); default the rule of `cutoff`.
    eps: precision of the numbers in X; default that of its dtype. rows: what it was before means were taken from it,
    whose rounding is of the size of the rows as they were, which may be far from them; default X.
    """
    eps = torch.finfo(X.dtype).eps if eps is None else eps
    X = X.to(torch.float64)
    U, s, Vt = thin_svd(X)
    if rtol is None:
        zero = cutoff(X if rows is None else rows.to(torch.float64), s[..., 0], eps)
    else:
        zero = torch.as_tensor(rtol, dtype=s.dtype, device=s.device).expand(s.shape[:-1]) * s[..., 0]
    # Strictly above, so that X = 0 has rank 0.
    return Spectrum(U, s, Vt, s > zero.unsqueeze(-1), zero)


def cutoff(X: Tensor, largest: Tensor, eps: float) -> Tensor:
    """Singular values at or below this count as zero: no larger than what rounding can make of a zero.

        2·eps·(max_i ‖x_i‖ + max_j ‖x^j‖) + 4·eps₆₄·√max(n, p)·σ₁

    over rows x_i and columns x^j of X, of which n and p are not zero. The first term is what the data's own precision
    leaves open: independent rounding errors of relative size eps move a singular value by at most a multiple of that
    (Bandeira & van Handel 2016), which unlike max(N, P)·eps·σ₁ does not outgrow σ₁ ≥ max_j ‖x^j‖ when there are more
    rows. The second is the error of the SVD in float64. Rows and columns of zeros change nothing.

    X: (..., N, P); largest: (...,) its σ₁; eps: precision of its numbers. Returns (...,), in units of X.
    """
    scale = torch.where(largest > 0, largest, 1)[..., None, None]
    squares = (X / scale).square_()  # of any units: none under- or overflows
    rows, columns = squares.sum(-1), squares.sum(-2)
    longest = torch.maximum((rows > 0).sum(-1), (columns > 0).sum(-1)).to(largest.dtype)
    data = _DATA_MARGIN * eps * (rows.amax(-1).sqrt() + columns.amax(-1).sqrt())
    return (data + _SVD_MARGIN * torch.finfo(torch.float64).eps * longest.sqrt()) * largest


def product(A: Tensor, B: Tensor) -> Tensor:
    """A @ B with digits that do not depend on how many matrices a stack holds: torch takes other kernels for one."""
    if A.device.type != "cpu":
        # Where B is one for all, it would be one product of all rows.
        return A @ (B.expand(*A.shape[:-2], *B.shape) if B.ndim == 2 else B)
    return torch.from_numpy(np.matmul(A.numpy(), B.contiguous().numpy()))


def thin_svd(X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U, σ, Vᵀ of each matrix of a stack (..., N, P), whose digits depend on that matrix alone.

    On a CPU by NumPy, stacks a part a thread: twice as fast as torch for small matrices. Large ones are a thread each
    as well, as LAPACK gains little from more (see `threads.one_blas_thread`).
    """
    if X.device.type != "cpu":
        return torch.linalg.svd(X, full_matrices=False)
    stack = X.reshape(-1, *X.shape[-2:]).numpy(force=True)
    several = len(stack) >= 64 or X.shape[-2] * X.shape[-1] > LARGE_CELL
    threads, cell = all_threads() if several else 1, X.shape[-2] * X.shape[-1]
    products = len(stack) * _SVD_PRODUCTS * cell * min(X.shape[-2:])

    def factor(begin: int, end: int) -> Any:
        return np.linalg.svd(stack[begin:end], full_matrices=False)

    with one_blas_thread(cell):
        done = share(factor, len(stack), threads, products, parts=1)
    joined = (arrays[0] if len(arrays) == 1 else np.concatenate(arrays) for arrays in zip(*done, strict=True))
    stacks = [torch.from_numpy(array) for array in joined]
    U, s, Vt = (a.reshape(*X.shape[:-2], *a.shape[1:]) for a in stacks)
    return U, s, Vt
