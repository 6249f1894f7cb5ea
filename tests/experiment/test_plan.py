"""A study's batches hold each of its cells once, whatever its sizes."""

import itertools

import pytest
from conftest import small_study
from hypothesis import given, settings
from hypothesis import strategies as st

from gdstudy.experiment.plan import (
    STACK_NUMBERS,
    Batch,
    Variant,
    budget,
    n_starts,
    plan,
    producible,
    producible_levels,
    variants,
)
from gdstudy.study.ablations import UNABLATED
from gdstudy.study.config import Study
from gdstudy.study.groups import Ablations, Synthetic, Training
from gdstudy.study.models import MODELS
from gdstudy.study.values import Sizes

WIDTHS = {"student_teacher": 20, "diabetes": 10, "linear_plus_cosine": 1}


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
    batches = plan(study)
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
    assert plan(study) == batches


def test_another_batch_size_makes_other_batches_of_the_same_cells():
    few, many = (small_study(batch_cells=size) for size in (20, 3))
    first, second = plan(few), plan(many)
    assert len(first) < len(second)
    assert [c for b in first for c in b.cells] == [c for b in second for c in b.cells]


def test_linear_has_the_columns_of_the_data_and_other_models_what_the_study_says():
    study = small_study(models=["linear", "random_relu"], n_parameters=Sizes((7, 30)), batch_cells=1000)
    found = [(b.dataset, b.model, b.n_parameters) for b in plan(study)]
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
    trained = (UNABLATED, ("leading_modes", 5), ("leading_modes", 10), ("no_residuals", None))
    assert first.trained == (("gd", trained),)
    assert ("leading_modes", 1) in second.closed
    assert ("leading_modes", 5) not in second.closed
    for batch in plan(study):
        variant = first if batch.dataset == "student_teacher" else second
        assert (batch.closed, batch.trained) == (variant.closed, variant.trained)


def test_what_a_training_preprocesses_by_itself_is_a_variant_with_its_ablations_alone():
    """The closed form of the same data stands beside it, whoever else is trained on the study's own."""
    gd = Training(ablations=["no_residuals"])
    scaled = {"preprocess": "standardize", "ablations": ["singular_value_cutoff"]}
    trainings = {"scaled": scaled, "centred": {"preprocess": "center"}, "slow": {"step_size": 0.001}}
    study = Study(datasets=["student_teacher", "diabetes"], ablations=ABLATED, gd=gd, trainings=trainings)
    mine = (UNABLATED, ("no_residuals", None))
    cut = (UNABLATED, ("singular_value_cutoff", 0.1), ("singular_value_cutoff", 1.0))
    found = variants(study)
    assert [v.preprocess for v in found] == ["none", "none", "standardize", "standardize", "center", "center"]
    assert [v.dataset for v in found] == ["student_teacher", "diabetes"] * 3
    assert found[0] == Variant("student_teacher", "none", 0.0, STUDENT_TEACHER, (("gd", mine), ("slow", mine)))
    assert found[2:4] == [Variant(name, "standardize", 0.0, cut, (("scaled", cut),)) for name in study.datasets]
    assert found[4:] == [Variant(name, "center", 0.0, mine, (("centred", mine),)) for name in study.datasets]
    batches = plan(study)
    assert {(b.dataset, b.preprocess) for b in batches} == {(v.dataset, v.preprocess) for v in found}
    for batch in batches:
        (variant,) = (v for v in found if (v.dataset, v.preprocess) == (batch.dataset, batch.preprocess))
        assert (batch.closed, batch.trained) == (variant.closed, variant.trained)


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ({}, {20, 10, 7}),
        ({"preprocess": "center"}, {20, 10, 7}),
        ({"intercept": True}, {21, 11, 8}),
        ({"intercept": True, "preprocess": "standardize"}, {21, 11, 8}),
    ],
)
def test_a_constant_is_one_more_parameter(how, found):
    study = small_study(models=["linear", "random_relu"], n_parameters=[7], **how)
    assert {batch.n_parameters for batch in plan(study)} == found
    assert producible(study)["n_parameters"] == found


def test_a_training_mean_is_one_more_parameter_where_it_is_taken():
    study = small_study(gd=Training(preprocess="standardize_train"), trainings={"raw": {"preprocess": "none"}})
    widths = {(b.preprocess, b.dataset, b.n_parameters) for b in plan(study)}
    raw = {("none", "student_teacher", 20), ("none", "diabetes", 10)}
    assert widths == raw | {("standardize_train", dataset, P + 1) for _, dataset, P in raw}
    assert producible(study)["n_parameters"] == {20, 21, 10, 11}


def test_several_trainings_of_one_preprocessing_share_a_variant():
    trainings = {name: {"preprocess": "standardize", "steps": n} for name, n in (("short", 5), ("long", 50))}
    _, _, own, _ = variants(Study(trainings=trainings))
    assert own.trained == (("short", (UNABLATED,)), ("long", (UNABLATED,)))
    assert own.closed == (UNABLATED,)


@pytest.mark.parametrize("own", ["same", "standardize"])
def test_without_a_preprocessing_of_its_own_gd_sees_the_studys_data(own):
    study = Study(preprocess="standardize", gd=Training(preprocess=own))
    assert [(v.preprocess, v.trained) for v in variants(study)] == [("standardize", (("gd", (UNABLATED,)),))] * 2


@pytest.mark.parametrize("own", ["same", "center"])
def test_a_study_without_trainings_trains_nothing(own):
    study = Study(estimators=["min_norm"], ablations=ABLATED, gd=Training(preprocess=own))
    assert [v.trained for v in variants(study)] == [(), ()]
    assert all(b.trained == () and b.closed[0] == UNABLATED for b in plan(study))


# Models with a hidden layer


def hidden_study(models, width=50, **changes):
    gd = {"optimizer": "adamw", "step_size": "0.01"} if "superposition" in models else {}
    values = {"datasets": ["sparse_features"], "n_hidden": Sizes((2, 3, 6)), "gd": Training(**gd)}
    synthetic = Synthetic(n_inputs=width, n_rows=1000)
    return Study(**{**values, "models": models, "synthetic": synthetic, **changes})


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.sets(st.integers(1, 900), min_size=1, max_size=8),
    seeds=st.integers(1, 12),
    width=st.sampled_from([6, 50, 2000]),
    batch_cells=st.integers(1, 90),
)
def test_a_stack_of_superposition_holds_so_many_numbers_or_one_cell(sizes, seeds, width, batch_cells):
    study = hidden_study(["superposition"], width, n_train=sorted(sizes), seeds=seeds, batch_cells=batch_cells)
    batches = plan(study)
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
    sizes = {"n_train": Sizes((5, 900)), "seeds": 300, "batch_cells": 500}

    def stacks(width, model="bottleneck", **changes):
        return [len(b.cells) for b in plan(hidden_study([model], width, **sizes, **changes))]

    # On second moments that is P × P, whatever N is: 16 × 16 leave all room, of 64 × 64 a stack holds 64.
    assert stacks(16) == [500, 100] * 3
    assert stacks(64) == ([64] * 9 + [24]) * 3
    assert set(stacks(600)) == {1}
    # Autograd goes through the rows, if but one of the trainings does.
    for changes in ({"gd": Training(engine="autograd")}, {"trainings": {"other": {"engine": "autograd"}}}):
        batches = plan(hidden_study(["bottleneck"], 600, **sizes, **changes))
        assert len(batches) < 3 * 600
        assert {len(b.cells) for b in batches if b.cells[0][0] == 900} == {1}
    assert len(stacks(500, "superposition")) > 3 * 300  # its cells of 900 × 500 train alone


def test_a_gpu_takes_larger_stacks():
    cpu, gpu = (hidden_study(["superposition"], n_train=Sizes((800,)), seeds=50, device=d) for d in ("cpu", "cuda"))
    assert len(plan(cpu)) > len(plan(gpu))
    assert [c for b in plan(cpu) for c in b.cells] == [c for b in plan(gpu) for c in b.cells]


NAMES = ("gd", "slow", "best_of_4")


@pytest.mark.parametrize("model", ["superposition", "superposition_zero", "bottleneck", "bottleneck_zero"])
def test_a_training_is_done_at_its_own_hidden_widths_and_at_a_saddle_the_first_alone(model):
    trainings = {"slow": {"step_size": 0.001, "n_hidden": 2}, "best_of_4": {"restarts": 4, "n_hidden": [2, 6]}}
    sees = {"models": [model] if "zero" not in model else [model.removesuffix("_zero"), model]}
    gd = Training(step_size="0.01")
    study = hidden_study(sees["models"], trainings=trainings, gd=gd, n_train=Sizes((5,)), seeds=2)
    batches = [b for b in plan(study) if b.model == model]
    assert [b.n_hidden for b in batches] == [2, 3, 6]
    saddle = MODELS[model].stalls
    expected = [("gd",), ("gd",), ("gd",)] if saddle else [NAMES, ("gd",), ("gd", "best_of_4")]
    assert [tuple(name for name, _ in b.trained) for b in batches] == expected
    assert {levels for b in batches for _, levels in b.trained} == {(UNABLATED,)}
    # A bottleneck has a closed form, superposition has none.
    assert {b.closed for b in batches} == {(UNABLATED,) if "bottleneck" in model else ()}


@pytest.mark.parametrize(
    ("model", "starts"),
    [
        ("superposition", 5),
        ("bottleneck", 5),
        ("superposition_zero", 1),
        ("bottleneck_zero", 1),
        ("bottleneck_aligned", 1),
        ("linear", 1),
    ],
)
def test_only_starts_that_are_drawn_differ(model, starts):
    assert n_starts(MODELS[model], 5) == starts
    assert n_starts(MODELS[model], 1) == 1


@pytest.mark.parametrize(
    ("trained", "trainings"),
    [
        ((), 0),
        ((("gd", (UNABLATED,)),), 1),
        ((("gd", (UNABLATED, ("leading_modes", 3), ("adversarial_test", 1.0))),), 1),  # only the test rows differ
        ((("gd", (UNABLATED, ("no_residuals", None), ("singular_value_cutoff", 0.1))),), 3),
        ((("gd", (UNABLATED,)), ("long", (UNABLATED, ("no_residuals", None)))), 1 + 2 * 10),
    ],
)
def test_a_batch_knows_how_many_steps_its_cells_may_take(trained, trainings):
    study = Study(gd=Training(steps=100), trainings={"long": {"steps": 1000}})
    batch = Batch(0, "diabetes", "none", 0.0, "linear", 10, None, ((3, 0), (3, 1)), (UNABLATED,), trained)
    cells, steps = budget(study, batch)
    assert steps == (2 * 100 * trainings or 2)
    assert cells == 2 * max(1, sum(len([x for x in levels if x[0] not in _OF_TEST]) for _, levels in trained))


_OF_TEST = ("leading_modes", "adversarial_test")


def test_more_starts_are_more_steps_and_a_saddle_is_one():
    study = hidden_study(["bottleneck"], n_train=Sizes((5,)), seeds=2, trainings={"best_of_4": {"restarts": 4}})
    assert {budget(study, b) for b in plan(study)} == {(2 + 2 * 4, (2 + 2 * 4) * study.gd.steps)}
    stalls = hidden_study(["bottleneck_zero"], n_train=Sizes((5,)), seeds=2)
    assert {budget(stalls, b) for b in plan(stalls)} == {(2, 2)}


def test_what_a_study_can_produce_is_what_its_batches_hold():
    trainings = {"scaled": {"preprocess": "standardize", "ablations": ["no_residuals"]}}
    study = small_study(trainings=trainings, ablations=ABLATED, input_noise=[0])
    found, batches = producible(study), plan(study)
    for name in ("dataset", "preprocess", "input_noise", "model", "n_parameters"):
        assert {getattr(b, name) for b in batches} == found[name]
    assert {n for b in batches for n, _ in b.cells} == found["n_train"]
    assert {"gd", "scaled", "scaled_closed_form", "min_norm"} <= found["estimator"]
    levels = producible_levels(study)
    assert set(levels) == found["ablation"]
    assert {x for b in batches for x in b.closed} == {(name, level) for name in levels for level in levels[name]}


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
        *(("center", noise, (("gd", (UNABLATED,)),)) for noise in (0.0, 0.5)),
    ]
