"""`python -m gdstudy.train`: a study from its YAML file to stored results, figures and TensorBoard."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdstudy import __version__
from gdstudy.closing import close_run
from gdstudy.study.config import Study
from gdstudy.study.console import one_line, prepare, say, tell
from gdstudy.study.errors import StudyError, shown
from gdstudy.study.optimizers import OPTIMIZERS
from gdstudy.study.parser import StudyParser, as_dict, as_yaml, find_config, read_study, read_yaml, study_of
from gdstudy.study.sources import check_name
from gdstudy.study.values import convert
from gdstudy.sweep.folder import BATCHES, CONFIG, check_folder, is_old, is_unused
from gdstudy.sweep.machine import provenance

if TYPE_CHECKING:
    from gdstudy.data.dataset import Dataset
    from gdstudy.sweep.run import Variety
    from gdstudy.sweep.store import Store

PROG = "gdstudy.train"


def run_study(
    config: str | Path | Study | Mapping[str, Any] | None = None,
    run_dir: str | Path | None = None,
    quiet: bool = True,
    name: str = "study",
    datasets: Iterable[Dataset] = (),
) -> Path:
    """Run a study, a YAML file, a Study or a mapping of keys, to the end; returns its run folder.

    run_dir: a new or empty folder; default runs/<config>/<YYYYmmdd-HHMMSS>. datasets: more data sets, from Python; a
    config that names none, in a file or a mapping, has these alone. StudyError says what to put right.
    """
    given = _given(datasets)
    if isinstance(config, str | Path):
        name = run_name(config)
    study = _with(given, config) if given or config is None or isinstance(config, Mapping) else _checked(config)
    study, loaded = _prepare(study, quiet, given)  # before anything is written
    store = _begin(study, run_dir, name)
    _finish(study, loaded, store, quiet)
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


def resume_study(run_dir: str | Path, quiet: bool = True, datasets: Iterable[Dataset] = ()) -> Path:
    """Finish what is missing of a run. datasets: those of its data sets that came from Python, the same as then.

    StudyError for a folder that is no run, whose config.yaml was changed, or whose own data are not the same now.
    """
    folder = Path(run_dir)
    if not is_old(folder) and not ((folder / CONFIG).is_file() and (folder / BATCHES).is_dir()):
        raise StudyError(f"--resume {run_dir}: no run is there ({CONFIG} and {BATCHES}/); give a run's folder")
    _check_path(folder)
    check_folder(folder)
    study = read_study(folder / CONFIG)
    from gdstudy.sweep.store import Store

    study, loaded = _prepare(study, quiet, _given(datasets))
    _finish(study, loaded, Store(folder, study, provenance(study, __version__)), quiet)
    return folder


def dry_run(study: Study, quiet: bool = False) -> str:
    """What a study would take, as text: cells, batches, memory, disk, and time from some cells. Nothing is written."""
    from gdstudy.sweep.forecast import forecast

    return str(forecast(*_prepare(study, quiet)))


def _prepare(study: Study, quiet: bool, given: Iterable[Dataset] = ()) -> tuple[Study, dict[Variety, Dataset]]:
    """A study that can be run here, with the fingerprints of its own data, and its data. StudyError otherwise."""
    from gdstudy.experiment.plan import check_memory
    from gdstudy.sweep.machine import available_memory
    from gdstudy.sweep.run import load_datasets, resolved

    _check_device(study)
    _check_optimizer(study)
    study, read = resolved(study, quiet, given)
    check_memory(study, available_memory() if study.device == "cpu" else None)
    return study, load_datasets(study, quiet, read)


def _check_device(study: Study) -> None:
    import torch

    if study.device != "cpu":
        index = int(study.device.partition(":")[2] or 0)
        if index >= torch.cuda.device_count():
            raise StudyError(f"device={study.device!r}: {torch.cuda.device_count()} CUDA devices are here; use cpu")


def _check_optimizer(study: Study) -> None:
    """Its options are known to torch alone, and a wrong one is to be said before anything is written."""
    import torch

    from gdstudy.training.optimizers import torch_optimizer

    for name, training in study.trained.items():
        group = "gd" if name == "gd" else f"trainings.{name}"
        if OPTIMIZERS[training.optimizer].plain:
            continue
        try:
            number = torch.zeros(1, requires_grad=True)
            number.grad = torch.zeros(1)
            torch_optimizer(training.optimizer, 1.0, training.optimizer_options)([number]).step()
        except (TypeError, ValueError, RuntimeError) as error:
            said = str(error) if "optimizer" in str(error) else f"optimizer_options: {error}"
            raise StudyError(f"{group}.{said}") from None


def _begin(study: Study, run_dir: str | Path | None, name: str) -> Store:
    """Begin a run in a new or empty folder, or leave nothing behind."""
    from gdstudy.sweep.store import Store

    if run_dir is None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        folder, again = Path("runs") / name / stamp, 1
        while folder.exists():
            folder, again = Path("runs") / name / f"{stamp}-{again}", again + 1
    else:
        folder = Path(run_dir)
    _check_path(folder)
    if folder.exists() and not folder.is_dir():
        raise StudyError(f"--run_dir {folder} is a file; name a new folder")
    if folder.exists() and not is_unused(folder):
        if is_old(folder):
            raise StudyError(f"--run_dir {folder} holds a run of gdstudy 0.1; name a new folder")
        hint = f"; finish it with --resume {folder}" if (folder / BATCHES).is_dir() else ""
        raise StudyError(f"--run_dir {folder} is not empty{hint}, or name a new folder")
    made = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Store(folder, study, provenance(study, __version__))
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


def _finish(study: Study, datasets: dict[Variety, Dataset], store: Store, quiet: bool) -> None:
    """Everything after the run has begun: train, export, draw, report; then let the run go."""
    from gdstudy.sweep.run import run_missing

    try:
        run_missing(study, datasets, store, quiet)
        try:
            close_run(store.run_dir, study.csv_rows, quiet)
        except OSError as error:
            why = f"{store.run_dir}: {one_line(error)}; all that was trained is kept"
            raise StudyError(f"{why}: make room or allow writing there, then --resume {store.run_dir}") from None
    except KeyboardInterrupt:
        resume = f"python -m gdstudy.train --resume {store.run_dir}"
        raise KeyboardInterrupt(f"interrupted; finished batches are kept. Go on with: {resume}") from None
    finally:
        store.close()


def run_name(config: str | Path) -> str:
    """What the runs of a config file are filed under: its name without `.yaml`."""
    name = Path(config).stem
    if not name.strip("."):
        raise StudyError(f"config {shown(str(config))} has no name to file its runs under; call it something.yaml")
    return name


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can put right (one line on stderr), 130 interrupted."""
    prepare()
    arguments = sys.argv[1:] if argv is None else argv
    parser = StudyParser(PROG, "Train by gradient descent from zero, beside the closed form X⁺y, for every N.")
    parser.add_argument(
        "--run_dir", metavar="DIR", help="A new or empty folder; default runs/<config>/<YYYYmmdd-HHMMSS>."
    )
    parser.add_argument("--resume", metavar="RUN_DIR", help="Finish what is missing of a run.")
    parser.add_argument("--quiet", action="store_true", help="Say nothing but errors.")
    parser.add_argument("--print_config", action="store_true", help="Print the whole resolved study and stop.")
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="Print cells, batches, memory, disk and time that it would take, and stop.",
    )
    parser.add_argument("--version", action="version", version=f"gdstudy {__version__}")
    try:
        options, study = parser.study(arguments)
        if options.resume is not None:
            others = [a for a in arguments if a.startswith("--") and a.split("=")[0] not in ("--resume", "--quiet")]
            if others:
                raise StudyError(f"--resume takes no other options; leave out {' '.join(others)}")
            resume_study(options.resume, options.quiet)
        elif study is None:
            raise StudyError("--config is missing: name a study, such as --config linear.yaml, or a run to --resume")
        elif options.print_config:
            say(as_yaml(study), end="")
        elif options.dry_run:
            say(dry_run(study, options.quiet))
        else:
            run_study(study, options.run_dir, options.quiet, run_name(options.config))
    except KeyboardInterrupt as interrupt:
        tell(f"{PROG}: {interrupt.args[0] if interrupt.args else 'interrupted'}")
        return 130
    except MemoryError as error:
        tell(f"{PROG}: not enough memory ({one_line(error)}); lower batch_cells or the sizes")
        return 2
    except (StudyError, OSError) as error:
        tell(f"{PROG}: {one_line(error)}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
