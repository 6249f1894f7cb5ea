"""Sections on closed forms: exact iterates, X⁺y and ridge, and the closed-form side of paper.yaml with its storing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from gdstudy import gd_iterate, gd_path, min_norm_solution, ridge_solution
from gdstudy.experiment.driver import run_batch
from gdstudy.experiment.plan import plan
from gdstudy.study.parser import find_config, read_study
from gdstudy.sweep.run import load_datasets
from gdstudy.sweep.store import Store
from tests import one_cell
from tests.benchmarks import peers
from tests.benchmarks.cells import cells
from tests.benchmarks.measure import Contestant, Row, Settings, check_agreement, rows, side_by_side
from tests.benchmarks.readouts import seeds_of

EVERY = 10  # cells of paper.yaml that are timed one at a time: every tenth
LAMBDA = 1.0


def iterates(P: int, settings: Settings) -> list[Row]:
    """t = 10¹² over t = 1, and all cells at 50 checkpoints over one batched SVD of the same X."""
    of = cells(P, 1, seeds_of(P))
    late = {
        "gdstudy.gd_iterate, t = 1e12": Contestant(lambda: gd_iterate(of.X, of.Y, of.eta, 10**12)),
        "gdstudy.gd_iterate, t = 1": Contestant(lambda: gd_iterate(of.X, of.Y, of.eta, 1)),
    }
    base = Row("iterates", "exact iterate", "", "for all cells", P, 1, len(of))
    found = rows(base, late, side_by_side(late, settings), {"gdstudy.gd_iterate, t = 1": 0.8})
    X, checkpoints = torch.from_numpy(of.X), np.unique(np.geomspace(1, 1e12, 50).round())
    all_of_them = {
        f"gdstudy.gd_path, {len(checkpoints)} checkpoints": Contestant(
            lambda: gd_path(of.X, of.Y, of.eta, checkpoints)
        ),
        "torch.linalg.svd, once": Contestant(lambda: torch.linalg.svd(X, full_matrices=False)),
    }
    base = Row("iterates", "all checkpoints", "", "for all cells", P, 1, len(of), len(checkpoints))
    return found + rows(base, all_of_them, side_by_side(all_of_them, settings), {"torch": 0.5})


def solutions(P: int, settings: Settings) -> list[Row]:
    """X⁺y and ridge of all cells over scikit-learn, cell by cell. Its SGD takes other steps, and is no peer of them."""
    of, found = cells(P, 1, seeds_of(P)), []
    for what, ours, theirs, name in (
        ("X⁺y", min_norm_solution, peers.sklearn_min_norm, "f: LinearRegression, a loop over cells"),
        (
            "ridge",
            lambda X, Y: ridge_solution(X, Y, LAMBDA),
            lambda c: peers.sklearn_ridge(c, LAMBDA),
            "f: Ridge, a loop",
        ),
    ):
        # Where N is near P κ is large, and two good solvers differ by κ roundings: weights are compared away from it.
        well = np.abs(of.n_rows - P) > P // 4
        check_agreement(ours(of.X, of.Y)[well], theirs(of)[well], f"{what}, {name}")
        both = {
            "gdstudy": Contestant(lambda ours=ours: ours(of.X, of.Y)),
            name: Contestant(lambda theirs=theirs: theirs(of)),
        }
        base = Row("closed", what, "", "for all cells", P, 1, len(of))
        found += rows(base, both, side_by_side(both, settings))
    return found


def paper(settings: Settings) -> list[Row]:
    """paper.yaml without training: data sets × N 1 … 60 × 50 seeds at every ablation level, stored as a study does.

    One cell at a time: tests/one_cell.py on every tenth split, times ten. Stacked: splits, SVDs, every level's test and
    train MSE and Eqn. 1's parts, and their storing, which the other side is without.
    """
    study = replace(read_study(find_config("paper.yaml")), estimators=["min_norm", "theory"])
    if settings.quick:
        study = replace(study, seeds=5)
    datasets, batches = load_datasets(study), plan(study)

    def stacked(store: bool) -> None:
        with tempfile.TemporaryDirectory() as folder:
            kept = Store(Path(folder), study) if store else None
            for batch in batches:
                record = run_batch(study, datasets[batch.dataset, batch.preprocess, batch.input_noise], batch)
                if kept is not None:
                    kept.write(batch, record)
            if kept is not None:
                kept.close()

    problems = list(_problems(datasets, batches))
    n_errors = sum(len(of_set) * len(levels) for _, levels, of_set in problems)

    def one_at_a_time() -> None:
        for data, levels, of_set in problems:
            beta = np.linalg.lstsq(data.X, data.Y, rcond=None)[0]
            for n, seed in of_set[::EVERY]:
                one_cell.test_errors(data.X, data.Y, n, seed, levels, beta)

    stacked(True)
    contestants = {
        "gdstudy, stored": Contestant(lambda: stacked(True)),
        "gdstudy, not stored": Contestant(lambda: stacked(False)),
        "e: NumPy, one cell at a time": Contestant(
            one_at_a_time, scale=EVERY, sampled=f"every {EVERY}th cell, scaled; nothing stored"
        ),
    }
    samples = side_by_side(contestants, settings, rounds=1 if settings.quick else 3)
    n_cells = sum(len(of_set) for *_, of_set in problems)
    base = Row("closed", "paper.yaml", "", "a study", cells=n_cells, note=f"{n_errors} test errors")
    return rows(base, contestants, samples, {"e:": 150.0})


def _problems(datasets, batches) -> Iterator[tuple]:
    """(data, ablation levels, its cells (N, seed)) of each data set."""
    for (name, *_), data in datasets.items():
        of_set = [batch for batch in batches if batch.dataset == name]
        yield data, of_set[0].closed, [cell for batch in of_set for cell in batch.cells]
