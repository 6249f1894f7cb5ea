"""What no study can be is one line that names the key, its value and what to do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdstudy.study.ablations import ABLATIONS
from gdstudy.study.config import Study
from gdstudy.study.datasets import DATASETS
from gdstudy.study.errors import StudyError
from gdstudy.study.groups import Training
from gdstudy.study.models import MODELS
from gdstudy.study.optimizers import OPTIMIZERS
from gdstudy.study.parser import study_of

# Good studies of each kind of model, which the cases below change.
READOUTS = {"n_train": [5, 10, 20]}
WIDE = {**READOUTS, "models": ["random_relu"], "n_parameters": [5]}
POLYNOMIALS = {**WIDE, "models": ["legendre"], "datasets": ["linear_plus_cosine"]}
BOTTLENECK = {
    "datasets": ["power_law"],
    "synthetic": {"n_rows": 60},
    "models": ["bottleneck"],
    "n_train": [5, 10],
    "n_hidden": [2],
}
SUPERPOSITION = {**BOTTLENECK, "datasets": ["sparse_features"], "models": ["superposition"], "gd": {"step_size": 0.01}}
ADAM = {"optimizer": "adam", "step_size": 0.01}
HEAVY_BALL = {"optimizer": "heavy_ball", "momentum": 0.9}
GOOD = {
    "readouts": READOUTS,
    "wide": WIDE,
    "polynomials": POLYNOMIALS,
    "bottleneck": BOTTLENECK,
    "superposition": SUPERPOSITION,
}

# (what is changed of which study, the message or its beginning).
BAD = [
    # Names
    (READOUTS, {"datasets": []}, "datasets=[] is empty; name at least one of: student_teacher, california_housing,"),
    (READOUTS, {"datasets": ["iris"]}, "datasets: unknown 'iris' (did you mean digits?); known: student_teacher,"),
    (READOUTS, {"datasets": ["diabetes"] * 2}, "datasets=['diabetes', 'diabetes'] names one twice; keep one"),
    (READOUTS, {"models": []}, "models=[] is empty; name at least one of: linear, legendre"),
    (READOUTS, {"models": ["linaer"]}, "models: unknown 'linaer' (did you mean linear?); known: linear, legendre"),
    (
        READOUTS,
        {"estimators": ["min_norm", "sgd"]},
        "estimators: unknown 'sgd' (did you mean gd?); known: min_norm, gd, theory",
    ),
    (READOUTS, {"estimators": ["gd"]}, "estimators=['gd'] must include min_norm, what the others are compared with"),
    (READOUTS, {"device": "tpu"}, "device='tpu' must be cpu, cuda, cuda:<number> or auto"),
    (READOUTS, {"gd": {"ablations": ["dropout"]}}, "gd.ablations: unknown 'dropout'; known: singular_value_cutoff,"),
    (
        READOUTS,
        {"gd": {"optimizer": "adamv"}},
        "gd.optimizer: unknown 'adamv' (did you mean adam?); known: gd, heavy_ball, sgd,",
    ),
    (
        READOUTS,
        {"ablations": {"leading_modes_of": {"iris": [1]}}},
        "ablations.leading_modes_of: unknown 'iris' (did you mean digits?); known: student_teacher,",
    ),
    # Bounds
    (READOUTS, {"n_train": []}, "n_train=[] is empty; give sizes such as 1-60 or [5, 10, 20]"),
    (READOUTS, {"input_noise": []}, "input_noise=[] is empty; write [0] for none"),
    (READOUTS, {"seeds": 0}, "seeds: 0 must be 1 … 1000000 seeds, such as 50, 100-199 or [3, 7]"),
    (READOUTS, {"batch_cells": 0}, "batch_cells=0 must lie in 1 … 1000000"),
    (READOUTS, {"gd": {"steps": -1}}, "gd.steps=-1 must lie in 1 … 1000000000000"),
    (READOUTS, {"gd": {"checkpoints_per_decade": 101}}, "gd.checkpoints_per_decade=101 must lie in 1 … 100"),
    (READOUTS, {"gd": {"tolerance": 2}}, "gd.tolerance=2 must lie in (0, 1)"),
    (READOUTS, {"gd": {"warmup": 1}}, "gd.warmup=1 must lie in [0, 1)"),
    (BOTTLENECK, {"gd": {"init_scale": 0}}, "gd.init_scale=0 must lie in 1e-12 … 1"),
    (BOTTLENECK, {"gd": {"restarts": 0}}, "gd.restarts=0 must lie in 1 … 1000"),
    (BOTTLENECK, {"synthetic": {"n_rows": 1}}, "synthetic.n_rows=1 must lie in 2 … 10000000"),
    (BOTTLENECK, {"synthetic": {"n_inputs": 0}}, "synthetic.n_inputs=0 must lie in 1 … 1000000"),
    (SUPERPOSITION, {"synthetic": {"p_nonzero": 0}}, "synthetic.p_nonzero=0 must lie in (0, 1]"),
    (
        SUPERPOSITION,
        {"synthetic": {"p_nonzero": 1e-9}},
        "synthetic.p_nonzero=1e-09 leaves nearly every row of 16 inputs empty; raise it to at least 6.25e-05",
    ),
    # What models require
    (WIDE, {"n_parameters": []}, "models: random_relu needs n_parameters, its numbers of features P, such as 1-200"),
    (BOTTLENECK, {"n_hidden": []}, "models: bottleneck needs n_hidden, the widths of its hidden layer, such as [2, 4]"),
    (
        SUPERPOSITION,
        {"estimators": ["min_norm"]},
        "estimators=['min_norm'] leaves superposition nothing to do: it is trained; add gd",
    ),
    (
        READOUTS,
        {"datasets": ["power_law"]},
        "datasets: power_law has no y for linear; use an autoencoder, linear_autoencoder, random_relu_autoencoder,",
    ),
    (
        POLYNOMIALS,
        {"datasets": ["diabetes"]},
        "models: legendre needs one input in [−1, 1]; use datasets: [linear_plus_cosine] without standardizing (here "
        "diabetes)",
    ),
    *[
        (
            POLYNOMIALS,
            change,
            "models: legendre needs one input in [−1, 1]; use datasets: [linear_plus_cosine] without standardizing "
            f"(here linear_plus_cosine, {key}=standardize)",
        )
        for key, change in (
            ("preprocess", {"preprocess": "standardize"}),
            ("gd.preprocess", {"gd": {"preprocess": "standardize"}}),
            ("trainings.scaled.preprocess", {"trainings": {"scaled": {"preprocess": "standardize"}}}),
        )
    ],
    # Keys without effect
    (READOUTS, {"n_parameters": [3, 4, 5]}, "n_parameters=3-5 has no effect: linear has the columns of the data"),
    (READOUTS, {"n_hidden": [2]}, "n_hidden=2 does not go with linear; it is for bottleneck, bottleneck_aligned,"),
    (
        BOTTLENECK,
        {"models": ["bottleneck", "linear_autoencoder"]},
        "n_hidden=2 does not go with linear_autoencoder; it is for bottleneck,",
    ),
    (READOUTS, {"input_noise": [0.5]}, "input_noise=0.5 has no effect on linear; it is for linear_autoencoder,"),
    (SUPERPOSITION, {"input_noise": [0.5]}, "input_noise=0.5 has no effect on superposition; it is for linear_auto"),
    # A constant
    (
        BOTTLENECK,
        {"intercept": True},
        "intercept=true is for readouts, not for bottleneck; leave it out, or take prepr",
    ),
    (
        READOUTS,
        {"intercept": True, "preprocess": "center_train"},
        "intercept=true has no effect with preprocess=center_train: rows minus their training means leave the constant",
    ),
    (
        READOUTS,
        {"intercept": True, "trainings": {"a": {"preprocess": "standardize_train"}}},
        "intercept=true has no effect with trainings.a.preprocess=standardize_train: rows minus their training means",
    ),
    (
        WIDE,
        {"preprocess": "standardize_train"},
        "preprocess=standardize_train is for linear, not for random_relu: each cell would have inputs and features of "
        "its own; take standardize",
    ),
    (
        POLYNOMIALS,
        {"gd": {"preprocess": "center_train"}},
        "gd.preprocess=center_train is for linear, not for legendre: each cell would have inputs and features of its",
    ),
    (
        BOTTLENECK,
        {"preprocess": "center_train"},
        "preprocess=center_train is for linear, not for bottleneck: each cell would have inputs and features of its",
    ),
    (READOUTS, {"intercept": "yes"}, "intercept: 'yes' must be true or false"),
    # Ablations
    (
        READOUTS,
        {"ablations": {"adversarial_test": [0.1, 0.10001]}},
        "ablations.adversarial_test=0.1, 0.10001 must differ in their first three digits",
    ),
    (
        BOTTLENECK,
        {"ablations": {"singular_value_cutoff": [0.1]}},
        "ablations.singular_value_cutoff is defined for readouts, not for bottleneck",
    ),
    (BOTTLENECK, {"ablations": {"no_residuals": True}}, "ablations.no_residuals is defined for readouts, not for bot"),
    (
        READOUTS,
        {"gd": {"ablations": ["no_residuals"]}},
        "gd.ablations: no_residuals has no levels in `ablations`; give it some there",
    ),
    # Optimizers
    (READOUTS, {"gd": {"optimizer_options": {"eps": 1}}}, "gd.optimizer_options={'eps': 1.0} has no effect on"),
    (
        READOUTS,
        {"gd": {"optimizer": "heavy_ball"}},
        "gd.optimizer=heavy_ball needs gd.momentum, in (0, 1), such as 0.9",
    ),
    (READOUTS, {"gd": {"momentum": 0.9}}, "gd.momentum=0.9 is for optimizer heavy_ball; here it is gd"),
    (READOUTS, {"gd": {**HEAVY_BALL, "momentum": 1}}, "gd.momentum=1 must lie in [0, 1)"),
    (READOUTS, {"gd": {**HEAVY_BALL, "warmup": 0.1}}, "gd.optimizer=heavy_ball has one constant step size; leave out"),
    (BOTTLENECK, {"gd": HEAVY_BALL}, "gd.optimizer=heavy_ball is for readouts; bottleneck can take sgd with"),
    (READOUTS, {"gd": {"optimizer": "adam"}}, "gd.step_size=auto is not known for adam; give a number, such as 0.01"),
    (SUPERPOSITION, {"gd": {}}, "gd.step_size=auto is not known for superposition; give a number, such as 0.01"),
    (READOUTS, {"gd": {"restarts": 3}}, "gd.restarts=3 has no effect: linear has one start"),
    *[
        (
            {**BOTTLENECK, "models": [name]},
            {"gd": {"restarts": 3}},
            f"gd.restarts=3 has no effect: {name} has one start",
        )
        for name in ("bottleneck_zero", "bottleneck_aligned")
    ],
    (BOTTLENECK, {"gd": {"n_hidden": [3]}}, "gd.n_hidden=3 is not studied; it must be one of n_hidden=2"),
    (
        BOTTLENECK,
        {"gd": {"tolerance": 1e-3}},
        "gd.init_scale=0.001 must be at least ten times 0.001 (gd.tolerance, 100 eps of float64): else a saddle",
    ),
    (
        BOTTLENECK,
        {"gd": {"dtype": "float32", "init_scale": 1e-4}},
        "gd.init_scale=0.0001 must be at least ten times 1.2e-05 (gd.tolerance, 100 eps of float32): else a saddle",
    ),
    # Trainings: the same of each, under its own name
    (READOUTS, {"trainings": {"a": {"stepz": 3}}}, "unknown key 'trainings.a.stepz' (did you mean trainings.a.steps?)"),
    (READOUTS, {"trainings": {"a": 3}}, "trainings: 3 must be a mapping of names to values"),
    (READOUTS, {"trainings": {"a": {"steps": "many"}}}, "trainings.a.steps: 'many' is no whole number; write one such"),
    (READOUTS, {"trainings": {"a": {"steps": 0}}}, "trainings.a.steps=0 must lie in 1 … 1000000000000"),
    (
        READOUTS,
        {"trainings": {"a": {"dtype": "float16"}}},
        "trainings.a.dtype: 'float16' must be one of float64, float32",
    ),
    (
        READOUTS,
        {"trainings": {"a": {"optimizer": "adamv"}}},
        "trainings.a.optimizer: unknown 'adamv' (did you mean adam?); known: gd, heavy_ball, sgd,",
    ),
    (
        READOUTS,
        {"trainings": {"a": {"optimizer": "adam"}}},
        "trainings.a.step_size=auto is not known for adam; give a number, such as 0.01",
    ),
    (
        READOUTS,
        {"trainings": {"a": {"optimizer_options": {"eps": 1}}}},
        "trainings.a.optimizer_options={'eps': 1.0} has no effect on optimizer gd",
    ),
    (
        READOUTS,
        {"trainings": {"a": {"ablations": ["no_residuals"]}}},
        "trainings.a.ablations: no_residuals has no levels in `ablations`; give it some there",
    ),
    (READOUTS, {"trainings": {"a": {"restarts": 3}}}, "trainings.a.restarts=3 has no effect: linear has one start"),
    (
        BOTTLENECK,
        {"trainings": {"a": {"n_hidden": 3}}},
        "trainings.a.n_hidden=3 is not studied; it must be one of n_hidden=2",
    ),
    (
        BOTTLENECK,
        {"trainings": {"a": {"tolerance": 1e-3}}},
        "trainings.a.init_scale=0.001 must be at least ten times 0.001 (trainings.a.tolerance, 100 eps of float64)",
    ),
    (READOUTS, {"trainings": {f"a{k}": {} for k in range(33)}}, "trainings: 33 names are too many; give at most 32"),
    (
        READOUTS,
        {"trainings": {"adam": ADAM}, "estimators": ["min_norm", "adam"]},
        "estimators: adam is one of `trainings`, which are all trained; take it out here",
    ),
    # Sizes
    (READOUTS, {"n_train": [442]}, "n_train=442 is too many for diabetes: it has 442 rows, and at least one is for"),
    (BOTTLENECK, {"n_train": [60]}, "n_train=60 is too many for power_law: it has 60 rows, and at least one is for"),
    (BOTTLENECK, {"n_hidden": [17]}, "n_hidden=17 is no bottleneck for power_law: it has 16 columns; use at most as"),
    (
        BOTTLENECK,
        {"synthetic": {"n_rows": 10**7, "n_inputs": 1000}},
        "synthetic.n_rows=10000000 × n_inputs=1000 is too large for power_law: at most 1e+08 numbers and 1e+05 inputs",
    ),
    (
        SUPERPOSITION,
        {"synthetic": {"n_rows": 10**3, "n_inputs": 10**6}},
        "synthetic.n_rows=1000 × n_inputs=1000000 is too large for sparse_features: at most 4e+09 numbers and 1e+05 in",
    ),
    (
        READOUTS,
        {"n_train": "1-400", "seeds": 10**6},
        "the study has 800,000,000 cells, more than 10,000,000; lower seeds, or give n_train a stride",
    ),
]


@pytest.mark.parametrize("name", GOOD)
def test_the_studies_that_are_changed_here_are_good(name):
    assert study_of(GOOD[name]).models == GOOD[name].get("models", ["linear"])


@pytest.mark.parametrize(("base", "changes", "message"), BAD, ids=[message[:60] for *_, message in BAD])
def test_what_cannot_be_is_one_line_that_names_key_value_and_remedy(base, changes, message):
    study_of(base)
    with pytest.raises(StudyError) as error:
        study_of({**base, **changes})
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 450


OLD_KEYS = [
    ({"dtype": "float32"}, "dtype is no key any more: each training has its own; write gd.dtype"),
    (
        {"ablations": {"learning_rate": [0.1]}},
        "ablations.learning_rate is no key any more: a step size is a training; write it as trainings: {slow: "
        "{step_size: 0.001}}",
    ),
    (
        {"ablations": {"restarts": [3]}},
        "ablations.restarts is no key any more: they are a training; write it as trainings: {best_of_3: {restarts: 3}}",
    ),
]


@pytest.mark.parametrize(("values", "message"), OLD_KEYS)
def test_a_key_of_an_earlier_version_says_what_to_write_now(values, message):
    with pytest.raises(StudyError) as error:
        study_of(values)
    assert str(error.value) == message


def test_what_the_messages_of_old_keys_say_to_write_can_be_written():
    slow = study_of({"gd": {"dtype": "float32"}, "trainings": {"slow": {"step_size": 0.001}}}).trained["slow"]
    assert (slow.dtype, slow.step_size.value) == ("float32", 0.001)
    assert study_of({**BOTTLENECK, "trainings": {"best_of_3": {"restarts": 3}}}).trained["best_of_3"].restarts == 3


# Names of trainings


@pytest.mark.parametrize(
    "name",
    [
        *(
            "gd",
            "min_norm",
            "pca",
            "reduced_rank",
            "ridge",
            "theory",
            "adam_closed_form",
            "Adam",
            "2nd",
            "a-b",
            "",
            "a" * 41,
        ),
        *("a b", "a.b", "a\n", "\x1b[31m", "..", "a/b", "_a", "σ"),
    ],
)
def test_a_name_that_another_estimator_has_or_that_is_no_word_is_refused(name):
    with pytest.raises(StudyError, match=r"^trainings: .* names an estimator: small letters, digits and _") as error:
        study_of({"trainings": {name: {"nothing": 3}}})  # before anything else is said of it
    assert str(error.value).isprintable()


@given(name=st.from_regex(r"[a-z][a-z0-9_]{0,30}", fullmatch=True))
@settings(max_examples=30, deadline=None)
def test_any_other_word_is_an_estimator(name):
    if name not in ("gd", "min_norm", "pca", "reduced_rank", "ridge", "theory") and not name.endswith("_closed_form"):
        assert list(study_of({"trainings": {name: {}}}).trained) == ["gd", name]


# What must not be refused


def test_every_optimizer_trains_every_kind_of_model():
    for base in GOOD.values():
        for name in [name for name, facts in OPTIMIZERS.items() if not facts.momentum]:
            study = study_of({**base, "trainings": {"other": {"optimizer": name, "step_size": 0.01, "warmup": 0.1}}})
            assert study.trained["other"].optimizer == name


def test_another_optimizer_does_not_inherit_momentum():
    study = study_of({**READOUTS, "gd": HEAVY_BALL, "trainings": {"plain": {"optimizer": "gd"}, "single": {}}})
    assert study.trained["plain"].momentum == 0
    assert study.trained["single"].momentum == 0.9


def test_whole_numbers_of_modes_need_not_differ_in_three_digits():
    study = study_of({"ablations": {"leading_modes": [1000, 1001]}})
    assert study.ablations.levels("diabetes") == [("leading_modes", 1000), ("leading_modes", 1001)]


def test_what_gd_would_be_is_not_asked_of_a_study_that_does_not_train_it():
    values = {**READOUTS, "estimators": ["min_norm"], "gd": {"optimizer": "adam"}}
    assert study_of(values).trained == {}
    trained = study_of({**values, "trainings": {"adam": {"step_size": 0.1}}}).trained
    assert list(trained) == ["adam"]
    with pytest.raises(StudyError, match=r"^trainings.adam.step_size=auto is not known for adam"):
        study_of({**values, "trainings": {"adam": {}}})


def test_a_zero_start_passes_no_saddle_on_its_way():
    values = {**BOTTLENECK, "models": ["bottleneck_zero"], "gd": {"tolerance": 0.01}}
    assert study_of(values).gd.tolerance == 0.01


@pytest.mark.parametrize("base", ["readouts", "wide", "polynomials"])
def test_every_readout_may_have_an_intercept_and_what_is_not_trained_may_be_preprocessed_as_it_likes(base):
    assert study_of({**GOOD[base], "intercept": True, "gd": {"preprocess": "none"}}).intercept
    unused = {"estimators": ["min_norm"], "gd": {"preprocess": "standardize_train"}}
    assert study_of({**GOOD[base], "intercept": True, **unused}).trained == {}


# What each entry of the tables requires is asked of a study


@pytest.mark.parametrize("name", MODELS)
def test_each_model_says_what_it_needs_and_is_content_with_it(name):
    model = MODELS[name]
    has_y = [data for data in DATASETS.values() if data.has_targets or model.autoencoder]
    fits = [data.name for data in has_y if model.inputs == "any" or data.inputs == "interval"]
    values = {"datasets": fits[:2], "models": [name], "n_train": [2, 3], "gd": {"step_size": 0.01}}
    values |= {"n_hidden": [1]} if model.layered else {}
    values |= {"n_parameters": [3]} if model.width == "n_parameters" else {}
    assert study_of(values).models == [name]
    for key in ("n_hidden", "n_parameters"):
        if key in values:
            with pytest.raises(StudyError, match=rf"^models: {name} needs {key}"):
                study_of({**values, key: []})
    for data in DATASETS.values():
        if data.name not in fits:
            with pytest.raises(StudyError, match=rf"{name}.* use ") as error:
                study_of({**values, "datasets": [data.name]})
            assert data.name in str(error.value)
    if not model.automatic:
        with pytest.raises(StudyError, match=f"gd.step_size=auto is not known for {name}"):
            study_of({**values, "gd": {}})


@pytest.mark.parametrize("name", ABLATIONS)
def test_each_ablation_is_of_readouts_and_is_trained_where_it_has_levels(name):
    levels = {name: [1] if ABLATIONS[name].has_levels else True}
    study = study_of({**READOUTS, "ablations": levels, "gd": {"ablations": [name]}})
    assert [ablation for ablation, _ in study.ablations.levels("diabetes")] == [name]
    with pytest.raises(StudyError, match=f"ablations.{name} is defined for readouts, not for bottleneck"):
        study_of({**BOTTLENECK, "ablations": levels})


def test_a_study_made_in_python_is_checked_as_a_mapping_is():
    with pytest.raises(StudyError, match=r"^trainings.a.steps=0 must lie in"):
        Study(trainings={"a": {"steps": 0}})
    with pytest.raises(StudyError, match=r"^gd.step_size=auto is not known for adam"):
        Study(gd=Training(optimizer="adam"))
