"""A regression problem that was checked, without units, and the way back: first and last of every public function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic

import numpy as np
import torch
from torch import Tensor

from gdstudy.linalg.arrays import Array, as_tensor, precision_of
from gdstudy.linalg.units import exponent, times_power_of_two

# Readouts without units are of the order of one, and more where X is ill-conditioned.
_NOTHING = 1e-8


@dataclass(frozen=True)
class Regression(Generic[Array]):
    """A stack of regression problems that was checked, in float64 and without units, and the way back.

    X: (..., N, P) in units of 2^x_unit; Y: (..., N, k) in units of 2^y_unit, so that each problem's largest numbers lie
    in [½, 1). Where rows have weights w they are rows times √w, the same problem without weights. Powers of two change
    no digit, and no largest number over- or underflows when it is squared; an output that is smaller than another of
    its problem by more than the dtype holds is zero. x_unit, y_unit: int64, (...,). eps: precision of the numbers X was
    given in.
    batch: the batch axes of X and Y together. dtype: of the results. vector: Y was (..., N).
    """

    X: Tensor
    Y: Tensor
    x_unit: Tensor
    y_unit: Tensor
    eps: float
    batch: torch.Size
    dtype: torch.dtype
    vector: bool
    numpy: bool

    @classmethod
    def of(cls, X: Array, Y: Array, sample_weight: Any = None) -> Regression[Array]:
        """X: (..., N, P); Y: (..., N) or (..., N, k); sample_weight: (..., N), or None for weights of 1; batch axes
        broadcast as NumPy's do.

        ValueError for what no regression can be: shapes that do not fit, NaN, infinity, no rows or columns, weights
        below zero or all zero.
        """
        x, y = as_tensor("X", X, 2), as_tensor("Y", Y, 1)
        batch, vector = regression_axes(x, y)
        if vector:
            y = y.unsqueeze(-1)
        dtype = torch.promote_types(x.dtype, y.dtype)
        # One order in memory, in which products take their sums.
        x, y = x.to(torch.float64).contiguous(), y.to(torch.float64).to(x.device).contiguous()
        if sample_weight is None:
            x, x_unit = _without_unit(x)
            y, y_unit = _without_unit(y)
        else:
            root, unit = _root_weights(sample_weight, x, batch)
            batch = torch.Size(np.broadcast_shapes(batch, root.shape[:-2]))
            x, x_unit = _weighted(x, root, unit)
            y, y_unit = _weighted(y, root, unit)
        return cls(
            x,
            y,
            x_unit,
            y_unit,
            precision_of(X),
            batch,
            dtype,
            vector,
            not isinstance(X, Tensor),
        )

    @property
    def k(self) -> int:
        return int(self.Y.shape[-1])

    def like_readout(self, name: str, value: Any) -> Tensor:
        """A readout given as (..., P) where Y is (..., N), as (..., P, k) where it is (..., N, k): (..., P, k) float64.

        In its own units. ValueError, with both shapes, unless it fits by its axes.
        """
        tensor = as_tensor(name, value, 1).to(torch.float64).to(self.X.device)
        shape = tuple(tensor.shape)
        wanted: tuple[int, ...] = (self.X.shape[-1],) if self.vector else (self.X.shape[-1], self.k)
        if shape[-len(wanted) :] != wanted or not _broadcasts(shape[: -len(wanted)], self.batch):
            axes = "(..., P)" if self.vector else "(..., P, k)"
            raise ValueError(f"{name} must be {axes}, as Y is: {(*self.batch, *wanted)}; its shape is {shape}")
        return tensor.unsqueeze(-1) if self.vector else tensor

    def with_start(self, W0: Tensor) -> tuple[Regression[Array], Tensor]:
        """The problem in units in which neither Y nor XW₀ overflows, and W₀ (..., P, k) in them."""
        never = -(10**6)
        of_y = torch.where((self.Y != 0).any(-1).any(-1), self.y_unit, never)
        of_w = torch.where((W0 != 0).any(-1).any(-1), exponent(W0) + self.x_unit, never)
        unit = torch.maximum(of_y, of_w)
        unit = torch.where(unit == never, 0, unit)
        Y = times_power_of_two(self.Y, (self.y_unit - unit)[..., None, None])
        return replace(self, Y=Y, y_unit=unit), times_power_of_two(W0, (self.x_unit - unit)[..., None, None])

    def per_problem(self, name: str, value: Any) -> Tensor:
        """A number or one number per problem: (...,) float64, as many axes as `batch`. ValueError for another shape."""
        tensor = as_tensor(name, value).to(torch.float64).to(self.X.device)
        if not _broadcasts(tuple(tensor.shape), self.batch):
            raise ValueError(
                f"{name} must be a number or one per problem {tuple(self.batch)}; its shape is {tuple(tensor.shape)}"
            )
        return tensor.expand(self.batch)

    def readout(self, W: Tensor, power: Tensor | None = None, checked: Tensor | None = None) -> Array:
        """W (..., P, k) of the problem without units, times 2^power, as the user is to have it.

        In its units, axes, dtype and kind. ValueError where the dtype cannot hold it; checked: (...,) the problems
        this is said of, default all.
        """
        given = self.in_units(W, power)
        self._check_range(W, given.to(self.dtype), self.y_unit - self.x_unit + (0 if power is None else power), checked)
        return self.as_given(given)

    def in_units(self, W: Tensor, power: Tensor | None = None) -> Tensor:
        """W (..., P, k) of the problem without units, times 2^power, in units of Y per unit of X: float64."""
        total = self.y_unit - self.x_unit + (0 if power is None else power)
        return times_power_of_two(W, total[..., None, None])

    def as_given(self, W: Tensor) -> Array:
        """A readout (..., P, k) in the axes of Y, and in dtype and kind of what was given."""
        return self.kind(W.squeeze(-1) if self.vector else W)

    def cells(self, value: Tensor, axes: int) -> Tensor:
        """What each problem of the batch has, (..., and so many axes), one after the other: (C, …)."""
        own: tuple[int, ...] = tuple(value.shape)[value.ndim - axes :]
        return value.expand((*self.batch, *own)).reshape((-1, *own))

    def _check_range(self, W: Tensor, given: Tensor, power: Tensor, checked: Tensor | None) -> None:
        largest, held = W.abs().amax((-2, -1)), given.abs().amax((-2, -1))
        limits = torch.finfo(given.dtype)
        # What is small without units too, as where Y is orthogonal to X, may as well be zero.
        lost = (held > limits.max) | ((held < limits.tiny) & (largest > _NOTHING))
        if checked is not None:
            lost = lost & checked
        if bool(lost.any()):
            size = (torch.log10(largest) + power * np.log10(2)).expand(lost.shape)[lost][0]
            raise ValueError(
                f"X and Y: the solution is of the order of 1e{float(size):+.0f}, which {str(self.dtype)[6:]} cannot "
                "hold; give them in other units" + ("" if self.dtype == torch.float64 else ", or as float64")
            )

    def held(self, name: str, values: Tensor) -> Array:
        """Like `kind`. ValueError where the dtype cannot hold them."""
        if not bool(torch.isfinite(values.to(self.dtype)).all()):
            raise ValueError(f"{name} leaves {str(self.dtype)[6:]}; give X and Y in other units, or as float64")
        return self.kind(values)

    def kind(self, values: Tensor) -> Array:
        """Results in the dtype and kind (NumPy or torch) of what was given."""
        values = values.to(self.dtype)
        return values.numpy(force=True) if self.numpy else values  # type: ignore[return-value]


def _without_unit(values: Tensor) -> tuple[Tensor, Tensor]:
    """(values·2⁻ᵉ, e) of (..., N, m), the largest of each problem in [½, 1): e (...,)."""
    unit = exponent(values)
    return times_power_of_two(values, -unit[..., None, None]), unit


def _root_weights(sample_weight: Any, X: Tensor, batch: torch.Size) -> tuple[Tensor, Tensor]:
    """√w of the rows, (..., N, 1), without units, and their power of two (...,). ValueError for what is no weight."""
    weight = as_tensor("sample_weight", sample_weight, 1).to(torch.float64).to(X.device)
    shape = tuple(weight.shape)
    if shape[-1] != X.shape[-2] or broadcast_shape(shape[:-1], batch) is None:
        raise ValueError(
            f"sample_weight must be one weight a row, {(*batch, X.shape[-2])} or with axes that broadcast to it; its "
            f"shape is {shape}"
        )
    if bool((weight < 0).any()):
        raise ValueError(f"sample_weight={float(weight.min()):.3g} must be at least 0")
    if not bool((weight > 0).any(-1).all()):
        raise ValueError("sample_weight is 0 in all rows, which leaves nothing to fit")
    return _without_unit(weight.sqrt().unsqueeze(-1))


def _weighted(values: Tensor, root: Tensor, unit: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (..., N, m) times their √w = root·2^unit as `_without_unit`; what has no weight does not set the unit."""
    values, own = _without_unit(torch.where(root > 0, values, 0))
    values, of_weighted = _without_unit(values * root)
    return values, own + of_weighted + unit


def broadcast_shape(*shapes: Sequence[int]) -> torch.Size | None:
    """The shape that these broadcast to, or None."""
    # Not torch's, which imports a computer algebra system.
    try:
        return torch.Size(np.broadcast_shapes(*(tuple(shape) for shape in shapes)))
    except ValueError:
        return None


def _broadcasts(shape: Sequence[int], batch: Sequence[int]) -> bool:
    """Whether `shape` broadcasts to `batch` without adding to it."""
    return broadcast_shape(shape, batch) == torch.Size(batch)


def regression_axes(X: Tensor, Y: Tensor) -> tuple[torch.Size, bool]:
    """The batch axes of X (..., N, P) and Y together, and whether Y is (..., N) and not (..., N, k).

    Batch axes broadcast as NumPy's do. ValueError, with both shapes, unless Y is one of them, and one only.
    """
    x, y = tuple(X.shape), tuple(Y.shape)
    if X.numel() == 0 or Y.numel() == 0:
        raise ValueError(f"X and Y must have at least one row and one column; X is {x}, Y is {y}")

    def batch_of(rows: int, batch: tuple[int, ...]) -> torch.Size | None:
        return broadcast_shape(x[:-2], batch) if rows == x[-2] else None

    vector, matrix = batch_of(y[-1], y[:-1]), batch_of(y[-2], y[:-2]) if len(y) > 1 else None
    if vector is not None and matrix is not None:  # then the number of axes tells
        if len(y) not in (len(x), len(x) - 1):
            raise ValueError(f"Y {y} may be (..., N) or (..., N, k) for X {x}: give it as many axes as X, or one less")
        return (vector, True) if len(y) == len(x) - 1 else (matrix, False)
    if vector is not None:
        return vector, True
    if matrix is not None:
        return matrix, False
    raise ValueError(
        "Y must be (..., N) or (..., N, k) for X (..., N, P) with the same N and batch axes that broadcast; "
        f"X is {x}, Y is {y}"
    )
