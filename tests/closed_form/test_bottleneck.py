"""How a two-layer network learns its modes: the exact map of one number, and the flow it tends to."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gdstudy.closed_form.bottleneck import bottleneck_flow, bottleneck_iterate

TARGETS = (1.5, 0.6, 0.4)


def double(value):
    return torch.tensor(value, dtype=torch.float64)


def descend_two_layers(X, Y, encoder, decoder, eta, steps):
    """Maps AB after 0 … steps of real descent, the gradients from autograd."""
    A, B = (torch.tensor(p, requires_grad=True) for p in (encoder, decoder))
    X, Y = torch.from_numpy(X), torch.from_numpy(Y)
    maps = [(A @ B).detach().numpy()]
    for _ in range(steps):
        (0.5 * (X @ A @ B - Y).square().sum()).backward()
        with torch.no_grad():
            for p in (A, B):
                p -= eta * p.grad
                p.grad = None
        maps.append((A @ B).detach().numpy())
    return np.stack(maps)


def aligned(curvatures, start):
    """X (N, 6) with XᵀX = V diag(λ) Vᵀ, Y = XM with M = V diag(s) Vᵀ, and a balanced start aligned with V."""
    random = np.random.default_rng(0)
    V = np.linalg.qr(random.standard_normal((6, 6)))[0][:, : len(curvatures)]
    X = np.linalg.qr(random.standard_normal((20, len(curvatures))))[0] * np.sqrt(curvatures) @ V.T
    encoder = V * np.sqrt(start)
    return X, X @ (V * TARGETS) @ V.T, V, encoder, encoder.T.copy()


def test_a_mode_of_a_two_layer_network_follows_its_map_of_one_number_at_every_step():
    curvatures, start, eta, steps = np.array([1.0, 3.0, 0.5]), 1e-3, 0.2, 250
    X, Y, V, encoder, decoder = aligned(curvatures, start)
    maps = descend_two_layers(X, Y, encoder, decoder, eta, steps)
    strengths = np.einsum("dr,tde,er->tr", V, maps, V)
    t, a0 = torch.arange(steps + 1), double(start)
    for r, (curvature, target) in enumerate(zip(curvatures, TARGETS, strict=True)):
        rate = double(eta * curvature)
        exact = bottleneck_iterate(a0, rate, t, target).numpy()
        np.testing.assert_allclose(strengths[:, r], exact, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(exact[-1], target, rtol=1e-3)
        # Control: the map of another target, which it is not.
        other = bottleneck_iterate(a0, rate, t, 1.05 * target).numpy()
        assert np.abs(other - strengths[:, r]).max() > 0.04 * target
    # Nothing but these modes is ever there.
    np.testing.assert_allclose(maps, np.einsum("dr,tr,er->tde", V, strengths, V), atol=1e-13)


@pytest.mark.parametrize(("rate", "settles"), [(0.05, True), (0.98, True), (1.05, False), (1.9, False)])
def test_the_map_settles_at_its_target_below_the_step_size_limit_and_only_there(rate, settles):
    """u ← u + ηλu(1 − u²) has slope 1 − 2ηλ at its fixed point 1."""
    t = torch.tensor([3000, 3001])
    strength = bottleneck_iterate(double(1e-6), double(rate), t)
    assert (float((strength - 1).abs().max()) < 1e-9) == settles


def test_descent_tends_to_the_flow_of_saxe_et_al_with_an_error_of_the_order_of_the_step_size():
    """Whitened X (XᵀX = I) and targets of strengths s: halving η halves the gap, at all times."""
    start, end = 1e-2, 8.0
    X, Y, V, encoder, decoder = aligned(np.ones(3), start)
    gaps = []
    for eta in (0.04, 0.02, 0.01):
        steps = round(end / eta)
        maps = descend_two_layers(X, Y, encoder, decoder, eta, steps)
        strengths = np.einsum("dr,tde,er->tr", V, maps, V)
        time = eta * torch.arange(steps + 1, dtype=torch.float64)
        flow = [bottleneck_flow(double(start), double(1.0), time, target).numpy() for target in TARGETS]
        gaps.append([np.abs(strengths[:, r] - flow[r]).max() for r in range(3)])
    gaps = np.array(gaps)
    np.testing.assert_allclose(gaps[:-1] / gaps[1:], 2, atol=0.1)
    assert gaps[0].max() < 0.1
    assert gaps[-1].min() > 1e-4  # it is not the flow itself


@settings(max_examples=30, deadline=None)
@given(
    start=st.floats(1e-6, 0.5),
    curvature=st.floats(0.1, 10),
    target=st.floats(0.6, 3),
    time=st.floats(0, 3),
)
def test_the_flow_solves_its_differential_equation_and_ends_at_its_target(start, curvature, target, time):
    """da/dτ = 2λa(s − a), from a₀ (Saxe et al. 2014 for λ = 1)."""

    def flow(tau):
        return float(bottleneck_flow(double(start), double(curvature), tau, target))

    assert flow(0.0) == pytest.approx(start)
    assert flow(1e3) == pytest.approx(target)
    h = 1e-5 / (curvature * target)
    slope = (flow(time + h) - flow(time - h)) / (2 * h)
    here = flow(time)
    assert slope == pytest.approx(2 * curvature * here * (target - here), rel=1e-4, abs=1e-6 * curvature * target**2)


def test_strengths_of_cells_are_read_at_each_cells_own_t():
    start = double([1e-3, 1e-2])
    rate = double([[0.1, 0.3], [0.2, 0.5]])
    t = torch.tensor([[7], [30]])
    together = bottleneck_iterate(start, rate, t)
    assert together.shape == (2, 2)
    for c in range(2):
        for r in range(2):
            assert torch.equal(together[c, r], bottleneck_iterate(start[r], rate[c, r], t[c, 0]))
    assert torch.equal(bottleneck_iterate(start, rate[0], torch.tensor(0)), start.sqrt().square())
