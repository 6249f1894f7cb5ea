"""What a batch is expected to take, beside what batches took."""

import dataclasses
import math

import numpy as np
import pytest
from conftest import small_study
from recorded import RUNS, Recorded

from gdstudy.experiment.plan import plan
from gdstudy.study.groups import Training
from gdstudy.study.models import MODELS
from gdstudy.sweep.work import expected_steps, expected_work, stages


def test_it_goes_with_what_recorded_batches_took():
    """Within a factor of three or so, over batches that differ by a thousand."""
    found = []
    for run in map(Recorded, RUNS):
        found += [
            math.log(1e9 * seconds / expected) for expected, seconds in zip(run.expected(), run.seconds, strict=True)
        ]
    assert np.std(found) < 0.6
    assert max(found) - min(found) < 2 * math.log(10)


def test_every_start_that_is_trained_is_a_stage():
    (batch, *_) = plan(small_study(trainings={"same": {}, "short": {"steps": 10}}, batch_cells=1000))
    study = small_study(trainings={"same": {}, "short": {"steps": 10}})
    closed, gd, short = stages(study, batch)  # two that are alike are trained once
    assert closed.of_step == 0 < gd.of_step
    assert short.work < gd.work
    assert expected_work(study, batch) == closed.work + gd.work + short.work


@pytest.mark.parametrize("P", [10, 40])
def test_most_steps_are_needed_at_the_threshold(P):
    training, model = Training(steps=10**9), MODELS["linear"]
    steps = {n: expected_steps(training, model, n, P) for n in (P // 2, P - 2, P, P + 5, 2 * P)}
    assert steps[P // 2] < steps[P - 2] < steps[P] > steps[P + 5] > steps[2 * P]
    assert steps[P] > 10 * steps[2 * P]
    assert expected_steps(dataclasses.replace(training, steps=7), model, P, P) == 7
    assert expected_steps(dataclasses.replace(training, optimizer="heavy_ball", momentum=0.9), model, P, P) < steps[P]


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"models": ["bottleneck"], "n_hidden": [2]},
        {
            **{"datasets": ["sparse_features"], "models": ["superposition"], "n_hidden": [2]},
            "gd": Training(optimizer="adamw", step_size=0.01),
        },
    ],
)
def test_what_machine_code_does_not_take_costs_what_pytorch_does(keys, monkeypatch):
    def of(**changes):
        study = small_study(**{"datasets": ["diabetes"], **keys, **changes})
        return sum(expected_work(study, batch) for batch in plan(study))

    compiled, elsewhere = of(), of(device="cuda")
    assert compiled < elsewhere
    monkeypatch.setenv("GDSTUDY_FAST", "0")
    assert of() == elsewhere


def test_bottlenecks_by_machine_code_are_expected_to_be_some_times_faster(monkeypatch):
    """Of 64 inputs and 8 hidden units a step was measured to take a fifth to a sixth."""

    def of_step():
        study = small_study(datasets=["digits"], models=["bottleneck"], n_hidden=[8])
        _, training = stages(study, plan(study)[0])
        return training.of_step

    compiled = of_step()
    monkeypatch.setenv("GDSTUDY_FAST", "0")
    assert 3 < of_step() / compiled < 30


def test_more_of_anything_is_more_work():
    def of(**changes):
        study = small_study(**changes)
        return sum(expected_work(study, batch) for batch in plan(study))

    plain = of()
    assert of(seeds=8) > 1.5 * plain
    assert of(estimators=["min_norm"]) < plain / 2
    assert of(gd=Training(steps=20_000)) > plain
