"""The closed forms beside X⁺y that a study can ask for, and what they require."""

import pytest

from gdstudy.study.config import Study
from gdstudy.study.entries import code
from gdstudy.study.errors import StudyError
from gdstudy.study.estimators import CLOSED_FORMS, asked_for, written
from gdstudy.study.groups import GDExact, Ridge, Training
from gdstudy.study.parser import as_dict, study_of


def test_each_names_its_code_and_a_key_that_is_there():
    for name, form in CLOSED_FORMS.items():
        assert (form.name, callable(code(form.solve))) == (name, True)
        assert form.levels_in(Study()) in ((), (None,))
        assert bool(form.levels) == bool(form.symbol) == bool(form.folder) == bool(form.example)


def test_a_study_has_them_in_its_order_with_its_levels():
    study = Study(
        estimators=["gd_exact", "min_norm", "ridge"], ridge=Ridge(levels="1, 0.1"), gd_exact=GDExact(steps=["1e3", 5])
    )
    assert [(form.name, form.levels_in(study)) for form in asked_for(study)] == [
        ("gd_exact", (5, 1000)),
        ("ridge", (0.1, 1.0)),
    ]
    assert as_dict(study_of(as_dict(study))) == as_dict(study)


@pytest.mark.parametrize(
    ("level", "text", "separated"),
    [(1000, "1000", "1,000"), (1e7, "10000000", "10,000,000"), (1e-12, "1e-12", "1e-12"), (0.01, "0.01", "0.01")],
)
def test_levels_are_written_in_few_letters(level, text, separated):
    assert (written(level), written(level, ",")) == (text, separated)


BOTTLENECK = {"datasets": ["digits"], "models": ["bottleneck"], "n_hidden": [2], "n_train": [5]}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"estimators": ["min_norm", "ridge"]}, "estimators: ridge needs ridge.levels, such as"),
        ({"estimators": ["min_norm", "gd_exact"]}, "estimators: gd_exact needs gd_exact.steps, such as"),
        ({"estimators": ["ridge_loo"]}, "must include min_norm"),
        (
            {**BOTTLENECK, "estimators": ["min_norm", "ridge_loo"]},
            "ridge_loo is defined for readouts, not for bottleneck",
        ),
        ({"ridge": Ridge(levels=[1, 1.0001])}, "ridge.levels=1, 1.0001 must differ in their first three digits"),
        (
            {
                "estimators": ["min_norm", "gd_exact"],
                "gd_exact": GDExact(steps=[5]),
                "gd": Training(optimizer="adam", step_size="0.1"),
            },
            "gd_exact is plain descent from zero, which gd is not here",
        ),
        ({"trainings": {"ridge_loo": {}}}, "names an estimator"),
    ],
)
def test_what_does_not_go_together_is_said_in_a_line(changes, complaint):
    with pytest.raises(StudyError, match=complaint.replace("(", r"\(")):
        Study(**changes)


def test_bad_levels_name_their_key():
    for group, kind, key in (("ridge", Ridge, "levels"), ("gd_exact", GDExact, "steps")):
        with pytest.raises(StudyError, match=f"^{group}.{key}: "):
            Study(**{group: kind(**{key: "many"})})
