"""What a user can put right, and how it is said."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class StudyError(Exception):
    """What a user can put right: one line that says what, where and what to do."""


class Unfinished(Exception):
    """Some batches could not be computed, and all others are kept: one line that names them. Exit status 1."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """` (did you mean …?)` where a known name is close, in capitals or not."""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), names, n=1)
    return f" (did you mean {names[close[0]]}?)" if close else ""


def shown(value: Any) -> str:
    """A value in a message, as it was written and not too long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}…"


def listed(names: Iterable[str]) -> str:
    return ", ".join(names)
