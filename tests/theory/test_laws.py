"""The exact expected risk against its limits, and against the mean over fresh draws of training sets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdstudy import load_dataset, min_norm_solution, ridge_solution
from gdstudy.theory.denoising import denoising_law
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


# Linear denoising autoencoders

D, SIGMA = 32, 0.5
COVARIANCES = {"isotropic": np.ones(D), "power_law": 1 / np.arange(1, D + 1)}


def denoising_risk(n, covariance, sigma):
    law = denoising_law(covariance, sigma)
    return gaussian_test_mse(np.atleast_1d(n), len(covariance), law.signal, law.noise, law.isotropic)


def denoisers(n, covariance, draws=2000):
    """X̃⁺X of fresh training sets, target x ~ N(0, Σ), input x + ε: (draws, D, D)."""
    random = np.random.default_rng(n)
    X = random.standard_normal((draws, n, D)) * np.sqrt(covariance)
    return min_norm_solution(X + SIGMA * random.standard_normal(X.shape), X)


def risks(W, covariance, sigma=SIGMA):
    """E‖x − (x + ε)W‖²/D of maps W: tr((I − W)ᵀΣ(I − W)) + σ²‖W‖², over D."""
    left = (np.eye(len(covariance)) - W) * np.sqrt(covariance)[:, None]
    return ((left**2).sum((-2, -1)) + sigma**2 * (W**2).sum((-2, -1))) / len(covariance)


def standard_errors(theory, values):
    return abs(values.mean() - theory) / (values.std(ddof=1) / np.sqrt(len(values)))


@pytest.mark.parametrize(
    ("name", "n"),
    [(name, n) for name in COVARIANCES for n in (48, 64)] + [("isotropic", 8), ("isotropic", 16)],
)
def test_the_mean_risk_of_fresh_denoisers_is_the_theory(name, n):
    """2000 training sets, N ≤ D/2 and N ≥ 1.5 D: next to N = D the mean has no error bar."""
    covariance = COVARIANCES[name]
    values = risks(denoisers(n, covariance), covariance)
    assert standard_errors(denoising_risk(n, covariance, SIGMA)[0], values) < 4
    # Controls: another noise, another covariance of the same trace and the other regime's formula are told apart.
    assert standard_errors(denoising_risk(n, covariance, 1.1 * SIGMA)[0], values) > 4
    assert standard_errors(denoising_risk(n, covariance, SIGMA / 1.1)[0], values) > 4
    if name == "power_law":
        flat = np.full(D, covariance.mean())
        assert standard_errors(denoising_risk(n, flat, SIGMA)[0], values) > 4


@pytest.mark.parametrize("name", COVARIANCES)
def test_the_risk_of_a_denoiser_is_its_mean_error_on_fresh_rows(name):
    """The formula that the test above takes for granted, against 100,000 test rows."""
    covariance = COVARIANCES[name]
    (W,) = denoisers(40, covariance, draws=1)
    random = np.random.default_rng(99)
    x = random.standard_normal((100_000, D)) * np.sqrt(covariance)
    errors = ((x - (x + SIGMA * random.standard_normal(x.shape)) @ W) ** 2).mean(1)
    assert standard_errors(risks(W, covariance), errors) < 4
    assert standard_errors(risks(W, covariance, 0.9 * SIGMA), errors) > 4


@settings(max_examples=50, deadline=None)
@given(
    covariance=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=20),
    sigma=st.floats(1e-2, 10),
    beyond=st.integers(2, 50),
)
def test_above_the_threshold_it_is_the_irreducible_error_times_one_factor(covariance, sigma, beyond):
    """tr(Σσ²(Σ + σ²)⁻¹)/D · (N − 1)/(N − D − 1), whatever Σ."""
    spectrum = np.array(covariance)
    width = len(spectrum)
    N = width + beyond
    irreducible = (spectrum * sigma**2 / (spectrum + sigma**2)).sum() / width
    expected = irreducible * (N - 1) / (N - width - 1)
    np.testing.assert_allclose(denoising_risk(N, spectrum, sigma), expected, rtol=1e-12)


@settings(max_examples=50, deadline=None)
@given(width=st.integers(3, 60), sigma=st.floats(1e-2, 10), data=st.data())
def test_below_it_an_isotropic_one_also_misses_what_it_has_not_seen(width, sigma, data):
    """r(1 + N/(D − N − 1)) + (1 − N/D)/(1 + σ²) with r = σ²/(1 + σ²); other Σ have no such formula."""
    N = data.draw(st.integers(1, width - 2))
    r = sigma**2 / (1 + sigma**2)
    expected = r * (1 + N / (width - N - 1)) + (1 - N / width) / (1 + sigma**2)
    np.testing.assert_allclose(denoising_risk(N, np.ones(width), sigma), expected, rtol=1e-12)
    assert np.isnan(denoising_risk(N, 1 / np.arange(1, width + 1), sigma)).all()


def test_next_to_the_threshold_it_is_infinite_with_noise_and_nothing_without():
    near = np.array([D - 2, D - 1, D, D + 1, D + 2])
    assert np.isinf(denoising_risk(near, np.ones(D), SIGMA)).tolist() == [False, True, True, True, False]
    power_law = denoising_risk(near, COVARIANCES["power_law"], SIGMA)
    assert np.isnan(power_law).tolist() == [True, False, False, False, False]
    assert np.isinf(power_law).tolist() == [False, True, True, True, False]
    np.testing.assert_allclose(denoising_risk(near, np.ones(D), 0.0), [2 / D, 1 / D, 0, 0, 0], atol=1e-15)
    # With ever more rows it is that of the best map, Wiener's filter.
    wiener = np.mean(COVARIANCES["power_law"] * SIGMA**2 / (COVARIANCES["power_law"] + SIGMA**2))
    assert denoising_risk(10**9, COVARIANCES["power_law"], SIGMA)[0] == pytest.approx(wiener)
