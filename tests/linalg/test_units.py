"""Powers of two as units change no digit, however large or small they are."""

import numpy as np
import pytest
import torch

from gdstudy.linalg.units import times_power_of_two

NUMBERS = np.array([1.0, -1.1, 0.6, 1.7e308, 2.3e-308, -2.4e-313, 5e-324, -7e153, 0.0, np.inf])
ENDS = (0, 1, 40, 1021, 1022, 1023, 1024, 1060, 2000, 2044, 2045, 2057, 2097, 2098, 2099, 4000, 2**62)


@pytest.mark.parametrize("power", sorted({sign * end for sign in (1, -1) for end in ENDS}))
def test_a_power_of_two_changes_no_digit_and_is_rounded_once_where_it_underflows(power):
    with np.errstate(over="ignore", under="ignore"):
        expected = np.ldexp(NUMBERS, max(-9999, min(9999, power)))
    X = torch.from_numpy(NUMBERS)
    for powers in (torch.tensor(power), torch.tensor([power]), torch.full((len(X),), power)):
        np.testing.assert_array_equal(times_power_of_two(X, powers).numpy(), expected)


def test_each_number_has_its_own_power():
    X, powers = torch.tensor([[3.0], [-5e-324]], dtype=torch.float64), torch.tensor([-1074, 0, 1022, 2097])
    with np.errstate(over="ignore", under="ignore"):
        expected = np.ldexp(X.numpy(), powers.numpy())
    np.testing.assert_array_equal(times_power_of_two(X, powers).numpy(), expected)


@pytest.mark.parametrize("shape", [(1, 1), (3, 1, 1), (1, 1 << 10)])
@pytest.mark.parametrize("of", ["contiguous", "transposed", "single"])
def test_large_arrays_are_scaled_as_small_ones_are(shape, of):
    """Whatever their memory is taken from: of more axes in the power, of other orders, of float32."""
    X = torch.randn(1 << 10, 1 << 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    X = {"contiguous": X, "transposed": X.mT, "single": X.float()}[of]
    power = torch.arange(np.prod(shape)).reshape(shape) % 7 - 3
    found = times_power_of_two(X, power)
    expected = X * 2.0**power
    assert found.shape == expected.shape
    assert found.stride() == expected.stride()
    assert torch.equal(found, expected.to(found.dtype))
