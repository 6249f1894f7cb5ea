"""What the heavy ball has learnt of a mode after t steps, exactly: W_{t+1} = W_t − η∇L + β(W_t − W_{t−1}), W_{−1} = W_0
(Polyak 1964)."""

from __future__ import annotations

import torch
from torch import Tensor


def learnt_share(h: Tensor, momentum: float, t: Tensor) -> Tensor:
    """1 − p_t(h), where p_t is what is left of a mode with h = ησ² after t steps with momentum β.

    p_{t+1} = (1 + β − h) p_t − β p_{t−1} with p_0 = 1, p_1 = 1 − h, whose roots r± solve r² − (1 + β − h)r + β = 0.
    Stable for h < 2(1 + β); at β = 0 it is (1 − h)ᵗ. Evaluated by roots, never by powers of a matrix, so that it is
    right to rounding at any t; near h = (1 + √β)², a double root, p itself is ill-conditioned.

    h: (...,) ≥ 0; momentum: β in (0, 1); t: broadcastable, whole numbers ≥ 0, infinite for the limit of a stable mode.
    """
    h, ended = h.to(torch.float64), torch.isinf(t)
    t = torch.where(ended, 0, t).to(torch.float64)
    root = momentum**0.5
    # D = (1 + β − h)² − 4β as a product, which loses no digits near its zeros.
    D = ((1 - root) ** 2 - h) * ((1 + root) ** 2 - h)
    left = torch.where(D < 0, _complex(h, momentum, D, t), _negative(h, momentum, D, t))
    learnt = torch.where((D >= 0) & (h < 1 + momentum), _positive(h, momentum, D, t), 1 - left)
    return torch.where(t == 0, 0, learnt).masked_fill(ended, 1)


def _complex(h: Tensor, beta: float, D: Tensor, t: Tensor) -> Tensor:
    """p_t where the roots are complex, |r| = √β: a decaying oscillation."""
    rotation = (-D).clamp(min=torch.finfo(D.dtype).tiny).sqrt()
    angle = torch.atan2(rotation, 1 + beta - h)
    return beta ** (t / 2) * (torch.cos(t * angle) + (1 - beta - h) / rotation * torch.sin(t * angle))


def _positive(h: Tensor, beta: float, D: Tensor, t: Tensor) -> Tensor:
    """1 − p_t where both roots are real and positive; s = 1 − r₊ without cancellation."""
    spread = D.clamp(min=0).sqrt()
    s = 2 * h / ((1 - beta + h) + spread)
    x = (spread / (1 - s)).clamp(max=1)
    sum_of_powers = _geometric(x, t)
    return -torch.expm1(t * torch.log1p(-s)) - (s - h) * torch.exp((t - 1) * torch.log1p(-s)) * sum_of_powers


def _negative(h: Tensor, beta: float, D: Tensor, t: Tensor) -> Tensor:
    """p_t where both roots are real and negative: it alternates."""
    spread = D.clamp(min=0).sqrt()
    size = ((h - 1 - beta).clamp(min=0) + spread).clamp(min=torch.finfo(D.dtype).tiny) / 2
    x = (spread / size).clamp(max=1)
    powers = torch.exp((t - 1) * size.log()) * (size - (1 - h + size) * _geometric(x, t))
    return torch.where(torch.remainder(t, 2) == 1, -powers, powers)


def _geometric(x: Tensor, t: Tensor) -> Tensor:
    """Σ_{j<t} (1 − x)ʲ = (1 − (1 − x)ᵗ)/x, t at x = 0."""
    safe = torch.where(x > 0, x, 1)
    return torch.where(x > 0, -torch.expm1(t * torch.log1p(-safe)) / safe, t)
