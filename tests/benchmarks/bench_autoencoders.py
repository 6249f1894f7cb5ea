"""The autoencoder studies at their default sizes, stacked, over a PyTorch loop of one cell at a time, in one run.

Stacked: each batch of the study, end to end but for storing (data, SVDs, training, measuring). One cell at a time: a
plain nn.Module under autograd and torch.optim on one cell of that batch for a few hundred steps, times the steps that
all its cells took; no measuring. With the argument `stacks` it times two models by the size of their stacks instead,
which is what STACK_NUMBERS in gdstudy/plan.py is read from.
"""

import sys
import time
from collections import defaultdict
from dataclasses import replace

import numpy as np
import torch
from gdstudy.experiment.run_batch import run_batch
from gdstudy.study.schema import BOTTLENECKS, NONLINEAR, SUPERPOSITIONS
from torch import nn

from gdstudy.data.features import feature_map
from gdstudy.data.splits import split
from gdstudy.experiment import plan
from gdstudy.study.config import Ablations
from gdstudy.study.parser import find_config, read_study
from gdstudy.study.values import Sizes
from gdstudy.sweep.run import load_datasets

CONFIGS = (
    "autoencoder",
    "denoising_autoencoder",
    "random_feature_autoencoder",
    "bottleneck_autoencoder",
    "superposition",
)
LOOP_SECONDS = 0.3


class Superposition(nn.Module):
    def __init__(self, n, m):
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(m, n)))
        self.bias = nn.Parameter(torch.zeros(n))

    def forward(self, x):
        return torch.relu(x @ self.weight.T @ self.weight + self.bias)


def loop_rate(study, dataset, batch):
    """Steps a second of one cell of the batch in plain PyTorch."""
    n_train, seed = batch.cells[len(batch.cells) // 2]
    rows, _ = split(dataset.n_rows, n_train, seed)
    x = dataset.inputs(seed)
    features = x if batch.model in NONLINEAR else feature_map(batch.model, x, batch.n_parameters, seed)
    X, Y = (torch.from_numpy(a[rows]).to(getattr(torch, study.dtype)) for a in (features, dataset.clean()))
    D = Y.shape[1]
    if batch.model in SUPERPOSITIONS:
        model = Superposition(D, batch.n_hidden)
    elif batch.model in BOTTLENECKS:
        k = batch.n_hidden
        model = nn.Sequential(nn.Linear(D, k, bias=False, dtype=X.dtype), nn.Linear(k, D, bias=False, dtype=X.dtype))
    else:
        model = nn.Linear(X.shape[1], D, bias=False, dtype=X.dtype)
    if study.gd.optimizer == "gd":
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3 / float(X.square().sum()))
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=float(study.gd.step_size.value))
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < LOOP_SECONDS:
        for _ in range(20):
            optimizer.zero_grad()
            (model(X) - Y).square().sum().backward()
            optimizer.step()
        steps += 20
    return steps / (time.perf_counter() - started)


def steps_of(study, batch, records):
    """Cell-steps that were taken; the best of k starts took those of all k."""
    trained = [group for group in records.results if group["estimator"] in study.trained]
    total = sum(float(np.sum(group["step"])) for group in trained)
    return total * batch.trainings / max(1, len(trained))


def compare(name):
    study = read_study(find_config(f"{name}.yaml"))
    datasets = {data.name: data for data in load_datasets(study)}
    stacked, alone = defaultdict(float), defaultdict(float)
    for batch in plan.plan(study, list(datasets.values())):
        if batch.model.endswith("_zero"):
            continue  # stalled at once: nothing to time
        dataset = datasets[batch.dataset]
        started = time.perf_counter()
        records = run_batch(study, dataset, batch)
        stacked[batch.model] += time.perf_counter() - started
        alone[batch.model] += steps_of(study, batch, records) / loop_rate(study, dataset, batch)
    for model in stacked:
        print(
            f"{name:27} {model:27} one at a time {alone[model]:7.0f} s, stacked {stacked[model]:6.1f} s, "
            f"ratio {alone[model] / stacked[model]:6.1f}"
        )
    a, s = sum(alone.values()), sum(stacked.values())
    print(f"{name:27} {'all':27} one at a time {a:7.0f} s, stacked {s:6.1f} s, ratio {a / s:6.1f}", flush=True)


def by_stack_size():
    for config, model, changes in (
        ("superposition", "superposition", {}),
        ("bottleneck_autoencoder", "bottleneck", {"datasets": ["digits"], "seeds": 30, "input_noise": [0]}),
    ):
        study = read_study(find_config(f"{config}.yaml"))
        hidden = Sizes((min(study.n_hidden),))
        study = replace(study, models=[model], n_hidden=hidden, ablations=Ablations(), **changes)
        study.gd.steps = 300
        datasets = load_datasets(study)
        for power in range(14, 23, 2):
            plan.STACK_NUMBERS = 1 << power
            batches = plan.plan(study, datasets)
            started = time.perf_counter()
            for batch in batches:
                run_batch(study, datasets[0], batch)
            seconds = time.perf_counter() - started
            print(f"{model}, 2^{power} numbers a stack: {len(batches):3} stacks, {seconds:.2f} s", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["stacks"]:
        by_stack_size()
    else:
        for name in sys.argv[1:] or CONFIGS:
            compare(name)
