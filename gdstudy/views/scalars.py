"""What TensorBoard shows of a run as curves: the folder of each estimator, its tags, and the points of each.

A tag is `<group>/<value>/<data set>`: a card is of one data set, so that it has one unit, and TensorBoard shortens the
middle of a tag, never its end. What belongs in one chart shares a tag in sibling folders. What a group's steps are, and
what a value is, `cards` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from pandas import DataFrame

from gdstudy.experiment.tables import Run
from gdstudy.study.ablations import ABLATIONS
from gdstudy.study.estimators import CLOSED_FORMS, written
from gdstudy.study.models import REFERENCES, Model
from gdstudy.views.summary import Curve, by_size, by_step, checkpoints, groups, nearest, representative_sizes, select
from gdstudy.views.sweeps import Sweep, sweeps

LOG, SHARE = "log10_", "relative_"  # of a value: its logarithm; over the variance of the targets
LOG_TIME, ABLATED = "100log10t", "ablations"  # a group of tags; a folder
ERRORS = ("test_mse", f"{SHARE}test_mse", f"{LOG}{SHARE}test_mse", "train_mse")
ACCURACIES = ("test_accuracy", "train_accuracy")  # where targets are classes
# Of X⁺y: the factors of Eqn. 1, and the parts of its error.
PARTS = ("smallest_singular_value", "variance_mean_of_squares", "bias_mean_of_squares", "worst_mode_share")
# Of an autoencoder: what it stores. Of ridge and the exact iterate.
DIMENSIONS = ("data_point_dimension", "feature_dimension", "weight_norm")
OF_CLOSED_FORMS = ("weight_norm", "penalty", "loo_mse")
_LEVELS = 5  # of a closed form, at most
# Where N is swept, P, or the hidden width.
_SUFFIXES = {"n_train": "", "n_parameters": "_p", "n_hidden": "_hidden"}


def group(name: str, size: str) -> str:
    """`sweep` where N is swept, `sweep_p` where P is, `sweep_hidden` where the hidden width is; so of others."""
    return name + _SUFFIXES[size]


def tag_of(group: str, dataset: str, value: str) -> str:
    return f"{group}/{value}/{dataset}"


def headline(model: Model) -> str:
    """The error by which estimators are compared: without a unit, and its logarithm where a spike spans decades."""
    return f"{LOG if model.has_threshold else ''}{SHARE}test_mse"


@dataclass(frozen=True)
class Series:
    """The curves of one estimator, or of an ablation, along one sweep. folder: below the run's. n: the N at which a
    training is followed through time; none of curves along the sweep."""

    folder: Path
    sweep: Sweep
    estimator: str
    ablation: str
    rows: DataFrame
    n: int | None = None

    def scalars(self) -> Iterator[tuple[str, Curve]]:
        """Tags and their curves, as medians alone: a band is two curves of its own, with the tags of `band_tags`."""
        yield from _along_sweep(self) if self.n is None else _convergence(self, self.n)


def series(run: Run) -> Iterator[Series]:
    """All of a run; several have the same folder where it sweeps several sizes.

    Of the levels of an ablation the strongest is shown, of X⁺y on the data as the study has them; of those of ridge and
    the exact iterate a few: TensorBoard selects none of more than 40 runs.
    """
    for sweep in sweeps(run):
        for (estimator, ablation, level), rows in groups(sweep.results, "estimator", "ablation", "level"):
            one = Series(_folder(sweep, estimator, ablation, level), sweep, estimator, ablation, rows)
            if not _is_shown(sweep, estimator, ablation, level):
                continue
            yield one
            if ablation != "none":
                continue
            if sweep.size == "n_train" and estimator in sweep.study.trained and len(sweep.checkpoints):
                for n in followed(sweep):
                    if len(here := select(rows, n_train=n)):
                        yield replace(one, folder=one.folder / f"N={n}", rows=here, n=n)


def followed(sweep: Sweep) -> list[int]:
    """The planned N below, at and above the threshold at which trainings are followed through time."""
    return representative_sizes(np.array(sweep.study.n_train), sweep.threshold)


def band_tags(sweep: Sweep) -> tuple[str, str]:
    """Tags of the quartiles of the headline's value."""
    low, high = (
        tag_of(group("quartiles", sweep.size), sweep.card, f"{headline(sweep.model)}_{q}") for q in ("q25", "q75")
    )
    return low, high


def _is_shown(sweep: Sweep, estimator: str, ablation: str, level: float) -> bool:
    if ablation == "none":
        return bool(np.isnan(level)) or level in _few(CLOSED_FORMS[estimator].levels_in(sweep.study))
    levels = [x for name, x in sweep.study.ablations.levels(sweep.seen[0]) if name == ablation and x is not None]
    strongest = min if ABLATIONS[ablation].weakest_last else max
    as_they_are = sweep.seen[1] == sweep.study.preprocess
    return as_they_are and estimator in REFERENCES and (not levels or level == strongest(levels))


def _few(levels: Sequence[float | None]) -> list[float]:
    """Both ends and some between, evenly."""
    known = sorted(level for level in levels if level is not None)
    places = np.linspace(0, len(known) - 1, min(len(known), _LEVELS)).round().astype(int)
    return [known[place] for place in places]


def _folder(sweep: Sweep, estimator: str, ablation: str, level: float) -> Path:
    """Of an estimator; one folder of an ablation for all data sets, since their tags differ."""
    model = "" if sweep.model.regression else sweep.model.name
    if ablation != "none":
        return Path(ABLATED) / sweep.dataset.removeprefix(sweep.seen[0]).lstrip("+") / model / ablation
    folder = Path(sweep.dataset) / model / estimator
    return folder if np.isnan(level) else folder / f"{CLOSED_FORMS[estimator].folder}={written(level)}"


def _along_sweep(one: Series) -> Iterator[tuple[str, Curve]]:
    """Tags `sweep/…` have N as their step, `sweep_p/…` P, `sweep_hidden/…` the hidden width; beside them `quartiles`,
    `ablation` and `theory`, with as few curves as answer their questions."""
    sweep, rows, best = one.sweep, one.rows, headline(one.sweep.model)
    measure = cache(lambda column: by_size(rows, column, sweep.size))
    beside = [name for name in ("ablation", "theory") if _belongs(one, name)]
    for name in beside:
        yield tag_of(group(name, sweep.size), sweep.card, best), _only_median(_derived(one, best, measure))
    if one.ablation != "none" or one.estimator == "theory":
        return
    for value in _values(one):
        if np.isfinite(rows[value.removeprefix(LOG).removeprefix(SHARE)]).any():
            yield tag_of(group("sweep", sweep.size), sweep.card, value), _only_median(_derived(one, value, measure))
    for name, quartile in zip(band_tags(sweep), _band(_derived(one, best, measure)), strict=True):
        yield name, quartile
    if one.estimator in sweep.study.trained:
        share = (rows["status"] == "converged").groupby(rows[sweep.size]).mean()
        tag = tag_of(group("sweep", sweep.size), sweep.card, "fraction_converged")
        yield tag, Curve(share.index.to_numpy(), *[share.to_numpy()] * 4)
    if sweep.size == "n_train" and len(sweep.checkpoints) and one.estimator not in sweep.study.trained:
        yield from _convergence(one, nearest(np.array(followed(sweep)), sweep.threshold))


def _belongs(one: Series, name: str) -> bool:
    """Whether it is to be seen beside ablations, or beside the expected risk: X⁺y and what is compared with it."""
    reference = one.estimator in REFERENCES
    if name == "theory":
        expected = one.sweep.results["estimator"] == "theory"
        return one.ablation == "none" and (one.estimator == "theory" or (reference and bool(expected.any())))
    asked = one.sweep.study.ablations.levels(one.sweep.seen[0])
    return reference and bool(asked) and one.sweep.seen[1] == one.sweep.study.preprocess


def _values(one: Series) -> tuple[str, ...]:
    """What is shown along a sweep. Parts of the error, unless ablations take their place: a page has an end."""
    model, reference = one.sweep.model, one.estimator in REFERENCES
    errors = ERRORS if model.has_threshold else tuple(value for value in ERRORS if not value.startswith(LOG))
    values = (*errors, f"{LOG}distance", *ACCURACIES)
    if model.autoencoder:
        values = (*values, f"{SHARE}train_mse", *DIMENSIONS, *PARTS[: 1 if reference else 0])
    elif reference and not one.sweep.study.ablations.levels(one.sweep.seen[0]):
        values = (*values, *PARTS)
    return (*values, *OF_CLOSED_FORMS) if one.estimator in CLOSED_FORMS else values


def _convergence(one: Series, n: int) -> Iterator[tuple[str, Curve]]:
    """Tags `convergence/…` have t as their step, `100log10t/…` 100·log10 t: of a training at one N, and
    nearest to the threshold of its exact iterate, and of the limit as a line."""
    sweep, estimator, rows = one.sweep, one.estimator, one.rows
    of = {f"{name}_closed_form": name for name in sweep.study.trained}
    limit, exact = estimator in REFERENCES, estimator in of
    if not (limit or exact or estimator in sweep.study.trained):
        return
    here = select(sweep.checkpoints, n_train=n)
    if not limit:
        here = select(here, estimator=of.get(estimator, estimator))
    if here.empty:
        return
    steps = np.unique(here["step"]) if limit else checkpoints(here)

    def measure(column: str) -> Curve:
        if not limit:
            return by_step(here, f"exact_{column}" if exact else column, steps)
        end = by_size(select(rows, n_train=n), column)
        return Curve(steps, *(np.repeat(band, len(steps)) for band in (end.low, end.median, end.high, end.mean)))

    shares = (f"{SHARE}test_mse", f"{SHARE}train_mse") if sweep.model.autoencoder else (headline(sweep.model),)
    for value in (f"{LOG}distance", *shares, *(ACCURACIES[:1] if sweep.classes else ())):
        column = value.removeprefix(LOG) if sweep.model.autoencoder else value.removeprefix(LOG).removeprefix(SHARE)
        table = select(rows, n_train=n) if limit else here
        if np.isfinite(table[f"exact_{column}" if exact else column]).any():
            curve = _only_median(_derived(one, value, measure))
            yield tag_of("convergence", sweep.card, value), curve
            yield tag_of(LOG_TIME, sweep.card, value), _in_log_time(curve)


def _derived(one: Series, value: str, measure: Callable[[str], Curve]) -> Curve:
    """The curve of a value from those of columns. Both maps are increasing, and quantiles go with them."""
    if value.startswith(LOG):
        with np.errstate(divide="ignore"):
            return _mapped(_derived(one, value.removeprefix(LOG), measure), np.log10)
    if value.startswith(SHARE) and not one.sweep.model.autoencoder:  # of those every row has its own
        return _mapped(_derived(one, value.removeprefix(SHARE), measure), lambda band: band / one.sweep.variance)
    return measure(value)


def _mapped(curve: Curve, function: Callable[[np.ndarray], np.ndarray]) -> Curve:
    return Curve(curve.x, *(function(band) for band in (curve.low, curve.median, curve.high, curve.mean)))


def _only_median(curve: Curve) -> Curve:
    return Curve(curve.x, *[curve.median] * 4)


def _band(curve: Curve) -> tuple[Curve, Curve]:
    """Quartiles at the steps of the median, which a margin chart wants; an infinite one ends at the median."""
    low, high = (np.where(np.isfinite(band), band, curve.median) for band in (curve.low, curve.high))
    return Curve(curve.x, *[low] * 4), Curve(curve.x, *[high] * 4)


def _in_log_time(curve: Curve) -> Curve:
    """Along 100·log10 t in whole numbers, from t = 1; the first of steps that round to the same."""
    after = curve.x > 0
    x, first = np.unique(np.round(100 * np.log10(curve.x[after])).astype(np.int64), return_index=True)
    return Curve(x, *[curve.median[after][first]] * 4)
