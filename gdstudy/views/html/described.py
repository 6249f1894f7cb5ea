"""A study in words: the question it asks, and what was done to answer it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gdstudy.study.ablations import ABLATIONS
from gdstudy.study.config import HOW, Study
from gdstudy.study.datasets import PREPROCESSES
from gdstudy.study.estimators import asked_for
from gdstudy.study.groups import Training
from gdstudy.study.models import MODELS
from gdstudy.study.optimizers import OPTIMIZERS
from gdstudy.study.parser import as_dict
from gdstudy.views.figures.labels import training_label
from gdstudy.views.sweeps import descends, heads_for_closed_form


def question(study: Study) -> str:
    """What a study asks, as far as its models say."""
    models = [MODELS[name] for name in study.models]
    swept = "the number of features P passes the number of training data N"
    if len(study.n_train) > 1 or not study.n_parameters:
        swept = "the number of training data N passes the number of parameters P"
    asked = []
    if any(model.has_threshold and not model.autoencoder for model in models):
        asked.append(f"Where, and how far, does the test error of least squares diverge as {swept}?")
    if any(model.has_threshold and model.autoencoder for model in models):
        asked.append(f"How much of its inputs does an autoencoder lose as {swept}?")
    if any(model.has_regimes for model in models):
        asked.append("How many data until a small network stores features, rather than the data points themselves?")
    if any(model.stalls for model in models):
        asked.append("Do two trained layers leave a start at zero?")
    if study.trained and any(model.reference != "none" for model in models):
        what = "gradient descent from zero" if descends(study) else "what was trained"
        asked.append(f"Does {what} find the closed-form solution, and after how many steps?")
    if any(form.penalises for form in asked_for(study)):
        asked.append("Does a ridge penalty take the divergence away?")
    if study.ablations.levels(""):
        asked.append("Which factor of the error carries the divergence, and is it gone without it?")
    return " ".join(asked)


def described(study: Study, cells: int) -> Iterator[tuple[str, str]]:
    """(what, in words) of a study. cells: training problems of which there are results."""
    yield "Data", "; ".join(_dataset(study, name) for name in study.names) + "." + _seen(study)
    yield (
        "Models",
        f"{', '.join(_model(name) for name in study.models)}." + " A column of ones is added." * study.intercept,
    )
    sizes = [f"N = {study.n_train} training rows"]
    sizes += [f"P = {study.n_parameters} features"] if study.n_parameters else []
    sizes += [f"{study.n_hidden} hidden units"] if study.n_hidden else []
    one = len(study.seeds) == 1
    splits = f"{len(study.seeds)} random split{'s' * (not one)} each (seed{'s' * (not one)} {_seeds(study)})"
    yield "Sizes", f"{'; '.join(sizes)}; {splits}: {cells:,} training problems, each of which is a cell."
    for name in study.trained:
        yield f"Training {name}", _training(study, name)
    beside = [_closed_form(form, study) for form in asked_for(study)]
    beside += ["the exact expected risk, where the data has one"] if "theory" in study.estimators else []
    if beside := [*_references(study), *beside]:
        yield "Closed forms", "; ".join(beside) + "."
    if taken := dict.fromkeys(name for dataset in study.names for name, _ in study.ablations.levels(dataset)):
        yield "Taken away", " ".join(f"{ABLATIONS[name].question} ({_levels(study, name)})." for name in taken)


def _references(study: Study) -> Iterator[str]:
    """The closed forms that others are held to."""
    models = [MODELS[name] for name in study.models]
    if any(model.reference == "min_norm" for model in models):
        heads = ", which training heads for" if study.trained and heads_for_closed_form(study) else ""
        yield f"X⁺y, the solution of least squares of smallest norm{heads}"
    if any(model.reference == "reduced_rank" for model in models):
        yield "the best map of a bottleneck's rank: principal components or, with input noise, reduced-rank regression"


def _dataset(study: Study, name: str) -> str:
    facts = study.facts(name)
    columns = study.synthetic.n_inputs if facts.synthetic else facts.columns
    rows = study.synthetic.n_rows if facts.synthetic else facts.rows
    sizes = f" ({rows:,} rows, {columns:,} column{'s' * (columns > 1)})" if rows and columns else ""
    return f"{facts.label}{sizes}"


def _seen(study: Study) -> str:
    how = PREPROCESSES[study.preprocess].label
    said = f" Columns are {how}." if how else " Columns are as they are."
    noise = [f"{level:g}" for level in study.input_noise if level]
    also = "also " * (0 in study.input_noise)
    return said + (f" Inputs {also}have Gaussian noise of deviation {', '.join(noise)} (units of X)." if noise else "")


def _model(name: str) -> str:
    model = MODELS[name]
    target = "its own inputs" if model.autoencoder else "y"
    if model.layered:
        start = f"from a start that is {_START[model.start]}"
        return f"{name.replace('_', ' ')}, trained layers that give back {target}, {start}"
    features = "the columns" if model.plain else f"frozen {model.label} features"
    return f"{model.label}, a readout of {target} on {features}, from W = 0"


_START = {"zero": "zero", "small": "small and random", "aligned": "aligned with the data", "xavier": "Xavier’s, random"}


def _seeds(study: Study) -> str:
    seeds = list(study.seeds)
    if len(seeds) == 1:
        return str(seeds[0])
    return f"0–{seeds[-1]}" if seeds == list(range(len(seeds))) else str(study.seeds.written)


def _training(study: Study, name: str) -> str:
    training = study.trained[name]
    auto = training.step_size.value == "auto"
    layered = any(MODELS[model].layered for model in study.models)
    known = "η = 1/σ₁² of each cell" + " (of a bottleneck half its limit at the optimum, or less)" * layered
    rate = known if auto else f"a step size of {training.step_size}"
    said = [f"{training_label(study, name)} at {rate}"]
    said += [f"momentum {training.momentum:g}"] if training.momentum else []
    said += [f"{key} {value}" for key, value in training.optimizer_options.items()]
    said += [f"a warm-up over {training.warmup:.0%} of the steps"] if training.warmup else []
    said += [f"{training.schedule} schedule"] if training.schedule != Training.schedule else []
    said += [f"started at random weights of size {training.init_scale:g}"] if training.start != "own" else []
    said += [f"the best of {training.restarts} starts"] if training.restarts > 1 else []
    said += [f"on {PREPROCESSES[training.preprocess].label or 'raw'} columns"] if training.preprocess != "same" else []
    until = (
        f", until the gradient is {training.tolerance:g} of its largest" if OPTIMIZERS[training.optimizer].plain else ""
    )
    return f"{', '.join(said)}; at most {training.steps:,} steps{until} ({training.dtype})."


def _closed_form(form: Any, study: Study) -> str:
    levels = [form.named(level) for level in form.levels_in(study)] if form.levels else []
    unit = " (in units of σ₁²/N of each cell)" * (form.penalises and study.ridge.relative)
    return f"{form.label} at {', '.join(levels)}{unit}" if levels else form.label


def _levels(study: Study, name: str) -> str:
    pairs = {pair for dataset in study.names for pair in study.ablations.levels(dataset)}
    levels = sorted(level for found, level in pairs if found == name and level is not None)
    return f"{ABLATIONS[name].level}: {', '.join(f'{level:.3g}' for level in levels)}" if levels else "on or off"


def settings(study: Study) -> dict[str, str]:
    """Every key of a study that says what it is, groups as `gd.steps`, with its value as text."""
    found: dict[str, str] = {}
    for key, value in as_dict(study).items():
        if key not in HOW:
            found |= _flat(key, value)
    return found


def _flat(key: str, value: Any) -> dict[str, str]:
    if isinstance(value, dict) and value:
        return {name: text for inner, item in value.items() for name, text in _flat(f"{key}.{inner}", item).items()}
    return {key: _text(value)}


def _text(value: Any) -> str:
    if isinstance(value, list):
        value = ", ".join(map(_text, value))
    return "none" if value in ("", {}) else str(value).lower() if isinstance(value, bool) else str(value)
