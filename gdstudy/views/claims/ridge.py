"""Ridge regression beside X⁺y: the paper's limit λ → 0 (App. D), and that a well-chosen λ leaves no spike."""

from __future__ import annotations

from functools import partial

import numpy as np
from pandas import DataFrame

from gdstudy.views.claims import rounding
from gdstudy.views.claims.rule import Rule, at_most, spike
from gdstudy.views.summary import CELL, select
from gdstudy.views.sweeps import Sweep

_AT_THE_LIMIT = 1e-4
_OF_RIDGE = ("penalty", "weight_norm", "smallest_singular_value", "distance")


def _by_penalty(sweep: Sweep) -> DataFrame:
    """Rows of ridge with what is asked of them, cell by cell as λ rises: `norm`, of X⁺y at λ = 0; `allowed`, the
    largest distance λ/(σ_R² + λ)."""
    ridge = select(sweep.results, estimator="ridge")[[*CELL, *_OF_RIDGE]]
    rows = ridge.merge(sweep.rows[[*CELL, "weight_norm"]], on=CELL, suffixes=("", "_limit"))
    allowed = rows["penalty"] / (rows["smallest_singular_value"] ** 2 + rows["penalty"])
    return rows.assign(allowed=allowed).sort_values([*CELL, "penalty"])


def _growth(sweep: Sweep) -> float:
    """Largest ‖w_λ‖ / ‖w_λ'‖ − 1 of neighbouring λ > λ' of a cell, X⁺y the last of them."""
    rows = _by_penalty(sweep)
    before = rows.groupby(CELL, dropna=False)["weight_norm"].shift().fillna(rows["weight_norm_limit"])
    return float((rows["weight_norm"] / before - 1).max())


def _beyond_bound(sweep: Sweep) -> float:
    rows = _by_penalty(sweep)
    rows = rows[rows["allowed"] > 0]
    return float((rows["distance"] / rows["allowed"]).max())


def _left(sweep: Sweep) -> float:
    """Largest distance at the smallest λ, if that is small beside σ_R² in some cell at least."""
    first = _by_penalty(sweep).groupby(CELL, dropna=False)[["distance", "allowed"]].first()
    return float(first["distance"].max()) if first["allowed"].min() <= _AT_THE_LIMIT else np.nan


def _spike_chosen(sweep: Sweep) -> float:
    rows = select(sweep.results, estimator="ridge_loo")
    return spike(sweep, rows) if len(rows) and spike(sweep) >= 2 else np.nan


# With a constant that is not penalised the limit is another one where N < P.
_rule = partial(Rule, where="App. D", about=lambda sweep: sweep.reference == "min_norm" and not sweep.study.intercept)
RIDGE = (
    _rule(
        claim="ridge is shorter than X⁺y, and the longer the smaller λ",
        measure="largest ‖w_λ‖ / ‖w_λ'‖ − 1 over neighbouring λ > λ' of each cell, down to X⁺y",
        number=_growth,
        bound=at_most(1e-12, partly=1e-6),
    ),
    _rule(
        claim="ridge tends to X⁺y as λ → 0, at least as fast as λ/σ_R²",
        measure="largest ‖w_λ − X⁺y‖ / ‖X⁺y‖ over λ/(σ_R² + λ), all cells and λ",
        number=_beyond_bound,
        bound=at_most(1 + 1e-9, partly=1.01),
        rounding=rounding.of_ridge,
    ),
    _rule(
        claim="the smallest λ is at the limit",
        measure="largest ‖w_λ − X⁺y‖ / ‖X⁺y‖ at the smallest λ",
        number=_left,
        bound=at_most(_AT_THE_LIMIT, partly=1e-1),
    ),
    Rule(
        claim="ridge with λ by leave-one-out has no spike at the threshold",
        source=("nakkiran2021",),
        measure="its median test error at the threshold over the larger of those at half and twice, X⁺y has a spike",
        number=_spike_chosen,
        bound=at_most(1.1, partly=2),
        about=lambda sweep: sweep.reference == "min_norm",
    ),
)
