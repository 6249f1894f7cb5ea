"""Shares of rows that a readout puts in their class, beside counting them one by one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gdstudy.linalg import accuracy
from gdstudy.linalg.accuracy import SplitAccuracies
from gdstudy.linalg.frame import Frame


def problem(draws, seed=0, n=30, P=5, k=3):
    random = np.random.default_rng(seed)
    features, labels = random.standard_normal((draws, n, P)), random.integers(0, k, n)
    sizes = [1, 4, 11, 11, 29]
    rows = np.full((len(sizes), max(sizes)), -1)
    for c, size in enumerate(sizes):
        rows[c, :size] = random.permutation(n)[:size]
    draw = random.integers(0, draws, len(sizes))
    W, mean = random.standard_normal((len(sizes), P, k)), random.standard_normal((len(sizes), k))
    parts = (torch.from_numpy(a) for a in (features, draw, labels, rows, np.array(sizes), mean))
    return SplitAccuracies(*parts), torch.from_numpy(W), (features, draw, labels, rows, mean)


def counted(W, given, shift):
    features, draw, labels, rows, mean = given
    train, test = [], []
    for c, w in enumerate(W.numpy()):
        of_train = [row for row in rows[c] if row >= 0]
        outputs = features[draw[c]] @ w + mean[c] + shift[c]
        hits = [int(np.argmax(row) == label) for row, label in zip(outputs, labels, strict=True)]
        train.append(np.mean([hits[row] for row in of_train]))
        test.append(np.mean([hit for row, hit in enumerate(hits) if row not in of_train]))
    return train, test


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("chunk", [1, 200, 1 << 22])
def test_shares_are_those_of_counting(draws, chunk, monkeypatch):
    monkeypatch.setattr(accuracy, "_CHUNK", chunk)
    shares, W, given = problem(draws)
    shift = np.random.default_rng(1).standard_normal((len(W), W.shape[-1]))
    train, test = counted(W, given, 0 * shift)
    np.testing.assert_allclose(shares.shares(W)[0], train, rtol=1e-15)
    np.testing.assert_allclose(shares.shares(W, torch.zeros_like(W[:, 0]))[1], test, rtol=1e-15)
    np.testing.assert_allclose(shares.shares(W, torch.from_numpy(shift))[1], counted(W, given, shift)[1], rtol=1e-15)


def test_some_cells_are_as_among_all():
    shares, W, _ = problem(2)
    cells = torch.tensor([1, 4])
    none = torch.zeros_like(W[:, 0])
    torch.testing.assert_close(shares.at(cells).shares(W[cells])[0], shares.shares(W)[0][cells])
    torch.testing.assert_close(shares.at(cells).shares(W[cells], none[cells])[1], shares.shares(W, none)[1][cells])


def test_what_was_taken_from_the_targets_decides():
    """A negative control: with a mean that favours one class, all rows are put in it."""
    shares, W, (_, _, labels, _, _) = problem(1)
    pulled = replace(shares, mean=1e6 * torch.eye(3)[[1] * 5])
    everywhere = (pulled.shares(W)[0] * shares.n_train + pulled.shares(W, 0 * W[:, 0])[1] * (30 - shares.n_train)) / 30
    np.testing.assert_allclose(everywhere, (labels == 1).mean())


def test_features_may_be_seen_in_a_frame_of_each_cell():
    """Minus a location and over a scale of its own, as its training rows say."""
    shares, W, (features, draw, labels, rows, mean) = problem(2)
    random = np.random.default_rng(2)
    location, scale = random.standard_normal((len(W), 5)), random.uniform(0.5, 2, (len(W), 5))
    seen = (features[draw] - location[:, None]) / scale[:, None]
    framed = replace(shares, frame=Frame(torch.from_numpy(location), torch.from_numpy(scale)))
    given = seen, np.arange(len(W)), labels, rows, mean
    train, test = counted(W, given, np.zeros_like(mean))
    np.testing.assert_allclose(framed.shares(W)[0], train, rtol=1e-15)
    np.testing.assert_allclose(framed.shares(W, torch.zeros_like(W[:, 0]))[1], test, rtol=1e-15)
    assert (framed.shares(W, torch.zeros_like(W[:, 0]))[1] != shares.shares(W, torch.zeros_like(W[:, 0]))[1]).any()
