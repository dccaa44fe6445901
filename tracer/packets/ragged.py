"""Byte ranges of differing lengths in one buffer, gathered and copied without a loop over them.

A void view with stride 1 makes "the w bytes at offset x" one element, so fancy
indexing moves whole headers: about 30 ns each at any width, where index
arithmetic per byte or a structured dtype takes 200.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.events import PacketBytes

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Indexes = npt.NDArray[np.intp]


def windows(data: Bytes, width: int) -> npt.NDArray[np.void]:
    """Every window of ``width`` bytes in contiguous ``data``, by its offset; shares memory."""
    shape = (max(0, data.size - width + 1),)
    return np.ndarray(shape, dtype=f"V{width}", buffer=data, strides=(1,))


def gather(data: Bytes, offsets: Offsets, layout: np.dtype[np.void]) -> npt.NDArray[np.void]:
    """One row of ``layout`` read at each offset (not negative); zeros beyond the end of data."""
    width = layout.itemsize
    last = data.size - width
    if not offsets.size:
        return np.zeros(0, dtype=layout)
    if offsets.max() <= last:
        return windows(data, width)[offsets].view(layout)
    inside = offsets <= last
    rows = np.zeros(offsets.size, dtype=f"V{width}")
    rows[inside] = windows(data, width)[offsets[inside]]
    base = max(0, last)
    tail = np.zeros(3 * width, dtype=np.uint8)
    tail[: data.size - base] = data[base:]
    rows[~inside] = windows(tail, width)[np.minimum(offsets[~inside] - base, 2 * width)]
    return rows.view(layout)


def copy_ranges(
    source: Bytes, source_at: Offsets, lengths: Offsets, target: Bytes, target_at: Offsets
) -> None:
    """Copy range i of ``source`` to ``target_at[i]``; all ranges lie inside both arrays.

    A range of 2**k to 2**(k + 1) - 1 bytes is two windows of 2**k that overlap in
    its middle, so the number of steps is that of the powers, not of the ranges.
    """
    powers = np.frexp(lengths.astype(np.float64))[1] - 1
    for power in np.flatnonzero(np.bincount(powers[lengths > 0])).tolist():
        rows = np.flatnonzero((powers == power) & (lengths > 0))
        width = 1 << power
        read, write = windows(source, width), windows(target, width)
        first, into = source_at[rows], target_at[rows]
        rest = lengths[rows] - width
        write[into] = read[first]
        write[into + rest] = read[first + rest]


def starts_of(lengths: Offsets) -> Offsets:
    """Shape (n + 1,): where each range begins when they stand one after the other."""
    starts = np.zeros(lengths.size + 1, dtype=np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


@dataclass(frozen=True, slots=True)
class Spans:
    """Packets lying anywhere in one buffer, which may be reused: pack them to keep them."""

    data: Bytes
    starts: Offsets
    lengths: Offsets
    """Captured bytes."""
    wire_lengths: npt.NDArray[np.uint32]
    link_types: npt.NDArray[np.uint16]

    @classmethod
    def of(cls, packets: PacketBytes) -> Spans:
        """The packets of a batch, sharing its memory."""
        starts, lengths = packets.starts[:-1], np.diff(packets.starts)
        return cls(packets.data, starts, lengths, packets.wire_lengths, packets.link_types)

    def rows(self, rows: Indexes) -> Spans:
        """Some of them, or all in another order."""
        return Spans(
            self.data,
            self.starts[rows],
            self.lengths[rows],
            self.wire_lengths[rows],
            self.link_types[rows],
        )

    def part(self, part: slice) -> Spans:
        """Those in a row, sharing memory."""
        return Spans(
            self.data,
            self.starts[part],
            self.lengths[part],
            self.wire_lengths[part],
            self.link_types[part],
        )

    def packed(self) -> PacketBytes:
        """A copy with the packets one after the other."""
        starts = starts_of(self.lengths)
        data = np.empty(int(starts[-1]), dtype=np.uint8)
        copy_ranges(self.data, self.starts, self.lengths, data, starts[:-1])
        return PacketBytes(data, starts, self.wire_lengths, self.link_types)


def sliced(packets: PacketBytes, first: int, last: int) -> PacketBytes:
    """Packets ``first`` to ``last - 1``, sharing memory."""
    starts = packets.starts[first : last + 1]
    return PacketBytes(
        packets.data[starts[0] : starts[-1]],
        starts - starts[0],
        packets.wire_lengths[first:last],
        packets.link_types[first:last],
    )


def joined(parts: Sequence[PacketBytes]) -> PacketBytes:
    """Several batches' packets as one; a single one stays as it is."""
    if len(parts) == 1:
        return parts[0]
    bases = starts_of(np.array([part.data.size for part in parts], dtype=np.int64))
    starts = [part.starts[:-1] + base for part, base in zip(parts, bases.tolist(), strict=False)]
    return PacketBytes(
        np.concatenate([part.data for part in parts]),
        np.concatenate([*starts, bases[-1:]]),
        np.concatenate([part.wire_lengths for part in parts]),
        np.concatenate([part.link_types for part in parts]),
    )
