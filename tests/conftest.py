import os
from pathlib import Path

import pytest

from gdstudy.config import Ablations, GradientDescent, Sizes, Study
from gdstudy.train import run_study

# Where the two downloadable data sets lie beside the checkout (machines without internet), tests read them there.
_BESIDE = Path(__file__).parents[2] / "shared" / "data"
if _BESIDE.is_dir():
    os.environ.setdefault("GDSTUDY_DATA_HOME", str(_BESIDE))
    os.environ.setdefault("SCIKIT_LEARN_DATA", str(_BESIDE / "scikit_learn_data"))


def small_study(**changes):
    """Both data sets around their thresholds, three batches a data set, a second or two."""
    gd = GradientDescent(steps=2000, checkpoints_per_decade=4)
    values = {"n_train": Sizes((3, 5, 10, 20, 40)), "seeds": 4, "batch_cells": 8, "gd": gd}
    return Study(**{**values, **changes})


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory):
    """A finished run of the small study; tests only read it."""
    return run_study(small_study(), tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture(scope="session")
def paper_run(tmp_path_factory):
    """A finished run with every ablation, theory, and GD on standardised data; tests only read it."""
    ablations = Ablations(
        singular_value_cutoff=[0.001, 0.1, 1],
        leading_modes=[1, 5, 20],
        no_residuals=True,
        adversarial_test=[0, 3.16],
        adversarial_train=[0, 31.6],
    )
    trained = ["singular_value_cutoff", "no_residuals"]
    gd = GradientDescent(steps=1000, checkpoints_per_decade=3, preprocess="standardize", ablations=trained)
    sizes = Sizes((3, 5, 8, 10, 15, 20, 30, 40))
    estimators = ["min_norm", "gd", "theory"]
    study = small_study(n_train=sizes, seeds=6, batch_cells=60, estimators=estimators, ablations=ablations, gd=gd)
    return run_study(study, tmp_path_factory.mktemp("runs") / "paper")
