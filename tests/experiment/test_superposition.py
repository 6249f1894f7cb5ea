"""The toy ReLU autoencoder against a plain PyTorch loop, and its three regimes along T."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from computed import at, autoencoders, computed
from conftest import ADAMW, SPARSE, autoencoder_study

from gdstudy import Dataset, load_dataset
from gdstudy.data.splits import split, stream
from gdstudy.experiment import superposition as module
from gdstudy.experiment.driver import run_batch
from gdstudy.experiment.plan import plan
from gdstudy.study.config import Study
from gdstudy.study.errors import StudyError
from gdstudy.study.groups import Synthetic, Training
from gdstudy.study.parser import find_config, read_study
from gdstudy.study.values import StepSize

TINY = Synthetic(n_inputs=12, n_rows=80, p_nonzero=0.2)


def tiny_study(model="superposition", optimizer="adamw", dtype="float64", gd=None, **changes):
    """Three sizes, two seeds, a few steps, in double precision; trained as `gd`."""
    options = (ADAMW if optimizer == "adamw" else {}) | (gd or {})
    gd = Training(steps=60, step_size=StepSize("0.02"), checkpoints_per_decade=2, dtype=dtype, **options)
    values = {"datasets": ["sparse_features"], "synthetic": TINY, "n_train": [3, 7, 20], "n_hidden": [2], "seeds": 2}
    return Study(**{**values, "models": [model], "gd": gd, **changes})


def relative(rows):
    """With errors as shares of the mean square of the inputs."""
    shares = {f"relative_{name}": rows[name] / rows["target_mean_square"] for name in ("test_mse", "train_mse")}
    return rows.assign(**shares)


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
    study = tiny_study(optimizer=optimizer, gd={"engine": engine})
    found = computed(study)
    rows = found.results
    assert len(rows["seed"]) == 6
    for n, seed, train_mse, test_mse, norm in zip(
        rows["n_train"], rows["seed"], rows["train_mse"], rows["test_mse"], rows["weight_norm"], strict=True
    ):
        W, b, train, test = by_hand(study, int(n), int(seed))
        assert np.abs(b).max() > 1e-3  # the bias is trained too
        assert train_mse == pytest.approx(train, rel=1e-10)
        assert test_mse == pytest.approx(test, rel=1e-10)
        assert norm == pytest.approx(np.linalg.norm(W), rel=1e-10)
    arrays = at(found.arrays, name="weight")
    weights = dict(zip(arrays["n_train"], arrays["value"], strict=True))
    for n in (3, 7, 20):
        np.testing.assert_allclose(weights[n], by_hand(study, n, 0)[0], rtol=1e-9)


def test_errors_are_the_same_however_rows_are_cut(monkeypatch):
    whole = computed(tiny_study()).results
    monkeypatch.setattr(module, "CPU_CHUNK", 30)
    monkeypatch.setattr(module, "CPU_OUTPUTS", 30)
    cut = computed(tiny_study()).results
    for name in ("test_mse", "train_mse", "weight_norm"):
        np.testing.assert_allclose(cut[name], whole[name], rtol=1e-12)


def test_a_cell_does_not_depend_on_its_stack():
    together, alone = (computed(tiny_study(batch_cells=size)).results for size in (1000, 1))
    for name in ("test_mse", "train_mse", "weight_norm"):
        np.testing.assert_allclose(alone[name], together[name], rtol=1e-12)


@pytest.mark.parametrize("optimizer", ["adamw", "gd"])
def test_from_zero_every_cell_is_stalled_and_loses_everything(optimizer):
    """Predicting 0 loses 1, in units of the mean square of the inputs, also on the training rows."""
    for dtype in ("float64", "float32"):
        rows = computed(tiny_study("superposition_zero", optimizer, dtype=dtype)).results
        assert (rows["status"] == "stalled").all()
        assert not rows["weight_norm"].any()
        assert not rows["step"].any()
        np.testing.assert_allclose(rows["test_mse"] * 12, 1, rtol=1e-6)
        np.testing.assert_allclose(rows["train_mse"] * 12, 1, rtol=1e-6)


def test_the_target_mean_square_is_that_of_rows_of_length_1():
    rows = computed(tiny_study()).results
    np.testing.assert_allclose(rows["target_mean_square"], 1 / 12)
    np.testing.assert_allclose(rows["step_size"], 0.02)
    assert set(rows["estimator"]) == {"gd"}


def test_dimensionalities_are_those_of_the_stored_points_and_weights():
    rows, _, found = computed(tiny_study())
    arrays = dict(zip(zip(found["n_train"], found["name"], strict=True), found["value"], strict=True))
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
        here = at(rows, n_train=n, seed=0)
        assert here["data_point_dimension"].item() == pytest.approx(np.median(arrays[n, "data_point_dimensions"]))
        D = arrays[n, "feature_dimensions"]
        assert here["feature_dimension"].item() == pytest.approx((D**2).sum() / D.sum())


# Other step sizes and starts


def test_a_training_of_another_step_size_differs_in_that_alone_and_is_done_at_its_own_widths():
    rows = autoencoders("superposition_levels").results
    for name, step_size in (("adamw", 0.03), ("slow", 0.01), ("fast", 0.1)):
        np.testing.assert_array_equal(at(rows, estimator=name)["step_size"], step_size)
    base, *others = (at(rows, estimator=name, n_hidden=2).reset_index() for name in ("adamw", "slow", "fast"))
    for other in others:
        assert len(other) == len(base) == 9
        assert (other[["n_train", "seed"]] == base[["n_train", "seed"]]).all(axis=None)
        assert (other["train_mse"] != base["train_mse"]).all()
    assert set(at(rows, estimator="slow")["n_hidden"]) == {2}
    assert set(at(rows, estimator="adamw")["n_hidden"]) == {2, 3}


def test_the_best_of_more_starts_is_never_worse_in_training():
    rows = autoencoders("superposition_levels").results
    names = ("adamw", "best_of_2", "best_of_3")
    before, *more = (at(rows, estimator=name, n_hidden=2).reset_index() for name in names)
    first = before
    for best in more:
        assert (best["train_mse"] <= before["train_mse"]).all()
        changed = best["train_mse"] < before["train_mse"]
        np.testing.assert_array_equal(best["test_mse"][~changed], before["test_mse"][~changed])
        assert (best["test_mse"][changed] != before["test_mse"][changed]).all()
        before = best
    assert (before["train_mse"] < first["train_mse"]).sum() >= 3


def test_starts_are_drawn_for_their_number_and_the_best_is_one_of_them():
    study = tiny_study(trainings={"best_of_3": {"restarts": 3}}, n_train=[7], seeds=4)
    rows = at(computed(study).results, estimator="best_of_3").set_index("seed")
    differ = 0
    for seed in range(4):
        starts = [by_hand(study, 7, seed, start=start)[2:] for start in range(3)]
        assert len({train for train, _ in starts}) == 3
        train, test = min(starts)
        assert rows["train_mse"][seed] == pytest.approx(train, rel=1e-10)
        assert rows["test_mse"][seed] == pytest.approx(test, rel=1e-10)
        differ += train < starts[0][0]
    assert differ


def test_a_step_size_that_is_too_large_is_seen():
    """Plain descent with η = 1000 leaves every bound, and its rows say so."""
    rows = computed(tiny_study(optimizer="gd", trainings={"wild": {"step_size": 1000}})).results
    assert (at(rows, estimator="gd")["status"] == "max_steps").all()
    assert (at(rows, estimator="wild")["status"] == "diverged").all()


# The three regimes


@pytest.fixture(scope="module")
def regimes():
    """{T: (seeds,)} of a column."""
    rows = relative(at(autoencoders("superposition").results, model="superposition"))
    return lambda value: {T: at(rows, n_train=T)[value].to_numpy() for T in (5, 32, 500)}


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


def test_the_zero_start_is_stalled_at_every_size():
    rows = relative(at(autoencoders("superposition").results, model="superposition_zero"))
    assert len(rows) == 30
    assert set(rows["status"]) == {"stalled"}
    np.testing.assert_allclose(rows["relative_test_mse"], 1, rtol=1e-6)


def test_training_in_single_precision_agrees_with_double_while_rounding_has_not_grown():
    dtypes, sizes = ("float32", "float64"), {"synthetic": SPARSE, "n_train": [5, 32]}
    single, double = (computed(tiny_study(dtype=dtype, **sizes)).results for dtype in dtypes)
    np.testing.assert_allclose(single["test_mse"], double["test_mse"], rtol=1e-4)
    assert (single["test_mse"] != double["test_mse"]).all()


def test_the_study_of_the_package_is_the_one_tested_here():
    shipped, tested = read_study(find_config("superposition.yaml")), autoencoder_study("superposition")
    assert shipped.synthetic == tested.synthetic
    for key in ("optimizer", "optimizer_options", "step_size", "warmup", "schedule", "steps", "dtype"):
        assert getattr(shipped.trained["adamw"], key) == getattr(tested.trained["adamw"], key)
    assert shipped.seeds == tested.seeds


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_zero_is_a_saddle_of_many_features_too(dtype):
    wide = Synthetic(n_inputs=10_000, n_rows=60, p_nonzero=1e-3)
    study = tiny_study("superposition_zero", synthetic=wide, n_train=[3, 20], dtype=dtype)
    assert (computed(study).results["status"] == "stalled").all()


@pytest.mark.parametrize("model", ["superposition_zero", "superposition", "bottleneck", "bottleneck_zero"])
@pytest.mark.parametrize(("dtype", "unit"), [("float32", 1e-24), ("float32", 1e20), ("float64", 1e-160)])
def test_data_whose_squares_a_dtype_does_not_hold_are_refused(dtype, unit, model):
    X = unit * np.random.default_rng(0).standard_normal((40, 4))
    data = Dataset(X=X, Y=X)
    superposed = model.startswith("superposition")
    gd = Training(steps=5, dtype=dtype, **({"step_size": StepSize("0.1")} if superposed else {}))
    study = Study(datasets=["student_teacher"], models=[model], n_train=[8], n_hidden=[2], seeds=1, gd=gd)
    (batch,) = plan(study)
    batch = replace(batch, n_parameters=4)
    with pytest.raises(StudyError, match=r"squares float(32|64) does not hold; give the data in other units"):
        run_batch(study, data, batch)
    assert run_batch(study, Dataset(X=X / unit, Y=X / unit), batch).results  # control
    if dtype == "float32":  # and what it does hold is trained
        near = X / unit * (1e-17 if unit < 1 else 1e17)
        assert run_batch(study, Dataset(X=near, Y=near), batch).results
