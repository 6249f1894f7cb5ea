"""How TensorBoard's files frame their events: TFRecord, each with its length and a checksum of both.

A record: uint64 length, uint32 checksum of it, the content, uint32 checksum of it; little-endian. The checksum is
CRC-32C (Castagnoli), masked. TensorBoard's own writer goes through every byte in Python.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import cache

import numpy as np

_POLYNOMIAL, _MASK = 0x82F63B78, 0xA282EAD8
_BLOCK = 1024  # bytes at once
_SHORT = 64  # bytes that are sooner done one by one


def framed(contents: Iterable[bytes]) -> bytes:
    """The records of these contents, one after the other."""
    found = []
    for content in contents:
        length = struct.pack("<Q", len(content))
        found += [length, _masked(length), content, _masked(content)]
    return b"".join(found)


def _masked(content: bytes) -> bytes:
    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF)


def crc32c(content: bytes) -> int:
    """CRC-32C. A checksum is linear: that of a block is the sum (XOR) of what each of its bytes gives at its place."""
    if len(content) < _SHORT:
        crc, table = 0xFFFFFFFF, _of_a_byte()
        for byte in content:
            crc = table[(crc ^ byte) & 255] ^ crc >> 8
        return crc ^ 0xFFFFFFFF
    before = -len(content) % _BLOCK  # zeros in front change nothing
    padded = np.frombuffer(bytes(before) + content, np.uint8).copy()
    padded[before : before + 4] ^= 255  # what it begins from
    places = _at_places()
    sums = np.bitwise_xor.reduce(places[np.arange(_BLOCK), padded.reshape(-1, _BLOCK)], axis=1)
    crc = 0
    for block in sums.tolist():
        # What came before stands in the first four bytes of a block.
        carried = (int(places[place, crc >> 8 * place & 255]) for place in range(4))
        for part in carried:
            block ^= part
        crc = block
    return crc ^ 0xFFFFFFFF


@cache
def _of_a_byte() -> list[int]:
    return [int(crc) for crc in _at_places()[-1]]


@cache
def _at_places() -> np.ndarray:
    """(_BLOCK, 256) what a byte gives at its place in a block."""
    crc = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        crc = np.where(crc & 1, crc >> 1 ^ np.uint32(_POLYNOMIAL), crc >> 1)
    places = np.empty((_BLOCK, 256), np.uint32)
    places[-1] = crc
    for place in range(_BLOCK - 2, -1, -1):  # one more zero behind it
        places[place] = places[-1][places[place + 1] & 255] ^ places[place + 1] >> 8
    return places
