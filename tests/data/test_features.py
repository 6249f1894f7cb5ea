"""Feature maps against their definitions, and random ones against the kernels they sample."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdstudy.data import features as maps
from gdstudy.data.features import feature_map, legendre
from gdstudy.data.splits import stream
from gdstudy.study.models import MODELS

RANDOM = [name for name, model in MODELS.items() if model.random and not model.autoencoder]

# Eight points in three dimensions, of several lengths and angles.
POINTS = np.random.default_rng(1).standard_normal((8, 3))


def test_legendre_obeys_bonnets_recursion():
    """(n + 1) P_{n+1} = (2n + 1) x P_n − n P_{n−1} from P₀ = 1, P₁ = x."""
    x = np.linspace(-1, 1, 101)
    degrees = [np.ones_like(x), x]
    for n in range(1, 30):
        degrees.append(((2 * n + 1) * x * degrees[n] - n * degrees[n - 1]) / (n + 1))
    features = legendre(x[:, None], 30)
    assert features.shape == (101, 30)
    np.testing.assert_allclose(features, np.stack(degrees[1:], 1), atol=1e-12)


@pytest.mark.parametrize("P", [1, 5, 200])
def test_legendre_polynomials_are_1_at_1_and_alternate_at_minus_1(P):
    ends = legendre(np.array([[1.0], [-1.0]]), P)
    np.testing.assert_allclose(ends[0], 1)
    np.testing.assert_allclose(ends[1], (-1.0) ** np.arange(1, P + 1))
    assert np.abs(legendre(np.linspace(-1, 1, 1001)[:, None], P)).max() <= 1 + 1e-12


def test_legendre_columns_are_orthogonal_and_none_is_constant():
    """∫ P_m P_n = 2/(2n + 1) δ_mn over [−1, 1]; orthogonal to P₀ = 1 too. Powers of x are not."""
    midpoints = np.linspace(-1, 1, 20001)[:-1, None] + 5e-5
    features, width = legendre(midpoints, 10), 1e-4
    np.testing.assert_allclose(features.T @ features * width, np.diag(2 / (2 * np.arange(1, 11) + 1)), atol=1e-6)
    np.testing.assert_allclose(features.sum(0) * width, 0, atol=1e-6)
    powers = midpoints ** np.arange(1, 11)
    assert abs(powers[:, 0] @ powers[:, 2] * width) > 0.1


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.array([[0.0], [1.0001]]), "up to 1"),
        (np.array([[-2.0]]), "up to 2"),
        (np.zeros((4, 2)), "there are 2"),
    ],
)
def test_legendre_refuses_what_it_is_no_basis_for(X, message):
    with pytest.raises(ValueError, match=rf"one input in \[−1, 1\].*{message}"):
        legendre(X, 3)


@settings(max_examples=20, deadline=None)
@given(model=st.sampled_from(sorted(RANDOM)), P=st.integers(1, 20), more=st.integers(0, 30), seed=st.integers(0, 99))
def test_a_wider_random_map_extends_a_narrower_one(model, P, more, seed):
    narrow, wide = feature_map(MODELS[model], POINTS, P, seed), feature_map(MODELS[model], POINTS, P + more, seed)
    assert narrow.shape == (8, P)
    np.testing.assert_allclose(narrow * np.sqrt(P / 2), wide[:, :P] * np.sqrt((P + more) / 2), rtol=1e-12)


@pytest.mark.parametrize("model", RANDOM)
def test_a_random_map_is_fixed_by_its_seed_and_changes_with_it(model):
    first = feature_map(MODELS[model], POINTS, 16, 3)
    np.testing.assert_array_equal(first, feature_map(MODELS[model], POINTS, 16, 3))
    assert np.abs(first - feature_map(MODELS[model], POINTS, 16, 4)).max() > 0.1
    # φ is a function of x alone: other rows do not change it.
    np.testing.assert_allclose(first[2:4], feature_map(MODELS[model], POINTS[2:4], 16, 3), rtol=1e-12)


def test_draws_for_different_purposes_are_independent():
    weights = [stream(7, purpose).standard_normal(4000) for purpose in ("random_relu", "random_fourier")]
    phases = stream(7, "random_fourier phases").uniform(0, 1, 4000)
    for a, b in (
        (weights[0], weights[1]),
        (weights[1], phases),
        (weights[0], stream(8, "random_relu").normal(size=4000)),
    ):
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(4000)
    again = stream(7, "random_relu").standard_normal(4000)
    np.testing.assert_array_equal(again, weights[0])
    # The same on every machine.
    np.testing.assert_allclose(weights[0][:2], [0.4125039304139157, -0.8892858552200299], rtol=1e-12)


def fourier_kernel(X):
    """k(x, y) = exp(−‖x − y‖²/(2D)), for frequencies ~ N(0, I_D/D) (Rahimi & Recht 2007)."""
    return np.exp(-((X[:, None] - X[None]) ** 2).sum(-1) / (2 * X.shape[1]))


def relu_kernel(X):
    """2 E relu(a·x) relu(a·y) = ‖x‖‖y‖ (sin θ + (π − θ) cos θ)/(πD), a ~ N(0, I_D/D) (Cho & Saul 2009)."""
    lengths = np.linalg.norm(X, axis=1)
    cosine = np.clip(X @ X.T / np.outer(lengths, lengths), -1, 1)
    theta = np.arccos(cosine)
    return np.outer(lengths, lengths) * (np.sin(theta) + (np.pi - theta) * cosine) / (np.pi * X.shape[1])


@pytest.mark.parametrize(("model", "kernel"), [("random_fourier", fourier_kernel), ("random_relu", relu_kernel)])
def test_inner_products_of_random_features_tend_to_their_kernel(model, kernel):
    """Each is a mean of P independent products, so its error is a few standard errors, s/√P."""
    exact = kernel(POINTS)
    for P in (100, 10_000, 200_000):
        features = feature_map(MODELS[model], POINTS, P, 0)
        products = features[:, None] * features[None] * P
        gap = np.abs(products.mean(-1) - exact) / (products.std(-1) / np.sqrt(P))
        assert gap.max() < 5
    # Control: the frequencies have variance 1/D, not 1.
    wrong = np.abs(products.mean(-1) - kernel(POINTS * np.sqrt(3))) / (products.std(-1) / np.sqrt(P))
    assert wrong.max() > 50


def test_the_relu_map_is_nonnegative_and_homogeneous_and_the_fourier_map_bounded():
    relu, fourier = (feature_map(MODELS[model], POINTS, 50, 0) for model in ("random_relu", "random_fourier"))
    assert relu.min() == 0 < relu.max()
    np.testing.assert_allclose(feature_map(MODELS["random_relu"], 3 * POINTS, 50, 0), 3 * relu)
    assert np.abs(fourier).max() <= np.sqrt(2 / 50)
    assert np.abs(feature_map(MODELS["random_fourier"], 3 * POINTS, 50, 0) - 3 * fourier).max() > 0.1


def test_linear_features_are_the_inputs_and_an_autoencoder_has_the_features_of_its_map():
    for name in ("linear", "linear_autoencoder", "bottleneck", "superposition"):
        assert feature_map(MODELS[name], POINTS, 99, 0) is POINTS
    for name in RANDOM:
        twin = feature_map(MODELS[f"{name}_autoencoder"], POINTS, 4, 1)
        np.testing.assert_array_equal(twin, feature_map(MODELS[name], POINTS, 4, 1))
        np.testing.assert_array_equal(twin, getattr(maps, name)(POINTS, 4, 1))


def test_the_tanh_map_is_odd_and_bounded_and_near_zero_linear():
    tanh = feature_map(MODELS["random_tanh"], POINTS, 50, 0)
    np.testing.assert_allclose(feature_map(MODELS["random_tanh"], -POINTS, 50, 0), -tanh)
    assert np.abs(feature_map(MODELS["random_tanh"], 1e3 * POINTS, 50, 0)).max() == pytest.approx(np.sqrt(1 / 50))
    small = feature_map(MODELS["random_tanh"], 1e-4 * POINTS, 50, 0)
    np.testing.assert_allclose(feature_map(MODELS["random_tanh"], 2e-4 * POINTS, 50, 0), 2 * small, rtol=1e-6)
    assert np.abs(feature_map(MODELS["random_tanh"], 2 * POINTS, 50, 0) - 2 * tanh).max() > 0.01
    # Of the weights a_p ~ N(0, I/D): near zero the mean of products is x·y/D.
    many = feature_map(MODELS["random_tanh"], 1e-3 * POINTS, 200_000, 0)
    np.testing.assert_allclose(many @ many.T * 1e6, POINTS @ POINTS.T / 3, atol=0.02)


@pytest.mark.parametrize("P", [2, 6, 7, 40])
def test_mirrored_pairs_give_their_input_back(P):
    """relu(z) − relu(−z) = z, so features 2i and 2i + 1 differ by a linear function of x."""
    features = feature_map(MODELS["mirrored_relu"], POINTS, P, 3)
    assert features.shape == (8, P)
    assert features.min() >= 0
    pairs = P // 2
    z = (features[:, 0 : 2 * pairs : 2] - features[:, 1 : 2 * pairs : 2]) / np.sqrt(2 / P)
    A = stream(3, "random_relu").standard_normal(((P + 1) // 2, 3)) / np.sqrt(3)
    np.testing.assert_allclose(z, POINTS @ A[:pairs].T, atol=1e-12)
    assert not (features[:, 0 : 2 * pairs : 2] * features[:, 1 : 2 * pairs : 2]).any()


@pytest.mark.parametrize(("P", "rank", "exact"), [(4, 4, False), (6, 6, True), (8, 7, True), (40, 23, True)])
def test_mirrored_pairs_express_every_linear_map_from_p_of_2d_on_and_have_rank_p_half_plus_d(P, rank, exact):
    X = np.random.default_rng(0).standard_normal((500, 3))
    features = feature_map(MODELS["mirrored_relu"], X, P, 0)
    assert np.linalg.matrix_rank(features) == rank
    left = X - features @ np.linalg.lstsq(features, X, rcond=None)[0]
    assert (np.abs(left).max() < 1e-12) == exact
    # Control: units that are not in pairs have full rank, and give nothing back exactly.
    single = feature_map(MODELS["random_relu"], X, P, 0)
    assert np.linalg.matrix_rank(single) == P
    assert np.abs(X - single @ np.linalg.lstsq(single, X, rcond=None)[0]).max() > 1e-3


@pytest.mark.parametrize("name", ["linear", "random_relu", "mirrored_relu", "legendre"])
def test_an_intercept_is_a_last_column_of_ones_beside_the_features_of_one_parameter_less(name):
    X = np.linspace(-1, 1, 30)[:, None]
    P = 1 if name == "linear" else 6
    wide = feature_map(MODELS[name], X, P + 1, 3, intercept=True)
    np.testing.assert_array_equal(wide, np.column_stack([feature_map(MODELS[name], X, P, 3), np.ones(30)]))
