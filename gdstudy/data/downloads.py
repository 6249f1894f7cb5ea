"""The two data sets that are downloaded: once, with a checksum, and read as text or as the known bytes."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import sys
import tarfile
from pathlib import Path

import numpy as np

from gdstudy.study.errors import StudyError

WHO_FILE = "Life Expectancy Data.csv"
WHO_SHA256 = "c3d22755ed3781c3a281d7b60f39f5a474a361e36ac56e84c2a747d8a7e05ec4"
WHO_URL = (
    "https://raw.githubusercontent.com/RylanSchaeffer/Stanford-AI-Alignment-Double-Descent-Tutorial/"
    "23c73b2e99beeb27b79b944a90d9e818691a0185/data/Life%20Expectancy%20Data.csv"
)
HOUSING_FILE = "cal_housing.tgz"
HOUSING_SHA256 = "aaa5c9a6afe2225cc2aed2723682ae403280c4a3695a2ddda4ffb5d8215ea681"
HOUSING_URL = "https://ndownloader.figshare.com/files/5976036"
# None of these files is larger.
_LARGEST = 1 << 23
# What scikit-learn keeps of that archive.
HOUSING_PICKLE = "cal_housing_py3.pkz"
HOUSING_PICKLE_SHA256 = "740b911884b5405599c461cf5c9a620aad36c63a0d32494567de2ebee803a42f"


def data_home() -> Path:
    """GDSTUDY_DATA_HOME, or the platform's cache folder."""
    if named := os.environ.get("GDSTUDY_DATA_HOME"):
        return Path(named).expanduser()
    import pooch

    return Path(pooch.os_cache("gdstudy")).expanduser()


def known_content(path: Path, sha256: str) -> bytes | None:
    """What a file holds if it is the known one, byte for byte, read once; None where it is another. No pipe is waited
    for, and nothing larger is read."""
    try:
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError:
        return None
    about = os.fstat(number)
    if not stat.S_ISREG(about.st_mode) or about.st_size > _LARGEST:
        os.close(number)
        return None
    with open(number, "rb") as file:
        content = file.read(_LARGEST)
    return content if hashlib.sha256(content).hexdigest() == sha256 else None


def _fetch(name: str, file: str, url: str, sha256: str) -> bytes:
    """What a file of a data set holds, downloaded once and checked each time. StudyError where there is none or it is
    damaged."""
    home = data_home()
    path = home / file
    if (content := known_content(path, sha256)) is not None:
        return content
    if os.path.lexists(path):
        raise StudyError(f"{path} is damaged (its SHA-256 is not {sha256[:12]}…); delete it and run again")
    import pooch

    pooch.get_logger().setLevel("ERROR")  # the bar says it already
    try:
        downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=30)
        pooch.retrieve(url, known_hash=sha256, fname=file, path=home, downloader=downloader)
    except Exception as error:  # requests has many names for no network
        if isinstance(error, ValueError) and "hash" in str(error):
            raise StudyError(
                f"the download of {name} is damaged (wrong SHA-256) and was not kept; run again, "
                f"or put {file!r} into {home}"
            ) from None
        raise StudyError(
            f"{name} cannot be downloaded ({_brief(error)}); put {file!r} into {home}, "
            f"or set GDSTUDY_DATA_HOME to a folder that has it"
        ) from None
    if (content := known_content(path, sha256)) is None:
        raise StudyError(f"{path} changed as it was downloaded; run again")
    return content


def housing_table() -> np.ndarray:
    """The census table, (20640, 9), target first: scikit-learn's copy where it is there, or the published archive."""
    if (copy := _housing_pickle()) is not None:
        import joblib

        return np.asarray(joblib.load(io.BytesIO(copy)))
    archive = _fetch("california_housing", HOUSING_FILE, HOUSING_URL, HOUSING_SHA256)
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        file = files.extractfile("CaliforniaHousing/cal_housing.data")
        assert file is not None  # its checksum says so
        return np.loadtxt(file, delimiter=",")[:, [8, 7, 2, 3, 4, 5, 6, 1, 0]]


def _housing_pickle() -> bytes | None:
    """scikit-learn's copy of the table if it is the known one, byte for byte: reading a pickle can run any code."""
    home = Path(os.environ.get("SCIKIT_LEARN_DATA", "~/scikit_learn_data")).expanduser()
    return known_content(home / HOUSING_PICKLE, HOUSING_PICKLE_SHA256)


def who_table() -> str:
    """The authors' table of the WHO's data, as text."""
    return _fetch("who_life_expectancy", WHO_FILE, WHO_URL, WHO_SHA256).decode()


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:77] + '…' if len(text) > 78 else text}"


def missing_housing() -> str | None:
    """What a first use of california_housing downloads and where to, or None where nothing is missing."""
    return None if _housing_pickle() is not None else _missing("california_housing", HOUSING_FILE, "0.4 MB")


def missing_who() -> str | None:
    """The same of who_life_expectancy."""
    return _missing("who_life_expectancy", WHO_FILE, "0.3 MB")


def _missing(name: str, file: str, size: str) -> str | None:
    home = data_home()
    return None if (home / file).is_file() else f"downloading {name} ({size}, once) into {home}"
