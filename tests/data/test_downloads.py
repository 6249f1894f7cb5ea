"""The two data sets that are downloaded: once, with a checksum, and nothing that is not the known bytes is read."""

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
from sklearn.datasets import get_data_home

import gdstudy.data.downloads
from gdstudy import load_dataset
from gdstudy.data.downloads import HOUSING_FILE, HOUSING_PICKLE, WHO_FILE, missing_housing, missing_who
from gdstudy.study.errors import StudyError


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
    assert missing_who() is not None


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
    assert missing_housing().startswith("downloading california_housing")
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


@pytest.mark.parametrize(
    ("name", "file", "missing"),
    [("california_housing", HOUSING_FILE, missing_housing), ("who_life_expectancy", WHO_FILE, missing_who)],
)
def test_a_missing_download_is_announced_with_its_folder_and_a_cached_one_is_not(
    name, file, missing, tmp_path, monkeypatch
):
    load_dataset(name)
    assert missing() is None
    for variable in ("GDSTUDY_DATA_HOME", "SCIKIT_LEARN_DATA"):
        monkeypatch.setenv(variable, str(tmp_path))
    announced = missing()
    assert announced.startswith(f"downloading {name} (")
    assert announced.endswith(f"into {tmp_path}")
    (tmp_path / file).touch()
    assert missing() is None


def sparse(path):
    with path.open("wb") as file:
        file.truncate(1 << 40)


def to_zeros(path):
    path.symlink_to("/dev/zero")


STRANGE = {"a folder": Path.mkdir, "a pipe": os.mkfifo, "a tebibyte of nothing": sparse, "zeros without end": to_zeros}


@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_file_of_its_size_in_the_place_of_a_download_is_refused_without_being_read(
    kind, no_housing, tmp_path
):
    STRANGE[kind](tmp_path / "sk" / HOUSING_PICKLE)
    with pytest.raises(StudyError, match=r"cannot be downloaded .*put 'cal_housing.tgz'"):
        load_dataset("california_housing")
    for name, file in (("california_housing", HOUSING_FILE), ("who_life_expectancy", WHO_FILE)):
        STRANGE[kind](tmp_path / "own" / file)
        with pytest.raises(StudyError, match=r"is damaged .*delete it and run again") as error:
            load_dataset(name)
        assert str(tmp_path / "own" / file) in one_line(error)


def test_what_is_checked_is_what_is_read(no_housing, tmp_path, monkeypatch):
    """A file that is exchanged after its checksum was taken is not read again."""
    monkeypatch.undo()
    copy = tmp_path / "sk" / HOUSING_PICKLE
    content = (Path(get_data_home()) / HOUSING_PICKLE).read_bytes()
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "sk"))
    copy.write_bytes(content)
    expected, sha256 = gdstudy.data.downloads.housing_table(), hashlib.sha256

    def exchanged(found):
        joblib.dump(_Runs(tmp_path / "ran"), copy)
        return sha256(found)

    monkeypatch.setattr(gdstudy.data.downloads.hashlib, "sha256", exchanged)
    np.testing.assert_array_equal(gdstudy.data.downloads.housing_table(), expected)
    assert not (tmp_path / "ran").exists()
