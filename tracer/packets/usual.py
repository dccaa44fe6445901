"""The usual packet, read in one go: IP without options or extensions, and all of TCP or UDP.

Nearly all packets are of this shape, so every field is read from one place behind the others.
What is shaped otherwise, cut, or might hold a tunnel is left to the modules that read header
by header; for a usual packet both say the same.
"""

from __future__ import annotations

import numpy as np

from tracer.events import EVENT, Hook, Protocol, TcpFlag
from tracer.fields import Fields
from tracer.packets.fingerprint import of_payloads, of_timestamps
from tracer.packets.link import IPV4, IPV6, Links
from tracer.packets.ragged import Bytes, Indexes, Mask, Offsets, gather
from tracer.packets.tunnel import looks_like_one

_V4 = np.dtype(
    {
        "names": ["version", "length", "ip_id", "fragment", "ttl", "protocol", "src", "dst"],
        "formats": ["u1", ">u2", ">u2", "<u2", "u1", "u1", "<u4", "<u4"],
        "offsets": [0, 2, 4, 6, 8, 9, 12, 16],
        "itemsize": 20,
    }
)
_V6 = np.dtype(
    {
        "names": ["version", "length", "protocol", "ttl", "src", "dst"],
        "formats": ["u1", ">u2", "u1", "u1", ("<u8", (2,)), ("<u8", (2,))],
        "offsets": [0, 4, 6, 7, 8, 24],
        "itemsize": 40,
    }
)
_TRANSPORT = np.dtype(
    {
        "names": ["src_port", "dst_port", "seq", "ack", "offset", "tcp_flags"],
        "formats": [">u2", ">u2", ">u4", ">u4", "u1", "u1"],
        "offsets": [0, 2, 4, 8, 12, 13],
        "itemsize": 16,
    }
)
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

WRITTEN = tuple(name for name in EVENT.names or () if not name.startswith(("nat_", "reason")))
"""The fields of packets that are neither in a tunnel nor about another packet."""


def fill(records: Fields, data: Bytes, links: Links, ends: Offsets) -> Mask:
    """Write ``WRITTEN`` of usual packets, but time, place and flags; which of the rows those are.

    What is written of other rows means nothing.
    """
    six = links.ethertypes == IPV6
    lengths, plain = np.zeros(ends.size, dtype=np.int64), np.zeros(ends.size, dtype=np.bool_)
    for ethertype, store in ((IPV4, _store_v4), (IPV6, _store_v6)):
        rows = np.flatnonzero(six if ethertype == IPV6 else links.ethertypes == ethertype)
        if rows.size:
            store(records, data, links.network_at[rows], rows, lengths, plain)
    transport = links.network_at + np.where(six, _V6.itemsize, _V4.itemsize)
    head, protocol = gather(data, transport, _TRANSPORT), records["protocol"]
    tcp, udp = protocol == np.uint8(Protocol.TCP), protocol == np.uint8(Protocol.UDP)
    payload = transport + np.where(tcp, _TCP_SIZES[head["offset"]], _UDP_BYTES)
    stop = links.network_at + lengths
    plain &= (payload <= ends) & (transport + _LEAST_BYTES[protocol] <= stop)
    spoken = np.flatnonzero(udp & plain)
    if spoken.size:
        likely = looks_like_one(data, transport[spoken])
        plain[spoken[likely]], spoken = False, spoken[~likely]
    records["hook"], records["length"] = Hook.PACKET, lengths
    records["src_port"], records["dst_port"] = head["src_port"], head["dst_port"]
    for name in ("seq", "ack", "tcp_flags"):
        np.multiply(head[name], tcp, out=records[name])
    records["detail"] = np.maximum(stop - payload, 0)
    _print(records, data, transport, payload, ends, spoken, plain)
    return plain


def _store_v4(
    records: Fields, data: Bytes, at: Offsets, rows: Indexes, lengths: Offsets, plain: Mask
) -> None:
    head = gather(data, at, _V4)
    records["family"][rows] = 2
    for name in ("protocol", "ttl", "ip_id"):
        records[name][rows] = head[name]
    for side in ("src", "dst"):
        column = records[side]
        column[rows, 0], column[rows, 1] = 0, head[side] * _SCALE | _MAPPED
    lengths[rows] = head["length"]
    plain[rows] = (head["version"] == 0x45) & (head["fragment"] & _OFFSET_BITS == 0)


def _store_v6(
    records: Fields, data: Bytes, at: Offsets, rows: Indexes, lengths: Offsets, plain: Mask
) -> None:
    head = gather(data, at, _V6)
    records["family"][rows], records["ip_id"][rows] = 10, 0
    for name in ("protocol", "ttl", "src", "dst"):
        records[name][rows] = head[name]
    lengths[rows] = head["length"].astype(np.int64) + _V6.itemsize
    plain[rows] = head["version"] >> 4 == 6


def _print(
    records: Fields,
    data: Bytes,
    transport: Offsets,
    payload: Offsets,
    ends: Offsets,
    spoken: Indexes,
    plain: Mask,
) -> None:
    """Fingerprints: of payloads, and of the timestamps of first SYNs."""
    cookies = records["cookie"]
    cookies[:] = 0
    if spoken.size:
        at, sizes = payload[spoken], records["detail"][spoken].astype(np.int64)
        cookies[spoken] = of_payloads(data, at, sizes, ends[spoken] - at)
    flags = records["tcp_flags"] & np.uint8(TcpFlag.SYN | TcpFlag.ACK)
    syn = np.flatnonzero(plain & (flags == np.uint8(TcpFlag.SYN)))
    if syn.size:
        cookies[syn] = of_timestamps(data, transport[syn])
