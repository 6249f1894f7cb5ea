"""What every public numerical function does first and last: check what it was given, take its units out,
NumPy or torch in and the same kind out."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

Array = TypeVar("Array", np.ndarray, Tensor)
# Readouts without units are of the order of one, and more where X is ill-conditioned.
_NOTHING = 1e-8
# Powers of two beyond these over- or underflow float64 whatever they multiply.
_LARGEST_POWER = 2040
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_WHOLE = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
# More numbers than this in a list of whole numbers are a slip of the pen.
_MOST_WHOLE = 10**6


# Checks of single arguments


def as_tensor(name: str, value: Any, min_ndim: int = 0) -> Tensor:
    """`value`, anything numpy.asarray takes or a tensor, as a real float32 or float64 tensor; others become float64.

    ValueError, naming `name`, for too few axes, a non-numeric or complex type, masked entries, NaN or infinity;
    TypeError for a sparse array, or for a tensor that requires gradients, which nothing here passes on.
    """
    return _finite(name, real_tensor(name, value), min_ndim)


def _finite(name: str, tensor: Tensor, min_ndim: int) -> Tensor:
    if tensor.ndim < min_ndim:
        raise ValueError(f"{name} must have at least {min_ndim} axes; its shape is {tuple(tensor.shape)}")
    if not bool(torch.isfinite(tensor).all()):
        bad = int((~torch.isfinite(tensor)).sum())
        raise ValueError(f"{name} holds {bad} NaN or infinite values of {tensor.numel()}; remove or impute them")
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.to(torch.float64)


def real_tensor(name: str, value: Any) -> Tensor:
    """`value` as a tensor in the precision it was given in; NaN and infinity stay. Errors as of `as_tensor`."""
    if isinstance(value, Tensor):
        if value.is_nested or value.device.type == "meta":
            raise TypeError(f"{name} is a nested tensor or has no values; pass one of strided numbers")
        if value.layout != torch.strided:
            raise TypeError(f"{name} is sparse; pass {name}.to_dense()")
        if value.dtype not in (*_FLOATS, *_WHOLE):
            raise ValueError(f"{name} must hold real numbers; its dtype is {value.dtype}")
        if value.requires_grad:
            raise TypeError(f"{name} requires gradients, which are not passed on; pass {name}.detach()")
        if value.is_inference():  # autograd may not touch it; a copy it may
            with torch.inference_mode(False):
                return value.clone()
        return value
    if hasattr(value, "nnz") and hasattr(value, "toarray"):
        raise TypeError(f"{name} is sparse; pass {name}.toarray()")
    for part in value if isinstance(value, list | tuple) else (value,):
        if np.ma.is_masked(part):
            raise ValueError(f"{name} has {int(np.ma.count_masked(part))} masked entries; fill them or drop their rows")
    try:
        array = np.asarray(value)
    except ValueError as error:  # a ragged list
        raise ValueError(f"{name} must be an array: {error}") from None
    if array.dtype.kind == "O" and all(isinstance(item, numbers.Real) for item in array.ravel()):
        try:
            array = array.astype(np.float64)  # a data frame whose columns are of several number types
        except OverflowError:
            raise ValueError(f"{name} holds numbers beyond 1e308, which float64 does not") from None
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers; its dtype is {array.dtype}")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype not in (np.float16, np.float32, np.float64):
        array = array.astype(np.float64)
    # A copy only where torch needs one: read-only or negatively strided memory.
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def check_rtol(rtol: float | None) -> None:
    """ValueError unless a relative cutoff is None or in [0, 1)."""
    if rtol is not None and not (isinstance(rtol, numbers.Real) and 0 <= rtol < 1):
        raise ValueError(f"rtol={rtol} must lie in [0, 1), or be None for the default")


def whole_number(name: str, value: Any, least: int) -> int:
    """`value` as an int: any kind of number that is whole, 1e3 too. ValueError otherwise, or below `least`."""
    item = value.item() if getattr(value, "ndim", None) == 0 else value
    good = isinstance(item, numbers.Real) and not isinstance(item, bool | np.bool_) and item == item // 1
    if not good or not least <= item < 2**63:
        raise ValueError(f"{name}={item!r} must be a whole number, at least {least}")
    return int(item)


def whole_numbers(name: str, value: Any, least: int) -> list[int]:
    """One whole number, or any sequence, range or array of them, as a list of int. ValueError otherwise."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    items = np.atleast_1d(value) if isinstance(value, np.ndarray) or np.isscalar(value) else value
    if isinstance(items, str | bytes | dict) or not hasattr(items, "__iter__") or getattr(items, "ndim", 1) != 1:
        raise ValueError(f"{name}={value!r} must be a whole number or a list of them")
    some = list(itertools.islice(items, _MOST_WHOLE + 1))
    if len(some) > _MOST_WHOLE:
        raise ValueError(f"{name} holds more than {_MOST_WHOLE:,} numbers; give fewer")
    return [whole_number(name, item, least) for item in some]


# Units


def exponent(X: Tensor, axes: Sequence[int] = (-2, -1)) -> Tensor:
    """e with 2ᵉ⁻¹ ≤ max|X| < 2ᵉ over the given axes, 0 where X = 0: int64."""
    return torch.frexp(X.abs().amax(tuple(axes)))[1].to(torch.int64)


def times_power_of_two(X: Tensor, power: Tensor) -> Tensor:
    """X·2ᵖ, exact unless it over- or underflows. X: float64; power: int64, broadcastable to X, of any size."""
    power = power.clamp(-_LARGEST_POWER, _LARGEST_POWER)
    half = power // 2  # no single factor reaches beyond 2¹⁰²³
    return X * _power_of_two(half) * _power_of_two(power - half)


def _power_of_two(power: Tensor) -> Tensor:
    """2ᵖ from its bits, for |p| ≤ 1022: float64."""
    return ((power + 1023) << 52).view(torch.float64)


def in_precision(X: Tensor, dtype: torch.dtype) -> Tensor:
    """X (float64) with as many digits as the dtype holds, of any size."""
    digits, power = torch.frexp(X)
    return times_power_of_two(digits.to(dtype).to(torch.float64), power.to(torch.int64))


@dataclass(frozen=True)
class Regression(Generic[Array]):
    """A stack of regression problems that was checked, in float64 and without units, and the way back.

    X: (..., N, P) in units of 2^x_unit; Y: (..., N, k) in units of 2^y_unit, so that each problem's largest numbers lie
    in [½, 1). Powers of two change no digit, and no largest number over- or underflows when it is squared; an output
    that is smaller than another of its problem by more than the dtype holds is zero. x_unit, y_unit: int64,
    (...,). eps: precision of the numbers X was given in.
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
    def of(cls, X: Array, Y: Array) -> Regression[Array]:
        """X: (..., N, P); Y: (..., N) or (..., N, k); batch axes broadcast as NumPy's do.

        ValueError for what no regression can be: shapes that do not fit, NaN, infinity, no rows or columns.
        """
        as_given = real_tensor("X", X)
        x, y = _finite("X", as_given, 2), as_tensor("Y", Y, 1)
        batch, vector = regression_axes(x, y)
        if vector:
            y = y.unsqueeze(-1)
        dtype = torch.promote_types(x.dtype, y.dtype)
        # One order in memory, in which products take their sums.
        x, y = x.to(torch.float64).contiguous(), y.to(torch.float64).to(x.device).contiguous()
        x_unit, y_unit = exponent(x), exponent(y)
        return cls(
            times_power_of_two(x, -x_unit[..., None, None]),
            times_power_of_two(y, -y_unit[..., None, None]),
            x_unit,
            y_unit,
            torch.finfo(as_given.dtype if as_given.dtype.is_floating_point else torch.float64).eps,
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


def _broadcasts(shape: Sequence[int], batch: Sequence[int]) -> bool:
    """Whether `shape` broadcasts to `batch` without adding to it."""
    try:
        return torch.broadcast_shapes(shape, batch) == torch.Size(batch)
    except RuntimeError:
        return False


def regression_axes(X: Tensor, Y: Tensor) -> tuple[torch.Size, bool]:
    """The batch axes of X (..., N, P) and Y together, and whether Y is (..., N) and not (..., N, k).

    Batch axes broadcast as NumPy's do. ValueError, with both shapes, unless Y is one of them, and one only.
    """
    x, y = tuple(X.shape), tuple(Y.shape)
    if X.numel() == 0 or Y.numel() == 0:
        raise ValueError(f"X and Y must have at least one row and one column; X is {x}, Y is {y}")

    def batch_of(rows: int, batch: tuple[int, ...]) -> torch.Size | None:
        try:
            return torch.broadcast_shapes(x[:-2], batch) if rows == x[-2] else None
        except RuntimeError:
            return None

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
