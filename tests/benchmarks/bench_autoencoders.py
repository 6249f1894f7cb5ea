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

import torch
from torch import nn

from gdstudy.data.features import feature_map
from gdstudy.data.splits import split
from gdstudy.experiment import plan
from gdstudy.experiment.driver import run_batch
from gdstudy.study.models import MODELS
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
    model_facts, training = MODELS[batch.model], next(iter(study.trained.values()))
    features = feature_map(model_facts, x, batch.n_parameters, seed)
    X, Y = (torch.from_numpy(a[rows]).to(getattr(torch, training.dtype)) for a in (features, dataset.clean()))
    D = Y.shape[1]
    if model_facts.start == "xavier":
        model = Superposition(D, batch.n_hidden)
    elif model_facts.layered:
        k = batch.n_hidden
        model = nn.Sequential(nn.Linear(D, k, bias=False, dtype=X.dtype), nn.Linear(k, D, bias=False, dtype=X.dtype))
    else:
        model = nn.Linear(X.shape[1], D, bias=False, dtype=X.dtype)
    if training.optimizer == "gd":
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3 / float(X.square().sum()))
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=float(training.step_size.value))
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < LOOP_SECONDS:
        for _ in range(20):
            optimizer.zero_grad()
            (model(X) - Y).square().sum().backward()
            optimizer.step()
        steps += 20
    return steps / (time.perf_counter() - started)


class Steps:
    """Counts cell-steps as they are taken."""

    taken = 0

    def start(self, cells, steps):
        pass

    def measured(self, so_far):
        pass

    def check(self, cell_steps, running):
        self.taken += cell_steps


def compare(name):
    study = read_study(find_config(f"{name}.yaml"))
    datasets = load_datasets(study)
    stacked, alone = defaultdict(float), defaultdict(float)
    for batch in plan.plan(study):
        if MODELS[batch.model].stalls:
            continue  # at once: nothing to time
        dataset, steps = datasets[batch.dataset, batch.preprocess, batch.input_noise], Steps()
        started = time.perf_counter()
        run_batch(study, dataset, batch, steps)
        stacked[batch.model] += time.perf_counter() - started
        alone[batch.model] += steps.taken / loop_rate(study, dataset, batch)
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
        study = replace(study, models=[model], n_hidden=hidden, **changes)
        study.gd.steps = 300
        datasets = load_datasets(study)
        for power in range(14, 23, 2):
            plan.STACK_NUMBERS = 1 << power
            batches = plan.plan(study)
            started = time.perf_counter()
            for batch in batches:
                run_batch(study, next(iter(datasets.values())), batch)
            seconds = time.perf_counter() - started
            print(f"{model}, 2^{power} numbers a stack: {len(batches):3} stacks, {seconds:.2f} s", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["stacks"]:
        by_stack_size()
    else:
        for name in sys.argv[1:] or CONFIGS:
            compare(name)
