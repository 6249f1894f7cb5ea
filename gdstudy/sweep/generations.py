"""How a run has grown: the study it began with, and as it was each time that sizes or seeds were added.

`batches/study.yaml` is never changed. `batches/grown.yaml` lists the sizes and seeds of each generation after it; with
it the run has grown, whatever else was written by then.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from gdstudy.experiment.plan import Batch, plan
from gdstudy.study.config import GROWS, HOW, Study
from gdstudy.study.console import typed
from gdstudy.study.errors import StudyError
from gdstudy.study.parser import as_dict, as_yaml, read_study, read_yaml
from gdstudy.study.seeds import Seeds
from gdstudy.sweep.folder import BATCHES, CONFIG, check_file, check_run, is_blank, write_whole
from gdstudy.sweep.identity import beginning, has_study, is_sealed, seal, stored_study

GROWN, _LIST = "grown.yaml", "generations"


def generations(run_dir: Path) -> list[Study]:
    """The study of a run as it began, and each time that it grew. StudyError where there is none, or a damaged one."""
    batches = check_run(run_dir)
    found, path = [stored_study(run_dir)], batches / GROWN
    check_file(path)
    if not path.exists():
        return found
    try:
        content = beginning(path)
        if not is_sealed(content):
            raise StudyError("its checksum is another")
        for sizes in list(read_yaml(path, content)[_LIST]):
            found.append(grown(found[-1], sizes))
    except (StudyError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(f"{path}: damaged ({error}); restore it from a copy, or run the study anew") from None
    return found


def planned(stages: Sequence[Study]) -> list[Batch]:
    """The batches of a run of these generations."""
    return plan(stages[-1], stages[:-1])


def cells_of(batch: Batch) -> str:
    """What tells the cells of a batch from those of any other."""
    return hashlib.sha256(repr(batch).encode()).hexdigest()


def differing(one: Study, other: Study, but: Sequence[str] = HOW) -> list[str]:
    """Keys in which two studies differ; those of `but`, by default how a run is computed, are no matter."""
    first, second = as_dict(one), as_dict(other)
    return [key for key in first if key not in but and first[key] != second[key]]


def sizes_of(study: Study) -> dict[str, Any]:
    """What can grow of a study, as plain values."""
    values = as_dict(study)
    return {key: values[key] for key in GROWS}


def grown(study: Study, sizes: Mapping[str, Any]) -> Study:
    """A study with more sizes or seeds; those that it has come first. StudyError for what is not more."""
    if others := [key for key in sizes if key not in GROWS]:
        raise StudyError(f"a run grows in {', '.join(GROWS)} alone; leave out {', '.join(others)}")
    more = replace(study, **sizes)
    for key in GROWS:
        before, now = getattr(study, key), getattr(more, key)
        if lost := type(before)(value for value in before if value not in set(now)):
            raise StudyError(f"{key} can only grow: {now} lacks {lost}, which the run has; name these too")
    return replace(more, seeds=together(study.seeds, more.seeds))


def extended(run_dir: Path, study: Study, sizes: Mapping[str, Any]) -> Study:
    """The study of a run with more sizes or seeds. StudyError, naming the run, for what is not more."""
    try:
        found = grown(study, sizes)
    except StudyError as error:
        raise StudyError(f"--extend {typed(run_dir)}: {error}") from None
    if sizes_of(found) == sizes_of(study):
        raise StudyError(
            f"--extend {typed(run_dir)}: its study has all of that; give more seeds or sizes, or --resume it"
        )
    return found


def check_joins(run_dir: Path, study: Study) -> None:
    """StudyError where a folder holds the run of another study than a shard is of."""
    if has_study(run_dir) and (others := differing(generations(run_dir)[-1], study)):
        raise StudyError(f"--run_dir {run_dir} holds another study ({', '.join(others)}); name another folder")


def together(*seeds: Iterable[int]) -> Seeds:
    """Seeds of all of these, in their order."""
    return Seeds(dict.fromkeys(seed for some in seeds for seed in some))


def record(run_dir: Path, stages: Sequence[Study]) -> None:
    """Write how a run has grown. For who holds it."""
    text = yaml.safe_dump({_LIST: [sizes_of(study) for study in stages[1:]]}, sort_keys=False, default_flow_style=None)
    write_whole(run_dir / BATCHES / GROWN, seal(text.encode()), flush=True)


def earlier(run_dir: Path) -> list[Study]:
    """What the study of a run was before it last grew."""
    return generations(run_dir)[:-1] if has_study(run_dir) else []


def renew_config(run_dir: Path, study: Study) -> None:
    """Have config.yaml say what the study has grown to, below what stands at its head. For who holds the run."""
    path = run_dir / CONFIG
    if is_blank(path) or sizes_of(read_study(path)) == sizes_of(study):
        return
    head = "".join(takewhile(lambda line: line.startswith("#"), path.read_text("utf-8").splitlines(keepends=True)))
    head += f"# grown: {time.strftime('%Y-%m-%d %H:%M:%S %z')}\n"
    write_whole(path, (head + as_yaml(study)).encode(), flush=True)
