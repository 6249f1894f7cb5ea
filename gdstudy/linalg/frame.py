"""Rows as each cell of a stack sees them, centred and scaled by statistics of its own training rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gdstudy.linalg.spectrum import Spectrum, spectrum


@dataclass(frozen=True)
class Frame:
    """(row − location)/scale of each cell. location, scale: (C, m), in units of the columns."""

    location: Tensor
    scale: Tensor

    @classmethod
    def of(cls, rows: Tensor, n_rows: Tensor, scaled: Tensor) -> Frame:
        """Means of the rows and, in the columns `scaled` (m,) bool, their standard deviations (over N, not N − 1).

        rows: (C, N, m), zero beyond n_rows (C,). A column that does not vary is not scaled, and zero in these rows.
        """
        real, n = _real(rows, n_rows), n_rows.to(rows.dtype)[:, None]
        low, high = (rows.masked_fill(~real, bound) for bound in (torch.inf, -torch.inf))
        lowest, highest = low.amin(1), high.amax(1)
        # The mean of equal numbers is off by rounding, which over its own size would be noise of the order of one.
        mean = rows.sum(1) / n
        mean = mean + ((rows - mean.unsqueeze(1)) * real).sum(1) / n  # what rounding left of it
        location = torch.where(lowest == highest, lowest, mean)
        gaps = (rows - location.unsqueeze(1)) * real
        # A power of two for each column, so that no square leaves float64.
        unit = torch.ldexp(torch.ones_like(mean), torch.frexp(gaps.abs().amax(1)).exponent - 1)
        deviation = (gaps / unit.unsqueeze(1)).square().sum(1).div(n).sqrt() * unit
        return cls(location, torch.where(scaled & (lowest < highest) & (deviation > 0), deviation, 1))

    def of_rows(self, rows: Tensor, n_rows: Tensor) -> Tensor:
        """The rows (C, N, m) in the frame, zero beyond n_rows (C,).

        Less what rounding of a large location leaves of their mean, which where N ≤ m would be a mode of its own.
        """
        real, n = _real(rows, n_rows), n_rows.to(rows.dtype)[:, None]
        seen = (rows - self.location.unsqueeze(1)) / self.scale.unsqueeze(1) * real
        return (seen - (seen.sum(1) / n).unsqueeze(1)) * real

    def spectrum(self, rows: Tensor, n_rows: Tensor, eps: float | None = None, given: Tensor | None = None) -> Spectrum:
        """The SVD of the rows in the frame. rows: (C, N, m), in float64; zero beyond n_rows (C,). eps: precision of the
        numbers that they were given in, default float64's; given: these, if means were taken from them before.

        Minus their mean they have a mode of σ = 0 where N ≤ m. What rounding makes of it is of the size of the rows as
        they were, which may be far from it.
        """
        return spectrum(
            self.of_rows(rows, n_rows), eps=eps, rows=(rows if given is None else given) / self.scale.unsqueeze(1)
        )

    def outside(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(z', s) with row·z' + s of a row as it is what seen·z is of the row in the frame: z (C, m, …), s (C, …)."""
        z = z / self.scale.unsqueeze(-1)
        return z, -(self.location.unsqueeze(1) @ z).squeeze(1)

    def of_columns(self, m: int) -> Frame:
        """The frame of the first m columns."""
        return Frame(self.location[:, :m], self.scale[:, :m])

    def at(self, cells: Tensor | slice) -> Frame:
        """The same for the given cells (c,) of the stack."""
        return Frame(self.location[cells], self.scale[cells])


def plus_means(rows: Tensor, means: Tensor, n_rows: Tensor) -> Tensor:
    """Rows (C, N, m) as they were before means (m,) were taken from their columns; zero beyond n_rows (C,)."""
    return rows + _real(rows, n_rows) * means.to(rows)


def _real(rows: Tensor, n_rows: Tensor) -> Tensor:
    return (torch.arange(rows.shape[1], device=rows.device) < n_rows[:, None]).unsqueeze(-1)


def centred(X: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """One problem's rows less their weighted mean, and it: X (N, P), weights (N,) → (N, P), (P,).

    Twice, for what rounding leaves of a large mean would where N ≤ P be a mode of its own.
    """
    shares = X.new_ones(len(X)) if weights is None else weights / weights.max()
    shares = shares / shares.sum()
    # The mean of equal numbers is off by rounding, of which nothing may be learnt.
    mean = torch.where(X.amin(0) == X.amax(0), X[0], shares @ X)
    rest = shares @ (X - mean)
    return X - mean - rest, mean + rest
