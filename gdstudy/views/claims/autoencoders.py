"""What App. C says of nonlinear models, on autoencoders: where they diverge without noise, and what they store."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gdstudy.experiment.tables import Table
from gdstudy.views.claims import rounding
from gdstudy.views.claims.rule import Rule, deviation, distance_of_converged, spike
from gdstudy.views.summary import Sweep, best_by_training

# These can give their inputs back exactly, if they are wide enough.
_EXACT = ("linear_autoencoder", "mirrored_relu_autoencoder")


def _noisy(sweep: Sweep) -> bool:
    return "+noise" in sweep.dataset


def _misfits(sweep: Sweep) -> bool:
    """A readout that cannot give its inputs back exactly, whatever its weights, though nothing is noisy."""
    return sweep.model in READOUT_AUTOENCODERS and sweep.model not in _EXACT and not _noisy(sweep)


def _realises(sweep: Sweep) -> bool:
    """The best readout of all rows has no residuals, so that X⁺E of every cell is zero up to rounding."""
    if sweep.model not in _EXACT:
        return False
    return bool(np.nanmax(sweep.rows["variance_mean_of_squares"] / sweep.rows["target_mean_square"]) < 1e-9)


def _is(*models: str) -> Callable[[Sweep], bool]:
    return lambda sweep: sweep.model in models


def _rise(sweep: Sweep) -> float:
    curve = sweep.median(sweep.rows, "relative_test_mse")
    return float(curve.median.max() / curve.median[0]) if len(curve.x) > 2 else np.nan


def _left_beyond(sweep: Sweep) -> float:
    """Largest median share that is lost at any N above the largest rank of the training features."""
    curve = sweep.median(sweep.rows, "relative_test_mse")
    enough = curve.x > np.max(sweep.rows["rank"])
    return float(curve.median[enough].max()) if sweep.size == "n_train" and enough.any() else np.nan


def _smallest(value: str, side: Callable[[Table], np.ndarray]) -> Callable[[Sweep], float]:
    def number(sweep: Sweep) -> float:
        here = side(sweep.rows)
        return float(sweep.rows[value][here].min()) if here.any() else np.nan

    return number


def _stored_alone(sweep: Sweep) -> float:
    largest = np.max(sweep.rows["n_train"])
    beyond = sweep.size == "n_train" and largest >= 2 * sweep.threshold
    return sweep.at(sweep.rows, largest, "data_point_dimension") if beyond else np.nan


def _trained_dimensions(sweep: Sweep) -> float:
    """Largest gap between what trained GD's own map says, tr W/N, and R/N of the closed form, converged cells."""
    trained = sweep.trained
    keys = ("n_train", "n_parameters", "seed")
    share = dict(zip(zip(*(sweep.rows[k] for k in keys), strict=True), sweep.rows["data_point_dimension"], strict=True))
    ended = trained["status"] == "converged"
    cells = zip(*(trained[k][ended] for k in keys), strict=True)
    expected = np.array([share[cell] for cell in cells])
    gaps = np.abs(trained["data_point_dimension"][ended] - expected)
    return float(gaps.max()) if len(gaps) and np.isfinite(gaps).all() else np.nan


def _stalled(sweep: Sweep) -> float:
    trained = sweep.trained
    return float((trained["status"] == "stalled").mean()) if len(trained["status"]) else np.nan


# Superposition: three regimes along T


def _by_seed(sweep: Sweep, rows: Table) -> np.ndarray:
    """Test losses (seeds, T), infinite where the cell diverged."""
    sizes, seeds = np.unique(rows["n_train"]), np.unique(rows["seed"])
    values = np.full((len(seeds), len(sizes)), np.nan)
    losses = np.where(rows["status"] == "diverged", np.inf, rows["relative_test_mse"])
    values[np.searchsorted(seeds, rows["seed"]), np.searchsorted(sizes, rows["n_train"])] = losses
    return values


def _peaks(sweep: Sweep, rows: Table) -> float:
    """Share of seeds whose test loss at the T of the unablated peak is above that at both ends."""
    unablated = np.median(_by_seed(sweep, sweep.rows), axis=0)
    peak, values = int(unablated.argmax()), _by_seed(sweep, rows)
    if values.shape[1] < 3 or not np.isfinite(unablated).all():
        return np.nan
    return float((values[:, peak] > np.maximum(values[:, 0], values[:, -1])).mean())


def _has_peak(sweep: Sweep) -> bool:
    """There is something to go."""
    return _peaks(sweep, sweep.rows) >= 0.5


def _peaks_of_best_rate(sweep: Sweep) -> float:
    """The same where each cell has the step size, of all tried, that trains it best."""
    tried = [sweep.rows, *sweep.trained_levels("learning_rate").values()]
    return _peaks(sweep, best_by_training(tried)) if len(tried) > 1 and _has_peak(sweep) else np.nan


def _peaks_of_best_start(sweep: Sweep) -> float:
    levels = sweep.trained_levels("restarts")
    return _peaks(sweep, levels[max(levels)]) if levels and _has_peak(sweep) else np.nan


def _stored(end: int) -> Callable[[Sweep], float]:
    def number(sweep: Sweep) -> float:
        curve = sweep.median(sweep.rows, "data_point_dimension")
        if len(curve.x) < 3 or not np.isfinite(curve.median).all():
            return np.nan
        return float(curve.median[end] * max(1, curve.x[end] / sweep.rows["n_hidden"][0]))

    return number


def _gap_at_largest(sweep: Sweep) -> float:
    last = np.max(sweep.rows["n_train"])
    if len(np.unique(sweep.rows["n_train"])) < 3:
        return np.nan
    return sweep.at(sweep.rows, last, "relative_test_mse") / sweep.at(sweep.rows, last, "relative_train_mse")


_SPIKE = "median test error at the threshold over the larger of those at half and twice"
_SEEDS = "share of seeds whose test loss at the worst T is above that at the smallest and at the largest T"
AUTOENCODERS = (
    Rule("an autoencoder diverges without label noise", "App. C (1)", _SPIKE, spike, "≥", 5, 2, _misfits),
    Rule(
        "a linear autoencoder diverges where its inputs are noisy",
        "App. C (1), Eqn. 1",
        _SPIKE,
        spike,
        "≥",
        5,
        2,
        lambda s: s.model == "linear_autoencoder" and _noisy(s),
    ),
    Rule(
        "the best map of rank k from noisy inputs diverges too",
        "App. C (1), Eqn. 1",
        _SPIKE,
        spike,
        "≥",
        5,
        2,
        lambda s: s.model == "bottleneck" and _noisy(s),
    ),
    Rule(
        "without residuals there is no divergence, though the model is the same",
        "App. C (1), Fig. 4",
        "largest median test error over that at the smallest size",
        _rise,
        "≤",
        2,
        5,
        _realises,
    ),
    Rule(
        "and nothing is lost once all directions were seen",
        "App. C (1), Fig. 4",
        "largest median share of the inputs that is lost, N above the largest rank",
        _left_beyond,
        "≤",
        1e-8,
        1e-4,
        _realises,
    ),
    Rule(
        "N < P: the Gram matrix is invertible, every data point is stored",
        "App. C (2)",
        "smallest mean leverage of a training row, R/N, N < P",
        _smallest("data_point_dimension", lambda t: t["n_train"] < t["n_parameters"]),
        "≥",
        0.999,
        0.9,
        lambda s: s.model in READOUT_AUTOENCODERS,
    ),
    Rule(
        "N > P: the second-moment matrix is invertible, every feature is known",
        "App. C (2)",
        "smallest mean leverage of a feature, R/P, N > P",
        _smallest("feature_dimension", lambda t: t["n_train"] > t["n_parameters"]),
        "≥",
        0.999,
        0.9,
        lambda s: s.model in READOUT_AUTOENCODERS,
    ),
    Rule(
        "N > P: no data point is stored alone",
        "App. C (2)",
        "median mean leverage of a training row at the largest N",
        _stored_alone,
        "≤",
        0.5,
        0.9,
        lambda s: s.model in READOUT_AUTOENCODERS,
    ),
    Rule(
        "trained GD divides its dimensions between data points as X⁺X does",
        "App. C (2), App. D",
        "largest |tr W − R|/N of converged cells",
        _trained_dimensions,
        "≤",
        1e-4,
        1e-2,
        lambda s: s.model == "linear_autoencoder" and not _noisy(s),
    ),
    Rule(
        "a bottleneck started small ends at the best map of its rank",
        "Baldi & Hornik 1989",
        "largest ‖W₂W₁ − P_k‖ / ‖P_k‖ of the converged cells",
        distance_of_converged,
        "≤",
        1e-6,
        1e-2,
        _is("bottleneck"),
        rounding=rounding.of_distance,
    ),
    Rule(
        "a bottleneck started aligned follows its exact map at every step",
        "Saxe et al. 2014",
        "largest ‖W_t − exact W_t‖ / ‖exact W_t‖ over all checkpoints",
        deviation,
        "≤",
        1e-8,
        1e-4,
        _is("bottleneck_aligned"),
        rounding=rounding.of_deviation,
    ),
    Rule(
        "started at zero, a model that is not linear in its weights stays there",
        "Saxe et al. 2014",
        "share of cells that end stalled",
        _stalled,
        "≥",
        1,
        0.5,
        _is("bottleneck_zero", "superposition_zero"),
    ),
    Rule(
        "the test loss is worst between two regimes",
        "Henighan et al. 2023, App. C",
        _SEEDS,
        lambda s: _peaks(s, s.rows),
        "≥",
        0.9,
        0.5,
        _is("superposition"),
    ),
    Rule(
        "few data: data points are stored",
        "Henighan et al. 2023, App. C (2)",
        "median dimensionality of data points over that of all alike (m/T, at most 1), smallest T",
        _stored(0),
        "≥",
        0.8,
        0.5,
        _is("superposition"),
    ),
    Rule(
        "many data: they are not",
        "Henighan et al. 2023, App. C (2)",
        "median dimensionality of data points over that of all alike, largest T",
        _stored(-1),
        "≤",
        0.2,
        0.5,
        _is("superposition"),
    ),
    Rule(
        "many data: what is stored generalises",
        "Henighan et al. 2023, App. C (2)",
        "median test loss over median training loss, largest T",
        _gap_at_largest,
        "≤",
        1.1,
        1.3,
        _is("superposition"),
    ),
    Rule(
        "the peak goes with a step size chosen by training loss",
        "Henighan et al., update of July 2023",
        _SEEDS,
        _peaks_of_best_rate,
        "≤",
        0.1,
        0.5,
        _is("superposition"),
    ),
    Rule(
        "the peak goes with the best of several starts by training loss",
        "Henighan et al., update of July 2023",
        _SEEDS,
        _peaks_of_best_start,
        "≤",
        0.1,
        0.5,
        _is("superposition"),
    ),
)
