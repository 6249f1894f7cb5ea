"""The data sets a study can ask for, as facts. All other code asks these facts; none compares a data set's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gdstudy.study.entries import Code


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """What is known of a data set before it is loaded.

    label: its name in figures. load: the code that loads it, `() -> Dataset`, or `(Synthetic) -> Dataset` where its
    sizes are the study's. rows, columns: its sizes, None where they are the study's. has_targets: it has a y.
    inputs: `interval` where it has one input in [−1, 1]. sparse: most entries are zero, and only the others are kept.
    image_side: its inputs are square pictures of so many pixels a side. download: it is fetched on first use.
    """

    name: str
    label: str
    load: Code
    rows: int | None = None
    columns: int | None = None
    has_targets: bool = True
    inputs: Literal["any", "interval"] = "any"
    sparse: bool = False
    image_side: int | None = None
    download: bool = False

    @property
    def synthetic(self) -> bool:
        """Its sizes are the study's."""
        return self.rows is None


_NAMED, _SYNTHETIC = "gdstudy.data.named:", "gdstudy.data.synthetic:"
# In the order of Fig. 1.
DATASETS: dict[str, DatasetFacts] = {
    facts.name: facts
    for facts in (
        DatasetFacts(
            name="student_teacher",
            label="Student–teacher",
            load=f"{_SYNTHETIC}student_teacher",
            rows=1000,
            columns=20,
        ),
        DatasetFacts(
            name="california_housing",
            label="California housing",
            load=f"{_NAMED}california_housing",
            rows=20640,
            columns=8,
            download=True,
        ),
        DatasetFacts(name="diabetes", label="Diabetes", load=f"{_NAMED}diabetes", rows=442, columns=10),
        DatasetFacts(
            name="who_life_expectancy",
            label="WHO life expectancy",
            load=f"{_NAMED}who_life_expectancy",
            rows=1649,
            columns=17,
            download=True,
        ),
        DatasetFacts(
            name="linear_plus_cosine",
            label="y = 2x + cos 25x",
            load=f"{_SYNTHETIC}linear_plus_cosine",
            rows=1000,
            columns=1,
            inputs="interval",
        ),
        DatasetFacts(name="digits", label="Digits", load=f"{_NAMED}digits", rows=1797, columns=64, image_side=8),
        DatasetFacts(
            name="isotropic", label="Isotropic inputs", load=f"{_SYNTHETIC}isotropic", has_targets=False
        ),
        DatasetFacts(
            name="power_law", label="Power-law inputs", load=f"{_SYNTHETIC}power_law", has_targets=False
        ),
        DatasetFacts(
            name="sparse_features",
            label="Sparse features",
            load=f"{_SYNTHETIC}sparse_features",
            has_targets=False,
            sparse=True,
        ),
    )
}
# What is done to the columns, and how a figure calls it.
PREPROCESSES = {"none": "", "center": "centred", "standardize": "standardised"}
