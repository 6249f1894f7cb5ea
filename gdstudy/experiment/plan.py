"""What a study consists of: data sets under their preprocessing, and their cells in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gdstudy.data.dataset import Dataset
from gdstudy.study.config import Study
from gdstudy.study.schema import AS_WIDE_AS_DATA, BOTTLENECKS, NONLINEAR, SHAPES, SUPERPOSITIONS, ZERO_STARTS
from gdstudy.study.status import WORDS

Level = tuple[str, float | None]  # ablation and its level
UNABLATED: Level = ("none", None)
# Numbers that a step of one stack goes through. Small cells share the cost of a step's calls; beyond this the stack
# leaves the cache and they gain nothing, so that a cell as large as this trains alone (tests/benchmarks/
# bench_autoencoders.py stacks). A GPU is idle on small stacks; its number is a guess, not measured.
STACK_NUMBERS, GPU_STACK_NUMBERS = 1 << 18, 1 << 24


@dataclass(frozen=True)
class Variant:
    """A data set under one preprocessing and input noise, with the ablations that are wanted of it.

    closed and trained, those of the closed form and of training, begin with UNABLATED; trained is empty where gradient
    descent is not wanted.
    """

    dataset: str
    preprocess: str
    input_noise: float
    closed: tuple[Level, ...]
    trained: tuple[Level, ...]


@dataclass(frozen=True)
class Batch:
    """Cells of one data set, model, P and hidden width that are computed as one stack; `number` is its place in the
    study. closed, trained: the ablation levels of its closed form and of its training."""

    number: int
    dataset: str
    model: str
    n_parameters: int
    n_hidden: int | None
    cells: tuple[tuple[int, int], ...]  # (n_train, seed)
    closed: tuple[Level, ...] = (UNABLATED,)
    trained: tuple[Level, ...] = (UNABLATED,)

    @property
    def trainings(self) -> int:
        """How often the cells are trained. Where only the test rows differ they are not trained again, and the best
        of k starts needs those of all smaller k."""
        repeats = sum(name not in ("leading_modes", "adversarial_test", "restarts") for name, _ in self.trained)
        starts = [int(k or 1) for name, k in self.trained if name == "restarts"]
        return repeats + max(starts, default=1) - 1


def variants(study: Study) -> list[Variant]:
    """Data sets in the order they are computed: the study's own, then those that GD alone is to see."""
    trained, own = "gd" in study.estimators, study.gd.preprocess in ("same", study.preprocess)
    first, second = [], []
    for name in study.datasets:
        levels = (UNABLATED, *study.ablations.levels(name))
        trainable = tuple(level for level in levels if level == UNABLATED or level[0] in study.gd.ablations)
        for noise in study.input_noise:
            first.append(Variant(name, study.preprocess, noise, levels, trainable if trained and own else ()))
            if trained and not own:
                second.append(Variant(name, study.gd.preprocess, noise, trainable, trainable))
    return first + second


def producible(study: Study) -> dict[str, set[Any]]:
    """What the tables of a study can hold in the columns that tell rows apart; of `level` see `producible_levels`."""
    columns = {SHAPES.get(name, (0, study.synthetic.n_inputs))[1] for name in study.datasets}
    return {
        "n_train": set(study.n_train),
        "n_parameters": {*study.n_parameters, *columns},
        "n_hidden": set(study.n_hidden),
        "seed": set(range(study.seeds)),
        "dataset": set(study.datasets),
        "preprocess": {variant.preprocess for variant in variants(study)},
        "input_noise": set(study.input_noise),
        "model": set(study.models),
        "estimator": {"min_norm", "pca", "reduced_rank", "gd", "gd_closed_form", "theory", study.gd.optimizer},
        "ablation": set(producible_levels(study)),
        "status": {*WORDS, "closed_form"},
    }


def producible_levels(study: Study) -> dict[str, set[float | None]]:
    """The levels of each ablation that the tables of a study can hold; None where there is none."""
    pairs = {UNABLATED, *study.ablations.trainings()}
    for name in study.datasets:
        pairs |= set(study.ablations.levels(name))
    return {ablation: {level for name, level in pairs if name == ablation} for ablation, _ in pairs}


def plan(study: Study, datasets: Sequence[Dataset]) -> list[Batch]:
    """The study's batches, the same for the same study: N-contiguous, of at most `batch_cells` cells.

    datasets: loaded, one for each of `variants(study)`. Neighbouring N have similar condition numbers, so a
    stack of them finishes together.
    """
    batches: list[Batch] = []
    for variant, dataset in zip(variants(study), datasets, strict=True):
        for model in study.models:
            for P in (dataset.X.shape[1],) if model in AS_WIDE_AS_DATA else study.n_parameters:
                for hidden in study.hidden_sizes(model):
                    closed, trained = _levels(study, variant, model, hidden)
                    for part in _stacks(study, model, P):
                        identity = (len(batches), dataset.name, model, P, hidden, part)
                        batches.append(Batch(*identity, closed, trained))
    return batches


def _levels(
    study: Study, variant: Variant, model: str, hidden: int | None
) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
    """The levels of a model's closed form and of its training."""
    if model not in NONLINEAR:
        return variant.closed, variant.trained
    # A start at zero is one start, and stalls at any step size.
    more = study.ablations.trainings() if hidden == min(study.n_hidden) and model not in ZERO_STARTS else []
    return (UNABLATED,) if model in BOTTLENECKS else (), (UNABLATED, *more) if variant.trained else ()


def _stacks(study: Study, model: str, P: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """(n_train, seed) of every cell, in stacks of STACK_NUMBERS at most, or of one cell that is larger.

    A cell's size is what its steps go through: N × P where it is trained on rows, P × P on second moments. The engine
    of readouts cuts its stacks to the cache by itself.
    """
    on_rows = model in SUPERPOSITIONS or study.gd.engine == "autograd"
    stack: list[tuple[int, int]] = []
    most = STACK_NUMBERS if study.device == "cpu" else GPU_STACK_NUMBERS
    for n in study.n_train:
        for seed in range(study.seeds):
            numbers = (len(stack) + 1) * (n if on_rows else P) * P if model in NONLINEAR else 0
            if stack and (len(stack) == study.batch_cells or numbers > most):
                yield tuple(stack)
                stack = []
            stack.append((n, seed))
    yield tuple(stack)
