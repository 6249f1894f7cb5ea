"""Exact expected test errors of a batch's sizes, where a law is known for its data and model."""

from __future__ import annotations

import numpy as np

from gdstudy.data.dataset import Dataset
from gdstudy.experiment.plan import Batch
from gdstudy.experiment.rows import Columns, of_data
from gdstudy.study.entries import code
from gdstudy.study.laws import LAWS
from gdstudy.study.models import MODELS


def expected_risk(batch: Batch, dataset: Dataset, first_seed: int = 0, intercept: bool = False) -> list[Columns]:
    """Rows `theory` of each N whose first seed is in the batch: they have no seed. None is known with an intercept."""
    sizes, model = np.array([n for n, seed in batch.cells if seed == first_seed]), MODELS[batch.model]
    if not len(sizes) or not model.plain or intercept:
        return []
    for law in LAWS.values():
        risk = code(law.risk)(dataset, sizes, batch.n_parameters) if law.target == model.target else None
        if risk is None or np.isnan(risk).all():
            continue
        known = ~np.isnan(risk)
        names = {**of_data(batch), "estimator": "theory", "ablation": "none", "status": "closed_form"}
        energy = {} if dataset.covariance is None else {"target_mean_square": float(dataset.covariance.mean())}
        return [{**names, "n_train": sizes[known], "test_mse": risk[known], **energy}]
    return []
