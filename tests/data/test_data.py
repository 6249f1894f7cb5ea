import contextlib
import hashlib
import os
import shutil
import tarfile
from pathlib import Path

import joblib
import numpy as np
import pooch
import pytest
import requests
from sklearn.datasets import fetch_california_housing, get_data_home
from sklearn.model_selection import train_test_split

import gdstudy.data.downloads
from gdstudy import load_dataset
from gdstudy.data.downloads import HOUSING_FILE, HOUSING_PICKLE, WHO_FILE, missing_download
from gdstudy.data.named import LOADERS, WHO_FEATURES
from gdstudy.data.splits import split, training_rows
from gdstudy.data.synthetic import SYNTHETIC
from gdstudy.study.config import Synthetic
from gdstudy.study.schema import DATASETS, SHAPES, StudyError


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


def test_what_a_caller_does_to_a_split_does_not_change_the_next():
    train, _ = split(442, 10, 0)
    kept = train.copy()
    with contextlib.suppress(ValueError):  # refused, or done to a copy
        train[:] = 0
    np.testing.assert_array_equal(split(442, 10, 0)[0], kept)


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
    assert (*LOADERS, *SYNTHETIC) == DATASETS


# The two data sets that are downloaded


def test_california_housing_is_scikit_learns():
    data = load_dataset("california_housing")
    assert data.X.shape == (20640, 8)
    assert data.Y.shape == (20640, 1)
    first = [8.3252, 41, 6.98412698, 1.02380952, 322, 2.55555556, 37.88, -122.23]
    np.testing.assert_allclose(data.X[0], first, rtol=1e-8)
    assert data.Y[0, 0] == pytest.approx(4.526)
    assert data.Y.mean() == pytest.approx(2.0685581691)
    X, y = fetch_california_housing(return_X_y=True)
    np.testing.assert_array_equal(data.X, X)
    np.testing.assert_array_equal(data.X.std(0), X.std(0))  # also the order in memory, in which sums are taken
    np.testing.assert_array_equal(data.Y[:, 0], y)


def test_who_life_expectancy_is_the_authors_file_without_its_incomplete_rows():
    data = load_dataset("who_life_expectancy")
    assert data.X.shape == (1649, 17) == (1649, len(WHO_FEATURES))
    assert data.Y.shape == (1649, 1)
    first = {
        "Adult Mortality": 263,
        "infant deaths": 62,
        "Alcohol": 0.01,
        "percentage expenditure": 71.27962362,
        "Hepatitis B": 65,
        "Measles ": 1154,
        " BMI ": 19.1,
        "under-five deaths ": 83,
        "Polio": 6,
        "Total expenditure": 8.16,
        "Diphtheria ": 65,
        " HIV/AIDS": 0.1,
        "GDP": 584.25921,
        "Population": 33736494,
        " thinness  1-19 years": 17.2,
        " thinness 5-9 years": 17.3,
        "Schooling": 10.1,
    }
    assert tuple(first) == WHO_FEATURES
    np.testing.assert_array_equal(data.X[0], list(first.values()))
    np.testing.assert_array_equal(data.Y[[0, -1], 0], [65, 46])
    assert data.Y.mean() == pytest.approx(69.3023044269)
    assert np.isfinite(data.X).all()
    with who_file().open() as file:
        assert len(file.readlines()) - 1 == 2938  # rows were dropped


def test_linear_plus_cosine_is_its_formula_on_a_grid():
    data = load_dataset("linear_plus_cosine")
    assert data.X.shape == data.Y.shape == (1000, 1)
    assert (data.X[0, 0], data.X[-1, 0]) == (-1, 1)
    np.testing.assert_allclose(np.diff(data.X[:, 0]), 2 / 999)
    np.testing.assert_allclose(data.Y, 2 * data.X + np.cos(25 * data.X))
    # No straight line fits it: there are residuals without noise.
    line = np.linalg.lstsq(data.X, data.Y, rcond=None)[0]
    assert np.abs(data.Y - data.X @ line).max() > 0.9


@pytest.mark.parametrize("name", ["california_housing", "who_life_expectancy"])
def test_loading_again_gives_equal_rows_that_belong_to_the_caller(name):
    first = load_dataset(name)
    kept = first.X.copy()
    first.X[:] = 0
    np.testing.assert_array_equal(load_dataset(name).X, kept)


def who_file():
    """Where the loaded WHO file lies on this machine."""
    return Path(os.environ.get("GDSTUDY_DATA_HOME") or pooch.os_cache("gdstudy")) / WHO_FILE


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def downloader(fetch):
    """In place of pooch.HTTPDownloader, which is made with options and called with (url, file, pooch)."""
    return lambda **_: lambda url, output_file, _: fetch(url, Path(output_file))


def no_network(*_):
    raise requests.exceptions.ConnectionError("HTTPSConnectionPool(host='raw.githubusercontent.com', port=443): " * 3)


@pytest.fixture
def who_home(tmp_path, monkeypatch):
    """An empty folder for the WHO file, and no network."""
    monkeypatch.setenv("GDSTUDY_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(pooch, "HTTPDownloader", downloader(no_network))
    return tmp_path / "data"


def test_without_a_network_one_line_says_which_file_goes_where(who_home):
    with pytest.raises(StudyError, match="who_life_expectancy cannot be downloaded") as error:
        load_dataset("who_life_expectancy")
    line = one_line(error)
    assert f"put {WHO_FILE!r} into {who_home}" in line
    assert "GDSTUDY_DATA_HOME" in line
    assert "ConnectionError" in line
    assert len(line) < 300 + len(str(who_home))  # not the whole of a stack of network errors
    assert not (who_home / WHO_FILE).exists()


def test_a_damaged_file_is_refused_and_left_as_it_was(who_home):
    who_home.mkdir()
    (who_home / WHO_FILE).write_text("Country,Year\n")
    with pytest.raises(StudyError, match=r"is damaged .*delete it") as error:
        load_dataset("who_life_expectancy")
    assert str(who_home / WHO_FILE) in one_line(error)
    assert (who_home / WHO_FILE).read_text() == "Country,Year\n"


def test_a_damaged_download_is_refused_and_not_kept(who_home, monkeypatch):
    monkeypatch.setattr(pooch, "HTTPDownloader", downloader(lambda url, file: file.write_text("<html>404</html>")))
    with pytest.raises(StudyError, match=r"download of who_life_expectancy is damaged .*not kept") as error:
        load_dataset("who_life_expectancy")
    line = one_line(error)
    assert WHO_FILE in line
    assert str(who_home) in line
    assert list(who_home.iterdir()) == []
    assert missing_download("who_life_expectancy") is not None


def test_a_good_download_is_kept_and_not_repeated(tmp_path, monkeypatch):
    real = who_file()
    expected, home, urls = load_dataset("who_life_expectancy"), tmp_path / "new" / "data", []
    monkeypatch.setenv("GDSTUDY_DATA_HOME", str(home))

    def fetch(url, file):
        urls.append(url)
        shutil.copyfile(real, file)

    monkeypatch.setattr(pooch, "HTTPDownloader", downloader(fetch))
    for _ in range(2):
        np.testing.assert_array_equal(load_dataset("who_life_expectancy").X, expected.X)
    assert len(urls) == 1
    assert urls[0].startswith("https://raw.githubusercontent.com/RylanSchaeffer/")
    assert [path.name for path in home.iterdir()] == [WHO_FILE]
    assert (home / WHO_FILE).read_bytes() == real.read_bytes()


@pytest.fixture
def no_housing(tmp_path, monkeypatch):
    """Empty folders for its archive and for scikit-learn's copy, and no network. Gives the real copy."""
    load_dataset("california_housing")
    copy = Path(get_data_home()) / HOUSING_PICKLE
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "sk"))
    monkeypatch.setenv("GDSTUDY_DATA_HOME", str(tmp_path / "own"))
    for name in ("sk", "own"):
        (tmp_path / name).mkdir()

    def offline(url, file):
        raise ConnectionError("no network")

    monkeypatch.setattr(pooch, "HTTPDownloader", downloader(offline))
    return copy


def test_california_housing_without_a_network_says_which_file_goes_where(no_housing, tmp_path):
    with pytest.raises(StudyError, match="california_housing cannot be downloaded") as error:
        load_dataset("california_housing")
    line = one_line(error)
    assert f"put 'cal_housing.tgz' into {tmp_path / 'own'}, or set GDSTUDY_DATA_HOME" in line
    assert "ConnectionError" in line
    assert not list((tmp_path / "own").iterdir())


class _Runs:
    """What a pickle can do to whoever reads it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("kind", ["hostile", "cut", "empty", "not a pickle"])
def test_a_pickle_that_is_not_the_known_one_is_never_read(kind, no_housing, tmp_path):
    joblib.dump(_Runs(tmp_path / "ran"), tmp_path / "sk" / HOUSING_PICKLE)
    if kind == "cut":
        real = no_housing.read_bytes() if no_housing.is_file() else bytes(1000)
        (tmp_path / "sk" / HOUSING_PICKLE).write_bytes(real[: len(real) // 2])
    elif kind != "hostile":
        (tmp_path / "sk" / HOUSING_PICKLE).write_bytes(b"" if kind == "empty" else b"hello")
    assert missing_download("california_housing").startswith("downloading california_housing")
    with pytest.raises(StudyError, match=r"put 'cal_housing.tgz'"):
        load_dataset("california_housing")
    assert not (tmp_path / "ran").exists()
    if kind == "hostile":  # it would have run
        joblib.load(tmp_path / "sk" / HOUSING_PICKLE).close()
        assert (tmp_path / "ran").exists()


def test_the_published_archive_gives_the_very_same_data(no_housing, tmp_path, monkeypatch):
    """An archive of the census table as it is published: other columns first, nine of them, as text."""
    monkeypatch.undo()
    expected, table = load_dataset("california_housing", "standardize"), gdstudy.data.downloads.housing_table()
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "sk"))
    monkeypatch.setenv("GDSTUDY_DATA_HOME", str(tmp_path / "own"))
    published = np.empty_like(table)
    published[:, [8, 7, 2, 3, 4, 5, 6, 1, 0]] = table
    np.savetxt(tmp_path / "cal_housing.data", published, delimiter=",", fmt="%.17g")
    with tarfile.open(tmp_path / "own" / HOUSING_FILE, "w:gz") as archive:
        archive.add(tmp_path / "cal_housing.data", "CaliforniaHousing/cal_housing.data")
    with pytest.raises(StudyError, match=r"cal_housing.tgz is damaged .*delete it and run again"):
        load_dataset("california_housing")  # its checksum is another
    digest = hashlib.sha256((tmp_path / "own" / HOUSING_FILE).read_bytes()).hexdigest()
    monkeypatch.setattr(gdstudy.data.downloads, "HOUSING_SHA256", digest)
    found = load_dataset("california_housing", "standardize")
    np.testing.assert_array_equal(found.X, expected.X)
    np.testing.assert_array_equal(found.Y, expected.Y)


@pytest.mark.parametrize(("name", "file"), [("california_housing", HOUSING_FILE), ("who_life_expectancy", WHO_FILE)])
def test_a_missing_download_is_announced_with_its_folder_and_a_cached_one_is_not(name, file, tmp_path, monkeypatch):
    load_dataset(name)
    assert missing_download(name) is None
    for variable in ("GDSTUDY_DATA_HOME", "SCIKIT_LEARN_DATA"):
        monkeypatch.setenv(variable, str(tmp_path))
    announced = missing_download(name)
    assert announced.startswith(f"downloading {name} (")
    assert announced.endswith(f"into {tmp_path}")
    (tmp_path / file).touch()
    assert missing_download(name) is None


def test_data_sets_that_need_no_download_announce_none(tmp_path, monkeypatch):
    for variable in ("GDSTUDY_DATA_HOME", "SCIKIT_LEARN_DATA"):
        monkeypatch.setenv(variable, str(tmp_path))
    for name in ("student_teacher", "diabetes", "linear_plus_cosine"):
        assert missing_download(name) is None
        assert len(load_dataset(name).X) > 0
    assert list(tmp_path.iterdir()) == []


# Inputs of autoencoders


def synthetic(name, **sizes):
    return load_dataset(name, synthetic=Synthetic(**sizes))


@pytest.mark.parametrize("p", [0.01, 0.05, 0.5, 1.0])
def test_sparse_features_are_nonnegative_of_length_1_and_as_sparse_as_they_say(p):
    """The share of nonzeros is p given that a row is not empty: np/(1 − (1 − p)ⁿ) of n entries a row."""
    n, rows = 50, 4000
    X = synthetic("sparse_features", n_inputs=n, n_rows=rows, p_nonzero=p).clean()
    assert X.shape == (rows, n)
    assert X.min() >= 0
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1)
    present = (X > 0).sum(1)
    assert present.min() >= 1
    expected = n * p / (1 - (1 - p) ** n)
    error_bar = present.std() / np.sqrt(rows)
    assert abs(present.mean() - expected) <= 4 * error_bar + 1e-12
    if p == 0.01:  # where two rows of three are drawn again: not what it would be without
        assert abs(present.mean() - n * p) > 20 * error_bar


def test_values_of_sparse_features_are_uniform_before_they_are_scaled():
    """The ratio of a row's two values, smaller over larger, is U[0, 1] too."""
    X = synthetic("sparse_features", n_inputs=50, n_rows=20_000, p_nonzero=0.05).clean()
    two = np.sort(X[(X > 0).sum(1) == 2], axis=1)[:, -2:]
    ratio = two[:, 0] / two[:, 1]
    assert len(ratio) > 4000
    shares = np.histogram(ratio, bins=5, range=(0, 1))[0] / len(ratio)
    np.testing.assert_allclose(shares, 0.2, atol=4 * np.sqrt(0.16 / len(ratio)))
    # Which columns are not zero is independent of the column.
    counts = (X > 0).mean(0)
    assert np.abs(counts - counts.mean()).max() < 5 * np.sqrt(counts.mean() / len(X))


@pytest.mark.parametrize("name", ["isotropic", "power_law", "sparse_features"])
@pytest.mark.parametrize("rows", [7, 999, 1000, 1001, 2500])
def test_a_longer_draw_begins_with_a_shorter_one(name, rows):
    shorter, longer = (synthetic(name, n_inputs=12, n_rows=n, p_nonzero=0.2) for n in (rows, 3000))
    assert shorter.clean().shape == (rows, 12)
    np.testing.assert_array_equal(longer.clean()[:rows], shorter.clean())
    assert shorter.Y.shape == (rows, 0)
    # And no row comes twice, but for sparse ones that have a single entry, which is then 1.
    several = longer.clean()[(longer.clean() != 0).sum(1) > 1]
    assert len(np.unique(several, axis=0)) == len(several) > 2000


@pytest.mark.parametrize(("name", "variance"), [("isotropic", np.ones(8)), ("power_law", 1 / np.arange(1, 9))])
def test_gaussian_inputs_have_the_covariance_they_say(name, variance):
    n = 20_000
    data = synthetic(name, n_inputs=8, n_rows=n)
    np.testing.assert_allclose(data.covariance, variance)
    scaled = data.X / np.sqrt(variance)
    np.testing.assert_allclose(scaled.T @ scaled / n, np.eye(8), atol=5 * np.sqrt(2 / n))
    np.testing.assert_allclose(scaled.mean(0), 0, atol=5 / np.sqrt(n))
    np.testing.assert_allclose((scaled**4).mean(0), 3, atol=5 * np.sqrt(96 / n))
    assert data.law is None  # of y, of which there is none
    # Another law is told apart.
    other = synthetic({"isotropic": "power_law", "power_law": "isotropic"}[name], n_inputs=8, n_rows=n)
    assert np.abs(other.X.var(0) - variance).max() > 0.5
    assert abs(np.corrcoef(other.X[:, 0], data.X[:, 0])[0, 1]) < 5 / np.sqrt(n)


def test_digits_are_pixels_in_the_unit_interval_and_classes_one_hot():
    data = load_dataset("digits")
    assert data.X.shape == (1797, 64)
    assert (data.X.min(), data.X.max()) == (0, 1)
    np.testing.assert_array_equal(data.X * 16, np.round(data.X * 16))
    assert data.Y.shape == (1797, 10)
    np.testing.assert_array_equal(np.sort(data.Y, axis=1), np.tile([*[0] * 9, 1], (1797, 1)))
    assert data.Y.sum(0).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.linalg.matrix_rank(data.X) == 61


def test_input_noise_is_drawn_for_the_seed_and_leaves_the_target_clean():
    clean, noisy = load_dataset("digits"), load_dataset("digits", input_noise=0.5)
    assert noisy.name == "digits+noise0.5"
    assert load_dataset("digits", "standardize", 0.25).name == "digits+standardize+noise0.25"
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
    names = {load_dataset("isotropic", input_noise=noise).name for noise in (0.1234561, 0.1234562, 1, 0.5)}
    expected = {"noise0.1234561", "noise0.1234562", "noise1", "noise0.5"}
    assert names == {f"isotropic+{name}" for name in expected}


@pytest.mark.parametrize("name", SHAPES)
def test_the_schema_knows_the_sizes_of_the_data(name):
    assert load_dataset(name).X.shape == SHAPES[name]
    assert set(SHAPES) == set(LOADERS)
