"""Layers by machine code are shared among as many threads as are given."""

import pytest
import torch

from gdstudy.linalg.threads import intra_op
from gdstudy.training import compiled_layers
from gdstudy.training.compiled_layers import CompiledBottleneck, CompiledReLU
from gdstudy.training.modules import Bottleneck, ReLUAutoencoder

X, ETA = torch.rand(4, 9, 6, dtype=torch.float64), torch.full((4,), 0.01, dtype=torch.float64)


@pytest.fixture
def threads(monkeypatch):
    """How many threads each work was shared among, at most."""
    found, share = [], compiled_layers.share
    monkeypatch.setattr(compiled_layers, "share", lambda *args: (found.append(args[2]), share(*args))[1])
    return found


@pytest.mark.parametrize(("given", "expected"), [(1, 1), (2, 2), (5, 5), (None, 3)])
def test_steps_and_looks_of_a_bottleneck_have_the_threads_that_are_given_or_all(given, expected, threads, monkeypatch):
    monkeypatch.setattr(compiled_layers, "all_threads", lambda: 3)
    layers = CompiledBottleneck(Bottleneck(X[:, :6, :2].clone(), X[:, :2].clone()), X, X, ETA, given)
    threads.clear()
    layers.descend(3)
    layers.backward()
    layers.losses()
    assert threads == [expected] * 3


@pytest.mark.parametrize("users", [1, 3])
def test_steps_of_relu_have_the_threads_of_what_surrounds_them(users, threads):
    layers = CompiledReLU(ReLUAutoencoder(X[:, :2].clone(), X[:, 0].clone()), X, ETA, torch.full((4,), 9))
    with intra_op(users):
        layers.backward()
    assert threads == [users]
