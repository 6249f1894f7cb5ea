"""One TensorBoard file as it is made: its events in memory, and its content to be written whole.

torch's SummaryWriter writes from a thread: a full disk is then noticed late or never, and a killed run leaves half a
file under its name.
"""

from __future__ import annotations

import io
import itertools
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import summary

from gdstudy.views.cards import described, points, scalar
from gdstudy.views.summary import Curve

EVENTS = "events.out.tfevents."
Write = Callable[[Path, bytes], object]
_number = itertools.count()


def write_new(path: Path, content: bytes) -> None:
    """Write a file, and its folders where they are not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


class Events:
    """The events of one file, added as to torch's SummaryWriter, or more of them. name, content: of the file. said:
    what a card says of its tag; of scalars `cards` knows it.

    A file begins by saying that a session does: a TensorBoard without its data server that has read an earlier file of
    the same folder forgets it then. (With it, each point replaces those of its tag at the same and at later steps.)
    """

    def __init__(self, begins: bool = True) -> None:
        self.name = f"{EVENTS}{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_number):06d}"
        self.tags: set[str] = set()  # of scalars
        self._events: list[Any] = []
        if begins:
            self._add(Event(file_version="brain.Event:2"))
            self._add(Event(session_log=SessionLog(status=SessionLog.START)))

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

    def _add(self, event: Any) -> None:
        event.wall_time = time.time()
        self._events.append(event)

    def add_summary(self, values: Summary, step: int | None = None) -> None:
        self._add(Event(summary=values, step=step or 0))

    def add_curves(self, curves: Iterable[tuple[str, Curve]]) -> None:
        """Tags and their curves, in increasing step."""
        for step, values in points(curves, self.tags):
            self.add_summary(values, step)

    def add_text(self, name: str, text: str, said: str) -> None:
        values = summary.text(name, text)
        values.value[0].metadata.summary_description = said
        self.add_summary(values)

    def add_image(self, name: str, pixels: np.ndarray, said: str, step: int = 0) -> None:
        """pixels: (H, W, 3) uint8."""
        image = summary.image(name, pixels, dataformats="HWC")
        image.value[0].metadata.CopyFrom(described(said, "images", "DATA_CLASS_BLOB_SEQUENCE"))
        self.add_summary(image, step)

    def add_hparams(self, hparams: dict[str, Any], metrics: dict[str, float], domains: dict[str, list[str]]) -> None:
        for values in summary.hparams(hparams, metrics, domains):
            self.add_summary(values)
        self.add_summary(Summary(value=[scalar(tag, number, self.tags) for tag, number in metrics.items()]))

    def add_layout(self, charts: dict[str, dict[str, list[Any]]]) -> None:
        """What Custom Scalars shows: category → title → ["Margin", [tag, low, high]] or ["Multiline", patterns]."""
        self.add_summary(summary.custom_scalars(charts))
