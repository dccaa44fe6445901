"""The BPF ring buffer as bytes: mapped, and drained in blocks of whole slots.

Layout (kernel/bpf/ringbuf.c): a consumer page that we may write, a producer page,
then the data, mapped twice in a row so that no slot is ever broken. A slot is a u32
length (bit 31 busy, bit 30 discarded), a u32, and the record. All our records have
one size, hence all slots do, and a block of them is one strided table.
"""

from __future__ import annotations

import mmap
import os
import struct
from itertools import pairwise

HEADER_BYTES = 8
_BUSY, _DISCARDED = 1 << 31, 1 << 30
_POSITION = struct.Struct("=Q")


class Ring:
    """Consumer side of one ring buffer map; nobody else may consume it."""

    def __init__(self, map_fd: int, ring_bytes: int, record_bytes: int) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        writable = mmap.PROT_READ | mmap.PROT_WRITE
        consumer = mmap.mmap(map_fd, page, mmap.MAP_SHARED, writable, offset=0)
        rest = mmap.mmap(
            map_fd, page + 2 * ring_bytes, mmap.MAP_SHARED, mmap.PROT_READ, offset=page
        )
        self._maps = (consumer, rest)
        self._slots = Slots(
            memoryview(consumer),
            memoryview(rest)[page:],
            memoryview(rest),
            ring_bytes,
            record_bytes,
        )

    def drain(self) -> bytes:
        """Every finished slot, headers included; empty when none is."""
        return self._slots.take()

    def close(self) -> None:
        """Unmap; the map itself belongs to the program."""
        self._slots.release()
        for mapped in self._maps:
            mapped.close()


class Slots:
    """The protocol over any memory, so that it can be tested without a kernel."""

    def __init__(
        self,
        consumer: memoryview,
        data: memoryview,
        producer: memoryview,
        ring_bytes: int,
        record_bytes: int,
    ) -> None:
        self._consumer, self._data, self._producer = consumer, data, producer
        self._ring_bytes = ring_bytes
        self._slot_bytes = HEADER_BYTES + (record_bytes + 7) // 8 * 8
        self._clean = struct.pack("=I", record_bytes)
        self._record_bytes = record_bytes

    def take(self) -> bytes:
        """Copy finished slots out and give their room back."""
        start = _POSITION.unpack_from(self._consumer)[0]
        end = _POSITION.unpack_from(self._producer)[0]
        count = min(end - start, self._ring_bytes) // self._slot_bytes
        if count == 0:
            return b""
        offset = start % self._ring_bytes
        view = self._data[offset : offset + count * self._slot_bytes]
        # Headers first, bytes second: a header that is not busy vouches for its record.
        headers = view.cast("I")[:: self._slot_bytes // 4].tobytes()
        discarded: list[int] = []
        if headers != self._clean * count:
            count, discarded = self._examine(headers)
        block = bytes(view[: count * self._slot_bytes])
        _POSITION.pack_into(self._consumer, 0, start + count * self._slot_bytes)
        return self._without(block, discarded) if discarded else block

    def _examine(self, headers: bytes) -> tuple[int, list[int]]:
        """Slots before the first busy one, and which of them were discarded."""
        discarded: list[int] = []
        for index, (length,) in enumerate(struct.iter_unpack("=I", headers)):
            if length & _BUSY:
                return index, discarded
            if length & _DISCARDED:
                discarded.append(index)
        return len(headers) // 4, discarded

    def _without(self, block: bytes, discarded: list[int]) -> bytes:
        size = self._slot_bytes
        bounds = [-1, *discarded, len(block) // size]
        pairs = pairwise(bounds)
        return b"".join(block[(before + 1) * size : after * size] for before, after in pairs)

    def release(self) -> None:
        """Let go of the memory."""
        for view in (self._consumer, self._data, self._producer):
            view.release()


def as_slots(records: list[bytes]) -> bytes:
    """Records of another buffer in the shape that ``drain`` gives."""
    return b"".join(struct.pack("=II", len(record), 0) + record for record in records)
