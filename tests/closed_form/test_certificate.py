"""What is left to learn, against the difference to the limit itself."""

import numpy as np
import torch

from gdstudy.closed_form.certificate import left_to_learn, slowest_mode
from gdstudy.linalg.spectrum import spectrum
from tests.problems import everywhere


@everywhere()
def test_what_is_left_in_all_modes_is_the_distance_within_the_row_space(known):
    spec = spectrum(torch.from_numpy(known.X)[None])
    limit = torch.from_numpy(known.W)[None]
    away = np.random.default_rng(0).standard_normal(known.W.shape)
    remaining = left_to_learn(spec, limit + torch.from_numpy(away)[None], limit)[0].numpy()
    np.testing.assert_allclose(np.linalg.norm(remaining), np.linalg.norm(known.row_space @ away), atol=1e-7)
    assert (remaining[~spec.nonzero[0].numpy()] == 0).all()
    assert (left_to_learn(spec, limit, limit) == 0).all()


def test_the_slowest_mode_is_the_smallest_that_is_not_learnt():
    s, remaining = torch.tensor([[3.0, 2.0, 1.0]] * 2), torch.tensor([[0.0, 4.0, 3.0], [0.0, 4.0, 0.5]])
    slowest, share = slowest_mode(s, remaining, torch.tensor([1.0, 1.0]))
    assert slowest.tolist() == [1.0, 2.0]
    np.testing.assert_allclose(share, [9 / 25, 16 / 16.25], rtol=1e-6)
    slowest, share = slowest_mode(s, remaining, torch.tensor([5.0, 5.0]))
    assert bool((slowest.isnan() & share.isnan()).all())
