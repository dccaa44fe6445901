"""The usual packet, read in one go: IP without options or extensions, and all of TCP or UDP.

Nearly all packets are of this shape, so their headers are fetched once, together, and every
field is read from there. What is shaped otherwise, cut, or might hold a tunnel is left to
the modules that read header by header; for a usual packet both say the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.events import EVENT, Hook, Protocol, Records, TcpFlag
from tracer.packets.fingerprint import of_payloads, of_timestamps
from tracer.packets.link import IPV4, IPV6, Links
from tracer.packets.ragged import Bytes, Indexes, Mask, Offsets, gather
from tracer.packets.tunnel import looks_like_one

_TRANSPORT = {
    "src_port": (">u2", 0),
    "dst_port": (">u2", 2),
    "seq": (">u4", 4),
    "ack": (">u4", 8),
    "offset": ("u1", 12),
    "tcp_flags": ("u1", 13),
}
_TCP_BYTES, _UDP_BYTES = 20, 8
_TCP_SIZES = np.maximum((np.arange(256) >> 4) * 4, _TCP_BYTES).astype(np.int64)
"""Length of a TCP header by the byte that states it."""
_LEAST_BYTES = np.full(256, 1 << 20, dtype=np.int64)
_LEAST_BYTES[[Protocol.TCP, Protocol.UDP]] = _TCP_BYTES, _UDP_BYTES
"""What a packet must have by protocol; no packet has so much as any other would have to."""
_MAPPED = np.uint64(0xFFFF0000)
_SCALE = np.uint64(1 << 32)
_OFFSET_BITS = np.uint16(0xFF1F)
"""Where in a packet a fragment stands, as this machine reads the two bytes."""
_ROW = np.dtype(f"V{EVENT.itemsize}")


@dataclass(frozen=True, slots=True)
class _Family:
    """IPv4 or IPv6: where its fields are, those of the transport included."""

    number: int
    ethertype: int
    network_bytes: int
    stated_bytes: int
    """How much of the packet its length field does not count."""
    layout: np.dtype[np.void]

    @classmethod
    def of(
        cls, number: int, ethertype: int, size: int, stated: int, fields: dict[str, tuple[str, int]]
    ) -> _Family:
        behind = {name: (kind, at + size) for name, (kind, at) in _TRANSPORT.items()}
        every = fields | behind
        layout = np.dtype(
            {
                "names": list(every),
                "formats": [kind for kind, _ in every.values()],
                "offsets": [at for _, at in every.values()],
                "itemsize": size + _TCP_BYTES,
            }
        )
        return cls(number, ethertype, size, size - stated, layout)


_V4 = _Family.of(
    2,
    IPV4,
    20,
    20,
    {
        "version": ("u1", 0),
        "length": (">u2", 2),
        "ip_id": (">u2", 4),
        "fragment": ("<u2", 6),
        "ttl": ("u1", 8),
        "protocol": ("u1", 9),
        "src": ("<u4", 12),
        "dst": ("<u4", 16),
    },
)
_V6 = _Family.of(
    10,
    IPV6,
    40,
    0,
    {
        "version": ("u1", 0),
        "length": (">u2", 4),
        "protocol": ("u1", 6),
        "ttl": ("u1", 7),
        "src": ("<u8", 8),
        "dst": ("<u8", 24),
        "src_low": ("<u8", 16),
        "dst_low": ("<u8", 32),
    },
)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the parts of n packets are, as far as they are usual."""

    usual: Mask
    transport: Offsets
    payload: Offsets


def fill(records: Records, data: Bytes, links: Links, ends: Offsets) -> Mask:
    """Write the records of usual packets, all but time and place; which of the rows those are."""
    count = ends.size
    places = _Places(
        np.zeros(count, dtype=np.bool_),
        np.zeros(count, dtype=np.int64),
        np.zeros(count, dtype=np.int64),
    )
    for family in (_V4, _V6):
        rows = np.flatnonzero(links.ethertypes == family.ethertype)
        if rows.size:
            _fill(records, data, links.network_at[rows], ends[rows], rows, family, places)
    _print(records, data, places, ends)
    return places.usual


def _fill(
    records: Records,
    data: Bytes,
    at: Offsets,
    ends: Offsets,
    rows: Indexes,
    family: _Family,
    places: _Places,
) -> None:
    head = gather(data, at, family.layout)
    protocol, transport = head["protocol"], at + family.network_bytes
    udp = protocol == np.uint8(Protocol.UDP)
    sizes = _TCP_SIZES[head["offset"]]
    sizes[udp] = _UDP_BYTES
    payload = transport + sizes
    length = head["length"] + np.int64(family.stated_bytes)
    good = _is_plain(head, family) & (payload <= ends)
    good &= length >= _LEAST_BYTES[protocol] + family.network_bytes
    _leave_tunnels(data, transport, np.flatnonzero(udp & good), good)
    if not good.all():
        head = head.view(f"V{family.layout.itemsize}")[good].view(family.layout)
        at, rows, transport, payload, length = (
            each[good] for each in (at, rows, transport, payload, length)
        )
    made = np.zeros(rows.size, dtype=EVENT)
    _store(made, head, family)
    made["length"], made["detail"] = length, np.maximum(at + length - payload, 0)
    records.view(_ROW)[rows] = made.view(_ROW)
    places.usual[rows], places.transport[rows], places.payload[rows] = True, transport, payload


def _is_plain(head: npt.NDArray[np.void], family: _Family) -> Mask:
    """Neither options nor a later fragment; the version is right."""
    if family is _V6:
        return np.asarray(head["version"] >> 4 == 6)
    return np.asarray((head["version"] == 0x45) & (head["fragment"] & _OFFSET_BITS == 0))


def _leave_tunnels(data: Bytes, at: Offsets, rows: Indexes, good: Mask) -> None:
    if rows.size:
        good[rows[looks_like_one(data, at[rows])]] = False


def _store(made: Records, head: npt.NDArray[np.void], family: _Family) -> None:
    made["hook"], made["family"] = Hook.PACKET, family.number
    for name in ("protocol", "ttl", "src_port", "dst_port"):
        made[name] = head[name]
    tcp = head["protocol"] == np.uint8(Protocol.TCP)
    for name in ("seq", "ack", "tcp_flags"):
        made[name] = head[name] * tcp
    for side in ("src", "dst"):
        if family is _V4:
            made[side][:, 1] = head[side] * _SCALE | _MAPPED
        else:
            made[side][:, 0], made[side][:, 1] = head[side], head[f"{side}_low"]
    if family is _V4:
        made["ip_id"] = head["ip_id"]


def _print(records: Records, data: Bytes, places: _Places, ends: Offsets) -> None:
    """Fingerprints: of payloads, and of the timestamps of first SYNs."""
    udp = np.flatnonzero(places.usual & (records["protocol"] == np.uint8(Protocol.UDP)))
    if udp.size:
        at, sizes = places.payload[udp], records["detail"][udp].astype(np.int64)
        records["cookie"][udp] = of_payloads(data, at, sizes, ends[udp] - at)
    flags = records["tcp_flags"] & np.uint8(TcpFlag.SYN | TcpFlag.ACK)
    syn = np.flatnonzero(places.usual & (flags == np.uint8(TcpFlag.SYN)))
    if syn.size:
        records["cookie"][syn] = of_timestamps(data, places.transport[syn])
