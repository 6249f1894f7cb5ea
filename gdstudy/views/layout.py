"""How TensorBoard's pages are laid out: margin charts by question, the order of images, and the link that opens it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gdstudy.experiment.tables import Run
from gdstudy.study.models import Model
from gdstudy.views.scalars import ABLATED, LOG, LOG_TIME, SHARE, band_tags, group, headline, tag_of
from gdstudy.views.sweeps import Sweep, sweeps

# Of cards that the link opens: more than two rows of them are no glance.
_PINNED = 8
_FILTER = f"^(?!{ABLATED}/|.*/theory$)"
OVER_TIME = "figures_over_t"
# Question → groups and values of its charts; the first question has margin charts.
_SPIKE = "Where does the test error spike, and how far do splits differ?"
_QUESTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "Does training get to its limit?": (("sweep", f"{LOG}distance"), ("sweep", "fraction_converged")),
    "How long does it take?": ((LOG_TIME, f"{LOG}distance"), (LOG_TIME, f"{LOG}{SHARE}test_mse")),
    "What takes the spike away, and what makes it worse?": (("ablation", f"{LOG}{SHARE}test_mse"),),
    "Is the error the expected one?": (("theory", f"{LOG}{SHARE}test_mse"),),
}
_STEP = {"n_train": "N", "n_parameters": "P", "n_hidden": "hidden width", LOG_TIME: "100·log10 t"}
_SAID = {
    f"{LOG}{SHARE}test_mse": "log10 of the relative test MSE",
    f"{SHARE}test_mse": "relative test MSE",
    f"{LOG}distance": "log10 of the distance to the limit",
    "fraction_converged": "share of cells converged",
}


@dataclass(frozen=True)
class Shown:
    """A data set and model along a size. timed: also against the steps of training."""

    dataset: str
    model: Model
    size: str
    timed: bool


def charts(run: Run, tags: set[str]) -> dict[str, dict[str, list[Any]]]:
    """Custom Scalars, for torch's `custom_scalars`: question → title → kind of chart, tags. tags: those that are."""
    found: dict[str, dict[str, list[Any]]] = {}
    for sweep in sweeps(run):
        best = headline(sweep.model)
        median = tag_of(group("sweep", sweep.size), sweep.card, best)
        if tags.issuperset(margin := [median, *band_tags(sweep)]):
            found.setdefault(_SPIKE, {})[_title(sweep, best, sweep.size)] = ["Margin", margin]
        for question, wanted in _QUESTIONS.items():
            for name, value in wanted:
                timed = name == LOG_TIME
                tag = tag_of(name if timed else group(name, sweep.size), sweep.card, value)
                if tag in tags:
                    title = _title(sweep, value, LOG_TIME if timed else sweep.size)
                    found.setdefault(question, {})[title] = ["Multiline", [f"^{re.escape(tag)}$"]]
    return found


def _title(sweep: Sweep, value: str, step: str) -> str:
    return f"{sweep.card}: {_SAID[value]} against {_STEP[step]}"


def image_tags(figures: Iterable[str]) -> dict[str, str]:
    """Tag → figure. TensorBoard sorts tags by their letters, and figures are numbered in the order of the house."""
    return {f"figures/{number:02}_{name}": name for number, name in enumerate(figures, 1)}


def shown(run: Run) -> list[Shown]:
    """What a run has cards of."""
    return [
        Shown(sweep.card, sweep.model, sweep.size, bool(len(sweep.checkpoints)) and sweep.size == "n_train")
        for sweep in sweeps(run)
    ]


def browse(folder: Path, cards: Iterable[Shown]) -> list[str]:
    """Lines that say how a run is looked at in TensorBoard."""
    return [
        f"browse    tensorboard --logdir {shlex.quote(str(folder))} --samples_per_plugin images=100",
        f"          then open {address(cards)}",
        "          and untick “Ignore outliers in chart scaling” in its settings, which cuts the spike off",
    ]


def address(cards: Iterable[Shown]) -> str:
    """The address of a run in a TensorBoard of this machine: unsmoothed, with the cards that say most pinned above all
    others: the headline of each data set, how long training took, and what it is in its own unit, as far as there is
    room. Runs of ablations and of theory have a question of their own in Custom Scalars, and are filtered out."""
    asked: dict[str, list[str]] = {"headline": [], "time": [], "raw": []}
    for one in cards:
        where = group("sweep", one.size)
        asked["headline"].append(tag_of(where, one.dataset, headline(one.model)))
        if one.timed:
            asked["time"].append(tag_of(LOG_TIME, one.dataset, f"{LOG}distance"))
        asked["raw"].append(tag_of(where, one.dataset, "test_mse"))
    pinned: list[str] = []
    for wanted in asked.values():
        new = list(dict.fromkeys(wanted))
        if not pinned or len(pinned) + len(new) <= _PINNED:
            pinned += new[:_PINNED]
    pins = json.dumps([{"plugin": "scalars", "tag": tag} for tag in pinned], separators=(",", ":"))
    query = f"smoothing=0&pinnedCards={quote(pins, safe='/:,')}&runFilter={quote(_FILTER, safe='/')}"
    return f"http://localhost:6006/?{query}#timeseries&_smoothingWeight=0"
