"""What is asked for from Python: a study in any form, and data sets beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdstudy.study.config import Study
from gdstudy.study.console import one_line
from gdstudy.study.errors import StudyError, shown
from gdstudy.study.parser import as_dict, find_config, read_study, read_yaml, study_of
from gdstudy.study.sources import check_name
from gdstudy.study.values import convert

if TYPE_CHECKING:
    from gdstudy.data.dataset import Dataset


def _checked(config: str | Path | Study) -> Study:
    """A study that was changed after it was made is checked again."""
    try:
        return study_of(as_dict(config)) if isinstance(config, Study) else read_study(config)
    except (AttributeError, RecursionError) as error:
        raise StudyError(f"the study has lost a key or holds itself: {one_line(error)}; make it anew") from None


def given_datasets(datasets: Any) -> list[Dataset]:
    """Data sets from Python, one or several. StudyError for what is none."""
    given = [datasets] if hasattr(datasets, "n_rows") else list(datasets)
    for data in given:
        if not hasattr(data, "n_rows"):
            raise StudyError(f"datasets: a {type(data).__name__} is no data set; give Dataset(X, y, name='mine')")
    return given


def asked_study(config: str | Path | Study | Mapping[str, Any] | None, given: list[Dataset]) -> Study:
    """The study of a config file, a Study or a mapping of keys, with data sets from Python beside those it names."""
    if not given and config is not None and not isinstance(config, Mapping):
        return _checked(config)
    from gdstudy.data.reading import from_python

    names = [data.name for data in given]
    for at, data_name in enumerate(names):
        check_name(data_name, "datasets")
        if data_name in names[:at]:
            raise StudyError(f"datasets: two are called {shown(data_name)}; give one another name")
    if isinstance(config, Study):
        values: dict[str, Any] = as_dict(_checked(config))
    else:
        values = dict(config or {}) if config is None or isinstance(config, Mapping) else read_yaml(find_config(config))
    if given:
        prints = {data.name: from_python(data).fingerprint for data in given}
        values["datasets"] = [*convert(list[str], values.get("datasets", [])), *names]
        values["fingerprints"] = {**values.get("fingerprints", {}), **prints}
    return study_of(values)
