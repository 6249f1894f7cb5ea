"""What a study consists of: data sets under their preprocessing, and their cells in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gdstudy.config import Study
from gdstudy.data import Dataset

Level = tuple[str, float | None]  # ablation and its level
UNABLATED: Level = ("none", None)


@dataclass(frozen=True)
class Variant:
    """A data set under one preprocessing, with the ablations whose closed form and whose training are wanted.

    closed and trained begin with UNABLATED; trained is empty where gradient descent is not wanted.
    """

    dataset: str
    preprocess: str
    closed: tuple[Level, ...]
    trained: tuple[Level, ...]


@dataclass(frozen=True)
class Batch:
    """Cells of one data set, model and P that are computed as one stack; `number` is its place in the study."""

    number: int
    dataset: str
    model: str
    n_parameters: int
    cells: tuple[tuple[int, int], ...]  # (n_train, seed)
    closed: tuple[Level, ...] = (UNABLATED,)
    trained: tuple[Level, ...] = (UNABLATED,)


def variants(study: Study) -> list[Variant]:
    """Data sets in the order they are computed: the study's own, then those that GD alone is to see."""
    trained, own = "gd" in study.estimators, study.gd.preprocess in ("same", study.preprocess)
    first, second = [], []
    for name in study.datasets:
        levels = (UNABLATED, *study.ablations.levels(name))
        trainable = tuple(level for level in levels if level == UNABLATED or level[0] in study.gd.ablations)
        first.append(Variant(name, study.preprocess, levels, trainable if trained and own else ()))
        if trained and not own:
            second.append(Variant(name, study.gd.preprocess, trainable, trainable))
    return first + second


def plan(study: Study, datasets: Sequence[Dataset]) -> list[Batch]:
    """The study's batches, the same for the same study: N-contiguous, of at most `batch_cells` cells.

    datasets: loaded, one for each of `variants(study)`. Neighbouring N have similar condition numbers, so a
    stack of them finishes together.
    """
    batches: list[Batch] = []
    cells = [(n, seed) for n in study.n_train for seed in range(study.seeds)]
    for variant, dataset in zip(variants(study), datasets, strict=True):
        for model in study.models:
            for P in (dataset.X.shape[1],) if model == "linear" else study.n_parameters:
                for first in range(0, len(cells), study.batch_cells):
                    part = tuple(cells[first : first + study.batch_cells])
                    identity = (len(batches), dataset.name, model, P, part)
                    batches.append(Batch(*identity, variant.closed, variant.trained))
    return batches
