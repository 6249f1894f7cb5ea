"""Seeds as people write them, and the share of a study's batches that a shard has."""

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gdstudy.study.config import Study
from gdstudy.study.parser import as_dict, as_yaml, study_of
from gdstudy.study.seeds import LARGEST_SEED, Seeds, Shard

WRITTEN = [
    (50, range(50), 50),
    ("50", range(50), 50),
    (1, [0], 1),
    (np.int64(3), range(3), 3),
    ("100-199", range(100, 200), "100-199"),
    ("100-199/10", range(100, 200, 10), "100-190/10"),
    ([3, 7], [3, 7], "3, 7"),
    ("[3, 7]", [3, 7], "3, 7"),
    ("0-9, 20", [*range(10), 20], "0-9, 20"),
    ("100-109, 0-9", [*range(100, 110), *range(10)], "100-109, 0-9"),  # in the order that was given
    ([7, 3, 7], [7, 3], "7, 3"),  # each once
    ([5], [5], [5]),
    ("[5]", [5], [5]),
    ("5-5", [5], [5]),
    ("0-49", range(50), 50),
    (range(4, 11, 3), [4, 7, 10], "4, 7, 10"),
    (range(5, 6), [5], [5]),
    (np.array([2, 9]), [2, 9], "2, 9"),
    ([LARGEST_SEED], [LARGEST_SEED], [LARGEST_SEED]),
]


@pytest.mark.parametrize(("value", "seeds", "written"), WRITTEN)
def test_seeds_are_counted_or_named_and_written_as_people_do(value, seeds, written):
    found = Seeds.parse(value)
    assert tuple(found) == tuple(seeds)
    assert (found.written, str(found)) == (written, str(written))
    assert Seeds.parse(found.written) == found


@given(st.lists(st.integers(0, 60), min_size=1, max_size=30))
def test_seeds_in_yaml_are_read_back_in_their_order(seeds):
    study = Study(seeds=seeds)
    assert list(study.seeds) == list(dict.fromkeys(seeds))
    assert study_of(yaml.safe_load(as_yaml(study))) == study


def test_a_single_number_counts_and_a_list_of_one_names():
    assert Study(seeds=5).seeds != Study(seeds=[5]).seeds
    assert as_dict(Study())["seeds"] == 50


WRONG = [0, -3, "0", "many", 2.5, True, [], [-1], [2.5], ["x"], "9-3", "0-9/0", "-5", 10**6 + 1, "0-1000000", {3: 1}]


@pytest.mark.parametrize("value", [*WRONG, [LARGEST_SEED + 1], f"{LARGEST_SEED}-{LARGEST_SEED + 1}", "0-999999999"])
def test_what_is_no_list_of_seeds_is_refused(value):
    with pytest.raises(ValueError, match=r"seeds|no whole number|must count up from at least 0, to at most 4294967295"):
        Seeds.parse(value)


@given(st.integers(1, 40), st.integers(0, 200))
def test_shards_have_every_batch_once(n, number):
    has = [k for k in range(1, n + 1) if Shard.parse(f"{k}/{n}").has(number)]
    assert has == [number % n + 1]


@pytest.mark.parametrize("value", ["0/3", "4/3", "x", "", "3", "1/0", "-1/3", "1/3/5", "1.0/3", "1/1000000", 3, None])
def test_what_is_no_shard_is_refused(value):
    with pytest.raises(ValueError, match="must be k/n, the k-th of n shards, as 3/16"):
        Shard.parse(value)
