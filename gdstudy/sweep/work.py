"""How much work a batch is expected to be, without timing anything."""

from __future__ import annotations

from gdstudy.experiment.plan import Batch, budget
from gdstudy.study.config import Study


def expected_work(study: Study, batch: Batch) -> float:
    """Work of a batch, comparable with that of others."""
    return float(budget(study, batch)[1]) * batch.n_parameters
