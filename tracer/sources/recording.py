"""A recording as a source: every input of the run again, in the order in which it came."""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tracer.capture_file import CaptureReader, CaptureStream, Chunk, Interface
from tracer.cluster.model import Cluster
from tracer.errors import InputError
from tracer.events import EventBatch, Flag, Origin, PacketBytes, Records, no_records, stacked
from tracer.node.model import NodeState
from tracer.packets import Strays, decode_spans
from tracer.packets.ragged import joined
from tracer.recording import ContentReader, Header, StateAt
from tracer.recording.batches import StoredBatch
from tracer.sources import Problem

_WAITING_PACKETS = 1 << 17
"""Packets that no block claims are handed on when so many wait: their block may be damaged."""
_FOREIGN_IFINDEX = 1 << 20


class RecordingSource:
    """Hands on batches and states as they were fed; nothing is merged, sorted or judged.

    ``keep_node`` and ``keep_cluster``: whether its states are wanted, or others are used.
    """

    name = "recording"

    def __init__(
        self,
        stream: CaptureStream,
        *,
        keep_node: bool = True,
        keep_cluster: bool = True,
    ) -> None:
        self.stream = stream
        self.continues = False
        """The file before this one was read too, so what it tells again is known."""
        self._repeats = True
        """Nothing new has come yet: states are those that the file before it told."""
        self._unwanted = tuple(
            kind for kind, keep in ((NodeState, keep_node), (Cluster, keep_cluster)) if not keep
        )
        self._reader: CaptureReader | None = None
        self._content = ContentReader(stream.name)
        self._ready: deque[tuple[EventBatch | StateAt, bool]] = deque()
        """Each with whether the file before this one told it too."""
        self._points: list[tuple[int, int, int]] = []
        self._records: list[Records] = []
        self._packets: list[PacketBytes] = []
        self._names: dict[int, str] = {}
        self._told_damage = self._astray = 0
        self._until_ns = 0
        self._ended = False

    @property
    def header(self) -> Header:
        """What holds for the whole file; known once it is open."""
        return self._content.header or Header()

    def problems(self) -> list[Problem]:
        """None: what cannot be read is an error when opened, or counted as damage."""
        return []

    def open(self) -> None:
        """Read up to the header; InputError if this version cannot read the file."""
        if self._reader is not None:
            return
        stream = self.stream
        self._reader = CaptureReader(stream.bytes, stream.name, prompt=stream.is_pipe)
        while self._content.header is None and not self._reader.at_end:
            self._advance(self._reader)
        if self._content.header is None:
            raise InputError(
                f"cannot read {stream.name}", "it has no header", "give a file viptrace recorded"
            )

    def read(self, timeout: float) -> EventBatch | StateAt | None:
        """The next input; an empty batch while a pipe has nothing; None at the end."""
        while True:
            while self._ready:
                item, is_repeated = self._ready.popleft()
                if not (is_repeated and self.continues):
                    return item
            if self._reader is None or self._ended:
                return None
            if self._reader.at_end:
                self._ended = True
                self._ready.extend((batch, False) for batch in self._rest())
            elif self._must_wait(timeout):
                return EventBatch(no_records(), Origin.KERNEL, self._until_ns)
            else:
                self._advance(self._reader)

    def close(self) -> None:
        """Give the file back; safe to call twice."""
        self.stream.close()

    def _must_wait(self, timeout: float) -> bool:
        if not self.stream.is_pipe:
            return False
        return not select.select([self.stream.fileno()], [], [], timeout)[0]

    def _advance(self, reader: CaptureReader) -> None:
        chunk = reader.parse()
        if chunk is None:
            if not reader.at_end:
                reader.fill()
            return
        self._meet(reader.interfaces)
        done = 0
        for note in chunk.notes:
            self._collect(chunk, done, note.before)
            done = note.before
            for item in self._content.take(note.body):
                self._ready.extend(self._completed(item))
        self._collect(chunk, done, chunk.times_ns.size)
        if sum(map(len, self._records)) > _WAITING_PACKETS:
            self._ready.extend((batch, False) for batch in self._rest())

    def _meet(self, interfaces: list[Interface]) -> None:
        for interface in interfaces[len(self._points) :]:
            ifindex, netns = interface.origin or (_FOREIGN_IFINDEX + len(self._points), 0)
            flags = int(Flag.LOOPBACK) if interface.name == "lo" else 0
            self._points.append((ifindex & 0xFFFFFFFF, netns & 0xFFFFFFFF, flags))
            self._names[ifindex & 0xFFFFFFFF] = interface.name

    def _collect(self, chunk: Chunk, first: int, last: int) -> None:
        """Decode packets that wait for the block that ends their batch."""
        if first == last:
            return
        rows = np.arange(first, last)
        spans = chunk.spans.rows(rows)
        points = np.array(self._points, dtype=np.uint32)[chunk.interfaces[rows]]
        flags: npt.NDArray[np.uint16] = points[:, 2].astype(np.uint16)
        flags |= np.where(chunk.outgoing[rows], Flag.OUTGOING, 0).astype(np.uint16)
        records, keep = decode_spans(spans, chunk.times_ns[rows], points[:, 0], points[:, 1])
        records["flags"] |= flags[keep]
        self._records.append(records)
        self._packets.append(spans.rows(keep).packed())

    def _completed(
        self, item: StoredBatch | StateAt
    ) -> Iterator[tuple[EventBatch | StateAt, bool]]:
        if isinstance(item, StateAt):
            yield from ((batch, False) for batch in self._rest())
            if not isinstance(item.state, self._unwanted):
                yield item, self._repeats
        else:
            self._repeats = False
            if self._records and not len(item.batch.records):
                records, packets = self._taken()
                yield self._told(replace(item.batch, records=records, packets=packets)), False
            else:
                yield from ((batch, False) for batch in self._rest())
                yield self._told(item.batch), item.restated

    def _rest(self) -> Iterator[EventBatch]:
        """Packets whose batch was cut off, and damage found behind the last block."""
        if self._records:
            records, packets = self._taken()
            strays = Strays(self._until_ns or None)
            strays.settle(records["time_ns"], records["ifindex"], final=True)
            self._astray += strays.found
            until_ns = max(self._until_ns, int(records["time_ns"].max(initial=0)))
            names = dict(self._names)
            batch = EventBatch(records, Origin.PACKETS, until_ns, interfaces=names, packets=packets)
            yield self._told(batch)
        elif self._ended and self._damage() > self._told_damage:
            yield self._told(EventBatch(no_records(), Origin.KERNEL, self._until_ns))

    def _taken(self) -> tuple[Records, PacketBytes]:
        taken = stacked(self._records), joined(self._packets)
        self._records, self._packets = [], []
        return taken

    def _told(self, batch: EventBatch) -> EventBatch:
        """With the damage found since the last batch."""
        new = self._damage() - self._told_damage
        self._told_damage += new
        self._until_ns = batch.until_ns
        return replace(batch, damaged=batch.damaged + new) if new else batch

    def _damage(self) -> int:
        found = self._content.damaged + self._astray
        return found + (self._reader.damaged if self._reader else 0)


class RecordingParts:
    """The files of one rotated recording, one after the other."""

    name = "recording"

    def __init__(self, parts: Sequence[RecordingSource]) -> None:
        self._parts = tuple(sorted(parts, key=lambda part: part.header.part))
        self._at = 0
        numbers = [part.header.part for part in self._parts]
        for part, number, before in zip(self._parts[1:], numbers[1:], numbers, strict=False):
            part.continues = number == before + 1

    def problems(self) -> list[Problem]:
        """None, as with one file."""
        return []

    def open(self) -> None:
        """Open every file."""
        for part in self._parts:
            part.open()

    def read(self, timeout: float) -> EventBatch | StateAt | None:
        """The next input of the file that is not at its end; None at the end of the last."""
        while self._at < len(self._parts):
            batch = self._parts[self._at].read(timeout)
            if batch is not None:
                return batch
            self._at += 1
        return None

    def close(self) -> None:
        """Close every file; safe to call twice."""
        for part in self._parts:
            part.close()
