"""What a run studied: each data set and model along N, along P, or along the hidden width."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property, wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from pandas import DataFrame

from gdstudy.experiment.tables import Run
from gdstudy.study.config import Study
from gdstudy.study.estimators import ClosedForm
from gdstudy.study.models import MODELS, REFERENCES, Model
from gdstudy.views.summary import (
    SEEN,
    Curve,
    Seen,
    by_size,
    closed_forms,
    groups,
    relative,
    seen_as,
    select,
    several,
    where,
)

_T = TypeVar("_T")


def once(function: Callable[[Run], _T]) -> Callable[[Run], _T]:
    """The same of each run, computed once and kept as long as the run is. What it returns must not hold the run."""
    kept: WeakKeyDictionary[Run, _T] = WeakKeyDictionary()

    @wraps(function)
    def of(run: Run) -> _T:
        if run not in kept:
            kept[run] = function(run)
        return kept[run]

    return of


def main_training(study: Study) -> str:
    """The name of the study's first training, or nothing where none is wanted."""
    return next(iter(study.trained), "")


def descends(study: Study) -> bool:
    """The main training is plain gradient descent, of readouts from zero: what the paper says of it is said of it."""
    main = study.trained.get(main_training(study))
    return main is not None and main.plain and not main.momentum and main.start == "own"


def heads_for_closed_form(study: Study, training: str = "") -> bool:
    """A training, by default the main one, if there is one, tends to the closed form: descent from a model's own start,
    of any step."""
    trained = study.trained.get(training or main_training(study))
    return trained is None or (trained.plain and trained.start == "own")


def closed_form_names(model: Model) -> dict[str, str]:
    """Estimator → what the closed form of what is trained is called."""
    return {"min_norm": "X⁺X" if model.autoencoder else "X⁺y", "pca": "PCA", "reduced_rank": "best map"}


@dataclass(frozen=True, eq=False)
class Sweep:
    """Results of one data set and model along N, along P or along the hidden width, the others held.

    size: the swept column; threshold: its value at N = P, or N where the hidden width is swept; rows: unablated closed
    form of what is trained (X⁺y; a bottleneck's best map), or what was trained where there is none; results: every
    estimator and ablation; checkpoints: of every training. Of autoencoders all have relative errors too.
    sizes: those that are studied, ascending, be their rows there yet or not (`Run.planned`).
    """

    study: Study
    model: Model
    size: str
    threshold: int
    rows: DataFrame
    results: DataFrame
    checkpoints: DataFrame
    sizes: np.ndarray

    def first(self, column: str) -> float:
        """A value that all rows share."""
        return float(self.rows[column].iloc[0])

    @property
    def variance(self) -> float:
        """Of the targets, to which errors are relative; NaN where it is zero, and in runs of before version 0.7, whose
        rows lack it."""
        known = self.rows["target_variance"].dropna()
        return float(known.iloc[0]) or math.nan if len(known) else math.nan

    @property
    def seen(self) -> Seen:
        """The data set as the model saw it: its name, preprocessing and input noise."""
        dataset, preprocess, noise = (self.rows[name].iloc[0] for name in SEEN)
        return str(dataset), str(preprocess), float(noise)

    @property
    def keys(self) -> dict[str, object]:
        """What its rows in other tables of the run have in common."""
        return dict(zip((*SEEN, "model"), (*self.seen, self.model.name), strict=True))

    @property
    def dataset(self) -> str:
        """The data set as it is called in folders and tables."""
        return seen_as(*self.seen)

    @property
    def card(self) -> str:
        """The data set as TensorBoard's tags have it: a card has one unit, of y or of shares of what is given back."""
        kinds = {MODELS[name].autoencoder for name in self.study.models}
        return self.seen[0] + "_given_back" * (self.model.autoencoder and len(kinds) > 1)

    @property
    def classes(self) -> bool:
        """Its targets are classes: accuracies are known."""
        return bool(self.rows["test_accuracy"].notna().any())

    @property
    def noisy(self) -> bool:
        return self.first("input_noise") > 0

    @property
    def reference(self) -> str:
        """The estimator of `rows`."""
        return str(self.rows["estimator"].iloc[0])

    @property
    def closed_form(self) -> str:
        """What the closed form is called, by estimator and model: X⁺y, of an autoencoder X⁺X."""
        return closed_form_names(self.model)[self.reference]

    def error(self, which: str = "test") -> str:
        """The column of its errors: of an autoencoder shares of its inputs. which: test or train."""
        return f"relative_{which}_mse" if self.model.autoencoder else f"{which}_mse"

    @property
    def main(self) -> str:
        """The estimator of the main training, whose rows `trained` and `curves` are."""
        return main_training(self.study)

    @cached_property
    def by_training(self) -> dict[str, DataFrame]:
        """Unablated rows of each training these data were given, in the study's order."""
        rows = dict(groups(self.results, "estimator", "ablation"))
        return {name: rows[name, "none"] for name in self.study.trained if (name, "none") in rows}

    @cached_property
    def beside(self) -> dict[tuple[ClosedForm, float], DataFrame]:
        """Rows of each closed form beside X⁺y, such as ridge, and of its level; NaN where it has none."""
        return closed_forms(self.results)

    @cached_property
    def trained(self) -> DataFrame:
        """Unablated rows of the main training."""
        return self.by_training.get(self.main, self.results.iloc[:0])

    @property
    def descends(self) -> bool:
        """The main training is plain gradient descent, of readouts from zero."""
        return descends(self.study)

    @property
    def other_step_sizes(self) -> dict[float, DataFrame]:
        """Step size → rows of each training that differs from the main one in nothing else, in increasing order."""
        found = {float(rows["step_size"].iloc[0]): rows for rows in self._differing_in("step_size").values()}
        return {rate: found[rate] for rate in sorted(found)}

    @property
    def restarted(self) -> dict[int, DataFrame]:
        """Number of starts → rows of each training that is the best of them, and otherwise the main one."""
        trained = self.study.trained
        starts = {trained[name].restarts: rows for name, rows in self._differing_in("restarts").items()}
        return {k: starts[k] for k in sorted(starts) if k > 1}

    def _differing_in(self, setting: str) -> dict[str, DataFrame]:
        """Rows of the trainings that differ from the main one in one setting, whatever their hidden widths."""
        if self.main not in self.by_training:
            return {}
        trained, keys = self.study.trained, [key.name for key in fields(self.study.trained[self.main])]

        def differs(name: str) -> list[str]:
            return [key for key in keys if getattr(trained[name], key) != getattr(trained[self.main], key)]

        return {name: rows for name, rows in self.by_training.items() if {*differs(name)} - {"n_hidden"} == {setting}}

    @cached_property
    def curves(self) -> DataFrame:
        """Checkpoints of the main training."""
        return select(self.checkpoints, estimator=self.main)

    def median(self, table: DataFrame, value: str = "test_mse") -> Curve:
        return by_size(table, value, self.size)

    def at(self, table: DataFrame, size: float, value: str = "test_mse") -> np.float64:
        """Median over seeds at one size, or NaN where it was not studied. Its ratios may be infinite or NaN."""
        here = select(table[[self.size, value, "status"]], **{self.size: size})
        return self.median(here, value).median[0] if len(here) else np.float64(np.nan)

    def ablation(self, name: str, strongest: Callable[[np.ndarray], float]) -> DataFrame | None:
        """X⁺y's rows of an ablation at one of its levels, or None where it was not studied."""
        rows = select(self.results, estimator="min_norm", ablation=name)
        if rows.empty or rows["level"].isna().all():
            return None if rows.empty else rows
        return select(rows, level=strongest(rows["level"].to_numpy()))


@once
def parts(run: Run) -> dict[tuple[Seen, Model], tuple[DataFrame, DataFrame]]:
    """(data set as it was seen, model) → its results and its checkpoints, in the order of Fig. 1."""
    curves, none = dict(groups(run.curves, *SEEN, "model")), run.curves.iloc[:0]
    return {
        ((dataset, preprocess, noise), MODELS[model]): (rows, curves.get((dataset, preprocess, noise, model), none))
        for (dataset, preprocess, noise, model), rows in groups(run.results, *SEEN, "model")
    }


@once
def sweeps(run: Run) -> tuple[Sweep, ...]:
    """Each data set and model along N at its middle P and, where several P were studied, along P at its middle N.

    Hidden widths are held at the smallest; where several were studied, there is a sweep of them at the middle N.
    """
    planned = {} if run.planned is None else dict(groups(run.planned, *SEEN, "model"))
    return tuple(
        sweep
        for (seen, model), part in parts(run).items()
        for sweep in _sweeps_of(run.study, model, *part, planned.get((*seen, model.name)))
    )


@dataclass(frozen=True, eq=False)
class Cut:
    """What is held along one size: the values of `others`. threshold, sizes: as of a `Sweep`. part, reference: rows of
    the table that it was found in, of all estimators and of the one that says which sizes there are."""

    size: str
    others: dict[str, int]
    threshold: int
    sizes: np.ndarray
    part: DataFrame
    reference: DataFrame


def cuts(study: Study, model: Model, planned: DataFrame) -> Iterator[Cut]:
    """Along what a data set and model are shown. planned: rows of all their sizes and estimators."""
    held = {name: _middle(np.unique(planned[name])) for name in ("n_train", "n_parameters")}
    if model.layered:
        held["n_hidden"] = int(planned["n_hidden"].min())
    for size in held:
        others = {name: value for name, value in held.items() if name != size}
        part = select(planned, **others)
        rows = _reference(part, list(study.trained))
        if several(rows, size) or (size == "n_train" and not several(planned, "n_parameters")):
            threshold = held["n_parameters" if size == "n_train" else "n_train"]
            yield Cut(size, others, threshold, np.unique(rows[size]), part, rows)


def _sweeps_of(
    study: Study, model: Model, results: DataFrame, curves: DataFrame, planned: DataFrame | None
) -> Iterator[Sweep]:
    if model.autoencoder:
        results = relative(results)
        curves = relative(curves, float(results["target_mean_square"].iloc[0]))
    for cut in cuts(study, model, results if planned is None else planned):
        part, rows = cut.part, cut.reference
        if planned is not None:
            part = select(results, **cut.others)
            rows = _reference(part, list(study.trained))
        if len(rows):
            here = select(curves, **cut.others)
            yield Sweep(study, model, cut.size, cut.threshold, rows, part, here, cut.sizes)


def _middle(values: np.ndarray) -> int:
    return int(values[np.abs(np.log(values / np.median(values))).argmin()])


def _reference(results: DataFrame, trained: list[str]) -> DataFrame:
    """Unablated rows of the closed form, or of the first training that is there where there is none."""
    unablated = (results["ablation"] == "none").to_numpy()
    for names in (REFERENCES, *([name] for name in trained)):
        if len(rows := where(results, unablated & results["estimator"].isin(names).to_numpy())):
            return rows
    return results.iloc[:0]
