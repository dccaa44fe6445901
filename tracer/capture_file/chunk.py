"""What one step through a capture yields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.packets import Spans
from tracer.packets.ragged import Mask


@dataclass(frozen=True, slots=True)
class Note:
    """A block of a recording."""

    before: int
    """How many packets of the chunk come before it."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """Packets in file order; ``spans`` lie in the reader's buffer until its next ``read``."""

    spans: Spans
    times_ns: npt.NDArray[np.int64]
    interfaces: npt.NDArray[np.int64]
    """Index into the reader's ``interfaces``."""
    outgoing: Mask
    """Marked by the capturing program as sent, not received."""
    notes: tuple[Note, ...] = ()
    """Blocks of a recording between them; then there may be no packet at all."""


@dataclass(frozen=True, slots=True)
class Step:
    """How far a format came in the buffered part of a file."""

    stop: int
    """Where to go on; what stands before it is done with."""
    chunk: Chunk | None = None
    damaged: int = 0
    """Places, or packets, that could not be read."""
    wants: bool = False
    """Nothing more can be done without more bytes."""
