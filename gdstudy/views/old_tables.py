"""SHIM: tables of arrays with joined names of data sets, as the views still take them. Goes when they are rebuilt."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from gdstudy.data.dataset import dataset_name
from gdstudy.experiment.tables import Run, Table


class OldRun(NamedTuple):
    results: Table
    curves: Table
    arrays: Table


def old_run(run: Run) -> Any:
    return OldRun(old_table(run.results), old_table(run.curves), old_table(run.arrays))


def old_table(table: pd.DataFrame) -> Table:
    found: Table = {}
    for name, column in table.items():
        if column.dtype == "category":
            found[str(name)] = np.array(column.cat.categories.tolist(), dtype=str)[column.cat.codes.to_numpy()]
        else:
            found[str(name)] = column.to_numpy()
    keys = pd.MultiIndex.from_frame(table[["dataset", "preprocess", "input_noise"]].astype({"input_noise": float}))
    codes, known = keys.factorize()
    found["dataset"] = np.array([dataset_name(*key) for key in known], dtype=str)[codes]
    del found["preprocess"], found["input_noise"]
    return found
