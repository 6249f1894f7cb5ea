"""What models, data sets, optimizers and ablations require of a study, read from their facts. See `checks`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gdstudy.study.ablations import ABLATIONS
from gdstudy.study.datasets import DATASETS, PREPROCESSES, DatasetFacts
from gdstudy.study.errors import listed, shown
from gdstudy.study.estimators import asked_for
from gdstudy.study.groups import Training
from gdstudy.study.models import MODELS, Model
from gdstudy.study.optimizers import OPTIMIZERS
from gdstudy.study.values import Levels

if TYPE_CHECKING:
    from gdstudy.study.config import Study


def requirements(study: Study) -> Iterator[str]:
    """One line, naming the key, for each thing that does not go together."""
    for complaints in (_of_models, _of_constants, _of_useless_keys, _of_ablations, _of_closed_forms, _of_trainings):
        yield from complaints(study)


def every_training(study: Study) -> list[tuple[str, Training]]:
    """(how its keys are called, training), `gd.` first, which says what the others have in common."""
    others = study.trained
    return [("gd.", study.gd), *((f"trainings.{name}.", others[name]) for name in study.trainings)]


def used_trainings(study: Study) -> list[tuple[str, Training]]:
    """Those of them that are trained."""
    return [pair for pair in every_training(study) if pair[0] != "gd." or "gd" in study.trained]


def studied_models(study: Study) -> list[Model]:
    return [MODELS[name] for name in study.models]


def _of_models(study: Study) -> Iterator[str]:
    """What each model requires of the study and of its data sets."""
    for model in studied_models(study):
        if model.width == "n_parameters" and not study.n_parameters:
            yield f"models: {model.name} needs n_parameters, its numbers of features P, such as 1-200"
        for name in study.names:
            yield from _of_pair(study, model, study.facts(name))
        if model.layered and not study.n_hidden:
            yield f"models: {model.name} needs n_hidden, the widths of its hidden layer, such as [2, 4]"
        if model.reference == "none" and not study.trained:
            yield f"estimators={study.estimators} leaves {model.name} nothing to do: it is trained; add gd"


def _of_pair(study: Study, model: Model, data: DatasetFacts) -> Iterator[str]:
    if not data.has_targets and not model.autoencoder:
        autoencoders = listed(m.name for m in MODELS.values() if m.autoencoder)
        yield f"datasets: {data.name} has no y for {model.name}; use an autoencoder, {autoencoders}"
    # Polynomials are a basis on [−1, 1], which standardised inputs leave.
    scaled = [f"{group}preprocess" for group, training in used_trainings(study) if training.preprocess == "standardize"]
    scaled = ["preprocess", *scaled] if study.preprocess == "standardize" else scaled
    if model.inputs == "interval" and (data.inputs != "interval" or scaled):
        those = listed(d.name for d in DATASETS.values() if d.inputs == "interval")
        here = f"{data.name}, {scaled[0]}=standardize" if scaled else data.name
        yield (
            f"models: {model.name} needs one input in [−1, 1]; use datasets: [{those}] without standardizing "
            f"(here {here})"
        )


def _of_constants(study: Study) -> Iterator[str]:
    """A constant is fitted once, and to readouts."""
    for model in studied_models(study):
        if study.intercept and model.layered:
            yield f"intercept=true is for readouts, not for {model.name}; leave it out, or take preprocess: center"
    preprocesses = [("", study.preprocess), *((group, one.preprocess) for group, one in used_trainings(study))]
    for group, how in preprocesses:
        if how not in PREPROCESSES or not PREPROCESSES[how].by_training:
            continue
        if study.intercept:
            yield (
                f"intercept=true has no effect with {group}preprocess={how}: rows minus their training means leave the "
                "constant at 0; keep one of the two"
            )
        for model in studied_models(study):
            if not model.regression:
                those = listed(m.name for m in MODELS.values() if m.regression)
                yield (
                    f"{group}preprocess={how} is for {those}, not for {model.name}: each cell would have inputs and "
                    f"features of its own; take {how.removesuffix('_train')}"
                )


def _of_useless_keys(study: Study) -> Iterator[str]:
    """Keys that no model of the study would notice."""
    models = studied_models(study)
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
    layered = [model for model in studied_models(study) if model.layered]
    for name in ABLATIONS:
        levels = getattr(study.ablations, name)
        if isinstance(levels, Levels) and len({f"{level:.3g}" for level in levels}) < len(levels):
            yield f"ablations.{name}={levels} must differ in their first three digits"
    studied = {ablation for name in study.names for ablation, _ in study.ablations.levels(name)}
    if studied and layered:
        first = next(name for name in ABLATIONS if name in studied)
        yield f"ablations.{first} is defined for readouts, not for {layered[0].name}"
    for group, training in every_training(study):
        for ablation in training.ablations:
            if ablation not in studied:
                yield f"{group}ablations: {ablation} has no levels in `ablations`; give it some there"


def _of_closed_forms(study: Study) -> Iterator[str]:
    """What the closed forms beside X⁺y require."""
    layered = [model.name for model in studied_models(study) if model.layered]
    for form in asked_for(study):
        if layered:
            yield f"estimators: {form.name} is defined for readouts, not for {layered[0]}"
        if not form.levels_in(study):
            yield f"estimators: {form.name} needs {form.levels}, such as {form.example}"
        if form.descends and not (study.gd.plain and not study.gd.momentum and study.gd.start == "own"):
            yield (
                f"estimators: {form.name} is plain descent from zero, which gd is not here; write that training below "
                "trainings, and leave gd as it is"
            )
    levels = study.ridge.levels
    if len({f"{level:.3g}" for level in levels}) < len(levels):
        yield f"ridge.levels={levels} must differ in their first three digits"


def _of_trainings(study: Study) -> Iterator[str]:
    """What optimizers and models require of a training."""
    near_a_saddle = any(model.start in ("small", "aligned") for model in studied_models(study))
    several = any(model.draws_start for model in studied_models(study))
    layered = [model.name for model in studied_models(study) if model.layered]
    used = used_trainings(study)
    for group, training in every_training(study):
        optimizer = OPTIMIZERS[training.optimizer]
        if optimizer.plain and training.optimizer_options:
            options = shown(training.optimizer_options)
            yield f"{group}optimizer_options={options} has no effect on optimizer {training.optimizer}"
        if optimizer.momentum:
            yield from _of_heavy_ball(group, training, layered)
        elif training.momentum:
            yield f"{group}momentum={training.momentum:g} is for optimizer heavy_ball; here it is {training.optimizer}"
        if training.start == "gaussian" and layered:
            yield f"{group}start=gaussian is for readouts; {layered[0]} has a start of its own"
        if training.restarts > 1 and not several:
            yield f"{group}restarts={training.restarts} has no effect: {study.models[0]} has one start"
        for width in training.n_hidden:
            if width not in study.n_hidden:
                yield f"{group}n_hidden={width} is not studied; it must be one of n_hidden={study.n_hidden or '[]'}"
        if (group, training) not in used:
            continue
        manual = [model.name for model in studied_models(study) if not model.automatic]
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


def _of_heavy_ball(group: str, training: Training, layered: list[str]) -> Iterator[str]:
    if not training.momentum:
        yield f"{group}optimizer=heavy_ball needs {group}momentum, in (0, 1), such as 0.9"
    if layered:
        yield f"{group}optimizer=heavy_ball is for readouts; {layered[0]} can take sgd with optimizer_options"
    if not training.plain:
        yield f"{group}optimizer=heavy_ball has one constant step size; leave out warmup and schedule, or take sgd"
