"""The tables of a study, computed in memory: what `experiment` makes, without store or views."""

import functools
from typing import NamedTuple

import numpy as np
import pandas as pd
from conftest import autoencoder_study

from gdstudy import load_dataset
from gdstudy.experiment.driver import run_batch
from gdstudy.experiment.plan import plan
from gdstudy.experiment.tables import Run, frame


class Tables(NamedTuple):
    results: pd.DataFrame
    curves: pd.DataFrame
    arrays: pd.DataFrame


def records_of(study, batches=None, monitor=None):
    """(batch, records) of each batch of a study, or of these."""
    for batch in plan(study) if batches is None else batches:
        data = load_dataset(batch.dataset, batch.preprocess, batch.input_noise, study.synthetic)
        yield batch, run_batch(study, data, batch, monitor)


def computed(study, batches=None):
    """The tables of a study, one row a row, in the order in which they are made."""
    every = [records for _, records in records_of(study, batches)]
    return Tables(*(table([g for r in every for g in getattr(r, name)]) for name in Tables._fields))


def as_run(study):
    """The same as views take it."""
    every = [records for _, records in records_of(study)]
    tables = {name: [g for r in every for g in getattr(r, name)] for name in Tables._fields}
    return Run(study, *(frame(name, groups) for name, groups in tables.items()))


def table(groups):
    """Groups of columns, one value for all rows or one a row, as one table; what a group lacks is NaN."""
    return pd.concat([_frame(group) for group in groups], ignore_index=True) if groups else pd.DataFrame()


def _frame(group):
    if "value" in group:  # arrays: one row a group
        return pd.DataFrame({name: [_single(value) if name != "value" else value] for name, value in group.items()})
    rows = max((len(value) for value in group.values() if isinstance(value, np.ndarray) and value.ndim), default=1)
    return pd.DataFrame({name: _column(value, rows) for name, value in group.items()})


def _single(value):
    return value[0] if isinstance(value, np.ndarray) and value.ndim else value


def _column(value, rows):
    return np.broadcast_to(np.nan if value is None else value, rows)


def at(frame, **equal):
    """The rows with these values in these columns."""
    for name, value in equal.items():
        frame = frame[frame[name] == value]
    return frame


def assert_same_rows(ours, theirs, rtol=0.0, ignore=()):
    """Two tables hold the same values, whatever the order of their rows and columns."""
    keys = ["dataset", "preprocess", "input_noise", "model", "estimator", "ablation", "level", "n_parameters"]
    keys += [name for name in ("n_hidden", "n_train", "seed", "step", "name") if name in theirs]
    ours, theirs = (f.drop(columns=[*ignore]).sort_values(keys, ignore_index=True) for f in (ours, theirs))
    if "value" in theirs:
        for a, b in zip(ours.pop("value"), theirs.pop("value"), strict=True):
            np.testing.assert_allclose(a, b, rtol=rtol)
    pd.testing.assert_frame_equal(ours[list(theirs)], theirs, rtol=rtol, atol=0, check_dtype=False)


@functools.cache
def autoencoders(name):
    """The tables of one of the shared studies of autoencoders, computed once; tests only read them."""
    return computed(autoencoder_study(name))
