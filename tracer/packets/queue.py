"""Decoded packets that wait for their turn, in time order."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from tracer.events import PacketBytes, Records, no_records, picked, stacked
from tracer.packets.ragged import Spans, joined, sliced

Packets = tuple[Records, PacketBytes | None]
"""PACKET records and their bytes, row for row; None where nobody wants bytes."""


def no_packets() -> PacketBytes:
    """The bytes of no packet."""
    return PacketBytes(
        np.zeros(0, dtype=np.uint8),
        np.zeros(1, dtype=np.int64),
        np.zeros(0, dtype=np.uint32),
        np.zeros(0, dtype=np.uint16),
    )


class PacketQueue:
    """Rows go in in any order and come out by time; rows of one time as they went in.

    What comes later than all that waits is only hung behind it: nothing is copied.
    """

    def __init__(self, *, keeps_bytes: bool = True) -> None:
        """Without ``keeps_bytes`` rows are put in, and come out, without their bytes."""
        self._keeps_bytes = keeps_bytes
        self._parts: deque[Packets] = deque()
        """Each in order of time, and not earlier than the one before it."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def time_ns(self, row: int) -> int:
        """Time of the row-th packet from the earliest; negative counts from the latest."""
        row = row if row >= 0 else self._count + row
        for records, _ in self._parts:
            if row < len(records):
                return int(records["time_ns"][row])
            row -= len(records)
        raise IndexError(row)

    def add(self, records: Records, packets: PacketBytes | None) -> None:
        """Put rows in; ``records`` and ``packets`` must not change afterwards."""
        if not len(records):
            return
        self._count += len(records)
        records, packets = in_time_order(records, packets)
        first_ns = int(records["time_ns"][0])
        later = deque([(records, packets)])
        while self._parts and int(self._parts[-1][0]["time_ns"][-1]) > first_ns:
            later.appendleft(self._parts.pop())
        self._parts.append(in_time_order(*united(later)))

    def take(self, count: int) -> Packets:
        """Take the ``count`` earliest rows out, or as many as there are."""
        taken = self._taken(count)
        return united(taken) if taken else self._nothing()

    def _taken(self, count: int) -> list[Packets]:
        wanted = min(count, self._count)
        self._count -= wanted
        taken: list[Packets] = []
        while wanted:
            part = self._parts.popleft()
            size = len(part[0])
            if size > wanted:
                self._parts.appendleft(cut(part, wanted, size))
                part = cut(part, 0, wanted)
            taken.append(part)
            wanted -= len(part[0])
        return taken

    def take_until(self, until_ns: int) -> Packets:
        """Take all rows of ``until_ns`` and earlier out."""
        return self.take(self._count_until(until_ns))

    def parts_until(self, until_ns: int) -> list[Packets]:
        """The same in parts, one after the other, which share memory with what was put in."""
        return self._taken(self._count_until(until_ns))

    def _count_until(self, until_ns: int) -> int:
        return sum(
            int(np.searchsorted(records["time_ns"], until_ns, side="right"))
            for records, _ in self._parts
        )

    def _nothing(self) -> Packets:
        return no_records(), no_packets() if self._keeps_bytes else None


def in_time_order(records: Records, packets: PacketBytes | None) -> Packets:
    """The same rows sorted by time; what is in order already is not copied."""
    times = records["time_ns"]
    if bool((times[1:] >= times[:-1]).all()):
        return records, packets
    order = np.argsort(times, kind="stable")
    if packets is not None:
        packets = Spans.of(packets).rows(order).packed()
    return picked(records, order), packets


def cut(part: Packets, first: int, last: int) -> Packets:
    """Rows ``first`` to ``last - 1``, sharing memory."""
    records, packets = part
    return records[first:last], None if packets is None else sliced(packets, first, last)


def united(parts: Sequence[Packets]) -> Packets:
    """One after the other; a single one stays as it is."""
    if len(parts) == 1:
        return parts[0]
    packets = [packets for _, packets in parts if packets is not None]
    return stacked([records for records, _ in parts]), joined(packets) if packets else None
