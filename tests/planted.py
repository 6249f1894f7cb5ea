"""Regression problems with one known thing wrong with them, drawn by kind and seed: what `diagnose` is tested on."""

import numpy as np

from gdstudy.study.verdicts import Verdict


def _sizes(random, low=1.5, high=6.0):
    P = int(random.choice([10, 20, 40]))
    return round(P * random.uniform(low, high)), P


def _linear(random, X, noise):
    """Targets of unit variance about, so much of it noise."""
    beta = random.standard_normal(X.shape[1])
    signal = X @ beta
    return signal / signal.std() * np.sqrt(1 - noise) + random.standard_normal(len(X)) * np.sqrt(noise)


def clean(random):
    N, P = _sizes(random, 4, 8)
    X = random.standard_normal((N, P))
    return X, _linear(random, X, random.uniform(0.001, 0.05))


def noise(random):
    N, P = _sizes(random, 6, 12)
    X = random.standard_normal((N, P))
    return X, _linear(random, X, random.uniform(0.4, 0.6))


def no_signal(random):
    N, P = _sizes(random, 3, 8)
    return random.standard_normal((N, P)), random.standard_normal(N)


def near_threshold(random):
    N, P = _sizes(random, 0.9, 1.15)
    X = random.standard_normal((N, P))
    return X, _linear(random, X, random.uniform(0.1, 0.4))


def near_without_noise(random):
    """As of a polynomial that lacks some of its terms: a residual, but no randomness in it."""
    N, P = _sizes(random, 0.9, 1.1)
    Z = random.standard_normal((N, 2 * P))
    return np.maximum(Z[:, :P], 0) - 0.4, np.sin(Z @ random.standard_normal(2 * P) / np.sqrt(2 * P))


def overparameterised(random):
    N, P = _sizes(random, 0.3, 0.6)
    scales = np.arange(1, P + 1) ** -0.7
    X = random.standard_normal((N, P)) * scales
    return X, _linear(random, X, 0.05)


def duplicates(random):
    N, P = _sizes(random, 2.5, 6)
    X = random.standard_normal((N, P))
    for _ in range(int(random.integers(1, 4))):
        a, b = random.choice(P, 2, replace=False)
        X[:, b] = X[:, a] * random.choice([1, -2.54, 0.001])
    return X, _linear(random, X, 0.05)


def low_rank(random):
    N, P = _sizes(random, 2.5, 6)
    rank = int(P * random.uniform(0.5, 0.9))
    X = random.standard_normal((N, rank)) @ random.standard_normal((rank, P))
    return X, _linear(random, X, 0.05)


def unequal_scales(random):
    N, P = _sizes(random, 2.5, 6)
    Z = random.standard_normal((N, P))
    y = _linear(random, Z, 0.05)
    return Z * 10 ** random.uniform(-3, 3, P), y


def too_few_steps(random):
    """One scale, but directions that differ by 10⁴ to 10⁵, and the weak ones carry the signal."""
    N, P = _sizes(random, 4, 8)
    V, _ = np.linalg.qr(random.standard_normal((P, P)))
    s = np.geomspace(1, 10 ** -random.uniform(4, 5), P)
    Z = random.standard_normal((N, P))
    return (Z * s) @ V.T, _linear(random, Z, 0.01)


def no_intercept(random):
    N, P = _sizes(random, 2.5, 8)
    X = random.standard_normal((N, P))
    return X, _linear(random, X, random.uniform(0.05, 0.5)) + random.choice([-1, 1]) * random.uniform(2, 20)


def collinear(random):
    N, P = _sizes(random, 4, 8)
    X = random.standard_normal((N, P))
    a, b = random.choice(P, 2, replace=False)
    X[:, b] = X[:, a] + random.uniform(5e-4, 4e-3) * random.standard_normal(N)
    return X, _linear(random, X, 0.05)


def dead(random):
    N, P = _sizes(random, 4, 8)
    X = random.standard_normal((N, P))
    X[:, random.choice(P, int(random.integers(1, P // 3)), replace=False)] = 0
    return X, _linear(random, X, 0.05)


KINDS = {
    clean: Verdict.NOTHING_TO_DO,
    noise: Verdict.NOISE,
    no_signal: Verdict.NO_SIGNAL,
    near_threshold: Verdict.NEAR_THRESHOLD,
    near_without_noise: Verdict.NEAR_THRESHOLD,
    overparameterised: Verdict.OVERPARAMETERISED,
    duplicates: Verdict.REDUNDANT_FEATURES,
    low_rank: Verdict.REDUNDANT_FEATURES,
    unequal_scales: Verdict.UNEQUAL_SCALES,
    too_few_steps: Verdict.TOO_FEW_STEPS,
    no_intercept: Verdict.NO_INTERCEPT,
    collinear: Verdict.COLLINEAR,
    dead: Verdict.DEAD_FEATURES,
}


def planted(kind, seed):
    """X (N, P), y (N,) and the verdict they call for. kind: a function of KINDS."""
    X, y = kind(np.random.default_rng([seed, sorted(k.__name__ for k in KINDS).index(kind.__name__)]))
    return X, y, KINDS[kind]
