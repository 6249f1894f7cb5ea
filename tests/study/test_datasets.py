"""The facts of data sets agree with what is loaded."""

from typing import get_args

import numpy as np
import pytest
from scipy import sparse

from gdstudy import load_dataset
from gdstudy.study.config import Study, kinds
from gdstudy.study.datasets import DATASETS, PREPROCESSES
from gdstudy.study.entries import code
from gdstudy.study.groups import Synthetic, Training

SIZES = Synthetic(n_inputs=7, n_rows=50)


@pytest.mark.parametrize("name", DATASETS)
def test_what_is_said_of_a_data_set_is_what_is_loaded(name):
    facts, data = DATASETS[name], load_dataset(name, synthetic=SIZES)
    assert (facts.name, data.name, data.preprocess, data.input_noise) == (name, name, "none", 0.0)
    expected = (SIZES.n_rows, SIZES.n_inputs) if facts.synthetic else (facts.rows, facts.columns)
    assert data.X.shape == expected
    assert (facts.rows is None) == (facts.columns is None)
    assert len(data.Y) == data.n_rows
    assert (data.Y.shape[1] > 0) == facts.has_targets
    assert sparse.issparse(data.X) == facts.sparse
    # One input in [−1, 1], and no other data set could say so.
    assert (facts.inputs == "interval") == (data.X.shape[1] == 1 and np.abs(data.clean()).max() <= 1)
    assert facts.image_side is None or facts.image_side**2 == data.X.shape[1]


def test_sizes_of_a_study_reach_the_data_sets_that_have_them_and_no_others():
    for name, facts in DATASETS.items():
        shapes = {load_dataset(name, synthetic=Synthetic(n_inputs=3, n_rows=n)).X.shape for n in (20, 30)}
        assert shapes == ({(20, 3), (30, 3)} if facts.synthetic else {(facts.rows, facts.columns)})


@pytest.mark.parametrize("name", DATASETS)
def test_what_is_missing_is_said_of_data_sets_that_are_downloaded_alone(name, tmp_path, monkeypatch):
    facts = DATASETS[name]
    for variable in ("GDSTUDY_DATA_HOME", "SCIKIT_LEARN_DATA"):
        monkeypatch.setenv(variable, str(tmp_path))
    if facts.missing is None:
        load_dataset(name, synthetic=SIZES)
        assert list(tmp_path.iterdir()) == []
    else:
        assert code(facts.missing)().startswith(f"downloading {name} (")


def test_labels_tell_data_sets_and_preprocessings_apart():
    assert len({facts.label for facts in DATASETS.values()}) == len(DATASETS)
    assert len({facts.label for facts in PREPROCESSES.values()}) == len(PREPROCESSES)


def test_every_preprocessing_can_be_asked_for_and_says_what_it_does():
    of_study, of_training = (get_args(kinds(kind)["preprocess"]) for kind in (Study, Training))
    assert of_study == tuple(PREPROCESSES)
    assert of_training == ("same", *PREPROCESSES)
    assert [name for name, facts in PREPROCESSES.items() if not facts.centres] == ["none"]
    assert {name for name, facts in PREPROCESSES.items() if facts.scales} == {"standardize", "standardize_train"}
    assert {name for name, facts in PREPROCESSES.items() if facts.by_training} == {"center_train", "standardize_train"}
