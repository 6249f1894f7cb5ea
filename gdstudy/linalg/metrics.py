"""From tensors to numbers: errors, distances, norms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from gdstudy.linalg.frame import Frame
from gdstudy.linalg.spectrum import cutoff, product, spectrum


def norm(X: Tensor) -> Tensor:
    """‖x‖₂ of each row of X (C, n), also where its squares over- or underflow: (C,)."""
    plain = X.norm(dim=1)
    limits = torch.finfo(X.dtype)
    # Beyond these bounds squares that matter leave the dtype. NaN stays.
    beyond = (plain < limits.tiny**0.5 / limits.eps) | (plain > limits.max**0.5 * limits.eps)
    if not bool(beyond.any()):
        return plain
    largest = X.abs().amax(1)
    scaled = (X / torch.where(largest > 0, largest, 1).unsqueeze(1)).norm(dim=1) * largest
    return torch.where(beyond & largest.isfinite(), scaled, plain)


def frobenius(W: Tensor, n_levels: int = 1) -> Tensor:
    """‖W‖_F of L readouts side by side, W (..., P, L·k): (..., L), or (...,) for one."""
    squares = W.square().sum(-2)
    if W.shape[-1] > n_levels:
        squares = squares.unflatten(-1, (n_levels, -1)).sum(-1)
    return squares.sqrt() if n_levels > 1 else squares.sqrt().squeeze(-1)


def relative_distance(W: Tensor, reference: Tensor, n_levels: int = 1) -> Tensor:
    """‖W − W*‖_F / ‖W*‖_F of L readouts side by side: as `frobenius`, no unit; 0 where both are zero."""
    gap, size = frobenius(W - reference, n_levels), frobenius(reference, n_levels)
    return torch.where(gap == 0, gap, gap / size)


def row_space_leak(W: Tensor, Vt: Tensor, nonzero: Tensor, n_levels: int = 1, size: Tensor | None = None) -> Tensor:
    """‖(I − X⁺X)W‖_F / ‖W‖_F: how far readouts left the row space of X; as `frobenius`, 0 where W = 0.

    W: (..., P, L·k), L readouts side by side; Vt: (..., R, P) right singular vectors; nonzero: (..., R) those of
    the row space. size: ‖W‖_F, if it is known.
    """
    V = Vt.to(W.dtype)
    # Modes are left out of the product and not of V, which is much larger.
    seen = V.mT @ (V @ W).mul_(nonzero.unsqueeze(-1))
    gap, size = frobenius(W - seen, n_levels), frobenius(W, n_levels) if size is None else size
    return torch.where(gap == 0, gap, gap / size)


def dimensionality(V: Tensor) -> Tensor:
    """D_i = ‖v_i‖²/Σ_j(v̂_i·v_j)², the share of a dimension vector v_i has to itself (Elhage et al. 2022).

    V: (..., N, m), N vectors in m dimensions. Returns (..., N), 0 for v_i = 0. D_i is at most the leverage of row i,
    equal to it where v_i is an eigenvector of VᵀV, so that ΣD_i ≤ rank V.
    """
    V = V / V.abs().amax((-2, -1), keepdim=True).clamp(min=torch.finfo(V.dtype).tiny)  # fourth powers follow
    squared = V.square().sum(-1)
    overlap = (V * (V @ (V.mT @ V))).sum(-1)  # ‖v_i‖² Σ_j(v̂_i·v_j)²
    return torch.where(squared > 0, squared.square() / overlap.clamp(min=torch.finfo(V.dtype).tiny), 0)


@dataclass(frozen=True)
class AllRows:
    """All rows [Φ Y] of a data set reduced to what sums over them need, one entry a draw of the features.

    R: (G, min(n, P+k), P+k) triangle of the QR factorisation of [Φ Y]: ‖[Φ Y]z‖ = ‖Rz‖. total: (G, P+k) column sums.
    n_rows: how many rows.
    """

    R: Tensor
    total: Tensor
    n_rows: int

    @classmethod
    def of(cls, tables: list[np.ndarray]) -> AllRows:
        """tables: [Φ Y] (n, P+k), one for each draw."""
        R = np.stack([np.linalg.qr(table, mode="r") for table in tables])
        return cls(torch.from_numpy(R), torch.from_numpy(np.stack([t.sum(0) for t in tables])), len(tables[0]))

    def best_readout(self, P: int, rows: Iterable[Tensor] | None = None, eps: float | None = None) -> Tensor:
        """β* of all rows for each draw, the minimum-norm least-squares fit: (G, P, k).

        rows: Φ (n, P) of each draw as it was before means were taken from it, eps: precision of the numbers in it: what
        rounding may make of a zero is of that size. By default what the triangle says, and float64's.
        """
        # The triangle has the singular values and solutions of the rows themselves.
        found = spectrum(self.R[..., :P])
        if rows is not None:
            eps = torch.finfo(torch.float64).eps if eps is None else eps
            zero = torch.stack([cutoff(x, largest, eps) for x, largest in zip(rows, found.s[:, 0], strict=True)])
            found = replace(found, nonzero=found.s > zero.unsqueeze(-1), cutoff=zero)
        return found.solve(self.R[..., P:])

    def root_mean_square(self, P: int) -> Tensor:
        """√(mean ‖φ(x)‖²) over all rows, of each draw: (G,)."""
        return self.R[..., :P].flatten(1).norm(dim=1) / self.n_rows**0.5

    def to(self, device: str) -> AllRows:
        return AllRows(self.R.to(device), self.total.to(device), self.n_rows)


@dataclass(frozen=True)
class SplitErrors:
    """Sums over the test rows of splits of one data set, without touching a test row: all rows minus training rows.

    everything: of all rows; draw: (C,) which of its entries a cell uses.
    rows: (C, N, P+k) training rows [φ(x) y], zero beyond n_train: (C,). Always in float64.
    frame: in which each cell sees rows, its training rows and z among them, and `everything` is not; or None.
    """

    everything: AllRows
    draw: Tensor
    rows: Tensor
    n_train: Tensor
    frame: Frame | None = None

    @property
    def n_test(self) -> Tensor:
        return self.everything.n_rows - self.n_train

    @cached_property
    def _row_sums(self) -> Tensor:
        return self.rows.sum(1, keepdim=True)

    def squares(self, z: Tensor, of_training: Tensor | None = None) -> Tensor:
        """Over the test rows of each cell, Σ ([φ y]·z)²: (C, m) for z as in `sums`. of_training: the same over its
        training rows, if it is known."""
        if self.frame is not None:
            return self.sums(z)[0]
        squares = z.new_empty(len(z), z.shape[2])
        for cells, g in self._draws():
            squares[cells] = self._all_squares(z[cells].mT, g)
        if of_training is None:
            of_training = (self.rows @ z).square_().sum(1)
        return squares.sub_(of_training).clamp_(min=0)

    def sums(self, z: Tensor, shift: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Over the test rows of each cell, Σ ([φ y]·z + s)² and Σ ([φ y]·z + s): each (C, m).

        z: (C, P+k, m), as many columns as there are errors to measure: [W; −I] gives predictions minus
        targets, [w; 0] the values of a readout. shift: (C, m) s, default 0.
        """
        squares, sums = z.new_empty(len(z), z.shape[2]), z.new_empty(len(z), z.shape[2])
        outside, offset = (z, None) if self.frame is None else self.frame.outside(z)
        for cells, g in self._draws():
            part = outside[cells].mT
            squares[cells] = self._all_squares(part, g)
            sums[cells] = product(part, self.everything.total[g].unsqueeze(-1)).squeeze(-1)
        if offset is not None:
            squares += 2 * offset * sums + self.everything.n_rows * offset.square()
            sums += self.everything.n_rows * offset
        squares -= (self.rows @ z).square_().sum(1)
        sums -= (self._row_sums @ z).squeeze(1)
        if shift is not None:
            squares = squares + 2 * shift * sums + self.n_test[:, None] * shift.square()
            sums = sums + self.n_test[:, None] * shift
        return squares.clamp(min=0), sums

    def _draws(self) -> list[tuple[Tensor | slice, int]]:
        """(the cells that use it, number) of each draw of the features."""
        if len(self.everything.R) == 1:
            return [(slice(None), 0)]
        return [((self.draw == g).nonzero().squeeze(-1), g) for g in range(len(self.everything.R))]

    def _all_squares(self, part: Tensor, g: int) -> Tensor:
        """Over all rows Σ ([φ y]·z)²: (c, m) for z transposed, (c, m, P+k).

        A product a cell: in one product for all of them, the digits of a row depend on how many rows come after it.
        """
        return product(part, self.everything.R[g].mT).square_().sum(-1)

    def of_levels(self, W: list[Tensor], is_value: Sequence[bool]) -> Tensor:
        """`residual` or `value` of readouts W (C, P, k) side by side: (C, P+k, L·k)."""
        (C, P, k), n_targets = W[0].shape, self.rows.shape[-1] - W[0].shape[1]
        # Transposed, so that whole columns are copied and not single numbers.
        z = W[0].new_zeros(C, len(W), k, P + n_targets)
        for level, (w, value) in enumerate(zip(W, is_value, strict=True)):
            z[:, level, :, :P] = w.mT
            if not value:
                z[:, level, :, P:] = -torch.eye(k, dtype=w.dtype, device=w.device)
        return z.flatten(1, 2).mT

    def residual(self, W: Tensor) -> Tensor:
        """z = [W; −I], whose value on a row is prediction minus target: (C, P+k, k) for W (C, P, k)."""
        return self.of_levels([W], [False])

    def value(self, W: Tensor) -> Tensor:
        """z = [W; 0], whose value on a row is x·W: (C, P+k, m) for W (C, P, m)."""
        return self.of_levels([W], [True])

    def root_mean_square(self, P: int) -> Tensor:
        """√(mean ‖φ(x)‖²) over all rows, as each cell sees them: (C,)."""
        if self.frame is None:
            return self.everything.root_mean_square(P)[self.draw]
        n, squares = self.everything.n_rows, self.everything.R[..., :P].square().sum(1)[self.draw]
        mean, scale = self.frame.location[:, :P], self.frame.scale[:, :P]
        centred = squares / n - 2 * mean * self.everything.total[self.draw, :P] / n + mean.square()
        return (centred / scale.square()).sum(1).sqrt()

    def at(self, cells: Tensor | slice) -> SplitErrors:
        """The same for the given cells (c,) of the stack."""
        frame = None if self.frame is None else self.frame.at(cells)
        return SplitErrors(self.everything, self.draw[cells], self.rows[cells], self.n_train[cells], frame)
