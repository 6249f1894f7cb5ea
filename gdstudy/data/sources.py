"""What a study's own data sets are read from: a file, OpenML, or Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from gdstudy.data.dataset import Dataset
from gdstudy.data.files import read_file
from gdstudy.data.openml import read_openml
from gdstudy.data.reading import Reading, from_python
from gdstudy.study.datasets import DATASETS, DatasetFacts
from gdstudy.study.entries import code
from gdstudy.study.errors import StudyError
from gdstudy.study.sources import Source, check_name

# What a loader of one's own gives.
Loaded = Dataset | tuple[Any, Any]


def read_source(source: Source, given: Mapping[str, Dataset] | None = None) -> Reading:
    """A data set that is somebody's own. given: those that came from Python, by name. StudyError where it is none."""
    if source.format == "openml":
        return read_openml(source)
    if source.format != "named":
        return read_file(source)
    if given and source.name in given:
        return from_python(given[source.name])
    facts = DATASETS.get(source.name)
    if facts is None or facts.load is None:
        raise StudyError(
            f"datasets: the data of {source.name} came from Python and are not here; there, resume with "
            f"resume_study(run_dir, datasets=[Dataset(X, y, name={source.name!r})]), or register_dataset first"
        )
    loaded: Loaded = code(facts.load)()
    return from_python(loaded if isinstance(loaded, Dataset) else Dataset(*loaded), source.name)


def register_dataset(name: str, loader: Callable[[], Loaded], **facts: Any) -> None:
    """A name for data of one's own, which studies in this process can ask for then, in YAML as well.

    name: becomes a folder's name, and none that is built in. loader: `() -> Dataset` or `() -> (X, y)`, called once a
    run; a run that is resumed refuses it where it gives something else than when the run began.
    facts: label, its name in figures; image_side, inputs: as of `DatasetFacts`. Registering a name again replaces it.
    StudyError for a name that cannot be; TypeError for other facts.
    """
    check_name(name, "register_dataset")
    if not callable(loader):
        raise TypeError(f"loader must be a function () -> Dataset or (X, y); it is a {type(loader).__name__}")
    if strange := set(facts) - {"label", "image_side", "inputs"}:
        raise TypeError(
            f"unknown fact {sorted(strange)[0]!r}; what is known before it is loaded: label, image_side, inputs"
        )
    DATASETS[name] = replace(DatasetFacts(name=name, label=name, load=loader, external=True), **facts)
