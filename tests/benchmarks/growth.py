"""Section on growth: log-log slopes of seconds beside those of the flop count, and of a study's peak memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from gdstudy import gradient_descent
from tests.benchmarks import ours
from tests.benchmarks.cells import Cells, cells
from tests.benchmarks.measure import Row, Settings, spread, steps_that_take


def against_cells(settings: Settings) -> list[Row]:
    many = [1_000, 10_000, 100_000] if settings.quick else [1_000, 10_000, 100_000, 1_000_000]
    P = 4
    base = Row("growth", "cells", "", P=P, k=1)
    sizes = np.array([2, 4, 6, 8])
    of = [cells(P, 1, n // len(sizes), sizes) for n in many]
    return _steps(base, many, of, [float(n) for n in many], settings)


def against_P(settings: Settings) -> list[Row]:
    """As many cells as fit: seconds are of one cell."""
    many = [8, 32, 128, 512] if settings.quick else [8, 32, 128, 512, 2048]
    of = [cells(P, 1, int(np.clip((1 << 22) // P**2, 1, 2000)), np.array([2 * P])) for P in many]
    return _steps(
        Row("growth", "P", "", "a step of a cell", k=1), many, of, [2.0 * P**2 for P in many], settings, each=True
    )


def against_outputs(settings: Settings) -> list[Row]:
    many = [1, 10, 100] if settings.quick else [1, 7, 28, 112, 784]
    of = [cells(64, k, 2, np.array([16, 32, 64, 128])) for k in many]
    return _steps(Row("growth", "outputs", "", P=64), many, of, [float(k) for k in many], settings)


def _steps(
    base: Row, many: Sequence[int], of: Sequence[Cells], flops: Sequence[float], settings: Settings, each: bool = False
) -> list[Row]:
    """Pure steps; each: of one cell."""
    calls = []
    for some in of:
        gram = ours.engine(some)
        gram.advance(8)
        n_steps = steps_that_take(settings.seconds / 2, gram.advance)
        calls.append((lambda gram=gram, n=n_steps: gram.advance(n), n_steps * (len(some) if each else 1)))
        base = replace(base, note=f"by {ours.way(gram)}")
    return _grown(base, many, of, calls, flops, settings)


def against_N(settings: Settings) -> list[Row]:
    """`gradient_descent` end to end, 100 steps: the SVD that its limit takes, the Gram matrix, and steps."""
    P, n_steps = 64, 100
    many = [128, 512, 2048] if settings.quick else [128, 512, 2048, 4096]
    of = [cells(P, 1, 5, np.array([n])) for n in many]
    flops = [2.0 * n * P**2 + 6 * n * P**2 + 20 * P**3 + 2 * n_steps * P**2 for n in many]  # Golub & Van Loan, R-SVD
    base = Row("growth", "N", "", "a fit", P=P, k=1, steps=n_steps)
    return _grown(base, many, of, [(_fit(some, n_steps), 1) for some in of], flops, settings)


def against_steps(settings: Settings) -> list[Row]:
    """`gradient_descent` end to end at N = P, with all that is looked at on the way; who is done takes no more."""
    many = [1_000, 10_000, 100_000] if settings.quick else [1_000, 10_000, 100_000, 1_000_000]
    of = cells(64, 1, 20, np.array([64]))
    fits = [_fit(of, n) for n in many]
    flops = [2.0 * 64**2 * float(np.sum(fit())) for fit in fits]  # of the steps that are taken
    return _grown(
        Row("growth", "steps", "", "a fit", P=64, k=1), many, [of] * len(many), [(f, 1) for f in fits], flops, settings
    )


def _fit(of: Cells, n_steps: int) -> Callable[[], np.ndarray]:
    """A fit, which says what steps its cells took."""

    def fit() -> np.ndarray:
        (state,) = gradient_descent(of.X, of.Y, n_steps, step_size=of.eta, tolerance=0, n_rows=of.n_rows)
        return state.steps

    return fit


def _grown(
    base: Row,
    many: Sequence[int],
    of: Sequence[Cells],
    calls: Sequence[tuple[Callable[[], object], int]],
    flops: Sequence[float],
    settings: Settings,
) -> list[Row]:
    """A row for each size, all sizes in turns, and one of the slope from the first to the last."""
    taken = [[] for _ in many]
    for _ in range(3):
        for number, (call, units) in enumerate(calls):
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            taken[number].append(((time.perf_counter() - wall) / units, (time.process_time() - cpu) / units))
    found = []
    for value, some, pairs in zip(many, of, taken, strict=True):
        (median, low, high), cpu = (spread(np.array(pairs)[:, column]) for column in (0, 1))
        found.append(
            replace(
                base,
                peer=f"gdstudy, {base.what} = {value}",
                P=some.X.shape[2],
                k=some.Y.shape[2],
                cells=len(some),
                seconds_median=median,
                seconds_low=low,
                seconds_high=high,
                cpu_median=cpu[0],
            )
        )
    seconds = [row.seconds_median if settings.clock == "wall" else row.cpu_median for row in found]
    return [*found, _slope(base, many, seconds, flops)]


def _slope(base: Row, many: Sequence[float], seconds: Sequence[float], flops: Sequence[float]) -> Row:
    """Least squares on log-log, over all sizes and (said) over the two largest, where constant costs matter least."""
    x = np.log(many)

    def of(values: Sequence[float], last: int = 0) -> float:
        return float(np.polyfit(x[-last:], np.log(values[-last:]), 1)[0])

    note = f"of the two largest {of(seconds, 2):.2f}, flops {of(flops, 2):.2f}"
    return replace(base, peer="slope", slope=of(seconds), slope_of_flops=of(flops), note=note)


def memory(settings: Settings) -> list[Row]:
    """Peak memory of a study's process, of X⁺y alone: what a batch takes is bounded, whatever the study's size."""
    found = []
    for seeds in [17, 167] if settings.quick else [17, 167, 1667]:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", _RUN, json.dumps({"seeds": seeds}), folder]
            began = time.perf_counter()
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        said = json.loads(out)
        base = Row(
            "growth", "memory of a study", f"gdstudy, {60 * seeds} cells", "a study", P=20, k=1, cells=60 * seeds
        )
        seconds = time.perf_counter() - began
        found.append(replace(base, seconds_median=seconds, cpu_median=said["cpu"], peak_mb=said["kb"] / 1000))
    x, y = ([np.log(value) for value in values] for values in ([r.cells for r in found], [r.peak_mb for r in found]))
    slope = float(np.polyfit(x, y, 1)[0])
    return [*found, Row("growth", "memory of a study", "slope", "a study", P=20, k=1, slope=slope)]


_RUN = """
import json, resource, sys
from pathlib import Path
from gdstudy.sweep.run import load_datasets, run_missing
from gdstudy.sweep.store import Store
from gdstudy.study.config import Study
asked = {"datasets": ["student_teacher"], "n_train": "1-60", "estimators": ["min_norm"], "trainings": {}}
study = Study(**asked, **json.loads(sys.argv[1]))
store = Store(Path(sys.argv[2]), study)
run_missing(study, load_datasets(study), store, quiet=True)
store.close()
try:  # ru_maxrss would be at least that of the process which started this one
    kb = int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM:")).split()[1])
except OSError:
    kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"kb": kb, "cpu": used.ru_utime + used.ru_stime}))
"""
