"""A study's batches hold each of its cells once, whatever its sizes."""

import itertools

import numpy as np
import pytest
from conftest import small_study
from hypothesis import given, settings
from hypothesis import strategies as st

from gdstudy.data.dataset import Dataset
from gdstudy.experiment.plan import STACK_NUMBERS, UNABLATED, Batch, Variant, plan, variants
from gdstudy.study.config import Ablations, Study, Training
from gdstudy.study.values import Sizes

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
    study = Study(ablations=ABLATED, gd=Training(ablations=["no_residuals", "leading_modes"]))
    first, second = variants(study)
    assert first.closed == STUDENT_TEACHER
    assert first.trained == (UNABLATED, ("leading_modes", 5), ("leading_modes", 10), ("no_residuals", None))
    assert ("leading_modes", 1) in second.closed
    assert ("leading_modes", 5) not in second.closed
    for batch in plan(study, empty(study)):
        variant = first if batch.dataset == "student_teacher" else second
        assert (batch.closed, batch.trained) == (variant.closed, variant.trained)


def test_what_gd_preprocesses_by_itself_is_a_second_variant_with_the_trained_ablations_alone():
    gd = Training(preprocess="standardize", ablations=["no_residuals"])
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
    study = Study(preprocess="standardize", gd=Training(preprocess=own))
    assert [(v.preprocess, v.trained) for v in variants(study)] == [("standardize", (UNABLATED,))] * 2


@pytest.mark.parametrize("own", ["same", "center"])
def test_a_study_without_gd_trains_nothing(own):
    study = Study(estimators=["min_norm"], ablations=ABLATED, gd=Training(preprocess=own))
    assert [v.trained for v in variants(study)] == [(), ()]
    assert all(b.trained == () and b.closed[0] == UNABLATED for b in plan(study, empty(study)))


# Models with a hidden layer


def hidden_study(models, **changes):
    gd = {"optimizer": "adamw", "step_size": "0.01"} if "superposition" in models else {}
    values = {"datasets": ["sparse_features"], "n_hidden": Sizes((2, 3, 6)), "gd": Training(**gd)}
    return Study(**{**values, "models": models, **changes})


def inputs(study, width=50):
    return [Dataset(v.dataset, np.zeros((1000, width)), np.zeros((1000, 0))) for v in variants(study)]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.sets(st.integers(1, 900), min_size=1, max_size=8),
    seeds=st.integers(1, 12),
    width=st.sampled_from([6, 50, 2000]),
    batch_cells=st.integers(1, 90),
)
def test_a_stack_of_superposition_holds_so_many_numbers_or_one_cell(sizes, seeds, width, batch_cells):
    study = hidden_study(["superposition"], n_train=sorted(sizes), seeds=seeds, batch_cells=batch_cells)
    batches = plan(study, inputs(study, width))
    assert [b.number for b in batches] == list(range(len(batches)))
    for hidden, group in itertools.groupby(batches, key=lambda b: b.n_hidden):
        group = list(group)
        assert hidden in study.n_hidden
        assert [cell for b in group for cell in b.cells] == list(itertools.product(sorted(sizes), range(seeds)))
        for b, after in itertools.zip_longest(group, group[1:]):
            # A stack is padded to its largest cell.
            numbers = len(b.cells) * max(n for n, _ in b.cells) * width
            assert len(b.cells) <= batch_cells
            assert numbers <= STACK_NUMBERS or len(b.cells) == 1
            if after is not None:  # and the next cell would not have fitted
                more = (len(b.cells) + 1) * after.cells[0][0] * width
                assert len(b.cells) == batch_cells or more > STACK_NUMBERS
    assert [b.n_hidden for b in batches] == sorted(b.n_hidden for b in batches)
    assert {b.n_hidden for b in batches} == {2, 3, 6}


def test_a_cell_is_as_large_as_what_its_steps_go_through():
    sizes = Sizes((5, 900))
    study = hidden_study(["bottleneck"], n_train=sizes, seeds=300, batch_cells=500)
    # On second moments that is P × P, whatever N is: 16 × 16 leave all room, of 64 × 64 a stack holds 64.
    assert [len(b.cells) for b in plan(study, inputs(study, 16))] == [500, 100] * 3
    assert [len(b.cells) for b in plan(study, inputs(study, 64))] == ([64] * 9 + [24]) * 3
    assert {len(b.cells) for b in plan(study, inputs(study, 600))} == {1}
    # Autograd goes through the rows.
    study.gd.engine = "autograd"
    assert len(plan(study, inputs(study, 600))) < 3 * 600
    assert {len(b.cells) for b in plan(study, inputs(study, 600)) if b.cells[0][0] == 900} == {1}
    with_large = hidden_study(["superposition"], n_train=sizes, seeds=300, batch_cells=500)
    assert len(plan(with_large, inputs(with_large, 500))) > 3 * 300  # its cells of 900 × 500 train alone


def test_a_gpu_takes_larger_stacks():
    cpu, gpu = (hidden_study(["superposition"], n_train=Sizes((800,)), seeds=50, device=d) for d in ("cpu", "cuda"))
    assert len(plan(cpu, inputs(cpu))) > len(plan(gpu, inputs(gpu)))
    assert [c for b in plan(cpu, inputs(cpu)) for c in b.cells] == [c for b in plan(gpu, inputs(gpu)) for c in b.cells]


LEVELS = (("learning_rate", 0.001), ("learning_rate", 0.1), ("restarts", 2), ("restarts", 4))


@pytest.mark.parametrize("model", ["superposition", "superposition_zero", "bottleneck", "bottleneck_zero"])
def test_step_sizes_and_starts_are_tried_at_the_smallest_width_and_there_alone(model):
    ablations = Ablations(learning_rate=[0.1, 0.001], restarts=[4, 2])
    gd = Training(step_size="0.01")
    study = hidden_study([model], ablations=ablations, gd=gd, n_train=Sizes((5,)), seeds=2)
    batches = plan(study, inputs(study))
    assert [b.n_hidden for b in batches] == [2, 3, 6]
    # Zero is one start, and a saddle at any step size.
    more, trainings = ((), 1) if model.endswith("_zero") else (LEVELS, 1 + 2 + 3)
    assert [b.trained for b in batches] == [(UNABLATED, *more), (UNABLATED,), (UNABLATED,)]
    # A bottleneck has a closed form, superposition has none.
    assert {b.closed for b in batches} == {(UNABLATED,) if "bottleneck" in model else ()}
    # The best of four starts holds those of two: once, two step sizes, three more starts.
    assert [b.trainings for b in batches] == [trainings, 1, 1]


@pytest.mark.parametrize(
    ("trained", "trainings"),
    [
        ((), 0),
        ((UNABLATED,), 1),
        ((UNABLATED, ("restarts", 1)), 1),
        ((UNABLATED, ("restarts", 3)), 3),
        ((UNABLATED, ("restarts", 2), ("restarts", 3)), 3),
        ((UNABLATED, ("learning_rate", 0.1), ("restarts", 2)), 3),
        ((UNABLATED, ("leading_modes", 3), ("adversarial_test", 1.0)), 1),  # only the test rows differ
        ((UNABLATED, ("no_residuals", None), ("singular_value_cutoff", 0.1)), 3),
    ],
)
def test_a_batch_knows_how_often_its_cells_are_trained(trained, trainings):
    batch = Batch(0, "d", "superposition", 5, 2, ((3, 0),), (), trained)
    assert batch.trainings == trainings


def test_each_noise_is_a_variant_of_its_data_set_clean_inputs_first():
    study = Study(datasets=["isotropic", "digits"], input_noise=[0.5, 0], models=["linear_autoencoder"], n_train=[3])
    found = [(v.dataset, v.input_noise) for v in variants(study)]
    assert found == [("isotropic", 0.0), ("isotropic", 0.5), ("digits", 0.0), ("digits", 0.5)]
    own = Study(
        datasets=["digits"],
        input_noise=[0, 0.5],
        models=["linear_autoencoder"],
        n_train=[3],
        gd=Training(preprocess="center"),
    )
    found = [(v.preprocess, v.input_noise, v.trained) for v in variants(own)]
    assert found == [
        *(("none", noise, ()) for noise in (0.0, 0.5)),
        *(("center", noise, (UNABLATED,)) for noise in (0.0, 0.5)),
    ]
