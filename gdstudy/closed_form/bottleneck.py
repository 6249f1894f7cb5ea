"""The exact dynamics of a two-layer linear network started aligned with its data."""

from __future__ import annotations

import torch
from torch import Tensor


def bottleneck_iterate(strength: Tensor, rate: Tensor, t: Tensor, target: float = 1.0) -> Tensor:
    """Strength a_t = u_t² of a mode of a two-layer linear network after t steps of gradient descent, exactly:

        u ← u + ηλu(s − u²)

    Both layers start balanced and aligned with the singular vectors of the data, A = V diag(u) and B = Aᵀ. λ: σ_r² of
    X; s: what XᵀY has over λ in this mode, 1 for an autoencoder. Converges to s for ηλs < 1.

    strength: a₀; rate: ηλ; t: whole numbers of steps; all broadcastable, no unit. Returns a_t.
    """
    u, rate, t = torch.broadcast_tensors(strength.sqrt(), rate, t)
    for step in range(int(t.max()) if t.numel() else 0):
        u = torch.where(t > step, u + rate * u * (target - u.square()), u)
    return u.square()


def bottleneck_flow(strength: Tensor, curvature: Tensor, time: Tensor | float, target: float = 1.0) -> Tensor:
    """The same under gradient flow, to which descent tends as η → 0 (Saxe, McClelland & Ganguli 2014, for λ = 1):

        a(τ) = s e^{2sλτ} / (e^{2sλτ} − 1 + s/a₀),    τ = ηt.

    strength: a₀ > 0; curvature: λ = σ_r² of X, in squared units of X; time: τ, in 1/units of λ. Returns a(τ).
    """
    return target / (1 + (target / strength - 1) * torch.exp(-2 * target * curvature * time))
