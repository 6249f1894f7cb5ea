"""The figures of a run, from its stored tables. Nothing here trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from gdstudy.experiment.tables import Run
from gdstudy.views.figures import (
    ablations,
    autoencoders,
    bottlenecks,
    errors,
    feature_maps,
    spectra,
    superposition,
    training,
)
from gdstudy.views.figures.style import STYLE, as_files


@dataclass(frozen=True)
class Entry:
    """A figure, and whether a run holds what it shows."""

    draw: Callable[[Run], Figure]
    wanted: Callable[[Run], bool]


FIGURES: dict[str, Entry] = {
    "divergence": Entry(errors.divergence, errors.wanted),
    "mse_against_n": Entry(training.mse_against_n, training.wanted_sweep),
    "test_mse_by_steps": Entry(training.test_mse_by_steps, training.wanted_sweep),
    "distance_by_steps": Entry(training.distance_by_steps, training.wanted),
    "early_stopping": Entry(training.early_stopping, training.wanted_stopping),
    **{a: Entry(partial(ablations.ablation, name=a), partial(ablations.wanted, name=a)) for a in ABLATIONS},
    **{
        f"{a}_trained": Entry(partial(ablations.ablation_trained, name=a), partial(ablations.wanted_trained, name=a))
        for a in ABLATIONS
    },
    "bias": Entry(errors.bias, errors.wanted),
    "worst_mode": Entry(errors.worst_mode, errors.wanted),
    "smallest_singular_value": Entry(spectra.smallest_singular_value, errors.wanted),
    "singular_directions": Entry(spectra.singular_directions, errors.wanted),
    "polynomial_error": Entry(feature_maps.polynomial_error, feature_maps.wanted_polynomial),
    "polynomial_fits": Entry(feature_maps.polynomial_fits, feature_maps.wanted_polynomial),
    "feature_grid": Entry(feature_maps.feature_grid, feature_maps.wanted_grid),
    "feature_sweeps": Entry(feature_maps.feature_sweeps, feature_maps.wanted_sweeps),
    "autoencoder": Entry(autoencoders.autoencoder, autoencoders.wanted),
    "denoising_autoencoder": Entry(autoencoders.denoising_autoencoder, autoencoders.wanted_denoising),
    "random_feature_autoencoder": Entry(autoencoders.random_feature_autoencoder, autoencoders.wanted_random_features),
    "reconstructions": Entry(autoencoders.reconstructions, autoencoders.wanted_reconstructions),
    "dimensions": Entry(autoencoders.dimensions, autoencoders.wanted_dimensions),
    "bottleneck_error": Entry(bottlenecks.bottleneck_error, bottlenecks.wanted_error),
    "bottleneck_modes": Entry(bottlenecks.bottleneck_modes, bottlenecks.wanted_modes),
    "bottleneck_starts": Entry(bottlenecks.bottleneck_starts, bottlenecks.wanted_starts),
    "superposition_loss": Entry(superposition.superposition_loss, superposition.wanted),
    "superposition_pictures": Entry(superposition.superposition_pictures, superposition.wanted_pictures),
    "superposition_grid": Entry(superposition.superposition_grid, superposition.wanted_grid),
    "superposition_optimisation": Entry(superposition.superposition_optimisation, superposition.wanted_optimisation),
}


def draw_figures(run: Run) -> Iterator[tuple[str, np.ndarray, bytes, bytes]]:
    """(name, (H, W, 3) uint8 pixels, PNG, PDF) of every figure that a run has the data for."""
    wanted = {name: entry.draw for name, entry in FIGURES.items() if entry.wanted(run)}
    # Silent off a terminal.
    bar = tqdm(wanted.items(), desc="drawing figures", unit="figure", disable=None, leave=False)
    with matplotlib.rc_context(STYLE):
        for name, draw in bar:
            yield name, *as_files(draw(run))
