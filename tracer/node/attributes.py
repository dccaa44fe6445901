"""Netlink bytes in columns: messages of many datagrams, and their attributes, all at once.

Positions are word numbers: netlink aligns everything to four bytes. The walk goes in
lockstep, one attribute of every message a step, so any order of attributes is read and
the work is a few NumPy calls a step, whatever the number of messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]
"""The bytes as native words; four words of slack follow the last message."""
Positions = npt.NDArray[np.int64]

HEADER_WORDS = 4
"""``struct nlmsghdr``."""
_KIND = np.uint32(0x3FFF)
"""Without NLA_F_NESTED and NLA_F_NET_BYTEORDER."""


@dataclass(frozen=True, slots=True)
class Block:
    """Datagrams as received: lane i is ``words[starts[i]:ends[i]]``."""

    words: Words
    starts: Positions
    ends: Positions

    @classmethod
    def of(cls, datagrams: Sequence[bytes]) -> Block:
        """Datagrams that hold whole messages, one lane each."""
        padded = [data + bytes(-len(data) % 4) for data in datagrams]
        lengths = np.array([len(data) // 4 for data in padded], dtype=np.int64)
        words = np.frombuffer(b"".join((*padded, bytes(16))), dtype=np.uint32)
        ends = np.cumsum(lengths)
        return cls(words, ends - lengths, ends)


@dataclass(frozen=True, slots=True)
class Messages:
    """Headers of n messages; the body of message i is ``words[starts[i] + 4:ends[i]]``."""

    words: Words
    starts: Positions
    ends: Positions
    types: npt.NDArray[np.uint16]
    flags: npt.NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.starts)

    def chosen(self, mask: npt.NDArray[np.bool_]) -> Messages:
        """Only some of the messages."""
        return Messages(
            self.words, self.starts[mask], self.ends[mask], self.types[mask], self.flags[mask]
        )


def messages(block: Block) -> Messages:
    """Every message of every datagram, in order; what follows a broken header is left out."""
    words, at, lanes = block.words, block.starts, np.arange(len(block.starts))
    found: list[tuple[Positions, Positions, Positions]] = []
    while True:
        fits = at + HEADER_WORDS <= block.ends[lanes]
        at, lanes = at[fits], lanes[fits]
        if not at.size:
            break
        end = at + (words[at].astype(np.int64) + 3 >> 2)
        sound = (end >= at + HEADER_WORDS) & (end <= block.ends[lanes])
        at, lanes, end = at[sound], lanes[sound], end[sound]
        found.append((lanes, at, end))
        at = end
    if not found:
        found.append((np.zeros(0, dtype=np.int64),) * 3)
    lanes, starts, ends = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((starts, lanes))
    starts, ends = starts[order], ends[order]
    kinds = words[starts + 1]
    types, flags = kinds.astype(np.uint16), (kinds >> np.uint32(16)).astype(np.uint16)
    return Messages(words, starts, ends, types, flags)


def walk(words: Words, starts: Positions, ends: Positions, highest: int) -> Positions:
    """Shape (n, highest + 1): where the payload of each attribute type begins, 0 if absent.

    Column 0 means nothing: types above ``highest`` land there.
    """
    table = np.zeros((len(starts), highest + 1), dtype=np.int64)
    rows = np.flatnonzero(starts < ends)
    at, end = starts[rows], ends[rows]
    while rows.size:
        head = words[at]
        length = (head & np.uint32(0xFFFF)).astype(np.int64)
        kind = head >> np.uint32(16) & _KIND
        following = at + (length + 3 >> 2)
        sound = (length >= 4) & (following <= end)
        if not sound.all():
            rows, at, end, kind = rows[sound], at[sound], end[sound], kind[sound]
            following = following[sound]
        table[rows, np.where(kind <= highest, kind, 0)] = at + 1
        more = following < end
        if not more.all():
            rows, following, end = rows[more], following[more], end[more]
        at = following
    return table


def inside(words: Words, payloads: Positions) -> tuple[Positions, Positions]:
    """Bounds of the attributes nested in each payload; empty where it is absent."""
    length = (words[np.maximum(payloads - 1, 0)] & np.uint32(0xFFFF)).astype(np.int64)
    return payloads, np.where(payloads > 0, payloads - 1 + (length + 3 >> 2), 0)


def u8(words: Words, payloads: Positions) -> npt.NDArray[np.uint8]:
    """First byte of each payload, 0 where absent."""
    return np.where(payloads > 0, words[payloads] & np.uint32(0xFF), 0).astype(np.uint8)


def be16(words: Words, payloads: Positions) -> npt.NDArray[np.uint16]:
    """Two bytes in network order, 0 where absent."""
    raw = np.where(payloads > 0, words[payloads] & np.uint32(0xFFFF), 0)
    return raw.astype("<u2").byteswap()


def be32(words: Words, payloads: Positions) -> npt.NDArray[np.uint32]:
    """Four bytes in network order, 0 where absent."""
    return np.where(payloads > 0, words[payloads], np.uint32(0)).astype("<u4").byteswap()


def be64(words: Words, payloads: Positions) -> npt.NDArray[np.uint64]:
    """Eight bytes in network order, 0 where absent."""
    high = be32(words, payloads).astype(np.uint64)
    low = be32(words, np.where(payloads > 0, payloads + 1, 0)).astype(np.uint64)
    return high << np.uint64(32) | low


def addresses(words: Words, v4: Positions, v6: Positions) -> npt.NDArray[np.uint64]:
    """Shape (n, 2) address column from the IPv4 or, where that is absent, the IPv6 payload."""
    result = np.zeros((len(v4), 2), dtype=np.uint64)
    is_v4 = v4 > 0
    mapped = words[v4[is_v4]].astype(np.uint64) << np.uint64(32) | np.uint64(0xFFFF0000)
    result[is_v4, 1] = mapped
    is_v6 = ~is_v4 & (v6 > 0)
    at = v6[is_v6]
    for column in (0, 1):
        low, high = words[at + 2 * column], words[at + 2 * column + 1]
        result[is_v6, column] = low.astype(np.uint64) | high.astype(np.uint64) << np.uint64(32)
    return result


def raw(words: Words, payload: int) -> bytes:
    """The bytes of one payload, empty where it is absent; for few objects, not for packets."""
    if not payload:
        return b""
    length = int(words[payload - 1]) & 0xFFFF
    return words[payload : payload + (length + 3 >> 2)].tobytes()[: length - 4]


def text(words: Words, payload: int) -> str:
    """A zero-terminated string; for the few objects that have names, not for packets."""
    return raw(words, payload).split(b"\0", 1)[0].decode("utf-8", "replace")
