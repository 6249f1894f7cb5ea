"""summary.csv: medians and quartiles of all seeds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gdstudy.sweep.reading import load_run
from gdstudy.views import quartiles
from gdstudy.views.quartiles import summarised
from gdstudy.views.summary import measured, over_seeds

_KEYS = ["dataset", "preprocess", "model", "estimator", "ablation", "level", "n_parameters", "n_train"]


@pytest.mark.parametrize("seeds", [1, 2, 3, 4, 5, 50, 101])
def test_quartiles_are_those_that_pandas_gives_to_the_last_digit(seeds):
    random = np.random.default_rng(seeds)
    x = random.permutation(np.repeat([3, 20, 7], seeds))
    values = np.exp(30 * random.standard_normal(len(x)))
    curve, by_x = over_seeds(x, values), pd.Series(values).groupby(x)
    assert curve.x.tolist() == [3, 7, 20]
    for q, band in ((0.25, curve.low), (0.5, curve.median), (0.75, curve.high)):
        assert band.tolist() == by_x.quantile(q).tolist()
    assert curve.mean.tolist() == by_x.mean().tolist()
    if seeds == 50:  # one digit would be found
        assert curve.median.tolist() != by_x.quantile(np.nextafter(0.5, 1)).tolist()


def test_infinite_values_count_as_the_largest():
    values = np.array([1.0, 2, 3, np.inf, 1, np.nan, np.inf, np.inf])
    curve = over_seeds(np.repeat([1, 2], 4), values)
    assert curve.low.tolist() == [1.75, np.inf]
    assert curve.median.tolist() == [2.5, np.inf]
    assert curve.high.tolist() == [np.inf, np.inf]
    many = over_seeds(np.zeros(5000), np.full(5000, np.inf))
    assert many.mean.tolist() == [np.inf]  # without a warning


def with_diverged(run):
    """Half of the trained cells of one N diverged, with no error, and others of infinite error."""
    rows = run.results
    lost = ((rows["estimator"] == "gd") & (rows["n_train"] == 20) & (rows["seed"] < 2)).to_numpy()
    infinite = ((rows["estimator"] == "min_norm") & (rows["n_train"] == 5) & (rows["seed"] == 1)).to_numpy()
    status = rows["status"].astype(str).mask(lost, "diverged")
    test = rows["test_mse"].mask(lost, np.nan).mask(infinite, np.inf)
    return replace(run, results=rows.assign(status=pd.Categorical(status), test_mse=test))


def test_what_is_known_before_training_is_no_matter_of_how_it_ended(run_dir):
    run = load_run(run_dir)
    gd, by = run.results["estimator"] == "gd", ["dataset", "n_train"]
    lost = run.results["status"].astype(str).mask(gd, "diverged")
    tables = [summarised(one) for one in (run, replace(run, results=run.results.assign(status=pd.Categorical(lost))))]
    whole, diverged = (table[table["estimator"] == "gd"].set_index(by) for table in tables)
    for name in ("condition_number", "rank", "step_size", "step_size_limit", "target_variance", "precision"):
        np.testing.assert_array_equal(diverged[f"{name}_median"], whole[f"{name}_median"])
    assert np.isinf(diverged["test_mse_median"]).all()  # control


def test_what_is_nothing_in_some_cells_is_of_the_others(run_dir):
    run = load_run(run_dir)
    rows = run.results
    here = ((rows["estimator"] == "gd") & (rows["n_train"] == 20)).to_numpy()
    for lacking, expected in (([0, 1], [2.0, 3.0]), ([0, 1, 2, 3], [])):
        share = rows["slowest_error_share"].mask(here, rows["seed"])  # 0 … 3, of both data sets
        share = share.mask(here & rows["seed"].isin(lacking).to_numpy())
        table = summarised(replace(run, results=rows.assign(slowest_error_share=share)))
        found = table[(table["estimator"] == "gd") & (table["n_train"] == 20)]["slowest_error_share_median"]
        assert len(found) == 2
        np.testing.assert_array_equal(found, np.median(expected) if expected else np.nan)


@pytest.mark.parametrize("at_once", [1 << 20, 50])
@pytest.mark.parametrize("name", ["run_dir", "paper_run"])
def test_every_number_is_summarised_over_all_seeds(name, at_once, request, monkeypatch):
    monkeypatch.setattr(quartiles, "_ROWS", at_once)
    run = with_diverged(load_run(request.getfixturevalue(name)))
    results, table = run.results, summarised(run)
    grouped, of_keys = (list(t.groupby(_KEYS, observed=True, dropna=False)) for t in (results, table))
    assert len(table) == len(grouped)
    assert table["cells"].sum() == len(results)
    assert table["diverged"].sum() == (results["status"] == "diverged").sum() > 0
    for value in ("test_mse", "smallest_singular_value", "step"):
        for place in range(0, len(grouped), 7):
            rows, (row,) = grouped[place][1], of_keys[place][1].to_dict("records")
            expected = np.quantile(np.where(np.isinf(v := measured(rows, value)), 1e200, v), (0.25, 0.5, 0.75))
            if rows[value].isna().all() and not (rows["status"] == "diverged").any():
                expected = np.full(3, np.nan)
            found = [row[f"{value}_{band}"] for band in ("q25", "median", "q75")]
            np.testing.assert_allclose(found, np.where(expected > 1e150, np.inf, expected), rtol=1e-14)


def test_what_is_empty_everywhere_has_no_column(run_dir):
    table = summarised(load_run(run_dir))
    assert "test_mse_median" in table
    assert "test_accuracy_median" not in table
    assert "seed_median" not in table
