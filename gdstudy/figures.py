"""`python -m gdstudy.figures RUN_DIR`: redraw a run's figures from its stored results."""

from __future__ import annotations

from gdstudy.study.ending import exit_with, one_line_until_main

if __name__ == "__main__":
    one_line_until_main("gdstudy.figures")

from pathlib import Path
from typing import TYPE_CHECKING

from gdstudy.command import run_command
from gdstudy.study.console import say, tell, typed
from gdstudy.study.errors import StudyError
from gdstudy.study.options import Parser

if TYPE_CHECKING:
    import numpy as np

    from gdstudy.experiment.tables import Run

PROG = "gdstudy.figures"


def loaded(run_dir: Path) -> Run:
    """The tables of a run. StudyError for a folder that is no run, or holds no finished batch."""
    from gdstudy.sweep.folder import check_folder
    from gdstudy.sweep.reading import load_run

    check_folder(run_dir)
    run = load_run(run_dir)
    if not len(run.results):
        raise StudyError(f"{run_dir} holds no finished batch yet; finish it with --resume {typed(run_dir)}")
    if run.unfinished:
        tell(f"{run_dir} is shown as far as it is, {run.unfinished}; go on with --resume {typed(run_dir)}")
    return run


def redraw(run_dir: Path, run: Run | None = None, quiet: bool = False) -> dict[str, np.ndarray]:
    """Draw every figure that a run has the data for into figures/*.png and *.pdf.

    run: its tables where they are loaded already. Returns name → (H, W, 3) uint8 pixels. StudyError for a folder that
    is no run, or holds no finished batch.
    """
    from gdstudy.sweep.folder import write_whole
    from gdstudy.sweep.reading import shown_whole
    from gdstudy.views.figures import draw_figures

    run = loaded(run_dir) if run is None else run
    folder = run_dir / "figures"
    folder.mkdir(exist_ok=True)
    images = {}
    with shown_whole(run_dir):
        for name, pixels, png, pdf in draw_figures(run, quiet):
            images[name] = pixels
            write_whole(folder / f"{name}.png", png)
            write_whole(folder / f"{name}.pdf", pdf)
    return images


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can put right (one line on stderr), 130, 143 or 129 interrupted."""
    return run_command(PROG, lambda: _command(argv))


def parser() -> Parser:
    found = Parser(prog=PROG, description="Redraw a run's figures from stored results.")
    found.add_argument("run_dir", type=Path, help="a run's folder, such as runs/linear/20260101-120000")
    return found


def _command(argv: list[str] | None) -> None:
    run_dir = parser().parse_args(argv).run_dir
    names = redraw(run_dir)
    say(f"{len(names)} figures (PNG and PDF) in {run_dir / 'figures'}")


if __name__ == "__main__":
    exit_with(main)
