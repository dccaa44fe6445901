"""What tells a packet from others of its kind and survives translation, as one number.

TCP tells its packets apart by sequence numbers, except that a first SYN has only one:
its timestamp option is the other (RFC 7323). UDP and SCTP have their payload, an ICMP
echo its sequence number and payload.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.events import Protocol, TcpFlag
from tracer.packets.network import Networks
from tracer.packets.ragged import Bytes, Mask, Offsets, gather
from tracer.packets.transport import ECHO_SEQUENCE_AT, Transports

Prints = npt.NDArray[np.uint64]
"""Shape (n,): a fingerprint a packet."""
HASHED_BYTES = 64
"""Payload bytes that count; a capture that cuts within them leaves no fingerprint."""

_SKIPPED = np.zeros(256, dtype=np.int64)
_SKIPPED[[Protocol.UDP, Protocol.SCTP]] = 8, 12
_SKIPPED[[Protocol.ICMP, Protocol.ICMPV6]] = ECHO_SEQUENCE_AT
"""Header bytes that translation may rewrite, or that other fields tell already."""
_WORDS = np.dtype([("words", "<u8", (HASHED_BYTES // 8,))])
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(9)], dtype=np.uint64)
"""The first ``size`` bytes of a little-endian word."""
_FACTORS = tuple(
    np.uint64((0x9E3779B97F4A7C15 * (2 * step + 1)) & (2**64 - 1)) for step in range(8)
)
_TCP_HEADER = np.dtype([("bytes", "u1", (60,))])
_TCP_OPTIONS_AT, _TCP_OFFSET_AT = 20, 12
_END, _NOP, _TIMESTAMP, _TIMESTAMP_BYTES = 0, 1, 8, 10


def fingerprints(data: Bytes, networks: Networks, transports: Transports, ends: Offsets) -> Prints:
    """One number for each packet; 0 where there is nothing to tell it by."""
    prints = np.zeros(ends.size, dtype=np.uint64)
    whole = networks.valid & ~networks.later_fragment & ~transports.cut
    spoken = whole & (_SKIPPED[networks.protocol] > 0) & ~transports.quotes
    rows = np.flatnonzero(spoken)
    if rows.size:
        at = networks.transport_at[rows] + _SKIPPED[networks.protocol[rows]]
        prints[rows] = of_payloads(data, at, networks.end[rows] - at, ends[rows] - at)
    asks = transports.tcp_flags & (TcpFlag.SYN | TcpFlag.ACK) == TcpFlag.SYN
    rows = np.flatnonzero(whole & asks)
    if rows.size:
        prints[rows] = of_timestamps(data, networks.transport_at[rows])
    return prints


def of_payloads(data: Bytes, at: Offsets, sizes: Offsets, room: Offsets) -> Prints:
    """Hash of payloads of these sizes that begin at ``at``, of which ``room`` bytes are there.

    0 where there is none, or what would be hashed was not captured.
    """
    hashed = np.clip(sizes, 0, HASHED_BYTES)
    words = gather(data, at, _WORDS)["words"]
    return np.where((hashed <= room) & (hashed > 0), _mixed(words, hashed), np.uint64(0))


def _mixed(words: npt.NDArray[np.uint64], sizes: Offsets) -> Prints:
    """Hash of the first ``sizes`` bytes of each row, never 0."""
    mixed = sizes.astype(np.uint64)
    for step, factor in enumerate(_FACTORS[: (int(sizes.max()) + 7) // 8]):
        more = mixed ^ (words[:, step] & _MASKS[np.clip(sizes - step * 8, 0, 8)])
        more *= factor
        more ^= more >> np.uint64(32)
        # What a row does not have must not count: its number would hang on the other rows.
        mixed = np.where(sizes > step * 8, more, mixed)
    return np.maximum(mixed, np.uint64(1))


def of_timestamps(data: Bytes, at: Offsets) -> Prints:
    """Hash of the timestamp option of TCP headers that were captured whole."""
    header = gather(data, at, _TCP_HEADER)["bytes"]
    bound = (header[:, _TCP_OFFSET_AT] >> 4).astype(np.int64) * 4
    found = _timestamp_at(header, bound)
    prints = np.zeros(at.size, dtype=np.uint64)
    rows = np.flatnonzero(found > 0)
    if rows.size:
        value = gather(data, at[rows] + found[rows] + 2, _WORDS)["words"]
        prints[rows] = _mixed(value, np.full(rows.size, _TIMESTAMP_BYTES - 2, dtype=np.int64))
    return prints


def _timestamp_at(header: npt.NDArray[np.uint8], bound: Offsets) -> Offsets:
    """Where each header's timestamp option begins, 0 if it has none; an option a step."""
    found = np.zeros(bound.size, dtype=np.int64)
    rows, position = np.arange(bound.size), np.full(bound.size, _TCP_OPTIONS_AT)
    while rows.size:
        inside = position + 1 < bound[rows]
        rows, position = rows[inside], position[inside]
        kind = header[rows, position]
        size = np.where(kind == _NOP, 1, header[rows, position + 1])
        hit: Mask = (kind == _TIMESTAMP) & (size == _TIMESTAMP_BYTES)
        hit &= position + _TIMESTAMP_BYTES <= bound[rows]
        found[rows[hit]] = position[hit]
        goes_on = ~hit & (kind != _END) & ((kind == _NOP) | (size >= 2))
        rows, position = rows[goes_on], (position + size)[goes_on]
    return found
