"""Gradients written by hand against autograd on the same module, row by row and chunk by chunk."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gdstudy.training import objectives
from gdstudy.training.modules import Bottleneck, ReLUAutoencoder
from gdstudy.training.objectives import Autograd, BottleneckByHand, ReLUByHand

RTOL = 1e-12


def draw(seed, *shape):
    return torch.from_numpy(np.random.default_rng([seed, *shape]).standard_normal(shape))


def bottleneck(C, N, D, k, seed, outputs=None):
    """A module at a random place, rows, targets and weights of C cells."""
    module = Bottleneck(draw(seed, C, D, k), draw(seed + 1, C, k, outputs or D))
    return module, draw(seed + 2, C, N, D), draw(seed + 3, C, N, outputs or D), draw(seed + 4, C).abs() + 0.1


def superposition(n_rows, n, m, seed, bias=1.0):
    """A module at a random place, non-negative rows, zero beyond n_rows, and weights."""
    C, N = len(n_rows), max(n_rows)
    module = ReLUAutoencoder(draw(seed, C, m, n), bias * draw(seed + 1, C, n))
    X = draw(seed + 2, C, N, n).clamp(min=0)
    X[torch.arange(N) >= torch.tensor(n_rows)[:, None]] = 0
    return module, X, draw(seed + 3, C).abs() + 0.1, torch.tensor(n_rows)


def gradients(objective):
    objective.backward()
    return [p.grad.clone() for p in objective.parameters]


def assert_the_same(by_hand, autograd):
    """Losses and gradients, relative to their size (of order 1 at least: they are sums of terms of order 1)."""
    torch.testing.assert_close(by_hand.losses(), autograd.losses(), rtol=RTOL, atol=RTOL)
    for ours, theirs in zip(gradients(by_hand), gradients(autograd), strict=True):
        assert (ours - theirs).norm() <= RTOL * (theirs.norm() + 1)


shapes = {"C": st.integers(1, 4), "N": st.integers(1, 9), "D": st.integers(1, 7), "k": st.integers(1, 5)}


@settings(max_examples=40, deadline=None)
@given(**shapes, outputs=st.integers(1, 6), seed=st.integers(0, 999))
def test_the_bottlenecks_gradient_by_hand_is_autograds(C, N, D, k, outputs, seed):
    module, X, Y, weight = bottleneck(C, N, D, k, seed, outputs)
    by_hand, autograd = BottleneckByHand(module, X, Y, weight), Autograd(module, X, Y, weight)
    assert_the_same(by_hand, autograd)


@settings(max_examples=40, deadline=None)
@given(
    n_rows=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    n=st.integers(1, 8),
    m=st.integers(1, 3),
    chunk=st.sampled_from([1, 20, 100, 1 << 18]),
    seed=st.integers(0, 999),
)
def test_the_relus_gradient_by_hand_is_autograds_however_rows_are_padded_and_cut(n_rows, n, m, chunk, seed):
    module, X, weight, sizes = superposition(n_rows, n, m, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objectives, "CPU_CHUNK", chunk)
        by_hand = ReLUByHand(module, X, weight, sizes)
        assert_the_same(by_hand, Autograd(module, X, X, weight, sizes))


def test_several_chunks_are_several(monkeypatch):
    """Of 50 rows of 3 cells with 10 columns, 4 fit in 120 numbers; a row too large for a chunk is one by itself."""
    module, X, weight, sizes = superposition([50, 20, 30], 10, 2, 0)
    objective = ReLUByHand(module, X, weight, sizes)
    for numbers, chunks in ((120, 13), (29, 50), (1500, 1), (1499, 2)):
        monkeypatch.setattr(objectives, "CPU_CHUNK", numbers)
        cut = objective._chunks()
        assert len(cut) == chunks
        assert [i for rows in cut for i in range(50)[rows]] == list(range(50))


def test_a_step_against_the_gradient_is_the_weight_of_each_cell():
    """Gradients of Σ weight·loss: a cell's is its own weight times what it has alone at weight 1."""
    module, X, Y, weight = bottleneck(3, 8, 5, 2, 0)
    one_by_one = [
        gradients(Autograd(Bottleneck(A[None], B[None]), X[[c]], Y[[c]], torch.ones(1, dtype=X.dtype)))
        for c, (A, B) in enumerate(zip(module.encoder.detach(), module.decoder.detach(), strict=True))
    ]
    stacked = gradients(BottleneckByHand(module, X, Y, weight))
    for c, alone in enumerate(one_by_one):
        for ours, theirs in zip(stacked, alone, strict=True):
            torch.testing.assert_close(ours[c], weight[c] * theirs[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [ReLUByHand, Autograd])
def test_padding_does_not_matter_when_it_is_known_and_does_when_it_is_not(kind):
    """ReLU(b) is not zero for b > 0: a row of padding would cost ½‖ReLU(b)‖²."""
    module, X, weight, sizes = superposition([3, 6], 5, 2, 0)

    def at(X, sizes):
        return ReLUByHand(module, X, weight, sizes) if kind is ReLUByHand else Autograd(module, X, X, weight, sizes)

    known = at(X, sizes)
    more = at(torch.cat([X, torch.zeros(2, 10, 5)], 1), sizes)
    torch.testing.assert_close(more.losses(), known.losses(), rtol=1e-13, atol=0)
    for ours, theirs in zip(gradients(more), gradients(known), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    alone = ReLUAutoencoder(module.weight[:1].detach(), module.bias[:1].detach())
    by_itself = Autograd(alone, X[:1, :3], X[:1, :3], weight[:1])
    torch.testing.assert_close(known.losses()[:1], by_itself.losses(), rtol=1e-13, atol=0)
    unknown = at(X, torch.tensor([6, 6]))
    extra = 3 * 0.5 * module.bias[0].detach().clamp(min=0).square().sum()
    assert extra > 0.1
    torch.testing.assert_close(unknown.losses()[0], known.losses()[0] + extra)
    assert (gradients(unknown)[1][0] - gradients(known)[1][0]).norm() > 0.1
    if kind is Autograd:  # without n_rows all rows count
        torch.testing.assert_close(Autograd(module, X, X, weight).losses(), unknown.losses(), rtol=0, atol=0)


def test_padding_costs_a_bottleneck_nothing_whatever_its_weights():
    module, X, Y, weight = bottleneck(2, 6, 5, 2, 0)
    longer = BottleneckByHand(module, *(torch.cat([a, torch.zeros(2, 9, 5)], 1) for a in (X, Y)), weight)
    assert_the_same(longer, Autograd(module, X, Y, weight))


@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize("padded", [True, False])
def test_cells_that_are_kept_go_on_as_before(by_hand, padded):
    sizes = [9, 4, 7] if padded else [9, 9, 9]
    module, X, weight, n_rows = superposition(sizes, 5, 2, 0)
    objective = ReLUByHand(module, X, weight, n_rows) if by_hand else Autograd(module, X, X, weight, n_rows)
    losses, before = objective.losses(), gradients(objective)
    mask = torch.tensor([False, True, True])
    for p in objective.parameters:
        p.data, p.grad = p.data[mask], None
    objective.keep(mask)
    torch.testing.assert_close(objective.losses(), losses[mask], rtol=1e-13, atol=0)
    for ours, theirs in zip(gradients(objective), before, strict=True):
        torch.testing.assert_close(ours, theirs[mask], rtol=1e-12, atol=1e-12)
