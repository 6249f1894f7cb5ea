"""Trainings: what each inherits from `gd`, and what it has of its own."""

from dataclasses import fields

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gdstudy.study.config import Study, every_key, kinds, unknown_key
from gdstudy.study.errors import StudyError
from gdstudy.study.groups import Training
from gdstudy.study.parser import as_yaml, study_of

BOTTLENECK = {"datasets": ["digits"], "models": ["bottleneck"], "n_hidden": [2, 4], "n_train": [5]}
# Another value of every key, that goes with a bottleneck.
OTHER = {
    "steps": 77,
    "step_size": "0.05",
    "tolerance": 1e-8,
    "checkpoints_per_decade": 3,
    "dtype": "float32",
    "engine": "autograd",
    "preprocess": "center",
    "optimizer": "sgd",
    "optimizer_options": {"momentum": 0.5},
    "momentum": 0.9,
    "warmup": 0.2,
    "schedule": "cosine",
    "start": "gaussian",
    "init_scale": 0.01,
    "restarts": 2,
    "n_hidden": (2,),
    "ablations": [],
}


def test_gd_is_the_first_training_and_the_others_follow_in_their_order():
    study = Study(trainings={"slow": {"steps": 9}, "adam": {"optimizer": "adam", "step_size": 0.1}})
    assert list(study.trained) == ["gd", "slow", "adam"]
    assert study.trained["gd"] is study.gd
    assert list(Study(estimators=["min_norm"], trainings={"slow": {}}).trained) == ["slow"]
    assert Study(estimators=["min_norm"]).trained == {}


@settings(max_examples=40, deadline=None)
@given(differs=st.sets(st.sampled_from(sorted(set(OTHER) - {"ablations", "start", "momentum"}))))
def test_a_training_is_gd_but_for_the_keys_in_which_it_differs(differs):
    base = {key: OTHER[key] for key in ("step_size", "steps")}
    changes = {key: OTHER[key] for key in differs}
    if "optimizer_options" in changes:
        changes["optimizer"] = OTHER["optimizer"]
    study = study_of({**BOTTLENECK, "gd": base, "trainings": {"other": changes}})
    found, gd = study.trained["other"], study.trained["gd"]
    for field in fields(Training):
        assert getattr(found, field.name) == changes.get(field.name, getattr(gd, field.name)), field.name


def test_every_key_of_a_training_is_tried_above():
    assert set(OTHER) == set(kinds(Training))
    for key, value in OTHER.items():
        assert key == "ablations" or value != getattr(Training(), key)


def test_options_of_an_optimizer_are_not_those_of_another():
    gd = {"optimizer": "sgd", "step_size": 0.1, "optimizer_options": {"momentum": 0.9}}
    trainings = {"longer": {"steps": 7}, "same": {"optimizer": "sgd"}, "adam": {"optimizer": "adam"}, "plain": {}}
    trainings["plain"] = {"optimizer": "gd"}
    trainings["own"] = {"optimizer": "adam", "optimizer_options": {"eps": 0.1}}
    trained = study_of({"gd": gd, "trainings": trainings}).trained
    momentum = {"momentum": 0.9}
    assert {name: training.optimizer_options for name, training in trained.items()} == {
        "gd": momentum,
        "longer": momentum,
        "same": momentum,
        "adam": {},
        "plain": {},
        "own": {"eps": 0.1},
    }


def test_a_study_with_trainings_is_the_same_when_it_is_read_again():
    trainings = {"adam": {"optimizer": "adam", "step_size": "1e-2", "n_hidden": 2}, "long": {"steps": "1e6"}}
    study = study_of({**BOTTLENECK, "trainings": trainings})
    again = study_of(yaml.safe_load(as_yaml(study)))
    assert again == study
    assert again.trained == study.trained
    assert study.trained["long"].steps == 10**6
    assert study.trained["adam"].step_size.value == 0.01
    assert study_of({**BOTTLENECK, "trainings": {**trainings, "long": {"steps": 10}}}) != study


def test_every_key_is_a_key_of_the_study_or_of_one_of_its_groups():
    assert {"trainings", "gd.dtype", "ablations.leading_modes_of", "synthetic.n_rows"} <= set(every_key())
    assert not {"gd", "dtype", "ablations.learning_rate", "ablations.restarts"} & set(every_key())
    with pytest.raises(StudyError, match=r"unknown key 'gd.dtpye' \(did you mean gd.dtype\?\)"):
        study_of({"gd": {"dtpye": "float32"}})


def test_a_key_of_a_group_is_suggested_where_it_stands_alone():
    assert "(did you mean file.sep?)" in str(unknown_key("sep"))
    assert "file.sep" not in str(unknown_key("sepa"))
