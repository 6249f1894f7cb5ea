import functools
import os
from functools import partial
from pathlib import Path

# Problems are small here: a second thread waits more than it works, above all on a busy machine. Before torch comes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from filelock import FileLock

import gdstudy.showing  # noqa: F401  (all that shows a run: it takes the figures by their names before tests patch them)
from gdstudy.study.config import Study
from gdstudy.study.groups import Ablations, Synthetic, Training
from gdstudy.study.models import MODELS
from gdstudy.study.values import Sizes
from gdstudy.sweep.reading import load_run
from gdstudy.sweep.run import load_datasets, run_missing
from gdstudy.sweep.store import Store
from gdstudy.train import run_study
from gdstudy.views.figures import FIGURES as ALL_FIGURES
from gdstudy.views.figures import MOVING as ALL_MOVING

# Where the two downloadable data sets lie beside the checkout (machines without internet), tests read them there.
_BESIDE = Path(__file__).parents[2] / "shared" / "data"
if _BESIDE.is_dir():
    os.environ.setdefault("GDSTUDY_DATA_HOME", str(_BESIDE))
    os.environ.setdefault("SCIKIT_LEARN_DATA", str(_BESIDE / "scikit_learn_data"))


def small_study(**changes):
    """Both data sets around their thresholds, three batches a data set, a second or two."""
    gd = Training(steps=2000, checkpoints_per_decade=4)
    values = {"n_train": Sizes((3, 5, 10, 20, 40)), "seeds": 4, "batch_cells": 8, "gd": gd}
    return Study(**{**values, **changes})


@pytest.fixture(scope="session")
def once(tmp_path_factory, worker_id):
    """(name, make) → the folder of this name that `make(folder)` has made, once for all processes of pytest."""
    home = tmp_path_factory.getbasetemp()
    shared = (home if worker_id == "master" else home.parent) / "made"
    shared.mkdir(exist_ok=True)

    def made(name, make):
        with FileLock(shared / f"{name}.lock"):
            if not (done := shared / f"{name}.done").exists():
                with pytest.MonkeyPatch.context() as patch:  # whatever the test that asks first has patched
                    patch.setattr("gdstudy.views.figures.FIGURES", ALL_FIGURES)
                    patch.setattr("gdstudy.views.board.MOVING", ALL_MOVING)
                    make(shared / name)
                done.touch()
        return shared / name

    return made


@pytest.fixture(scope="session")
def run_dir(once):
    """A finished run of the small study; tests only read it."""
    return once("small", partial(run_study, small_study()))


def tiny_study():
    """Two batches with all tables, a fraction of a second."""
    return Study(
        datasets=["power_law"],
        models=["linear_autoencoder"],
        synthetic=Synthetic(n_inputs=6, n_rows=60),
        n_train=[3, 6, 9],
        seeds=4,
        batch_cells=6,
        gd=Training(steps=100, checkpoints_per_decade=2),
    )


@pytest.fixture(scope="session")
def tiny(once):
    """A finished run of the tiny study; tests only read it."""
    return once("tiny", partial(run_study, tiny_study()))


@pytest.fixture(scope="session")
def paper_run(once):
    """A finished run with every ablation, theory, and GD on standardised data; tests only read it."""
    ablations = Ablations(
        singular_value_cutoff=[0.001, 0.1, 1],
        leading_modes=[1, 5, 20],
        no_residuals=True,
        adversarial_test=[0, 3.16],
        adversarial_train=[0, 31.6],
    )
    trained = ["singular_value_cutoff", "no_residuals"]
    gd = Training(steps=1000, checkpoints_per_decade=3, preprocess="standardize", ablations=trained)
    sizes = Sizes((3, 5, 8, 10, 15, 20, 30, 40))
    estimators = ["min_norm", "gd", "theory"]
    study = small_study(n_train=sizes, seeds=6, batch_cells=60, estimators=estimators, ablations=ablations, gd=gd)
    return once("paper", partial(run_study, study))


ADAMW = {"optimizer": "adamw", "optimizer_options": {"weight_decay": 0.01}, "warmup": 0.05, "schedule": "cosine"}
SPARSE = Synthetic(n_inputs=50, n_rows=3000, p_nonzero=0.05)


def autoencoder_study(name):
    """Small studies of each kind of autoencoder, around their thresholds."""
    estimators = ["min_norm", "gd", "theory"]
    if name == "linear":  # clean and denoising, D = P = 16
        return Study(
            datasets=["power_law", "isotropic"],
            synthetic=Synthetic(n_rows=600),
            input_noise=[0, 0.5],
            models=["linear_autoencoder"],
            n_train=[4, 8, 12, 16, 24, 32, 64],
            seeds=6,
            estimators=estimators,
            gd=Training(steps=3000, checkpoints_per_decade=3),
        )
    if name == "random_features":  # D = 8
        return Study(
            datasets=["isotropic"],
            synthetic=Synthetic(n_inputs=8, n_rows=600),
            models=["random_relu_autoencoder", "random_tanh_autoencoder", "mirrored_relu_autoencoder"],
            n_train=[4, 8, 16, 24, 32, 64],
            n_parameters=[8, 16, 32],
            seeds=6,
            gd=Training(steps=2000, checkpoints_per_decade=2),
        )
    if name == "bottleneck":  # D = 8
        return Study(
            datasets=["power_law"],
            synthetic=Synthetic(n_inputs=8, n_rows=600),
            input_noise=[0, 0.5],
            models=[name for name in MODELS if name.startswith("bottleneck")],
            n_train=[3, 8, 16, 200],
            n_hidden=[2, 4],
            seeds=3,
            estimators=estimators,
            gd=Training(steps=3200, checkpoints_per_decade=3),
        )
    if name == "superposition":  # the three regimes
        return Study(
            datasets=["sparse_features"],
            synthetic=SPARSE,
            models=[name for name in MODELS if name.startswith("superposition")],
            n_train=[5, 32, 500],
            n_hidden=[2],
            seeds=10,
            estimators=["min_norm"],
            gd=Training(steps=2000, step_size="0.01", checkpoints_per_decade=1, dtype="float32", **ADAMW),
            trainings={"adamw": {}},
        )
    assert name == "superposition_levels"  # other step sizes and starts, and widths
    return Study(
        datasets=["sparse_features"],
        synthetic=SPARSE,
        models=["superposition"],
        n_train=[5, 32, 128],
        n_hidden=[2, 3],
        seeds=3,
        estimators=["min_norm"],
        gd=Training(steps=400, step_size="0.03", checkpoints_per_decade=2, **ADAMW),
        trainings={
            "adamw": {},
            "slow": {"step_size": 0.01, "n_hidden": [2]},
            "fast": {"step_size": 0.1, "n_hidden": [2]},
            "best_of_2": {"restarts": 2, "n_hidden": [2]},
            "best_of_3": {"restarts": 3, "n_hidden": [2]},
        },
    )


def store_only(study, folder):
    """Run and store a study, without its figures."""
    folder.mkdir()
    datasets, store = load_datasets(study), Store(folder, study)
    run_missing(study, datasets, store, quiet=True)
    store.close()


def stored(study, folder):
    """The tables of a study that was run and stored, without its figures."""
    store_only(study, folder)
    return load_run(folder)


@pytest.fixture(scope="session")
def autoencoder_run(once):
    """Name of an `autoencoder_study` → its tables, made once; tests only read them."""

    @functools.cache
    def tables(name):
        return load_run(once(f"autoencoder {name}", partial(store_only, autoencoder_study(name))))

    return tables


@pytest.fixture(autouse=True)
def _one_figure(request, monkeypatch):
    """Figures take half of the time of a small run. In tests of what is stored one stands for them all."""
    if request.path.parent.name == "sweep" and request.path.stem not in ("test_hostile", "test_damage"):
        monkeypatch.setattr("gdstudy.views.figures.FIGURES", {"bias": ALL_FIGURES["bias"]})
        monkeypatch.setattr("gdstudy.views.board.MOVING", {})


def without_figures(monkeypatch):
    """For tests elsewhere in which figures are not the matter."""
    monkeypatch.setattr("gdstudy.views.figures.FIGURES", {})
    monkeypatch.setattr("gdstudy.views.board.MOVING", {})


def without_views(monkeypatch):
    """Figures, events and claims take most of the time, and are the same functions of the same tables: those that a
    command would show are the last of the list that this gives."""
    shown = []
    without_figures(monkeypatch)
    monkeypatch.setattr("gdstudy.showing.live", lambda *_: None)
    monkeypatch.setattr("gdstudy.showing.write_board", lambda *_, **__: None)
    monkeypatch.setattr("gdstudy.showing.decide", lambda _: [])
    monkeypatch.setattr("gdstudy.showing.run_page", lambda *_: b"")
    monkeypatch.setattr("gdstudy.showing.report", lambda run, *_: shown.append(run) or "")
    return shown
