"""`python -m gdstudy.train`: a study from its YAML file to stored results, figures and TensorBoard."""

from __future__ import annotations

from gdstudy.study.ending import NEVER, Deadline, Ended, exit_with, one_line_until_main

if __name__ == "__main__":
    one_line_until_main("gdstudy.train")

import itertools
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdstudy.asked import asked_study, given_datasets
from gdstudy.command import run_command
from gdstudy.study.config import GROWS, HOW, Study
from gdstudy.study.console import one_line, say, tell, typed
from gdstudy.study.errors import StudyError, shown
from gdstudy.study.groups import GROUPS
from gdstudy.study.options import StudyParser
from gdstudy.study.parser import as_dict, as_yaml, changed, study_of
from gdstudy.study.seeds import Shard
from gdstudy.study.version import __version__
from gdstudy.sweep.folder import check_folder, clear_remains, remedy
from gdstudy.sweep.machine import provenance

if TYPE_CHECKING:
    from gdstudy.data.dataset import Dataset
    from gdstudy.sweep.store import Store
    from gdstudy.sweep.worker import Variety

PROG = "gdstudy.train"


def run_study(
    config: str | Path | Study | Mapping[str, Any] | None = None,
    run_dir: str | Path | None = None,
    quiet: bool = True,
    name: str = "study",
    datasets: Iterable[Dataset] = (),
    deadline: Deadline = NEVER,
    executor: Executor | None = None,
    shard: str | None = None,
) -> Path:
    """Run a study, a YAML file, a Study or a mapping of keys, to the end; returns its run folder.

    run_dir: a new or empty folder; default runs/<config>/<YYYYmmdd-HHMMSS>. datasets: more data sets, from Python; a
    config that names none, in a file or a mapping, has these alone. deadline: when to stop with `Stopped`, a
    KeyboardInterrupt, to go on later. executor: computes the batches instead of what the study asks for; any
    `concurrent.futures.Executor` whose workers can import gdstudy. StudyError says what to put right; Unfinished names
    batches that killed their workers. shard: "3/16", every 16th batch from the third; its run_dir may hold the same
    study, of which other shards run.
    """
    from gdstudy.sweep.prepare import prepared

    given = given_datasets(datasets)
    if isinstance(config, str | Path):
        name = run_name(config)
    study = asked_study(config, given)
    study, loaded = prepared(study, quiet, given)  # before anything is written
    store = _begin(study, run_dir, name, Shard.of(shard))
    _finish(study, loaded, store, quiet, deadline, executor)
    return store.run_dir


def resume_study(
    run_dir: str | Path,
    quiet: bool = True,
    datasets: Iterable[Dataset] = (),
    deadline: Deadline = NEVER,
    executor: Executor | None = None,
    how: Mapping[str, Any] | None = None,
    shard: str | None = None,
    grow: Mapping[str, Any] | None = None,
) -> Path:
    """Finish what is missing of a run. datasets: those of its data sets that came from Python, the same as then.
    deadline, executor, shard: see `run_study`. how: keys of `HOW`, such as {"executor.kind": "processes"}, other than
    then. grow: more of `GROWS`, such as {"seeds": 100}: all that the run is to have then, beside what it has.

    StudyError for a folder that is no run, whose config.yaml was changed, or whose own data are not the same now.
    """
    from gdstudy.sweep.beginning import restore_config, study_to_resume
    from gdstudy.sweep.generations import earlier, extended
    from gdstudy.sweep.prepare import prepared
    from gdstudy.sweep.store import Store

    folder = Path(run_dir)
    _check_path(folder)
    check_folder(folder)
    began = study_to_resume(folder)
    began = study_of(changed(as_dict(began), how)) if how else began
    before = [*earlier(folder), *([began] if grow is not None else [])]
    study = began if grow is None else extended(folder, began, grow)
    study, loaded = prepared(study, quiet, given_datasets(datasets), before)
    try:
        with ExitStack() as undo:
            store = Store(folder, study if grow is None else began, provenance(study, __version__), Shard.of(shard))
            undo.callback(store.close)
            if note := restore_config(folder):
                tell(note)
            if grow is not None:
                store.grow(study)
            undo.pop_all()
    except OSError as error:
        raise StudyError(f"{folder}: {one_line(error)}; {remedy(error)}, then --resume {typed(folder)}") from None
    _finish(study, loaded, store, quiet, deadline, executor)
    return folder


def dry_run(study: Study, quiet: bool = False) -> str:
    """What a study would take, as text: cells, batches, memory, disk, and time from some cells. Nothing is written."""
    from gdstudy.sweep.forecast import forecast
    from gdstudy.sweep.prepare import prepared

    return str(forecast(*prepared(study, quiet)))


def _begin(study: Study, run_dir: str | Path | None, name: str, shard: Shard | None) -> Store:
    """Begin a run in a new or empty folder, or leave nothing behind. A shard joins a run of the same study."""
    from gdstudy.sweep.beginning import Taken, begin, join
    from gdstudy.sweep.identity import has_study

    made_by = provenance(study, __version__)
    stamp = Path("runs") / name / (time.strftime("%Y%m%d-%H%M%S") + (f"-{shard.k}-of-{shard.n}" if shard else ""))
    for again in itertools.count():
        folder = Path(run_dir) if run_dir is not None else stamp.with_name(f"{stamp.name}{f'-{again}' * (again > 0)}")
        _check_path(folder)
        joined = shard if run_dir is not None else None
        try:
            if joined is not None and has_study(folder):
                return join(folder, study, made_by, joined)
            return begin(folder, study, made_by, shard)
        except Taken:
            # Of shards that begin at once the others join the first.
            if run_dir is not None and (joined is None or not has_study(folder)):
                raise
        except OSError as error:
            raise StudyError(f"cannot write the run folder {folder}: {error}; name another with --run_dir") from None
    raise AssertionError


def _check_path(folder: Path) -> None:
    """TensorBoard writes only to paths that are text. StudyError for another."""
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise StudyError(
            f"the run folder {shown(str(folder))} is no UTF-8 text, and TensorBoard cannot write there; name another "
            "with --run_dir"
        ) from None


def _finish(
    study: Study,
    datasets: dict[Variety, Dataset],
    store: Store,
    quiet: bool,
    deadline: Deadline,
    executor: Executor | None,
) -> None:
    """Everything after the run has begun: train, export, draw, report (unless other shards run); then let it go."""
    try:
        from gdstudy.showing import live, said_of_shard, show
        from gdstudy.sweep.run import run_missing

        watch = live(store, quiet)
        run_missing(study, datasets, store, quiet, deadline, executor, watch)
        if (shard := store.shard) is not None:
            stored, of = store.take_over()
            if not quiet:
                say(said_of_shard(shard, stored, of, store))
            if store.shard is not None:
                return
        try:
            show(store, study.csv_rows, quiet, watch.files if watch is not None else None)
        except OSError as error:
            store.check_place()
            why = f"{store.run_dir}: {one_line(error)}; all that was trained is kept: {remedy(error)}"
            raise StudyError(f"{why}, then --resume {typed(store.run_dir)}") from None
    except KeyboardInterrupt as error:
        ended = error if isinstance(error, Ended) else Ended()
        with suppress(OSError):
            if store.shard is None:  # else others write there
                clear_remains(store.run_dir)
        resume = f"python -m gdstudy.train --resume {typed(store.run_dir)}"
        resume += "" if store.shard is None else f" --shard {store.shard}"
        raise type(ended)(f"{ended}; finished batches are kept. Go on with: {resume}", ended.status) from None
    finally:
        store.close()


def _how(reading: StudyParser, arguments: Sequence[str]) -> dict[str, Any]:
    """The keys that may be given beside --resume or --extend. StudyError for others: what a run is, it says itself."""
    options, changes = reading.read(arguments)
    allowed = HOW if options.extend is None else (*HOW, *GROWS)
    others = [f"--{key}" for key in changes if key.partition(".")[0] not in allowed]
    if options.extend is not None:
        others += [f"--{name}" for name in ("resume", "shard") if getattr(options, name) is not None]
    others += [f"--{name}" for name in ("config", "run_dir") if getattr(options, name) is not None]
    others += [f"--{name}" for name in ("print_config", "dry_run") if getattr(options, name)]
    if others:
        kept = ", ".join(f"{key}.*" if key in GROUPS else key for key in allowed)
        command, beside = "--resume", "--shard, --stop_after, --quiet"
        if options.extend is not None:
            command, beside = "--extend", "--stop_after, --quiet"
        raise StudyError(f"{command} takes {beside} and {kept} beside it; leave out {' '.join(others)}")
    return changes


def run_name(config: str | Path) -> str:
    """What the runs of a config file are filed under: its name without `.yaml`."""
    name = Path(config).stem
    if not name.strip("."):
        raise StudyError(f"config {shown(str(config))} has no name to file its runs under; call it something.yaml")
    return name


def parser() -> StudyParser:
    found = StudyParser(PROG, "Train by gradient descent from zero, beside the closed form X⁺y, for every N.")
    told = "A new or empty folder; default runs/<config>/<YYYYmmdd-HHMMSS>."
    found.add_argument("--run_dir", metavar="DIR", help=told)
    found.add_argument("--resume", metavar="RUN_DIR", help="Finish what is missing of a run.")
    told = "Add seeds or sizes to a run: --seeds, --n_train, --n_parameters, --n_hidden, each with what it has."
    found.add_argument("--extend", metavar="RUN_DIR", help=told)
    told = "Only every N-th batch, beginning with the K-th; several shards may share a --run_dir. See gdstudy merge."
    found.add_argument("--shard", metavar="K/N", help=told)
    told = "Stop after so long, such as 25m, 90s or 2h, to --resume later; exit status 75 then."
    found.add_argument("--stop_after", metavar="TIME", help=told)
    found.add_argument("--quiet", action="store_true", help="Say nothing but errors.")
    found.add_argument("--print_config", action="store_true", help="Print the whole resolved study and stop.")
    told = "Print cells, batches, memory, disk and time that it would take, and stop."
    found.add_argument("--dry_run", action="store_true", help=told)
    found.add_argument("--version", action="version", version=f"gdstudy {__version__}")
    return found


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can put right (one line on stderr), 75 stopped by --stop_after.

    130, 143, 129: interrupted by Ctrl-C, SIGTERM, SIGHUP. 1: batches that kill their workers.
    """
    arguments = sys.argv[1:] if argv is None else argv
    return run_command(PROG, lambda: _command(arguments), "lower batch_cells or the sizes")


def _command(arguments: list[str]) -> None:
    reading = parser()
    options, study = reading.study(arguments)
    deadline, _ = Deadline.of(options.stop_after), Shard.of(options.shard)
    if options.extend is not None:
        given = _how(reading, arguments)
        grow = {key: given.pop(key) for key in GROWS if key in given}
        resume_study(options.extend, options.quiet, deadline=deadline, how=given, grow=grow)
    elif options.resume is not None:
        how = _how(reading, arguments)
        resume_study(options.resume, options.quiet, deadline=deadline, how=how, shard=options.shard)
    elif study is None:
        raise StudyError("no study is named; give one, such as --config linear.yaml, or a run to --resume")
    elif options.print_config:
        say(as_yaml(study), end="")
    elif options.dry_run:
        if options.shard is not None:
            raise StudyError("--dry_run says what the whole study takes; leave out --shard")
        say(dry_run(study, options.quiet))
    else:
        name = run_name(options.config)
        run_study(study, options.run_dir, options.quiet, name, deadline=deadline, shard=options.shard)


if __name__ == "__main__":
    exit_with(main)
