"""Captured bytes to PACKET records."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tracer.events import EVENT, Flag, Hook, PacketBytes, Records, picked
from tracer.packets.fingerprint import fingerprints
from tracer.packets.link import IPV4, IPV6, Links, locate
from tracer.packets.network import Networks, read_networks
from tracer.packets.ragged import Bytes, Indexes, Mask, Offsets, Spans
from tracer.packets.transport import QUOTE_AT, Transports, read_transports
from tracer.packets.tunnel import Around, enter
from tracer.packets.usual import fill

_CHUNK = 16_384
"""Packets decoded at once: the columns in use stay in the processor's caches."""
_ROW = np.dtype(f"V{EVENT.itemsize}")


def decode(
    packets: PacketBytes,
    times_ns: npt.NDArray[np.int64],
    ifindexes: npt.NDArray[np.uint32],
    netns: npt.NDArray[np.uint32] | int = 0,
) -> tuple[Records, Indexes]:
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
) -> tuple[Records, Indexes]:
    """As :func:`decode`, for packets where they lie."""
    records = np.empty(spans.starts.size, dtype=EVENT)
    valid = np.zeros(spans.starts.size, dtype=np.bool_)
    for part in _parts(spans.starts.size):
        chunk = records[part]
        links, valid[part] = _decode_chunk(spans.part(part), chunk)
        chunk["time_ns"], chunk["netns"] = times_ns[part], _part_of(netns, part)
        chunk["ifindex"] = ifindexes[part]
        _store_links(chunk, links)
    keep = np.flatnonzero(valid)
    return (records if keep.size == records.size else picked(records, keep)), keep


def _parts(count: int) -> Iterator[slice]:
    """About equal chunks: a small one takes nearly as long."""
    size = -(-count // max(1, round(count / _CHUNK))) or 1
    return (slice(first, first + size) for first in range(0, count, size))


def _part_of(numbers: npt.NDArray[np.uint32] | int, part: slice) -> npt.NDArray[np.uint32] | int:
    return numbers if isinstance(numbers, int) else numbers[part]


def _decode_chunk(spans: Spans, records: Records) -> tuple[Links, Mask]:
    """Fill the records of a chunk, all but time and place; which of its packets are IP."""
    ends = spans.starts + spans.lengths
    links = locate(spans.data, spans.starts, ends, spans.link_types)
    valid = fill(records, spans.data, links, ends)
    rest = np.flatnonzero(~valid)
    if rest.size:
        made = np.zeros(rest.size, dtype=EVENT)
        valid[rest] = _decode_others(spans.rows(rest), links.rows(rest), made)
        records.view(_ROW)[rest] = made.view(_ROW)
    return links, valid


def _decode_others(spans: Spans, links: Links, records: Records) -> Mask:
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


def _store_links(records: Records, links: Links) -> None:
    """What some link headers tell: direction, loopback, interface."""
    if links.flags.any():
        records["flags"] |= links.flags
    known = links.ifindexes != 0
    if known.any():
        records["ifindex"][known] = links.ifindexes[known]


def _store_networks(records: Records, networks: Networks) -> None:
    records["hook"] = Hook.PACKET
    records["flags"] = np.where(networks.later_fragment, Flag.FRAGMENT, 0)
    for name in ("family", "protocol", "ttl", "ip_id", "src", "dst", "length"):
        records[name] = getattr(networks, name)


def _store_transports(records: Records, transports: Transports) -> None:
    for name in ("src_port", "dst_port", "seq", "ack", "tcp_flags", "detail"):
        records[name] = getattr(transports, name)


def _store_tunnels(records: Records, around: Around) -> None:
    """Put what is around a packet where translations have their second tuple."""
    rows = around.rows
    records["flags"][rows] |= np.uint16(Flag.TUNNELLED)
    records["nat_src"][rows], records["nat_dst"][rows] = around.src, around.dst
    records["nat_src_port"][rows] = around.ids >> 16
    records["nat_dst_port"][rows] = around.ids & 0xFFFF
    records["reason"][rows] = around.kinds


def _store_quotes(
    records: Records, data: Bytes, ends: Offsets, networks: Networks, transports: Transports
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
