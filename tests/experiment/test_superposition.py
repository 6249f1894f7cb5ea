"""The toy ReLU autoencoder against a plain PyTorch loop, and its three regimes along T."""

import numpy as np
import pytest
import torch
from conftest import ADAMW, SPARSE, autoencoder_study
from gdstudy.experiment.run_batch import run_batch

from gdstudy import load_dataset
from gdstudy.data.splits import split, stream
from gdstudy.experiment import nonlinear
from gdstudy.experiment import superposition as module
from gdstudy.experiment.plan import plan
from gdstudy.study.config import Ablations, Study, Synthetic, Training
from gdstudy.study.parser import find_config, read_study
from gdstudy.study.values import StepSize
from gdstudy.sweep.run import load_datasets
from gdstudy.views.summary import relative, select

TINY = Synthetic(n_inputs=12, n_rows=80, p_nonzero=0.2)


def tiny_study(model="superposition", optimizer="adamw", **changes):
    """Three sizes, two seeds, a few steps, in double precision."""
    options = ADAMW if optimizer == "adamw" else {}
    gd = Training(steps=60, step_size=StepSize("0.02"), checkpoints_per_decade=2, **options)
    values = {"datasets": ["sparse_features"], "synthetic": TINY, "n_train": [3, 7, 20], "n_hidden": [2], "seeds": 2}
    return Study(**{**values, "models": [model], "gd": gd, **changes})


def run(study):
    """Records of all batches of a study."""
    (data,) = load_datasets(study)
    return [run_batch(study, data, batch) for batch in plan(study, [data])]


def trained_rows(records, **equal):
    """Result rows as one table: column → array."""
    groups = [g for r in records for g in r.results]
    table = {}
    for name in ("ablation", "n_train", "n_hidden", "seed", "test_mse", "train_mse", "weight_norm", "status", "step"):
        table[name] = np.concatenate([np.broadcast_to(g[name], np.shape(g["seed"])) for g in groups])
    levels = [np.broadcast_to(np.asarray(g["level"], dtype=float), np.shape(g["seed"])) for g in groups]
    table["level"] = np.concatenate(levels)
    return select(table, **equal)


def by_hand(study, n, seed, m=2, start=0, bias=True):
    """Weights and bias of one cell: the loss as it is written, autograd, torch.optim, its learning rate by hand."""
    X = load_dataset("sparse_features", synthetic=study.synthetic).clean()
    train, test = split(len(X), n, seed)
    rows, width, gd = torch.from_numpy(X[train]), X.shape[1], study.gd
    bound = np.sqrt(6 / (m + width))
    W = torch.from_numpy(stream(seed, f"superposition {start}").uniform(-bound, bound, (m, width))).requires_grad_()
    b = torch.zeros(width, dtype=torch.float64, requires_grad=True)
    kind = torch.optim.AdamW if gd.optimizer == "adamw" else torch.optim.SGD
    optimizer = kind([W, b], lr=gd.step_size.value, **gd.optimizer_options)
    rise = gd.warmup * gd.steps
    for t in range(gd.steps):
        if gd.schedule == "cosine":
            down = 0.5 * (1 + np.cos(np.pi * (t - rise) / (gd.steps - rise)))
            optimizer.param_groups[0]["lr"] = gd.step_size.value * ((t + 1) / rise if t + 1 <= rise else down)
        optimizer.zero_grad()
        outputs = torch.relu(rows @ W.T @ W + b)
        (outputs - rows).square().sum(1).mean().backward()
        optimizer.step()
    W, b = W.detach().numpy(), b.detach().numpy()

    def loss(which):
        return np.square(np.maximum(X[which] @ W.T @ W + b, 0) - X[which]).mean()

    return W, b, loss(train), loss(test)


@pytest.mark.parametrize("engine", ["gram", "autograd"])
@pytest.mark.parametrize("optimizer", ["adamw", "gd"])
def test_every_cell_is_the_loop_one_would_write(engine, optimizer):
    """Weights, training loss and the loss on the test rows themselves, cell by cell."""
    study = tiny_study(optimizer=optimizer)
    study.gd.engine = engine
    records = run(study)
    rows = trained_rows(records)
    assert len(rows["seed"]) == 6
    for n, seed, train_mse, test_mse, norm in zip(
        rows["n_train"], rows["seed"], rows["train_mse"], rows["test_mse"], rows["weight_norm"], strict=True
    ):
        W, b, train, test = by_hand(study, int(n), int(seed))
        assert np.abs(b).max() > 1e-3  # the bias is trained too
        assert train_mse == pytest.approx(train, rel=1e-10)
        assert test_mse == pytest.approx(test, rel=1e-10)
        assert norm == pytest.approx(np.linalg.norm(W), rel=1e-10)
    weights = {int(a["n_train"][0]): a["value"] for r in records for a in r.arrays if a["name"] == "weight"}
    for n in (3, 7, 20):
        np.testing.assert_allclose(weights[n], by_hand(study, n, 0)[0], rtol=1e-9)


def test_errors_are_the_same_however_rows_are_cut(monkeypatch):
    whole = trained_rows(run(tiny_study()))
    monkeypatch.setattr(module, "CPU_CHUNK", 30)
    cut = trained_rows(run(tiny_study()))
    for name in ("test_mse", "train_mse", "weight_norm"):
        np.testing.assert_allclose(cut[name], whole[name], rtol=1e-12)


def test_a_cell_does_not_depend_on_its_stack():
    together, alone = (trained_rows(run(tiny_study(batch_cells=size))) for size in (1000, 1))
    for name in ("test_mse", "train_mse", "weight_norm"):
        np.testing.assert_allclose(alone[name], together[name], rtol=1e-12)


@pytest.mark.parametrize("optimizer", ["adamw", "gd"])
def test_from_zero_every_cell_is_stalled_and_loses_everything(optimizer):
    """Predicting 0 loses 1, in units of the mean square of the inputs, also on the training rows."""
    for dtype in ("float64", "float32"):
        rows = trained_rows(run(tiny_study("superposition_zero", optimizer, dtype=dtype)))
        assert (rows["status"] == "stalled").all()
        assert not rows["weight_norm"].any()
        assert not rows["step"].any()
        np.testing.assert_allclose(rows["test_mse"] * 12, 1, rtol=1e-6)
        np.testing.assert_allclose(rows["train_mse"] * 12, 1, rtol=1e-6)


def test_the_target_mean_square_is_that_of_rows_of_length_1():
    for record in run(tiny_study()):
        for group in record.results:
            assert group["target_mean_square"] == pytest.approx(1 / 12)
            np.testing.assert_allclose(group["step_size"], 0.02)
            assert group["estimator"] == "adamw"


def test_dimensionalities_are_those_of_the_stored_points_and_weights():
    (record,) = run(tiny_study())
    arrays = {(int(a["n_train"][0]), a["name"]): a["value"] for a in record.arrays}
    (rows,) = record.results
    assert {name for _, name in arrays} == {"weight", "hidden", "data_point_dimensions", "feature_dimensions"}
    X = load_dataset("sparse_features", synthetic=TINY).clean()
    for n in (3, 7, 20):
        weight, hidden = arrays[n, "weight"], arrays[n, "hidden"]
        np.testing.assert_allclose(hidden, X[split(80, n, 0)[0]] @ weight.T, rtol=1e-9, atol=1e-12)
        for vectors, name in ((hidden, "data_point_dimensions"), (weight.T, "feature_dimensions")):
            size = np.linalg.norm(vectors, axis=1)
            unit = vectors / np.where(size > 0, size, 1)[:, None]
            overlap = np.square(vectors @ unit.T).sum(0)
            expected = np.divide(size**2, overlap, out=np.zeros_like(size), where=size > 0)
            np.testing.assert_allclose(arrays[n, name], expected, rtol=1e-9, atol=1e-12)
        (here,) = np.flatnonzero((rows["n_train"] == n) & (rows["seed"] == 0))
        assert rows["data_point_dimension"][here] == pytest.approx(np.median(arrays[n, "data_point_dimensions"]))
        D = arrays[n, "feature_dimensions"]
        assert rows["feature_dimension"][here] == pytest.approx((D**2).sum() / D.sum())


# Other step sizes and starts


@pytest.fixture(scope="module")
def levels(autoencoder_run):
    return relative(autoencoder_run("superposition_levels").results)


def test_the_base_step_size_as_a_level_reproduces_the_unablated_rows_exactly(levels):
    unablated = select(levels, ablation="none", n_hidden=2)
    same, other = (select(levels, ablation="learning_rate", level=level) for level in (0.03, 0.01))
    assert len(same["seed"]) == len(unablated["seed"]) == 9
    for name in ("n_train", "seed", "test_mse", "train_mse", "weight_norm", "gradient_norm", "step_size"):
        np.testing.assert_array_equal(same[name], unablated[name])
    assert (other["train_mse"] != unablated["train_mse"]).all()
    np.testing.assert_array_equal(other["step_size"], 0.01)
    # At the smallest width alone.
    assert set(levels["n_hidden"][levels["ablation"] != "none"]) == {2}
    assert set(levels["n_hidden"]) == {2, 3}


def test_the_best_of_more_starts_is_never_worse_in_training(levels):
    first, *more = (select(levels, ablation="restarts", level=k) for k in (1, 2, 3))
    unablated = select(levels, ablation="none", n_hidden=2)
    for name in ("test_mse", "train_mse"):
        np.testing.assert_array_equal(first[name], unablated[name])
    before = first
    for best in more:
        assert (best["train_mse"] <= before["train_mse"]).all()
        changed = best["train_mse"] < before["train_mse"]
        np.testing.assert_array_equal(best["test_mse"][~changed], before["test_mse"][~changed])
        assert (best["test_mse"][changed] != before["test_mse"][changed]).all()
        before = best
    assert (before["train_mse"] < first["train_mse"]).sum() >= 3


def test_starts_are_drawn_for_their_number_and_the_best_is_one_of_them():
    study = tiny_study(ablations=Ablations(restarts=[3]), n_train=[7], seeds=4)
    rows = trained_rows(run(study), ablation="restarts")
    differ = 0
    for seed in range(4):
        starts = [by_hand(study, 7, seed, start=start)[2:] for start in range(3)]
        assert len({train for train, _ in starts}) == 3
        train, test = min(starts)
        assert rows["train_mse"][seed] == pytest.approx(train, rel=1e-10)
        assert rows["test_mse"][seed] == pytest.approx(test, rel=1e-10)
        differ += train < starts[0][0]
    assert differ


def test_a_batch_is_trained_as_often_as_its_plan_says(monkeypatch):
    calls, train = [], nonlinear._train
    monkeypatch.setattr(nonlinear, "_train", lambda *a, **k: calls.append(1) or train(*a, **k))
    ablations = Ablations(learning_rate=[0.1, 0.01], restarts=[2, 4])
    study = tiny_study(ablations=ablations, n_train=[3], n_hidden=[2, 3])
    (data,) = load_datasets(study)
    for batch, expected in zip(plan(study, [data]), (1 + 2 + 3, 1), strict=True):
        calls.clear()
        run_batch(study, data, batch)
        assert len(calls) == batch.trainings == expected


def test_a_step_size_that_is_too_large_is_seen():
    """Plain descent with η = 1000 leaves every bound, and its rows say so."""
    records = run(tiny_study(optimizer="gd", ablations=Ablations(learning_rate=[1000.0])))
    assert (trained_rows(records, ablation="none")["status"] == "max_steps").all()
    assert (trained_rows(records, ablation="learning_rate")["status"] == "diverged").all()


def test_what_is_no_number_loses_to_any_other_start():
    losses = torch.tensor([[1.0, np.nan, 3.0, np.inf], [2.0, 5.0, 2.0, 1.0]])
    first, second = (
        nonlinear._Trained(torch.full((4, 2), k), *(torch.full((4,), k) for _ in range(3)), loss)
        for k, loss in enumerate(losses)
    )
    best = first.best(second)
    assert best.train_loss.tolist() == [1, 5, 2, 1]
    assert best.steps.tolist() == best.W[:, 0].tolist() == [0, 1, 1, 1]


# The three regimes


@pytest.fixture(scope="module")
def regimes(autoencoder_run):
    """{T: (seeds,)} of a column."""
    results = relative(autoencoder_run("superposition").results)
    rows = select(results, model="superposition")
    return lambda value: {T: rows[value][rows["n_train"] == T] for T in (5, 32, 500)}


def test_the_test_loss_is_worst_in_between(regimes):
    loss = regimes("relative_test_mse")
    assert len(loss[32]) == 10
    assert (loss[32] > np.maximum(loss[5], loss[500])).sum() >= 9
    assert np.median(loss[32]) > 1.05  # worse than giving back nothing
    assert max(np.median(loss[5]), np.median(loss[500])) < 1
    # The training loss has no peak: it is a matter of what generalises.
    train = regimes("relative_train_mse")
    assert (train[5] < train[32]).all()
    assert (train[32] < train[500]).all()


def test_few_points_are_stored_and_of_many_the_features(regimes):
    points, features = regimes("data_point_dimension"), regimes("feature_dimension")
    assert np.median(points[5]) > 0.8 * 2 / 5  # almost all they can have, m/T
    assert np.median(points[500]) < 0.2 * 2 / 500
    loss, train = regimes("relative_test_mse"), regimes("relative_train_mse")
    assert np.median(loss[500] / train[500]) < 1.1
    assert np.median(loss[5] / train[5]) > 1.5
    assert all((values <= 1 + 1e-6).all() for values in (*points.values(), *features.values()))


def test_the_zero_start_is_stalled_at_every_size(autoencoder_run):
    rows = relative(select(autoencoder_run("superposition").results, model="superposition_zero"))
    assert len(rows["seed"]) == 30
    assert set(rows["status"]) == {"stalled"}
    np.testing.assert_allclose(rows["relative_test_mse"], 1, rtol=1e-6)


def test_training_in_single_precision_agrees_with_double_while_rounding_has_not_grown():
    dtypes, sizes = ("float32", "float64"), {"synthetic": SPARSE, "n_train": [5, 32]}
    single, double = (trained_rows(run(tiny_study(dtype=dtype, **sizes))) for dtype in dtypes)
    np.testing.assert_allclose(single["test_mse"], double["test_mse"], rtol=1e-4)
    assert (single["test_mse"] != double["test_mse"]).all()


def test_the_study_of_the_package_is_the_one_tested_here():
    shipped, tested = read_study(find_config("superposition.yaml")), autoencoder_study("superposition")
    assert shipped.synthetic == tested.synthetic
    for key in ("optimizer", "optimizer_options", "step_size", "warmup", "schedule", "steps"):
        assert getattr(shipped.gd, key) == getattr(tested.gd, key)
    assert (shipped.dtype, shipped.seeds) == (tested.dtype, tested.seeds)


def test_of_several_starts_one_that_diverged_loses_whatever_its_loss():
    def trained(loss, status):
        codes = [torch.tensor(values) for values in ([1, 1], [1.0, 1.0], status, loss)]
        return nonlinear._Trained(torch.tensor([[sum(loss)], [sum(loss)]]), *codes)

    diverged, running, nan = trained([0.1, 0.1], [3, 2]), trained([0.2, 0.2], [2, 2]), trained([torch.nan] * 2, [2, 2])
    for first, second in ((diverged, running), (running, diverged)):
        assert first.best(second).train_loss.tolist() == pytest.approx([0.2, 0.1])
    assert nan.best(running).train_loss.tolist() == running.best(nan).train_loss.tolist() == pytest.approx([0.2, 0.2])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_zero_is_a_saddle_of_many_features_too(dtype):
    wide = Synthetic(n_inputs=10_000, n_rows=60, p_nonzero=1e-3)
    study = tiny_study("superposition_zero", synthetic=wide, n_train=[3, 20], dtype=dtype)
    assert (trained_rows(run(study))["status"] == "stalled").all()
