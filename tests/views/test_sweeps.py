from dataclasses import replace

import numpy as np
import pytest
from stand_in import study, with_second

from gdstudy.study.models import REFERENCES
from gdstudy.study.values import StepSize
from gdstudy.sweep.reading import load_run
from gdstudy.views.board import write_board
from gdstudy.views.claims import decide
from gdstudy.views.figures import FIGURES
from gdstudy.views.summary import select
from gdstudy.views.sweeps import main_training, once, sweeps
from gdstudy.views.terminal import report

OF_TRAINING = {"bottleneck_modes", "bottleneck_starts"}


@pytest.fixture(scope="module")
def small(run_dir):
    return load_run(run_dir)


def test_a_run_is_grouped_once_and_let_go_with_the_run(small):
    calls = []
    count = once(lambda run: calls.append(run is small) or len(calls))
    assert (count(small), count(small)) == (1, 1)
    assert sweeps(small) is sweeps(small)
    other = with_second(small, "again")
    assert count(other) == 2
    assert calls == [True, False]


def test_the_rows_of_a_sweep_are_the_closed_form_and_the_first_training_is_the_main_one(small):
    run = with_second(small, "adam", optimizer="adam")
    assert main_training(run.study) == "gd"
    for sweep in sweeps(run):
        assert sweep.reference == "min_norm"
        assert set(sweep.rows["estimator"]) == {"min_norm"}
        assert set(sweep.trained["estimator"]) == {"gd"}
        assert list(sweep.by_training) == ["gd", "adam"]
        assert set(sweep.curves["estimator"]) == {"gd"}
        assert set(sweep.checkpoints["estimator"]) == {"gd", "adam"}
        assert sweep.descends
    # The order of the study decides, not that of the names.
    turned = with_second(small, "adam", optimizer="adam")
    turned.study.trained = dict(reversed(turned.study.trained.items()))
    assert {name for sweep in sweeps(turned) for name in sweep.trained["estimator"]} == {"adam"}
    assert not any(sweep.descends for sweep in sweeps(turned))


def test_a_sweep_says_what_its_data_are_without_a_name_being_read(small, autoencoder_run):
    assert [sweep.dataset for sweep in sweeps(small)] == ["student_teacher", "diabetes"]
    found = {sweep.dataset: sweep for sweep in sweeps(autoencoder_run("linear"))}
    assert list(found) == ["isotropic", "power_law", "isotropic+noise0.5", "power_law+noise0.5"]
    assert found["power_law+noise0.5"].seen == ("power_law", "none", 0.5)
    assert [sweep.noisy for sweep in found.values()] == [False, False, True, True]


def test_trainings_that_differ_in_one_setting_are_told_from_those_that_differ_in_more(autoencoder_run):
    run = autoencoder_run("superposition_levels")
    (along_n,) = (sweep for sweep in sweeps(run) if sweep.size == "n_train")
    assert list(along_n.other_step_sizes) == [0.01, 0.1]  # 0.03 is the main one's
    assert list(along_n.restarted) == [2, 3]
    for rate, rows in along_n.other_step_sizes.items():
        assert set(rows["step_size"]) == {rate}
        assert len(rows) == 9
    main = next(iter(run.study.trained.values()))
    both = replace(main, step_size=StepSize("0.1"), restarts=3)
    changed = {**run.study.trained, "fast": both, "best_of_3": both}
    other = type(run)(study(run, **changed), run.results, run.curves, run.arrays)
    (along_n,) = (sweep for sweep in sweeps(other) if sweep.size == "n_train")
    assert list(along_n.other_step_sizes) == [0.01]
    assert list(along_n.restarted) == [2]


def test_a_median_at_a_size_that_was_not_studied_is_none(small):
    sweep = sweeps(small)[0]
    rows = select(sweep.rows, n_train=20)
    assert sweep.at(sweep.rows, 20) == pytest.approx(np.median(rows["test_mse"]))
    assert np.isnan(sweep.at(sweep.rows, 21))


@pytest.mark.parametrize("name", ["linear", "random_features", "bottleneck"])
def test_a_study_that_trains_nothing_is_shown_by_its_closed_forms_alone(name, autoencoder_run, tmp_path):
    run = autoencoder_run(name)
    closed = run.results[run.results["status"] == "closed_form"]
    closed = closed[closed["estimator"] != "gd_closed_form"]
    untrained = type(run)(study(run), closed, run.curves.iloc[:0], run.arrays[run.arrays["estimator"] != "gd"])
    assert main_training(untrained.study) == ""
    found = {sweep.model.name for sweep in sweeps(untrained)}
    assert found == {sweep.model.name for sweep in sweeps(run)}
    assert not any(sweep.descends or len(sweep.trained) or len(sweep.curves) for sweep in sweeps(untrained))
    assert decide(untrained)
    assert "converged" not in report(untrained, tmp_path)
    drawn = {figure for figure, draw in FIGURES.items() if draw(untrained) is not None}
    assert drawn == {figure for figure, draw in FIGURES.items() if draw(run) is not None} - OF_TRAINING
    write_board(tmp_path, {}, untrained, {})
    assert {path.parent.name for path in tmp_path.rglob("events*")} <= {*REFERENCES, "theory", tmp_path.name}
