"""TensorBoard files that are appended to while a run goes on, and are completed at its end."""

from __future__ import annotations

import errno
import math
import os
import stat
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary

from gdstudy.views.events import EVENTS, Events, Write, write_new

Points = dict[str, list[tuple[int, float]]]  # tag → its steps and values, in their order


def append(path: Path, content: bytes) -> None:
    """Write at the end of a file. FileNotFoundError where it is not there, or is a link or has a second name."""
    if not is_own(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    number = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0))
    with open(number, "ab") as file:
        file.write(content)


def is_own(path: Path) -> bool:
    """A file is there that is nobody else's: no link, and without a second name somewhere else."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def scalars(events: Events) -> Points:
    """The scalars of some events."""
    found: Points = defaultdict(list)
    for event in events:
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found[value.tag].append((event.step, value.simple_value))
    return found


@dataclass
class Growing:
    """Event files that are appended to while a run goes on, one a folder. Each tag's steps only increase in its file.

    write, append: put the content of a new file in its place, and more at the end of one that is there.
    """

    write: Write = write_new
    append: Write = append
    _files: dict[Path, tuple[Path, Points]] = field(default_factory=dict)

    def add(self, folder: Path, events: Events) -> None:
        """More events. Files that an earlier process left in the folder are emptied first: a TensorBoard that reads one
        of them would wait for it for ever if it were gone. OSError where it cannot be written."""
        if folder in self._files:
            path, there = self._files.pop(folder)  # it may end in half a record from now on
            self.append(path, events.content)
        else:
            begun = Events()
            for old in folder.glob(f"{EVENTS}*"):
                if is_own(old):
                    os.truncate(old, 0)
                else:
                    old.unlink()
            path, there = folder / begun.name, {}
            self.write(path, begun.content + events.content)
        for tag, more in scalars(events).items():
            there.setdefault(tag, []).extend(more)
        self._files[folder] = path, there

    def tags(self, folder: Path) -> set[str]:
        """The tags that a folder's file has."""
        return set(self._files[folder][1]) if folder in self._files else set()

    def after(self, folder: Path, tag: str) -> float:
        """The last step of a tag that is written."""
        there = self._files[folder][1].get(tag) if folder in self._files else None
        return there[-1][0] if there else -math.inf

    def finish(self, folder: Path, events: Events) -> Path | None:
        """Have a folder's file hold these events, by adding what it lacks. The file; None where that does not do: it
        holds something else, or steps would not increase."""
        path, there = self._files.get(folder, (None, {}))
        if path is None or not is_own(path):
            return None
        whole = scalars(events)
        if any(whole.get(tag, [])[: len(known)] != known for tag, known in there.items()):
            return None
        rest, seen = Events(begins=False), dict.fromkeys(there, 0)
        for event in events:
            kept = [value for value in event.summary.value if not self._knows(there, seen, value)]
            if kept:
                rest.add_summary(Summary(value=kept), event.step)
        self.append(path, rest.content)
        return path

    @staticmethod
    def _knows(there: Points, seen: dict[str, int], value: Any) -> bool:
        """Whether the next value of a tag is written."""
        if value.tag not in there or not value.HasField("simple_value"):
            return False
        seen[value.tag] += 1
        return seen[value.tag] <= len(there[value.tag])
