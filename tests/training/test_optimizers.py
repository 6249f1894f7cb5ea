"""Optimizers of torch.optim by their names, and the step size over training."""

import numpy as np
import pytest
import torch

from gdstudy.study.optimizers import OPTIMIZERS
from gdstudy.training.optimizers import Schedule, is_plain, schedule_of, torch_optimizer


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("adamv", {}, "optimizer='adamv' is none that trains each cell of a stack by itself: sgd, adam, adamw"),
        ("adamw", {"momentum": 0.9}, "adamw has no 'momentum'; it has eps"),
        ("adamw", {"lr": 0.9}, "adamw has no 'lr'"),  # that is the step size
        ("sgd", {"weight_decya": 0.9}, "sgd has no 'weight_decya'"),
        *[
            (name, {}, f"optimizer='{name}' is none that trains each cell")
            for name in ("lbfgs", "adafactor", "muon", "sparseadam")
        ],
        ("optimizer", {}, "optimizer='optimizer'"),
        ("gd", {}, "optimizer='gd' is none"),  # which needs no torch.optim
    ],
)
def test_unknown_optimizers_and_options_are_refused_by_name(name, options, message):
    with pytest.raises(ValueError, match=message):
        torch_optimizer(name, 0.1, options)


def test_the_step_size_is_the_learning_rate():
    weight = torch.nn.Parameter(torch.ones(2))
    for name, facts in OPTIMIZERS.items():
        if not facts.plain:
            assert torch_optimizer(name, 0.125, {})([weight]).param_groups[0]["lr"] == 0.125


def test_options_reach_the_optimizer():
    weight = torch.nn.Parameter(torch.ones(2))
    options = {"weight_decay": 0.25, "eps": 1e-3}
    group = torch_optimizer("adamw", 0.1, options)([weight]).param_groups[0]
    assert {name: group[name] for name in options} == options
    assert torch_optimizer("adamw", 0.1, {})([weight]).param_groups[0]["weight_decay"] == 0.01


def test_a_flag_of_an_optimizer_is_a_number_in_a_study():
    parameter = torch.ones(3, requires_grad=True)
    parameter.grad = torch.ones(3)
    torch_optimizer("adamw", 0.1, {"amsgrad": 1.0, "weight_decay": 0.0})([parameter]).step()
    assert (parameter < 1).all()
    torch_optimizer("adamw", 0.1, {"maximize": 1.0})([parameter]).step()
    with pytest.raises(ValueError, match="weight_decay=inf"):
        torch_optimizer("adamw", 0.1, {"weight_decay": float("inf")})


@pytest.mark.parametrize(("shape", "warmup"), [("linear", 0.0), ("cosine", 1.0), ("constant", -0.1)])
def test_a_schedule_that_is_none_is_refused(shape, warmup):
    with pytest.raises(ValueError, match=r"schedule=.* must be 'constant' or 'cosine'"):
        Schedule(10, warmup, shape)


def test_a_constant_step_size_without_warm_up_needs_no_schedule():
    assert schedule_of(100, 0.0, "constant") is None
    assert schedule_of(100, 0.1, "constant") == Schedule(100, 0.1, "constant")
    assert schedule_of(100, 0.0, "cosine") == Schedule(100, 0.0, "cosine")


# Schedules


def test_a_schedule_rises_to_its_top_and_falls_to_zero():
    schedule = Schedule(100, 0.1, "cosine")
    factors = np.array([schedule(t) for t in range(101)])
    np.testing.assert_allclose(factors[:10], np.arange(1, 11) / 10)
    assert factors.max() == factors[10] == factors[9] == 1
    assert (np.diff(factors[10:]) < 0).all()
    assert factors[55] == pytest.approx(0.5)  # half way down
    assert factors[99] < 1e-3
    assert factors[100] == pytest.approx(0, abs=1e-15)


def test_a_constant_schedule_stays_where_it_rose_to_and_none_is_one():
    factors = [Schedule(100, 0.1)(t) for t in (0, 4, 9, 10, 50, 99)]
    assert factors == [0.1, 0.5, 1, 1, 1, 1]
    assert [Schedule(100)(t) for t in (0, 50, 99)] == [1, 1, 1]
    assert Schedule(100, 0, "cosine")(0) == 1
    # A warm-up of 2.5 steps never passes its top.
    assert max(Schedule(25, 0.1, "cosine")(t) for t in range(25)) <= 1


def test_the_heavy_ball_is_not_taken_for_plain_descent():
    with pytest.raises(ValueError, match="optimizer='heavy_ball' is none that trains each cell"):
        torch_optimizer("heavy_ball", 0.1, {})
    assert is_plain("gd")
    assert not is_plain("heavy_ball")
