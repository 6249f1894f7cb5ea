"""Each claim's number against a direct computation from the stored results, and what its verdict turns on."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from gdstudy import load_curves, load_results
from gdstudy.claims import HOLDS, RULES, decide
from gdstudy.claims.least_squares import LEAST_SQUARES
from gdstudy.claims.rule import DOES_NOT_HOLD, PARTLY
from gdstudy.report import claims_csv, claims_markdown, claims_text
from gdstudy.summary import select


@pytest.fixture(scope="module")
def tables(paper_run):
    return load_results(paper_run), load_curves(paper_run)


def found(claims, words, dataset):
    (claim,) = (c for c in claims if words in c.claim and c.dataset == dataset)
    return claim


def test_every_rule_is_decided_by_a_run_that_has_everything(tables):
    decided = {claim.claim for claim in decide(*tables)}
    assert decided == {rule.claim for rule in LEAST_SQUARES}


def test_numbers_are_those_of_the_results(tables):
    results, curves = tables
    claims = decide(results, curves)

    def median(n, **keys):
        rows = select(results, dataset="diabetes", estimator="min_norm", n_train=n, **keys)
        return np.median(rows["test_mse"])

    spike = median(10, ablation="none") / max(median(5, ablation="none"), median(20, ablation="none"))
    assert found(claims, "spikes", "diabetes").number == pytest.approx(spike)
    left = median(10, ablation="singular_value_cutoff", level=1) / median(10, ablation="none")
    assert found(claims, "largest cutoff", "diabetes").number == pytest.approx(left)
    left = median(10, ablation="no_residuals") / median(10, ablation="none")
    assert found(claims, "without residuals", "diabetes").number == pytest.approx(left)
    gd = select(results, dataset="diabetes+standardize", estimator="gd", ablation="none", status="converged")
    assert found(claims, "ends at X⁺y", "diabetes+standardize").number == gd["distance"].max()
    assert not [c for c in claims if "ends at X⁺y" in c.claim and c.dataset == "diabetes"]  # raw data is not trained on
    theory = select(results, estimator="theory")
    rows = select(results, dataset="student_teacher", estimator="min_norm", ablation="none")
    gaps = [
        abs(rows["test_mse"][rows["n_train"] == n].mean() / theory["test_mse"][theory["n_train"] == n][0] - 1)
        for n in (3, 5, 8, 10, 30, 40)
    ]
    assert found(claims, "exact expected risk", "student_teacher").number == pytest.approx(max(gaps))


def test_a_claim_that_fails_is_shown_as_failing(tables):
    results, curves = tables
    flat = {**results, "test_mse": np.ones_like(results["test_mse"])}
    claims = decide(flat, curves)
    spikes = [claim for claim in claims if "spikes" in claim.claim]
    assert {claim.verdict for claim in spikes} == {DOES_NOT_HOLD}
    assert {claim.number for claim in spikes} == {1.0}
    assert {c.verdict for c in claims if "without residuals" in c.claim} == {DOES_NOT_HOLD}
    text, markdown = claims_text(claims), claims_markdown(claims, "t")
    assert "diabetes 1 [does not hold]" in text
    assert "| diabetes | 1 | **does not hold** |" in markdown


@pytest.mark.parametrize(
    ("sense", "number", "verdict"),
    [
        *[("≥", 5, HOLDS), ("≥", 4.9, PARTLY), ("≥", 2, PARTLY), ("≥", 1.9, DOES_NOT_HOLD), ("≥", np.inf, HOLDS)],
        *[("≤", 1, HOLDS), ("≤", 1.1, PARTLY), ("≤", 3.1, DOES_NOT_HOLD), ("≤", np.inf, DOES_NOT_HOLD)],
    ],
)
def test_verdicts_turn_at_their_thresholds(sense, number, verdict, tables):
    from gdstudy.summary import sweeps

    holds, partly = (5, 2) if sense == "≥" else (1, 3)
    rule = replace(RULES[0], number=lambda sweep: number, sense=sense, holds=holds, partly=partly)
    assert rule.decide(next(sweeps(*tables))).verdict == verdict
    unknown = replace(rule, number=lambda sweep: np.nan)
    assert unknown.decide(next(sweeps(*tables))) is None


def test_the_run_keeps_its_claims_as_markdown_and_csv(paper_run, tables):
    claims = decide(*tables)
    with (paper_run / "claims.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["claim"], r["dataset"], r["verdict"]) for r in rows] == [(c.claim, c.dataset, c.verdict) for c in claims]
    assert [float(r["number"]) for r in rows] == [c.number for c in claims]
    assert (paper_run / "claims.csv").read_text() == claims_csv(claims)
    markdown = (paper_run / "claims.md").read_text()
    assert markdown.count("\n| ") == len(claims) + len(LEAST_SQUARES)  # and a head a claim
    held = sum(c.verdict == HOLDS for c in claims)
    assert f"{len(claims)} claims on data sets: {held} holds" in markdown
