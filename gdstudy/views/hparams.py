"""TensorBoard's HParams: a row for each training of a data set at N below, at and above the threshold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from gdstudy.views.scalars import Series
from gdstudy.views.summary import by_size, relative, select
from gdstudy.views.sweeps import heads_for_closed_form

_VALUES = ("relative_test_mse", "distance")


def row_of(one: Series) -> tuple[dict[str, Any], dict[str, float]]:
    """What a training was given, and what came of it, as medians over its seeds; without units, since the rows of
    several data sets stand in one column. one: a training followed at one N."""
    sweep, n = one.sweep, int(one.n or 0)
    training = sweep.study.trained[one.estimator]
    hparams = {  # TensorBoard sorts them by their letters, and shows the first five
        "N": n,
        "N against P": f"N {'<' if n < sweep.threshold else '=' if n == sweep.threshold else '>'} P",
        "P": int(sweep.first("n_parameters")),
        "dataset": sweep.dataset,
        "estimator": one.estimator,
        "model": sweep.model.name,
        "optimizer": training.optimizer,
        "step_size": float(one.rows["step_size"].median()),
        "steps": int(training.steps),
    }
    scale = None if sweep.model.autoencoder else sweep.variance
    numbers = {f"final/{value}": float(by_size(relative(one.rows, scale), value).median[0]) for value in _VALUES}
    numbers["final/fraction_converged"] = float((one.rows["status"] == "converged").mean())
    limit = select(sweep.rows, n_train=n)
    if len(limit) and sweep.reference != one.estimator and heads_for_closed_form(sweep.study, one.estimator):
        numbers["final/relative_test_mse_of_limit"] = float(by_size(relative(limit, scale), _VALUES[0]).median[0])
    return hparams, {name: number for name, number in numbers.items() if np.isfinite(number)}


def domains(rows: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    """The words that each hyperparameter has in some row, which TensorBoard asks for in every one."""
    found: dict[str, set[str]] = {}
    for row in rows:
        for key, value in row.items():
            if isinstance(value, str):
                found.setdefault(key, set()).add(value)
    return {key: sorted(words) for key, words in found.items()}
