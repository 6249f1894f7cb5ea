"""openml:NAME, answered by recorded responses of OpenML that come with scikit-learn. There is no network."""

import gzip
import io
import re
from importlib.resources import files
from urllib.error import HTTPError, URLError

import numpy as np
import pytest
from sklearn.datasets import _openml, load_iris

from gdstudy.data import openml
from gdstudy.data.openml import read_openml
from gdstudy.study.config import Study
from gdstudy.study.errors import StudyError
from gdstudy.study.sources import File
from gdstudy.train import main

RECORDED = files("sklearn.datasets.tests.data.openml")
# OpenML's addresses, and how their answers are called there.
ANSWERS = (
    (r".*/json/data/list/data_name/iris/limit/2/status/active/", "id_61/api-v1-jdl-dn-iris-l-2-s-act-.json.gz"),
    (r".*/json/data/list/data_name/iris/limit/2/data_version/1", "id_61/api-v1-jdl-dn-iris-l-2-dv-1.json.gz"),
    (r".*/json/data/61", "id_61/api-v1-jd-61.json.gz"),
    (r".*/json/data/features/61", "id_61/api-v1-jdf-61.json.gz"),
    (r".*/json/data/qualities/61", "id_61/api-v1-jdq-61.json.gz"),
    (r".*/data/v1/download/61/.*", "id_61/data-v1-dl-61.arff.gz"),
)


class Answer(io.BytesIO):
    def info(self):
        return {"Content-Encoding": "gzip"}


@pytest.fixture
def network(tmp_path, monkeypatch):
    """What was asked for; answers can be changed."""
    asked, answers = [], {pattern: (RECORDED / file).read_bytes() for pattern, file in ANSWERS}

    def urlopen(request, *_, **__):
        asked.append(request.full_url)
        for pattern, content in answers.items():
            if re.fullmatch(pattern, request.full_url):
                return Answer(content)
        raise HTTPError(request.full_url, 412, "Precondition failed", {}, io.BytesIO(b'{"error": {"code": "372"}}'))

    monkeypatch.setattr(_openml, "urlopen", urlopen)
    monkeypatch.setenv("GDSTUDY_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return asked, answers


def read(entry, **keys):
    (source,) = Study(datasets=[entry], file=File(**keys)).sources
    return read_openml(source)


@pytest.mark.parametrize(("entry", "name"), [("openml:iris", "iris"), ("openml:iris@1", "iris-1"), ("openml:61", "61")])
def test_a_data_set_of_openml_by_name_version_and_number(entry, name, network):
    found = read(entry)
    X, y = load_iris(return_X_y=True)
    assert found.data.name == name
    assert found.data.classes == ("Iris-setosa", "Iris-versicolor", "Iris-virginica")
    np.testing.assert_array_equal(found.data.labels, y)
    different = (found.data.X != X).any(1).sum()
    assert different <= 3  # scikit-learn mends two rows of the published table
    assert found.data.columns == ("sepallength", "sepalwidth", "petallength", "petalwidth")
    assert len(found.fingerprint["sha256"]) == 64


def test_it_is_downloaded_once(network):
    asked, answers = network
    first = read("openml:iris")
    before = len(asked)
    answers.clear()
    assert read("openml:iris").fingerprint == first.fingerprint
    assert len(asked) == before


def test_another_target_may_be_asked_for(network):
    found = read("openml:iris", target="petalwidth", classes=False)
    assert found.data.Y.shape == (150, 1)
    assert found.data.columns == ("sepallength", "sepalwidth", "petallength")
    assert found.notes == ("openml:iris: left out 1 column of texts: class (file.categories=one_hot keeps them)",)


def test_what_is_not_as_openml_published_it_is_refused(network):
    _, answers = network
    pattern = ANSWERS[-1][0]
    answers[pattern] = gzip.compress(gzip.decompress(answers[pattern]).replace(b"5.1,3.5", b"5.1,3.6"))
    with pytest.raises(StudyError, match=r"openml:iris: .*md5 checksum") as error:
        read("openml:iris")
    assert "\n" not in str(error.value)


def test_an_unknown_name_and_no_network_are_one_line(network, monkeypatch, capsys, tmp_path):
    (tmp_path / "study.yaml").write_text("n_train: [3]\nseeds: 1\n")
    assert main(["--config", "study.yaml", "--datasets", "[openml:no-such-thing]"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "openml:no-such-thing: " in err

    def no_network(*_, **__):
        raise URLError("Name or service not known")

    monkeypatch.setattr(_openml, "urlopen", no_network)
    assert main(["--config", "study.yaml", "--datasets", "[openml:iris]"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "openml:iris: cannot be downloaded (URLError: " in err
    assert f"kept in {tmp_path / 'home'}" in err
    assert not (tmp_path / "runs").exists()


def test_nothing_waits_for_ever(network, monkeypatch):
    import socket

    waits = []
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda **_: waits.append(socket.getdefaulttimeout()) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        read("openml:iris")
    assert waits == [openml._TIMEOUT]
    assert socket.getdefaulttimeout() is None
