"""Section (g), autoencoders: pure steps over PyTorch's loop and JAX's vmap, and whole studies over the loop."""

from __future__ import annotations

from collections import defaultdict

import torch

from gdstudy.data.features import feature_map
from gdstudy.data.splits import split
from gdstudy.experiment.driver import run_batch
from gdstudy.experiment.plan import plan
from gdstudy.study.models import MODELS
from gdstudy.study.parser import find_config, read_study
from gdstudy.sweep.run import load_datasets
from gdstudy.training.compiled_layers import bottleneck_by_hand, relu_by_hand
from gdstudy.training.modules import Bottleneck, ReLUAutoencoder
from gdstudy.training.optimised import optimised
from tests.benchmarks import layered
from tests.benchmarks.layered import Layered, LayeredStepper
from tests.benchmarks.measure import Contestant, Row, Settings, check_agreement, rows, side_by_side, steps_that_take
from tests.benchmarks.readouts import CHECKED, HAS_JAX

CONFIGS = (
    "autoencoder",
    "denoising_autoencoder",
    "random_feature_autoencoder",
    "bottleneck_autoencoder",
    "superposition",
)


def ours(of: Layered) -> LayeredStepper:
    """The engine that studies train with, its gradients by hand."""
    X, eta, *start = (torch.from_numpy(a.copy()) for a in (of.X, of.eta, *of.start))
    if of.relu:
        n_rows = torch.full((len(X),), X.shape[1])
        objective = relu_by_hand(ReLUAutoencoder(*start), X, torch.full_like(eta, 2 / X.shape[1]), n_rows)
        engine = optimised(objective, "adamw", eta, {"weight_decay": layered.WEIGHT_DECAY}, None, None)
    else:
        engine = optimised(bottleneck_by_hand(Bottleneck(*start), X, X, eta), "gd", eta, {}, None, None)
    return LayeredStepper(engine.advance, lambda: engine.solution().numpy(), len(X))


def _steppers(of: Layered) -> dict[str, LayeredStepper]:
    found = {"gdstudy": ours(of), "g: PyTorch, a loop over cells": layered.torch_loop(of)}
    if HAS_JAX:
        from tests.benchmarks import jax_layered

        found["g: JAX vmap(grad) + scan"] = jax_layered.vmap(of)
    return found


def steps(what: str, of: Layered, dtype: str, settings: Settings) -> list[Row]:
    """One step of all cells. That all do the same is checked in float64, whatever is timed."""
    takers = _steppers(of)
    for taker in takers.values():
        taker.advance(CHECKED)
    reached = takers["gdstudy"].weights()
    for name, taker in takers.items():
        check_agreement(reached[: taker.cells, None], taker.weights()[:, None], f"{what}, {name}")
    takers = _steppers(of.astype(dtype))
    contestants = {}
    for name, taker in takers.items():
        taker.advance(CHECKED)
        n_steps = steps_that_take(settings.seconds, taker.advance)
        contestants[name] = Contestant(
            lambda taker=taker, n_steps=n_steps: taker.advance(n_steps),
            units=n_steps,
            scale=len(of.X) / taker.cells,
            sampled=f"{taker.cells} of {len(of.X)} cells, scaled" if taker.cells < len(of.X) else "",
            compile_seconds=taker.compile_seconds or None,
        )
    hidden = min(of.start[0].shape[1:])
    base = Row(
        "autoencoders", f"{what}, N = {of.X.shape[1]}", "", P=of.X.shape[2], k=hidden, cells=len(of.X), note=dtype
    )
    return rows(base, contestants, side_by_side(contestants, settings))


class CellSteps:
    """Counts steps of cells as a study takes them."""

    taken = 0

    def start(self, cells, steps):
        pass

    def measured(self, so_far):
        pass

    def check(self, cell_steps, running):
        self.taken += cell_steps


def study(config: str, settings: Settings) -> list[Row]:
    """A study's batches, SVDs and measuring included but not storing, over a loop of as many steps, cell by cell."""
    asked = read_study(find_config(f"{config}.yaml"))
    datasets = load_datasets(asked)
    stacked, alone, n_cells = defaultdict(float), defaultdict(float), defaultdict(int)
    for batch in plan(asked):
        if MODELS[batch.model].stalls:
            continue  # at once: nothing to time
        dataset, counted = datasets[batch.dataset, batch.preprocess, batch.input_noise], CellSteps()
        began = settings.now()
        run_batch(asked, dataset, batch, counted)
        stacked[batch.model] += settings.now() - began
        alone[batch.model] += counted.taken * _loop_seconds(asked, dataset, batch, settings)
        n_cells[batch.model] += len(batch.cells)
    return [
        Row(
            "autoencoders",
            f"{config}.yaml, {model}",
            "g: PyTorch, a loop over cells",
            "a study",
            cells=n_cells[model],
            seconds_median=alone[model],
            ratio=alone[model] / stacked[model],
            note=f"steps of one cell a batch, scaled; gdstudy {stacked[model]:.1f} s with SVDs and measuring",
        )
        for model in stacked
    ]


def _loop_seconds(asked, dataset, batch, settings: Settings) -> float:
    """Seconds a step of the middle cell of the batch in plain PyTorch."""
    n_train, seed = batch.cells[len(batch.cells) // 2]
    rows_of, _ = split(dataset.n_rows, n_train, seed)
    facts, training = MODELS[batch.model], next(iter(asked.trained.values()))
    features = feature_map(facts, dataset.inputs(seed), batch.n_parameters, seed)
    X, Y = (torch.from_numpy(a[rows_of]).to(getattr(torch, training.dtype)) for a in (features, dataset.clean()))
    D = Y.shape[1]
    if facts.layered:
        m, relu = batch.n_hidden, facts.start == "xavier"
        shapes = ((m, D), (D,)) if relu else ((D, m), (m, D))
        model = layered.module(*(0.1 * torch.randn(shape, dtype=X.dtype) for shape in shapes), relu)
    else:
        model = torch.nn.Linear(X.shape[1], D, bias=False, dtype=X.dtype)
    if training.optimizer == "gd":
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3 / float(X.square().sum()))
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=float(training.step_size.value))

    def advance(n_steps: int) -> None:
        for _ in range(n_steps):
            optimizer.zero_grad()
            (model(X) - Y).square().sum().backward()
            optimizer.step()

    n_steps = steps_that_take(settings.seconds / 4, advance)
    began = settings.now()
    advance(n_steps)
    return (settings.now() - began) / n_steps
