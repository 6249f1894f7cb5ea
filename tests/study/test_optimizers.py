"""The facts of optimizers are those of torch.optim."""

import pytest
import torch

from gdstudy.study.entries import code
from gdstudy.study.optimizers import OPTIMIZERS


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_is_plain_or_the_class_of_its_name(name):
    facts = OPTIMIZERS[name]
    assert facts.name == name == facts.label.lower().replace(" ", "_")
    assert facts.plain == (name in ("gd", "heavy_ball"))
    assert facts.momentum == (name == "heavy_ball")
    if not facts.plain:
        build = code(facts.build)
        assert issubclass(build, torch.optim.Optimizer)
        assert build is getattr(torch.optim, facts.label, build)


@pytest.mark.parametrize("name", [name for name, facts in OPTIMIZERS.items() if not facts.plain])
def test_those_said_to_have_one_kernel_take_it_and_the_others_have_none(name):
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.grad = torch.ones(3)
    build, fused = code(OPTIMIZERS[name].build), OPTIMIZERS[name].fused
    if fused:
        build([parameter], lr=0.1, fused=True).step()
        assert (parameter < 1).all()
    elif name != "adagrad":  # which has one that it does not always take
        with pytest.raises(TypeError, match="fused"):
            build([parameter], lr=0.1, fused=True)
