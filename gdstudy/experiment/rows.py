"""Rows of the tables as they are made: groups of columns, and the keys that tell them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gdstudy.experiment.plan import Batch, Level

Columns = dict[str, Any]  # column name → one value for all rows, or an array with one value a row


@dataclass
class Records:
    """Rows of the tables `results`, `curves` and `arrays` of one batch, as groups of columns.

    arrays: what pictures are drawn from, of the study's first seed; a group has one row and its `value` is an array.
    """

    results: list[Columns]
    curves: list[Columns]
    arrays: list[Columns] = field(default_factory=list)


def of_data(batch: Batch) -> Columns:
    """The keys that all rows of a batch share."""
    names = ("dataset", "preprocess", "input_noise", "model", "n_parameters", "n_hidden")
    return {name: getattr(batch, name) for name in names}


def identity(batch: Batch, levels: Sequence[Level], cells: np.ndarray | None = None) -> Columns:
    """The keys of a row for each level and each of the given cells of the batch, default all."""
    sizes = np.array(batch.cells if cells is None else [batch.cells[cell] for cell in cells]).reshape(-1, 2)
    return {
        **of_data(batch),
        "ablation": np.repeat([name for name, _ in levels], len(sizes)),
        "level": np.repeat(np.array([level for _, level in levels], dtype=float), len(sizes)),
        "n_train": np.tile(sizes[:, 0], len(levels)),
        "seed": np.tile(sizes[:, 1], len(levels)),
    }
