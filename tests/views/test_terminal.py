"""What the terminal says at the end of a run: the numbers of its tables, and warnings where they are due."""

import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import autoencoder_study
from stand_in import joined, with_second

from gdstudy.sweep.reading import load_run
from gdstudy.views.summary import select
from gdstudy.views.terminal import report


@pytest.fixture(scope="module")
def said(autoencoder_run, tmp_path_factory):
    """Name of a study → {(data set, model): lines of its tables}, and the whole text."""

    def read(name):
        run = autoencoder_run(name)
        text = report(run, tmp_path_factory.getbasetemp())
        tables = {}
        for block in text.split("\n\n"):
            lines = block.strip("\n").splitlines()
            if found := re.match(r"(\S+), (\w+)  \(", lines[0]):
                tables.setdefault(found.groups(), []).append(lines)
        return tables, text

    return read


def numbers(lines):
    """{size: its numbers} of a table's rows."""
    rows = (re.match(r" *(\d+)(?: [<=>] \w)? +(?!of )(.*)", line) for line in lines[2:])
    return {int(row[1]): [number(word) for word in re.split(r"  +", row[2].strip())] for row in rows if row}


def number(text):
    """What stands in a column: a number, (low, high) of quartiles, or None for `-`."""
    if text == "-":
        return None
    found = [float(word.rstrip("%")) for word in text.split(" to ")]
    return tuple(found) if len(found) > 1 else found[0]


def quartiles(values, digits=1):
    """The same of quartiles as they are written."""
    low, high = np.quantile(values, [0.25, 0.75])
    low, high = (float(f"{value:.{digits - 1}e}") for value in (low, high))
    return low if low == high else (low, high)


def test_superposition_has_a_table_of_its_own_at_its_ends_and_its_worst(said, autoencoder_run):
    tables, _ = said("superposition")
    ((title, head, *rows),) = tables["sparse_features", "superposition"]
    assert title == "sparse_features, superposition  (n = 50 inputs, 2 hidden; medians over 10 seeds)"
    assert re.split(r"  +", head.strip()) == ["N", "test loss", "train loss", "‖W‖", "D·N/m"]
    found = numbers([title, head, *rows])
    assert list(found) == [5, 32, 500]
    table = select(autoencoder_run("superposition").results, model="superposition")
    for T, (test, train, norm, share) in found.items():
        here = select(table, n_train=T)
        assert test == pytest.approx(np.median(here["test_mse"]) * 50, rel=1e-3)
        assert train == pytest.approx(np.median(here["train_mse"]) * 50, rel=1e-3)
        assert norm == pytest.approx(np.median(here["weight_norm"]), rel=1e-2)
        assert share == pytest.approx(np.median(here["data_point_dimension"]) * max(1, T / 2), abs=0.01)


def test_cells_that_stalled_are_explained_and_no_others(said):
    for name, stalled in (("superposition", "superposition_zero"), ("bottleneck", "bottleneck_zero")):
        for (_, model), (lines,) in said(name)[0].items():
            warned = [line for line in lines if "stalled" in line]
            assert len(warned) == (model == stalled)
            for line in warned:
                assert re.match(r"  (\d+) of \1 cells stalled: zero is a saddle of " + stalled, line)
                assert line.endswith("start small instead")
    for name in ("linear", "random_features", "superposition_levels"):
        assert "stalled" not in said(name)[1]


def test_closed_forms_are_called_what_they_are(said):
    heads = {key: tables[0][1] for name in ("linear", "bottleneck") for key, tables in said(name)[0].items()}
    expected = {
        ("power_law", "linear_autoencoder"): "lost, X⁺X",
        ("power_law+noise0.5", "linear_autoencoder"): "lost, X⁺X",
        ("power_law", "bottleneck"): "lost, PCA",
        ("power_law+noise0.5", "bottleneck"): "lost, best map",
    }
    for key, words in expected.items():
        assert words in heads[key]
    # How far readouts have to go is known, and how far bottlenecks have is not.
    assert "steps left" in heads["power_law", "linear_autoencoder"]
    assert "steps left" not in heads["power_law", "bottleneck"]


def test_an_autoencoders_numbers_are_shares_of_its_inputs(said, autoencoder_run):
    tables, _ = said("bottleneck")
    (lines,) = tables["power_law", "bottleneck"]
    said = "medians over 3 seeds; differences and distances within each cell: quartiles"
    assert lines[0] == f"power_law, bottleneck  (P = 8, 2 hidden; {said})"
    results = select(autoencoder_run("bottleneck").results, input_noise=0, model="bottleneck", n_hidden=2)
    for n, (converged, closed, trained, difference, distance) in numbers(lines).items():
        lost = {}
        for value, estimator in ((closed, "pca"), (trained, "gd")):
            rows = select(results, estimator=estimator, n_train=n)
            lost[estimator] = (rows["test_mse"] / rows["target_mean_square"]).set_axis(rows["seed"])
            assert value == pytest.approx(np.median(lost[estimator]), rel=1e-3)
        assert difference == quartiles(lost["gd"] - lost["pca"])
        assert distance == quartiles(rows["distance"])
        assert converged == 100 * np.mean(rows["status"] == "converged")


def test_a_sweep_along_p_has_a_table_too_and_one_along_the_width_has_none(said):
    tables, _ = said("random_features")
    for (_, model), (along_n, along_p) in tables.items():
        assert "(P = 16;" in along_n[0], model
        assert "(N = 24;" in along_p[0], model
        assert set(numbers(along_p)) <= {8, 16, 32}
    tables, _ = said("superposition_levels")
    assert len(tables["sparse_features", "superposition"]) == 1


def test_cells_cut_off_are_counted_where_they_could_have_gone_on(said, autoencoder_run):
    """Not of another optimizer: it takes all its steps, as its schedule wants."""
    tables, _ = said("linear")
    for (dataset, model), (lines,) in tables.items():
        name, _, noise = dataset.partition("+noise")
        keys = {"dataset": name, "input_noise": float(noise or 0), "model": model}
        rows = select(autoencoder_run("linear").results, **keys, estimator="gd")
        cut = (rows["status"] == "max_steps").sum()
        assert cut > 0
        assert lines[-1] == f"  {cut} of 42 cells were cut off at gd.steps=3,000"
    assert "cut off" not in said("superposition")[1]


@pytest.mark.parametrize(
    ("name", "estimator", "remedy"),
    [
        ("bottleneck", "gd", "lower gd.init_scale, or give a gd.step_size"),
        ("superposition", "adamw", r"lower gd.step_size=0.01$"),
    ],
)
def test_cells_that_diverged_are_counted_with_what_to_do(name, estimator, remedy, autoencoder_run, tmp_path):
    run, study = autoencoder_run(name), autoencoder_study(name)
    here = (run.results["model"] == name) & (run.results["estimator"] == estimator) & (run.results["n_hidden"] == 2)
    status = run.results["status"].astype(str)
    status.iloc[np.flatnonzero(here)[:2]] = "diverged"
    text = report(replace(run, results=run.results.assign(status=status)), tmp_path)
    (line,) = (line for line in text.splitlines() if "cells diverged" in line)
    total = len(study.n_train) * len(study.seeds)
    assert re.match(rf"  2 of {total} cells diverged: " + remedy, line)
    assert "cells diverged" not in report(run, tmp_path)


def test_a_regression_is_reported_as_before(run_dir, tmp_path):
    run = load_run(run_dir)
    text = report(run, tmp_path)
    assert "student_teacher  (P = 20; medians over 4 seeds; " in text
    assert "test MSE, X⁺y" in text
    assert "lost" not in text
    (line,) = (line for line in text.splitlines() if line.startswith("   20 = P"))
    rows = select(run.results, dataset="student_teacher", estimator="min_norm", n_train=20)
    assert float(line.split()[4]) == pytest.approx(np.median(rows["test_mse"]), rel=1e-3)


def test_what_is_compared_is_compared_within_each_cell(run_dir, tmp_path):
    """GD twice as bad as X⁺y in three cells of four, and half as bad in one: not a median beside a median."""
    run = load_run(run_dir)
    here = (run.results["dataset"] == "student_teacher") & (run.results["n_train"] == 20)
    here &= (run.results["ablation"] == "none").to_numpy()
    trained, closed = (run.results[here & (run.results["estimator"] == name)] for name in ("gd", "min_norm"))
    factors = np.array([2.0, 2.0, 2.0, 0.5])
    results = run.results.copy()
    results.loc[trained.index, "test_mse"] = closed["test_mse"].to_numpy() * factors[trained["seed"]]
    results.loc[trained.index, "status"] = "converged"
    results.loc[trained.index[0], "status"] = "max_steps"
    results.loc[trained.index, "steps_to_tolerance"] = [7e4, 0, 0, 0]
    (line,) = (text for text in report(replace(run, results=results), tmp_path).splitlines() if "   20 = P" in text)
    converged, _, _, difference, _, left = (number(word) for word in re.split(r"  +", line.strip())[1:])
    assert converged == 75
    assert difference == (62.5, 100)  # of −50 %, 100 %, 100 % and 100 %
    assert left == 7e4


def test_every_training_has_its_columns_and_of_many_all_but_the_first_have_their_errors(run_dir, tmp_path):
    two = with_second(load_run(run_dir), "adam", optimizer="adam")
    two.results.loc[two.results["estimator"] == "adam", "test_mse"] *= 2
    progress = ["distance", "steps left"]

    def table(run):
        lines = report(run, tmp_path).splitlines()
        (row,) = (re.split(r"  +", line.strip())[1:] for line in lines if line.startswith("   20 = P"))
        return re.split(r"  +", lines[2].strip()), row

    head, row = table(two)
    assert head[:6] == ["N", "converged", "test MSE, X⁺y", "GD", "GD − X⁺y", *progress[:1]]
    assert head[-1] == "adam"  # all of its columns are too wide
    assert float(row[-1]) == pytest.approx(2 * float(row[2]), rel=1e-3)
    two.study.trained["third"] = replace(two.study.trained["gd"])
    rows = select(two.results, estimator="gd").assign(estimator="third")
    three = replace(two, results=joined(two.results, rows))
    head, row = table(three)
    assert head == ["N", "converged", "test MSE, X⁺y", "GD", "GD − X⁺y", *progress, "adam", "third"]
    assert row[6:] == [row[6], row[2]]


def test_warnings_name_the_training_and_its_key_where_there_are_several(run_dir, tmp_path):
    two = with_second(load_run(run_dir), "quick", steps=300)
    cut = [line for line in report(two, tmp_path).splitlines() if "cut off" in line]
    assert [re.sub(r"\d+ of \d+", "k of n", line) for line in cut[:2]] == [
        "  k of n cells of gd were cut off at gd.steps=2,000",
        "  k of n cells of quick were cut off at trainings.quick.steps=300",
    ]


def test_other_trainings_of_superposition_have_their_test_losses(autoencoder_run, tmp_path):
    text = report(autoencoder_run("superposition_levels"), tmp_path)
    (head,) = (line for line in text.splitlines() if "D·N/m" in line)
    assert re.split(r"  +", head.strip())[5:] == [
        *("slow", "fast", "best_of_2", "best_of_3"),
    ]


def test_the_main_training_is_called_by_its_optimizer(run_dir, tmp_path):
    run = with_second(load_run(run_dir), "again")
    run.study.trained = {"gd": replace(run.study.trained["gd"], optimizer="adam")}
    text = report(run, tmp_path)
    assert "Adam − X⁺y" in text
    assert "GD" not in text.partition("\n\n")[0]


def test_errors_that_are_both_zero_do_not_differ(run_dir, tmp_path):
    run = load_run(run_dir)
    text = report(replace(run, results=run.results.assign(test_mse=0.0)), tmp_path)
    assert "inf%" not in text
    (line,) = (line for line in text.splitlines() if line.startswith("   20 = P"))
    assert "0%" in re.split(r"  +", line.strip())
