"""The latest packets with their bytes, as they came: batches are values, so nothing is copied."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.events import EventBatch, EventRows, stacked
from tracer.view.touching import Legs, legs_of

BYTES_KEPT = 32 << 20
FLOW_PACKETS_SHOWN = 5000
"""Packets of one flow that are listed: the first ones."""


_ENDS = (
    *("id", "protocol", "client", "virtual", "source", "backend"),
    *("client_port", "virtual_port", "source_port", "backend_port"),
)
"""What tells a flow, and its translation, from others."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One batch with packets."""

    first_id: int
    batch: EventBatch

    @property
    def count(self) -> int:
        """How many packets."""
        return len(self.batch.rows)


@dataclass(frozen=True, slots=True)
class FlowPackets:
    """The packets of one flow in the order of time."""

    ids: npt.NDArray[np.int64]
    records: EventRows
    legs: Legs


class PacketStore:
    """Keeps whole batches, the newest always, within a number of bytes."""

    def __init__(self, bytes_kept: int = BYTES_KEPT) -> None:
        self._bytes_kept = bytes_kept
        self._batches: deque[Kept] = deque()
        self._size = 0
        self._next_id = 1
        self._asked = b""
        self._found: dict[int, tuple[npt.NDArray[np.intp], Legs]] = {}
        """Rows and legs by batch of the flow that was asked for last."""
        self.forgotten = 0
        """Packets that had to go."""

    @property
    def newest(self) -> int:
        """The highest id given: ids are given in the order of coming, without gaps."""
        return self._next_id - 1

    def newest_at(self, at_ns: int) -> int:
        """The highest id of what had been captured at a moment; below the oldest if nothing."""
        for kept in reversed(self._batches):
            captured = np.flatnonzero(kept.batch.rows["time_ns"] <= at_ns)
            if captured.size:
                return kept.first_id + int(captured[-1])
        return self.oldest - 1

    @property
    def oldest(self) -> int:
        """The lowest id that is kept."""
        return self._batches[0].first_id if self._batches else self._next_id

    def observe(self, batch: EventBatch) -> None:
        """Keep a batch if it has packets."""
        if batch.packets is None or not len(batch.rows):
            return
        self._batches.append(Kept(self._next_id, batch))
        self._next_id += len(batch.rows)
        self._size += _size(batch)
        while self._size > self._bytes_kept and len(self._batches) > 1:
            gone = self._batches.popleft()
            self._size -= _size(gone.batch)
            self._found.pop(gone.first_id, None)
            self.forgotten += gone.count

    def records(self, first_id: int, count: int) -> EventRows:
        """Consecutive packets; the ids are kept ones."""
        parts = [
            kept.batch.rows[max(first_id - kept.first_id, 0) : first_id + count - kept.first_id]
            for kept in self._batches
            if kept.first_id < first_id + count and kept.first_id + kept.count > first_id
        ]
        return stacked(parts)

    def of_flow(self, flow: npt.NDArray[np.void], until: int) -> FlowPackets:
        """The packets of the one row in the array with an id up to ``until``."""
        ids, parts, legs = [], [], []
        for kept in self._batches:
            rows, which_legs = self._rows_of(kept, flow)
            ids.append(rows + kept.first_id)
            parts.append(kept.batch.rows[rows])
            legs.append(which_legs)
        if not parts:
            empty = np.zeros(0, dtype=np.int64)
            return FlowPackets(empty, stacked([]), empty.astype(np.int8))
        numbers, records, which = np.concatenate(ids), stacked(parts), np.concatenate(legs)
        order = np.lexsort((numbers, records["time_ns"]))
        order = order[numbers[order] <= until][:FLOW_PACKETS_SHOWN]
        return FlowPackets(numbers[order], records[order], which[order])

    def _rows_of(self, kept: Kept, flow: npt.NDArray[np.void]) -> tuple[npt.NDArray[np.intp], Legs]:
        """Looked for once in each batch, as long as the same flow is asked for."""
        asked = b"".join(flow[end].tobytes() for end in _ENDS)
        if asked != self._asked:
            self._asked, self._found = asked, {}
        if kept.first_id not in self._found:
            legs = legs_of(kept.batch.rows, flow)
            rows = np.flatnonzero(legs >= 0)
            self._found[kept.first_id] = rows, legs[rows]
        return self._found[kept.first_id]

    def packet(self, packet_id: int) -> tuple[EventRows, bytes, int, int] | None:
        """(record, captured bytes, length on the wire, link type) of one that is kept."""
        for kept in self._batches:
            row = packet_id - kept.first_id
            if 0 <= row < kept.count and kept.batch.packets is not None:
                packets = kept.batch.packets
                return (
                    kept.batch.rows[row : row + 1],
                    packets.packet(row),
                    int(packets.wire_lengths[row]),
                    int(packets.link_types[row]),
                )
        return None


def _size(batch: EventBatch) -> int:
    return batch.rows.nbytes + (batch.packets.data.nbytes if batch.packets else 0)
