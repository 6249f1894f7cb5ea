"""What is suggested for a name that is not known."""

import pytest

from gdstudy.study.errors import suggestion

KNOWN = ["diabetes", "MNIST", "california_housing"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        *(("diabets", "diabetes"), ("DIABETES", "diabetes"), ("DiAbEtEs", "diabetes")),
        *(("mnist", "MNIST"), ("MNITS", "MNIST"), ("California-Housing", "california_housing")),
    ],
)
def test_the_nearest_name_is_suggested_whatever_is_in_capitals(word, meant):
    assert suggestion(word, KNOWN) == f" (did you mean {meant}?)"


@pytest.mark.parametrize("word", ["", "x", "wine", "WINE"])
def test_nothing_is_suggested_where_nothing_is_near(word):
    assert suggestion(word, KNOWN) == ""
    assert suggestion(word, []) == ""
