"""The thin SVD of a stack of matrices: what closed forms filter and the three factors are read from."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Spectrum:
    """Thin SVD X = U diag(σ) Vᵀ of a stack of matrices, R = min(N, P).

    U: (..., N, R); s: (..., R), descending, in units of X; Vt: (..., R, P).
    nonzero: (..., R), True where σ_r exceeds the relative cutoff rtol·σ₁, so σ_r counts as part of the rank.
    """

    U: Tensor
    s: Tensor
    Vt: Tensor
    nonzero: Tensor

    @property
    def rank(self) -> Tensor:
        """Number of singular values above the cutoff: (...,) int64."""
        return self.nonzero.sum(-1)

    @property
    def smallest(self) -> Tensor:
        """Smallest singular value above the cutoff, in units of X; NaN where X = 0: (...,)."""
        last = (self.rank - 1).clamp(min=0).unsqueeze(-1)
        return torch.where(self.rank > 0, self.s.gather(-1, last).squeeze(-1), torch.nan)

    def without(self, removed: Tensor) -> Spectrum:
        """The spectrum of X with the modes in `removed` (..., R) taken out: their σ is zero."""
        kept = ~removed
        return replace(self, s=self.s * kept, nonzero=self.nonzero & kept)

    def at(self, cells: Tensor) -> Spectrum:
        """The spectra of the given cells (c,) of a stack."""
        return Spectrum(self.U[cells], self.s[cells], self.Vt[cells], self.nonzero[cells])

    def matrix(self) -> Tensor:
        """U diag(σ) Vᵀ over the modes that count: (..., N, P)."""
        return self.U * (self.s * self.nonzero).unsqueeze(-2) @ self.Vt

    def filtered(self, f: Tensor, Y: Tensor) -> Tensor:
        """Readout W = V (f ∘ UᵀY). f: (..., R, 1), or (..., R, k) for a filter of each output; Y: (..., N, k).

        Returns (..., P, k).
        """
        return self.Vt.mT @ (f.to(Y.dtype) * (self.U.mT @ Y))


def spectrum(X: Tensor, rtol: float | Tensor | None = None) -> Spectrum:
    """Thin SVD of a stack with the singular values below rtol·σ₁ marked as zero.

    X: (..., N, P). rtol: a number or (...,); default max(N, P)·eps of X's dtype, as in numpy.linalg.matrix_rank.
    """
    U, s, Vt = _thin_svd(X)
    if rtol is None:
        rtol = max(X.shape[-2:]) * torch.finfo(X.dtype).eps
    cutoff = torch.as_tensor(rtol, dtype=s.dtype, device=s.device).expand(s.shape[:-1]) * s[..., 0]
    # Strictly above, so that X = 0 has rank 0.
    return Spectrum(U, s, Vt, s > cutoff.unsqueeze(-1))


def _thin_svd(X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """torch.linalg.svd; stacks on a CPU go through numpy's, a part a thread: twice as fast for small matrices."""
    if X.device.type != "cpu" or X.ndim < 3 or X.requires_grad:
        return torch.linalg.svd(X, full_matrices=False)
    stack = X.reshape(-1, *X.shape[-2:]).numpy(force=True)
    parts = np.array_split(stack, torch.get_num_threads() if len(stack) >= 64 else 1)
    with ThreadPoolExecutor(len(parts)) as threads:
        done = list(threads.map(lambda part: np.linalg.svd(part, full_matrices=False), parts))
    U, s, Vt = (torch.from_numpy(np.concatenate(arrays)) for arrays in zip(*done, strict=True))
    return tuple(a.reshape(*X.shape[:-2], *a.shape[1:]) for a in (U, s, Vt))  # type: ignore[return-value]
