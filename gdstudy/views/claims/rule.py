"""How a claim is decided: a number from a sweep, its bound, and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pandas import DataFrame, MultiIndex

from gdstudy.study.models import MODELS
from gdstudy.views.claims.bibliography import cited
from gdstudy.views.summary import CELL
from gdstudy.views.sweeps import Sweep
from gdstudy.views.words import percent

HOLDS, PARTLY, DOES_NOT_HOLD, CANNOT_TELL = "holds", "partly", "does not hold", "cannot tell"
VERDICTS = (HOLDS, PARTLY, DOES_NOT_HOLD, CANNOT_TELL)


@dataclass(frozen=True)
class Claim:
    """One claim on one data set. number: what `measure` says; threshold: what it must meet to hold; cells: of a claim
    on what was trained, how many converged; reason: why a run cannot tell; check: it is of a level at which nothing is
    changed, and says that study and code do what they should rather than that the paper is right."""

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
    check: bool = False

    @property
    def where(self) -> str:
        """Its data set; of what is no plain model also that, and along which size."""
        return self.dataset if self.model in MODELS else f"{self.dataset} ({self.model})"

    @property
    def of_cells(self) -> str:
        """` (98% of 3,000 cells converged)`, or nothing."""
        return f" ({self.cells})" if self.cells else ""


_OF_SEVERAL = {HOLDS: "hold", PARTLY: "hold partly", DOES_NOT_HOLD: "do not hold", CANNOT_TELL: "cannot be told"}


def numbered(n: int, verdict: str) -> str:
    """So many claims with this verdict, in words: `118 hold`, `1 holds`."""
    return f"{n} {verdict if n == 1 else _OF_SEVERAL[verdict]}"


def counted(claims: Sequence[Claim]) -> tuple[dict[str, int], str]:
    """Verdict → how many claims have it, and beside them a sentence on the checks; empty where there is none."""
    checks = [claim for claim in claims if claim.check]
    verdicts = [claim.verdict for claim in claims if not claim.check]
    held = sum(check.verdict == HOLDS for check in checks)
    said = f"Beside them {held} of {len(checks)} checks hold." if checks else ""
    return {verdict: verdicts.count(verdict) for verdict in VERDICTS}, said


# The values that a number is the largest of, and what rounding alone can make of each of them.
Rounding = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Bound:
    """A number holds at or beyond `holds` (at most, or at least: `sense`), and partly at or beyond `partly`."""

    sense: str
    holds: float
    partly: float

    def met(self, number: float, bound: float) -> bool:
        return number >= bound if self.sense == "≥" else number <= bound

    def verdict(self, number: float) -> str:
        return HOLDS if self.met(number, self.holds) else PARTLY if self.met(number, self.partly) else DOES_NOT_HOLD


def at_least(holds: float, partly: float) -> Bound:
    return Bound("≥", holds, partly)


def at_most(holds: float, partly: float) -> Bound:
    return Bound("≤", holds, partly)


def is_regression(sweep: Sweep) -> bool:
    """A readout of y, of whatever features."""
    return not sweep.model.autoencoder


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How a claim is decided. source: the keys in references.bib of who makes it, the last one with the place `where`
    it is made. number: from a sweep, NaN where the run cannot tell; measure: what it is; bound: what it must meet.
    about: the sweeps it is a claim on. trained: it speaks of what was trained, of which a verdict then says how much
    converged. check: where nothing is changed nothing may change, which is not counted among the claims. rounding: of
    an identity, which no computation meets exactly; where all values that miss it are within rounding, or within what
    else (`within`) it is a bound of, the run cannot tell. at_threshold: it is on what is seen at N = P, where features
    of a smaller rank have no threshold."""

    claim: str
    source: tuple[str, ...] = ("schaeffer2023",)  # the paper
    where: str = ""
    measure: str
    number: Callable[[Sweep], float]
    bound: Bound
    about: Callable[[Sweep], bool] = is_regression
    trained: bool = False
    check: bool = False
    rounding: Callable[[Sweep], Rounding] | None = None
    within: str = "rounding"
    at_threshold: bool = False

    @property
    def sentence(self) -> str:
        """The claim as a sentence begins."""
        return self.claim[0].upper() + self.claim[1:]

    @property
    def said_in(self) -> str:
        """The source in words: `Schaeffer et al. 2023a, Fig. 1`."""
        return "; ".join(map(cited, self.source)) + (f", {self.where}" if self.where else "")

    def decide(self, sweep: Sweep) -> Claim | None:
        """The claim on a sweep, or None where it is about something else or the run cannot give its number."""
        with np.errstate(divide="ignore", invalid="ignore"):  # errors that are zero have no ratio
            if sweep.size == "n_hidden" or not self.about(sweep):
                return None
            number = float(self.number(sweep))
        if np.isnan(number):
            return None
        verdict, reason = self.bound.verdict(number), ""
        if verdict != HOLDS and (excuse := self._excuse(sweep)):
            verdict, reason = CANNOT_TELL, excuse
        cells = _converged(sweep) if self.trained else ""
        model = sweep.model.name
        if not sweep.model.regression:
            model += f", along {'P' if sweep.size == 'n_parameters' else 'N'}"
        bound = f"{self.bound.sense} {self.bound.holds:g}"
        said = (self.claim, self.said_in, sweep.dataset, model, number, bound, verdict, self.measure)
        return Claim(*said, cells, reason, self.check)

    def _excuse(self, sweep: Sweep) -> str:
        """What rounding can do, where it alone explains all values that miss the bound, or where the threshold is."""
        if self.rounding is not None:
            values, bounds = self.rounding(sweep)
            missed = values > self.bound.holds
            if missed.any() and (values[missed] <= bounds[missed]).all():
                return f"{self.within} alone can leave {bounds[missed].max():.2g}"
        if self.at_threshold and (rank := _rank(sweep)) < sweep.threshold:
            return (
                f"no training rows have more than rank {rank} < P = {sweep.threshold}: N = P is no threshold of theirs"
            )
        return ""


def _rank(sweep: Sweep) -> int:
    """The largest rank of training rows along N, as far as there are enough to tell; else P."""
    rows = sweep.rows[["n_train", "n_parameters", "rank"]]
    ranks = rows.loc[rows["n_train"] >= rows["n_parameters"], "rank"].dropna()
    return int(ranks.max()) if sweep.size == "n_train" and len(ranks) else sweep.threshold


def _converged(sweep: Sweep) -> str:
    converged = sweep.trained["status"] == "converged"
    return f"{percent(float(converged.mean()))} of {len(converged):,} cells converged"


def spike(sweep: Sweep, of: DataFrame | None = None) -> float:
    """Median test error at the threshold over the larger of those at half and at twice it, as far as studied.

    of: rows of an estimator, default of X⁺y.
    """
    rows = sweep.rows if of is None else of
    sizes, T = np.unique(rows[sweep.size]), sweep.threshold
    below, above = sizes[sizes <= 0.75 * T], sizes[sizes >= 1.5 * T]
    if T not in sizes or not len(below) or not len(above):
        return np.nan
    sides = (below[np.abs(below - T / 2).argmin()], above[np.abs(above - 2 * T).argmin()])
    return sweep.at(rows, T) / max(sweep.at(rows, n) for n in sides)


def distance_of_converged(sweep: Sweep) -> float:
    """The largest `distance` of unablated cells that converged, NaN where none did."""
    return float(sweep.trained.loc[sweep.trained["status"] == "converged", "distance"].max(skipna=False))


def deviations(sweep: Sweep) -> DataFrame:
    """Checkpoints of the main training's cells, without those that diverge in the end: an unstable step size makes more
    of rounding with each step."""
    ended = sweep.trained.loc[sweep.trained["status"] == "diverged", CELL]
    curves = sweep.curves[[*CELL, "deviation", "step", "status"]]
    if ended.empty:
        return curves
    keys = [MultiIndex.from_frame(table[CELL].fillna(-1)) for table in (curves, ended)]
    return curves[~keys[0].isin(keys[1])]


def deviation(sweep: Sweep) -> float:
    """The largest deviation from the exact iterate over all checkpoints, NaN where there is no exact iterate."""
    return float(deviations(sweep)["deviation"].max())
