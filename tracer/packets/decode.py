"""Captured bytes to PACKET records."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tracer.events import EVENT, EventRows, Flag, Hook, PacketBytes
from tracer.fields import Fields
from tracer.packets.fingerprint import fingerprints
from tracer.packets.link import IPV4, IPV6, Links, locate
from tracer.packets.network import Networks, read_networks
from tracer.packets.ragged import Bytes, Indexes, Mask, Offsets, Spans
from tracer.packets.transport import QUOTE_AT, Transports, read_transports
from tracer.packets.tunnel import Around, enter
from tracer.packets.usual import WRITTEN, fill

_CHUNK = 32_768
"""Packets decoded at once: the columns in use stay in the processor's caches."""


def decode(
    packets: PacketBytes,
    times_ns: npt.NDArray[np.int64],
    ifindexes: npt.NDArray[np.uint32],
    netns: npt.NDArray[np.uint32] | int = 0,
) -> tuple[EventRows, Indexes]:
    """One record for each IP packet, and the row numbers of those packets.

    Frames that carry no readable IP header make no record: they are the rows missing
    from the numbers. An interface index in the link header (SLL2) goes before
    ``ifindexes``. An ICMP error has the quoted packet's protocol in ``reason``, every packet
    its fingerprint in ``cookie``. Of a packet in a tunnel the record tells what is inside.
    """
    return decode_spans(Spans.of(packets), times_ns, ifindexes, netns)


def decode_spans(
    spans: Spans,
    times_ns: npt.NDArray[np.int64],
    ifindexes: npt.NDArray[np.uint32],
    netns: npt.NDArray[np.uint32] | int = 0,
) -> tuple[EventRows, Indexes]:
    """As :func:`decode`, for packets where they lie."""
    fields, keep = decode_fields(spans, times_ns, ifindexes, netns)
    return fields.structured(), keep


def decode_fields(
    spans: Spans,
    times_ns: npt.NDArray[np.int64],
    ifindexes: npt.NDArray[np.uint32],
    netns: npt.NDArray[np.uint32] | int = 0,
) -> tuple[Fields, Indexes]:
    """As :func:`decode_spans`, field by field, which is much faster."""
    count = spans.starts.size
    records, valid = Fields(EVENT, count, *WRITTEN), np.zeros(count, dtype=np.bool_)
    records["flags"], flags, points = 0, np.zeros(count, np.uint16), np.array(ifindexes)
    for part in _parts(count):
        links, others, made = _decode_chunk(spans.part(part), records[part], valid[part])
        flags[part] = links.flags
        np.copyto(points[part], links.ifindexes, where=links.ifindexes != 0)
        if others.size:
            records.put(others + part.start, made)
    records["time_ns"], records["netns"], records["ifindex"] = times_ns, netns, points
    records["flags"] |= flags
    keep = np.flatnonzero(valid)
    return (records if keep.size == count else records.rows(keep)), keep


def _parts(count: int) -> Iterator[slice]:
    """About equal chunks: a small one takes nearly as long."""
    size = -(-count // max(1, round(count / _CHUNK))) or 1
    return (slice(first, first + size) for first in range(0, count, size))


def _decode_chunk(spans: Spans, records: Fields, valid: Mask) -> tuple[Links, Indexes, EventRows]:
    """Fill the records of a chunk, all but time and place, and tell which are of IP packets.

    What is not usual is handed back to be put in: the rows, and their records.
    """
    ends = spans.starts + spans.lengths
    links = locate(spans.data, spans.starts, ends, spans.link_types)
    valid[:] = fill(records, spans.data, links, ends)
    rest = np.flatnonzero(~valid)
    made = np.zeros(rest.size, dtype=EVENT)
    if rest.size:
        valid[rest] = _decode_others(spans.rows(rest), links.rows(rest), made)
    return links, rest, made


def _decode_others(spans: Spans, links: Links, records: EventRows) -> Mask:
    """Header by header, whatever they are shaped like; which of the packets are IP."""
    data, ends = spans.data, spans.starts + spans.lengths
    wire_ends = spans.starts + spans.wire_lengths
    networks = read_networks(data, links.network_at, ends, wire_ends, links.ethertypes)
    around = enter(data, networks, ends)
    transports = read_transports(data, networks, ends)
    _store_networks(records, networks)
    if around is not None:
        _store_tunnels(records, around)
    _store_transports(records, transports)
    records["cookie"] = fingerprints(data, networks, transports, ends)
    _store_quotes(records, data, np.minimum(ends, networks.end), networks, transports)
    records["flags"] |= np.where(transports.cut, Flag.SNAPPED, 0).astype(np.uint16)
    return networks.valid


def _store_networks(records: EventRows, networks: Networks) -> None:
    records["hook"] = Hook.PACKET
    records["flags"] = np.where(networks.later_fragment, Flag.FRAGMENT, 0)
    for name in ("family", "protocol", "ttl", "ip_id", "src", "dst", "length"):
        records[name] = getattr(networks, name)


def _store_transports(records: EventRows, transports: Transports) -> None:
    for name in ("src_port", "dst_port", "seq", "ack", "tcp_flags", "detail"):
        records[name] = getattr(transports, name)


def _store_tunnels(records: EventRows, around: Around) -> None:
    """Put what is around a packet where translations have their second tuple."""
    rows = around.rows
    records["flags"][rows] |= np.uint16(Flag.TUNNELLED)
    records["nat_src"][rows], records["nat_dst"][rows] = around.src, around.dst
    records["nat_src_port"][rows] = around.ids >> 16
    records["nat_dst_port"][rows] = around.ids & 0xFFFF
    records["reason"][rows] = around.kinds


def _store_quotes(
    records: EventRows, data: Bytes, ends: Offsets, networks: Networks, transports: Transports
) -> None:
    """Put the packet that an ICMP error quotes where translations have their second tuple.

    It matters more than a tunnel around the error.
    """
    rows = np.flatnonzero(transports.quotes)
    if not rows.size:
        return
    at, bound = networks.transport_at[rows] + QUOTE_AT, ends[rows]
    kinds = np.where(networks.family[rows] == 2, IPV4, IPV6).astype(np.uint16)
    quoted = read_networks(data, at, bound, bound, kinds)
    inner = read_transports(data, quoted, bound)
    usable = np.flatnonzero(quoted.valid)
    rows = rows[usable]
    records["flags"][rows] &= ~np.uint16(Flag.TUNNELLED)
    records["flags"][rows] |= np.uint16(Flag.QUOTED)
    records["nat_src"][rows], records["nat_dst"][rows] = quoted.src[usable], quoted.dst[usable]
    records["nat_src_port"][rows] = inner.src_port[usable]
    records["nat_dst_port"][rows] = inner.dst_port[usable]
    records["reason"][rows] = quoted.protocol[usable]
