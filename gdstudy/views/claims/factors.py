"""The paper's claims on its three factors, each taken out (Figs. 2–4), and on data made to be adversarial."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from gdstudy.views.claims import rounding
from gdstudy.views.claims.rule import Rule, at_least, at_most
from gdstudy.views.sweeps import Sweep


def _left(
    name: str,
    level: Callable[[np.ndarray], float],
    speaks_of: Callable[[Sweep, float], bool] = lambda sweep, level: True,
) -> Callable[[Sweep], float]:
    """What an ablation leaves of the median test error at N = P, as a share of the unablated one.

    speaks_of: whether the claim is about this level; a study without one cannot tell.
    """

    def number(sweep: Sweep) -> float:
        ablated = sweep.ablation(name, level)
        if ablated is None or not speaks_of(sweep, float(ablated["level"].iloc[0])):
            return np.nan
        return sweep.at(ablated, sweep.threshold) / sweep.at(sweep.rows, sweep.threshold)

    return number


def _has_a_larger_cutoff(sweep: Sweep, level: float) -> bool:
    largest = sweep.ablation("singular_value_cutoff", np.max)
    return largest is not None and level < largest["level"].iloc[0]


def _changed(name: str) -> Callable[[Sweep], float]:
    left = _left(name, np.min, lambda sweep, level: level == 0)
    return lambda sweep: abs(left(sweep) - 1)


_rule = partial(Rule, at_threshold=True)
_AT_P = "median test MSE at N = P over that without the ablation"
FACTORS = (
    _rule(
        claim="factor 1: without small singular values the spike goes (largest cutoff)",
        where="Fig. 2",
        measure=_AT_P,
        number=_left("singular_value_cutoff", np.max),
        bound=at_most(0.1, partly=0.5),
    ),
    _rule(
        claim="factor 1: the smallest cutoff leaves the spike",
        where="Fig. 2",
        measure=_AT_P,
        number=_left("singular_value_cutoff", np.min, _has_a_larger_cutoff),
        bound=at_least(0.9, partly=0.5),
    ),
    _rule(
        claim="factor 2: test features in the leading modes, and the spike goes (fewest modes)",
        where="Fig. 3",
        measure=_AT_P,
        number=_left("leading_modes", np.min, lambda sweep, level: level < sweep.threshold),
        bound=at_most(0.1, partly=0.5),
    ),
    _rule(
        claim="factor 2: the most modes leave the spike",
        where="Fig. 3",
        measure=_AT_P,
        number=_left("leading_modes", np.max, lambda sweep, level: level >= sweep.threshold),
        bound=at_least(0.9, partly=0.5),
        check=True,  # as many as there are take nothing away
    ),
    _rule(
        claim="factor 3: without residuals the spike goes",
        where="Fig. 4",
        measure=_AT_P,
        number=_left("no_residuals", np.max),
        bound=at_most(1e-6, partly=0.5),
        rounding=rounding.of_no_residuals,
    ),
    _rule(
        claim="adversarial test data, moved along v_R, raise the spike (strongest)",
        source=("schaeffer2023demystified",),
        measure=_AT_P,
        number=_left("adversarial_test", np.max, lambda sweep, level: level > 0),
        bound=at_least(5, partly=1.5),
    ),
    _rule(
        claim="adversarial test data of strength 0 change nothing (weakest)",
        source=("schaeffer2023demystified",),
        measure=_AT_P + ", minus 1",
        number=_changed("adversarial_test"),
        bound=at_most(1e-9, partly=0.1),
        check=True,
    ),
    _rule(
        claim="adversarial training data, moved along u_R, raise the spike (strongest)",
        source=("schaeffer2023demystified",),
        measure=_AT_P,
        number=_left("adversarial_train", np.max, lambda sweep, level: level > 0),
        bound=at_least(5, partly=1.5),
    ),
    _rule(
        claim="adversarial training data of strength 0 change nothing (weakest)",
        source=("schaeffer2023demystified",),
        measure=_AT_P + ", minus 1",
        number=_changed("adversarial_train"),
        bound=at_most(1e-9, partly=0.1),
        check=True,
    ),
)
