"""Local blocks: what makes one ours, which kind it is, and whether it is intact."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from zlib import crc32

MAGIC = b"viptrace"
_HEAD = Struct("<8sHHII")
_PART_BYTES = 8 << 20
"""Readers refuse blocks above 16 MiB."""
_MORE = 1
MAX_PAYLOAD_BYTES = 1 << 30


class Kind(IntEnum):
    """What a block holds; the numbers are stored in recordings: never reuse one."""

    HEADER = 1
    BATCH = 2
    """Ends a batch: the packets since the last block of ours belong to it."""
    TICKS = 3
    """Batches that brought nothing but time."""
    NODE = 4
    CLUSTER = 5


def wrapped(kind: Kind, payload: bytes) -> Iterator[bytes]:
    """Bodies of the blocks that carry a payload; a long one takes several."""
    for first in range(0, max(1, len(payload)), _PART_BYTES):
        part = payload[first : first + _PART_BYTES]
        more = _MORE if first + _PART_BYTES < len(payload) else 0
        yield _HEAD.pack(MAGIC, kind, more, len(part), crc32(part)) + part


class Unwrapper:
    """Takes bodies in file order; gives whole payloads."""

    def __init__(self) -> None:
        self.damaged = 0
        """Blocks that were ours and not intact."""
        self._kind = 0
        self._parts: list[bytes] = []

    def take(self, body: bytes) -> tuple[int, bytes] | None:
        """(kind, payload) if this body completes one; foreign blocks are passed over."""
        if len(body) < _HEAD.size or body[:8] != MAGIC:
            return None
        _, kind, flags, length, checksum = _HEAD.unpack_from(body)
        part = body[_HEAD.size : _HEAD.size + length]
        held = sum(map(len, self._parts))
        if crc32(part) != checksum or len(part) != length or held > MAX_PAYLOAD_BYTES:
            self.damaged += 1
            self._parts.clear()
            return None
        if self._parts and kind != self._kind:
            self.damaged += 1
            self._parts.clear()
        self._kind = kind
        self._parts.append(part)
        if flags & _MORE:
            return None
        payload = b"".join(self._parts)
        self._parts.clear()
        return kind, payload
