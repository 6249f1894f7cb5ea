"""What the keys of a study must be, each by itself and together, before anything is loaded or computed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gdstudy.study.schema import (
    ABLATIONS,
    AS_WIDE_AS_DATA,
    AUTOENCODERS,
    BOTTLENECKS,
    DATASETS,
    ESTIMATORS,
    INPUTS_ONLY,
    MODELS,
    MOST_CELLS,
    MOST_INPUTS,
    MOST_NUMBERS,
    MOST_SPARSE_NUMBERS,
    NONLINEAR,
    OPTIMIZERS,
    SHAPES,
    SUPERPOSITIONS,
    StudyError,
    listed,
    suggestion,
)
from gdstudy.study.values import shown

if TYPE_CHECKING:
    from gdstudy.study.config import Study


def check(study: Study) -> None:
    """StudyError, one line that names the key, for the first thing that cannot be."""
    _check_names(study)
    _check_bounds(study)
    _check_combinations(study)
    _check_rows(study)
    _check_cells(study)


def _check_names(study: Study) -> None:
    for key, names, known in (
        ("datasets", study.datasets, DATASETS),
        ("models", study.models, MODELS),
        ("estimators", study.estimators, ESTIMATORS),
        ("gd.ablations", study.gd.ablations, ABLATIONS),
        ("gd.optimizer", [study.gd.optimizer], OPTIMIZERS),
        ("ablations.leading_modes_of", list(study.ablations.leading_modes_of), DATASETS),
    ):
        if not names and key in ("datasets", "models"):
            raise StudyError(f"{key}=[] is empty; name at least one of: {', '.join(known)}")
        for name in names:
            if name not in known:
                close = suggestion(name, known)
                raise StudyError(f"{key}: unknown {shown(name)}{close}; known: {', '.join(known)}")
        if len(set(names)) < len(names):
            raise StudyError(f"{key}={shown(names)} names one twice; keep one")
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", study.device):
        raise StudyError(f"device={shown(study.device)} must be cpu, cuda or cuda:<number>")


def _check_bounds(study: Study) -> None:
    if not study.n_train:
        raise StudyError("n_train=[] is empty; give sizes such as 1-60 or [5, 10, 20]")
    for key, value, low, high in (
        ("seeds", study.seeds, 1, 10**6),
        ("batch_cells", study.batch_cells, 1, 10**6),
        ("gd.steps", study.gd.steps, 1, 10**12),
        ("gd.checkpoints_per_decade", study.gd.checkpoints_per_decade, 1, 100),
        ("synthetic.n_inputs", study.synthetic.n_inputs, 1, 10**6),
        ("synthetic.n_rows", study.synthetic.n_rows, 2, 10**7),
    ):
        if not low <= value <= high:
            raise StudyError(f"{key}={value} must lie in {low} … {high}")
    if not 0 < study.gd.tolerance < 1:
        raise StudyError(f"gd.tolerance={study.gd.tolerance:g} must lie in (0, 1)")
    for key, share, good, bounds in (
        ("gd.warmup", study.gd.warmup, 0 <= study.gd.warmup < 1, "[0, 1)"),
        ("synthetic.p_nonzero", study.synthetic.p_nonzero, 0 < study.synthetic.p_nonzero <= 1, "(0, 1]"),
        ("gd.init_scale", study.gd.init_scale, 1e-12 <= study.gd.init_scale <= 1, "1e-12 … 1"),
    ):
        if not good:
            raise StudyError(f"{key}={share:g} must lie in {bounds}")
    if study.synthetic.p_nonzero * study.synthetic.n_inputs < 1e-3:
        raise StudyError(
            f"synthetic.p_nonzero={study.synthetic.p_nonzero:g} leaves nearly every row of "
            f"{study.synthetic.n_inputs} inputs empty; raise it to at least {1e-3 / study.synthetic.n_inputs:g}"
        )


def _check_cells(study: Study) -> None:
    """What no machine holds is refused before anything is computed."""
    widths = sum(
        len(study.hidden_sizes(model)) * (1 if model in AS_WIDE_AS_DATA else len(study.n_parameters))
        for model in study.models
    )
    cells = len(study.datasets) * len(study.input_noise) * widths * len(study.n_train) * study.seeds
    if cells > MOST_CELLS:
        raise StudyError(
            f"the study has {cells:,} cells, more than {MOST_CELLS:,}; lower seeds, or give n_train a stride"
        )


def _check_rows(study: Study) -> None:
    """The data sets have the rows and columns that the study asks for."""
    sizes = study.synthetic
    for name in set(study.datasets) & set(INPUTS_ONLY):
        most = MOST_SPARSE_NUMBERS if name == "sparse_features" else MOST_NUMBERS
        # Sparse rows are drawn a thousand at a time.
        if sizes.n_rows * sizes.n_inputs > most or (most == MOST_SPARSE_NUMBERS and sizes.n_inputs > MOST_INPUTS):
            raise StudyError(
                f"synthetic.n_rows={sizes.n_rows} × n_inputs={sizes.n_inputs} is too large for {name}: at most "
                f"{most:.0e} numbers and {MOST_INPUTS:.0e} inputs"
            )
    for name in study.datasets:
        rows, columns = SHAPES.get(name, (sizes.n_rows, sizes.n_inputs))
        if max(study.n_train) >= rows:
            more = ", or raise synthetic.n_rows" if name in INPUTS_ONLY else ""
            raise StudyError(
                f"n_train={max(study.n_train)} is too many for {name}: it has {rows} rows, and at least one is for "
                f"testing; use at most {rows - 1}{more}"
            )
        if study.n_hidden and max(study.n_hidden) > columns:
            raise StudyError(
                f"n_hidden={max(study.n_hidden)} is no bottleneck for {name}: it has {columns} columns; use at most "
                "as many"
            )


def _check_combinations(study: Study) -> None:
    if "min_norm" not in study.estimators:
        raise StudyError(f"estimators={study.estimators} must include min_norm, what the others are compared with")
    wide = [model for model in study.models if model not in AS_WIDE_AS_DATA]
    if wide and not study.n_parameters:
        raise StudyError(f"models: {wide[0]} needs n_parameters, its numbers of features P, such as 1-200")
    if study.n_parameters and not wide:
        raise StudyError(
            f"n_parameters={study.n_parameters} has no effect: {study.models[0]} has the columns of the data"
        )
    _check_targets(study)
    _check_nonlinear(study)
    for name in study.datasets:
        # Legendre polynomials are a basis on [−1, 1], which standardised inputs leave.
        scaled = "standardize" in (study.preprocess, study.gd.preprocess)
        if "legendre" in study.models and (name != "linear_plus_cosine" or scaled):
            raise StudyError(
                f"models: legendre needs one input in [−1, 1]; use datasets: [linear_plus_cosine] without "
                f"standardizing (here {name}, preprocess={study.preprocess}, gd.preprocess={study.gd.preprocess})"
            )
    for key in ("singular_value_cutoff", "adversarial_test", "adversarial_train", "learning_rate"):
        levels = getattr(study.ablations, key)
        if len({f"{level:.3g}" for level in levels}) < len(levels):
            raise StudyError(f"ablations.{key}={levels} must differ in their first three digits")
    studied = {ablation for name in study.datasets for ablation, _ in study.ablations.levels(name)}
    for ablation in study.gd.ablations:
        if ablation not in studied:
            raise StudyError(f"gd.ablations: {ablation} has no levels in `ablations`; give it some there")


def _check_targets(study: Study) -> None:
    """Data sets without y, and noise on inputs, are for autoencoders."""
    of_y = [model for model in study.models if model not in AUTOENCODERS]
    for name in study.datasets:
        if name in INPUTS_ONLY and of_y:
            raise StudyError(f"datasets: {name} has no y for {of_y[0]}; use an autoencoder, {listed(AUTOENCODERS)}")
    if not study.input_noise:
        raise StudyError("input_noise=[] is empty; write [0] for none")
    unseen = of_y or [model for model in study.models if model in SUPERPOSITIONS]
    if any(study.input_noise) and unseen:
        others = listed([model for model in AUTOENCODERS if model not in SUPERPOSITIONS])
        raise StudyError(f"input_noise={study.input_noise} has no effect on {unseen[0]}; it is for {others}")


def _check_nonlinear(study: Study) -> None:
    """What only models that are not linear in their parameters have, and what they lack."""
    nonlinear = [model for model in study.models if model in NONLINEAR]
    readouts = [model for model in study.models if model not in NONLINEAR]
    if nonlinear and not study.n_hidden:
        raise StudyError(f"models: {nonlinear[0]} needs n_hidden, the widths of its hidden layer, such as [2, 4]")
    plain = type(study.gd)()
    needs = [("n_hidden", str(study.n_hidden))] if study.n_hidden else []
    needs += [(f"ablations.{name}", f"{level:g}") for name, level in study.ablations.trainings() if level is not None]
    for key in ("optimizer", "optimizer_options", "warmup", "schedule"):
        if (value := getattr(study.gd, key)) != getattr(plain, key):
            needs.append((f"gd.{key}", str(value)))
    if needs and readouts:
        key, value = needs[0]
        raise StudyError(
            f"{key}={value} does not go with {readouts[0]}; it is for {listed(NONLINEAR)}, in a study of their own"
        )
    if not nonlinear:
        return
    if any(not 1e-30 <= rate <= 1e30 for rate in study.ablations.learning_rate):
        raise StudyError(f"ablations.learning_rate={study.ablations.learning_rate} must lie in 1e-30 … 1e30")
    least = max(study.gd.tolerance, 100 * (2.0**-52 if study.dtype == "float64" else 2.0**-23))
    if least > 0.1 * study.gd.init_scale and any(model in BOTTLENECKS for model in nonlinear):
        raise StudyError(
            f"gd.init_scale={study.gd.init_scale:g} must be at least ten times {least:.2g} (gd.tolerance, 100 eps "
            f"of {study.dtype}): else a saddle that is passed on the way counts as converged"
        )
    if "gd" not in study.estimators and any(model in SUPERPOSITIONS for model in nonlinear):
        raise StudyError(f"estimators={study.estimators} leaves superposition nothing to do: it is trained; add gd")
    if study.gd.optimizer == "gd" and study.gd.optimizer_options:
        raise StudyError(f"gd.optimizer_options={shown(study.gd.optimizer_options)} has no effect on optimizer gd")
    automatic = study.gd.optimizer == "gd" and all(model in BOTTLENECKS for model in nonlinear)
    if study.gd.step_size.value == "auto" and not automatic:
        what = nonlinear[-1] if study.gd.optimizer == "gd" else study.gd.optimizer
        raise StudyError(f"gd.step_size=auto is not known for {what}; give a number, such as 0.01")
    for name in study.datasets:
        if levels := study.ablations.levels(name):
            raise StudyError(f"ablations.{levels[0][0]} is defined for readouts, not for {nonlinear[0]}")
