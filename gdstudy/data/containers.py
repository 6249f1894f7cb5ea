"""Files of arrays: .npy, .npz, .pt, .safetensors → X and y as arrays. No pickle is ever read."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterable
from typing import Any

import numpy as np

from gdstudy.data.guards import check_size, check_zip, explained
from gdstudy.study.errors import StudyError, listed, shown, suggestion
from gdstudy.study.sources import File

X_NAMES = ("X", "x", "features", "embeddings", "data", "inputs")
Y_NAMES = ("y", "Y", "target", "targets", "label", "labels")
Arrays = tuple[np.ndarray, np.ndarray | None]  # X and, where the file has it beside X, y


def chosen(where: str, names: Iterable[str], keys: File) -> tuple[str, str | None]:
    """Which arrays of a file are X and y; None where y is a column of X, or not there."""
    names = list(names)
    if not names:
        raise StudyError(f"{where}: holds no array")
    (target,) = keys.target if len(keys.target) == 1 else ("",)
    of_y = [target] if target in names else [name for name in Y_NAMES if name in names and not keys.target]
    of_x = [keys.key] if keys.key else [name for name in X_NAMES if name in names]
    if not of_x:  # the only one that is left
        of_x = [name for name in names if name not in of_y] if len(names) <= 1 + len(of_y) else []
    if keys.key and keys.key not in names:
        raise StudyError(
            f"{where}: file.key={shown(keys.key)} is none of its arrays{suggestion(keys.key, names)}; it has "
            f"{listed(names[:20])}"
        )
    if len(of_x) != 1 or len(of_y) > 1:
        what = "x" if len(of_x) != 1 else "y"
        raise StudyError(
            f"{where}: which array is {what}? Name it in file.{'key' if what == 'x' else 'target'}; it has "
            f"{listed(names[:20])}"
        )
    return of_x[0], of_y[0] if of_y and of_y != of_x else None


def read_npy(where: str, content: bytes, keys: File) -> Arrays:
    """A file of one array."""
    return _npy(where, content), None


def read_npz(where: str, content: bytes, keys: File) -> Arrays:
    check_zip(where, content)
    with explained(where, "no .npz archive, or damaged"), zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
        x, y = chosen(where, members, keys)
        X = _npy(f"{where}, {x}", archive.read(members[x]))
        return X, None if y is None else _npy(f"{where}, {y}", archive.read(members[y]))


def _npy(where: str, content: bytes) -> np.ndarray:
    with explained(where, "no array as NumPy writes it, or cut off"):
        stream = io.BytesIO(content)
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read:
            raise StudyError(f"{where}: is an array of records; save one of plain numbers")
        shape, _, dtype = read[version](stream)
        if dtype.hasobject:
            raise StudyError(f"{where}: holds Python objects, as a pickle, which is never read; save plain numbers")
        if math.prod(shape) * dtype.itemsize != len(content) - stream.seek(0, io.SEEK_CUR):
            raise StudyError(f"{where}: is cut off, or says that it holds {shape} numbers and does not")
        return np.load(io.BytesIO(content), allow_pickle=False)


def read_torch(where: str, content: bytes, keys: File) -> Arrays:
    """A tensor, two (X and y), or a mapping of names to tensors, as torch.save writes them."""
    import torch

    if not content.startswith(b"PK"):
        raise StudyError(f"{where}: is no file of torch.save, or of its old format; save it again")
    check_zip(where, content)
    with explained(where, "holds more than tensors, or is damaged; only tensors are read, and no pickle"):
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if isinstance(found, list | tuple) and len(found) == 2:
        found = dict(zip(("X", "y"), found, strict=True))
    if not isinstance(found, dict):
        found = {"X": found}
    return _tensors(where, {str(name): value for name, value in found.items() if isinstance(value, torch.Tensor)}, keys)


def read_safetensors(where: str, content: bytes, keys: File) -> Arrays:
    from safetensors.torch import load

    with explained(where, "no .safetensors file, or damaged"):
        found = load(content)
    return _tensors(where, found, keys)


def _tensors(where: str, tensors: dict[str, Any], keys: File) -> Arrays:
    x, y = chosen(where, tensors, keys)
    X = _array(f"{where}, {x}", tensors[x])
    return X, None if y is None else _array(f"{where}, {y}", tensors[y])


def _array(where: str, tensor: Any) -> np.ndarray:
    import torch

    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise StudyError(f"{where}: is no plain tensor of numbers; save its .to_dense() or .dequantize()")
    if tensor.ndim <= 2:  # a tensor may say that it is larger than what is stored of it
        check_size(where, *(*tensor.shape, 1, 1)[:2])
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    with explained(where, "holds no real numbers"):
        return np.asarray(tensor.detach().resolve_conj().resolve_neg().numpy())


def as_table(where: str, array: np.ndarray) -> np.ndarray:
    """An array as a table (rows, columns) of numbers or texts. StudyError for one of more axes, or of other things."""
    if array.ndim not in (1, 2):
        axes = "×".join(map(str, array.shape)) or "no axes"
        raise StudyError(f"{where}: has shape {axes}; save it as rows × columns")
    if array.dtype.kind not in "biufU" or array.dtype.itemsize > 8 * (1 + 1000 * (array.dtype.kind == "U")):
        raise StudyError(f"{where}: holds {array.dtype}, neither real numbers nor texts")
    table = array[:, None] if array.ndim == 1 else array
    check_size(where, *table.shape)
    native = table.dtype.newbyteorder("=")
    return table.astype(np.float32 if native == np.float16 else native, copy=False)
