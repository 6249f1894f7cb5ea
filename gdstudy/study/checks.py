"""What the keys of a study must be, each by itself and together, before anything is loaded or computed.

What goes together is read from the facts of models, data sets and optimizers: each says what it requires.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from gdstudy.study.ablations import ABLATIONS
from gdstudy.study.datasets import DATASETS, DatasetFacts
from gdstudy.study.errors import StudyError, listed, shown, suggestion
from gdstudy.study.models import MODELS, REFERENCES, Model
from gdstudy.study.optimizers import OPTIMIZERS
from gdstudy.study.values import Levels

if TYPE_CHECKING:
    from gdstudy.study.config import Study, Training

ESTIMATORS = ("min_norm", "gd", "theory")
# Names that estimators have which are not trainings.
_RESERVED = ("gd", *REFERENCES, "ridge", "theory")
# A study of more cells is planned as several. Numbers of a synthetic data set, dense or (mostly zeros) sparse, and the
# inputs of a sparse one.
MOST_CELLS, MOST_NUMBERS, MOST_SPARSE_NUMBERS, MOST_INPUTS = 10**7, 10**8, 4 * 10**9, 10**5


def check(study: Study) -> None:
    """StudyError, one line that names the key, for the first thing that cannot be."""
    for complaints in (_of_names, _of_bounds, _of_models, _of_useless_keys, _of_ablations, _of_trainings, _of_sizes):
        for complaint in complaints(study):
            raise StudyError(complaint)


def check_training_names(names: Iterable[str]) -> None:
    """StudyError for the first name that no training can have: it is an estimator's, and part of others."""
    for name in names:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) or name in _RESERVED or name.endswith("_closed_form"):
            raise StudyError(
                f"trainings: {shown(name)} names an estimator: small letters, digits and _, at most 40, and none of "
                f"{listed(_RESERVED)}, …_closed_form"
            )


def _trainings(study: Study) -> list[tuple[str, Training]]:
    """(how its keys are called, training), `gd.` first, which says what the others have in common."""
    others = study.trained
    return [("gd.", study.gd), *((f"trainings.{name}.", others[name]) for name in study.trainings)]


def _used(study: Study) -> list[tuple[str, Training]]:
    """Those of them that are trained."""
    return [pair for pair in _trainings(study) if pair[0] != "gd." or "gd" in study.trained]


def _of_names(study: Study) -> Iterator[str]:
    lists: list[tuple[str, list[str], tuple[str, ...]]] = [
        ("datasets", study.datasets, tuple(DATASETS)),
        ("models", study.models, tuple(MODELS)),
        ("estimators", study.estimators, ESTIMATORS),
        ("ablations.leading_modes_of", list(study.ablations.leading_modes_of), tuple(DATASETS)),
    ]
    for group, training in _trainings(study):
        lists += [(f"{group}ablations", training.ablations, tuple(ABLATIONS))]
        lists += [(f"{group}optimizer", [training.optimizer], tuple(OPTIMIZERS))]
    for key, names, known in lists:
        if not names and key in ("datasets", "models"):
            yield f"{key}=[] is empty; name at least one of: {listed(known)}"
        for name in names:
            if key == "estimators" and name in study.trainings:
                yield f"estimators: {name} is one of `trainings`, which are all trained; take it out here"
            if name not in known:
                yield f"{key}: unknown {shown(name)}{suggestion(name, known)}; known: {listed(known)}"
        if len(set(names)) < len(names):
            yield f"{key}={shown(names)} names one twice; keep one"
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", study.device):
        yield f"device={shown(study.device)} must be cpu, cuda or cuda:<number>"
    if "min_norm" not in study.estimators:
        yield f"estimators={study.estimators} must include min_norm, what the others are compared with"


def _of_bounds(study: Study) -> Iterator[str]:
    if not study.n_train:
        yield "n_train=[] is empty; give sizes such as 1-60 or [5, 10, 20]"
    if not study.input_noise:
        yield "input_noise=[] is empty; write [0] for none"
    whole = [
        ("seeds", study.seeds, 1, 10**6),
        ("batch_cells", study.batch_cells, 1, 10**6),
        ("synthetic.n_inputs", study.synthetic.n_inputs, 1, 10**6),
        ("synthetic.n_rows", study.synthetic.n_rows, 2, 10**7),
    ]
    p_nonzero, n_inputs = study.synthetic.p_nonzero, study.synthetic.n_inputs
    shares = [("synthetic.p_nonzero", p_nonzero, 0 < p_nonzero <= 1, "(0, 1]")]
    for group, training in _trainings(study):
        whole += [
            (f"{group}steps", training.steps, 1, 10**12),
            (f"{group}checkpoints_per_decade", training.checkpoints_per_decade, 1, 100),
            (f"{group}restarts", training.restarts, 1, 1000),
        ]
        shares += [
            (f"{group}tolerance", training.tolerance, 0 < training.tolerance < 1, "(0, 1)"),
            (f"{group}warmup", training.warmup, 0 <= training.warmup < 1, "[0, 1)"),
            (f"{group}init_scale", training.init_scale, 1e-12 <= training.init_scale <= 1, "1e-12 … 1"),
        ]
    for key, value, low, high in whole:
        if not low <= value <= high:
            yield f"{key}={value} must lie in {low} … {high}"
    for key, share, good, bounds in shares:
        if not good:
            yield f"{key}={share:g} must lie in {bounds}"
    if p_nonzero * n_inputs < 1e-3:
        yield (
            f"synthetic.p_nonzero={p_nonzero:g} leaves nearly every row of {n_inputs} inputs empty; raise it to at "
            f"least {1e-3 / n_inputs:g}"
        )


def _of_models(study: Study) -> Iterator[str]:
    """What each model requires of the study and of its data sets."""
    for model in _models(study):
        if model.width == "n_parameters" and not study.n_parameters:
            yield f"models: {model.name} needs n_parameters, its numbers of features P, such as 1-200"
        for name in study.datasets:
            yield from _of_pair(study, model, DATASETS[name])
        if model.layered and not study.n_hidden:
            yield f"models: {model.name} needs n_hidden, the widths of its hidden layer, such as [2, 4]"
        if model.reference == "none" and not study.trained:
            yield f"estimators={study.estimators} leaves {model.name} nothing to do: it is trained; add gd"


def _of_pair(study: Study, model: Model, data: DatasetFacts) -> Iterator[str]:
    if not data.has_targets and not model.autoencoder:
        autoencoders = listed(m.name for m in MODELS.values() if m.autoencoder)
        yield f"datasets: {data.name} has no y for {model.name}; use an autoencoder, {autoencoders}"
    # Polynomials are a basis on [−1, 1], which standardised inputs leave.
    scaled = [f"{group}preprocess" for group, training in _used(study) if training.preprocess == "standardize"]
    scaled = ["preprocess", *scaled] if study.preprocess == "standardize" else scaled
    if model.inputs == "interval" and (data.inputs != "interval" or scaled):
        those = listed(d.name for d in DATASETS.values() if d.inputs == "interval")
        here = f"{data.name}, {scaled[0]}=standardize" if scaled else data.name
        yield (
            f"models: {model.name} needs one input in [−1, 1]; use datasets: [{those}] without standardizing "
            f"(here {here})"
        )


def _models(study: Study) -> list[Model]:
    return [MODELS[name] for name in study.models]


def _of_useless_keys(study: Study) -> Iterator[str]:
    """Keys that no model of the study would notice."""
    models = _models(study)
    if study.n_parameters and all(model.width == "data" for model in models):
        yield f"n_parameters={study.n_parameters} has no effect: {models[0].name} has the columns of the data"
    readouts = [model for model in models if not model.layered]
    if study.n_hidden and readouts:
        layered = listed(model.name for model in MODELS.values() if model.layered)
        yield (
            f"n_hidden={study.n_hidden} does not go with {readouts[0].name}; it is for {layered}, in a study of their "
            "own"
        )
    blind = [model for model in models if not model.sees_noise]
    if any(study.input_noise) and blind:
        others = listed(model.name for model in MODELS.values() if model.sees_noise)
        yield f"input_noise={study.input_noise} has no effect on {blind[0].name}; it is for {others}"


def _of_ablations(study: Study) -> Iterator[str]:
    layered = [model for model in _models(study) if model.layered]
    for name in ABLATIONS:
        levels = getattr(study.ablations, name)
        if isinstance(levels, Levels) and len({f"{level:.3g}" for level in levels}) < len(levels):
            yield f"ablations.{name}={levels} must differ in their first three digits"
    studied = {ablation for name in study.datasets for ablation, _ in study.ablations.levels(name)}
    if studied and layered:
        first = next(name for name in ABLATIONS if name in studied)
        yield f"ablations.{first} is defined for readouts, not for {layered[0].name}"
    for group, training in _trainings(study):
        for ablation in training.ablations:
            if ablation not in studied:
                yield f"{group}ablations: {ablation} has no levels in `ablations`; give it some there"


def _of_trainings(study: Study) -> Iterator[str]:
    """What optimizers and models require of a training."""
    near_a_saddle = any(model.start in ("small", "aligned") for model in _models(study))
    several = any(model.draws_start for model in _models(study))
    used = _used(study)
    for group, training in _trainings(study):
        optimizer = OPTIMIZERS[training.optimizer]
        if optimizer.plain and training.optimizer_options:
            yield f"{group}optimizer_options={shown(training.optimizer_options)} has no effect on optimizer gd"
        if training.start == "gaussian" and (layered := [model.name for model in _models(study) if model.layered]):
            yield f"{group}start=gaussian is for readouts; {layered[0]} has a start of its own"
        if training.restarts > 1 and not several:
            yield f"{group}restarts={training.restarts} has no effect: {study.models[0]} has one start"
        for width in training.n_hidden:
            if width not in study.n_hidden:
                yield f"{group}n_hidden={width} is not studied; it must be one of n_hidden={study.n_hidden or '[]'}"
        if (group, training) not in used:
            continue
        manual = [model.name for model in _models(study) if not model.automatic]
        if training.step_size.value == "auto" and (manual or not optimizer.plain):
            what = manual[-1] if optimizer.plain else training.optimizer
            yield f"{group}step_size=auto is not known for {what}; give a number, such as 0.01"
        eps = 2.0**-52 if training.dtype == "float64" else 2.0**-23
        least = max(training.tolerance, 100 * eps)
        if near_a_saddle and least > 0.1 * training.init_scale:
            yield (
                f"{group}init_scale={training.init_scale:g} must be at least ten times {least:.2g} ({group}tolerance, "
                f"100 eps of {training.dtype}): else a saddle that is passed on the way counts as converged"
            )


def _of_sizes(study: Study) -> Iterator[str]:
    """The data sets have the rows and columns that are asked for, and a machine holds the cells."""
    sizes = study.synthetic
    for data in (DATASETS[name] for name in study.datasets):
        most = MOST_SPARSE_NUMBERS if data.sparse else MOST_NUMBERS
        # Sparse rows are drawn a thousand at a time.
        too_wide = data.sparse and sizes.n_inputs > MOST_INPUTS
        if data.synthetic and (sizes.n_rows * sizes.n_inputs > most or too_wide):
            yield (
                f"synthetic.n_rows={sizes.n_rows} × n_inputs={sizes.n_inputs} is too large for {data.name}: at most "
                f"{most:.0e} numbers and {MOST_INPUTS:.0e} inputs"
            )
        rows, columns = data.rows or sizes.n_rows, data.columns or sizes.n_inputs
        if max(study.n_train) >= rows:
            more = ", or raise synthetic.n_rows" if data.synthetic else ""
            yield (
                f"n_train={max(study.n_train)} is too many for {data.name}: it has {rows} rows, and at least one is "
                f"for testing; use at most {rows - 1}{more}"
            )
        if study.n_hidden and max(study.n_hidden) > columns:
            yield (
                f"n_hidden={max(study.n_hidden)} is no bottleneck for {data.name}: it has {columns} columns; use at "
                "most as many"
            )
    widths = sum(
        len(study.hidden_sizes(model.name)) * (1 if model.width == "data" else len(study.n_parameters))
        for model in _models(study)
    )
    cells = len(study.datasets) * len(study.input_noise) * widths * len(study.n_train) * study.seeds
    if cells > MOST_CELLS:
        yield f"the study has {cells:,} cells, more than {MOST_CELLS:,}; lower seeds, or give n_train a stride"
