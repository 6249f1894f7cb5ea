"""`python -m gdstudy.merge NEW_DIR RUN_DIR…`: one run of shards, or of runs with other seeds or sizes."""

from __future__ import annotations

from gdstudy.study.ending import exit_with, one_line_until_main

if __name__ == "__main__":
    one_line_until_main("gdstudy.merge")

from collections.abc import Sequence
from pathlib import Path

from gdstudy.command import run_command
from gdstudy.study.console import say, tell, typed
from gdstudy.study.options import Parser

PROG = "gdstudy.merge"


def merge_runs(new_dir: str | Path, run_dirs: Sequence[str | Path], quiet: bool = True) -> Path:
    """Make one run of several, which stay as they are, in a new folder, and draw its figures if nothing is missing.

    They are shards of one study, or runs of it that differ in n_train, n_parameters, n_hidden or seeds alone. Of a
    batch that several have, the first undamaged is taken. StudyError where they do not fit; then nothing is written.
    """
    from gdstudy.sweep.merging import merge

    folder = Path(new_dir)
    stored, missing = merge(folder, [Path(run_dir) for run_dir in run_dirs], tell)
    said = f"{folder} has {stored} batches of {len(run_dirs)} run{'s' * (len(run_dirs) > 1)}"
    if missing:
        if not quiet:
            say(f"{said} and lacks {missing}; compute them with: python -m gdstudy.train --resume {typed(folder)}")
        return folder
    from gdstudy.showing import show
    from gdstudy.study.version import __version__
    from gdstudy.sweep.machine import provenance
    from gdstudy.sweep.reading import load_study
    from gdstudy.sweep.store import Store

    if not quiet:
        say(said)
    study = load_study(folder)
    store = Store(folder, study, provenance(study, __version__))
    try:
        show(store, study.csv_rows, quiet)
    finally:
        store.close()
    return folder


def main(argv: list[str] | None = None) -> int:
    """Exit status: see `run_command`."""
    return run_command(PROG, lambda: _command(argv))


def parser() -> Parser:
    found = Parser(prog=PROG, description="Make one run of shards of a study, or of runs with other seeds or sizes.")
    found.add_argument("new_dir", type=Path, help="a new or empty folder")
    found.add_argument("run_dirs", type=Path, nargs="+", metavar="run_dir", help="folders of runs; they stay")
    found.add_argument("--quiet", action="store_true", help="Say nothing but errors.")
    return found


def _command(argv: list[str] | None) -> None:
    options = parser().parse_args(argv)
    merge_runs(options.new_dir, options.run_dirs, options.quiet)


if __name__ == "__main__":
    exit_with(main)
