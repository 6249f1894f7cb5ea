"""`python -m gdstudy.runs [DIR]`: the runs below a folder, how far each is, and what it found at N = P."""

from __future__ import annotations

from gdstudy.study.ending import exit_with, one_line_until_main

if __name__ == "__main__":
    one_line_until_main("gdstudy.runs")

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from gdstudy.command import run_command
from gdstudy.study.console import one_line, say
from gdstudy.study.errors import StudyError
from gdstudy.study.options import Parser

if TYPE_CHECKING:
    from gdstudy.sweep.listing import Listed

PROG = "gdstudy.runs"
_DATASETS, _SIZES = 3, 5  # so many are named
_SEEN = ("dataset", "preprocess", "input_noise", "model", "n_parameters")


def main(argv: list[str] | None = None) -> int:
    """Exit status: see `run_command`."""
    return run_command(PROG, lambda: _command(argv))


def parser() -> Parser:
    found = Parser(prog=PROG, description="List runs: status, study, what they found at N = P, size on the disk.")
    found.add_argument("folder", type=Path, nargs="?", default=Path("runs"), help="where to look (default: runs)")
    return found


def _command(argv: list[str] | None) -> None:
    folder = parser().parse_args(argv).folder
    if not folder.is_dir():
        raise StudyError(f"there is no folder {folder}; name the one that runs are in")
    from gdstudy.sweep.listing import listed

    none = True
    for run in listed(folder):
        say("\n".join(_lines(run)))
        none = False
    if none:
        say(f"no run is in {folder}; begin one with: gdstudy train linear.yaml")


def _lines(run: Listed) -> list[str]:
    """A run in some lines: where, and how far; what; what it found."""
    from gdstudy.study.values import in_bytes

    folder = str(run.folder).replace("\n", "\\n")  # a name is no line of its own
    if run.study is None:
        return [f"{folder}  {in_bytes(run.size)}, cannot be read: {one_line(run.error)}"]
    study, status = run.study, _status(run, shlex.quote(folder))
    names = ", ".join(study.names[:_DATASETS]) + (", …" if len(study.names) > _DATASETS else "")
    sizes = f"N = {min(study.n_train)} … {max(study.n_train)}, {len(study.seeds)} seeds"
    lines = [f"{folder}  {in_bytes(run.size)}, {status}", f"    {names} × {', '.join(study.models)}, {sizes}"]
    return lines + [f"    {one_line(line)}" for line in _found(run.folder, next(iter(study.trained), ""))]


def _status(run: Listed, folder: str) -> str:
    """How far a run is, and how to go on. folder: as a shell reads it."""
    share = f"{run.stored} of {run.batches} batches"
    if run.writer is not None:
        return f"{share}, being written by {one_line(run.writer)}"
    if run.complete:
        from gdstudy.sweep.folder import SUMMARY

        shown = (run.folder / SUMMARY).is_file()
        return "finished" if shown else f"computed, not shown yet; go on with: gdstudy resume {folder}"
    stopped = [shard for shard, done in run.shards.items() if not done]
    if run.shards and not stopped:
        shards = ("shard " if len(run.shards) == 1 else "shards ") + ", ".join(map(str, run.shards))
        return f"{shards} finished, {share}; make one run of all: gdstudy merge NEW_DIR {folder} OTHER_DIR…"
    options = f" --shard {stopped[0]}" if stopped else ""
    return f"stopped at {share}; go on with: gdstudy resume {folder}{options}"


def _found(folder: Path, training: str) -> list[str]:
    """Median test errors of X⁺y and of the main training at N = P, of each data set and model, from summary.csv."""
    from gdstudy.sweep.listing import summary_rows

    errors: dict[tuple[str, ...], dict[str, str]] = {}
    for row in summary_rows(folder):
        name, same = row.get("estimator", ""), row.get("n_train") == row.get("n_parameters")
        if same and row.get("ablation") == "none" and name in ("min_norm", training):
            found = errors.setdefault(tuple(row.get(key, "") for key in _SEEN), {})
            found.setdefault(name, row.get("test_mse_median", ""))
    said = [_said(seen, found, training) for seen, found in errors.items() if "min_norm" in found]
    return said[:_SIZES] + (["…"] if len(said) > _SIZES else [])


def _said(seen: tuple[str, ...], found: dict[str, str], training: str) -> str:
    from gdstudy.views.summary import seen_as

    dataset, preprocess, noise, model, P = seen
    name = seen_as(dataset, preprocess, _number(noise))
    trained = f", {training} {_number(found[training]):.4g}" if training in found else ""
    return f"{name}, {model}: median test MSE at N = P = {P}: X⁺y {_number(found['min_norm']):.4g}{trained}"


def _number(text: str) -> float:
    """NaN for what is none: a summary may be anybody's."""
    try:
        return float(text)
    except ValueError:
        return math.nan


if __name__ == "__main__":
    exit_with(main)
