"""How many bytes a batch takes at its peak, before it is computed: from the sizes of what is held at once.

Counted are stacks of numbers, the same on every machine, with a margin for what is small or short-lived;
`tests/experiment/test_memory.py` holds it against what batches take.
"""

from __future__ import annotations

from dataclasses import dataclass

from gdstudy.study.config import Study
from gdstudy.study.datasets import PREPROCESSES
from gdstudy.study.estimators import asked_for
from gdstudy.study.models import Model

# What libraries keep for themselves once they are used: buffers of BLAS and LAPACK.
WORKSPACE = 32 * 10**6
_MARGIN = 1.25
# Numbers of a part of a stack that is measured or chosen for at once: superposition's outputs, left-out residuals.
_PART = 1 << 22


@dataclass(frozen=True)
class Footprint:
    """What the cells of a batch have in common that decides how much it takes.

    n_rows: of the data set; P, k: rows and columns of W; m: hidden width, 0 for readouts; levels: readouts that are
    measured side by side; trained: cells are trained; draws: features or inputs are drawn for each seed; chooses: a
    penalty is chosen by leave-one-out; on_rows: a layered model that steps through its rows;
    constant: a column of ones or training means, without which ridge has rows and an SVD of its own.
    """

    n_rows: int
    P: int
    k: int
    m: int
    levels: int
    trained: bool
    draws: bool
    chooses: bool
    on_rows: bool
    constant: bool = False

    @classmethod
    def of(
        cls, study: Study, model: Model, seen: tuple[str, str, float], P: int, hidden: int | None, levels: int
    ) -> Footprint:
        """seen: data set, preprocessing and input noise; levels: how many ablation levels the closed form has."""
        dataset, preprocess, noise = seen
        facts = study.facts(dataset)
        columns = facts.columns or study.synthetic.n_inputs
        k = columns if model.autoencoder else max(1, facts.outputs, facts.classes)
        beside = [len(form.levels_in(study)) for form in asked_for(study)]
        return cls(
            n_rows=facts.rows or study.synthetic.n_rows,
            P=P,
            k=k,
            m=hidden or 0,
            levels=max(levels, 1, *beside),
            trained=bool(study.trained),
            draws=model.random or noise > 0,
            chooses=any(not form.levels for form in asked_for(study)),
            on_rows=model.on_rows,
            constant=study.intercept or PREPROCESSES[preprocess].by_training,
        )

    def bytes(self, cells: int, n_train: int, seeds: int) -> int:
        """At the peak of a batch of so many cells of at most n_train rows, of so many seeds."""
        numbers = self._on_rows(cells, n_train) if self.on_rows else self._readouts(cells, n_train, seeds)
        return WORKSPACE + round(_MARGIN * 8 * numbers)

    def _on_rows(self, cells: int, N: int) -> int:
        """Layers that are trained on rows: those, outputs and gradients; parameters with an optimizer's moments."""
        return cells * (3 * N * self.P + 12 * self.P * (self.m + 1)) + _PART

    def _readouts(self, cells: int, N: int, seeds: int) -> int:
        """Rows and SVD, and on top of them the largest of: the SVD itself, the parts of the error, what is measured
        side by side, training, and the choice of a penalty."""
        P, k, R = self.P, self.k, min(N, self.P)
        width, modes = P + k, R + 4 * k
        kept = N * width + R * (N + P) + 2 * P * k
        parts = 3 * width * modes + max(width, N) * modes
        side_by_side = self.levels * k * (3 * width + 2 * N + 3 * P)
        # A problem without units and its SVD, Gram matrices, and a copy of the cells that still run.
        training = 4 * N * P + 5 * N * k + 8 * P * k + 2 * R * R + 2 * R * (N + P)
        training += 2 * N * width + R * (N + P) + 2 * P * max(P, k) * bool(self.m)
        most = max(R * (N + P) + N * P, parts, side_by_side, training if self.trained else 0)
        tables = (min(seeds, cells) if self.draws else 1) * (3 * self.n_rows * width + 6 * width * width)
        chosen = 6 * max(min(cells * N * max(R, 64 * k), _PART), N * R) if self.chooses else 0
        if self.constant:
            most, chosen = most + 2 * N * width, chosen + cells * (2 * N * width + 3 * R * (N + P))
        return cells * kept + max(cells * most, chosen) + tables
