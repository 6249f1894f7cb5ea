"""The exact expected risk against its limits, and against the mean over fresh draws of training sets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdstudy import load_dataset, min_norm_solution, ridge_solution
from gdstudy.theory.hastie import gaussian_test_mse

P = 20


@pytest.mark.parametrize(
    ("n", "signal", "noise", "risk"),
    [
        (0, 3, 2, 5),  # nothing learnt: ‖β‖² + σ²
        (10, 1, 0, 1 / 2),  # half of the directions unseen
        (10, 0, 1, 1 + 10 / 9),
        (18, 1, 0, 1 / 10),
        (18, 0, 1, 19),
        (22, 7, 1, 21),  # no bias above the threshold, whatever β
        (30, 7, 1, 1 + 20 / 9),
        (40, 7, 0, 0),
    ],
)
def test_known_values(n, signal, noise, risk):
    assert gaussian_test_mse(np.array([n]), P, signal, noise)[0] == pytest.approx(risk)


def test_the_risk_is_infinite_next_to_the_threshold_and_only_there():
    risk = gaussian_test_mse(np.arange(0, 60), P, 1.0, 1.0)
    np.testing.assert_array_equal(np.flatnonzero(np.isinf(risk)), [19, 20, 21])
    # Without noise nothing is: a direction that was not seen costs what it holds, and no more.
    np.testing.assert_allclose(gaussian_test_mse(np.array([18, 19, 20, 21]), P, 1.0, 0.0), [0.1, 0.05, 0, 0])


@settings(max_examples=50, deadline=None)
@given(
    P=st.integers(1, 60),
    signal=st.floats(1e-6, 1e6),
    noise=st.floats(1e-6, 1e6),
    scale=st.floats(0.1, 10),
)
def test_limits_monotony_and_units(P, signal, noise, scale):
    N = np.arange(0, 5 * P + 10)
    risk = gaussian_test_mse(N, P, signal, noise)
    assert (risk >= noise).all()
    above = risk[P + 2 :]
    assert (np.diff(above) <= 0).all()
    assert gaussian_test_mse(np.array([10**9]), P, signal, noise)[0] == pytest.approx(noise, rel=1e-6)
    np.testing.assert_allclose(gaussian_test_mse(N, P, scale * signal, scale * noise), scale * risk, rtol=1e-12)
    if P >= 2:
        assert risk[0] == pytest.approx(signal + noise)


def test_negative_squares_are_refused():
    for signal, noise in ((-1, 1), (1, -1)):
        with pytest.raises(ValueError, match=f"signal={signal} and noise={noise} are squares"):
            gaussian_test_mse(np.array([5]), P, signal, noise)


def fresh_draws(n, law, draws=1000):
    """X (draws, N, P), y (draws, N) of student_teacher's law at a fixed β, and β."""
    random = np.random.default_rng(n)
    beta = random.standard_normal(P)
    beta *= np.sqrt(law.signal) / np.linalg.norm(beta)
    X = random.standard_normal((draws, n, P))
    return X, X @ beta + np.sqrt(law.noise) * random.standard_normal((draws, n)), beta


def standard_errors_from(theory, W, beta, noise):
    """How far the mean risk ‖W − β‖² + σ² of the readouts W (draws, P) lies from a theory, in standard errors."""
    risks = ((W - beta) ** 2).sum(1) + noise
    return abs(risks.mean() - theory) / (risks.std(ddof=1) / np.sqrt(len(risks)))


@pytest.mark.parametrize("n", [5, 10, 30, 60])
def test_the_mean_risk_of_fresh_draws_is_the_theory(n):
    """1000 training sets of student_teacher's law, N ≤ P/2 and N ≥ 1.5 P: next to N = P the mean has no error bar."""
    law = load_dataset("student_teacher").law
    theory = gaussian_test_mse(np.array([n]), P, law.signal, law.noise)[0]
    X, y, beta = fresh_draws(n, law)
    W = min_norm_solution(X, y)
    assert standard_errors_from(theory, W, beta, law.noise) < 4
    # Controls: another estimator, another σ² and the other regime's formula are told apart.
    assert standard_errors_from(theory, ridge_solution(X, y, 10.0), beta, law.noise) > 4
    other = gaussian_test_mse(np.array([n]), P, law.signal, 1.2 * law.noise)[0]
    assert standard_errors_from(other, W, beta, law.noise) > 4
    swapped = gaussian_test_mse(np.array([n]), P, law.noise, law.signal)[0]
    assert standard_errors_from(swapped, W, beta, law.noise) > 4


@pytest.mark.parametrize("n", [10, 40])
def test_the_risk_of_a_readout_is_its_mean_error_on_fresh_rows(n):
    """‖W − β‖² + σ², which the test above takes for granted, against 200,000 test rows."""
    law = load_dataset("student_teacher").law
    X, y, beta = fresh_draws(n, law, draws=1)
    W = min_norm_solution(X, y)[0]
    random = np.random.default_rng(99)
    x = random.standard_normal((200_000, P))
    errors = (x @ W - x @ beta - np.sqrt(law.noise) * random.standard_normal(len(x))) ** 2
    risk = ((W - beta) ** 2).sum() + law.noise
    assert abs(errors.mean() - risk) < 4 * errors.std() / np.sqrt(len(x))
    assert abs(errors.mean() - (risk - law.noise)) > 4 * errors.std() / np.sqrt(len(x))


def test_the_law_of_student_teacher_is_that_of_its_rows():
    """law.noise is the spread of what the visible features leave, law.signal that of the rest."""
    data = load_dataset("student_teacher")
    beta = min_norm_solution(data.X, data.Y)
    residual = data.Y - data.X @ beta
    assert residual.var() == pytest.approx(data.law.noise, rel=0.1)
    assert float((beta**2).sum()) == pytest.approx(data.law.signal, rel=0.1)
    assert data.Y.var() == pytest.approx(data.law.signal + data.law.noise, rel=0.1)
    assert load_dataset("student_teacher", "standardize").law is None
    assert load_dataset("diabetes").law is None
