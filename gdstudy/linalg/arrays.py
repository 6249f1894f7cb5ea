"""Checks of single arguments: NumPy or torch in, real tensors out."""

from __future__ import annotations

import itertools
import numbers
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

Array = TypeVar("Array", np.ndarray, Tensor)
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_WHOLE = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
# Machine epsilon of the types of real numbers.
_EPS = {name: float(np.finfo(name).eps) for name in ("float64", "float32", "float16")} | {"bfloat16": 2.0**-7}
# More numbers than this in a list of whole numbers are a slip of the pen.
_MOST_WHOLE = 10**6


def as_tensor(name: str, value: Any, min_ndim: int = 0) -> Tensor:
    """`value`, anything numpy.asarray takes or a tensor, as a real float32 or float64 tensor; others become float64.

    ValueError, naming `name`, for too few axes, a non-numeric or complex type, masked entries, NaN or infinity;
    TypeError for a sparse array, or for a tensor that requires gradients, which nothing here passes on.
    """
    return finite(name, real_tensor(name, value), min_ndim)


def finite(name: str, tensor: Tensor, min_ndim: int) -> Tensor:
    if tensor.ndim < min_ndim:
        raise ValueError(f"{name} must have at least {min_ndim} axes; its shape is {tuple(tensor.shape)}")
    if not _all_finite(tensor):
        bad = int((~torch.isfinite(tensor)).sum())
        raise ValueError(f"{name} holds {bad} NaN or infinite values of {tensor.numel()}; remove or impute them")
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.to(torch.float64)


def _all_finite(tensor: Tensor) -> bool:
    """From its extremes, to which NaN goes through: a sixth of the time of `isfinite` on all, and no memory."""
    if tensor.numel() == 0 or not tensor.is_floating_point():
        return True
    return bool(torch.isfinite(tensor.amax()) & torch.isfinite(tensor.amin()))


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
    # A copy only of memory that is read-only, or in another order than C's.
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def precision_of(values: Any) -> float:
    """The coarsest machine epsilon among the types of numbers of an array, a tensor, a data frame or rows of these;
    whole numbers are exact, and so have that of float64."""
    types: set[Any] = set()
    if hasattr(values, "columns"):
        types = set(values.dtypes)
    elif hasattr(values, "dtype"):
        types = {values.dtype}
    elif isinstance(values, list | tuple):  # of rows
        types = {row.dtype for row in values if hasattr(row, "dtype")}
    names = map(_name_of, types)
    return max((_EPS[name] for name in names if name in _EPS), default=_EPS["float64"])


def _name_of(dtype: Any) -> str:
    """Of a type of numbers of NumPy, PyTorch or pandas, as NumPy calls it, whatever its order of bytes."""
    kind = getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", dtype))
    if isinstance(kind, np.dtype):
        return kind.newbyteorder("=").name
    return str(kind).removeprefix("torch.").lower()


def check_rtol(rtol: float | None) -> None:
    """ValueError unless a relative cutoff is None or in [0, 1)."""
    if rtol is not None and not (isinstance(rtol, numbers.Real) and 0 <= rtol < 1):
        raise ValueError(f"rtol={rtol} must lie in [0, 1), or be None for the default")


def check_momentum(momentum: float) -> None:
    """ValueError unless the momentum β of a heavy ball is in [0, 1)."""
    if not (isinstance(momentum, numbers.Real) and 0 <= momentum < 1):
        raise ValueError(f"momentum={momentum} must lie in [0, 1); 0 is plain gradient descent")


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
