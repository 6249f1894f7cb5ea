"""A data set by name, under a preprocessing and with noisy inputs."""

import numpy as np
import pytest

from gdstudy import load_dataset
from gdstudy.data.dataset import Dataset
from gdstudy.study.groups import Synthetic


def test_unknown_names_are_refused_and_the_known_ones_listed():
    with pytest.raises(ValueError, match="known: student_teacher, california_housing, diabetes"):
        load_dataset("iris")
    with pytest.raises(ValueError, match="standardize"):
        load_dataset("diabetes", "whiten")


def test_preprocessing_is_a_field_of_the_data_set_and_leaves_the_raw_one_alone():
    raw, centred, scaled = (load_dataset("diabetes", p) for p in ("none", "center", "standardize"))
    assert {d.name for d in (raw, centred, scaled)} == {"diabetes"}
    assert [d.preprocess for d in (raw, centred, scaled)] == ["none", "center", "standardize"]
    assert raw.Y.mean() > 100
    assert abs(centred.Y.mean()) < 1e-10
    np.testing.assert_allclose(scaled.X.std(0), 1)


def test_input_noise_is_drawn_for_the_seed_and_leaves_the_target_clean():
    clean, noisy = load_dataset("digits"), load_dataset("digits", input_noise=0.5)
    assert (noisy.name, noisy.preprocess, noisy.input_noise) == ("digits", "none", 0.5)
    both = load_dataset("digits", "standardize", 0.25)
    assert (both.name, both.preprocess, both.input_noise) == ("digits", "standardize", 0.25)
    np.testing.assert_array_equal(noisy.inputs(3), noisy.inputs(3))
    np.testing.assert_array_equal(noisy.clean(), clean.X)
    np.testing.assert_array_equal(clean.inputs(3), clean.X)
    noise = [noisy.inputs(seed) - clean.X for seed in (3, 4)]
    for draw in noise:
        assert draw.std() == pytest.approx(0.5, rel=0.01)
        assert abs(draw.mean()) < 5 * 0.5 / np.sqrt(draw.size)
        # Of each pixel by itself: also of the pixels that are always 0.
        assert draw[:, clean.X.max(0) == 0].std() == pytest.approx(0.5, rel=0.05)
        assert abs(np.corrcoef(draw.ravel(), clean.X.ravel())[0, 1]) < 5 / np.sqrt(draw.size)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 5 / np.sqrt(noise[0].size)
    # The same draw at another strength: seeds are compared like with like.
    weaker = load_dataset("digits", input_noise=0.1).inputs(3) - clean.X
    np.testing.assert_allclose(5 * weaker, noise[0], atol=1e-12)


@pytest.mark.parametrize("noise", [-0.1, np.inf, np.nan])
def test_a_noise_that_is_no_standard_deviation_is_refused(noise):
    with pytest.raises(ValueError, match=r"input_noise=.* is a standard deviation"):
        load_dataset("digits", input_noise=noise)


def test_two_noises_are_two_data_sets_however_near():
    found = [load_dataset("isotropic", input_noise=noise) for noise in (0.1234561, 0.1234562)]
    assert [data.input_noise for data in found] == [0.1234561, 0.1234562]
    assert (found[0].inputs(0) != found[1].inputs(0)).any()


def test_preprocessing_takes_the_law_away_and_noise_does_not():
    """Statistics of all rows are no longer those of the distribution; what noise adds is known."""
    for name in ("student_teacher", "power_law"):
        raw, noisy, scaled = (load_dataset(name, *how) for how in (("none",), ("none", 0.5), ("standardize",)))
        known = [(data.law is not None, data.covariance is not None) for data in (raw, noisy, scaled)]
        assert known == [(name == "student_teacher", name == "power_law")] * 2 + [(False, False)]


@pytest.mark.parametrize("how", ["center", "standardize"])
def test_statistics_of_training_rows_are_a_cells_own_and_the_data_are_as_by_those_of_all_rows(how):
    everything, by_training = load_dataset("diabetes", how), load_dataset("diabetes", f"{how}_train")
    assert by_training.preprocess == f"{how}_train"
    np.testing.assert_array_equal(by_training.X, everything.X)
    np.testing.assert_array_equal(by_training.Y, everything.Y)


def test_constant_and_sparse_columns_can_be_preprocessed():
    data = load_dataset("digits", "standardize")
    constant = np.ptp(load_dataset("digits").X, axis=0) == 0
    assert constant.any()
    assert not data.X[:, constant].any()
    dense = load_dataset("sparse_features", "center", synthetic=Synthetic(n_inputs=5, n_rows=30))
    assert isinstance(dense.X, np.ndarray)
    np.testing.assert_allclose(dense.X.mean(0), 0, atol=1e-15)


@pytest.mark.parametrize("size", [1e200, 1e-200, 3e-310])
def test_columns_of_any_size_are_standardised(size):
    random = np.random.default_rng(0)
    X, y = random.standard_normal((40, 3)) + 1, random.standard_normal(40)
    data = Dataset(X * size, y)
    as_it_is, found = (load_dataset("own", "standardize", data=of) for of in (Dataset(X, y), data))
    np.testing.assert_allclose(found.X, as_it_is.X, rtol=1e-9 if size > 1e-300 else 1e-2, atol=1e-9)


@pytest.mark.parametrize("how", ["center", "standardize", "center_train"])
@pytest.mark.parametrize("value", [37.3, -0.3, 1e9 / 3])
def test_what_is_the_same_in_every_row_is_zero_and_no_mode(value, how):
    """Its mean by its sum is off by rounding, which over its own size would be a column of ones."""
    random = np.random.default_rng(0)
    raw = Dataset(np.c_[random.standard_normal((442, 2)), np.full(442, value)], np.full(442, value), name="own")
    assert raw.X[:, 2].mean() != value  # or there would be nothing to see
    found = load_dataset("own", how, data=raw)
    assert not found.X[:, 2].any()
    assert not found.Y.any()
    assert found.Y_mean == value
    assert np.linalg.matrix_rank(found.X) == 2
