"""What of a run is complete: its rows as they come, and the points of its curves that nothing can change any more."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pandas as pd
from pandas import DataFrame

from gdstudy.experiment.plan import Batch
from gdstudy.experiment.rows import Columns, Records
from gdstudy.experiment.tables import Run, frame, joined
from gdstudy.study.config import Study
from gdstudy.study.models import MODELS, REFERENCES
from gdstudy.views.layout import Shown
from gdstudy.views.scalars import series
from gdstudy.views.summary import SEEN, Curve, groups, representative_sizes
from gdstudy.views.sweeps import Cut, cuts

Part = tuple[str, str, float, str]  # data set, preprocessing, input noise, model
Widths = tuple[int, int | None]  # P and hidden width
Tag = tuple[Path, str]  # the folder of a curve, and its tag
_SIZES = ("n_parameters", "n_hidden", "n_train")


@dataclass
class _Line:
    """The curves along one size of one data set and model. cut: what is held; done: the sizes whose rows are all there;
    held: points of theirs that wait for smaller sizes."""

    cut: Cut
    done: set[int] = field(default_factory=set)
    held: list[tuple[Tag, Curve]] = field(default_factory=list)

    def size_of(self, P: int, hidden: int | None, n: int) -> int | None:
        """Where some cells lie on it; None where they do not."""
        here = dict(zip(_SIZES, (P, hidden, n), strict=True))
        return here[self.cut.size] if all(here[name] == value for name, value in self.cut.others.items()) else None

    def released(self) -> Iterator[tuple[Tag, Curve]]:
        """Held points before which nothing can come any more."""
        waits = [size for size in self.cut.sizes.tolist() if size not in self.done]
        curves: defaultdict[Tag, list[Curve]] = defaultdict(list)
        for tag, curve in self.held:
            curves[tag].append(curve)
        self.held = []
        for tag, parts in curves.items():
            due, later = _divided(parts, waits[0] if waits else np.inf)
            if len(due.x):
                yield tag, due
            if len(later.x):
                self.held.append((tag, later))


class Complete:
    """What is complete of a run. Rows are kept until all seeds of their N are there, and points until those before them
    are: in whatever order batches come, the steps of a curve only increase."""

    def __init__(self, study: Study, batches: Sequence[Batch]) -> None:
        """batches: all of the run."""
        self._study = study
        # Cells that are still to come.
        self._missing = Counter((_part(b), _widths(b), n) for b in batches for n, _ in b.cells)
        self._cells = dict(self._missing)
        self._planned = _planned(batches)
        self._lines = {
            part: [_Line(cut) for cut in cuts(study, MODELS[part[-1]], rows)]
            for part, rows in groups(self._planned, *SEEN, "model")
        }
        self._rows: defaultdict[tuple[Part, Widths, int], list[dict[str, DataFrame]]] = defaultdict(list)
        self._whole: list[tuple[Part, Widths, int]] = []
        # The stack under way, its estimators, and the tags of theirs whose steps are sizes.
        self._stack: tuple[tuple[int, tuple[str, ...]] | None, set[Tag]] = (None, set())

    def shown(self) -> list[Shown]:
        """What the run will have cards of."""
        return [
            Shown(part[0], MODELS[part[-1]], line.cut.size, bool(self._study.trained) and line.cut.size == "n_train")
            for part, lines in self._lines.items()
            for line in lines
        ]

    def tables(self, batch: Batch) -> list[str]:
        """The tables of a batch that are to be read: none where no curve is of its cells."""
        part, widths = _part(batch), _widths(batch)
        sizes = {n for n, _ in batch.cells}
        if not any(self._on_a_line(part, widths, n) for n in sizes):
            return []
        return ["results", "curves"] if any(self._shows_steps(part, widths, n) for n in sizes) else ["results"]

    def _on_a_line(self, part: Part, widths: Widths, n: int) -> bool:
        return any(line.size_of(*widths, n) is not None for line in self._lines[part])

    def _shows_steps(self, part: Part, widths: Widths, n: int) -> bool:
        """Whether there are curves against the steps of training at this N."""
        return any(
            line.size_of(*widths, n) is not None and n in representative_sizes(line.cut.sizes, line.cut.threshold)
            for line in self._lines[part]
            if line.cut.size == "n_train"
        )

    def add(self, batch: Batch, tables: dict[str, DataFrame]) -> None:
        """The tables of a batch that is stored."""
        part, widths = _part(batch), _widths(batch)
        for n, cells in Counter(n for n, _ in batch.cells).items():
            key = part, widths, n
            if self._on_a_line(*key):
                wanted = tables if self._shows_steps(*key) else {"results": tables["results"]}
                self._rows[key].append({name: rows[rows["n_train"] == n] for name, rows in wanted.items()})
            self._missing[key] -= cells
            if not self._missing[key] and key in self._rows:
                self._whole.append(key)

    def points(self) -> Iterator[tuple[Tag, Curve]]:
        """Points that are new and final. Those of one tag come with increasing steps."""
        rows = {key: self._rows.pop(key) for key in self._whole}
        self._whole = []
        if not rows:
            return
        results = joined("results", [tables["results"] for some in rows.values() for tables in some])
        of_sizes = set()
        for tag, line, curve in self._curves(results, frame("curves", [])):
            of_sizes.add(tag)
            line.held.append((tag, curve))
        for part, widths, n in rows:
            for line in self._lines[part]:
                if (size := line.size_of(*widths, n)) is not None:
                    line.done.add(size)
        for lines in self._lines.values():
            for line in lines:
                yield from line.released()
        steps = [tables for key, some in rows.items() if self._shows_steps(*key) for tables in some]
        if checkpoints := [tables["curves"] for tables in steps if "curves" in tables]:
            rows_there = joined("results", [tables["results"] for tables in steps])
            found = self._curves(rows_there, joined("curves", checkpoints))
            yield from ((tag, curve) for tag, _, curve in found if tag not in of_sizes)

    def of_stack(self, batch: Batch, records: Records) -> Iterator[tuple[Tag, Curve]]:
        """Curves against the steps of a training under way, of those N of which all seeds are in its stack.

        The line of the limit has the steps of all trainings, and waits for the last of several.
        """
        part, widths = _part(batch), _widths(batch)
        cells = Counter(n for n, _ in batch.cells)
        whole = [n for n in cells if cells[n] == self._cells[part, widths, n] and self._shows_steps(part, widths, n)]
        if not (whole and records.results and records.curves):
            return
        results = joined("results", [frame("results", _of(records.results, whole))])
        key = batch.number, tuple(results["estimator"].cat.categories)
        if self._stack[0] != key:
            self._stack = key, {tag for tag, _, _ in self._curves(results, frame("curves", []))}
        curves = joined("curves", [frame("curves", _of(records.curves, whole))])
        for tag, _, curve in self._curves(results, curves, but=REFERENCES if len(batch.trained) > 1 else ()):
            if tag not in self._stack[1]:
                yield tag, curve

    def _curves(
        self, results: DataFrame, curves: DataFrame, but: Container[str] = ()
    ) -> Iterator[tuple[Tag, _Line, Curve]]:
        """The curves that rows of some sizes give, each with the line it lies on.

        Those against the steps of training are those that there are not without checkpoints.
        """
        run = Run(self._study, results, curves, frame("arrays", []), planned=self._planned)
        for one in (one for one in series(run) if one.estimator not in but):
            lines = self._lines[(*one.sweep.seen, one.sweep.model.name)]
            line = next(line for line in lines if line.cut.size == one.sweep.size)
            for tag, curve in one.scalars():
                yield (one.folder, tag), line, curve


def _part(batch: Batch) -> Part:
    return batch.dataset, batch.preprocess, batch.input_noise, batch.model


def _of(groups: Sequence[Columns], sizes: Sequence[int]) -> list[Columns]:
    """The rows of some N."""
    here = [np.isin(group["n_train"], sizes) for group in groups]
    return [
        {name: value[kept] if isinstance(value, np.ndarray) else value for name, value in group.items()}
        for group, kept in zip(groups, here, strict=True)
    ]


def _widths(batch: Batch) -> Widths:
    return batch.n_parameters, batch.n_hidden


def _planned(batches: Iterable[Batch]) -> DataFrame:
    """A row for each size of a data set and model, and each estimator that says which sizes there are (`cuts`)."""
    found = {
        (*_part(batch), *_widths(batch), n, estimator)
        for batch in batches
        for n in {n for n, _ in batch.cells}
        for estimator in (*REFERENCES[: bool(batch.closed)], *(name for name, _ in batch.trained))
    }
    rows = pd.DataFrame(sorted(found, key=repr), columns=[*SEEN, "model", *_SIZES, "estimator"])
    return rows.assign(ablation="none")


def _divided(parts: Sequence[Curve], at: float) -> tuple[Curve, Curve]:
    """Curves as one with increasing x, before `at` and from there on."""
    values = {one.name: np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(Curve)}
    order = values["x"].argsort(kind="stable")
    here = [order[keep[order]] for keep in (values["x"] < at, values["x"] >= at)]
    before, after = (Curve(**{name: column[kept] for name, column in values.items()}) for kept in here)
    return before, after
