"""What a run holds: its tables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Table = dict[str, np.ndarray]


class Run(NamedTuple):
    """The tables of a run, as the store returns them."""

    results: Table
    curves: Table
    arrays: Table
