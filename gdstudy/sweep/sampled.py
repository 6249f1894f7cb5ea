"""How many steps plain descent takes until its cells converge, from the spectra of some of them: nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gdstudy.data.dataset import Dataset
from gdstudy.experiment.driver import run_batch
from gdstudy.experiment.plan import LARGE_NUMBERS, Batch
from gdstudy.study.ablations import UNABLATED
from gdstudy.study.config import Study
from gdstudy.study.estimators import PLAIN
from gdstudy.study.groups import Training
from gdstudy.study.models import MODELS

# Sizes N that are sampled of a kind, seeds of each where features are not drawn, and kinds: beyond them sampling is work.
_SIZES, _SEEDS, _MOST_KINDS = 12, 3, 200

Kind = tuple[object, ...]


@dataclass(frozen=True)
class Sampled:
    """Steps to convergence by kind of cells and training: sizes N, in order, and the mean over some seeds at each."""

    steps: Mapping[Kind, tuple[np.ndarray, np.ndarray]]

    def of(self, batch: Batch, training: str, n: int) -> float | None:
        """Steps of a cell with N = n, interpolated; None where none of its kind was sampled."""
        found = self.steps.get((*_kind(batch), training))
        return None if found is None else float(np.exp(np.interp(n, found[0], found[1])))


def sample(study: Study, datasets: Mapping[tuple[str, str, float], Dataset], batches: Sequence[Batch]) -> Sampled:
    """Of readouts that plain descent trains, of each data set, preprocessing, model and P of the batches."""
    kinds: dict[Kind, list[Batch]] = {}
    for batch in batches:
        kinds.setdefault(_kind(batch), []).append(batch)
    found: dict[Kind, tuple[np.ndarray, np.ndarray]] = {}
    for kind, some in kinds.items() if len(kinds) <= _MOST_KINDS else ():
        first = some[0]
        names = [name for name, _ in first.trained if study.trained[name].plain]
        cells = _cells(some)
        if MODELS[first.model].layered or not names or not cells:
            continue
        trained = tuple((name, (UNABLATED,)) for name in names)
        one = replace(first, cells=cells, closed=(UNABLATED,), trained=trained)
        rows = run_batch(_one_step(study), datasets[first.dataset, first.preprocess, first.input_noise], one).results
        for group in rows:
            if group["estimator"] in names:
                found[*kind, group["estimator"]] = _by_size(study.trained[group["estimator"]], group)
    return Sampled(found)
