"""How a command ends before its time: by a signal, a deadline, or for want of memory. Imports no large library."""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

from gdstudy.study.errors import StudyError, shown

# What ends a command, in order to go on later, and its exit status then.
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}
if hasattr(signal, "SIGHUP"):  # Windows has none
    SIGNALS[signal.SIGHUP] = 129
STOPPED = 75  # EX_TEMPFAIL: try again
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
# How libraries say that they get no memory or no thread, whatever the exception.
_SHORT = re.compile(
    r"can't start new thread|can(no|')t allocate|unable to allocate|failed to map segment|out of memory|bad_alloc|"
    r"malloc of size|not enough memory|Resource temporarily unavailable",
    re.IGNORECASE,
)


class Ended(KeyboardInterrupt):
    """A signal asked a command to end. As Ctrl-C it passes through `except Exception`. status: the command's."""

    def __init__(self, said: str = "interrupted", status: int = SIGNALS[signal.SIGINT]) -> None:
        super().__init__(said)
        self.status = status


class Stopped(Ended):
    """The time of `--stop_after` has passed."""


@dataclass(frozen=True)
class Deadline:
    """A time from now after which a command stops; by a clock that nobody sets. seconds: None for never."""

    seconds: float | None = None
    said: str = ""
    began: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, text: str | None) -> Deadline:
        """`25m`, `90s`, `2h`, `1d`, or seconds. StudyError for what is none of these."""
        if text is None:
            return cls()
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)", text.strip())
        if match is None:
            raise StudyError(f"stop_after: {shown(text)} is no time; write one such as 25m, 90s or 2h")
        return cls(float(match[1]) * _UNITS[match[2]], text.strip() + ("" if match[2] else "s"))

    @property
    def passed(self) -> bool:
        return self.seconds is not None and time.monotonic() - self.began >= self.seconds

    def check(self) -> None:
        """Stopped where it has passed."""
        if self.passed:
            raise Stopped(f"stopped after {self.said}", STOPPED)


NEVER = Deadline()


def lacks(error: BaseException) -> bool:
    """Whether an exception says that the system gave no memory or no thread."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, MemoryError) or _SHORT.search(str(found)):
            return True
        found = found.__cause__ or found.__context__
    return False


@contextmanager
def signals_raise() -> Iterator[list[Ended]]:
    """While this is open the first of SIGNALS raises `Ended`, and a second one ends the process at once.

    Yields the list in which it is kept: what code that it met makes of it, an ImportError perhaps, is still its end.
    For commands, in the main thread; elsewhere nothing is changed. Signals that are ignored (nohup) stay so.
    """
    caught: list[Ended] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def once(number: int, frame: Any) -> None:
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        ctrl_c = number == signal.SIGINT
        caught.append(Ended("interrupted" if ctrl_c else f"ended by {signal.Signals(number).name}", _status(number)))
        raise caught[-1]

    def again(unraisable: Any) -> None:
        """Raised where Python cannot pass it on, as in a destructor: once more, a little later."""
        if not isinstance(unraisable.exc_value, Ended):
            return hook(unraisable)
        number = next(n for n in before if _status(n) == unraisable.exc_value.status)
        signal.signal(number, once)
        timer = threading.Timer(0.02, os.kill, (os.getpid(), number))
        timer.daemon = True
        timer.start()

    before = {n: h for n in SIGNALS if (h := signal.getsignal(n)) not in (signal.SIG_IGN, None)}
    hook, sys.unraisablehook = sys.unraisablehook, again
    try:
        for number in before:
            signal.signal(number, once)
        yield caught
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def _status(number: int) -> int:
    return SIGNALS[signal.Signals(number)]


def one_line_until_main(prog: str) -> None:
    """What a module that runs as a command calls before its imports: a signal while they last is one line, too.

    Python looks for garbage seldom from then on: among the million objects that imports make, and none of which goes,
    the search took a seventh of a short run.
    """
    gc.set_threshold(50_000)

    def end(number: int, frame: Any) -> None:
        os.write(2, f"{prog}: interrupted\n".encode())
        os._exit(_status(number))

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


def exit_with(main: Callable[[], int]) -> NoReturn:
    """End the process with the status of a command. A signal while the interpreter is taken down ends it at once.

    A command that was cut off leaves libraries in the middle of something, where taking them down may abort: they are
    left as they are. Nor is garbage searched for once more before the memory goes as a whole: that took a second.
    """
    status = main()
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if status in (*SIGNALS.values(), STOPPED):
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(status)
    if "triton" not in sys.modules:  # which torch.optim imports where it is, and which complains of what is left
        gc.freeze()
    sys.exit(status)
