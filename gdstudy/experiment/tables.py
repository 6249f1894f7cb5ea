"""What a run holds: its study and its tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from pandas import DataFrame

from gdstudy.study.config import Study

Table = dict[str, np.ndarray]  # SHIM: of the store that still returns dictionaries


class Tables(NamedTuple):  # SHIM
    results: Table
    curves: Table
    arrays: Table


# Compared by identity: what is computed from a run can be kept beside it.
@dataclass(frozen=True, eq=False)
class Run:
    """A study and its tables, sorted by data set, model, estimator, ablation and cell (see study/columns.py)."""

    study: Study
    results: DataFrame
    curves: DataFrame
    arrays: DataFrame
