"""How many digits the public functions have, beside 100-digit arithmetic.

`python -m tests.benchmarks.bench_accuracy`, half a minute: of 20 random problems each below, at and above the threshold
(N, P = 8, 16; 12, 12; 16, 8), whose singular values fall evenly in their logarithms, the largest ‖W − truth‖/‖truth‖.
"""

from __future__ import annotations

import numpy as np

from gdstudy import gd_iterate, gradient_descent, min_norm_solution, ridge_solution
from tests.exact import Truth

SHAPES, CONDITIONS, PROBLEMS = ((8, 16), (12, 12), (16, 8)), (1e2, 1e5, 1e8), 20
LATE, STEPS = 10**9, 1000

FUNCTIONS = {
    "`min_norm_solution`": lambda X, Y, eta, lam: min_norm_solution(X, Y),
    "`numpy.linalg.lstsq`": lambda X, Y, eta, lam: np.linalg.lstsq(X, Y, rcond=None)[0],
    "`ridge_solution`, λ = σ₁σ_R": lambda X, Y, eta, lam: ridge_solution(X, Y, lam),
    f"`gd_iterate`, t = {STEPS:,}": lambda X, Y, eta, lam: gd_iterate(X, Y, eta, STEPS),
    f"`gd_iterate`, t = {LATE:,}": lambda X, Y, eta, lam: gd_iterate(X, Y, eta, LATE),
    f"`gradient_descent`, {STEPS:,} real steps": lambda X, Y, eta, lam: last(X, Y, eta),
}


def last(X, Y, eta):
    *_, state = gradient_descent(X, Y, STEPS, step_size=eta, tolerance=0.0)
    return state.W


def truths(X, Y, eta, lam):
    """What each of FUNCTIONS is to give."""
    truth = Truth(X, Y)
    solution, early = truth.min_norm(), truth.iterate(eta, STEPS)
    return [solution, solution, truth.ridge(lam), early, truth.iterate(eta, LATE), early]


def problem(N, P, condition, seed):
    """X of these singular values, and Y that its rows explain but for a tenth."""
    random, R = np.random.default_rng([N, P, seed]), min(N, P)
    U, V = (np.linalg.qr(random.standard_normal((n, R)))[0] for n in (N, P))
    X = U * np.geomspace(1, 1 / condition, R) @ V.T
    return X, X @ random.standard_normal((P, 1)) + 0.1 / condition * random.standard_normal((N, 1))


def errors(condition):
    """The largest relative error of each function."""
    worst = np.zeros(len(FUNCTIONS))
    for N, P in SHAPES:
        for seed in range(PROBLEMS):
            X, Y = problem(N, P, condition, seed)
            asked = X, Y, 1.0, 1 / condition
            found = [function(*asked) for function in FUNCTIONS.values()]
            gaps = [np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(found, truths(*asked), strict=True)]
            worst = np.maximum(worst, gaps)
    return worst


def main():
    table = np.array([errors(condition) for condition in CONDITIONS]).T
    print("| | " + " | ".join(f"κ = {condition:.0e}" for condition in CONDITIONS) + " |")
    print("|---" * (1 + len(CONDITIONS)) + "|")
    for name, row in zip(FUNCTIONS, table, strict=True):
        print(f"| {name} | " + " | ".join(f"{error:.0e}" for error in row) + " |")


if __name__ == "__main__":
    main()
