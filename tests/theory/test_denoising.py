"""The law of a linear denoising autoencoder against the mean over fresh draws of training sets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdstudy import min_norm_solution
from gdstudy.theory.denoising import denoising_law
from gdstudy.theory.hastie import gaussian_test_mse

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
