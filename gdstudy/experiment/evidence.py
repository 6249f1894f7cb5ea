"""What the training rows of a regression problem say about it: spectrum, errors on rows left out, the modes that carry
them, and how they change with N. The numbers behind `diagnose`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from gdstudy.closed_form.factors import bias_readout, variance_modes
from gdstudy.closed_form.leave_one_out import MOST_LEFT_OUT, best_penalty, noise_amplification, ridge_grid
from gdstudy.closed_form.penalised import with_constant
from gdstudy.closed_form.solutions import ridge_filter
from gdstudy.data.splits import stream
from gdstudy.experiment.candidates import Fit, Path, descent, folds_of, min_norm, null, ridge
from gdstudy.experiment.preprocessed import Preprocessed
from gdstudy.experiment.redundancy import Columns, columns_of
from gdstudy.linalg.spectrum import product, spectrum

# An error of less than this share of null's is none: of what rounding leaves nothing is better than another.
NEGLIGIBLE = 1e-12
_N_SIZES, _MOST_DRAWS = 9, 9
# Multiplications of all SVDs of a learning curve, about two seconds of one core; numbers of one stack.
_WORK, _MOST_NUMBERS = 1.5e9, 1 << 23
# An intercept is missing where with it the best ridge leaves less than this share of the error, by so many standard
# errors of the difference.
_GAIN_OF_INTERCEPT, _SURE = 0.8, 2.5


@dataclass(frozen=True, eq=False)
class Modes:
    """The three factors of Eqn. 1 and the share of the error of X⁺Y, by mode, on rows held out: each (R,).

    β* is the best ridge of all rows, E = Y − Xβ* on the rows that are trained on. singular_values: σ_r;
    test_projections: RMS of x·v_r; residual_projections: RMS over outputs of u_r·E; shares: of
    Σ_r mean ((1/σ_r)(x·v_r)(u_r·E))², NaN where there are no residuals but rounding. bias_share: of
    mean (x·(X⁺X − I)β*)² in that plus the sum. Means over folds; of the factors of a mode that some lack, having
    fewer rows than features, over the others.
    """

    singular_values: np.ndarray
    test_projections: np.ndarray
    residual_projections: np.ndarray
    shares: np.ndarray
    bias_share: float


@dataclass(frozen=True, eq=False)
class Learning:
    """Errors of nested random subsamples on rows in none of them: medians over draws, each (S,)."""

    sizes: np.ndarray
    min_norm: np.ndarray
    ridge: np.ndarray
    n_draws: int


@dataclass(frozen=True, eq=False)
class Evidence:
    """Everything a verdict is read from. Errors are without units.

    base: the problem that is judged, with an intercept where one was asked for or found missing (`needs_intercept`);
    scaled: it with its features at one scale. fits: (preprocessing, estimator) → Fit. amplification: median over rows
    of the variance of a left-out residual of X⁺Y where Y is noise of variance 1.
    """

    given: Preprocessed
    base: Preprocessed
    scaled: Preprocessed
    needs_intercept: bool
    columns: Columns
    fits: dict[tuple[str, str], Fit]
    path: Path
    path_scaled: Path
    amplification: float
    budget: int
    seed: int
    left_out_singly: bool

    @cached_property
    def modes(self) -> Modes:
        return error_by_mode(self.base, self.fits[self.base.name, "ridge_loo"].W, self.seed)

    @cached_property
    def learning(self) -> Learning:
        return learning_curve(self.base, self.seed)

    def error(self, estimator: str, scaled: bool = False) -> float:
        """MSE on rows left out of the base, or of it with scaled features."""
        return self.fits[(self.scaled if scaled else self.base).name, estimator].error

    @property
    def negligible(self) -> float:
        return NEGLIGIBLE * self.error("null")

    @property
    def rank(self) -> int:
        return self.base.rank


def gather(
    X: Tensor,
    Y: Tensor,
    eps: float,
    intercept: bool,
    budget: int,
    tolerance: float,
    seed: int,
    on_step: Callable[[str], None] = lambda _: None,
) -> Evidence:
    """X: (N, P), N ≥ 2; Y: (N, k): float64, without units. intercept: fit one; else it is tested whether one is wanted.

    budget: steps of gradient descent one is ready to take; on_step: told what is done next.
    """
    on_step("leave-one-out errors")
    given = Preprocessed.of(X, Y, eps, intercept)
    found = [null(given), min_norm(given), ridge(given)]
    base, needs = given, False
    if not intercept:
        centred = Preprocessed.of(X, Y, eps, True)
        with_one = [null(centred), min_norm(centred), ridge(centred)]
        needs = not has_constant(X) and _much_better(with_one[2], found[2], NEGLIGIBLE * found[0].error)
        found += with_one
        base = centred if needs else given
    scaled = Preprocessed.of(X, Y, eps, base.intercept, scaled=True)
    on_step("leave-one-out errors, scaled features")
    found += [null(scaled), min_norm(scaled), ridge(scaled)]
    folds = folds_of(len(X), seed)
    paths = {}
    for data in (base, scaled) if base is given else (base, scaled, given):
        on_step(f"gradient descent, {data.name}")
        paths[data.name], of_descent = descent(data, folds, budget, tolerance)
        found += of_descent
    fits = {(fit.preprocessing, fit.estimator): fit for fit in found}
    amplification = float(np.median(noise_amplification(base.fitted)[0].numpy()))
    of = (given, base, scaled, needs, columns_of(base, scaled), fits, paths[base.name], paths[scaled.name])
    return Evidence(*of, amplification, budget, seed, len(X) <= MOST_LEFT_OUT)


def has_constant(X: Tensor) -> bool:
    """Whether a column of X says the same of every row, but zero: an intercept that is there already."""
    return bool(((X.amax(0) == X.amin(0)) & (X[0] != 0)).any())


def _much_better(one: Fit, other: Fit, negligible: float) -> bool:
    """Whether one predicts rows left out so much better than the other that it is neither small nor chance."""
    gain = (other.left_out.square() - one.left_out.square()).mean(1)
    return max(one.error, negligible) < _GAIN_OF_INTERCEPT * other.error and float(gain.mean()) > _SURE * float(
        gain.std() / len(gain) ** 0.5
    )


def error_by_mode(data: Preprocessed, beta: Tensor, seed: int) -> Modes:
    """Eqn. 1 on rows held out in folds, with β* (P, k) in the place of the best readout."""
    order = torch.from_numpy(stream(seed, "modes").permutation(len(data.X)))
    found = []
    for held in order.tensor_split(min(5, len(order))):
        kept = torch.ones(len(data.X), dtype=torch.bool).index_fill(0, held, False)
        x, e, x_held = data.X[kept], data.Y[kept] - data.X[kept] @ beta, data.X[held]
        if data.intercept:
            x_held, x, e = x_held - x.mean(0), x - x.mean(0), e - e.mean(0)
        spec = spectrum(x, eps=data.eps, rows=data.rows[kept])
        projections = (x_held @ spec.Vt.mT).square().mean(0)
        energy = projections * variance_modes(spec, e).square().sum(1)
        bias = (x_held @ bias_readout(spec, beta)).square().sum(1).mean()
        found.append((spec.s * spec.nonzero, projections, (spec.U.mT @ e).square().mean(1), energy, bias))

    def of_modes(k: int, where_lacking: float) -> Tensor:
        return pad_sequence([of_fold[k] for of_fold in found], padding_value=where_lacking)

    def mean(k: int) -> np.ndarray:
        return of_modes(k, torch.nan).nanmean(1).numpy()

    energies, biased = of_modes(3, 0.0).mean(1).numpy(), float(torch.stack([of_fold[4] for of_fold in found]).mean())
    total = float(energies.sum())
    # What rounding leaves of residuals says nothing of them.
    some = total > NEGLIGIBLE * float(data.Y.square().sum(1).mean())
    shares = energies / total if some else np.full_like(energies, np.nan)
    bias_share = biased / (biased + total) if biased + total > 0 else np.nan
    return Modes(mean(0), np.sqrt(mean(1)), np.sqrt(mean(2)), shares, bias_share)


def learning_curve(data: Preprocessed, seed: int) -> Learning:
    """X⁺Y and the best ridge on n of N rows, n up to 4/5 of them, tested on the last fifth of the same order."""
    N, P = data.X.shape
    most = max(1, int(0.8 * N))
    threshold = P + 1 if data.intercept else P
    sizes = np.geomspace(max(2, min(threshold, most) // 4), most, _N_SIZES).round().astype(int)
    near = [n for n in (threshold,) if 2 <= n <= most]
    sizes = np.unique(np.clip(np.r_[sizes, near], 1, most)).astype(int)
    work = sum(n * P * min(n, P) for n in sizes)
    n_draws = int(np.clip(_WORK / work, 1, _MOST_DRAWS))
    orders = torch.stack([torch.from_numpy(stream(seed, f"learning {k}").permutation(N)) for k in range(n_draws)])
    errors = np.array([_errors_at(data, orders[:, :n], orders[:, most:]) for n in sizes])
    return Learning(sizes, errors[:, 0], errors[:, 1], n_draws)


def _errors_at(data: Preprocessed, trained: Tensor, tested: Tensor) -> list[float]:
    """Median MSE of X⁺Y and of the best ridge of each draw of rows (D, n), tested on rows (D, m)."""
    found = []
    most = max(1, _MOST_NUMBERS // (trained.shape[1] * data.X.shape[1]))
    for some, others in zip(trained.split(most), tested.split(most), strict=True):
        x, y, x_test, y_test = data.X[some], data.Y[some], data.X[others], data.Y[others]
        if data.intercept:
            x_mean, y_mean = x.mean(1, keepdim=True), y.mean(1, keepdim=True)
            x, y, x_test, y_test = x - x_mean, y - y_mean, x_test - x_mean, y_test - y_mean
        spec = spectrum(x, eps=data.eps, rows=data.rows[some])
        n_rows = torch.full((len(x),), x.shape[1])
        fitted = with_constant(spec, n_rows) if data.intercept else spec
        penalty, _ = best_penalty(fitted, y, ridge_grid(spec, 31))
        filters = (spec.inverse, ridge_filter(spec, penalty[:, None]))
        fits = [product(x_test, spec.filtered(f.unsqueeze(-1), y)) for f in filters]
        found.append(torch.stack([(y_test - fit).square().mean((1, 2)) for fit in fits]))
    return np.median(torch.cat(found, 1).numpy(), axis=1).tolist()
