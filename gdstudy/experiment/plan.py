"""What a study consists of: data sets under their preprocessing and noise, and their cells in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gdstudy.experiment.memory import Footprint
from gdstudy.study.ablations import ABLATIONS, UNABLATED
from gdstudy.study.config import Study
from gdstudy.study.datasets import PREPROCESSES
from gdstudy.study.errors import StudyError
from gdstudy.study.estimators import CLOSED_FORMS, asked_for
from gdstudy.study.models import MODELS, REFERENCES, Model
from gdstudy.study.status import WORDS
from gdstudy.study.values import in_bytes

Level = tuple[str, float | None]  # ablation and its level
Trained = tuple[tuple[str, tuple[Level, ...]], ...]  # trainings by name, each with its levels
# A readout's cell of more numbers is stacked only with cells of its own N.
LARGE_NUMBERS = 1 << 16
# Numbers that a step of one stack goes through. Small cells share the cost of a step's calls; beyond this the stack
# leaves the cache and they gain nothing, so that a cell as large as this trains alone (tests/benchmarks/
# bench_stacks.py). A GPU is idle on small stacks; its number is a guess, not measured.
STACK_NUMBERS, GPU_STACK_NUMBERS = 1 << 18, 1 << 24


@dataclass(frozen=True)
class Variant:
    """A data set under one preprocessing and input noise, with the ablation levels that are wanted of it.

    closed: those of the closed form. trained: of each training that sees the data so. All begin with UNABLATED.
    """

    dataset: str
    preprocess: str
    input_noise: float
    closed: tuple[Level, ...]
    trained: Trained


@dataclass(frozen=True)
class Batch:
    """Cells of one data set, model, P and hidden width that are computed as one stack; `number` is its place in the
    study. closed, trained: the ablation levels of its closed form and of its trainings."""

    number: int
    dataset: str
    preprocess: str
    input_noise: float
    model: str
    n_parameters: int
    n_hidden: int | None
    cells: tuple[tuple[int, int], ...]  # (n_train, seed)
    closed: tuple[Level, ...] = (UNABLATED,)
    trained: Trained = (("gd", (UNABLATED,)),)


def variants(study: Study) -> list[Variant]:
    """Data sets in the order they are computed: under the study's preprocessing, then as single trainings see them."""
    sees = {name: training.preprocess for name, training in study.trained.items()}
    sees = {name: study.preprocess if how == "same" else how for name, how in sees.items()}
    found = []
    for preprocess in dict.fromkeys([study.preprocess, *sees.values()]):
        for dataset in study.names:
            levels = (UNABLATED, *study.ablations.levels(dataset))
            trained = tuple(
                (name, tuple(x for x in levels if x == UNABLATED or x[0] in training.ablations))
                for name, training in study.trained.items()
                if sees[name] == preprocess
            )
            wanted = {level for _, some in trained for level in some}
            closed = levels if preprocess == study.preprocess else tuple(x for x in levels if x in wanted)
            found += [Variant(dataset, preprocess, noise, closed, trained) for noise in study.input_noise]
    return found


def n_columns(study: Study, dataset: str) -> int:
    """Columns of a data set, some of which have the study's size."""
    facts = study.facts(dataset)
    if facts.external and facts.columns is None:
        raise StudyError(f"{dataset}: its columns are not known before it was read")
    return facts.columns or study.synthetic.n_inputs


def n_constants(study: Study, preprocess: str) -> int:
    """Parameters of an output beside those of its features: 1 for a column of ones or a training mean, else 0."""
    return int(study.intercept or PREPROCESSES[preprocess].by_training)


def plan(study: Study, earlier: Sequence[Study] = ()) -> list[Batch]:
    """The study's batches, the same for the same study: N-contiguous, of at most `batch_cells` cells and `memory`
    bytes, but for a single cell that takes more (`check_memory`).

    Neighbouring N have similar condition numbers, so a stack of them finishes together.
    earlier: what the study was before it grew, in order, each with the sizes and seeds of the one before. Its batches
    stay as they were and come first; then those of the cells that are new.
    """
    batches = plan(earlier[-1], earlier[:-1]) if earlier else []
    before = earlier[-1] if earlier else None
    for variant in variants(study):
        data = (variant.dataset, variant.preprocess, variant.input_noise)
        for model in (MODELS[name] for name in study.models):
            for n_features in (n_columns(study, variant.dataset),) if model.width == "data" else study.n_parameters:
                P = n_features + n_constants(study, variant.preprocess)
                for hidden in study.hidden_sizes(model.name):
                    trained = _trained(study, variant, model, hidden)
                    closed = variant.closed if model.reference != "none" else ()
                    size = Footprint.of(study, model, data, P, hidden, len(closed))
                    known = before if before is not None and _has(before, model, n_features, hidden) else None
                    for part in _stacks(study, model, size, known):
                        batches.append(Batch(len(batches), *data, model.name, P, hidden, part, closed, trained))
    return batches


def _has(study: Study, model: Model, n_features: int, hidden: int | None) -> bool:
    """Whether a study has cells of these widths."""
    return (model.width == "data" or n_features in study.n_parameters) and hidden in study.hidden_sizes(model.name)


def _trained(study: Study, variant: Variant, model: Model, hidden: int | None) -> Trained:
    """The trainings of a variant that train this model and hidden width."""
    found: list[tuple[str, tuple[Level, ...]]] = []
    for name, levels in variant.trained:
        widths = study.trained[name].n_hidden
        if hidden is None or not widths or hidden in widths:
            found.append((name, levels))
    return tuple(found[:1] if model.stalls else found)  # at a saddle all stall at once: one shows it


def budget(study: Study, batch: Batch) -> tuple[int, int]:
    """(trained cells, steps that they may take) of a batch; a closed form counts as one cell and one step.

    Where only the test rows of an ablation differ, cells are not trained again; started at a saddle they stall at once.
    """
    model, cells, steps = MODELS[batch.model], 0, 0
    for name, levels in batch.trained:
        training = study.trained[name]
        runs = sum(level == UNABLATED or ABLATIONS[level[0]].retrains for level in levels)
        runs *= n_starts(model, training.restarts)
        cells += runs * len(batch.cells)
        steps += runs * len(batch.cells) * (1 if model.stalls else training.steps)
    return max(cells, len(batch.cells)), max(steps, len(batch.cells))


def n_starts(model: Model, restarts: int) -> int:
    """How many starts differ: what is not drawn is one."""
    return restarts if model.draws_start else 1


def _stacks(
    study: Study, model: Model, size: Footprint, known: Study | None = None
) -> Iterator[tuple[tuple[int, int], ...]]:
    """(n_train, seed) of every cell, in stacks of STACK_NUMBERS and `memory` at most, or of one cell that is larger.

    A cell's size is what its steps go through: N × P where it is trained on rows, P × P on second moments. The engine
    of readouts cuts its stacks to the cache by itself. known: a part of the study, whose cells are left out.
    """
    on_rows = model.on_rows or any(training.engine == "autograd" for training in study.trained.values())
    stack: list[tuple[int, int]] = []
    P, most_bytes = size.P, study.memory.value
    most = STACK_NUMBERS if study.device == "cpu" else GPU_STACK_NUMBERS
    old_sizes, old_seeds = (set(known.n_train), set(known.seeds)) if known else (set(), set())
    new_seeds = [seed for seed in study.seeds if seed not in old_seeds]
    n_seeds = len(new_seeds if old_sizes.issuperset(study.n_train) else study.seeds)
    for n in study.n_train:
        roomy = size.bytes(study.batch_cells, n, n_seeds) <= most_bytes  # then so are fewer cells
        for seed in new_seeds if n in old_sizes else study.seeds:
            numbers = (len(stack) + 1) * (n if on_rows else P) * P if model.layered else 0
            # Beside smaller ones large cells would be padded, at the price of their own SVD.
            apart = stack and not model.layered and n * P > LARGE_NUMBERS and n != stack[-1][0]
            too_large = apart or numbers > most
            too_large = too_large or not (roomy or size.bytes(len(stack) + 1, n, n_seeds) <= most_bytes)
            if stack and (len(stack) == study.batch_cells or too_large):
                yield tuple(stack)
                stack = []
            stack.append((n, seed))
    if stack:
        yield tuple(stack)


def bytes_of(study: Study, batch: Batch) -> int:
    """What a batch takes at its peak, in bytes (`memory`)."""
    data = (batch.dataset, batch.preprocess, batch.input_noise)
    size = Footprint.of(study, MODELS[batch.model], data, batch.n_parameters, batch.n_hidden, len(batch.closed))
    return size.bytes(len(batch.cells), max(n for n, _ in batch.cells), len({seed for _, seed in batch.cells}))


def check_memory(study: Study, available: int | None, earlier: Sequence[Study] = (), workers: int = 1) -> list[Batch]:
    """The study's batches (see `plan`).

    StudyError where one cell takes more than `memory`, or a batch more than is available. workers: share what is, so
    many of them as there are batches.
    """
    batches = plan(study, earlier)
    largest = max(batches, key=lambda batch: bytes_of(study, batch))
    needed = bytes_of(study, largest)
    n, P = max(n for n, _ in largest.cells), largest.n_parameters
    what = f"memory={study.memory}: a cell of {largest.dataset} with N={n}, P={P} takes about {in_bytes(needed)}"
    if needed > study.memory.value:
        raise StudyError(f"{what}; raise memory, or lower n_train or P")
    at_once = min(workers, len(batches))
    if available is not None and needed > available // at_once:
        free, remedy = f"{in_bytes(available // at_once)} are free here", "lower memory, or free some"
        if at_once > 1:
            free, remedy = f"{free} for each of {at_once:,} workers", f"lower executor.workers, or {remedy}"
        raise StudyError(
            f"memory={study.memory}: the largest batch takes about {in_bytes(needed)} and {free}; {remedy}"
        )
    return batches


def producible(study: Study) -> dict[str, set[Any]]:
    """What the tables of a study can hold in the columns that tell rows apart; of `level` see `producible_levels`."""
    found = variants(study)
    return {
        "n_train": set(study.n_train),
        "n_parameters": {
            n_features + n_constants(study, variant.preprocess)
            for variant in found
            for n_features in (*study.n_parameters, n_columns(study, variant.dataset))
        },
        "n_hidden": set(study.n_hidden),
        "seed": set(study.seeds),
        "dataset": set(study.names),
        "preprocess": {variant.preprocess for variant in found},
        "input_noise": set(study.input_noise),
        "model": set(study.models),
        "estimator": {
            *(*REFERENCES, *CLOSED_FORMS, "theory", *study.trained),
            *(f"{name}_closed_form" for name in study.trained),
        },
        "ablation": set(producible_levels(study)),
        "status": {*WORDS, "closed_form"},
    }


def producible_levels(study: Study) -> dict[str, set[float | None]]:
    """The levels of each ablation that the tables of a study can hold, and without one those of ridge and of the exact
    iterate; None where there is none."""
    pairs = {UNABLATED} | {(UNABLATED[0], level) for form in asked_for(study) for level in form.levels_in(study)}
    for name in study.names:
        pairs |= set(study.ablations.levels(name))
    return {ablation: {level for name, level in pairs if name == ablation} for ablation, _ in pairs}
