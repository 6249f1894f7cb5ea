"""The facts of ablations agree with what the code of each does to a problem."""

import dataclasses

import pytest
import torch

from gdstudy.closed_form.factors import Problem
from gdstudy.linalg.spectrum import spectrum
from gdstudy.study.ablations import ABLATIONS, UNABLATED
from gdstudy.study.entries import code
from gdstudy.study.groups import Ablations
from gdstudy.study.values import Levels


def problem():
    random = torch.Generator().manual_seed(0)
    X, Y, beta = (torch.randn(2, *shape, generator=random, dtype=torch.float64) for shape in ((6, 4), (6, 1), (4, 1)))
    return Problem(X, Y, spectrum(X), beta)


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_retrains_where_it_changes_what_is_trained_on(name):
    facts, before = ABLATIONS[name], problem()
    after = code(facts.apply)(before, 1.0)
    same = torch.equal(after.Y, before.Y) and torch.equal(after.features(), before.features())
    assert facts.retrains == (not same)
    shifted = after.test_modes is not None or after.test_shift is not None or after.linear
    assert shifted or not same  # it does something


@pytest.mark.parametrize("name", ABLATIONS)
def test_each_ablation_is_a_key_of_a_study_of_its_kind(name):
    facts = ABLATIONS[name]
    assert facts.name == name
    assert isinstance(getattr(Ablations(), name), bool) != facts.has_levels
    assert bool(facts.level) == facts.has_levels
    assert facts.question.endswith("?")
    assert facts.of_gd.endswith("?")


def test_levels_are_pairs_in_the_order_of_the_table_and_none_is_unablated():
    everything = Ablations(
        adversarial_train=Levels((2.0,)),
        no_residuals=True,
        singular_value_cutoff=Levels((0.1, 1.0)),
        leading_modes=(3,),
    )
    assert everything.levels("diabetes") == [
        ("singular_value_cutoff", 0.1),
        ("singular_value_cutoff", 1.0),
        ("leading_modes", 3),
        ("no_residuals", None),
        ("adversarial_train", 2.0),
    ]
    assert UNABLATED not in everything.levels("diabetes")
    assert Ablations().levels("diabetes") == []
    keys = {field.name for field in dataclasses.fields(Ablations)} - {"leading_modes_of"}
    assert keys == set(ABLATIONS)
