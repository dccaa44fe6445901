"""Reading that begins before the rest of the program is loaded, in a process of its own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tracer.capture_file import CaptureStream
from tracer.capture_file.blocks import LOCAL
from tracer.pairing import Pairer
from tracer.sources.apart import Apart
from tracer.sources.capture import CaptureSource

LARGE_BYTES = 8 << 20
"""A process of its own costs as much as it takes to read so much."""
_HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Ahead:
    """A plain capture that is being read."""

    stream: CaptureStream
    """The other process reads it; here only its size and position are of use."""
    source: Apart


def read_ahead(path: Path) -> Ahead | None:
    """Begin to read a large capture; None where that is no gain, or it may be a recording.

    No other thread may run yet: the process is forked.
    """
    if len(os.sched_getaffinity(0)) < 2 or not path.is_file():
        return None
    if path.stat().st_size < LARGE_BYTES or path.with_name("events.npy").exists():
        return None
    stream = CaptureStream(path)
    if LOCAL.to_bytes(4, "little") in stream.peek(_HEAD_BYTES):
        stream.close()
        return None
    try:
        return Ahead(stream, Apart(CaptureSource([stream], keeps_bytes=False), Pairer()))
    except OSError:  # no further process, or no memory to share, is allowed here
        stream.close()
        return None
