"""GD cell-steps a second of linear.yaml, end to end, over a loop of nn.Linear + torch.optim.SGD a cell.

Both are timed in this run. End to end: data, SVDs, training, measuring, storing; not imports and drawing.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from gdstudy import load_results
from gdstudy.data.loading import load_dataset
from gdstudy.data.splits import split
from gdstudy.study.parser import find_config, read_study
from gdstudy.sweep.run import load_datasets, run_missing
from gdstudy.sweep.store import Store

LOOP_STEPS = 2000


def loop_rate() -> float:
    """Steps a second of one cell at a time, median over sizes below, at and above the threshold."""
    rates = []
    data = load_dataset("student_teacher")
    for n in (5, 20, 60):
        rows, _ = split(len(data.X), n, 0)
        X, Y = torch.from_numpy(data.X[rows]), torch.from_numpy(data.Y[rows])
        model = torch.nn.Linear(20, 1, bias=False, dtype=torch.float64)
        torch.nn.init.zeros_(model.weight)
        optimizer = torch.optim.SGD(model.parameters(), lr=1 / float(torch.linalg.matrix_norm(X, 2)) ** 2)
        started = time.perf_counter()
        for _ in range(LOOP_STEPS):
            optimizer.zero_grad()
            (0.5 * (model(X) - Y).square().sum()).backward()
            optimizer.step()
        rates.append(LOOP_STEPS / (time.perf_counter() - started))
    return float(np.median(rates))


def main() -> None:
    study = read_study(find_config("linear.yaml"))
    before = loop_rate()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        store = Store(Path(folder), study)
        run_missing(study, load_datasets(study), store, quiet=True)
        store.close()
        seconds = time.perf_counter() - started
        steps = np.nansum(load_results(folder)["step"])
    loop = (before + loop_rate()) / 2
    stacked = steps / seconds
    print(
        f"linear.yaml {steps:.3g} cell-steps at {stacked:.3g}/s; per-cell loop {loop:.3g}/s; ratio {stacked / loop:.0f}"
    )


if __name__ == "__main__":
    main()
