"""`python -m gdstudy.train`: a study from its YAML file to stored results, figures and TensorBoard."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdstudy.study.config import GROWS, HOW, Study
from gdstudy.study.console import one_line, prepare, say, tell
from gdstudy.study.errors import StudyError, Unfinished, shown
from gdstudy.study.groups import GROUPS
from gdstudy.study.parser import StudyParser, as_dict, as_yaml, changed, find_config, read_study, read_yaml, study_of
from gdstudy.study.seeds import Shard
from gdstudy.study.sources import check_name
from gdstudy.study.values import convert
from gdstudy.study.version import __version__
from gdstudy.sweep.folder import BATCHES, CONFIG, check_folder, is_old, is_unused
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
    executor: Executor | None = None,
    shard: str | None = None,
) -> Path:
    """Run a study, a YAML file, a Study or a mapping of keys, to the end; returns its run folder.

    run_dir: a new or empty folder; default runs/<config>/<YYYYmmdd-HHMMSS>. datasets: more data sets, from Python; a
    config that names none, in a file or a mapping, has these alone. executor: computes the batches instead of what the
    study asks for; any `concurrent.futures.Executor` whose workers can import gdstudy. shard: "3/16", every 16th batch
    from the third; its run_dir may hold the same study, of which other shards run. StudyError says what to put right;
    Unfinished names batches that killed their workers.
    """
    from gdstudy.sweep.prepare import prepared

    given = _given(datasets)
    if isinstance(config, str | Path):
        name = run_name(config)
    study = _with(given, config) if given or config is None or isinstance(config, Mapping) else _checked(config)
    study, loaded = prepared(study, quiet, given)  # before anything is written
    store = _begin(study, run_dir, name, Shard.of(shard))
    _finish(study, loaded, store, quiet, executor)
    return store.run_dir


def _checked(config: str | Path | Study) -> Study:
    """A study that was changed after it was made is checked again."""
    try:
        return study_of(as_dict(config)) if isinstance(config, Study) else read_study(config)
    except (AttributeError, RecursionError) as error:
        raise StudyError(f"the study has lost a key or holds itself: {one_line(error)}; make it anew") from None


def _given(datasets: Any) -> list[Dataset]:
    """Data sets from Python, one or several. StudyError for what is none."""
    given = [datasets] if hasattr(datasets, "n_rows") else list(datasets)
    for data in given:
        if not hasattr(data, "n_rows"):
            raise StudyError(f"datasets: a {type(data).__name__} is no data set; give Dataset(X, y, name='mine')")
    return given


def _with(given: list[Dataset], config: str | Path | Study | Mapping[str, Any] | None) -> Study:
    """The study with data sets from Python beside those it names."""
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


def resume_study(
    run_dir: str | Path,
    quiet: bool = True,
    datasets: Iterable[Dataset] = (),
    executor: Executor | None = None,
    how: Mapping[str, Any] | None = None,
    shard: str | None = None,
    grow: Mapping[str, Any] | None = None,
) -> Path:
    """Finish what is missing of a run. datasets: those of its data sets that came from Python, the same as then.
    executor, shard: see `run_study`. how: keys of `HOW`, such as {"executor.kind": "processes"}, other than when it
    began. grow: more of `GROWS`, such as {"seeds": 100}: all that the run is to have then, beside what it has.

    StudyError for a folder that is no run, whose config.yaml was changed, or whose own data are not the same now.
    """
    folder = Path(run_dir)
    if not is_old(folder) and not ((folder / CONFIG).is_file() and (folder / BATCHES).is_dir()):
        raise StudyError(f"--resume {run_dir}: no run is there ({CONFIG} and {BATCHES}/); give a run's folder")
    _check_path(folder)
    check_folder(folder)
    from gdstudy.sweep.generations import earlier, extended, study_to_resume
    from gdstudy.sweep.prepare import prepared
    from gdstudy.sweep.store import Store

    began = study_to_resume(folder)
    if how:
        began = study_of(changed(as_dict(began), how))
    before = [*earlier(folder), *([began] if grow is not None else [])]
    study = began if grow is None else extended(folder, began, grow)
    study, loaded = prepared(study, quiet, _given(datasets), before)
    store = Store(folder, study if grow is None else began, provenance(study, __version__), Shard.of(shard))
    if grow is not None:
        store.grow(study)
    _finish(study, loaded, store, quiet, executor)
    return folder


def dry_run(study: Study, quiet: bool = False) -> str:
    """What a study would take, as text: cells, batches, memory, disk, and time from some cells. Nothing is written."""
    from gdstudy.sweep.forecast import forecast
    from gdstudy.sweep.prepare import prepared

    return str(forecast(*prepared(study, quiet)))


def _begin(study: Study, run_dir: str | Path | None, name: str, shard: Shard | None) -> Store:
    """Begin a run in a new or empty folder, or leave nothing behind. A shard joins a run of the same study."""
    from gdstudy.sweep.generations import check_joins
    from gdstudy.sweep.store import Store

    if run_dir is None:
        stamp = time.strftime("%Y%m%d-%H%M%S") + (f"-{shard.k}-of-{shard.n}" if shard else "")
        folder, again = Path("runs") / name / stamp, 1
        while folder.exists():
            folder, again = Path("runs") / name / f"{stamp}-{again}", again + 1
    else:
        folder = Path(run_dir)
    _check_path(folder)
    if folder.exists() and not folder.is_dir():
        raise StudyError(f"--run_dir {folder} is a file; name a new folder")
    if shard is not None and (folder / BATCHES).is_dir():
        check_folder(folder)
        check_joins(folder, study)
    elif folder.exists() and not is_unused(folder):
        if is_old(folder):
            raise StudyError(f"--run_dir {folder} holds a run of gdstudy 0.1; name a new folder")
        hint = f"; finish it with --resume {folder}" if (folder / BATCHES).is_dir() else ""
        raise StudyError(f"--run_dir {folder} is not empty{hint}, or name a new folder")
    made = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Store(folder, study, provenance(study, __version__), shard)
    except OSError as error:
        with suppress(OSError):
            for path in made:
                path.rmdir()
        raise StudyError(f"cannot write the run folder {folder}: {error}; name another with --run_dir") from None


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
    study: Study, datasets: dict[Variety, Dataset], store: Store, quiet: bool, executor: Executor | None = None
) -> None:
    """Everything after the run has begun: train, export, draw, report (unless other shards run); then let it go."""
    from gdstudy.showing import said_of_shard, show
    from gdstudy.sweep.run import run_missing

    try:
        run_missing(study, datasets, store, quiet, executor)
        if (shard := store.shard) is not None:
            stored, of = store.take_over()
            if not quiet:
                say(said_of_shard(shard, stored, of, store))
            if store.shard is not None:
                return
        try:
            show(store, quiet)
        except OSError as error:
            why = f"{store.run_dir}: {one_line(error)}; all that was trained is kept"
            raise StudyError(f"{why}: make room or allow writing there, then --resume {store.run_dir}") from None
    except KeyboardInterrupt:
        resume = f"python -m gdstudy.train --resume {store.run_dir}"
        raise KeyboardInterrupt(f"interrupted; finished batches are kept. Go on with: {resume}") from None
    finally:
        store.close()


def _how(parser: StudyParser, arguments: Sequence[str]) -> dict[str, Any]:
    """The keys that may be given beside --resume or --extend. StudyError for others: what a run is, it says itself."""
    options, changes = parser.read(arguments)
    allowed = HOW if options.extend is None else (*HOW, *GROWS)
    others = [f"--{key}" for key in changes if key.partition(".")[0] not in allowed]
    if options.extend is not None:
        others += [f"--{name}" for name in ("resume", "shard") if getattr(options, name) is not None]
    others += [f"--{name}" for name in ("config", "run_dir") if getattr(options, name) is not None]
    others += [f"--{name}" for name in ("print_config", "dry_run") if getattr(options, name)]
    if others:
        kept = ", ".join(f"{key}.*" if key in GROUPS else key for key in allowed)
        command, beside = ("--resume", "--shard, --quiet") if options.extend is None else ("--extend", "--quiet")
        raise StudyError(f"{command} takes {beside} and {kept} beside it; leave out {' '.join(others)}")
    return changes


def run_name(config: str | Path) -> str:
    """What the runs of a config file are filed under: its name without `.yaml`."""
    name = Path(config).stem
    if not name.strip("."):
        raise StudyError(f"config {shown(str(config))} has no name to file its runs under; call it something.yaml")
    return name


def _parser() -> StudyParser:
    parser = StudyParser(PROG, "Train by gradient descent from zero, beside the closed form X⁺y, for every N.")
    told = "A new or empty folder; default runs/<config>/<YYYYmmdd-HHMMSS>."
    parser.add_argument("--run_dir", metavar="DIR", help=told)
    parser.add_argument("--resume", metavar="RUN_DIR", help="Finish what is missing of a run.")
    told = "Add seeds or sizes to a run: --seeds, --n_train, --n_parameters, --n_hidden, each with what it has."
    parser.add_argument("--extend", metavar="RUN_DIR", help=told)
    told = "Only every N-th batch, beginning with the K-th; several shards may share a --run_dir. See gdstudy merge."
    parser.add_argument("--shard", metavar="K/N", help=told)
    parser.add_argument("--quiet", action="store_true", help="Say nothing but errors.")
    parser.add_argument("--print_config", action="store_true", help="Print the whole resolved study and stop.")
    told = "Print cells, batches, memory, disk and time that it would take, and stop."
    parser.add_argument("--dry_run", action="store_true", help=told)
    parser.add_argument("--version", action="version", version=f"gdstudy {__version__}")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can put right (one line on stderr), 1 batches that kill their workers,
    130 interrupted."""
    prepare()
    arguments = sys.argv[1:] if argv is None else argv
    parser = _parser()
    try:
        options, study = parser.study(arguments)
        if options.extend is not None:
            given = _how(parser, arguments)
            grow = {key: given.pop(key) for key in GROWS if key in given}
            resume_study(options.extend, options.quiet, how=given, grow=grow)
        elif options.resume is not None:
            resume_study(options.resume, options.quiet, how=_how(parser, arguments), shard=options.shard)
        elif study is None:
            raise StudyError("--config is missing: name a study, such as --config linear.yaml, or a run to --resume")
        elif options.print_config:
            say(as_yaml(study), end="")
        elif options.dry_run:
            say(dry_run(study, options.quiet))
        else:
            run_study(study, options.run_dir, options.quiet, run_name(options.config), shard=options.shard)
    except KeyboardInterrupt as interrupt:
        tell(f"{PROG}: {interrupt.args[0] if interrupt.args else 'interrupted'}")
        return 130
    except MemoryError as error:
        tell(f"{PROG}: not enough memory ({one_line(error)}); lower batch_cells or the sizes")
        return 2
    except Unfinished as error:
        tell(f"{PROG}: {one_line(error)}")
        return 1
    except (StudyError, OSError) as error:
        tell(f"{PROG}: {one_line(error)}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
