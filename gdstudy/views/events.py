"""TensorBoard files: the events of one in memory, its content to be written whole; and files that grow.

torch's SummaryWriter writes from a thread: a full disk is then noticed late or never, and a killed run leaves half a
file under its name.
"""

from __future__ import annotations

import errno
import io
import itertools
import math
import os
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import summary

EVENTS = "events.out.tfevents."
Write = Callable[[Path, bytes], object]
_number = itertools.count()


def write_new(path: Path, content: bytes) -> None:
    """Write a file, and its folders where they are not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def append(path: Path, content: bytes) -> None:
    """Write at the end of a file. FileNotFoundError where it is not there."""
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    with path.open("ab") as file:
        file.write(content)


class Events:
    """The events of one file, added as to torch's SummaryWriter, or more of them. name, content: of the file.

    A file begins by saying that a session does: a TensorBoard without its data server that has read an earlier file of
    the same run forgets it then (with it, each point replaces those at its step and later ones).
    """

    def __init__(self, begins: bool = True) -> None:
        self.name = f"{EVENTS}{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_number):06d}"
        self._events: list[Any] = []
        if begins:
            self.add(Event(file_version="brain.Event:2"))
            self.add(Event(session_log=SessionLog(status=SessionLog.START)))

    @property
    def content(self) -> bytes:
        stream = io.BytesIO()
        records = RecordWriter(stream)
        for event in self._events:
            records.write(event.SerializeToString())
        return stream.getvalue()

    def __iter__(self) -> Iterator[Any]:
        """The events that hold values."""
        return (event for event in self._events if event.HasField("summary"))

    def add(self, event: Any) -> None:
        event.wall_time = time.time()
        self._events.append(event)

    def add_summary(self, values: Summary, step: int | None = None) -> None:
        self.add(Event(summary=values, step=step or 0))

    def add_text(self, name: str, text: str) -> None:
        self.add_summary(summary.text(name, text))

    def add_image(self, name: str, pixels: np.ndarray, dataformats: str) -> None:
        self.add_summary(summary.image(name, pixels, dataformats=dataformats))

    def add_hparams(self, hparams: dict[str, Any], metrics: dict[str, float]) -> None:
        for values in (*summary.hparams(hparams, metrics), *(summary.scalar(k, v) for k, v in metrics.items())):
            self.add_summary(values)


Points = dict[str, list[tuple[int, float]]]  # tag → its steps and values, in their order


def points(events: Events) -> Points:
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
                os.truncate(old, 0)
            path, there = folder / begun.name, {}
            self.write(path, begun.content + events.content)
        for tag, more in points(events).items():
            there.setdefault(tag, []).extend(more)
        self._files[folder] = path, there

    def after(self, folder: Path, tag: str) -> float:
        """The last step of a tag that is written."""
        there = self._files[folder][1].get(tag) if folder in self._files else None
        return there[-1][0] if there else -math.inf

    def finish(self, folder: Path, events: Events) -> Path | None:
        """Have a folder's file hold these events, by adding what it lacks. The file; None where that does not do: it
        holds something else, or steps would not increase."""
        path, there = self._files.get(folder, (None, {}))
        if path is None or not path.is_file():
            return None
        whole = points(events)
        if any(whole.get(tag, [])[: len(known)] != known for tag, known in there.items()):
            return None
        rest, seen = Events(begins=False), dict.fromkeys(there, 0)
        for event in events:
            kept = [value for value in event.summary.value if not self._knows(there, seen, value)]
            if kept:
                rest.add(Event(summary=Summary(value=kept), step=event.step))
        self.append(path, rest.content)
        return path

    @staticmethod
    def _knows(there: Points, seen: dict[str, int], value: Any) -> bool:
        """Whether the next value of a tag is written."""
        if value.tag not in there or not value.HasField("simple_value"):
            return False
        seen[value.tag] += 1
        return seen[value.tag] <= len(there[value.tag])
