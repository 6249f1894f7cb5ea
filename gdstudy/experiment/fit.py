"""One readout of one's own rows: weighted, with an intercept, trained by real steps, and beside its closed form."""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdstudy.experiment.certified import Certificate, certified
from gdstudy.experiment.early_stopping import Stopping, choose_step
from gdstudy.linalg.arrays import check_momentum, whole_number
from gdstudy.linalg.frame import centred
from gdstudy.linalg.metrics import norm
from gdstudy.linalg.regression import Regression
from gdstudy.linalg.spectrum import spectrum
from gdstudy.linalg.units import exponent, times_power_of_two
from gdstudy.study.optimizers import OPTIMIZERS
from gdstudy.study.status import Status
from gdstudy.study.values import log_spaced
from gdstudy.training.arguments import check_tolerance
from gdstudy.training.descent import State, descend
from gdstudy.training.gradient_descent import gradient_descent
from gdstudy.training.modules import LinearReadout
from gdstudy.training.objectives import Autograd
from gdstudy.training.optimised import optimised
from gdstudy.training.optimizers import torch_optimizer

_PER_DECADE = 5


@dataclass(frozen=True)
class Recipe:
    """How to train: step_size η or "auto", 1/σ₁²; the most steps; tolerance of the gradient; optimizer, a name in
    OPTIMIZERS, with a momentum in [0, 1); early_stopping: None, or "loo". ValueError for what cannot be."""

    step_size: Any
    max_steps: int
    tolerance: float
    optimizer: str
    momentum: float
    early_stopping: str | None

    def __post_init__(self) -> None:
        whole_number("max_steps", self.max_steps, 1)
        check_momentum(self.momentum)
        if not self.plain:
            torch_optimizer(self.optimizer, 1.0, self.options)  # or it says what is wrong
        if self.early_stopping not in (None, "loo"):
            raise ValueError(f"early_stopping={self.early_stopping!r} must be None or 'loo'")
        if self.early_stopping and not self.plain:
            raise ValueError(
                f"early_stopping='loo' knows gradient descent alone, not optimizer={self.optimizer!r}; take "
                "early_stopping=None, or optimizer='gd', with momentum or without"
            )
        automatic = isinstance(self.step_size, str) and self.step_size == "auto"
        if not automatic and not (isinstance(self.step_size, numbers.Real) and 0 < float(self.step_size) < np.inf):
            raise ValueError(f"step_size={self.step_size!r} must be 'auto', or a number above 0")
        if automatic and not self.plain:
            raise ValueError(
                f"step_size='auto' is 1/σ₁², of optimizer='gd' alone; of optimizer={self.optimizer!r} it is a learning "
                "rate, and must be a number"
            )

    @property
    def plain(self) -> bool:
        """Whether it is gradient descent, with momentum or without, and no optimizer of torch.optim."""
        facts = OPTIMIZERS.get(self.optimizer) if isinstance(self.optimizer, str) else None
        return facts is not None and facts.plain

    @property
    def options(self) -> dict[str, float]:
        """Those of the optimizer of torch.optim."""
        return {"momentum": self.momentum} if self.momentum else {}


@dataclass(frozen=True)
class Fit:
    """A readout that was trained. steps: (T,) checkpoints, the last its end; path: (T, P, k) W at each; intercepts:
    (T, k) b; stopping: what the step was chosen from, if it was."""

    steps: np.ndarray
    path: np.ndarray
    intercepts: np.ndarray
    certificate: Certificate
    stopping: Stopping | None


@torch.inference_mode(False)
def fit_readout(
    X: np.ndarray,
    Y: np.ndarray,
    weights: np.ndarray,
    intercept: bool,
    recipe: Recipe,
    W0: np.ndarray | None = None,
    eps: float | None = None,
) -> Fit:
    """Train W and b on ½ Σ_i w_i ‖x_iW + b − y_i‖² from W₀, default 0.

    b is at every step the best for its W, ȳ − x̄W with weighted means, so that W descends on centred rows. Its limit is
    the least-squares solution with an intercept that costs no norm, whose threshold is at N = P + 1. A constant
    column among the features has the same limit for N > P, but b then takes steps too, most where means are large.

    X: (N, P), float32 or float64, the dtype of training; Y: (N, k), of whose size nothing is lost before it is centred;
    weights: (N,) w_i ≥ 0; eps: precision of the numbers that X was given in, default of its dtype. ValueError for
    weights that are all zero, and for what the dtype of training cannot hold.
    """
    dtype = torch.from_numpy(X[:0].copy()).dtype
    eps = max(torch.finfo(dtype).eps, eps or 0.0)
    rows = _Rows.of(X, Y, weights, intercept, recipe.plain, dtype)
    problem = Regression.of(rows.X, rows.Y)
    spec = spectrum(problem.X, eps=eps, rows=times_power_of_two(rows.root * rows.given, -problem.x_unit))
    if recipe.step_size == "auto":
        eta = 1 / torch.where(spec.s[0] > 0, spec.s[0], 1).square()
    else:
        step_size = times_power_of_two(torch.tensor(float(recipe.step_size), dtype=torch.float64), 2 * rows.unit)
        if not 0 < float(step_size) < np.inf:
            raise ValueError(f"step_size={recipe.step_size:.3g} is out of reach beside these weights; take 'auto'")
        recipe = replace(recipe, step_size=float(step_size))
        eta = times_power_of_two(step_size, 2 * problem.x_unit)

    stopping, most, tolerance = None, int(recipe.max_steps), check_tolerance(recipe.tolerance, dtype)
    if recipe.early_stopping:
        if W0 is not None:
            raise ValueError("early_stopping='loo' starts from zero: a warm start has seen the rows that are left out")
        stable = bool(eta * spec.s[0].square() < 2 * (1 + recipe.momentum))
        stopping = _stopping(rows, problem, intercept, float(eta), recipe, stable, eps)
        if np.isfinite(stopping.best):  # as many steps, unless the gradient is nothing but rounding before
            most, tolerance = int(stopping.best), 0.0
    start = None if W0 is None else torch.from_numpy(W0).to(dtype)
    states = list(_states(rows.X, rows.Y, start, recipe, log_spaced(most, _PER_DECADE), tolerance))

    last = states[-1]
    if last.status == Status.MAX_STEPS and stopping is not None and np.isfinite(stopping.best):
        last = replace(last, status=Status.STOPPED_EARLY)
    tolerance = check_tolerance(recipe.tolerance, dtype)
    known = eta if recipe.plain and not recipe.momentum else None
    certificate = certified(problem, spec, start, known, last, tolerance, rows.unit)
    W = torch.stack([state.W for state in states])
    path, intercepts = W.numpy(), (rows.y_mean - rows.x_mean @ W.to(torch.float64)).to(dtype).numpy()
    steps = np.array([int(state.steps) for state in states])
    return Fit(steps, path, intercepts, certificate, stopping)


@dataclass(frozen=True)
class _Rows:
    """The rows that count, as they are trained on.

    X: (N, P), Y: (N, k), in the dtype of training: minus their means and times the root of their weights, (N, 1).
    given: X as it was, centred_Y: Y minus its means, x_mean, y_mean: these, all in float64. unit: e, where weights
    (N,) are w·4⁻ᵉ.
    """

    X: Tensor
    Y: Tensor
    given: Tensor
    centred_Y: Tensor
    x_mean: Tensor
    y_mean: Tensor
    weights: Tensor
    unit: Tensor

    @property
    def root(self) -> Tensor:
        return self.weights.sqrt().unsqueeze(-1)

    @classmethod
    def of(
        cls, X: np.ndarray, Y: np.ndarray, weights: np.ndarray, intercept: bool, plain: bool, dtype: torch.dtype
    ) -> _Rows:
        """plain: whether descent is, to which only ratios of weights matter, and the size of a step beside them."""
        counted = weights > 0
        if not counted.any():
            raise ValueError("sample_weight is 0 in all rows, which leaves nothing to fit")
        given, y, w = (torch.from_numpy(values[counted].astype(np.float64)) for values in (X, Y, weights))
        x, x_mean, y_mean = given, given.new_zeros(given.shape[1]), y.new_zeros(y.shape[1])
        if intercept:
            (x, x_mean), (y, y_mean) = centred(x, w), centred(y, w)
        unit = _unit_of(w) if plain else torch.zeros((), dtype=torch.int64)
        w = times_power_of_two(w, -2 * unit)
        root = w.sqrt().unsqueeze(-1)
        return cls(_held("X", root * x, dtype), _held("y", root * y, dtype), given, y, x_mean, y_mean, w, unit)


def _stopping(
    rows: _Rows, problem: Regression, intercept: bool, eta: float, recipe: Recipe, stable: bool, eps: float
) -> Stopping:
    """What the step is chosen from. problem: of the rows; eta: η, without units."""
    X = times_power_of_two(rows.given, -problem.x_unit).to(rows.X.dtype)
    Y, most = times_power_of_two(rows.centred_Y, -problem.y_unit), int(recipe.max_steps)
    found = choose_step(X, Y, rows.weights, intercept, eta, recipe.momentum, most, stable, eps)
    with np.errstate(over="ignore"):  # of a step size that is not stable
        return replace(found, errors=np.ldexp(found.errors, 2 * int(problem.y_unit)))


def _unit_of(weights: Tensor) -> Tensor:
    """e with ¼ ≤ max w·4⁻ᵉ < 1: int64."""
    return (exponent(weights, (0,)) + 1) // 2


def _held(name: str, values: Tensor, dtype: torch.dtype) -> Tensor:
    """Rows (N, m) in the dtype that trains. ValueError where it cannot hold their size."""
    limits, largest = torch.finfo(dtype), float(values.abs().max())
    if dtype == torch.float64:  # whose units are taken out
        return values
    if largest > limits.max or 0 < largest < limits.tiny / limits.eps:
        raise ValueError(
            f"{name}: as they are trained on, its values are of the order of {largest:.0e}, which {str(dtype)[6:]} "
            "cannot hold; give X as float64, or both in other units"
        )
    return values.to(dtype)


def _states(
    X: Tensor, Y: Tensor, W0: Tensor | None, recipe: Recipe, checkpoints: list[int], tolerance: float
) -> Iterator[State]:
    """The states of one training, W (P, k)."""
    if recipe.plain:
        yield from gradient_descent(X, Y, checkpoints, recipe.step_size, tolerance, W0, momentum=recipe.momentum)
        return
    start = X.new_zeros(1, X.shape[1], Y.shape[1]) if W0 is None else W0[None]
    objective = Autograd(LinearReadout(start), X[None], Y[None], X.new_ones(1))
    engine = optimised(objective, recipe.optimizer, X.new_tensor([recipe.step_size]), recipe.options, None, None)
    reference = norm((X.to(torch.float64).mT @ Y.to(torch.float64)).reshape(1, -1))
    if not float(reference) < torch.finfo(X.dtype).max ** 0.5:
        raise ValueError(
            f"optimizer={recipe.optimizer!r}: the gradient at zero is of the order of {float(reference):.0e}, whose "
            f"square {str(X.dtype)[6:]} cannot hold; give X and y in other units"
        )
    for state in descend(engine, checkpoints, tolerance, None, reference.to(X.dtype)):
        yield replace(state, W=state.W[0], status=Status(int(state.status)))
