"""Checks of what training is asked: checkpoints, tolerance, rows, threads."""

from __future__ import annotations

import numbers
from typing import Any

import torch
from torch import Tensor

from gdstudy.linalg.arrays import real_tensor, whole_number, whole_numbers
from gdstudy.study.values import MOST_THREADS

# A tolerance below so many eps of its dtype no gradient would meet.
TOLERANCE_EPS = 100


def check_checkpoints(checkpoints: Any) -> list[int]:
    """Increasing steps t ≥ 1 as a list; one number alone is [t]. ValueError otherwise."""
    steps = whole_numbers("checkpoints", checkpoints, 1)
    if not steps or any(b <= a for a, b in zip(steps, steps[1:], strict=False)):
        raise ValueError(f"checkpoints must increase from at least 1; they are {str(steps)[:60]}")
    return steps


def check_tolerance(tolerance: float, dtype: torch.dtype) -> float:
    """The tolerance, at least TOLERANCE_EPS eps of the dtype. ValueError unless in [0, 1)."""
    if not (isinstance(tolerance, numbers.Real) and 0 <= tolerance < 1):
        raise ValueError(f"tolerance={tolerance} must lie in [0, 1): a share of the largest gradient norm")
    return max(float(tolerance), TOLERANCE_EPS * torch.finfo(dtype).eps)


def check_rows(n_rows: Any, X: Tensor, batch: torch.Size) -> Tensor:
    """n_rows of each cell (C,) int64, default all rows of X (C, N, P). ValueError unless whole and the rest is zero."""
    N = X.shape[-2]
    if n_rows is None:
        return torch.full((len(X),), N, device=X.device)
    given = real_tensor("n_rows", n_rows)
    try:
        flat = given.expand(batch).reshape(-1)
    except RuntimeError:
        shape = tuple(given.shape)
        raise ValueError(f"n_rows must be one number per cell {tuple(batch)}; its shape is {shape}") from None
    values = flat.to(torch.float64)
    if flat.dtype == torch.bool or not bool(((values == values.floor()) & (values >= 1) & (values <= N)).all()):
        whole_numbers("n_rows", flat, 1)  # which says what is wrong
    rows = flat.to(torch.int64).to(X.device)
    beyond = torch.arange(N, device=X.device) >= rows[:, None]
    there = torch.maximum(X.amax(-1), -X.amin(-1)) > 0  # without a copy of the rows in question
    if bool((rows > N).any()) or bool((there & beyond).any()):
        raise ValueError(f"n_rows must be at most the {N} rows of X, and all rows of a cell beyond it zero")
    return rows


def check_threads(threads: int | None) -> int | None:
    """ValueError unless None or a whole number in 1 … MOST_THREADS."""
    if threads is not None and (threads := whole_number("threads", threads, 1)) > MOST_THREADS:
        raise ValueError(f"threads={threads} must be at most {MOST_THREADS}")
    return threads
