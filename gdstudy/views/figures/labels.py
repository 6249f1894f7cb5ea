"""What data sets, models and trainings are called in figures."""

from __future__ import annotations

from collections.abc import Sequence

from pandas import DataFrame

from gdstudy.study.columns import TABLES
from gdstudy.study.config import Study
from gdstudy.study.datasets import PREPROCESSES, known
from gdstudy.study.optimizers import OPTIMIZERS
from gdstudy.views.figures.style import BLUE, GREEN, ORANGE
from gdstudy.views.summary import Seen, select
from gdstudy.views.sweeps import heads_for_closed_form, main_training

_COLUMNS = {column.name: column for table in TABLES.values() for column in table}


def axis_label(column: str, label: str = "") -> str:
    """A column of the tables as an axis calls it, or by another label, with its unit: `step (steps)`."""
    facts = _COLUMNS[column]
    return f"{label or facts.label} ({facts.unit or 'no unit'})"


def data_label(dataset: str, preprocess: str, input_noise: float) -> str:
    """A data set as a model saw it: `Diabetes, standardised`, `Digits, input noise σ = 0.5`."""
    noise = f"input noise σ = {input_noise:g}" if input_noise else ""
    return ", ".join(part for part in (known(dataset).label, PREPROCESSES[preprocess].label, noise) if part)


def panel_title(seen: Seen, P: int, model: str = "", symbol: str = "P") -> str:
    """Data set, model where it is to be told, and P, a line each. model: its label."""
    names = ", ".join(name for name in (data_label(*seen), model) if name)
    return f"{names} ({symbol} = {P})".replace(", ", "\n")


def training_label(study: Study, name: str) -> str:
    """The optimizer of a training, with the training's own name if an earlier one has the same: `GD`, `GD (single)`."""
    optimizer = study.trained[name].optimizer
    first = next(other for other, training in study.trained.items() if training.optimizer == optimizer)
    label = OPTIMIZERS[optimizer].label
    return label if name == first else f"{label} ({name})"


def main_label(study: Study) -> str:
    """The main training as it is called."""
    return training_label(study, main_training(study))


def limit_label(study: Study, closed_form: str) -> str:
    """X⁺y and its like beside curves after t steps: their end where training heads for it."""
    return f"t = ∞, {closed_form}" if heads_for_closed_form(study) else closed_form


def most_steps(study: Study, tables: Sequence[DataFrame]) -> str:
    """A remark on how long the main training took, of the rows of these tables; none where it is in none of them."""
    main = main_training(study)
    last = max((rows["step"].max() for table in tables if len(rows := select(table, estimator=main))), default=None)
    return "" if last is None else f"{main_label(study)} took at most {int(last):,} steps."


def place(n: int, P: int) -> tuple[str, str]:
    """Colour and label of an N, by how it compares to P."""
    return (GREEN, "N < P") if n < P else (ORANGE, "N = P") if n == P else (BLUE, "N > P")


def sign(n: int, P: int) -> str:
    """How N compares to P."""
    return "<" if n < P else "=" if n == P else ">"
