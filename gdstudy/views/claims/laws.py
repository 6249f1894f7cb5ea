"""What theory says of random designs: exact expected test errors."""

from __future__ import annotations

import numpy as np

from gdstudy.views.claims.rule import Rule, at_most
from gdstudy.views.summary import select
from gdstudy.views.sweeps import Sweep


def _gap(sweep: Sweep) -> float:
    exact = select(sweep.results, estimator="theory").set_index("n_train")["test_mse"]
    if exact.empty or sweep.size != "n_train":
        return np.nan
    measured = sweep.median(sweep.rows)
    expected = exact.reindex(measured.x).to_numpy()  # not known for every N, or nothing
    known = (
        ((measured.x <= sweep.threshold / 2) | (measured.x >= 1.5 * sweep.threshold))
        & (expected > 0)
        & np.isfinite(expected)
    )
    return float(np.abs(measured.mean[known] / expected[known] - 1).max()) if known.any() else np.nan


LAWS = (
    Rule(
        claim="the mean test error is the exact expected risk away from N = P",
        source=("hastie2022",),
        measure="largest relative gap of the mean over seeds to theory, N ≤ P/2 or N ≥ 1.5 P; splits share one sample",
        number=_gap,
        bound=at_most(0.1, partly=0.3),
        about=lambda s: s.reference == "min_norm",
    ),
)
