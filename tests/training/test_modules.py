"""Stacked models against their formulas, one cell at a time."""

import numpy as np
import pytest
import torch

from gdstudy.training.modules import Bottleneck, LinearReadout, ReLUAutoencoder

C, N, D, K = 3, 7, 5, 2


def draw(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng([seed, *shape]).standard_normal(shape))


STARTS = {
    LinearReadout: (draw(C, D, K),),
    Bottleneck: (draw(C, D, K), draw(C, K, D)),
    ReLUAutoencoder: (draw(C, K, D), draw(C, D)),
}
FORMULAS = {
    LinearReadout: lambda x, W: x @ W,
    Bottleneck: lambda x, A, B: (x @ A) @ B,
    ReLUAutoencoder: lambda x, W, b: np.maximum(W.T @ (W @ x) + b, 0),
}


@pytest.mark.parametrize("kind", STARTS)
def test_each_cell_is_its_formula_row_by_row(kind):
    X, start = draw(C, N, D, seed=1), STARTS[kind]
    outputs = kind(*start)(X).detach().numpy()
    for c in range(C):
        for n in range(N):
            expected = FORMULAS[kind](X[c, n].numpy(), *(p[c].numpy() for p in start))
            np.testing.assert_allclose(outputs[c, n], expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("kind", STARTS)
def test_a_model_owns_its_weights_and_a_cell_its_own(kind):
    start = [p.clone() for p in STARTS[kind]]
    module = kind(*start)
    weights = list(module.parameters())
    assert [tuple(w.shape) for w in weights] == [tuple(p.shape) for p in start]
    module(draw(C, N, D, seed=1))[1].square().sum().backward()  # an error of cell 1 alone
    for weight in weights:
        assert weight.grad[1].any()
        assert not weight.grad[[0, 2]].any()
        weight.data.add_(1)
    for p, kept in zip(start, STARTS[kind], strict=True):
        torch.testing.assert_close(p, kept, rtol=0, atol=0)


@pytest.mark.parametrize(("kind", "saddle"), [(Bottleneck, True), (ReLUAutoencoder, True), (LinearReadout, False)])
def test_zero_is_a_saddle_of_what_has_two_layers_and_of_nothing_else(kind, saddle):
    X = draw(C, N, D, seed=1).abs()
    target = X[..., :K] if kind is LinearReadout else X
    module = kind(*(torch.zeros_like(p) for p in STARTS[kind]))
    (module(X) - target).square().sum().backward()
    flat = not any(p.grad.any() for p in module.parameters())
    assert flat == saddle
    if saddle:  # and no minimum: along ± one direction the loss falls
        lower = kind(*(0.1 * torch.ones_like(p) / D for p in STARTS[kind]))
        assert (lower(X) - target).square().sum() < target.square().sum()
