"""Section on whole studies, each in a process of its own as a user would start it: seconds, and what is mathematics."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from gdstudy import load_results
from tests.benchmarks import peers
from tests.benchmarks.cells import cells
from tests.benchmarks.measure import Row, Settings, spread, steps_that_take

# Seconds that each should take at most on an idle machine.
LIMITS = {
    "linear": 15.0,
    "paper": 60.0,
    "autoencoder": 30.0,
    "denoising_autoencoder": 30.0,
    "random_feature_autoencoder": 30.0,
    "bottleneck_autoencoder": 30.0,
    "superposition": 30.0,
}


def study(config: str, settings: Settings) -> list[Row]:
    """One run, end to end: its wall and CPU seconds, and those outside of its batches (SVDs, training, measuring).

    Outside are imports, data, storing, figures, TensorBoard files, tables and the report.
    """
    options = ["--seeds", "4"] if settings.quick else []
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "run"
        command = [sys.executable, "-m", "gdstudy.train", "--config", f"{config}.yaml", "--quiet", *options]
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([*command, "--run_dir", str(folder)], check=True, capture_output=True)
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        parts = (folder / "batches").glob("*.results.parquet")
        inside = sum(float(pq.read_metadata(part).metadata[b"gdstudy.seconds"]) for part in parts)
        results = load_results(folder)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    seconds = wall if settings.clock == "wall" else cpu
    base = Row(
        "studies",
        f"{config}.yaml{', 4 seeds' if settings.quick else ''}",
        "gdstudy, in all",
        "a study",
        cells=len(results[["dataset", "model", "n_train", "n_parameters", "n_hidden", "seed"]].drop_duplicates()),
        seconds_median=wall,
        cpu_median=cpu,
        ratio=None if settings.quick else LIMITS[config] / seconds,
        wanted=None if settings.quick else 1.0,
        note=f"at most {LIMITS[config]:.0f} s; {1 - inside / wall:.0%} outside the mathematics (30 % at most)",
    )
    found = [base]
    if config == "linear":
        found.append(_loop(base, float(results["step"].sum()), seconds, settings))
    return found


def _loop(base: Row, cell_steps: float, ours: float, settings: Settings) -> Row:
    """The steps that linear.yaml took, had nn.Linear and torch.optim.SGD taken them cell by cell. ours: its seconds."""
    sample = cells(20, 1, 1)
    loop = peers.torch_loop(sample)
    n_steps = steps_that_take(max(0.2, settings.seconds), loop.advance)
    seconds = []
    for _ in range(3):
        began = settings.now()
        loop.advance(n_steps)
        seconds.append((settings.now() - began) / n_steps / len(loop.cells))
    median, low, high = spread(np.array(seconds) * cell_steps)
    return Row(
        "studies",
        base.what,
        "a: nn.Linear + SGD, a loop over cells",
        "a study",
        cells=base.cells,
        seconds_median=median,
        seconds_low=low,
        seconds_high=high,
        ratio=median / ours,
        note=f"{cell_steps:.2g} steps of a cell, from three cells of P = 20; no measuring, nothing stored",
    )
