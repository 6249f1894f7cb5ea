"""How long the batches of some runs take, and what their trainings tell meanwhile, as `tests/sweep/recorded.py` plays.

`python tests/benchmarks/record_runs.py [NAME…]`, on an idle machine, in CPU seconds of one thread. Those that are named
are replaced, default all. Runs of the name …_fast are computed in machine code, and are larger: it is written first.
"""

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from threadpoolctl import threadpool_limits

from gdstudy.experiment.driver import run_batch
from gdstudy.experiment.plan import plan
from gdstudy.study.parser import changed, find_config, read_yaml, study_of
from gdstudy.study.values import Threads
from gdstudy.sweep.run import load_datasets

FILE = Path(__file__).parents[1] / "sweep" / "recorded_runs.json"
EVERY = 0.1  # seconds between two events that are kept
RUNS = {  # name → config, and keys that are changed
    "linear": ("linear.yaml", {"seeds": 20, "batch_cells": 1000}),
    "linear100": ("linear.yaml", {"seeds": 20, "batch_cells": 100}),
    "paper": ("paper.yaml", {"seeds": 5}),
    "superposition": ("superposition.yaml", {"seeds": 3, "gd.steps": 1000}),
    "random_features": ("random_features.yaml", {"seeds": 10}),
    "polynomial": ("polynomial.yaml", {}),
    "linear_fast": ("linear.yaml", {"seeds": 200}),
    "paper_fast": ("paper.yaml", {"seeds": 50}),
    "random_features_fast": ("random_features.yaml", {"seeds": 20}),
    "momentum_fast": ("momentum.yaml", {"seeds": 200}),
    "bottleneck": ("bottleneck_autoencoder.yaml", {"seeds": 2, "gd.steps": 1000}),
    "bottleneck_fast": ("bottleneck_autoencoder.yaml", {"seeds": 4}),
    "superposition_fast": ("superposition.yaml", {"seeds": 5, "gd.steps": 1000}),
}


class Recorder:
    """A Monitor that keeps what it is told, as `tests/sweep/recorded.py` plays it."""

    def __init__(self):
        self.began, self.events, self.steps = time.process_time(), [], 0

    def _gone(self):
        return round(time.process_time() - self.began, 3)

    def start(self, cells, steps):
        self.keep()
        self.events.append([self._gone(), cells, steps, "s"])
        self.last = time.process_time()

    def check(self, cell_steps, running):
        self.steps, self.running = self.steps + cell_steps, running
        if time.process_time() - self.last > EVERY:
            self.keep()

    def keep(self):
        """What was told since the last event."""
        if self.steps:
            self.events.append([self._gone(), self.steps, self.running])
        self.steps, self.last = 0, time.process_time()

    def measured(self, so_far):
        pass


def record(config, keys):
    study = replace(study_of(changed(read_yaml(find_config(config)), keys)), threads=Threads("1"))
    datasets, batches = load_datasets(study), plan(study)
    run_batch(study, datasets[batches[0].dataset, batches[0].preprocess, batches[0].input_noise], batches[0])  # imports
    found = []
    for batch in batches:
        recorder = Recorder()
        run_batch(study, datasets[batch.dataset, batch.preprocess, batch.input_noise], batch, recorder)
        recorder.keep()
        found.append([recorder._gone(), recorder.events])
    return {"config": config, "keys": keys, "batches": found}


def main():
    runs = json.loads(FILE.read_text()) if FILE.exists() else {}
    for name in sys.argv[1:] or RUNS:
        os.environ["GDSTUDY_FAST"] = "1" if name.endswith("_fast") else "0"
        with threadpool_limits(1):
            runs[name] = record(*RUNS[name])
        took = [seconds for seconds, _ in runs[name]["batches"]]
        print(f"{name}: {len(took)} batches, {sum(took):.1f} s")
    FILE.write_text(json.dumps(runs, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
