"""Compressed captures that are broken are damaged captures, whatever they are compressed with."""

from __future__ import annotations

import gzip
from random import Random

import pytest
from backports import zstd

from tracer.capture_file import CaptureReader, CaptureStream
from tracer.errors import InputError

HEAD = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")
CAPTURE = HEAD + Random(1).randbytes(1 << 19)
"""Longer than a block of either compression."""


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress])
def test_one_that_breaks_off_is_read_up_to_there(tmp_path, compress):
    path = tmp_path / "capture"
    path.write_bytes(compress(CAPTURE)[:-1])
    stream = CaptureStream(path)
    reader = CaptureReader(stream.bytes, stream.name)
    while reader.read() is not None:
        pass
    stream.close()
    assert reader.damaged


@pytest.mark.parametrize("head", [b"\x1f\x8b", b"\x28\xb5\x2f\xfd"])
def test_one_that_is_garbage_from_the_start_is_no_capture(tmp_path, head):
    path = tmp_path / "capture"
    path.write_bytes(head + b"\xff" * 64)
    stream = CaptureStream(path)
    assert stream.peek(4) == b""
    with pytest.raises(InputError, match="cannot read"):
        CaptureReader(stream.bytes, stream.name)
    stream.close()
