"""Cells → batches → store: runs what is missing of a study, and says how far it is."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gdstudy.data.dataset import Dataset
from gdstudy.data.downloads import missing_download
from gdstudy.data.loading import load_dataset
from gdstudy.experiment.plan import plan, variants
from gdstudy.experiment.run_batch import run_batch
from gdstudy.study.config import Study
from gdstudy.study.console import tell
from gdstudy.sweep.progress import Progress
from gdstudy.sweep.store import Store


def load_datasets(study: Study, quiet: bool = True) -> list[Dataset]:
    """The study's data, one for each of its variants. StudyError for a file that cannot be downloaded or is damaged."""
    for name in study.datasets:
        if (note := missing_download(name)) and not quiet:
            tell(note)
    return [
        load_dataset(variant.dataset, variant.preprocess, variant.input_noise, study.synthetic)
        for variant in variants(study)
    ]


def run_missing(study: Study, datasets: Sequence[Dataset], store: Store, quiet: bool = False) -> None:
    """Train and store every batch the store lacks, in the study's order. What it has and cannot use is named."""
    by_name = {dataset.name: dataset for dataset in datasets}
    batches = plan(study, datasets)
    finished = store.finished(batches, tell)
    with Progress(batches, study.gd.steps, quiet) as progress:
        for batch in batches:
            if batch.number in finished:
                progress.skip(batch)
                continue
            progress.begin(batch)
            began = time.monotonic()
            records = run_batch(study, by_name[batch.dataset], batch, progress.check)
            store.write(batch, records, time.monotonic() - began)
            progress.end()
