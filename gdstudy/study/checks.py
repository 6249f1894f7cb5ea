"""What the keys of a study must be, each by itself and together, before anything is loaded or computed.

Bounds and names here; what goes together in `requirements`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from gdstudy.study import sources
from gdstudy.study.ablations import ABLATIONS
from gdstudy.study.datasets import DATASETS
from gdstudy.study.errors import StudyError, listed, shown, suggestion
from gdstudy.study.estimators import CLOSED_FORMS
from gdstudy.study.models import MODELS, REFERENCES
from gdstudy.study.optimizers import OPTIMIZERS
from gdstudy.study.requirements import every_training, requirements, studied_models

if TYPE_CHECKING:
    from gdstudy.study.config import Study

ESTIMATORS = ("min_norm", "gd", "theory", *CLOSED_FORMS)
# Names that estimators have which are not trainings.
_RESERVED = ("gd", *REFERENCES, *CLOSED_FORMS, "theory")
# A study of more cells is planned as several. Numbers of a synthetic data set, dense or (mostly zeros) sparse, and the
# inputs of a sparse one.
MOST_CELLS, MOST_NUMBERS, MOST_SPARSE_NUMBERS, MOST_INPUTS = 10**7, 10**8, 4 * 10**9, 10**5


def check(study: Study) -> None:
    """StudyError, one line that names the key, for the first thing that cannot be."""
    for complaints in (_of_names, sources.complaints, _of_bounds, requirements, _of_sizes):
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


def _of_names(study: Study) -> Iterator[str]:
    lists: list[tuple[str, list[str], tuple[str, ...]]] = [
        ("datasets", study.datasets, (*DATASETS, *study.datasets)),  # see sources
        ("models", study.models, tuple(MODELS)),
        ("estimators", study.estimators, ESTIMATORS),
        ("ablations.leading_modes_of", list(study.ablations.leading_modes_of), (*DATASETS, *study.names)),
    ]
    for group, training in every_training(study):
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
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", study.device):
        yield f"device={shown(study.device)} must be cpu, cuda, cuda:<number> or auto"
    if study.executor.scheduler and study.executor.kind != "dask":
        yield "executor.scheduler is of Dask; write executor.kind=dask as well, or leave it out"
    if not re.fullmatch(r"((tcp|tls|ucx|ws|wss)://[^\s/]+)?", study.executor.scheduler):
        yield f"executor.scheduler={shown(study.executor.scheduler)} must be an address such as tcp://10.0.0.1:8786"
    if "min_norm" not in study.estimators:
        yield f"estimators={study.estimators} must include min_norm, what the others are compared with"


def _of_bounds(study: Study) -> Iterator[str]:
    if not study.n_train:
        yield "n_train=[] is empty; give sizes such as 1-60 or [5, 10, 20]"
    if not study.input_noise:
        yield "input_noise=[] is empty; write [0] for none"
    whole = [
        ("batch_cells", study.batch_cells, 1, 10**6),
        ("csv_rows", study.csv_rows, 0, 10**12),
        ("synthetic.n_inputs", study.synthetic.n_inputs, 1, 10**6),
        ("synthetic.n_rows", study.synthetic.n_rows, 2, 10**7),
    ]
    p_nonzero, n_inputs = study.synthetic.p_nonzero, study.synthetic.n_inputs
    shares = [("synthetic.p_nonzero", p_nonzero, 0 < p_nonzero <= 1, "(0, 1]")]
    for group, training in every_training(study):
        whole += [
            (f"{group}steps", training.steps, 1, 10**12),
            (f"{group}checkpoints_per_decade", training.checkpoints_per_decade, 1, 100),
            (f"{group}restarts", training.restarts, 1, 1000),
        ]
        shares += [
            (f"{group}tolerance", training.tolerance, 0 < training.tolerance < 1, "(0, 1)"),
            (f"{group}momentum", training.momentum, 0 <= training.momentum < 1, "[0, 1)"),
            (f"{group}warmup", training.warmup, 0 <= training.warmup < 1, "[0, 1)"),
            (f"{group}init_scale", training.init_scale, 1e-12 <= training.init_scale <= 1, "1e-12 … 1"),
        ]
    shares += [("save_every", study.save_every, 0 <= study.save_every <= 1e6, "0 … 1e6 minutes")]
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


def _of_sizes(study: Study) -> Iterator[str]:
    """The data sets have the rows and columns that are asked for, and a machine holds the cells."""
    sizes = study.synthetic
    for data in (study.facts(name) for name in study.names):
        most = MOST_SPARSE_NUMBERS if data.sparse else MOST_NUMBERS
        # Sparse rows are drawn a thousand at a time.
        too_wide = data.sparse and sizes.n_inputs > MOST_INPUTS
        if data.synthetic and (sizes.n_rows * sizes.n_inputs > most or too_wide):
            yield (
                f"synthetic.n_rows={sizes.n_rows} × n_inputs={sizes.n_inputs} is too large for {data.name}: at most "
                f"{most:.0e} numbers and {MOST_INPUTS:.0e} inputs"
            )
        if data.external and data.rows is None:  # known once it was read
            continue
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
        for model in studied_models(study)
    )
    cells = len(study.datasets) * len(study.input_noise) * widths * len(study.n_train) * len(study.seeds)
    if cells > MOST_CELLS:
        yield f"the study has {cells:,} cells, more than {MOST_CELLS:,}; lower seeds, or give n_train a stride"
