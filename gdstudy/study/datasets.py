"""The data sets a study can ask for, as facts. All other code asks these facts; none compares a data set's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from gdstudy.study.entries import Code


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """What is known of a data set before it is loaded.

    label: its name in figures. load: the code that loads it, `() -> Dataset`, or `(Synthetic) -> Dataset` where its
    sizes are the study's. rows, columns: its sizes, None where they are the study's. has_targets: it has a y.
    inputs: `interval` where it has one input in [−1, 1]. sparse: most entries are zero, and only the others are kept.
    isotropic: its inputs are independent and of one variance.
    image_side: its inputs are square pictures of so many pixels a side. missing: the code `() -> str | None` that says
    what is downloaded at first use. outputs: columns of its y. classes: how many its targets are, one output
    each; 0 where they are none.
    external: it is somebody's own, and its sizes are known once it was read (`Study.facts`).
    """

    name: str
    label: str
    load: Code | None
    rows: int | None = None
    columns: int | None = None
    has_targets: bool = True
    inputs: Literal["any", "interval"] = "any"
    sparse: bool = False
    isotropic: bool = False
    image_side: int | None = None
    missing: Code | None = None
    classes: int = 0
    outputs: int = 1
    external: bool = False

    @property
    def synthetic(self) -> bool:
        """Its sizes are the study's."""
        return self.rows is None and not self.external


def _entry(room: str, name: str, label: str, **facts: Any) -> DatasetFacts:
    """A data set that is loaded by the function of its name in a room of `data`."""
    return DatasetFacts(name=name, label=label, load=f"gdstudy.data.{room}:{name}", **facts)


_HOUSING, _WHO = (f"gdstudy.data.downloads:missing_{name}" for name in ("housing", "who"))
# Those of Fig. 1 in its order, then the others: so they are shown.
DATASETS: dict[str, DatasetFacts] = {
    facts.name: facts
    for facts in (
        _entry("synthetic", "student_teacher", "Student–teacher", rows=1000, columns=20, isotropic=True),
        _entry("named", "california_housing", "California housing", rows=20640, columns=8, missing=_HOUSING),
        _entry("named", "diabetes", "Diabetes", rows=442, columns=10),
        _entry("named", "who_life_expectancy", "WHO life expectancy", rows=1649, columns=17, missing=_WHO),
        _entry("synthetic", "linear_plus_cosine", "y = 2x + cos 25x", rows=1000, columns=1, inputs="interval"),
        _entry("named", "digits", "Digits", rows=1797, columns=64, image_side=8, classes=10),
        _entry("synthetic", "isotropic", "Isotropic inputs", has_targets=False, isotropic=True),
        _entry("synthetic", "power_law", "Power-law inputs", has_targets=False),
        _entry("synthetic", "sparse_features", "Sparse features", has_targets=False, sparse=True),
    )
}


def known(name: str) -> DatasetFacts:
    """The facts of a data set by its name; of one that is not in the table only that it is somebody's own."""
    return DATASETS.get(name) or DatasetFacts(name=name, label=name, load=None, external=True)


@dataclass(frozen=True)
class Preprocess:
    """What is done to the columns. label: how a figure calls it. centres: X and Y minus their means; scales: X also
    over its standard deviations. by_training: by statistics of each cell's training rows, not of all rows."""

    label: str
    centres: bool = True
    scales: bool = False
    by_training: bool = False


PREPROCESSES: dict[str, Preprocess] = {
    "none": Preprocess("", centres=False),
    "center": Preprocess("centred"),
    "standardize": Preprocess("standardised", scales=True),
    "center_train": Preprocess("centred by training rows", by_training=True),
    "standardize_train": Preprocess("standardised by training rows", scales=True, by_training=True),
}
