import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from gdstudy import load_dataset
from gdstudy.config import DATASETS
from gdstudy.data import LOADERS, split, training_rows


def test_student_teacher_is_the_published_one():
    data = load_dataset("student_teacher")
    assert data.X.shape == (1000, 20)
    random = np.random.RandomState(0)
    Z, b = random.randn(1000, 30), random.randn(30, 1)
    np.testing.assert_array_equal(data.Y, Z @ b)
    assert (b[:20] ** 2).sum() == pytest.approx(13.1282, abs=1e-4)
    assert (b[20:] ** 2).sum() == pytest.approx(11.8122, abs=1e-4)


@pytest.mark.parametrize("seed", [0, 7, 49])
@pytest.mark.parametrize("n_train", [1, 10, 441])
def test_the_split_is_scikit_learns_and_nested(seed, n_train):
    train, test = split(442, n_train, seed)
    theirs = train_test_split(np.arange(442), random_state=seed, test_size=442 - n_train)
    np.testing.assert_array_equal(train, theirs[0])
    np.testing.assert_array_equal(test, theirs[1])
    if n_train < 441:
        assert set(train) < set(split(442, n_train + 1, seed)[0])


def test_preprocessing_names_the_data_set_and_leaves_the_raw_one_alone():
    raw, centred, scaled = (load_dataset("diabetes", p) for p in ("none", "center", "standardize"))
    assert [d.name for d in (raw, centred, scaled)] == ["diabetes", "diabetes+center", "diabetes+standardize"]
    assert raw.Y.mean() > 100
    assert abs(centred.Y.mean()) < 1e-10
    np.testing.assert_allclose(scaled.X.std(0), 1)


def test_training_rows_of_many_cells_are_those_of_their_splits():
    rows = training_rows(442, [(3, 1), (5, 2), (4, 1)], 5)
    np.testing.assert_array_equal(rows[0], [*split(442, 3, 1)[0], -1, -1])
    np.testing.assert_array_equal(rows[1], split(442, 5, 2)[0])
    np.testing.assert_array_equal(rows[2], [*split(442, 4, 1)[0], -1])


def test_unknown_names_are_refused_and_the_known_ones_listed():
    with pytest.raises(ValueError, match="known: student_teacher, california_housing, diabetes"):
        load_dataset("iris")
    with pytest.raises(ValueError, match="standardize"):
        load_dataset("diabetes", "whiten")
    with pytest.raises(ValueError, match="n_train=442"):
        split(442, 442, 0)
    assert tuple(LOADERS) == DATASETS
