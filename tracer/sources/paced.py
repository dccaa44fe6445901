"""A recorded source that goes no further than its tempo allows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tracer.events import EventBatch, Loss, Origin, PacketBytes, no_records
from tracer.recording import StateAt
from tracer.sources import Problem, Source
from tracer.tempo import Tempo


class Paced:
    """Hands on what is due, in the source's own order; batches are cut where time ends."""

    def __init__(self, source: Source, tempo: Tempo) -> None:
        self.name = source.name
        self._source, self._tempo = source, tempo
        self._left: EventBatch | StateAt | None = None
        self._began = False
        """Whether there was a record: what comes before the first one has no time of its own."""

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
        """What is due; an empty batch while the next thing is not."""
        item = self._left or self._source.read(timeout)
        self._left = None
        times = item.records["time_ns"] if isinstance(item, EventBatch) else np.zeros(0, "<i8")
        if item is None or not (self._began or len(times)):
            return item
        self._began = True
        next_ns = int(times[0]) if len(times) else _moment(item)
        self._tempo.wait(next_ns, timeout)
        limit_ns = self._tempo.limit_ns(next_ns)
        if next_ns > limit_ns:
            self._left = item
            return _silence(item, limit_ns)
        return self._due(item, times, limit_ns) if isinstance(item, EventBatch) else item

    def _due(self, batch: EventBatch, times: npt.NDArray[np.int64], limit_ns: int) -> EventBatch:
        """The part of a batch up to the limit; the rest is kept."""
        late = times > limit_ns
        count = int(late.argmax()) if late.any() else len(times)
        if count:
            self._tempo.passed(int(times[0]), int(times[:count].max()))
        if count == len(times):
            return batch
        self._left = replace(_part(batch, count, len(times)), lost=Loss(), damaged=0)
        return replace(_part(batch, 0, count), until_ns=int(times[:count].max()))


def _moment(item: EventBatch | StateAt) -> int:
    """When something without records happened."""
    return item.until_ns if isinstance(item, EventBatch) else item.at_ns


def _silence(item: EventBatch | StateAt, until_ns: int) -> EventBatch:
    """Nothing has happened up to here; only who records knows of its own time."""
    if isinstance(item, EventBatch):
        return EventBatch(no_records(), item.origin, until_ns)
    return EventBatch(no_records(), Origin.KERNEL, 0)


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
