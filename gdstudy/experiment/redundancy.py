"""Features that are zero, copies or combinations of others, and rows that are copies: what lowers the rank of X."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gdstudy.data.splits import stream
from gdstudy.experiment.preprocessed import Preprocessed
from gdstudy.linalg.spectrum import spectrum

# Columns that are not zero in so many rows only are alike by chance, and no copies.
_FEWEST = 3
# Relative difference up to which columns are copies, and what float32 data make of it in eps.
_COPY, _COPY_EPS = 1e-8, 8


@dataclass(frozen=True, eq=False)
class Columns:
    """dead: numbers of columns that are zero (of constant ones, with an intercept); copies: pairs (first, copy), up to
    scale and sign; deficit: how many columns are combinations of the others, copies included.
    closest: the two columns that are most alike, and cosine the |cosine| of their angle; None and NaN where there are
    none, or too many to compare.
    """

    dead: list[int]
    copies: list[tuple[int, int]]
    deficit: int
    closest: tuple[int, int] | None
    cosine: float


def columns_of(base: Preprocessed, scaled: Preprocessed) -> Columns:
    Z = scaled.X
    filled = (base.X != 0).sum(0)
    if base.intercept:  # a centred column is not zero where the others are: count rows apart from its commonest value
        commonest = base.X.mode(0).values
        filled = (commonest != base.X).sum(0)
    dead, live = filled == 0, (filled >= _FEWEST).nonzero().squeeze(1)
    copies = _copies(Z[:, live], max(_COPY, _COPY_EPS * base.eps))
    pairs = [(int(live[a]), int(live[b])) for a, b in copies]
    closest, cosine = _closest(Z, live)
    return Columns(dead.nonzero().squeeze(1).tolist(), pairs, _deficit(scaled, live, dead), closest, cosine)


def _deficit(scaled: Preprocessed, live: Tensor, dead: Tensor) -> int:
    """How far the rank of the features lies below what their number and that of different rows allow."""
    Z, less = scaled.X, int(scaled.intercept)
    if int(scaled.spectrum.rank[0]) >= min(len(Z) - less, int((~dead).sum())):
        return 0
    different = len(np.unique(Z.numpy(), axis=0)) - less
    rank = int(spectrum(Z[:, live], eps=scaled.eps).rank) if len(live) else 0
    return max(0, min(different, len(live)) - rank)


def _copies(Z: Tensor, tolerance: float) -> list[tuple[int, int]]:
    """Pairs of columns of unit size that are equal up to sign: neighbours by a random projection."""
    if Z.shape[1] < 2:
        return []
    direction = torch.from_numpy(stream(0, "copies").standard_normal(len(Z)))
    projection = direction @ Z
    order = projection.abs().argsort(stable=True)
    signed = Z * torch.where(projection < 0, -1.0, 1.0)
    a, b = signed[:, order[:-1]], signed[:, order[1:]]
    alike = (a - b).square().mean(0).sqrt() <= tolerance
    neighbours = [(int(order[k]), int(order[k + 1])) for k in alike.nonzero().squeeze(1)]
    return [(min(pair), max(pair)) for pair in neighbours]


def _closest(Z: Tensor, live: Tensor) -> tuple[tuple[int, int] | None, float]:
    """The two columns, of these of unit size, with the largest |cosine|, and it."""
    if not 2 <= len(live) <= max(2048, len(Z)):
        return None, float("nan")
    z = Z[:, live]
    cosines = (z.mT @ z / len(z)).abs().fill_diagonal_(-1)
    a, b = divmod(int(cosines.argmax()), len(live))
    return (int(live[a]), int(live[b])), float(cosines[a, b])
