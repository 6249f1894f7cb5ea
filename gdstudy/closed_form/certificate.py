"""What a training has left to learn, mode by mode: c_r = v_r·(W − X⁺Y)."""

from __future__ import annotations

import torch
from torch import Tensor

from gdstudy.linalg.spectrum import Spectrum


def left_to_learn(spec: Spectrum, W: Tensor, limit: Tensor) -> Tensor:
    """|c_r| of c = Vᵀ(W − X⁺Y), 0 for modes that count as zero: (C, R), in units of W.

    spec: of X (C, N, P); W, limit: (C, P, k), the limit in float64.
    """
    remaining = (spec.Vt @ (W.to(torch.float64) - limit)).norm(dim=-1)
    return torch.where(spec.nonzero, remaining, 0)


def slowest_mode(s: Tensor, remaining: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest σ_r whose |c_r| is above `least`, and its share |c_r|²/Σ|c|² of what is left: each (C,).

    NaN where there is none. s: (C, R); remaining: (C, R) |c_r|; least: (C,), in units of W.
    """
    unlearnt = remaining > least[:, None]
    slowest = torch.where(unlearnt, s, torch.inf).min(-1)
    share = remaining.square() / remaining.square().sum(-1, keepdim=True)
    some = unlearnt.any(-1)
    share = share.gather(-1, slowest.indices[:, None]).squeeze(-1)
    return torch.where(some, slowest.values, torch.nan), torch.where(some, share, torch.nan)
