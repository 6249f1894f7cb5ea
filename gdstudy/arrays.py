"""What every public numerical function does first and last: check shapes and values, NumPy or torch in,
the same kind out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Array = TypeVar("Array", np.ndarray, Tensor)


def as_tensor(name: str, value: np.ndarray | Tensor, min_ndim: int = 0) -> Tensor:
    """`value` as a real floating-point tensor; integers become float64.

    ValueError, naming `name`, for too few axes, a non-numeric or complex type, NaN or infinity.
    """
    if not isinstance(value, Tensor):
        try:
            value = np.asarray(value)
        except ValueError as error:  # a ragged list
            raise ValueError(f"{name} must be an array: {error}") from None
        if value.dtype.kind not in "biuf":
            raise ValueError(f"{name} must hold real numbers; its dtype is {value.dtype}")
        if value.dtype not in (np.float32, np.float64):
            value = value.astype(np.float64)
        # A copy only where torch needs one: read-only or negatively strided memory.
        value = torch.from_numpy(np.require(value, requirements=["C", "W"]))
    if value.is_complex():
        raise ValueError(f"{name} must hold real numbers; its dtype is {value.dtype}")
    if value.dtype not in (torch.float32, torch.float64):
        value = value.to(torch.float64)
    if value.ndim < min_ndim:
        raise ValueError(f"{name} must have at least {min_ndim} axes; its shape is {tuple(value.shape)}")
    if not bool(torch.isfinite(value).all()):
        bad = int((~torch.isfinite(value)).sum())
        raise ValueError(f"{name} holds {bad} NaN or infinite values of {value.numel()}; remove or impute them")
    return value


def check_rtol(rtol: float | None) -> None:
    """ValueError unless a relative cutoff is None or in [0, 1)."""
    if rtol is not None and not 0 <= rtol < 1:
        raise ValueError(f"rtol={rtol} must lie in [0, 1)")


def regression_problem(X: Array, Y: Array) -> tuple[Tensor, Tensor, Callable[[Tensor], Array]]:
    """Check a stack of regression problems and bring it to one form.

    X: (..., N, P); Y: (..., N) or (..., N, k); batch axes broadcast.
    Returns X (..., N, P) and Y (..., N, k) as tensors of one dtype and device, and `restore`, which gives
    a readout W (..., P, k) the kind (NumPy or torch) of X and the number of axes of Y.
    """
    numpy_in = not isinstance(X, Tensor)
    x, y = as_tensor("X", X, 2), as_tensor("Y", Y, 1)
    vector = y.ndim == x.ndim - 1
    if vector:
        y = y.unsqueeze(-1)
    if y.ndim != x.ndim or y.shape[-2] != x.shape[-2]:
        raise ValueError(
            f"Y must be (..., N) or (..., N, k) for X (..., N, P) with the same N; "
            f"X is {tuple(x.shape)}, Y is {tuple(np.shape(Y))}"
        )
    if x.shape[-1] == 0 or x.shape[-2] == 0:
        raise ValueError(f"X must have at least one row and one column; its shape is {tuple(x.shape)}")
    try:
        batch = torch.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except RuntimeError:
        raise ValueError(f"the batch axes of X {tuple(x.shape)} and Y {tuple(np.shape(Y))} do not broadcast") from None
    dtype = torch.promote_types(x.dtype, y.dtype)
    x = x.to(dtype).expand(*batch, *x.shape[-2:])
    y = y.to(dtype=dtype, device=x.device).expand(*batch, *y.shape[-2:])

    def restore(W: Tensor) -> Array:
        W = W.squeeze(-1) if vector else W
        return W.numpy(force=True) if numpy_in else W  # type: ignore[return-value]

    return x, y, restore
