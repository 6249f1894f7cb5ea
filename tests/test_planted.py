"""`diagnose` on problems with one known thing wrong, before and after it is put right, and on features of digits."""

import numpy as np
import pytest

from gdstudy import diagnose, load_dataset
from gdstudy.data.features import random_relu
from gdstudy.data.splits import split
from gdstudy.study.verdicts import Verdict
from tests import planted as kinds
from tests.planted import KINDS, planted

SEEDS = range(8)  # of 60 in tests/benchmarks/bench_diagnosis.py; others chose the thresholds
LEAST = 7  # 50 of 60


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_it_finds_what_is_wrong(kind):
    found = [diagnose(X, y).verdict is verdict for X, y, verdict in (planted(kind, seed) for seed in SEEDS)]
    assert sum(found) >= LEAST


# What is wrong, and the same problem once it was put right.
REMEDIES = {
    kinds.near_threshold: lambda X, y: (X[: len(X) // 3], y[: len(X) // 3], {}),
    kinds.duplicates: lambda X, y: (X[:, first_of_each(X)], y, {}),
    kinds.low_rank: lambda X, y: (X[:, : np.linalg.matrix_rank(X)], y, {}),
    kinds.unequal_scales: lambda X, y: (X / X.std(0), y, {}),
    kinds.too_few_steps: lambda X, y: (X, y, {"steps": 10**14}),
    kinds.no_intercept: lambda X, y: (X, y, {"intercept": True}),
    kinds.dead: lambda X, y: (X[:, X.any(0)], y, {}),
    kinds.no_signal: lambda X, y: (X, y + X.sum(1), {}),
}


def first_of_each(X):
    unit = np.abs(X / np.linalg.norm(X, axis=0))
    return [k for k in range(X.shape[1]) if not any(np.allclose(unit[:, k], unit[:, j]) for j in range(k))]


@pytest.mark.parametrize("kind", REMEDIES, ids=lambda kind: kind.__name__)
def test_it_no_longer_finds_what_was_put_right(kind):
    """The negative control of each kind: else its verdict would be said of anything."""
    for seed in range(3):
        X, y, verdict = planted(kind, seed)
        X, y, options = REMEDIES[kind](X, y)
        assert verdict not in diagnose(X, y, **options).verdicts


@pytest.mark.parametrize("N", [400, 512, 700])
def test_random_features_of_digits_are_near_the_threshold(N):
    data = load_dataset("digits")
    features = random_relu(data.X, 512, seed=0)
    train, test = split(len(features), N, seed=0)
    found = diagnose(features[train], data.Y[train], features[test], data.Y[test])
    assert found.verdict is Verdict.NEAR_THRESHOLD
    ridge = found.to_frame().set_index(["preprocessing", "estimator"]).loc[("as given", "ridge_loo")]
    assert ridge.left_out_mse == pytest.approx(ridge.test_mse, rel=0.1)
    assert ridge.left_out_accuracy > 0.94
    assert found.error("min_norm") > 4 * found.error("ridge_loo")
