"""A study's batches hold each of its cells once, whatever its sizes."""

import itertools

import numpy as np
import pytest
from conftest import small_study
from hypothesis import given, settings
from hypothesis import strategies as st

from gdstudy.config import Ablations, GradientDescent, Sizes, Study
from gdstudy.data import Dataset
from gdstudy.plan import UNABLATED, Variant, plan, variants

WIDTHS = {"student_teacher": 20, "diabetes": 10, "linear_plus_cosine": 1}


def empty(study):
    """Data sets of the right names and widths; a plan reads nothing else of them."""
    names = [v.dataset if v.preprocess == "none" else f"{v.dataset}+{v.preprocess}" for v in variants(study)]
    widths = [WIDTHS[v.dataset] for v in variants(study)]
    return [Dataset(name, np.zeros((100, P)), np.zeros((100, 1))) for name, P in zip(names, widths, strict=True)]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.sets(st.integers(1, 60), min_size=1, max_size=12),
    widths=st.sets(st.integers(1, 30), min_size=1, max_size=4),
    models=st.sampled_from([["linear"], ["random_relu"], ["linear", "random_fourier"]]),
    seeds=st.integers(1, 7),
    batch_cells=st.integers(1, 90),
)
def test_batches_partition_all_cells(sizes, widths, models, seeds, batch_cells):
    changes = {"n_train": Sizes.parse(list(sizes)), "models": models, "seeds": seeds, "batch_cells": batch_cells}
    study = small_study(n_parameters=Sizes() if models == ["linear"] else Sizes.parse(list(widths)), **changes)
    batches = plan(study, empty(study))
    assert [b.number for b in batches] == list(range(len(batches)))
    assert max(len(b.cells) for b in batches) <= batch_cells
    wanted = {
        (dataset, model, P, n, seed)
        for dataset, model in itertools.product(study.datasets, models)
        for P in ({WIDTHS[dataset]} if model == "linear" else widths)
        for n, seed in itertools.product(sizes, range(seeds))
    }
    planned = [(b.dataset, b.model, b.n_parameters, *cell) for b in batches for cell in b.cells]
    assert len(planned) == len(wanted)
    assert set(planned) == wanted
    # No fewer batches would do, and neighbouring N are together.
    for (_, _, _), group in itertools.groupby(batches, key=lambda b: (b.dataset, b.model, b.n_parameters)):
        group = list(group)
        assert len(group) == -(-len(sizes) * seeds // batch_cells)
        order = [cell for b in group for cell in b.cells]
        assert order == sorted(order)
    assert plan(study, empty(study)) == batches


def test_another_batch_size_makes_other_batches_of_the_same_cells():
    few, many = (small_study(batch_cells=size) for size in (20, 3))
    first, second = plan(few, empty(few)), plan(many, empty(many))
    assert len(first) < len(second)
    assert [c for b in first for c in b.cells] == [c for b in second for c in b.cells]


def test_linear_has_the_columns_of_the_data_and_other_models_what_the_study_says():
    study = small_study(models=["linear", "random_relu"], n_parameters=Sizes((7, 30)), batch_cells=1000)
    found = [(b.dataset, b.model, b.n_parameters) for b in plan(study, empty(study))]
    assert found == [
        (name, model, P)
        for name, D in (("student_teacher", 20), ("diabetes", 10))
        for model, P in (("linear", D), ("random_relu", 7), ("random_relu", 30))
    ]


ABLATED = Ablations(
    singular_value_cutoff=[0.1, 1],
    leading_modes=[5, 10],
    leading_modes_of={"diabetes": [1]},
    no_residuals=True,
    adversarial_train=[2],
)
STUDENT_TEACHER = (
    UNABLATED,
    ("singular_value_cutoff", 0.1),
    ("singular_value_cutoff", 1.0),
    ("leading_modes", 5),
    ("leading_modes", 10),
    ("no_residuals", None),
    ("adversarial_train", 2.0),
)


def test_a_data_set_has_all_its_ablations_in_closed_form_and_some_of_them_trained():
    study = Study(ablations=ABLATED, gd=GradientDescent(ablations=["no_residuals", "leading_modes"]))
    first, second = variants(study)
    assert first.closed == STUDENT_TEACHER
    assert first.trained == (UNABLATED, ("leading_modes", 5), ("leading_modes", 10), ("no_residuals", None))
    assert ("leading_modes", 1) in second.closed
    assert ("leading_modes", 5) not in second.closed
    for batch in plan(study, empty(study)):
        variant = first if batch.dataset == "student_teacher" else second
        assert (batch.closed, batch.trained) == (variant.closed, variant.trained)


def test_what_gd_preprocesses_by_itself_is_a_second_variant_with_the_trained_ablations_alone():
    gd = GradientDescent(preprocess="standardize", ablations=["no_residuals"])
    study = Study(datasets=["student_teacher", "diabetes"], ablations=ABLATED, gd=gd)
    trained = (UNABLATED, ("no_residuals", None))
    found = variants(study)
    assert found[0] == Variant("student_teacher", "none", 0.0, STUDENT_TEACHER, ())
    assert [(v.dataset, v.preprocess, v.trained) for v in found[:2]] == [
        ("student_teacher", "none", ()),
        ("diabetes", "none", ()),
    ]
    assert found[2:] == [Variant(name, "standardize", 0.0, trained, trained) for name in study.datasets]
    names = dict.fromkeys(b.dataset for b in plan(study, empty(study)))
    assert list(names) == ["student_teacher", "diabetes", "student_teacher+standardize", "diabetes+standardize"]


@pytest.mark.parametrize("own", ["same", "standardize"])
def test_without_a_preprocessing_of_its_own_gd_sees_the_studys_data(own):
    study = Study(preprocess="standardize", gd=GradientDescent(preprocess=own))
    assert [(v.preprocess, v.trained) for v in variants(study)] == [("standardize", (UNABLATED,))] * 2


@pytest.mark.parametrize("own", ["same", "center"])
def test_a_study_without_gd_trains_nothing(own):
    study = Study(estimators=["min_norm"], ablations=ABLATED, gd=GradientDescent(preprocess=own))
    assert [v.trained for v in variants(study)] == [(), ()]
    assert all(b.trained == () and b.closed[0] == UNABLATED for b in plan(study, empty(study)))
