"""`python -m gdstudy.report RUN_DIR [RUN_DIR]`: a run as one page, report.html, or two runs side by side."""

from __future__ import annotations

from gdstudy.study.ending import exit_with, one_line_until_main

if __name__ == "__main__":
    one_line_until_main("gdstudy.report")

import errno
from pathlib import Path

from gdstudy.command import run_command
from gdstudy.figures import loaded, redraw
from gdstudy.study.console import say, tell
from gdstudy.study.errors import StudyError
from gdstudy.study.options import Parser

PROG = "gdstudy.report"
_LARGEST = 1 << 22  # bytes of a figure
PAGE, COMPARISON = "report.html", "comparison.html"


def short_name(run_dir: Path) -> str:
    """What a run is called: `linear/20260101-120000`; what is no text in a path is a question mark."""
    return "/".join(run_dir.resolve().parts[-2:]).encode("utf-8", "replace").decode()


def drawn_figures(run_dir: Path) -> dict[str, bytes]:
    """Name → PNG of the figures of a run; none that is larger than any of ours."""
    from gdstudy.sweep.folder import check_file
    from gdstudy.views.figures import FIGURES

    found = {name: run_dir / "figures" / f"{name}.png" for name in FIGURES}
    for path in found.values():
        check_file(path)
    return {name: path.read_bytes() for name, path in found.items() if _is_drawn(path)}


def _is_drawn(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= _LARGEST


def write_report(run_dir: str | Path, output: str | Path | None = None) -> Path:
    """Make a run's page from its stored results, and draw its figures where there are none; returns its path.

    output: default report.html in the run's folder. StudyError for a folder that is no run, or holds no finished batch.
    """
    from gdstudy.sweep.folder import SUMMARY, write_output
    from gdstudy.sweep.reading import shown_whole
    from gdstudy.views.claims import decide
    from gdstudy.views.html import NUMBERS, run_page
    from gdstudy.views.quartiles import summarised

    folder = Path(run_dir)
    run = loaded(folder)
    drawn = drawn_figures(folder)
    # Else older ones, of fewer batches, would stand in it.
    if run.unfinished or not drawn or not (folder / SUMMARY).is_file():
        try:
            redraw(folder, run)
            drawn = drawn_figures(folder)
        except OSError as error:
            if not drawn or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            tell(f"{folder} cannot be written, so that its page has the figures that were drawn before")
    with shown_whole(folder):
        summary = summarised(run, NUMBERS)
        content = run_page(short_name(folder), run, summary, decide(run), drawn)
    path = folder / PAGE if output is None else Path(output)
    write_output(path, content)
    return path


def write_comparison(first: str | Path, second: str | Path, output: str | Path | None = None) -> Path:
    """Put two runs side by side in a page; returns its path, by default comparison.html in the first one's folder.

    StudyError for a folder that is no run, or holds no finished batch.
    """
    from gdstudy.sweep.folder import write_output
    from gdstudy.sweep.reading import shown_whole
    from gdstudy.views.html import comparison_page
    from gdstudy.views.html.comparison import Named

    folders = (Path(first), Path(second))
    runs = [Named(short_name(folder), loaded(folder)) for folder in folders]
    with shown_whole(folders[0]):
        content = comparison_page(*runs)
    path = folders[0] / COMPARISON if output is None else Path(output)
    write_output(path, content)
    return path


def main(argv: list[str] | None = None) -> int:
    """Exit status: see `run_command`."""
    return run_command(PROG, lambda: _command(argv))


def parser() -> Parser:
    told = "A run as one page that opens offline, report.html in its folder; or two runs side by side, comparison.html."
    found = Parser(prog=PROG, description=told)
    found.add_argument("run_dir", type=Path, help="a run's folder, such as runs/linear/20260101-120000")
    found.add_argument("other", type=Path, nargs="?", metavar="other_run_dir", help="another one, to compare with")
    found.add_argument("--output", type=Path, metavar="FILE", help="another place for the page")
    return found


def _command(argv: list[str] | None) -> None:
    given = parser().parse_args(argv)
    if given.output is not None and given.output.is_dir():
        raise StudyError(f"--output {given.output} is a folder; name a file in it, such as {given.output / PAGE}")
    if given.other is None:
        say(f"{write_report(given.run_dir, given.output)}")
    else:
        say(f"{write_comparison(given.run_dir, given.other, given.output)}")


if __name__ == "__main__":
    exit_with(main)
