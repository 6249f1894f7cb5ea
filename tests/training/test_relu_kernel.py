"""The toy ReLU autoencoder's gradient by machine code is autograd's, whatever the padding, stack and threads."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gdstudy.linalg import threads as threads_of
from gdstudy.training import compiled_layers
from gdstudy.training.compiled_layers import CompiledReLU
from gdstudy.training.modules import ReLUAutoencoder
from gdstudy.training.objectives import Autograd, ReLUByHand
from gdstudy.training.optimised import Optimised
from gdstudy.training.optimizers import torch_optimizer
from gdstudy.training.relu_kernel import compiles_relu
from tests.training.test_objectives import RTOL, assert_the_same, gradients, superposition


@settings(max_examples=40, deadline=None)
@given(
    n_rows=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    n=st.integers(1, 20),
    m=st.integers(1, 8),
    seed=st.integers(0, 999),
)
def test_it_is_autograds_however_rows_are_padded(n_rows, n, m, seed):
    module, X, weight, sizes = superposition(n_rows, n, m, seed)
    code = CompiledReLU(module, X, weight, sizes)
    assert_the_same(code, Autograd(module, X, X, weight, sizes))
    # Negative control: padding that is not known to be that counts, where a bias is above zero.
    more = torch.cat([X, torch.zeros(len(X), 3, n)], 1)
    unknown = CompiledReLU(module, more, weight, sizes + 3)
    apart = (gradients(unknown)[1] - gradients(code)[1]).norm(dim=1)
    assert torch.equal(apart > RTOL, (module.bias > 0).any(1))


def test_no_digit_depends_on_the_stack_the_threads_or_who_has_left(monkeypatch):
    monkeypatch.setattr(threads_of, "_WORTH_A_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    module, X, weight, sizes = superposition([30, 7, 19, 1, 25], 50, 2, 0)
    whole = CompiledReLU(module, X, weight, sizes)
    before = gradients(whole)
    for c in range(5):
        module_c = ReLUAutoencoder(*(p[c : c + 1].detach() for p in (module.weight, module.bias)))
        alone = CompiledReLU(module_c, X[c : c + 1, : int(sizes[c])], weight[c : c + 1], sizes[c : c + 1])
        assert all(torch.equal(a[0], b[c]) for a, b in zip(gradients(alone), before, strict=True))
    mask = torch.tensor([True, False, True, True, False])
    for p in whole.parameters:
        p.data, p.grad = p.data[mask], None
    whole.keep(mask)
    assert all(torch.equal(a, b[mask]) for a, b in zip(gradients(whole), before, strict=True))


@pytest.mark.parametrize("N", [20, 2000])
def test_in_float32_it_is_as_exact_as_products(N):
    parts = superposition([N, N // 2], 50, 2, 1)
    exact, single = gradients(ReLUByHand(*parts)), [p.to(torch.float32) for p in parts[1:3]]
    module = ReLUAutoencoder(parts[0].weight.detach().float(), parts[0].bias.detach().float())
    off = {}
    for kind in (CompiledReLU, ReLUByHand):
        found = gradients(kind(module, *single, parts[3]))
        off[kind] = [float((a - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True)]
    for ours, theirs in zip(off[CompiledReLU], off[ReLUByHand], strict=True):  # of W, and of b
        assert 1e-9 < ours < max(1e-6, 3 * theirs)


def test_a_sum_over_many_rows_loses_few_digits():
    random, N = torch.Generator().manual_seed(0), 100_000
    X = torch.rand(1, N, 8, generator=random, dtype=torch.float64)
    W, b = 0.3 * torch.randn(1, 2, 8, generator=random, dtype=torch.float64), X.new_full((1, 8), 0.1)
    exact, ours = (
        gradients(kind(ReLUAutoencoder(W.to(dtype), b.to(dtype)), X.to(dtype), X.new_ones(1, dtype=dtype), rows))
        for rows in [torch.tensor([N])]
        for kind, dtype in ((ReLUByHand, torch.float64), (CompiledReLU, torch.float32))
    )
    assert float((ours[1] - exact[1]).norm() / exact[1].norm()) < 3e-6


def test_what_is_cut_off_writes_to_no_memory_that_was_given_back(monkeypatch):
    one, kept = CompiledReLU(*superposition([9, 4, 7], 50, 2, 3)), []

    def cut_off(take, *_):
        kept.append(take)
        raise KeyboardInterrupt

    monkeypatch.setattr(compiled_layers, "share", cut_off)
    with pytest.raises(KeyboardInterrupt):
        one.backward()
    others = [torch.full((3, *shape), 7.0, dtype=torch.float64) for shape in ((2, 56), (56,)) for _ in range(20)]
    kept[0](0, 3)  # a part that was still running
    assert all(bool((other == 7).all()) for other in others)


def test_a_fused_optimizer_steps_as_on_products():
    """It goes through a gradient as it lies in memory."""
    ends = [kind(*superposition([9, 4, 7], 50, 2, 3)) for kind in (CompiledReLU, ReLUByHand)]
    start = ends[0].parameters[0].detach().clone()
    for objective in ends:
        Optimised(objective, torch_optimizer("adamw", 0.01, {})).advance(30)
    for ours, theirs in zip(*(objective.parameters for objective in ends), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    assert (ends[0].parameters[0] - start).norm() > 0.1


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_stays_that_and_in_its_cell(value):
    module, X, weight, sizes = superposition([9, 4], 10, 2, 4)
    with torch.no_grad():
        module.weight[1, 0, 3] = value
    found = gradients(CompiledReLU(module, X, weight, sizes))
    assert not any(bool(p[1].isfinite().all()) for p in found)
    assert all(bool(p[0].isfinite().all()) for p in found)


def test_losses_are_those_of_the_rows():
    module, X, weight, sizes = superposition([9, 4, 6], 13, 3, 5)
    code, by_hand = (kind(module, X, weight, sizes) for kind in (CompiledReLU, ReLUByHand))
    torch.testing.assert_close(code.losses(), by_hand.losses(), rtol=1e-13, atol=0)
    torch.testing.assert_close(code.energy(), by_hand.energy(), rtol=1e-13, atol=0)


def test_what_is_not_for_machine_code(monkeypatch):
    assert [compiles_relu(*sizes) for sizes in (("cpu", 2), ("cpu", 9), ("cuda", 2))] == [True, False, False]
    monkeypatch.setenv("GDSTUDY_FAST", "0")
    assert not compiles_relu("cpu", 2)
