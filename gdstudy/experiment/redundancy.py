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
# Distances up to one of these times what counts as a singular value of zero are zero: the first that finds as many
# columns as the rank lacks.
_BEYOND_ZERO = (10, 100, 1000)
# Columns beyond so many, and the number of rows, are not compared with each other.
_MANY = 2048


@dataclass(frozen=True, eq=False)
class Columns:
    """dead: numbers of columns that are zero (of constant ones, with an intercept); copies: pairs (first, copy), up to
    scale and sign; deficit: how many columns are combinations of the others, copies included; combined: that many which
    are combinations of columns before them, copies included, or none where there are too many columns to tell.
    closest: the two columns that are most alike, and cosine the |cosine| of their angle; None and NaN where there are
    none, or too many to compare.
    """

    dead: list[int]
    copies: list[tuple[int, int]]
    deficit: int
    combined: list[int]
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
    deficit, combined = _combinations(scaled, live, dead)
    return Columns(dead.nonzero().squeeze(1).tolist(), pairs, deficit, combined, closest, cosine)


def _combinations(scaled: Preprocessed, live: Tensor, dead: Tensor) -> tuple[int, list[int]]:
    """How far the rank of the features lies below what their number and that of different rows allow, and the columns
    without which it does not."""
    Z, less = scaled.X, int(scaled.intercept)
    if scaled.rank >= min(len(Z) - less, int((~dead).sum())) or not len(live):
        return 0, []
    different = len(np.unique(Z.numpy(), axis=0)) - less
    found = spectrum(Z[:, live], eps=scaled.eps, rows=scaled.rows[:, live])
    deficit = max(0, min(different, len(live)) - int(found.rank))
    if not (deficit and _few(live, Z)):
        return deficit, []
    # A column is no nearer to the others than the smallest singular value, and farther where they are much alike.
    shape = found.s.unsqueeze(-1) * found.Vt  # of the same distances, by fewer rows
    for margin in _BEYOND_ZERO:
        if len(combined := _dependent(shape, margin * float(found.cutoff))) == deficit:
            return deficit, [int(live[k]) for k in combined]
    return deficit, []


def _dependent(Z: Tensor, zero: float) -> list[int]:
    """The columns whose distance from the span of those before them is at most this."""
    basis, rank = Z.new_empty(len(Z), min(Z.shape)), 0
    found: list[int] = []
    for k, column in enumerate(Z.T):
        if rank == len(Z):
            return found + list(range(k, Z.shape[1]))
        seen = basis[:, :rank]
        for _ in range(2):  # twice is enough to be orthogonal to the last digit
            column = column - seen @ (seen.T @ column)
        distance = column.norm()
        if distance <= zero:
            found.append(k)
        else:
            basis[:, rank], rank = column / distance, rank + 1
    return found


def _few(live: Tensor, Z: Tensor) -> bool:
    """Whether columns are few enough to compare each with all."""
    return len(live) <= max(_MANY, len(Z))


def _copies(Z: Tensor, tolerance: float) -> list[tuple[int, int]]:
    """Columns of unit size that are equal up to sign, neighbours by a random projection: each with their first."""
    if Z.shape[1] < 2:
        return []
    direction = torch.from_numpy(stream(0, "copies").standard_normal(len(Z)))
    projection = direction @ Z
    order = projection.abs().argsort(stable=True)
    signed = Z * torch.where(projection < 0, -1.0, 1.0)
    a, b = signed[:, order[:-1]], signed[:, order[1:]]
    alike = (a - b).square().mean(0).sqrt() <= tolerance
    groups = order.tensor_split((~alike).nonzero().squeeze(1) + 1)
    return [(int(group.min()), int(copy)) for group in groups for copy in group.sort().values[1:]]


def _closest(Z: Tensor, live: Tensor) -> tuple[tuple[int, int] | None, float]:
    """The two columns, of these of unit size, with the largest |cosine|, and it."""
    if len(live) < 2 or not _few(live, Z):
        return None, float("nan")
    z = Z[:, live]
    cosines = (z.mT @ z / len(z)).abs().fill_diagonal_(-1)
    a, b = divmod(int(cosines.argmax()), len(live))
    return (int(live[a]), int(live[b])), float(cosines[a, b])
