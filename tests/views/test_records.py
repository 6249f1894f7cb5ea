"""TensorBoard's records against TensorBoard's own code."""

import io

import numpy as np
import pytest
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import crc32c as theirs
from tensorboard.summary.writer.record_writer import RecordWriter

from gdstudy.views.records import crc32c, framed


def content(size):
    return np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()


def test_the_checksum_of_the_standard():
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720, as all of B.4
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43


@pytest.mark.parametrize("size", [0, 1, 8, 63, 64, 65, 1023, 1024, 1025, 2048, 5000])
def test_checksums_are_those_of_tensorboard_in_one_block_and_in_several(size):
    assert crc32c(content(size)) == theirs(content(size))
    assert crc32c(bytes(size)) == theirs(bytes(size))  # zeros count, too


@pytest.mark.parametrize("place", [0, 3, 1500, 2999])
def test_one_other_bit_makes_another_checksum(place):
    changed = bytearray(content(3000))
    changed[place] ^= 1
    assert crc32c(bytes(changed)) != crc32c(content(3000))


def test_records_are_to_the_byte_what_tensorboards_writer_writes():
    contents = [b"", b"brain.Event:2", content(4000)]
    stream = io.BytesIO()
    writer = RecordWriter(stream)
    for one in contents:
        writer.write(one)
    assert framed(contents) == stream.getvalue()
