"""The facts of laws: what each is about, and nothing else."""

import numpy as np
import pytest

from gdstudy import load_dataset
from gdstudy.study.datasets import DATASETS
from gdstudy.study.entries import code
from gdstudy.study.groups import Synthetic
from gdstudy.study.laws import LAWS

SIZES = np.array([3, 5, 40])
KNOWN = {"gaussian": {"student_teacher"}, "denoising": {"isotropic", "power_law"}}


@pytest.mark.parametrize("name", LAWS)
def test_a_law_speaks_of_the_data_it_is_known_for_and_of_no_other(name):
    law = LAWS[name]
    assert law.name == name
    spoken = set()
    for dataset in DATASETS:
        data = load_dataset(dataset, synthetic=Synthetic(n_inputs=16, n_rows=60))
        risk = code(law.risk)(data, SIZES, 16)
        if risk is not None:
            assert risk.shape == SIZES.shape
            spoken.add(dataset)
            # The target it is about is one that the data have.
            assert law.target == "x" or DATASETS[dataset].has_targets
    assert spoken == KNOWN[name]


def test_every_law_names_its_source():
    assert set(LAWS) == set(KNOWN)
    assert all(law.source.isalnum() for law in LAWS.values())
