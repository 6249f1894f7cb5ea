"""Rows as each cell of a stack sees them, centred and scaled by statistics of its own training rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


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
        location = torch.where(lowest == highest, lowest, rows.sum(1) / n)
        deviation = ((rows - location.unsqueeze(1)) * real).square().sum(1).div(n).sqrt()
        return cls(location, torch.where(scaled & (lowest < highest) & (deviation > 0), deviation, 1))

    def of_rows(self, rows: Tensor, n_rows: Tensor) -> Tensor:
        """The rows (C, N, m) in the frame, zero beyond n_rows (C,)."""
        return (rows - self.location.unsqueeze(1)) / self.scale.unsqueeze(1) * _real(rows, n_rows)

    def outside(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(z', s) with row·z' + s of a row as it is what seen·z is of the row in the frame: z (C, m, …), s (C, …)."""
        z = z / self.scale.unsqueeze(-1)
        return z, -(self.location.unsqueeze(1) @ z).squeeze(1)

    def at(self, cells: Tensor) -> Frame:
        """The same for the given cells (c,) of the stack."""
        return Frame(self.location[cells], self.scale[cells])


def _real(rows: Tensor, n_rows: Tensor) -> Tensor:
    return (torch.arange(rows.shape[1], device=rows.device) < n_rows[:, None]).unsqueeze(-1)
