"""Batches → store: runs what is missing of a study."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from gdstudy.data.dataset import Dataset
from gdstudy.data.loading import load_dataset
from gdstudy.data.reading import differences
from gdstudy.data.sources import read_source
from gdstudy.experiment.driver import run_batch
from gdstudy.experiment.plan import plan, variants
from gdstudy.study.config import Study
from gdstudy.study.console import tell
from gdstudy.study.ending import NEVER, Deadline
from gdstudy.study.entries import code
from gdstudy.study.errors import StudyError
from gdstudy.sweep.progress import Progress
from gdstudy.sweep.store import Store

Variety = tuple[str, str, float]  # data set, preprocessing, input noise


def resolved(study: Study, quiet: bool = True, given: Iterable[Dataset] = ()) -> tuple[Study, dict[str, Dataset]]:
    """The study with the fingerprints of all data sets that are somebody's own, and these as they are, by name.

    given: those that come from Python. StudyError for what cannot be read, for data that are not those of the study's
    fingerprints, and for a study that does not fit them.
    """
    by_name, found, prints = {data.name: data for data in given}, {}, {}
    for source in study.sources:
        if not study.facts(source.name).external:
            continue
        reading = read_source(source, by_name)
        for note in reading.notes if not quiet else ():
            tell(note)
        before = study.fingerprints.get(source.name, reading.fingerprint)
        if differing := differences(before, reading.fingerprint):
            raise StudyError(
                f"{source.entry} is not what it was when the run began: {differing}; put it back, or start a new run "
                "(without its `fingerprints`)"
            )
        found[source.name], prints[source.name] = reading.data, reading.fingerprint
    return (replace(study, fingerprints=prints), found) if found else (study, {})


def load_datasets(
    study: Study, quiet: bool = True, read: Mapping[str, Dataset] | None = None
) -> dict[Variety, Dataset]:
    """The study's data as its batches see them. read: those that are somebody's own, by name (`resolved`).

    StudyError for a file that cannot be downloaded or is damaged.
    """
    for facts in map(study.facts, study.names):
        if facts.missing is not None and (note := code(facts.missing)()) and not quiet:
            tell(note)
    found = [(variant.dataset, variant.preprocess, variant.input_noise) for variant in variants(study)]
    return {key: load_dataset(*key, study.synthetic, data=(read or {}).get(key[0])) for key in found}


def run_missing(
    study: Study, datasets: dict[Variety, Dataset], store: Store, quiet: bool = False, deadline: Deadline = NEVER
) -> None:
    """Train and store every batch the store lacks, in the study's order. What it has and cannot use is named.

    Stopped where the deadline passes first. StudyError where a batch cannot be stored, or the folder is gone.
    """
    batches = plan(study)
    finished = store.finished(batches, tell)
    with Progress(study, batches, quiet, deadline) as progress:
        for batch in batches:
            if batch.number in finished:
                progress.skip(batch)
                continue
            deadline.check()
            store.check_place()  # before hours of training for nothing
            progress.begin(batch)
            began, dataset = time.monotonic(), datasets[batch.dataset, batch.preprocess, batch.input_noise]
            records = run_batch(study, dataset, batch, progress)
            store.write(batch, records, time.monotonic() - began)
            progress.end()
