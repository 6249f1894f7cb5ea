"""CONTRIBUTING's recipes, followed: what is added from outside the package, through its table, in one place each.

Each recipe is one function with everything it takes (of a module, the class of cells above it too). What it adds is
studied as any other: `Study`, `plan`, `run_batch`.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from computed import as_run, at, computed
from matplotlib.figure import Figure
from problems import ZOO

from gdstudy import load_dataset
from gdstudy.data.dataset import Dataset
from gdstudy.study.config import Study
from gdstudy.study.datasets import DATASETS, DatasetFacts
from gdstudy.study.errors import StudyError
from gdstudy.study.groups import Synthetic, Training
from gdstudy.study.laws import LAWS, Law
from gdstudy.study.models import MODELS, Model
from gdstudy.study.optimizers import OPTIMIZERS, Optimizer
from gdstudy.study.parser import as_yaml, study_of
from gdstudy.views import figures
from gdstudy.views.claims import HOLDS, RULES, Rule, decide
from gdstudy.views.claims.rule import at_least
from gdstudy.views.figures import draw_figures

GD = Training(steps=300, checkpoints_per_decade=2)


def add_a_data_set(monkeypatch):
    """Its loader and its facts."""

    def load():
        X = np.random.default_rng(0).standard_normal((40, 6))
        return Dataset(X, X @ np.arange(6.0)[:, None], "toy_data")

    facts = DatasetFacts(name="toy_data", label="Toy data", load=load, rows=40, columns=6)
    monkeypatch.setitem(DATASETS, facts.name, facts)


def test_to_add_a_data_set_is_a_loader_and_its_facts(monkeypatch):
    with pytest.raises(StudyError, match=r"datasets: unknown 'toy_data'"):
        Study(datasets=["toy_data"])
    add_a_data_set(monkeypatch)
    study = Study(datasets=["toy_data"], n_train=[3, 6, 20], seeds=2, gd=GD, preprocess="center")
    rows, curves, _ = computed(study)
    assert set(rows["dataset"]) == {"toy_data"}
    assert set(rows["n_parameters"]) == {6}
    assert rows.groupby("estimator").size().to_dict() == {"min_norm": 6, "gd": 6, "gd_closed_form": 6}
    # Its targets are linear in its inputs: from N = P on they are found exactly, and below they are not.
    closed = at(rows, estimator="min_norm").groupby("n_train")["test_mse"].max()
    assert closed[20] < 1e-20
    assert closed[3] > 1
    assert len(curves)
    with pytest.raises(StudyError, match=r"n_train=40 is too many for toy_data: it has 40 rows"):
        Study(datasets=["toy_data"], n_train=[40])
    with pytest.raises(StudyError, match=r"n_hidden=7 is no bottleneck for toy_data: it has 6 columns"):
        Study(datasets=["toy_data"], n_train=[3], models=["bottleneck"], n_hidden=[7])


def test_to_add_a_data_set_of_the_studys_sizes_is_the_same(monkeypatch):
    def load(sizes):
        return Dataset(np.ones((sizes.n_rows, sizes.n_inputs)), name="toy_sizes")

    facts = DatasetFacts(name="toy_sizes", label="Ones", load=load, has_targets=False)
    monkeypatch.setitem(DATASETS, facts.name, facts)
    assert load_dataset("toy_sizes", synthetic=Synthetic(n_inputs=3, n_rows=9)).X.shape == (9, 3)
    study = Study(
        datasets=["toy_sizes"],
        synthetic=Synthetic(n_inputs=3, n_rows=9),
        models=["linear_autoencoder"],
        n_train=[2],
        seeds=1,
        estimators=["min_norm"],
    )
    (rank,) = computed(study).results["rank"]
    assert rank == 1
    with pytest.raises(StudyError, match=r"datasets: toy_sizes has no y for linear; use an autoencoder"):
        Study(datasets=["toy_sizes"], n_train=[2])
    with pytest.raises(StudyError, match=r"use at most 8, or raise synthetic.n_rows"):
        study_of({"datasets": ["toy_sizes"], "models": ["linear_autoencoder"], "synthetic": {"n_rows": 9}})


def add_a_feature_map(monkeypatch):
    """A map φ(x, P, seed), and a model that trains a readout on it."""

    def squares(X, P, seed):
        A = np.random.default_rng([seed, 1]).standard_normal((P, X.shape[1]))
        return (X @ A.T) ** 2

    model = Model(name="toy_squares", label="squares", features=squares, random=True, width="n_parameters")
    monkeypatch.setitem(MODELS, model.name, model)
    # The same features under another target: an autoencoder.
    twin = replace(model, name="toy_squares_autoencoder", target="x")
    monkeypatch.setitem(MODELS, twin.name, twin)


def test_to_add_a_feature_map_is_a_function_and_a_model_on_it(monkeypatch):
    add_a_feature_map(monkeypatch)
    names = ["toy_squares", "toy_squares_autoencoder"]
    with pytest.raises(StudyError, match=r"models: toy_squares needs n_parameters"):
        Study(models=names)
    study = Study(datasets=["diabetes"], models=names, n_train=[5, 20], n_parameters=[5, 20], seeds=3, gd=GD)
    rows, _, arrays = computed(study)
    for name in names:
        mine = at(rows, model=name)
        assert mine.groupby("estimator").size().to_dict() == {"min_norm": 12, "gd": 12, "gd_closed_form": 12}
        assert (mine["rank"] == mine[["n_train", "n_parameters"]].min(axis=1)).all()
    # An autoencoder's inputs and outputs are kept for its pictures.
    assert set(arrays["model"]) == {"toy_squares_autoencoder"}
    # Drawn for each seed: the spectra differ.
    first = at(rows, model="toy_squares", n_train=20, n_parameters=5, estimator="min_norm")
    assert first["smallest_singular_value"].nunique() == 3


class ToyCells:
    """x ↦ x·a, one number a cell, trained by the objective that any module has."""

    def __init__(self, study, dataset, batch):
        self.study, self.dataset, self.batch = study, dataset, batch

    def closed_form(self):
        from gdstudy.experiment.rows import Records

        return Records([], [])

    def task(self, training, level):
        return ToyTask(self, training)


class ToyTask:
    def __init__(self, cells, training):
        from gdstudy.data.splits import training_rows

        self.cells, self.training = cells, training
        C = len(cells.batch.cells)
        self.n_train = torch.tensor([n for n, _ in cells.batch.cells])
        numbers = training_rows(cells.dataset.n_rows, cells.batch.cells, int(self.n_train.max()))
        self.X = torch.from_numpy(cells.dataset.X[numbers] * (numbers >= 0)[..., None])
        self.step_size = torch.full((C,), float(training.step_size.value), dtype=torch.float64)
        self.step_size_limit = torch.full((C,), torch.nan, dtype=torch.float64)
        self.changed, self.columns = torch.arange(0), {"target_mean_square": float((cells.dataset.X**2).mean())}

    def states(self, start, checkpoints, cells, on_check, saver):
        from gdstudy.experiment.optimise import train, weights
        from gdstudy.training.objectives import Autograd

        class Scale(torch.nn.Module):
            def __init__(self, a):
                super().__init__()
                self.a = torch.nn.Parameter(a)

            def forward(self, X):
                return X * self.a[:, None, None]

        module = Scale(torch.full((len(cells),), 0.1, dtype=torch.float64))
        objective = Autograd(module, self.X, self.X, weights(self.training, self.step_size), self.n_train)
        return train(objective, self.training, self.step_size, checkpoints, None, on_check, saver)

    def measure(self, W, cells):
        a = W.reshape(len(cells)).numpy()
        square = (self.cells.dataset.X**2).mean()
        return {"train_mse": (1 - a) ** 2, "test_mse": (1 - a) ** 2 * square, "weight_norm": np.abs(a)}

    def exact(self, W, t, cells):
        return None

    def certificate(self, W):
        return {}

    def pictures(self, W, t, cells, last):
        return [{} for _ in cells]


def add_a_module(monkeypatch):
    """The class of cells that trains it, above, and a model that names it."""
    model = Model(
        name="toy_module",
        label="one number",
        cells=ToyCells,
        target="x",
        layered=True,
        start="small",
        reference="none",
        has_threshold=False,
        on_rows=True,
        automatic=False,
    )
    monkeypatch.setitem(MODELS, model.name, model)


def test_to_add_a_module_is_a_kind_of_cells_and_a_model_that_names_it(monkeypatch):
    add_a_module(monkeypatch)
    values = {"datasets": ["isotropic"], "models": ["toy_module"], "n_train": [4, 9], "n_hidden": [1], "seeds": 2}
    with pytest.raises(StudyError, match=r"gd.step_size=auto is not known for toy_module"):
        study_of(values)
    with pytest.raises(StudyError, match=r"input_noise=0.5 has no effect on toy_module"):
        study_of({**values, "input_noise": [0.5], "gd": {"step_size": 0.001}})
    values["gd"] = {"step_size": 0.001, "steps": 2000}
    study = study_of({**values, "trainings": {"adam": {"optimizer": "adam", "step_size": 0.01}}})
    rows, curves, _ = computed(study)
    assert rows.groupby("estimator").size().to_dict() == {"gd": 4, "adam": 4}
    np.testing.assert_allclose(rows["weight_norm"], 1, atol=1e-3)  # it gives its input back
    assert set(at(rows, estimator="gd")["status"]) == {"converged"}
    early = at(curves, step=1)
    assert (early["train_mse"] > 0.5).all()


def add_an_optimizer(monkeypatch):
    """A torch.optim.Optimizer that treats every number by itself, and its facts."""

    class SignDescent(torch.optim.Optimizer):
        """w ← w − η sign(∂L/∂w)."""

        def __init__(self, params, lr, shrink=0.0):
            super().__init__(params, {"lr": lr, "shrink": shrink})

        @torch.no_grad()
        def step(self):
            for group in self.param_groups:
                for p in group["params"]:
                    p.mul_(1 - group["shrink"]).sub_(group["lr"] * p.grad.sign())

    facts = Optimizer(name="toy_sign", label="sign descent", build=SignDescent)
    monkeypatch.setitem(OPTIMIZERS, facts.name, facts)


def test_to_add_an_optimizer_is_a_class_and_its_facts(monkeypatch):
    with pytest.raises(StudyError, match=r"trainings.toy.optimizer: unknown 'toy_sign'"):
        Study(trainings={"toy": {"optimizer": "toy_sign", "step_size": 1}})
    add_an_optimizer(monkeypatch)
    with pytest.raises(StudyError, match=r"trainings.toy.step_size=auto is not known for toy_sign"):
        Study(trainings={"toy": {"optimizer": "toy_sign"}})
    toy = {"optimizer": "toy_sign", "step_size": 1.0, "steps": 5}
    trainings = {"toy": toy, "shrunk": {**toy, "optimizer_options": {"shrink": 0.5}}}
    study = Study(datasets=["diabetes"], n_train=[4, 20], seeds=2, gd=GD, trainings=trainings)
    rows = computed(study).results
    assert rows.groupby("estimator").size().to_dict() == {
        "min_norm": 4,
        "gd": 4,
        "gd_closed_form": 4,
        "toy": 4,
        "shrunk": 4,
    }
    # Five steps of 1 in each of ten numbers, all of which go on where they began; half of each step before is left.
    np.testing.assert_allclose(at(rows, estimator="toy")["weight_norm"], 5 * 10**0.5)
    np.testing.assert_allclose(at(rows, estimator="shrunk")["weight_norm"], 1.9375 * 10**0.5)
    assert at(rows, estimator="toy", n_train=4)["row_space_leak"].min() > 0.01
    # Bottlenecks are trained by it as well.
    layered = Study(
        datasets=["digits"], models=["bottleneck"], n_hidden=[2], n_train=[5], seeds=1, trainings={"toy": toy}
    )
    assert {"gd", "toy"} < set(computed(layered).results["estimator"])


def add_a_law(monkeypatch):
    """The expected risk, None for data it says nothing of; its facts, with its source."""

    def risk(dataset, n_train, n_parameters):
        return np.where(n_train > n_parameters, 0.0, np.nan) if dataset.name == "toy_data" else None

    monkeypatch.setitem(LAWS, "toy_law", Law(name="toy_law", risk=risk, source="nobody2026"))


def test_to_add_a_law_is_a_function_and_its_facts(monkeypatch):
    add_a_data_set(monkeypatch)
    study = Study(datasets=["toy_data", "diabetes"], n_train=[3, 6, 20], seeds=2, estimators=["min_norm", "theory"])
    assert "theory" not in set(computed(study).results["estimator"])
    add_a_law(monkeypatch)
    theory = at(computed(study).results, estimator="theory")
    assert theory[["dataset", "n_train", "test_mse"]].to_numpy().tolist() == [["toy_data", 20, 0.0]]


def test_everything_at_once_is_one_study_that_can_be_written_down(monkeypatch):
    for recipe in (add_a_data_set, add_a_feature_map, add_a_module, add_an_optimizer, add_a_law):
        recipe(monkeypatch)
    study = Study(
        datasets=["toy_data"],
        models=["linear", "toy_squares", "toy_squares_autoencoder"],
        n_train=[4, 12],
        n_parameters=[8],
        seeds=2,
        estimators=["min_norm", "gd", "theory"],
        gd=GD,
        trainings={"toy": {"optimizer": "toy_sign", "step_size": 0.1}},
    )
    assert study_of(yaml.safe_load(as_yaml(study))) == study
    found = computed(study).results.groupby(["model", "estimator"]).size()
    for name in study.models:
        assert {"min_norm", "gd", "gd_closed_form", "toy"} <= set(found[name].index)
    assert found["linear", "theory"] == 1


def add_a_figure(monkeypatch):
    """A function that gives the figure, or None where a run lacks what it shows, and its line in FIGURES."""

    def toy_losses(run):
        rows = run.results[run.results["estimator"] == "toy"]
        if rows.empty:
            return None
        figure = Figure()
        figure.suptitle("Does the toy lose?")
        figure.subplots().plot(rows["n_train"], rows["test_mse"], "o")
        return figure

    monkeypatch.setitem(figures.FIGURES, "toy_losses", toy_losses)


def test_to_add_a_figure_is_a_function_and_its_line(monkeypatch):
    monkeypatch.setattr(figures, "FIGURES", {"bias": figures.FIGURES["bias"]})  # the others are not the matter
    trained = {"datasets": ["diabetes"], "n_train": [4, 12], "seeds": 2, "gd": GD}
    with_toy = as_run(Study(**trained, trainings={"toy": {"steps": 5}}))
    assert "toy_losses" not in [name for name, *_ in draw_figures(with_toy)]
    add_a_figure(monkeypatch)
    drawn = {name: pixels for name, pixels, *_ in draw_figures(with_toy)}
    assert drawn["toy_losses"].shape[2] == 3
    assert "toy_losses" not in [name for name, *_ in draw_figures(as_run(Study(**trained)))]


def add_a_claim(monkeypatch):
    """A rule with its number, its bound and its source in references.bib."""
    rule = Rule(
        claim="training errors are finite",
        measure="share of finite training errors",
        number=lambda sweep: float(np.isfinite(sweep.rows["train_mse"]).mean()),
        bound=at_least(1, 0.5),
        where="nowhere",
    )
    monkeypatch.setattr("gdstudy.views.claims.RULES", [*RULES, rule])


def test_to_add_a_claim_is_a_rule(monkeypatch):
    run = as_run(Study(datasets=["diabetes"], n_train=[4, 10, 20], seeds=2, gd=GD))
    before = decide(run)
    add_a_claim(monkeypatch)
    (added,) = [claim for claim in decide(run) if claim not in before]
    assert (added.claim, added.number, added.verdict) == ("training errors are finite", 1, HOLDS)
    assert added.source.endswith("nowhere")


def test_what_a_recipe_adds_is_gone_afterwards():
    """The tables of the package are its own again: a recipe touches nothing else."""
    for table in (DATASETS, MODELS, OPTIMIZERS, LAWS):
        assert not any(name.startswith("toy") for name in table)
    assert ZOO  # and the problems of the tests are no data sets
    assert not set(ZOO) & set(DATASETS)
