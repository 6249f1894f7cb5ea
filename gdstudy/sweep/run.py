"""Batches → store: runs what is missing of a study."""

from __future__ import annotations

import time

from gdstudy.data.dataset import Dataset
from gdstudy.data.loading import load_dataset
from gdstudy.experiment.driver import run_batch
from gdstudy.experiment.plan import plan, variants
from gdstudy.study.config import Study
from gdstudy.study.console import tell
from gdstudy.study.datasets import DATASETS
from gdstudy.study.entries import code
from gdstudy.sweep.progress import Progress
from gdstudy.sweep.store import Store

Variety = tuple[str, str, float]  # data set, preprocessing, input noise


def load_datasets(study: Study, quiet: bool = True) -> dict[Variety, Dataset]:
    """The study's data as its batches see them. StudyError for a file that cannot be downloaded or is damaged."""
    for facts in (DATASETS[name] for name in study.datasets):
        if facts.missing is not None and (note := code(facts.missing)()) and not quiet:
            tell(note)
    found = [(variant.dataset, variant.preprocess, variant.input_noise) for variant in variants(study)]
    return {key: load_dataset(*key, study.synthetic) for key in found}


def run_missing(study: Study, datasets: dict[Variety, Dataset], store: Store, quiet: bool = False) -> None:
    """Train and store every batch the store lacks, in the study's order. What it has and cannot use is named."""
    batches = plan(study)
    finished = store.finished(batches, tell)
    with Progress(study, batches, quiet) as progress:
        for batch in batches:
            if batch.number in finished:
                progress.skip(batch)
                continue
            progress.begin(batch)
            began, dataset = time.monotonic(), datasets[batch.dataset, batch.preprocess, batch.input_noise]
            records = run_batch(study, dataset, batch, progress)
            store.write(batch, records, time.monotonic() - began)
            progress.end()
