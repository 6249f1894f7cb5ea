"""What the heavy ball has learnt of a mode, against its recursion in many digits."""

import mpmath
import numpy as np
import pytest
import torch

from gdstudy.closed_form.momentum import learnt_share

TIMES = (0, 1, 2, 3, 10, 77, 1000, 10**5, 10**9, 10**12)


def learnt_by_hand(h, beta, t):
    """1 − p_t by repeated squaring of the recursion's matrix, in 60 digits."""
    with mpmath.workdps(60):
        h, beta = mpmath.mpf(h), mpmath.mpf(beta)
        power, square = mpmath.eye(2), mpmath.matrix([[1 + beta - h, -beta], [1, 0]])
        while t:
            power, square, t = power * square if t & 1 else power, square * square, t >> 1
        return float(1 - (power * mpmath.matrix([1, 1]))[0])


@pytest.mark.parametrize("beta", [0.1, 0.5, 0.9])
def test_it_keeps_its_digits_at_any_t_and_in_every_regime(beta):
    double, limit = (1 - beta**0.5) ** 2, 2 * (1 + beta)
    # Real positive roots up to `double`, complex ones beyond, real negative ones close to the stable limit.
    modes = [1e-12, 1e-6, 1e-2, 0.999 * double, double, 1.001 * double, 0.5, 1, 1 + beta, 0.99 * limit, 0.9999 * limit]
    found = learnt_share(
        torch.tensor(modes, dtype=torch.float64)[:, None], beta, torch.tensor(TIMES, dtype=torch.float64)
    )
    expected = np.array([[learnt_by_hand(h, beta, t) for t in TIMES] for h in modes])
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-13, atol=1e-12)
    # A mode of which hardly anything is learnt is right relative to that.
    np.testing.assert_allclose(found[:3].numpy(), expected[:3], rtol=1e-13, atol=0)


def test_the_limit_is_all_of_it_and_a_mode_of_zero_learns_nothing():
    h, ever = torch.tensor([0.0, 1e-9, 1.0]), torch.tensor(torch.inf)
    assert learnt_share(h, 0.9, ever).tolist() == [1, 1, 1]
    assert learnt_share(h, 0.9, torch.tensor(10**6))[0] == 0


def test_little_momentum_is_plain_descent_and_much_is_not():
    h, t = torch.linspace(0.1, 1.9, 7, dtype=torch.float64), torch.tensor(9.0)
    plain = 1 - (1 - h) ** 9
    torch.testing.assert_close(learnt_share(h, 1e-13, t), plain, rtol=0, atol=1e-10)
    assert (learnt_share(h, 0.5, t) - plain).abs().max() > 0.1


def test_above_its_limit_a_mode_grows():
    beta, share = 0.9, torch.tensor([0.99, 1.01], dtype=torch.float64)
    below, above = learnt_share(2 * (1 + beta) * share, beta, torch.tensor(5000.0)).tolist()
    assert abs(below - 1) < 1e-6
    assert abs(above) > 1e6
