"""An intercept as one more mode: the constant, which is fitted without a penalty."""

from __future__ import annotations

from dataclasses import replace

import torch

from gdstudy.linalg.spectrum import Spectrum


def with_constant(spec: Spectrum) -> Spectrum:
    """The spectrum of centred rows with the constant as one more mode, of infinite σ: fitted without a penalty.

    Of U and σ alone. With it `left_out_residuals` of Y − mean and `noise_amplification` are those of a model with an
    intercept, exactly: leverages gain 1/N, and each row is left out of the means too. spec: of (C, N, P).
    """
    column = spec.U.new_full((*spec.U.shape[:-1], 1), spec.U.shape[-2] ** -0.5)
    infinite = spec.s.new_full((*spec.s.shape[:-1], 1), torch.inf)
    U, s = torch.cat([column, spec.U], -1), torch.cat([infinite, spec.s], -1)
    return replace(spec, U=U, s=s, nonzero=torch.cat([infinite > 0, spec.nonzero], -1))
