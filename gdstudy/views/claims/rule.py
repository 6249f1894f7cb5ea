"""How a claim is decided: a number from a sweep, its threshold, and the verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gdstudy.views.summary import Sweep

HOLDS, PARTLY, DOES_NOT_HOLD, CANNOT_TELL = "holds", "partly", "does not hold", "cannot tell"
VERDICTS = (HOLDS, PARTLY, DOES_NOT_HOLD, CANNOT_TELL)


@dataclass(frozen=True)
class Claim:
    """One claim on one data set. number: what `measure` says; threshold: what it must meet to hold; cells: how many
    the number speaks of, where it is of the converged ones only; reason: why a run cannot tell."""

    claim: str
    source: str
    dataset: str
    model: str
    number: float
    threshold: str
    verdict: str
    measure: str
    cells: str = ""
    reason: str = ""


# The values that a number is the largest of, and what rounding alone can make of each of them.
Rounding = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Rule:
    """How a claim is decided. number: from a sweep, NaN where the run cannot tell. It holds at or beyond `holds`
    (at most, or at least: `sense`), and partly at or beyond `partly`. about: the sweeps it is a claim on.
    rounding: of an identity, which no computation meets exactly; where all values that miss it are within rounding, the
    run cannot tell."""

    claim: str
    source: str
    measure: str
    number: Callable[[Sweep], float]
    sense: str
    holds: float
    partly: float
    about: Callable[[Sweep], bool] = lambda sweep: sweep.model in FEATURE_MAPS
    rounding: Callable[[Sweep], Rounding] | None = None

    def decide(self, sweep: Sweep) -> Claim | None:
        if sweep.size == "n_hidden" or not self.about(sweep):
            return None
        number = self.number(sweep)
        if np.isnan(number):
            return None

        def meets(bound: float) -> bool:
            return number >= bound if self.sense == "≥" else number <= bound

        verdict, reason = HOLDS if meets(self.holds) else PARTLY if meets(self.partly) else DOES_NOT_HOLD, ""
        if verdict != HOLDS and self.rounding is not None:
            values, bounds = self.rounding(sweep)
            missed = values > self.holds
            if missed.any() and (values[missed] <= bounds[missed]).all():
                verdict = CANNOT_TELL
                reason = f"rounding alone can leave {bounds[missed].max():.2g}"
        first = {name: sweep.rows[name][0] for name in ("dataset", "model")}
        axis = "P" if sweep.size == "n_parameters" else "N"
        model = str(first["model"]) if first["model"] == "linear" else f"{first['model']}, along {axis}"
        bound = f"{self.sense} {self.holds:g}"
        cells = ""
        if "converged cells" in self.measure:
            status = sweep.trained["status"]
            cells = f"{int((status == 'converged').sum())} of {len(status)} cells"
        said = (self.claim, self.source, str(first["dataset"]), model, number, bound, verdict, self.measure)
        return Claim(*said, cells, reason)


def spike(sweep: Sweep) -> float:
    """Median test error at the threshold over the larger of those at half and at twice it, as far as studied."""
    sizes, T = np.unique(sweep.rows[sweep.size]), sweep.threshold
    below, above = sizes[sizes <= 0.75 * T], sizes[sizes >= 1.5 * T]
    if T not in sizes or not len(below) or not len(above):
        return np.nan
    sides = (below[np.abs(below - T / 2).argmin()], above[np.abs(above - 2 * T).argmin()])
    return sweep.at(sweep.rows, T) / max(sweep.at(sweep.rows, n) for n in sides)


def distance_of_converged(sweep: Sweep) -> float:
    """The largest `distance` of unablated cells that converged, NaN where none did."""
    ended = sweep.trained["distance"][sweep.trained["status"] == "converged"]
    return float(ended.max()) if len(ended) else np.nan


def deviation(sweep: Sweep) -> float:
    """The largest deviation from the exact iterate over all checkpoints, NaN where there is no exact iterate."""
    values = sweep.curves["deviation"][sweep.curves["status"] != "diverged"]
    return float(np.nanmax(values)) if np.isfinite(values).any() else np.nan
