"""Several sources as one, in order of time: for replay, where no clock keeps them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tracer.events import EventBatch
from tracer.packets.ragged import sliced
from tracer.recording import StateAt
from tracer.sources import Problem, Source

ORDER_SLACK_NS = 10_000_000
"""Records of two sources this near in time may be out of order, lest batches become tiny."""
_END = (1 << 63) - 1


class MergedSource:
    """Hands on the batches of finite sources, cut so that time goes forward.

    A batch has the records of one source; its ``until_ns`` holds for all of them.
    """

    name = "merged"

    def __init__(self, sources: Sequence[Source], slack_ns: int = ORDER_SLACK_NS) -> None:
        self._inputs = [_Input(source) for source in sources]
        self._slack_ns = slack_ns
        self._until_ns = 0

    def problems(self) -> list[Problem]:
        """Those of every source."""
        return [problem for each in self._inputs for problem in each.source.problems()]

    def open(self) -> None:
        """Open every source, or none."""
        try:
            for each in self._inputs:
                each.source.open()
        except BaseException:
            self.close()
            raise

    def read(self, timeout: float) -> EventBatch | StateAt | None:
        """The next records of the source that is furthest back; None when all have ended."""
        while True:
            unknown = next((each for each in self._inputs if each.is_unknown), None)
            if unknown is None:
                break
            batch = unknown.source.read(timeout)
            if isinstance(batch, StateAt):
                return batch
            unknown.take(batch)
            if batch is not None and not len(batch.records):
                return self._stamped(batch)
        waiting = [each for each in self._inputs if each.batch is not None]
        if not waiting:
            return None
        first = min(waiting, key=lambda each: each.next_ns)
        return self._stamped(first.cut(min(self._others_ns(first) + self._slack_ns, _END)))

    def close(self) -> None:
        """Close every source; safe to call twice."""
        for each in self._inputs:
            each.source.close()

    def _others_ns(self, first: _Input) -> int:
        return min((each.next_ns for each in self._inputs if each is not first), default=_END)

    def _stamped(self, batch: EventBatch) -> EventBatch:
        """With the time that all sources have come to; it never goes back."""
        come = min((each.until_ns for each in self._inputs), default=_END)
        come = batch.until_ns if come == _END else come
        self._until_ns = max(self._until_ns, come)
        return replace(batch, until_ns=self._until_ns)


class _Input:
    """One source, and the part of its last batch that waits."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.batch: EventBatch | None = None
        self._row = 0
        self._read_ns = 0
        self._ended = False

    @property
    def is_unknown(self) -> bool:
        """Nothing of it waits, and more may come."""
        return self.batch is None and not self._ended

    @property
    def next_ns(self) -> int:
        """Time of the record that waits, or the end of time."""
        return _END if self.batch is None else int(self.batch.records["time_ns"][self._row])

    @property
    def until_ns(self) -> int:
        """Nothing earlier will follow."""
        if self.batch is not None:
            return self.next_ns
        return _END if self._ended else self._read_ns

    def take(self, batch: EventBatch | None) -> None:
        """Keep what has just been read."""
        if batch is None:
            self._ended = True
            return
        self._read_ns = batch.until_ns
        if len(batch.records):
            self.batch, self._row = batch, 0

    def cut(self, limit_ns: int) -> EventBatch:
        """Take what is not later than ``limit_ns`` off the batch, at least one record."""
        assert self.batch is not None, "cut follows a look at next_ns"
        batch, first = self.batch, self._row
        times = batch.records["time_ns"][first:]
        last = first + max(1, int(np.searchsorted(times, limit_ns, side="right")))
        if last >= len(batch.records):
            self.batch = None
        else:
            self._row = last
            self.batch = replace(batch, lost=type(batch.lost)(), damaged=0, texts={}, interfaces={})
        packets = None if batch.packets is None else sliced(batch.packets, first, last)
        return replace(batch, records=batch.records[first:last], packets=packets)
