"""A capture file from beginning to end, in bounded memory."""

from __future__ import annotations

import zlib
from typing import Protocol

import numpy as np

from tracer.capture_file import blocks, classic
from tracer.capture_file.chunk import Chunk, Step
from tracer.capture_file.classic import ClassicFormat
from tracer.capture_file.interface import Interface
from tracer.capture_file.modern import ModernFormat
from tracer.errors import InputError

_SEGMENT_BYTES = 8 << 20
_LEAST_WIDTH_BYTES = 1 << 16
_BUFFER_BYTES = blocks.MAX_BLOCK_BYTES + _SEGMENT_BYTES


class ReadsPieces(Protocol):
    """Buffered binary input."""

    def read1(self, size: int, /) -> bytes:
        """At most ``size`` bytes, with at most one wait for them; none at the end."""

    def readinto1(self, buffer: memoryview, /) -> int:
        """Read what fits, and say how much; 0 at the end. It may wait twice."""


class CaptureReader:
    """Reads pcap and pcapng; damage is counted and stepped over, never raised.

    ``prompt`` takes what a pipe has rather than wait for a whole segment.
    """

    def __init__(self, stream: ReadsPieces, name: str, *, prompt: bool = False) -> None:
        self.damaged = 0
        """Places so far that could not be read: faults, cut ends, unsound packets."""
        self._stream, self._name, self._prompt = stream, name, prompt
        self._data = np.empty(_BUFFER_BYTES, dtype=np.uint8)
        self._begin = self._end = 0
        self._width = _LEAST_WIDTH_BYTES
        self._final = self._lost_track = False
        self._format = self._recognised()

    @property
    def interfaces(self) -> list[Interface]:
        """Every interface described so far; grows, never changes."""
        return self._format.interfaces

    @property
    def lost(self) -> int:
        """Packets that the capturing system says it lost, so far."""
        return self._format.lost

    def read(self) -> Chunk | None:
        """The next packets, waiting for as many bytes as that takes; None at the end."""
        while not self.at_end:
            chunk = self.parse()
            if chunk is not None:
                return chunk
            self.fill()
        return None

    @property
    def at_end(self) -> bool:
        """Every byte has been read and parsed."""
        return self._final and self._begin == self._end

    def parse(self) -> Chunk | None:
        """The next packets of the bytes already read; None if there are no more in them."""
        while self._begin < self._end:
            end = min(self._end, self._begin + self._width)
            final = self._final and end == self._end
            step = self._format.take(self._data, self._begin, end, final)
            self._count(step)
            self._begin = step.stop
            self._adapt(step)
            if step.chunk is not None:
                return step.chunk
            if step.wants and end == self._end:
                break
        return None

    def _adapt(self, step: Step) -> None:
        """Look further while all is well and little after damage: many faults stay cheap."""
        well = step.wants or (step.chunk is not None and not step.damaged)
        self._width = min(self._width * 4, _BUFFER_BYTES) if well else _LEAST_WIDTH_BYTES

    def _count(self, step: Step) -> None:
        """One stretch of damage is one place, over however many segments it goes."""
        if step.damaged and (step.chunk is not None or not self._lost_track):
            self.damaged += step.damaged
        if step.damaged or step.stop > self._begin:
            self._lost_track = bool(step.damaged)

    def _recognised(self) -> ClassicFormat | ModernFormat:
        while self._end < classic.HEADER_BYTES and not self._final:
            self.fill()
        head = self._data[: min(self._end, classic.HEADER_BYTES)].tobytes()
        if head[:4] == blocks.SECTION.to_bytes(4, "little"):
            return ModernFormat()
        if classic.known_magic(head):
            return ClassicFormat()
        why = "it is neither pcap nor pcapng" if head else "it is empty"
        why = "its packed content breaks off at the beginning" if self.damaged else why
        raise InputError(f"cannot read {self._name}", why, "give a capture by tcpdump or Wireshark")

    def fill(self) -> None:
        """Read on behind what is not parsed yet: a segment, or what a pipe has."""
        rest = self._end - self._begin
        self._data[:rest] = self._data[self._begin : self._end].copy()
        self._begin, self._end = 0, rest
        goal = min(rest + _SEGMENT_BYTES, _BUFFER_BYTES)
        while self._end < goal and not self._final:
            count = self._read(self._data[self._end : goal].data)
            self._end += count
            self._final = not count
            if self._prompt:
                return

    def _read(self, buffer: memoryview) -> int:
        """Some bytes, none at the end; compressed input that breaks off is damage, and the end."""
        try:
            if not self._prompt:
                return self._stream.readinto1(buffer)
            piece = self._stream.read1(len(buffer))
            buffer[: len(piece)] = piece
            return len(piece)
        except (EOFError, zlib.error, OSError):
            self.damaged += 1
            return 0
