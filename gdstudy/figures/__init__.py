"""Stored results → figures. `python -m gdstudy.figures RUN_DIR` redraws them; nothing here trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from gdstudy.figures import (
    ablations,
    autoencoders,
    bottlenecks,
    errors,
    feature_maps,
    spectra,
    superposition,
    training,
)
from gdstudy.figures.style import STYLE, as_files
from gdstudy.folder import check_folder, write_whole
from gdstudy.parser import Parser
from gdstudy.schema import ABLATIONS, StudyError
from gdstudy.store import load_run
from gdstudy.summary import Run
from gdstudy.terminal import one_line, prepare, say, tell


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


def draw_figures(run_dir: Path, run: Run | None = None) -> dict[str, np.ndarray]:
    """Draw every figure a run has the data for into figures/*.png and *.pdf.

    run: its tables where they are loaded already. Returns name → (H, W, 3) uint8 pixels.
    """
    if run is None:
        check_folder(run_dir)
        run = load_run(run_dir)
    if not len(run.results["dataset"]):
        raise StudyError(f"{run_dir} holds no finished batch yet; finish it with --resume {run_dir}")
    folder = run_dir / "figures"
    folder.mkdir(exist_ok=True)
    images = {}
    wanted = {name: entry.draw for name, entry in FIGURES.items() if entry.wanted(run)}
    # Silent off a terminal.
    bar = tqdm(wanted.items(), desc="drawing figures", unit="figure", disable=None, leave=False)
    with matplotlib.rc_context(STYLE):
        for name, draw in bar:
            images[name], png, pdf = as_files(draw(run))
            write_whole(folder / f"{name}.png", png)
            write_whole(folder / f"{name}.pdf", pdf)
    return images


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can put right (one line on stderr)."""
    prepare()
    parser = Parser(prog="gdstudy.figures", description="Redraw a run's figures from stored results.")
    parser.add_argument("run_dir", type=Path, help="a run's folder, such as runs/linear/20260101-120000")
    try:
        run_dir = parser.parse_args(argv).run_dir
        names = draw_figures(run_dir)
    except (StudyError, OSError) as error:
        tell(f"gdstudy.figures: {one_line(error)}")
        return 2
    say(f"{len(names)} figures (PNG and PDF) in {run_dir / 'figures'}")
    return 0
