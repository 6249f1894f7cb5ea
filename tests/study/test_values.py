"""Values of a study as people write them."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gdstudy.study.config import Study
from gdstudy.study.errors import StudyError
from gdstudy.study.groups import Training
from gdstudy.study.parser import as_dict, as_yaml, study_of
from gdstudy.study.values import Levels, Memory, Sizes, StepSize, Threads, convert, in_bytes, real, whole

WHOLE = [(50, 50), (50.0, 50), ("50", 50), ("1e5", 100_000), (1e5, 100_000), ("+3", 3), (np.int64(7), 7)]


@pytest.mark.parametrize(("value", "expected"), [*WHOLE, (np.float32(8), 8)])
def test_whole_numbers_are_taken_in_any_form(value, expected):
    found = whole(value)
    assert (type(found), found) == (int, expected)


NO_WHOLE = [2.5, "2.5", "many", "", True, None, [5], float("nan"), "1e400", 10**400, "9" * 5000, 1j]


@pytest.mark.parametrize("value", NO_WHOLE)
def test_what_is_no_whole_number_is_refused_and_says_what_is_one(value):
    with pytest.raises(ValueError, match=r"is no whole number; write one such as 50 or 1e5|is out of reach") as error:
        whole(value)
    assert len(str(error.value)) < 150


@pytest.mark.parametrize("value", ["1e-10", 1e-10, np.float64(1e-10)])
def test_real_numbers_are_taken_in_any_form(value):
    assert real(value) == 1e-10


@pytest.mark.parametrize("value", ["many", True, None, float("inf"), "nan", "1-2", {}])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="is no number; write one such as"):
        real(value)


@pytest.mark.parametrize(
    ("value", "sizes"),
    [
        ("1-5", [1, 2, 3, 4, 5]),
        ("1-60/5", list(range(1, 61, 5))),
        ("1-60 / 20", [1, 21, 41]),
        ("5, 10, 20", [5, 10, 20]),
        ("[5, 10]", [5, 10]),
        ("1-3, 50, 10-30/10", [1, 2, 3, 10, 20, 30, 50]),
        ([5, "7-8", 1e3], [5, 7, 8, 1000]),
        (range(2, 9, 3), [2, 5, 8]),
        (np.array([4, 2, 4]), [2, 4]),
        (7, [7]),
        ("", []),
        ([], []),
    ],
)
def test_sizes_are_lists_ranges_and_strides(value, sizes):
    found = Sizes.parse(value)
    assert list(found) == sizes
    assert all(type(size) is int for size in found)


NO_SIZES = ["many", "9-3", "0", "1-60/0", "1-2-3", "[5", "5]", [True], [2.5], [[1]], {"a": 1}, "-1", "1-5/", 10**20]


@pytest.mark.parametrize("value", NO_SIZES)
def test_what_is_no_list_of_sizes_is_refused(value):
    with pytest.raises(ValueError, match=r"is no list of sizes|must count up from at least 1"):
        Sizes.parse(value)


@pytest.mark.parametrize("value", ["1-1000000000", "1-999999999/2", ["1-900000", "1-900000"]])
def test_ranges_beyond_any_study_are_refused_before_they_are_written_out(value):
    with pytest.raises(ValueError, match=r"names [\d,]+ sizes, more than 100,000; write a stride"):
        Sizes.parse(value)


@given(st.sets(st.integers(1, 200)))
def test_sizes_are_written_as_they_are_read(sizes):
    assert Sizes.parse(str(Sizes.parse(sorted(sizes)))) == tuple(sorted(sizes))


def test_sizes_are_written_as_people_would():
    for text in ("1-60", "5, 10, 20", "1-40, 50", "1-56/5", "2, 4, 8, 12, 14-18, 24", "5-30/5, 40"):
        assert str(Sizes.parse(text)) == text


def test_levels_are_numbers_from_zero_in_order():
    assert Levels.parse("1, 0.1, 1e-3") == (0.001, 0.1, 1)
    assert Levels.parse(0.5) == (0.5,)
    for wrong in ([True], [-1], "many", [float("nan")], {"a": 1}, [[1]]):
        with pytest.raises(ValueError, match=r"is no list of numbers|must hold finite numbers"):
            Levels.parse(wrong)
    with pytest.raises(ValueError, match="20,000 numbers are too many"):
        Levels.parse(list(range(20_000)))


def test_step_sizes_and_threads_are_auto_or_numbers():
    assert StepSize.parse("auto").value == "auto"
    assert StepSize.parse("1e-3").value == 1e-3
    assert (Threads.parse("auto").value, Threads.parse("2").value, Threads.parse(1e1).value) == (None, 2, 10)
    for kind, wrong in ((StepSize, [0, -1, "big", True, None]), (Threads, [0, 2.5, "many", True, 10**6])):
        for value in wrong:
            with pytest.raises(ValueError, match="must be `auto`"):
                kind.parse(value)


def test_memory_is_bytes_with_or_without_a_unit():
    given = {
        "2GB": 2 * 10**9,
        "500MB": 5 * 10**8,
        " 1.5 gb ": 1.5e9,
        "2e9": 2e9,
        3 * 10**8: 3e8,
        "400000kB": 4e8,
        "1TB": 1e12,
    }
    for value, expected in given.items():
        assert Memory.parse(value).value == expected
        assert Memory.parse(Memory.parse(value)).value == expected
    for wrong in ("much", "2 GiB", "10MB", 0, -1, True, [2], "1e30GB", "GB", float("nan")):
        with pytest.raises(ValueError, match="must be bytes, at least 100MB, such as 2GB or 500MB"):
            Memory.parse(wrong)
    assert [in_bytes(n) for n in (2 * 10**9, 195_400_000, 12_345)] == ["2 GB", "195 MB", "12.3 kB"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gd": Training(dtype="float16")}, "gd.dtype: 'float16' must be one of float64, float32"),
        ({"seeds": 2.5}, "seeds: 2.5 is no whole number; write one such as 50 or 1e5"),
        ({"datasets": ["diabetes", 3]}, "datasets: 3 is no name"),
        ({"gd": {"steps": 5}}, r"gd: \{'steps': 5\} is not allowed; give a Training"),
        ({"gd": Training(steps="many")}, "gd.steps: 'many' is no whole number"),
        ({"n_train": None}, "n_train: is blank"),
        ({"device": 0}, "device: 0 must be a text"),
        ({"n_train": range(1, 10**9)}, r"names 999,999,999 sizes, more than 100,000"),
        ({"n_train": itertools.count(1)}, r"has more than 100,000 values; give fewer"),
        ({"datasets": itertools.cycle(["diabetes"])}, r"has more than 100,000 values; give fewer"),
        ({"input_noise": itertools.count()}, r"has more than 100,000 values; give fewer"),
        ({"seeds": Fraction(10**400, 3)}, r"seeds: .* is no whole number"),
        ({"gd": Training(optimizer_options=dict.fromkeys(map(str, range(50)), 1))}, "50 names are too many"),
        ({"n_train": "1-400", "seeds": 10**6}, r"the study has 800,000,000 cells, more than 10,000,000"),
    ],
)
def test_a_study_built_in_python_is_checked_as_a_yaml_file_is(changes, message):
    with pytest.raises(StudyError, match=message):
        Study(**changes)


def test_values_of_a_study_become_those_of_their_type():
    study = Study(datasets="diabetes", seeds="1e1", n_train=[1e1, "5-7"], gd=Training(steps=np.float64(1e5)))
    assert (study.datasets, len(study.seeds), study.n_train, study.gd.steps) == (
        ["diabetes"],
        10,
        (5, 6, 7, 10),
        100_000,
    )
    assert study == study_of(yaml.safe_load(as_yaml(study)))
    assert as_dict(study)["n_train"] == "5-7, 10"


def test_numbers_and_texts_of_numpy_become_pythons():
    options = {np.str_("momentum"): np.float32(0.5)}
    study = Study(
        datasets=np.array(["diabetes"]),
        n_train=np.array(5),
        device=np.str_("cpu"),
        models=["superposition"],
        n_hidden=range(2, 9, 3),
        gd=Training(step_size=Fraction(1, 10), optimizer="sgd", optimizer_options=options, dtype=np.str_("float32")),
    )
    assert (study.datasets, study.n_train, study.n_hidden, study.gd.step_size.value) == (
        ["diabetes"],
        (5,),
        (2, 5, 8),
        0.1,
    )
    assert study == study_of(yaml.safe_load(as_yaml(study)))


def test_every_type_of_the_schema_refuses_a_blank():
    for kind in (int, float, bool, str, list[str], dict[str, float], Sizes, Levels, Memory, StepSize, Threads):
        with pytest.raises(ValueError, match="is blank; give it a value"):
            convert(kind, None)
