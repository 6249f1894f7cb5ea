"""Bottlenecks by their starts: where each ends, and what it is on the way."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from computed import at, autoencoders, computed, records_of
from sklearn.metrics import mean_squared_error

from gdstudy import load_dataset
from gdstudy.data.splits import split, stream
from gdstudy.experiment.bottleneck import Bottlenecks
from gdstudy.experiment.plan import plan
from gdstudy.study.ablations import UNABLATED
from gdstudy.study.config import Study
from gdstudy.study.groups import Synthetic, Training
from gdstudy.study.values import Levels, StepSize

D, K = 16, 4


def study_of(model="bottleneck", n_train=(2000,), seeds=1, **gd):
    """D = 16, k = 4, Σ = diag 1/i; of 5000 rows."""
    step_size = gd.pop("step_size", "auto")
    noise = gd.pop("input_noise", 0)
    values = {"steps": 3200, "checkpoints_per_decade": 3, **gd}
    return Study(
        datasets=["power_law"],
        models=[model],
        input_noise=[noise],
        n_train=list(n_train),
        n_hidden=[K],
        seeds=seeds,
        gd=Training(step_size=StepSize(str(step_size)), **values),
    )


def run(study, seed=None):
    """(closed form, trained and, where there is one, the exact iterate) of the results; and curves.

    seed: of all seeds, this one alone.
    """
    (batch,) = plan(study)
    if seed is not None:
        batch = replace(batch, cells=tuple((n, seed) for n in study.n_train))
    ((_, records),) = records_of(study, [batch])
    return records.results, records.curves


def trained_at(share, seed, model="bottleneck", **gd):
    """One cell trained at a share of its own step size limit."""
    limit = run(study_of(model, steps=1, **gd), seed)[0][1]["step_size_limit"].item()
    (_, trained, *_), _ = run(study_of(model, step_size=share * limit, **gd), seed)
    return trained


# A small start


@pytest.mark.parametrize("init_scale", [1e-8, 1e-3, 0.1])
@pytest.mark.parametrize("n", [8, 2000])
def test_from_a_small_start_descent_ends_at_the_projector_on_the_principal_components(n, init_scale):
    """For N < D too: nothing is put outside the row space, where it would stay."""
    steps = 3200 if n == 2000 else 20_000  # of few rows the gap between the components is smaller
    (closed, trained), curves = run(study_of(n_train=[n], seeds=5, init_scale=init_scale, steps=steps))
    assert closed["estimator"] == "pca"
    assert (trained["status"] == "converged").all()
    assert trained["distance"].max() < 1e-6
    assert trained["row_space_leak"].max() < 1e-9
    np.testing.assert_allclose(trained["weight_norm"], np.sqrt(K), rtol=1e-6)  # of a projector of rank k
    np.testing.assert_allclose(trained["test_mse"], closed["test_mse"], rtol=1e-6)
    # It was not there all along: it started near zero, where everything is lost.
    early = curves[0]
    assert (early["step"] == 1).all()
    assert (early["distance"] > 0.9).all()
    # One cell by hand.
    X = load_dataset("power_law").X
    train, test = split(5000, n, 2)
    V = np.linalg.svd(X[train])[2][:K].T
    assert closed["test_mse"][2] == pytest.approx(mean_squared_error(X[test], X[test] @ V @ V.T), rel=1e-10)


def test_components_are_learnt_one_after_the_other():
    study = study_of(init_scale=1e-8)
    arrays = at(computed(study).arrays, name="mode_strengths")
    steps, strengths = arrays["step"].to_numpy(), np.stack(arrays["value"])
    assert strengths.shape == (len(steps), K)
    half = [steps[strengths[:, r] > 0.5][0] for r in range(K)]
    assert half == sorted(half)
    assert half[0] < half[-1]
    np.testing.assert_allclose(strengths[-1], 1, atol=1e-6)


def test_the_start_is_drawn_for_the_seed_projected_on_the_row_space_and_scaled():
    study = study_of(n_train=[8], seeds=3, steps=1, step_size=1e-30, init_scale=0.01)
    _, curves = run(study)
    X = load_dataset("power_law").X
    for seed in range(3):
        encoder, decoder = 0.01 * stream(seed, "bottleneck 0").standard_normal((2, D, K))
        train, test = split(5000, 8, seed)
        M = np.linalg.pinv(X[train]) @ X[train] @ encoder @ decoder.T
        assert curves[0]["weight_norm"][seed] == pytest.approx(np.linalg.norm(M))
        assert curves[0]["test_mse"][seed] == pytest.approx(mean_squared_error(X[test], X[test] @ M))


# A start at zero


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("noise", [0, 0.5])
def test_from_zero_every_cell_is_stalled_where_it_started(noise, dtype):
    study = study_of("bottleneck_zero", n_train=[4, 16, 64], seeds=4, input_noise=noise, dtype=dtype)
    (_, trained), _ = run(study)
    assert (trained["status"] == "stalled").all()
    assert not trained["weight_norm"].any()
    assert not trained["step"].any()
    np.testing.assert_allclose(trained["distance"], 1, rtol=1e-6)  # float32 rounds the norms
    # An output of zero: everything is lost.
    X = load_dataset("power_law").X
    lost = [np.square(X[split(5000, n, seed)[1]]).mean() for n in (4, 16, 64) for seed in range(4)]
    np.testing.assert_allclose(trained["test_mse"], lost)


# The step size


@pytest.mark.parametrize("model", ["bottleneck", "bottleneck_aligned"])
@pytest.mark.parametrize(("share", "diverges"), [(0.5, False), (0.9, False), (1.02, True), (1.2, True), (2.5, True)])
def test_descent_diverges_above_its_step_size_limit(model, share, diverges):
    """1/λ₁, half of a readout's: at the optimum the curvature is 2λ₁."""
    for seed in range(2):
        trained = trained_at(share, seed, model)
        assert trained["status"] == ("diverged" if diverges else "converged")
        assert (trained["distance"] < 1e-6) == (not diverges)
        assert (trained["step_size"] > trained["step_size_limit"]) == diverges


@pytest.mark.parametrize("init_scale", [1e-8, 1e-3])
def test_descent_below_its_limit_does_not_count_as_diverged(init_scale):
    """At 0.98 of it a component may overshoot on its way and the loss rise for a moment, but it comes back."""
    for seed in range(8):
        trained = trained_at(0.98, seed, init_scale=init_scale)
        assert trained["status"] == "converged", seed
        assert trained["distance"] < 1e-6


def test_the_limit_is_that_of_each_cells_own_rows():
    study = study_of(n_train=[8, 64], seeds=3, steps=1)
    (_, trained), _ = run(study)
    X = load_dataset("power_law").X
    largest = [np.linalg.norm(X[split(5000, n, seed)[0]], 2) ** 2 for n in (8, 64) for seed in range(3)]
    np.testing.assert_allclose(trained["step_size_limit"], 1 / np.array(largest))
    np.testing.assert_allclose(trained["step_size"], 0.5 / np.array(largest))


# An aligned start


@pytest.mark.parametrize("engine", ["gram", "autograd"])
def test_from_an_aligned_start_descent_is_its_exact_map_at_every_checkpoint(engine):
    study = study_of("bottleneck_aligned", n_train=[2, 8, 64, 1000], seeds=3, engine=engine, steps=1000)
    (closed, trained, exact), curves = run(study)
    assert max(c["deviation"].max() for c in curves) < 1e-12
    assert max(c["deviation"].max() for c in curves) > 0
    for c in curves:
        np.testing.assert_allclose(c["test_mse"], c["exact_test_mse"], rtol=1e-10)
        np.testing.assert_allclose(c["distance"], c["exact_distance"], rtol=1e-6, atol=1e-12)
    assert exact["estimator"] == "gd_closed_form"
    np.testing.assert_allclose(exact["test_mse"], trained["test_mse"], rtol=1e-10)
    assert (trained["status"] == "converged").all()
    np.testing.assert_allclose(trained["test_mse"], closed["test_mse"], rtol=1e-8)


def test_the_exact_map_is_that_of_each_component_by_itself():
    """u ← u + ηλu(1 − u²) by hand for one cell, at every checkpoint; from a start that is not aligned it is not."""
    study = study_of("bottleneck_aligned", n_train=[64], init_scale=0.02, steps=300)
    (_, trained, _), curves = run(study)
    X = load_dataset("power_law").X
    train, test = split(5000, 64, 0)
    _, s, Vt = np.linalg.svd(X[train])
    V, u, eta = Vt[:K].T, np.full(K, 0.02), trained["step_size"][0]
    expected = {}
    for t in range(1, 301):
        u = u + eta * s[:K] ** 2 * u * (1 - u**2)
        expected[t] = mean_squared_error(X[test], X[test] @ (V * u**2) @ V.T)
    for c in curves:
        assert c["test_mse"][0] == pytest.approx(expected[int(c["step"][0])], rel=1e-10)
    _, others = run(study_of("bottleneck", n_train=[64], init_scale=0.02, steps=300, step_size=eta))
    assert max(abs(c["test_mse"][0] / expected[int(c["step"][0])] - 1) for c in others) > 1e-3
    assert not any("deviation" in c for c in others)


def test_pictures_hold_the_strength_of_each_component_beside_its_exact_map_and_its_flow():
    study = study_of("bottleneck_aligned", n_train=[3, 64], seeds=2, init_scale=0.02, steps=300)
    found = computed(study).arrays
    keys = zip(found["n_train"], found["step"], found["name"], strict=True)
    arrays = dict(zip(keys, found["value"], strict=True))
    assert set(found["seed"]) == {0}
    steps = {(n, step) for n, step, _ in arrays}
    assert len({step for n, step in steps if n == 64}) > 5
    for n, step in steps:
        trained, exact, flow = (arrays[n, step, f"{name}_strengths"] for name in ("mode", "exact", "flow"))
        np.testing.assert_allclose(trained, exact, rtol=1e-10, atol=1e-15)
        rank = min(n, K)
        assert not trained[rank:].any()
        # Half the step size limit is far from a flow, but the ends are the same.
        assert np.abs(flow[:rank] - exact[:rank]).max() > 1e-4 or step > 50
        assert ((flow[:rank] > 0) & (flow[:rank] <= 1)).all()
    last = max(step for n, step in steps if n == 64)
    np.testing.assert_allclose(arrays[64, last, "flow_strengths"], 1, atol=1e-3)


# Noisy inputs


def test_the_best_map_of_noisy_inputs_spikes_at_n_equal_d_and_that_of_clean_ones_does_not():
    lost = {}
    for noise in (0, 0.5):
        study = study_of(n_train=[8, 16, 32], seeds=51, steps=1)
        study.input_noise, study.estimators = Levels((noise,)), ["min_norm"]
        ((closed,), _) = run(study)
        assert closed["estimator"] == ("reduced_rank" if noise else "pca")
        shares = closed["test_mse"] / closed["target_mean_square"]
        lost[noise] = [np.median(shares[closed["n_train"] == n]) for n in (8, 16, 32)]
    assert lost[0.5][1] > 5 * max(lost[0.5][0], lost[0.5][2])
    assert lost[0][0] > lost[0][1] > lost[0][2]


def test_with_noisy_inputs_a_small_start_ends_at_reduced_rank_regression():
    results = autoencoders("bottleneck").results
    rows = at(results, model="bottleneck", input_noise=0.5)
    trained = at(rows, estimator="gd")
    ended = trained["status"] == "converged"
    assert ended.sum() > 10
    assert trained["distance"][ended].max() < 1e-6
    # One cell by hand: the fit's leading right singular vectors, not those of the inputs.
    data = load_dataset("power_law", input_noise=0.5, synthetic=Synthetic(n_inputs=8, n_rows=600))
    train, test = split(600, 16, 1)
    x, clean = data.inputs(1), data.X
    full = np.linalg.pinv(x[train]) @ clean[train]
    V = np.linalg.svd(x[train] @ full)[2][:2].T
    closed = at(rows, estimator="reduced_rank", n_train=16, n_hidden=2, seed=1)
    expected = mean_squared_error(clean[test], x[test] @ full @ V @ V.T)
    assert closed["test_mse"].item() == pytest.approx(expected, rel=1e-8)
    P_k = np.linalg.svd(x[train])[2][:2].T
    assert abs(mean_squared_error(clean[test], x[test] @ P_k @ P_k.T) / expected - 1) > 0.01


def test_wider_bottlenecks_lose_less():
    rows = at(autoencoders("bottleneck").results, input_noise=0, model="bottleneck", n_train=200)
    rows = rows.assign(lost=rows["test_mse"] / rows["target_mean_square"])
    trained = [at(rows, estimator="gd", n_hidden=k)["lost"].median() for k in (2, 4)]
    best = [at(rows, estimator="pca", n_hidden=k)["lost"].median() for k in (2, 4)]
    np.testing.assert_allclose(trained, best, rtol=1e-6)
    assert best[0] > best[1] > 0
    # What is left is the spectrum beyond the k-th component, of Σ 1/i over 8 components.
    spectrum = 1 / np.arange(1, 9)
    np.testing.assert_allclose(best, [spectrum[k:].sum() / spectrum.sum() for k in (2, 4)], rtol=0.1)


def test_both_engines_train_alike():
    ends = [run(study_of(n_train=[8, 64], seeds=3, steps=400, engine=e))[0][1] for e in ("gram", "autograd")]
    np.testing.assert_allclose(ends[0]["test_mse"], ends[1]["test_mse"], rtol=1e-9)
    assert torch.get_default_dtype() == torch.float32  # and nothing global was changed


# What a start near a saddle, a schedule or single precision must not change


@pytest.mark.parametrize("init_scale", [1e-10, 1e-12])
def test_leaving_a_saddle_is_no_divergence_however_near_the_start(init_scale):
    (_, trained), _ = run(study_of(n_train=[64], seeds=2, init_scale=init_scale, tolerance=1e-13))
    assert not (trained["status"] == "diverged").any()
    assert trained["gradient_norm"].max() > 0  # it left, or will: the gradient is not that of a minimum
    assert run(study_of(n_train=[64], step_size=3.0))[0][1]["status"].tolist() == ["diverged"]


def test_a_schedule_has_no_exact_iterate_to_be_compared_with():
    for schedule in ({"warmup": 0.1}, {"schedule": "cosine"}):
        results, curves = run(study_of("bottleneck_aligned", n_train=[16], **schedule))
        assert len(results) == 2  # closed form and trained, no exact iterate
        assert not any("exact_test_mse" in rows for rows in curves)
    assert all("exact_test_mse" in rows for rows in run(study_of("bottleneck_aligned", n_train=[16]))[1])


def test_both_engines_end_in_the_same_statuses_beyond_the_limit():
    limit = run(study_of(n_train=[16], steps=1))[0][1]["step_size_limit"].item()
    ends = [run(study_of(n_train=[16], step_size=1.2 * limit, engine=e))[0][1]["status"] for e in ("gram", "autograd")]
    np.testing.assert_array_equal(*ends)
    assert (ends[0] == "diverged").all()


def test_the_exact_map_goes_on_from_where_it_was_and_can_go_back():
    study = study_of("bottleneck_aligned", n_train=[16, 64], seeds=2)
    (batch,) = plan(study)
    task = Bottlenecks(study, load_dataset("power_law"), batch).task(study.gd, UNABLATED)
    everything = torch.arange(4)
    far = task._strengths(torch.tensor([50, 60, 70, 80]), everything).clone()
    near = task._strengths(torch.tensor([5, 6, 7, 8]), everything).clone()
    again = task._strengths(torch.tensor([50, 60, 70, 80]), everything)
    torch.testing.assert_close(again, far, rtol=1e-13, atol=0)
    assert (near < far).all()
