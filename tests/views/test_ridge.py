"""Ridge and exact descent as views show them: claims, figures, TensorBoard, the closing table, the CSV."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gdstudy.study.config import Study
from gdstudy.study.estimators import CLOSED_FORMS
from gdstudy.study.groups import GDExact, Ridge, Training
from gdstudy.sweep.reading import load_run
from gdstudy.train import run_study
from gdstudy.views.claims import decide
from gdstudy.views.claims.ridge import RIDGE
from gdstudy.views.claims.rule import CANNOT_TELL, DOES_NOT_HOLD, HOLDS
from gdstudy.views.figures import FIGURES
from gdstudy.views.scalars import _folder
from gdstudy.views.summary import closed_forms, select
from gdstudy.views.sweeps import sweeps
from gdstudy.views.terminal import report

LEVELS = [1e-12, 1e-9, 1e-6, 1e-3, 1]
DRAWN_RIDGE = {"ridge_against_n", "gd_exact_against_n", "ridge_limit"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    study = Study(
        datasets=["student_teacher"],
        n_train=[5, 10, 20, 30, 40],
        seeds=20,
        estimators=["min_norm", "gd", "ridge", "ridge_loo", "gd_exact"],
        ridge=Ridge(levels=LEVELS, relative=True),
        gd_exact=GDExact(steps=[10, 1000, 100_000]),
        gd=Training(steps=300, checkpoints_per_decade=2),
    )
    return run_study(study, tmp_path_factory.mktemp("ridge") / "run")


@pytest.fixture(scope="module")
def run(folder):
    return load_run(folder)


def verdicts(run):
    rules = {rule.claim for rule in RIDGE}
    return {claim.claim: claim.verdict for claim in decide(run) if claim.claim in rules}


def test_every_claim_on_ridge_is_decided_and_holds(run):
    assert verdicts(run) == {rule.claim: HOLDS for rule in RIDGE}


def test_numbers_of_the_limit_are_those_of_the_rows(run):
    ridge, limit = select(run.results, estimator="ridge"), select(run.results, estimator="min_norm")
    norms = ridge.pivot_table("weight_norm", ["n_train", "seed"], "level")
    norms[0.0] = limit.set_index(["n_train", "seed"])["weight_norm"]
    norms = norms[sorted(norms)].to_numpy()
    numbers = {claim.claim: claim.number for claim in decide(run)}
    growth, bound, left, spike = (numbers[rule.claim] for rule in RIDGE)
    assert growth == pytest.approx((norms[:, 1:] / norms[:, :-1] - 1).max(), abs=1e-15)
    assert left == ridge["distance"][ridge["level"] == LEVELS[0]].max()
    assert 0.1 < bound <= 1 + 1e-9
    loo = select(run.results, estimator="ridge_loo").groupby("n_train")["test_mse"].median()
    assert spike == pytest.approx(loo[20] / max(loo[10], loo[40]))


def changed(run, estimator, **columns):
    rows = run.results.copy()
    here = (rows["estimator"] == estimator).to_numpy()
    for name, value in columns.items():
        rows.loc[here, name] = value(rows[here])
    return replace(run, results=rows)


CONTROLS = [
    # Longer than X⁺y at some λ; a penalty ten times smaller than it was; a limit that is another; the spike itself.
    (0, "ridge", {"weight_norm": lambda rows: rows["weight_norm"] * np.where(rows["level"] == 1e-6, 1.01, 1)}),
    (1, "ridge", {"penalty": lambda rows: rows["penalty"] / 10}),
    (2, "ridge", {"distance": lambda rows: rows["distance"] + 0.2}),
    (3, "ridge_loo", {"test_mse": lambda rows: rows["test_mse"] * np.where(rows["n_train"] == 20, 5, 1)}),
]


@pytest.mark.parametrize(("number", "estimator", "columns"), CONTROLS)
def test_a_ridge_that_is_another_is_found_out(run, number, estimator, columns):
    assert verdicts(changed(run, estimator, **columns))[RIDGE[number].claim] == DOES_NOT_HOLD


def test_rounding_near_the_limit_is_not_judged(run):
    """Two solutions that agree to some eps: their distance over what λ = 1e-12 allows says nothing."""
    rounded = changed(run, "ridge", distance=lambda rows: rows["distance"] + 1e-15)
    assert verdicts(rounded)[RIDGE[1].claim] in (HOLDS, CANNOT_TELL)


def test_what_is_said_of_x_pinv_y_and_of_gd_is_as_without_them(run):
    alone = run.results[~run.results["estimator"].isin(list(CLOSED_FORMS))].reset_index(drop=True)
    without = decide(replace(run, results=alone))
    rules = {rule.claim for rule in RIDGE}
    assert [claim for claim in decide(run) if claim.claim not in rules] == without
    for mixed, plain in zip(sweeps(run), sweeps(replace(run, results=alone)), strict=True):
        pd.testing.assert_frame_equal(
            mixed.rows.reset_index(drop=True), plain.rows.reset_index(drop=True), check_categorical=False
        )
        assert list(mixed.by_training) == list(plain.by_training) == ["gd"]


def test_levels_are_apart_and_those_that_choose_come_first(run):
    found = [(form.name, level) for form, level in closed_forms(run.results)]
    assert found[0][0] == "ridge_loo"
    assert np.isnan(found[0][1])
    assert found[1:] == [*(("gd_exact", t) for t in (10, 1000, 100_000)), *(("ridge", level) for level in LEVELS)]


def test_the_closing_table_has_as_many_as_fit(run, folder):
    (head,) = (line for line in report(run, folder).splitlines() if "test MSE, X⁺y" in line)
    assert head.index("X⁺y") < head.index("ridge_loo") < head.index("t = 10") < head.index("t = 1,000")
    assert len(head) <= 125
    (at_P,) = (line for line in report(run, folder).splitlines() if "20 = P" in line)
    loo = select(run.results, estimator="ridge_loo", n_train=20)["test_mse"].median()
    assert f"{loo:.4g}" in at_P.split()


def test_tensorboard_has_a_run_for_each_level(folder, run):
    base = folder / "student_teacher"
    runs = {str(path.parent.relative_to(base)) for path in base.rglob("events.out.tfevents.*")}
    levels = {"ridge/lambda=1e-12", "ridge/lambda=1e-09", "ridge/lambda=1e-06", "ridge/lambda=0.001", "ridge/lambda=1"}
    steps = {f"gd_exact/t={t}" for t in (10, 1000, 100000)}
    followed = {run for run in runs if run.startswith("gd/N=")}
    assert runs - followed == {"min_norm", "gd", "gd_closed_form", "ridge_loo", *levels, *steps}
    assert "gd/N=20" in followed
    assert folder / _folder(sweeps(run)[0], "ridge_loo", "none", np.nan) == base / "ridge_loo"


def test_figures_show_them_and_are_none_without(run):
    drawn = {name: FIGURES[name](run) for name in (*DRAWN_RIDGE, "divergence", "mse_against_n")}
    labels = {
        name: {label for axis in figure.axes for label in axis.get_legend_handles_labels()[1]}
        for name, figure in drawn.items()
    }
    chosen = "test, ridge, λ by leave-one-out"
    assert {"ridge, λ = 1e-12", "X⁺y", chosen} <= labels["ridge_against_n"]
    assert {"GD, exact, t = 100,000", "X⁺y", chosen} <= labels["gd_exact_against_n"]
    assert {"N < P", "N = P", "N > P", "X⁺y"} <= labels["ridge_limit"]
    assert {chosen, "test, trained GD"} <= labels["divergence"]
    assert chosen in labels["mse_against_n"]
    alone = replace(run, results=run.results[~run.results["estimator"].isin(list(CLOSED_FORMS))])
    assert [FIGURES[name](alone) for name in DRAWN_RIDGE] == [None] * 3
    (axis,) = FIGURES["divergence"](alone).axes
    assert chosen not in axis.get_legend_handles_labels()[1]


def test_the_norm_in_the_figure_rises_to_that_of_x_pinv_y(run):
    top, bottom = FIGURES["ridge_limit"](run).axes
    lines = [line for line in top.lines if line.get_marker() == "o"]
    assert len(lines) == 3
    for line in lines:
        y = np.asarray(line.get_ydata())
        assert (np.diff(y) < 1e-12).all()
        assert y[0] == pytest.approx(1, abs=1e-3)
    assert all((np.diff(line.get_ydata()) > 0).all() for line in bottom.lines if line.get_marker() == "o")


def test_the_csv_has_penalty_and_leave_one_out_error(folder):
    rows = pd.read_csv(folder / "results.csv")
    chosen = rows[rows["estimator"] == "ridge_loo"]
    assert chosen[["penalty", "loo_mse"]].notna().all().all()
    assert rows.loc[rows["estimator"] == "ridge", "penalty"].gt(0).all()
    assert rows.loc[rows["estimator"].isin(["min_norm", "gd"]), ["penalty", "loo_mse"]].isna().all().all()
    exact = rows[rows["estimator"] == "gd_exact"]
    assert (exact["step"] == exact["level"]).all()


def test_a_smallest_penalty_that_is_large_says_nothing_of_the_limit(run):
    words = "smallest λ is at the limit"
    assert [claim for claim in decide(run) if words in claim.claim]
    ridge = run.results["estimator"] == "ridge"
    large = run.results["penalty"].mask(ridge, 10 * run.results["smallest_singular_value"] ** 2)
    assert not [c for c in decide(replace(run, results=run.results.assign(penalty=large))) if words in c.claim]
