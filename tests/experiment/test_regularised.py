"""Ridge and exact descent in studies: against solves written down in NumPy, against training, and row by row."""

import numpy as np
import pytest
import torch
from computed import at, computed, table
from conftest import small_study
from problems import everywhere

from gdstudy.closed_form.factors import Problem
from gdstudy.closed_form.leave_one_out import ridge_grid
from gdstudy.data.dataset import Dataset
from gdstudy.data.splits import split
from gdstudy.experiment.driver import run_batch
from gdstudy.experiment.plan import Batch
from gdstudy.experiment.regularised import gd_exact
from gdstudy.experiment.stack import Stack
from gdstudy.linalg.spectrum import spectrum
from gdstudy.study.config import Study
from gdstudy.study.groups import GDExact, Ridge, Training

LEVELS = [0.0, 1e-3, 0.5, 40.0]


def data_set(kind):
    """30 rows of 8 columns: of full rank; of rank 5; with three outputs."""
    random = np.random.default_rng(3)
    X = random.standard_normal((60, 8))
    if kind == "rank_deficient":
        X = X[:, :5] @ random.standard_normal((5, 8))
    Y = X @ random.standard_normal((8, 3 if kind == "many_outputs" else 1))
    return Dataset(X, Y + random.standard_normal(Y.shape), "student_teacher")


def rows_of(dataset, cells, **changes):
    study = Study(datasets=["student_teacher"], n_train=[3], **changes)
    P = dataset.X.shape[1]
    trained = tuple((name, (("none", None),)) for name in study.trained)
    batch = Batch(0, "student_teacher", "none", 0.0, "linear", P, None, cells, trained=trained)
    return table(run_batch(study, dataset, batch).results)


def parts(dataset, n, seed):
    train, test = split(dataset.n_rows, n, seed)
    return dataset.X[train], dataset.Y[train], dataset.X[test], dataset.Y[test]


def solved(X, Y, lam):
    """The ridge readout as a solve, X⁺Y for λ = 0."""
    if lam == 0:
        return np.linalg.pinv(X, rcond=1e-10) @ Y
    return np.linalg.solve(X.T @ X + lam * np.eye(X.shape[1]), X.T @ Y)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("kind", ["full_rank", "rank_deficient", "many_outputs"])
def test_ridge_is_a_solve_on_both_sides_of_the_threshold(kind, relative):
    dataset, cells = data_set(kind), ((3, 0), (5, 1), (8, 0), (8, 1), (20, 0))
    rows = rows_of(dataset, cells, estimators=["min_norm", "ridge"], ridge=Ridge(levels=LEVELS, relative=relative))
    ridge = at(rows, estimator="ridge")
    assert len(ridge) == len(LEVELS) * len(cells)
    assert set(ridge["ablation"]) == {"none"}
    for _, row in ridge.iterrows():
        X, Y, X_test, Y_test = parts(dataset, int(row["n_train"]), int(row["seed"]))
        lam = row["level"] * (np.linalg.norm(X, 2) ** 2 / len(X) if relative else 1)
        assert row["penalty"] == pytest.approx(lam, rel=1e-12)
        W, limit = solved(X, Y, lam), solved(X, Y, 0)
        expected = {
            "test_mse": np.square(X_test @ W - Y_test).mean(),
            "weight_norm": np.linalg.norm(W),
            "distance": np.linalg.norm(W - limit) / np.linalg.norm(limit),
        }
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, rel=1e-7, abs=1e-9), name
        train = np.square(X @ W - Y).mean()
        assert row["train_mse"] == pytest.approx(train, rel=1e-7, abs=1e-12 * np.square(Y).mean())


@pytest.mark.parametrize("kind", ["full_rank", "rank_deficient", "many_outputs"])
def test_the_chosen_penalty_is_the_best_by_leaving_rows_out_one_by_one(kind):
    """In one stack, whose padding is no row."""
    dataset, cells = data_set(kind), ((4, 0), (8, 1), (20, 0))
    chosen = at(rows_of(dataset, cells, estimators=["min_norm", "ridge_loo"]), estimator="ridge_loo")
    for (n, seed), (_, row) in zip(cells, chosen.iterrows(), strict=True):
        X, Y, X_test, Y_test = parts(dataset, n, seed)
        grid = ridge_grid(spectrum(torch.from_numpy(X)[None]))[0].numpy()
        others = [np.arange(n) != i for i in range(n)]
        errors = [
            np.mean([np.square(Y[~rest] - X[~rest] @ solved(X[rest], Y[rest], lam)).mean() for rest in others])
            for lam in grid
        ]
        assert row["loo_mse"] == pytest.approx(min(errors), rel=1e-6)
        assert row["penalty"] == pytest.approx(grid[np.argmin(errors)], rel=1e-9)
        W = solved(X, Y, row["penalty"])
        assert row["test_mse"] == pytest.approx(np.square(X_test @ W - Y_test).mean(), rel=1e-6)
        assert np.isnan(row["level"])
    if kind == "full_rank":
        assert chosen["penalty"].iloc[1] > 0  # at N = P, with so much noise
    # Control: without noise nothing is to be penalised.
    clean = Dataset(dataset.X, dataset.X @ np.ones((8, 1)), "student_teacher")
    assert rows_of(clean, ((20, 0),), estimators=["min_norm", "ridge_loo"])["penalty"].max() < 1e-2


@everywhere()
def test_exact_descent_is_the_recursion(known):
    X, Y = torch.from_numpy(known.X.astype(float))[None], torch.from_numpy(known.Y.astype(float))[None]
    problem = Problem(X, Y, spectrum(X), X.new_zeros(1, X.shape[-1], Y.shape[-1]))
    stack = Stack(None, problem, torch.tensor([X.shape[1]]), None, 1.0)
    for step_size in ("auto", str(known.step_size(1.5))):
        study = Study(
            estimators=["min_norm", "gd_exact"], gd_exact=GDExact(steps=[1, 7, 60]), gd=Training(step_size=step_size)
        )
        found = gd_exact(study, stack)
        for t, W, eta in zip((1, 7, 60), found.W, found.columns["step_size"], strict=True):
            assert known.rank or step_size != "auto" or eta == 1  # as descent itself takes
            expected = known.iterate(eta, t)
            scale = max(np.linalg.norm(expected), np.linalg.norm(known.W))
            np.testing.assert_allclose(W[0].numpy(), expected, rtol=1e-10, atol=1e-10 * scale)


@pytest.mark.parametrize("step_size", ["auto", "0.01"])
@pytest.mark.parametrize("t", [1, 40, 700])
def test_exact_descent_is_what_training_gives_after_as_many_steps(t, step_size):
    """Trained cells never come from the formula: the two meet here."""
    dataset, cells = data_set("many_outputs"), ((3, 0), (8, 1), (30, 0))
    changes = {"estimators": ["min_norm", "gd", "gd_exact"], "gd_exact": GDExact(steps=[t, 2 * t])}
    rows = rows_of(dataset, cells, gd=Training(steps=t, tolerance=1e-13, step_size=step_size), **changes)
    trained, exact = at(rows, estimator="gd", status="max_steps"), at(rows, estimator="gd_exact", level=t)
    assert len(trained)
    assert (exact["step"] == t).all()
    both = trained.merge(exact, on=["n_train", "seed"], suffixes=("", "_exact"))
    for name in ("test_mse", "train_mse", "weight_norm", "distance", "step_size", "step_size_limit"):
        np.testing.assert_allclose(both[name], both[f"{name}_exact"], rtol=1e-10, atol=1e-13, err_msg=name)
    # Control: after twice as many steps it is elsewhere.
    later = trained.merge(at(rows, estimator="gd_exact", level=2 * t), on=["n_train", "seed"], suffixes=("", "_later"))
    assert (np.abs(later["weight_norm"] / later["weight_norm_later"] - 1) > 1e-8).any()


def test_nothing_else_of_a_study_changes_by_what_stands_beside_it():
    sizes = {"n_train": [5, 10, 20], "seeds": 2, "datasets": ["diabetes"]}
    alone = computed(small_study(**sizes))
    more = small_study(
        **sizes,
        estimators=["min_norm", "gd", "ridge", "ridge_loo", "gd_exact"],
        ridge=Ridge(levels=[1]),
        gd_exact=GDExact(steps=[10]),
    )
    beside = computed(more)
    kept = beside.results[beside.results["estimator"].isin(["min_norm", "gd", "gd_closed_form"])]
    for name in ("test_mse", "train_mse", "distance", "weight_norm", "step"):
        np.testing.assert_array_equal(kept[name], alone.results[name])
    assert len(beside.curves) == len(alone.curves)


def test_a_study_needs_no_training_and_its_features_may_be_drawn():
    study = small_study(
        models=["random_relu", "random_relu_autoencoder"],
        datasets=["diabetes"],
        n_train=[5, 20],
        n_parameters=[10],
        seeds=2,
        estimators=["min_norm", "ridge_loo", "gd_exact"],
        gd_exact=GDExact(steps=[10, 1000]),
    )
    rows = computed(study).results
    assert set(rows["estimator"]) == {"min_norm", "ridge_loo", "gd_exact"}
    assert np.isfinite(rows["test_mse"]).all()
