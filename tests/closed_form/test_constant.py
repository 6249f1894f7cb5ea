"""Rows left out with an intercept, against leaving each row out."""

import numpy as np
import pytest
import torch

from gdstudy.closed_form.constant import with_constant
from gdstudy.closed_form.leave_one_out import left_out_residuals, noise_amplification
from gdstudy.linalg.spectrum import spectrum


def ridge(penalty, X, Y):
    if penalty == 0:
        return np.linalg.pinv(X, rcond=1e-10) @ Y
    return np.linalg.solve(X.T @ X + penalty * np.eye(X.shape[1]), X.T @ Y)


@pytest.mark.parametrize(("N", "P"), [(8, 20), (15, 15), (16, 15), (60, 4)])
@pytest.mark.parametrize("penalty", [0, 0.1, 30])
def test_an_intercept_is_fitted_without_a_penalty(N, P, penalty):
    random = np.random.default_rng(N)
    X, Y = 2 + random.standard_normal((N, P)), 5 + random.standard_normal((N, 2))
    x, y = (torch.from_numpy(a - a.mean(0))[None] for a in (X, Y))
    spec = with_constant(spectrum(x))
    expected = []
    for i in range(N):
        rest = np.arange(N) != i
        mean_x, mean_y = X[rest].mean(0), Y[rest].mean(0)
        expected.append(Y[i] - mean_y - (X[i] - mean_x) @ ridge(penalty, X[rest] - mean_x, Y[rest] - mean_y))
    found = left_out_residuals(spec, y, penalty)[0].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
    assert bool((noise_amplification(spec) > 1).all())
    # Negative control: of centred rows alone the mean has seen the row that is left out.
    assert np.abs(left_out_residuals(spectrum(x), y, penalty)[0].numpy() - expected).max() > 1e-3
