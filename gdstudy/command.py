"""What every command does: signals end it in one line, and so does what the user or the machine is to put right."""

from __future__ import annotations

from collections.abc import Callable

from gdstudy.study.console import one_line, prepare, tell
from gdstudy.study.ending import Ended, lacks, signals_raise
from gdstudy.study.errors import StudyError, Unfinished


def run_command(
    prog: str,
    command: Callable[[], object],
    less: str = "take less at once",
    errors: tuple[type[Exception], ...] = (),
    line: Callable[[object], str] = one_line,
) -> int:
    """The exit status of a command: 0; 1 where batches killed their workers; 2 after one line on stderr that says what
    to put right; that of its `Ended`.

    less: what needs less memory. errors: what else the user can put right. line: an error's text as it is said.
    """
    prepare()
    with signals_raise() as caught:
        try:
            command()
            return 0
        except BaseException as raised:
            error = caught[-1] if caught and not isinstance(raised, Ended) else raised
            if isinstance(error, KeyboardInterrupt):
                tell(f"{prog}: {one_line(error) or 'interrupted'}")
                return getattr(error, "status", 130)
            if isinstance(error, Unfinished):
                tell(f"{prog}: {one_line(error)}")
                return 1
            if isinstance(error, StudyError) or (isinstance(error, (OSError, *errors)) and not lacks(error)):
                tell(f"{prog}: {line(error)}")
            elif isinstance(error, Exception) and lacks(error):
                why = f" ({one_line(error)[:200]})" if str(error) else ""
                tell(f"{prog}: not enough memory{why}; allow more (ulimit -v), or {less}")
            else:
                raise
            return 2
