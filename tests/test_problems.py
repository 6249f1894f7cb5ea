"""The zoo is what it says it is: checked by NumPy alone, before anything is measured by it."""

import numpy as np
from problems import ZOO, everywhere


@everywhere()
def test_a_problem_has_the_answers_that_are_filed_with_it(known):
    X, Y = known.X.astype(float), known.Y.astype(float)
    s = np.linalg.svd(X, compute_uv=False)
    s = s[s > 1e-9 * (s[0] or 1)]
    assert len(s) == known.rank
    if known.rank:
        np.testing.assert_allclose([s[0], s[0] / s[-1]], [known.largest, known.condition], rtol=1e-8)
    # X⁺Y, by what defines it: it solves the normal equations, and has no part that X cannot see.
    scale = known.largest * (known.largest * np.linalg.norm(known.W) + np.linalg.norm(Y)) or 1
    assert np.linalg.norm(X.T @ (X @ known.W - Y)) < 1e-12 * scale
    assert np.linalg.norm(known.W - known.row_space @ known.W) <= 1e-8 * np.linalg.norm(known.W)
    assert np.linalg.norm(np.linalg.pinv(X, rcond=1e-9) @ Y - known.W) <= 1e4 * known.tolerance()


def test_the_zoo_has_each_kind_of_problem():
    shapes = {name: p.X.shape for name, p in ZOO.items()}
    assert {np.sign(N - P) for N, P in shapes.values()} == {-1, 0, 1}
    assert {p.Y.shape[1] for p in ZOO.values()} >= {1, 2, 4}
    assert {str(p.X.dtype) for p in ZOO.values()} == {"float64", "float32"}
    assert any(p.rank < min(p.X.shape) for p in ZOO.values())
    assert max(p.condition for p in ZOO.values() if p.rank) > 1e5
    assert all(p.name == name and len(p.X) == len(p.Y) for name, p in ZOO.items())
