"""The figures of a run, from its stored tables. Nothing here trains."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from gdstudy.experiment.tables import Run
from gdstudy.study.ablations import ABLATIONS
from gdstudy.views.figures import (
    ablations,
    accuracies,
    autoencoders,
    bottlenecks,
    errors,
    feature_maps,
    moving,
    regularised,
    spectra,
    superposition,
    training,
)
from gdstudy.views.figures.files import as_files
from gdstudy.views.figures.style import STYLE

# Figures by their name: each gives its figure, or None where a run does not hold what it shows.
FIGURES: dict[str, Callable[[Run], Figure | None]] = {
    "divergence": errors.divergence,
    "mse_against_n": training.mse_against_n,
    "test_mse_by_steps": training.test_mse_by_steps,
    "distance_by_steps": training.distance_by_steps,
    "early_stopping": training.early_stopping,
    "accuracy": accuracies.accuracy,
    "ridge_against_n": regularised.ridge_against_n,
    "gd_exact_against_n": regularised.gd_exact_against_n,
    "ridge_limit": regularised.ridge_limit,
    **{a: partial(ablations.ablation, name=a) for a in ABLATIONS},
    **{f"{a}_trained": partial(ablations.ablation_trained, name=a) for a in ABLATIONS},
    "bias": errors.bias,
    "worst_mode": errors.worst_mode,
    "smallest_singular_value": spectra.smallest_singular_value,
    "singular_directions": spectra.singular_directions,
    "shared_spectrum": spectra.shared_spectrum,
    "polynomial_error": feature_maps.polynomial_error,
    "polynomial_fits": feature_maps.polynomial_fits,
    "feature_grid": feature_maps.feature_grid,
    "feature_sweeps": feature_maps.feature_sweeps,
    "autoencoder": autoencoders.autoencoder,
    "denoising_autoencoder": autoencoders.denoising_autoencoder,
    "random_feature_autoencoder": autoencoders.random_feature_autoencoder,
    "reconstructions": autoencoders.reconstructions,
    "dimensions": autoencoders.dimensions,
    "bottleneck_error": bottlenecks.bottleneck_error,
    "bottleneck_modes": bottlenecks.bottleneck_modes,
    "bottleneck_starts": bottlenecks.bottleneck_starts,
    "superposition_loss": superposition.superposition_loss,
    "superposition_pictures": superposition.superposition_pictures,
    "superposition_grid": superposition.superposition_grid,
    "superposition_optimisation": superposition.superposition_optimisation,
}

# Those that move with training time: each gives t and pixels.
MOVING: dict[str, Callable[[Run], Iterator[tuple[int, np.ndarray]]]] = {"test_mse": moving.error_at_t}


def shows(name: str) -> str:
    """What a figure shows, in a sentence or two."""
    draw = FIGURES.get(name) or MOVING[name]
    if isinstance(draw, partial):
        facts = ABLATIONS[draw.keywords["name"]]
        return facts.of_gd if draw.func is ablations.ablation_trained else facts.question
    return " ".join((inspect.getdoc(draw) or name).split("\n\n")[0].split())


def draw_figures(run: Run, quiet: bool = False) -> Iterator[tuple[str, np.ndarray, bytes, bytes]]:
    """(name, (H, W, 3) uint8 pixels, PNG, PDF) of every figure that a run has the data for."""
    # Silent off a terminal.
    bar = tqdm(FIGURES.items(), desc="drawing figures", unit="figure", disable=quiet or None, leave=False)
    with matplotlib.rc_context(STYLE):
        for name, draw in bar:
            if (figure := draw(run)) is not None:
                yield name, *as_files(figure)
