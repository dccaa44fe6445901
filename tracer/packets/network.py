"""IPv4 and IPv6 headers as columns, down to the transport header.

Sources: RFC 791, RFC 8200 (extension headers), RFC 4302 (AH, lengths in 4-byte words).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.address import AddressColumn
from tracer.packets.link import IPV4, IPV6
from tracer.packets.ragged import Bytes, Indexes, Mask, Offsets, gather

_IP4 = np.dtype(
    [
        ("version", "u1"),
        ("service", "u1"),
        ("length", ">u2"),
        ("id", ">u2"),
        ("fragment", ">u2"),
        ("ttl", "u1"),
        ("protocol", "u1"),
        ("checksum", ">u2"),
        ("src", "<u4"),
        ("dst", "<u4"),
    ]
)
_IP6 = np.dtype(
    [
        ("version", "u1"),
        ("label", "u1", (3,)),
        ("length", ">u2"),
        ("next", "u1"),
        ("ttl", "u1"),
        ("src", "<u8", (2,)),
        ("dst", "<u8", (2,)),
    ]
)
_EXTENSION = np.dtype(
    [("next", "u1"), ("length", "u1"), ("fragment", ">u2"), ("high_id", ">u2"), ("id", ">u2")]
)
_HOP_BY_HOP, _TCP, _ROUTING, _FRAGMENT, _AH, _DESTINATION = 0, 6, 43, 44, 51, 60
_EXTENSIONS = np.zeros(256, dtype=np.bool_)
_EXTENSIONS[[_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AH, _DESTINATION, 135, 139, 140]] = True
_MAX_EXTENSIONS = 16
_MAPPED = np.uint64(0xFFFF0000)
"""The four bytes 00 00 ff ff before a mapped IPv4 address, as the low half of a ``<u8``."""


@dataclass(frozen=True, slots=True)
class Networks:
    """The IP headers of n packets; rows that are not ``valid`` hold no meaning."""

    valid: Mask
    family: npt.NDArray[np.uint8]
    protocol: npt.NDArray[np.uint8]
    """Of the transport; of an extension header where the packet is cut within it."""
    ttl: npt.NDArray[np.uint8]
    ip_id: npt.NDArray[np.uint16]
    """IPv4 identification; low half of that of an IPv6 fragment; else 0."""
    src: AddressColumn
    dst: AddressColumn
    length: Offsets
    """IP bytes by the header; what lies behind them on the wire is padding."""
    transport_at: Offsets
    end: Offsets
    """Where the IP packet ends by its own length, whether captured so far or not."""
    later_fragment: Mask
    cut: Mask
    """Captured only up to the middle of the IP headers."""

    @classmethod
    def unknown(cls, count: int) -> Networks:
        """No valid row yet; filled in place by family."""
        return cls(
            np.zeros(count, dtype=np.bool_),
            np.zeros(count, dtype=np.uint8),
            np.zeros(count, dtype=np.uint8),
            np.zeros(count, dtype=np.uint8),
            np.zeros(count, dtype=np.uint16),
            np.zeros((count, 2), dtype=np.uint64),
            np.zeros((count, 2), dtype=np.uint64),
            np.zeros(count, dtype=np.int64),
            np.zeros(count, dtype=np.int64),
            np.zeros(count, dtype=np.int64),
            np.zeros(count, dtype=np.bool_),
            np.zeros(count, dtype=np.bool_),
        )


def read_networks(
    data: Bytes,
    at: Offsets,
    ends: Offsets,
    wire_ends: Offsets,
    ethertypes: npt.NDArray[np.uint16],
) -> Networks:
    """Read the IP headers at ``at``; ``ends`` bounds the captured bytes, ``wire_ends`` the real.

    A length of 0 is a segmentation-offload packet above 64 KiB: the wire says how long.
    """
    networks = Networks.unknown(at.size)
    v4, v6 = np.flatnonzero(ethertypes == IPV4), np.flatnonzero(ethertypes == IPV6)
    if v4.size:
        _read_ip4(networks, data, at[v4], ends[v4], wire_ends[v4], v4)
    if v6.size:
        _read_ip6(networks, data, at[v6], ends[v6], wire_ends[v6], v6)
    _skip_extensions(networks, data, ends)
    return networks


def _read_ip4(
    networks: Networks, data: Bytes, at: Offsets, ends: Offsets, wire_ends: Offsets, rows: Indexes
) -> None:
    head = gather(data, at, _IP4)
    header = (head["version"] & 0x0F).astype(np.int64) * 4
    length = head["length"].astype(np.int64)
    length = np.where(length == 0, np.maximum(wire_ends - at, 0), length)
    networks.valid[rows] = (
        (at + _IP4.itemsize <= ends)
        & (head["version"] >> 4 == 4)
        & (header >= _IP4.itemsize)
        & (length >= header)
    )
    networks.family[rows] = 2
    networks.protocol[rows] = head["protocol"]
    networks.ttl[rows] = head["ttl"]
    networks.ip_id[rows] = head["id"]
    networks.src[rows, 1] = head["src"].astype(np.uint64) << np.uint64(32) | _MAPPED
    networks.dst[rows, 1] = head["dst"].astype(np.uint64) << np.uint64(32) | _MAPPED
    networks.length[rows] = length
    networks.transport_at[rows] = at + header
    networks.end[rows] = at + length
    networks.later_fragment[rows] = head["fragment"] & 0x1FFF != 0
    networks.cut[rows] = at + header > ends


def _read_ip6(
    networks: Networks, data: Bytes, at: Offsets, ends: Offsets, wire_ends: Offsets, rows: Indexes
) -> None:
    head = gather(data, at, _IP6)
    payload = head["length"].astype(np.int64)
    offloaded = (payload == 0) & ((head["next"] == _HOP_BY_HOP) | (head["next"] == _TCP))
    length = np.where(offloaded, np.maximum(wire_ends - at, 0), payload + _IP6.itemsize)
    networks.valid[rows] = (
        (at + _IP6.itemsize <= ends) & (head["version"] >> 4 == 6) & (length >= _IP6.itemsize)
    )
    networks.family[rows] = 10
    networks.protocol[rows] = head["next"]
    networks.ttl[rows] = head["ttl"]
    networks.src[rows] = head["src"]
    networks.dst[rows] = head["dst"]
    networks.length[rows] = length
    networks.transport_at[rows] = at + _IP6.itemsize
    networks.end[rows] = at + length


def _skip_extensions(networks: Networks, data: Bytes, ends: Offsets) -> None:
    """Walk the chains of all packets that have one, a header a step; AH also behind IPv4."""
    walked = _EXTENSIONS[networks.protocol] & networks.valid & ~networks.later_fragment
    rows = np.flatnonzero(walked & ((networks.family == 10) | (networks.protocol == _AH)))
    for _ in range(_MAX_EXTENSIONS):
        if not rows.size:
            return
        rows = _skip_one(networks, data, ends, rows)
    networks.cut[rows] = True


def _skip_one(networks: Networks, data: Bytes, ends: Offsets, rows: Indexes) -> Indexes:
    """Step over one extension header of each row; the rows that stand before another."""
    at, kind = networks.transport_at[rows], networks.protocol[rows]
    head = gather(data, at, _EXTENSION)
    fragment = kind == _FRAGMENT
    words = head["length"].astype(np.int64)
    size = np.where(fragment, 8, np.where(kind == _AH, (words + 2) * 4, (words + 1) * 8))
    bound = np.minimum(ends[rows], networks.end[rows])
    whole = at + np.maximum(size, _EXTENSION.itemsize) <= bound
    networks.cut[rows[~whole]] = True
    rows, head, fragment = rows[whole], head[whole], fragment[whole]
    networks.transport_at[rows] = (at + size)[whole]
    networks.protocol[rows] = head["next"]
    networks.ip_id[rows[fragment]] = head["id"][fragment]
    later = fragment & (head["fragment"] & 0xFFF8 != 0)
    networks.later_fragment[rows[later]] = True
    extended = _EXTENSIONS[head["next"]] & ((networks.family[rows] == 10) | (head["next"] == _AH))
    return rows[extended & ~later]
