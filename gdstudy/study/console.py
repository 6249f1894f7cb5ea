"""What reaches the terminal: text that any stream can show. A stream that is closed or has few letters stops no run."""

from __future__ import annotations

import codecs
import errno
import os
import shlex
import sys
import unicodedata
from contextlib import suppress
from typing import TextIO

from gdstudy.study.errors import StudyError

_ASCII = {
    **{"σ": "sigma", "η": "eta", "λ": "lambda", "κ": "kappa", "β": "beta", "φ": "phi", "Σ": "Sigma", "ε": "eps"},
    **{"⁺": "+", "²": "^2", "³": "^3", "ᵀ": "^T", "⁻": "^-", "¹": "1", "₁": "_1", "₀": "_0", "√": "sqrt", "∇": "grad "},
    **{"×": "x", "·": "*", "−": "-", "–": "-", "—": "-", "…": "...", "≤": "<=", "≥": ">=", "‖": "||", "→": "->"},
    **{"x̂": "x^", "½": "1/2", "∞": "inf", "±": "+-", "“": '"', "”": '"', "’": "'", "∘": "o"},
}
_GONE = (errno.EPIPE, errno.EIO, errno.EBADF)


def _fall_back(error: UnicodeError) -> tuple[str, int]:
    """A codec's error handler: symbols that a stream cannot encode, in ASCII."""
    assert isinstance(error, UnicodeEncodeError)
    lost = error.object[error.start : error.end]
    return "".join(_ASCII.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lost), error.end


def typed(path: object) -> str:
    """A path as a shell reads it."""
    return shlex.quote(str(path))


def prepare() -> None:
    """Streams that were closed lead nowhere, and those that know few symbols show others in ASCII."""
    codecs.register_error("gdstudy", _fall_back)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # On its own number: else the next file that is opened, a store perhaps, would get what is written to it.
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115
        elif number and hasattr(stream := getattr(sys, name), "reconfigure"):
            stream.reconfigure(errors="gdstudy")


def printable(text: str) -> str:
    """Text without what a terminal would act on: control and formatting characters become their codes."""
    return "".join(
        c if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp") else ascii(c)[1:-1] for c in text
    )


def one_line(text: object) -> str:
    return " ".join(str(text).split())


def say(text: str, end: str = "\n") -> None:
    """Print to standard output. Whoever read it may have gone: then quietly to nowhere.

    StudyError where it cannot be written, as on a full disk.
    """
    try:
        _write(sys.stdout, printable(text) + end)
    except OSError as error:
        raise StudyError(f"standard output cannot be written: {one_line(error)}") from None


def tell(text: str) -> None:
    """Print to standard error: progress, complaints. Where it cannot be written there is nobody left to tell."""
    with suppress(OSError):
        _write(sys.stderr, printable(text) + "\n")


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        if error.errno not in _GONE:
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # so that what is still buffered goes there too
        os.close(nowhere)
