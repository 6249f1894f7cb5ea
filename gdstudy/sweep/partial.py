"""A batch that is under way, as one file: what a killed run goes on from. No part of the store: it may be lost."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from gdstudy.study.config import Study
from gdstudy.study.console import one_line
from gdstudy.study.values import in_bytes
from gdstudy.sweep.folder import check_file, write_whole

# Number of the layout: MAGIC, the SHA-256 of all that follows, the length of a JSON text, the text, arrays end to end.
SCHEMA = "1"
_MAGIC, _SEAL, _LENGTH = b"gdstudy partial batch\n", 32, 8
# Kinds of NumPy's types: truths, whole and real numbers, texts.
_KINDS = "biufU"
# Saving takes at most this share of the time.
_SHARE = 0.01

Made = TypeVar("Made")


def partial_path(batches: Path, number: int) -> Path:
    return batches / f"{number:06d}.partial"


class Partial:
    """The file of one batch, which is written whole again and again: a `Keeper` of `experiment`.

    saved: what it held when the batch began; None where it is missing or cannot be used, which is said in one line.
    """

    def __init__(self, path: Path, facts: Mapping[str, str], study: Study, note: Callable[[str], None]) -> None:
        """facts: what it has to agree with, as texts. note: takes lines for the user."""
        self._path, self._facts, self._note = path, {"schema": SCHEMA, **facts}, note
        self._device, self._largest = study.device, study.memory.value
        self._every = 60 * study.save_every
        self.saved = self._read()
        self._next = time.monotonic() + self._every

    def through(self, compute: Callable[[Partial], Made]) -> Made:
        """What is computed from what was saved or, where that does not fit its batch, anew."""
        try:
            return compute(self)
        except (LookupError, TypeError, AttributeError, ValueError, RuntimeError) as error:
            if self.saved is None:
                raise
            self._note(f"{self._path}: does not fit its batch ({one_line(error)[:200]}); this batch begins anew")
            self.saved = None
            return compute(self)

    def due(self) -> bool:
        return time.monotonic() >= self._next

    def save(self, tree: dict[str, Any]) -> None:
        """Where it cannot be written, what was saved before stays."""
        began = time.monotonic()
        try:
            write_whole(self._path, encoded(tree, self._facts), flush=True)
        except OSError as error:
            self._note(f"{self._path}: {one_line(error)}; the batch under way goes on, and is not saved")
        now = time.monotonic()
        self._next = now + max(self._every, (now - began) / _SHARE if self._every else 0)

    def _read(self) -> dict[str, Any] | None:
        check_file(self._path)
        try:
            size = self._path.stat().st_size
            if size > self._largest:
                raise ValueError(f"{in_bytes(size)} are more than a batch takes")
            return decoded(self._path.read_bytes(), self._facts, self._device)
        except FileNotFoundError:
            return None
        except (ValueError, OSError) as error:
            self._note(f"{self._path}: {one_line(error)[:200]}; this batch begins anew")
            return None


def encoded(tree: dict[str, Any], facts: Mapping[str, str]) -> bytes:
    """Mappings and lists of tensors, arrays, texts and numbers as the content of a file."""
    arrays: list[np.ndarray] = []
    text = json.dumps({"facts": dict(facts), "tree": _plain(tree, arrays)}).encode()
    rest = b"".join([len(text).to_bytes(_LENGTH, "little"), text, *(array.tobytes() for array in arrays)])
    return _MAGIC + hashlib.sha256(rest).digest() + rest


def _plain(node: Any, arrays: list[np.ndarray]) -> Any:
    """A tree as JSON has it, {"map": …} or {"array": …} for what that does not tell apart; its arrays are put aside."""
    if isinstance(node, Mapping):
        return {"map": {name: _plain(value, arrays) for name, value in node.items()}}
    if isinstance(node, list | tuple):
        return [_plain(value, arrays) for value in node]
    if not isinstance(node, Tensor | np.ndarray | np.generic):
        return node
    if isinstance(node, Tensor):
        kind, array = node.device.type, node.numpy(force=True)
    else:
        kind, array = "scalar" if isinstance(node, np.generic) else "array", np.asarray(node)
    if array.dtype.kind not in _KINDS:
        raise TypeError(f"an array of {array.dtype} is no part of a batch")
    # In the order in which its numbers lie in memory, on which the digits of sums may depend.
    axes = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    arrays.append(array.transpose(axes))
    return {"array": [kind, array.dtype.str, array.shape, axes]}


def decoded(content: bytes, facts: Mapping[str, str], device: str) -> dict[str, Any]:
    """The tree of a file; tensors that were not on the CPU are put on the device.

    ValueError where it is not as it was written, or not of these facts.
    """
    head = len(_MAGIC) + _SEAL
    if content[: len(_MAGIC)] != _MAGIC or hashlib.sha256(content[head:]).digest() != content[len(_MAGIC) : head]:
        raise ValueError("damaged (its checksum is another)")
    first = head + _LENGTH
    length = int.from_bytes(content[head:first], "little")
    try:
        said = json.loads(content[first : first + length])
        for name, value in facts.items():
            if said["facts"].get(name) != value:
                raise ValueError(f"is of another {name}")
        arrays = _Arrays(content, first + length, device)
        tree = arrays.tree(said["tree"])
    except (LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"damaged ({one_line(error)})") from None
    if arrays.at != len(content) or not isinstance(tree, dict):
        raise ValueError("damaged (its length is another)")
    return tree


class _Arrays:
    """Arrays that lie end to end, from `at` on."""

    def __init__(self, content: bytes, at: int, device: str) -> None:
        self.content, self.at, self.device = content, at, device

    def tree(self, node: Any) -> Any:
        """What was made plain, as it was."""
        if isinstance(node, list):
            return [self.tree(value) for value in node]
        if not isinstance(node, dict):
            return node
        if "map" in node:
            return {name: self.tree(value) for name, value in node["map"].items()}
        return self._array(*node["array"])

    def _array(self, kind: str, dtype: str, shape: list[int], axes: list[int]) -> Any:
        of, sizes = np.dtype(dtype), [int(shape[axis]) for axis in axes]
        end = self.at + math.prod(sizes) * of.itemsize
        if of.kind not in _KINDS or not of.itemsize or min(sizes, default=0) < 0 or end > len(self.content):
            raise ValueError("damaged (an array is none)")
        flat = np.frombuffer(self.content, of, math.prod(sizes), self.at).copy()
        self.at = end
        array = flat.reshape(sizes).transpose(np.argsort(axes).tolist())
        if kind == "scalar":
            return array[()]
        return array if kind == "array" else torch.from_numpy(array).to("cpu" if kind == "cpu" else self.device)
