"""Powers of two as units, in which no largest number over- or underflows and no digit changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

# Powers of two up to these are normal float64, each way. Beyond three times as many they over- or underflow whatever
# they multiply, numbers below the smallest normal one too.
_HELD = 1022
# Numbers from which on NumPy asks for large pages.
_LARGE = 1 << 19


def exponent(X: Tensor, axes: Sequence[int] = (-2, -1)) -> Tensor:
    """e with 2ᵉ⁻¹ ≤ max|X| < 2ᵉ over the given axes, 0 where X = 0: int64."""
    largest = torch.maximum(X.amax(tuple(axes)), -X.amin(tuple(axes)))  # no copy of X as |X| would be
    return torch.frexp(largest)[1].to(torch.int64)


def times_power_of_two(X: Tensor, power: Tensor) -> Tensor:
    """X·2ᵖ, exact unless it over- or underflows. X: float64; power: int64, broadcastable to X, of any size."""
    power = power.clamp(-3 * _HELD, 3 * _HELD)
    last = power.clamp(-_HELD, _HELD)
    rest = power - last
    if bool(rest.any()):  # first, so that what underflows is rounded once
        X = times_power_of_two(X, rest)
    factor = _power_of_two(last)
    return torch.mul(X, factor, out=_room(X, factor))


def _room(X: Tensor, factor: Tensor) -> Tensor | None:
    """Memory for X times a factor, where that is large and as X is, or None for torch's.

    NumPy asks Linux for large pages. To clear small ones takes longer than to multiply what will lie in them: X·2ᵖ of
    200 MB took three times as long.
    """
    if X.numel() < _LARGE or X.device.type != "cpu" or X.dtype != torch.float64 or X.requires_grad:
        return None
    if not X.is_contiguous() or torch.broadcast_shapes(X.shape, factor.shape) != X.shape:
        return None
    return torch.from_numpy(np.empty(tuple(X.shape)))


def _power_of_two(power: Tensor) -> Tensor:
    """2ᵖ from its bits, for |p| ≤ _HELD: float64."""
    return ((power + 1023) << 52).view(torch.float64)


def in_precision(X: Tensor, dtype: torch.dtype) -> Tensor:
    """X (float64) with as many digits as the dtype holds, of any size."""
    digits, power = torch.frexp(X)
    return times_power_of_two(digits.to(dtype).to(torch.float64), power.to(torch.int64))


# Powers of two within which η and λ are computed with as they are. Beyond, ησ² and σ²/λ are so small that the filter is
# linear in them, or so large that only their size matters.
_PLAIN_POWER = 800


def without_units(value: Tensor, power: Tensor) -> tuple[Tensor, Tensor]:
    """value·2^power as v·2^b: v is what float64 computes with, b = 0 unless it is out of reach. value: ≥ 0, (...,)."""
    own = torch.frexp(value)[1].to(torch.int64)
    total = own + power
    kept = total.clamp(-_PLAIN_POWER, _PLAIN_POWER)
    return times_power_of_two(value, kept - own), torch.where(value > 0, total - kept, 0)
