"""What the charts of a page draw: medians along N (or P) after t steps, their limits, and the singular values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from pandas import DataFrame

from gdstudy.experiment.tables import Run
from gdstudy.study.ablations import ABLATIONS
from gdstudy.study.config import Study
from gdstudy.study.estimators import CLOSED_FORMS
from gdstudy.study.models import REFERENCES
from gdstudy.study.values import log_spaced
from gdstudy.views.closing import landmarks
from gdstudy.views.figures.labels import axis_label, data_label, sign, training_label
from gdstudy.views.figures.style import FEATURES, LOST, ROWS
from gdstudy.views.summary import by_size, by_size_after, select
from gdstudy.views.sweeps import Sweep, closed_form_names, sweeps

SYMBOLS = {"n_train": "N", "n_parameters": "P", "n_hidden": "k"}
AXES = {"n_train": ROWS, "n_parameters": FEATURES, "n_hidden": "hidden width k (units)"}
_TIMES = 32  # places of the slider over t, at most


def explorer_data(run: Run) -> dict[str, Any]:
    """sweeps: what is drawn of each; estimators, ablations: what they are called."""
    return {
        "sweeps": [_sweep(sweep) for sweep in sweeps(run)],
        "ablations": {name: {"question": a.question, "level": a.level} for name, a in ABLATIONS.items()},
    }


def title(sweep: Sweep) -> str:
    """A sweep in a few words: `Diabetes, standardised`, `Digits, random ReLU autoencoder, along P at N = 64`."""
    model = sweep.model
    said = model.label + " autoencoder" * model.autoencoder
    if model.layered:  # those of one label start in different ways
        said = model.name.replace("_", " ")
        said += f", {sweep.first('n_hidden'):.0f} hidden units" if sweep.size != "n_hidden" else ""
    along = "" if sweep.size == "n_train" else f"along {SYMBOLS[sweep.size]} at N = {sweep.first('n_train'):.0f}"
    return ", ".join(part for part in (data_label(*sweep.seen), "" if model.regression else said, along) if part)


def error_label(sweep: Sweep) -> str:
    return LOST if sweep.model.autoencoder else axis_label("test_mse", "MSE")


def place(sweep: Sweep, size: int) -> str:
    """A size and how it compares to the threshold: `N = 20 = P`, `N = 5 < P`."""
    symbol = SYMBOLS[sweep.size]
    if not sweep.model.has_threshold or sweep.size == "n_hidden":
        return f"{symbol} = {size}"
    return f"{symbol} = {size} {sign(size, sweep.threshold)} {'P' if symbol == 'N' else 'N'}"


def names(sweep: Sweep) -> dict[str, str]:
    """Estimator → what it is called."""
    study = sweep.study
    trained = {name: training_label(study, name) for name in study.trained}
    exact = {f"{name}_closed_form": f"{label}, exact iterate" for name, label in trained.items()}
    forms = {name: form.label for name, form in CLOSED_FORMS.items()}
    return {**closed_form_names(sweep.model), "theory": "exact expectation", **trained, **exact, **forms}


def lines(sweep: Sweep) -> Iterator[tuple[str, DataFrame]]:
    """(what it is called, unablated rows) of the closed form and of each training."""
    called = names(sweep)
    if sweep.reference not in sweep.by_training:
        yield called[sweep.reference], sweep.rows
    for name, rows in sweep.by_training.items():
        yield called[name], rows


def _sweep(sweep: Sweep) -> dict[str, Any]:
    dataset, preprocess, noise = sweep.seen
    held = {name: _whole(sweep.first(name)) for name in SYMBOLS if name != sweep.size}
    sizes = np.unique(sweep.rows[sweep.size])
    known = sweep.model.has_threshold and sweep.size != "n_hidden"
    threshold = sweep.threshold if known else landmarks(sweep)[len(landmarks(sweep)) // 2]
    return {
        "title": title(sweep),
        "rows": {"dataset": dataset, "preprocess": preprocess, "input_noise": noise, "model": sweep.model.name, **held},
        "size": sweep.size,
        "symbol": SYMBOLS[sweep.size],
        "axis": AXES[sweep.size],
        "sizes": sizes,
        "places": [place(sweep, int(size)) for size in sizes],
        "start": int(np.abs(np.log(sizes / threshold)).argmin()),
        "threshold": sweep.threshold if known else None,
        "reference": sweep.reference,
        "error": error_label(sweep),
        # The table of medians has errors in units of Y.
        "scale": sweep.first("target_mean_square") if sweep.model.autoencoder else 1.0,
        "classes": sweep.classes,
        "seeds": len(sweep.study.seeds),
        "names": names(sweep),
        "levels": {f.name: f.symbol for f in CLOSED_FORMS.values() if f.levels},
        "descending": [f.name for f in CLOSED_FORMS.values() if f.descends],
        "trainings": [found for name in sweep.by_training if (found := _training(sweep, name)) is not None],
    }


def _whole(value: float) -> int | None:
    """A size, with all its digits, by which rows are found."""
    return None if np.isnan(value) else int(value)


def checkpoints(study: Study, name: str, curves: DataFrame) -> list[int]:
    """The t of a training's slider: its checkpoints up to the last that any of these cells reached, some of them where
    there are many."""
    training = study.trained[name]
    last = int(curves["step"].max())
    steps = [t for t in log_spaced(training.steps, training.checkpoints_per_decade) if t < last] + [last]
    return [steps[k] for k in np.unique(np.linspace(0, len(steps) - 1, _TIMES).round().astype(int))]


def _training(sweep: Sweep, name: str) -> dict[str, Any] | None:
    """Medians (T, sizes) of a training after t steps; None where no checkpoint is kept of it."""
    curves, rows = select(sweep.checkpoints, estimator=name), sweep.by_training[name]
    if curves.empty:
        return None
    steps = checkpoints(sweep.study, name, curves)
    test = by_size_after(curves, sweep.error(), steps, sweep.size)
    found: dict[str, Any] = {"name": name, "label": training_label(sweep.study, name), "steps": steps}
    found |= {"sizes": test[0].x, "test": _stacked(test), "low": _stacked(test, "low"), "high": _stacked(test, "high")}
    values = {"train": sweep.error("train"), "distance": "distance"}
    if sweep.classes:
        values["accuracy"] = "test_accuracy"
    for key, column in values.items():
        if np.isfinite(curves[column]).any():
            bands = by_size_after(curves, column, steps, sweep.size)
            found[key] = _stacked(bands)
            if key == "distance":  # some cells are far and others there: a median alone says neither
                found |= {f"{key}_low": _stacked(bands, "low"), f"{key}_high": _stacked(bands, "high")}
    return found | ({"filter": _filter(sweep, rows)} if _filters(sweep, name) else {})


def _stacked(curves: list[Any], band: str = "median") -> np.ndarray:
    return np.stack([getattr(curve, band) for curve in curves])


def _filters(sweep: Sweep, name: str) -> bool:
    """A training learns the share 1 − (1 − ησ²)ᵗ of each mode: plain descent of a readout from zero."""
    training = sweep.study.trained[name]
    readout = not sweep.model.layered and sweep.reference in REFERENCES
    return readout and training.plain and not training.momentum and training.start == "own"


def _filter(sweep: Sweep, rows: DataFrame) -> dict[str, Any]:
    """η, and quartiles of the smallest and the largest singular value of the training features, at each size."""
    rows = rows.assign(largest=rows["smallest_singular_value"] * rows["condition_number"], status="")
    ends = {
        "smallest": by_size(rows, "smallest_singular_value", sweep.size),
        "largest": by_size(rows, "largest", sweep.size),
    }
    bands = {key: np.stack([curve.low, curve.median, curve.high]) for key, curve in ends.items()}
    return {"eta": by_size(rows, "step_size", sweep.size).median, **bands}
