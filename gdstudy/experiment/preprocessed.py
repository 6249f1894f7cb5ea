"""A regression problem as it is, with an intercept, or with its features scaled: what a diagnosis compares."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gdstudy.closed_form.penalised import with_constant
from gdstudy.linalg.frame import centred
from gdstudy.linalg.spectrum import Spectrum, spectrum


@dataclass(frozen=True, eq=False)
class Preprocessed:
    """Training rows (x − shift)/scale and targets y − offset, float64.

    X: (N, P); Y: (N, k); shift, scale: (P,); offset: (k,). intercept: shift and offset are the means of the training
    rows, so that the constant is fitted and not penalised. eps: precision of the numbers X was given in.
    """

    name: str
    X: Tensor
    Y: Tensor
    shift: Tensor
    scale: Tensor
    offset: Tensor
    intercept: bool
    scaled: bool
    eps: float

    @classmethod
    def of(cls, X: Tensor, Y: Tensor, eps: float, intercept: bool = False, scaled: bool = False) -> Preprocessed:
        """X: (N, P); Y: (N, k). scaled: columns divided by their root mean square, once they are centred if they are;
        one that is zero up to rounding stays."""
        x, y, shift, offset = X, Y, X.new_zeros(X.shape[1]), Y.new_zeros(Y.shape[1])
        if intercept:
            (x, shift), (y, offset) = centred(X), centred(Y)
            x[:, x.abs().amax(0) <= 4 * eps * shift.abs()] = 0  # what centring leaves of a constant column is rounding
        # A power of two for each column, so that no square leaves float64.
        unit = torch.ldexp(torch.ones_like(shift), torch.frexp(x.abs().amax(0)).exponent)
        size = (x / unit).square().mean(0).sqrt() * unit
        scale = torch.where(size > 0, size, 1) if scaled else torch.ones_like(size)
        return cls(NAMES[intercept, scaled], x / scale, y, shift, scale, offset, intercept, scaled, eps)

    @cached_property
    def rows(self) -> Tensor:
        """X before means were taken from it, (N, P): what rounding can make of a zero is of this size."""
        return self.X + self.shift / self.scale

    @cached_property
    def spectrum(self) -> Spectrum:
        """Of X, as a stack of one."""
        return spectrum(self.X[None], eps=self.eps, rows=self.rows[None])

    @cached_property
    def fitted(self) -> Spectrum:
        """The spectrum with the constant among its modes where there is an intercept: for left-out errors."""
        return with_constant(self.spectrum, torch.tensor([len(self.X)])) if self.intercept else self.spectrum

    @property
    def rank(self) -> int:
        """How many modes count."""
        return int(self.spectrum.rank[0])

    @property
    def condition_number(self) -> float:
        """κ = σ₁/σ_R over the modes that count; NaN where X = 0."""
        return float(self.spectrum.s[0, 0] / self.spectrum.smallest[0])

    def predicted(self, W: Tensor, X: Tensor) -> Tensor:
        """What a readout W (P, k) of these features predicts on rows X (M, P) as they were given: (M, k)."""
        return (X - self.shift) / self.scale @ W + self.offset


NAMES = {
    (False, False): "as given",
    (True, False): "intercept",
    (False, True): "scaled",
    (True, True): "standardised",
}
