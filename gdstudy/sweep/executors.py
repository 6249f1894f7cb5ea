"""Where batches are computed: any `concurrent.futures.Executor`; in this process, in processes, or on Dask."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future
from contextlib import contextmanager
from typing import Any

from gdstudy.experiment.plan import Batch
from gdstudy.study import groups
from gdstudy.study.config import Study
from gdstudy.study.console import one_line, typed
from gdstudy.study.errors import StudyError
from gdstudy.sweep.machine import n_cores
from gdstudy.sweep.pool import Pool
from gdstudy.sweep.processes import gpus_here, processes
from gdstudy.sweep.worker import Done, Job, compute_apart


@contextmanager
def pool_of(study: Study, job: Job, executor: Executor | None = None) -> Iterator[Pool | None]:
    """The workers of a study, or of any executor that is given; None where batches are computed in this process.

    On the way out after an error what they have under way is dropped.
    """
    asked = study.executor
    if executor is not None:
        yield _of(executor, job)
    elif asked.kind == "processes":
        with processes(asked.workers.value or default_workers(study), study.device, job) as pool:
            yield pool
    elif asked.kind == "dask":
        with _dask(asked, study, job) as pool:
            yield pool
    else:
        yield None


def _of(executor: Executor, job: Job) -> Pool:
    """Somebody's own executor, which they shut down themselves."""
    workers = max(n_cores(), getattr(executor, "_max_workers", 0))
    return Pool(lambda batches: executor.submit(compute_apart, job, batches), lambda: workers)


def default_workers(study: Study) -> int:
    """One a core, or one a GPU."""
    return n_cores() if study.device == "cpu" else max(1, len(gpus_here()))


# Dask


ANSWER_SECONDS = 30.0  # in which a scheduler answers


def check_executor(asked: groups.Executor) -> None:
    """StudyError where Dask is asked for and not installed, or its scheduler does not answer."""
    if asked.kind == "dask":
        try:
            from distributed import Client
        except ImportError:
            raise StudyError(
                "executor.kind=dask: Dask is not installed; in the clone, pip install -e '.[dask]'"
            ) from None
        if asked.scheduler:
            with _client(Client, asked.scheduler):
                pass


@contextmanager
def _dask(asked: groups.Executor, study: Study, job: Job) -> Iterator[Pool]:
    """The workers of a scheduler, or of a cluster on this machine that ends with the run."""
    import dask
    from distributed import Client, LocalCluster
    from distributed.scheduler import KilledWorker

    # A cluster of our own reports each death of a worker, and they are counted as those of processes are.
    own = {"distributed.scheduler.allowed-failures": 0, "distributed.admin.large-graph-warning-threshold": "1GB"}
    with dask.config.set(own), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster, wanted = None, asked.workers.value or default_workers(study)
        if not asked.scheduler:
            cluster = LocalCluster(wanted, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL)

        def workers() -> int:
            there = sum(client.nthreads().values())
            if cluster is not None and there < wanted:
                cluster.scale(wanted)  # it gives up a worker that takes long to come back, as on a busy machine
            return there

        try:
            with _client(Client, cluster or asked.scheduler) as client:
                # The job is a task of its own, not data: whoever has lost it computes it again, and where its worker
                # died of that too it is given anew.
                executor, held = client.get_executor(pure=False), client.submit(_same, job, pure=False)

                def submit(batches: Sequence[Batch]) -> Future[list[Done]]:
                    nonlocal held
                    if held.status == "error":
                        held = client.submit(_same, job, pure=False)
                    return executor.submit(compute_apart, held, batches)

                with _gone_explained(client, asked, job):
                    yield Pool(submit, workers, died=(KilledWorker,), shared=True)
        finally:
            if cluster is not None:
                cluster.close()


@contextmanager
def _gone_explained(client: Any, asked: groups.Executor, job: Job) -> Iterator[None]:
    """StudyError for whatever is raised where the scheduler is gone."""
    try:
        yield
    except StudyError:
        raise
    except Exception as error:
        if client.status == "running" and not isinstance(error, CancelledError):
            raise
        raise StudyError(
            f"executor.scheduler={asked.scheduler}: the Dask scheduler is gone, or drops what it was given; finished "
            f"batches are kept: start it anew, then --resume {typed(job.batches.parent)}"
        ) from error


def _same(job: Job) -> Job:
    return job


@contextmanager
def _client(connect: Callable[..., Any], where: Any) -> Iterator[Any]:
    try:
        client = connect(where, timeout=ANSWER_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise StudyError(
            f"executor.scheduler={where}: no Dask scheduler answers ({one_line(error)[:200]}); start `dask scheduler` "
            "and `dask worker ADDRESS`, or leave the address out"
        ) from None
    log = logging.getLogger("distributed.client")  # of a scheduler that is gone: pages
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield client
    finally:
        client.close()
        log.setLevel(before)
