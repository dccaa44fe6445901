"""A recorded source at the pace at which it was recorded, or a multiple of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tracer.events import EventBatch, Loss, PacketBytes, no_records
from tracer.recording import StateAt
from tracer.sources import Problem, Source


class Paced:
    """Hands on records when their time has come; batches are cut where it has not."""

    def __init__(
        self,
        source: Source,
        pace: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``pace``: seconds of the recording in one second."""
        self.name = source.name
        self._source, self._pace, self._clock, self._sleep = source, pace, clock, sleep
        self._left: EventBatch | None = None
        self._origin: tuple[float, int] | None = None
        """Clock and record time of the first record."""

    def problems(self) -> list[Problem]:
        """Those of the source."""
        return self._source.problems()

    def open(self) -> None:
        """Open the source."""
        self._source.open()

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def read(self, timeout: float) -> EventBatch | StateAt | None:
        """The records that are due; an empty batch while the next one is not."""
        batch = self._left or self._source.read(timeout)
        if not isinstance(batch, EventBatch) or not len(batch.records):
            return batch
        times = batch.records["time_ns"]
        if self._origin is None:
            self._origin = (self._clock(), int(times[0]))
        wait_s = (int(times[0]) - self._reached_ns()) / 1e9 / self._pace
        if wait_s > 0:
            self._sleep(min(wait_s, timeout))
        reached_ns = self._reached_ns()
        count = int(np.searchsorted(times, reached_ns, side="right"))
        if count == len(times):
            self._left = None
            return batch
        if not count:
            self._left = batch
            return EventBatch(no_records(), batch.origin, min(reached_ns, int(times[0])))
        self._left = replace(_part(batch, count, len(times)), lost=Loss(), damaged=0)
        return replace(_part(batch, 0, count), until_ns=int(times[count - 1]))

    def _reached_ns(self) -> int:
        """How far the recording has come by now."""
        if self._origin is None:
            return 0
        began_s, first_ns = self._origin
        return first_ns + int((self._clock() - began_s) * self._pace * 1e9)


def _part(batch: EventBatch, begin: int, end: int) -> EventBatch:
    packets = batch.packets
    if packets is not None:
        packets = PacketBytes(
            packets.data,
            packets.starts[begin : end + 1],
            packets.wire_lengths[begin:end],
            packets.link_types[begin:end],
        )
    return replace(batch, records=batch.records[begin:end], packets=packets)
