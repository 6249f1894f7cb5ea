"""The closed form of paper.yaml, stacked, over the same numbers one cell at a time, both timed in this run.

4 data sets × N 1 … 60 × 50 seeds at every ablation level. Stacked: splits, SVDs, every level's test and train MSE
and Eqn. 1's parts; its storing is printed apart, since the other side stores nothing. One cell at a time:
tests/one_cell.py on every tenth split, times ten.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gdstudy.experiment.driver import run_batch
from gdstudy.experiment.plan import plan
from gdstudy.study.parser import find_config, read_study
from gdstudy.sweep.run import load_datasets
from gdstudy.sweep.store import Store

sys.path.insert(0, str(Path(__file__).parents[1]))
import one_cell

EVERY = 10


def main() -> None:
    study = read_study(find_config("paper.yaml"))
    study.estimators = ["min_norm", "theory"]
    datasets = load_datasets(study)
    batches = plan(study)

    def of(batch):
        return datasets[batch.dataset, batch.preprocess, batch.input_noise]

    one_at_a_time, n_errors = 0.0, 0
    for (name, *_), data in datasets.items():
        levels = next(batch.closed for batch in batches if batch.dataset == name)
        cells = [cell for batch in batches if batch.dataset == name for cell in batch.cells]
        started = time.perf_counter()
        beta = np.linalg.lstsq(data.X, data.Y, rcond=None)[0]
        for n, seed in cells[::EVERY]:
            one_cell.test_errors(data.X, data.Y, n, seed, levels, beta)
        one_at_a_time += EVERY * (time.perf_counter() - started)
        n_errors += len(cells) * len(levels)

    times = []
    for _ in range(5):  # the median: at a second each, what else the machine does would count
        started = time.perf_counter()
        records = [run_batch(study, of(batch), batch) for batch in batches]
        times.append(time.perf_counter() - started)
    stacked = float(np.median(times))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), study)
        started = time.perf_counter()
        for batch, record in zip(batches, records, strict=True):
            store.write(batch, record)
        storing = time.perf_counter() - started
        store.close()
    print(
        f"{n_errors} test errors: one cell at a time {one_at_a_time:.0f} s, stacked {stacked:.2f} s "
        f"(median of {len(times)}, {min(times):.2f} to {max(times):.2f}), ratio {one_at_a_time / stacked:.0f}; "
        f"with storing {one_at_a_time / (stacked + storing):.0f}"
    )


if __name__ == "__main__":
    main()
