"""Decoded packets that wait for their turn, in time order."""

from __future__ import annotations

import numpy as np

from tracer.events import PacketBytes, Records, no_records, picked, stacked
from tracer.packets.ragged import Spans, joined, sliced

Packets = tuple[Records, PacketBytes]
"""PACKET records and their bytes, row for row."""


def no_packets() -> PacketBytes:
    """The bytes of no packet."""
    return PacketBytes(
        np.zeros(0, dtype=np.uint8),
        np.zeros(1, dtype=np.int64),
        np.zeros(0, dtype=np.uint32),
        np.zeros(0, dtype=np.uint16),
    )


class PacketQueue:
    """Rows go in in any order and come out by time; rows of one time as they went in."""

    def __init__(self) -> None:
        self._records = no_records()
        self._packets = no_packets()

    def __len__(self) -> int:
        return len(self._records)

    def time_ns(self, row: int) -> int:
        """Time of the row-th packet from the earliest; negative counts from the latest."""
        return int(self._records["time_ns"][row])

    def add(self, records: Records, packets: PacketBytes) -> None:
        """Put rows in; ``records`` and ``packets`` must not change afterwards."""
        if not len(records):
            return
        if len(self):
            records = stacked([self._records, records])
            packets = joined([self._packets, packets])
        self._records, self._packets = in_time_order(records, packets)

    def take(self, count: int) -> Packets:
        """Take the ``count`` earliest rows out, or as many as there are."""
        count = min(count, len(self))
        records, packets = self._records[:count], sliced(self._packets, 0, count)
        self._packets = sliced(self._packets, count, len(self))
        self._records = self._records[count:]
        return records, packets

    def take_until(self, until_ns: int) -> Packets:
        """Take all rows of ``until_ns`` and earlier out."""
        return self.take(int(np.searchsorted(self._records["time_ns"], until_ns, side="right")))


def in_time_order(records: Records, packets: PacketBytes) -> Packets:
    """The same rows sorted by time; what is in order already is not copied."""
    times = records["time_ns"]
    if bool((times[1:] >= times[:-1]).all()):
        return records, packets
    order = np.argsort(times, kind="stable")
    return picked(records, order), Spans.of(packets).rows(order).packed()
