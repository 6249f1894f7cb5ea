"""How much work a batch is expected to be, before it is run and without timing anything: in multiplications, about.

The absolute number means little, and the ratio of two batches is right within a factor of a few: enough to begin with
the largest, and to say how long a run takes once some batches have been timed (`remaining`).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

from gdstudy.experiment.memory import Footprint
from gdstudy.experiment.plan import Batch, n_starts
from gdstudy.study.ablations import ABLATIONS, UNABLATED
from gdstudy.study.config import Study
from gdstudy.study.estimators import asked_for
from gdstudy.study.groups import Training
from gdstudy.study.models import MODELS, Model
from gdstudy.study.optimizers import OPTIMIZERS
from gdstudy.study.values import Sizes
from gdstudy.training.bottleneck_kernel import compiles_bottleneck
from gdstudy.training.kernel import compiles
from gdstudy.training.relu_kernel import compiles_relu

# Multiplications that take as long as: what a cell costs beside its SVD and what the SVD of r modes costs r² times
# beside its products; a row of results. Measured on one core of 10⁹ multiplications a second; rough.
_OF_A_CELL, _OF_A_MODE, _OF_A_ROW = 5e4, 400, 4e3


@dataclass(frozen=True)
class Costs:
    """The same of training. faster: how much sooner a step is taken; look: at a cell, with its share of the
    checkpoints; cell, mode: what a cell costs beside, and r² times; call, looking, begin: what a step, a look and a
    training cost however few cells run."""

    faster: float
    look: float
    cell: float
    mode: float
    call: float
    looking: float
    begin: float


_BY_PYTORCH = Costs(faster=1, look=2.5e3, cell=0, mode=0, call=5e3, looking=1.5e5, begin=1e7)
_IN_MACHINE_CODE = Costs(faster=7, look=0, cell=1.5e5, mode=400, call=0, looking=5e4, begin=1e7)
_BOTTLENECKS_IN_MACHINE_CODE = replace(_BY_PYTORCH, call=0)
_ROWS_IN_MACHINE_CODE = replace(_BY_PYTORCH, look=2e4)
# What a step of an optimizer of torch.optim costs however few cells run.
_OF_AN_OPTIMIZER = 1.5e5
# Training looks at t and each time t has grown by this part of it.
LOOKS = 64
# How many times larger κ is where columns are correlated, as those of real data.
_CORRELATED = 3
# What the outputs of an autoencoder, which are many, cost beside the SVD.
_OUTPUTS = 4


@dataclass(frozen=True)
class Stage:
    """A part of a batch: its closed forms, or one training from one start. work: expected in all; of_step, of_look:
    what one step and one look cost a cell, and call, looking: however few; 0 for closed forms, which nobody watches.
    fixed: no cell stops early."""

    work: float
    of_step: float = 0.0
    of_look: float = 0.0
    call: float = 0.0
    looking: float = 0.0
    fixed: bool = False


def expected_work(study: Study, batch: Batch) -> float:
    """Multiplications that a batch is expected to take, about. Nothing is timed and no data are needed."""
    return sum(stage.work for stage in stages(study, batch))


def stages(study: Study, batch: Batch) -> list[Stage]:
    """The parts of a batch in the order in which they are computed, the closed forms first."""
    model, found = MODELS[batch.model], [Stage(_closed(study, batch))]
    starts: list[tuple[Training, int]] = []  # what two trainings have in common is trained once
    for name, levels in batch.trained:
        training = study.trained[name]
        same = replace(training, restarts=1, n_hidden=Sizes(), ablations=[])
        there = max((number for other, number in starts if other == same), default=0)
        starts.append((same, n_starts(model, training.restarts)))
        again = sum(level != UNABLATED and ABLATIONS[level[0]].retrains for level in levels)
        found += [_stage(study, batch, name)] * (max(0, starts[-1][1] - there) + again)
    return found


def _closed(study: Study, batch: Batch) -> float:
    """The SVDs of a batch, the tables that its cells are drawn from, and what cells and rows of results cost beside."""
    model, rows = MODELS[batch.model], len(batch.closed) + sum(len(form.levels_in(study)) for form in asked_for(study))
    if model.reference == "none":
        return len(batch.cells) * _OF_A_ROW
    size = _size(study, batch)
    draws = len({seed for _, seed in batch.cells}) if model.random or batch.input_noise else 1
    return svd_work(batch) + len(batch.cells) * rows * _OF_A_ROW + draws * 2 * size.n_rows * (size.P + size.k) ** 2


def svd_work(batch: Batch) -> float:
    """Multiplications of the SVDs of a batch, about, and what each cell costs beside."""
    work, P = 0.0, batch.n_parameters
    for n, cells in Counter(n for n, _ in batch.cells).items():
        work += cells * (n * P * min(n, P) + _OF_A_MODE * min(n, P) ** 2 + _OF_A_CELL)
    return work * (_OUTPUTS if MODELS[batch.model].autoencoder else 1)


def _size(study: Study, batch: Batch) -> Footprint:
    data = (batch.dataset, batch.preprocess, batch.input_noise)
    return Footprint.of(study, MODELS[batch.model], data, batch.n_parameters, batch.n_hidden, 1)


def _stage(study: Study, batch: Batch, name: str) -> Stage:
    """One training from one start."""
    training, model, size = study.trained[name], MODELS[batch.model], _size(study, batch)
    counts = Counter(n for n, _ in batch.cells)
    costs = _costs(study.device, training, model, size, max(counts))
    steps = of_steps = looks = longest = beside = 0.0
    for n, cells in counts.items():
        t = expected_steps(training, model, n, size.P, study.facts(batch.dataset).isotropic)
        steps, longest = steps + cells * t, max(longest, t)
        of_steps += cells * t * _of_step(training, model, size, n, max(counts), costs)
        looks += cells * looks_until(t)
        beside += cells * (costs.cell + costs.mode * min(n, size.P) ** 2)
    fixed = not OPTIMIZERS[training.optimizer].plain
    call = _OF_AN_OPTIMIZER if fixed else costs.call
    of_look = costs.look + 10 * size.P * size.k + beside / looks
    calls = longest * call + looks_until(longest) * costs.looking + costs.begin
    if model.on_rows:  # it is measured on all rows of its data, at its start and at its end
        calls += len(batch.cells) * 2 * size.n_rows * size.P * (3 + size.m)
    work = of_steps + looks * of_look + calls
    return Stage(work, of_steps / steps, of_look, call, costs.looking, fixed)


def _on_gram(training: Training, model: Model) -> bool:
    """Whether its steps are those of `training.gram`."""
    return not (model.layered or model.on_rows or training.engine == "autograd") and training.plain


def _costs(device: str, training: Training, model: Model, size: Footprint, most: int) -> Costs:
    """Of what takes the steps of cells that have at most so many rows."""
    if training.engine == "autograd":
        return _BY_PYTORCH
    if model.on_rows:
        return _ROWS_IN_MACHINE_CODE if compiles_relu(device, size.m) else _BY_PYTORCH
    if model.layered:
        return _BOTTLENECKS_IN_MACHINE_CODE if training.plain and compiles_bottleneck(device, size.m) else _BY_PYTORCH
    on_gram = _on_gram(training, model) and compiles(device, most, size.P, size.k)
    return _IN_MACHINE_CODE if on_gram else _BY_PYTORCH


def looks_until(t: float) -> float:
    return min(t, LOOKS * (1 + math.log(max(1.0, t / LOOKS))))


def expected_steps(training: Training, model: Model, n: int, P: int, isotropic: bool = True) -> float:
    """Steps until a cell stops. Plain descent on readouts of isotropic rows: ln(1/tolerance)·κ², for which
    κ = (1 + √r)/(1 − √r) with r = min(N, P)/max(N, P) (Marchenko & Pastur 1967) and 2P at N = P; κ is larger for
    columns of real data, which are correlated. Else all it may take.
    """
    if model.stalls:
        return 1.0
    if model.layered or not training.plain:
        return float(training.steps)
    root = math.sqrt(min(n, P) / max(n, P))
    condition = (1 + root) / max(1 - root, 1 / max(n, P)) * (1 if isotropic else _CORRELATED)
    # The heavy ball needs about as many steps as the root of what plain descent needs.
    return min(training.steps, -math.log(training.tolerance) * condition ** (1 if training.momentum else 2))


def _of_step(training: Training, model: Model, size: Footprint, n: int, most: int, costs: Costs) -> float:
    """Multiplications of one step of one cell, in a stack whose cells have at most so many rows."""
    P, k, m = size.P, size.k, size.m
    if costs is _ROWS_IN_MACHINE_CODE:
        return n * (10 + 0.3 * P * m)
    if costs is _BOTTLENECKS_IN_MACHINE_CODE:
        return P * P * m / 8
    if model.on_rows:
        return most * P * (5 + m / 2)  # of all rows of the stack, those of smaller cells are zero
    if model.layered:
        return 3000 + 4 * P * P + 5 * P * m
    if not _on_gram(training, model):
        return 3 * n * P * k
    return (50 + min(n, P) ** 2 * k / 2) / costs.faster
