"""How the tables of facts name the code behind an entry, which may need torch and is imported on first use only."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

# "module:name", or the object itself, as an entry added from outside the package may give it.
Code = str | Callable[..., Any]


@cache
def code(entry: Code) -> Any:
    """The object that an entry of a table names."""
    if not isinstance(entry, str):
        return entry
    module, _, name = entry.partition(":")
    return getattr(import_module(module), name)
