"""Where the headers of captured packets stand, and what of them tells about people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.address import AddressColumn
from tracer.events import PacketBytes, Protocol, Tunnel
from tracer.packets import LinkType, Spans
from tracer.packets.link import IPV4, IPV6, locate
from tracer.packets.network import Networks, read_networks
from tracer.packets.ragged import Bytes, Indexes, Mask, Offsets, gather, windows
from tracer.packets.transport import QUOTE_AT, Transports, read_transports
from tracer.packets.tunnel import MAX_DEPTH, Inside, carriers, look_inside
from tracer.recording.addresses import AddressMap

_IP4_BYTES, _IP6_BYTES = 20, 40
_TCP_OFFSET = np.dtype({"names": ["offset"], "formats": ["u1"], "offsets": [12], "itemsize": 13})
_IHL = np.dtype([("version", "u1")])
_EXTENSION = np.dtype([("next", "u1"), ("length", "u1")])
_HEADER_BYTES = {Protocol.UDP: 8, Protocol.SCTP: 12, Protocol.ICMP: 8, Protocol.ICMPV6: 8}
_CHECKSUMS = {
    Protocol.TCP: (16, 2),
    Protocol.UDP: (6, 2),
    Protocol.SCTP: (8, 4),
    Protocol.ICMP: (2, 2),
    Protocol.ICMPV6: (2, 2),
}
_HARDWARE_ADDRESSES = {
    LinkType.ETHERNET: (0, 12),
    LinkType.LINUX_SLL: (6, 14),
    LinkType.LINUX_SLL2: (12, 20),
}
_TUNNEL_HEADER_BYTES = 8
"""Of VXLAN and Geneve; what follows is Geneve's options."""
_GRE = np.dtype([("flags", "u1")])
_GRE_CHECKSUM = 0x80
_REDIRECT_V4 = 5
_FRAGMENT, _AH = 44, 51


@dataclass(frozen=True, slots=True)
class Layer:
    """An IP packet at ``at`` of each row, itself captured or quoted in an ICMP error."""

    at: Offsets
    ends: Offsets
    """Of the captured bytes."""
    networks: Networks
    transports: Transports

    def header_ends(self, data: Bytes) -> Offsets:
        """Where what is no header begins; headers of unknown protocols count as payload."""
        networks = self.networks
        size = np.zeros(self.at.size, dtype=np.int64)
        for protocol, count in _HEADER_BYTES.items():
            size[networks.protocol == protocol] = count
        stated = gather(data, networks.transport_at, _TCP_OFFSET)["offset"] >> 4
        tcp = networks.protocol == Protocol.TCP
        size[tcp] = np.maximum(stated[tcp].astype(np.int64) * 4, 20)
        size[networks.later_fragment | networks.cut] = 0
        return np.minimum(networks.transport_at + size, self.ends)


def outer(packets: PacketBytes, spans: Spans, data: Bytes) -> Layer:
    """The IP headers of captured packets."""
    ends = spans.starts + spans.lengths
    links = locate(data, spans.starts, ends, packets.link_types)
    wire_ends = spans.starts + spans.wire_lengths
    networks = read_networks(data, links.network_at, ends, wire_ends, links.ethertypes)
    return Layer(links.network_at, ends, networks, read_transports(data, networks, ends))


def quoted(layer: Layer, data: Bytes) -> tuple[Layer, Indexes]:
    """The packets in ICMP errors, and the rows that hold one."""
    rows = np.flatnonzero(layer.transports.quotes)
    networks = layer.networks
    at = networks.transport_at[rows] + QUOTE_AT
    ends = np.minimum(layer.ends, networks.end)[rows]
    kinds = np.where(networks.family[rows] == 2, IPV4, IPV6).astype(np.uint16)
    inner = read_networks(data, at, ends, ends, kinds)
    return Layer(at, ends, inner, read_transports(data, inner, ends)), rows


def tunnelled(layer: Layer, data: Bytes) -> Iterator[tuple[Layer, Inside]]:
    """The packets inside tunnels, level by level; rows are numbered within the level above."""
    for _ in range(MAX_DEPTH):
        rows = carriers(layer.networks)
        inside = look_inside(data, layer.networks, layer.ends, rows) if rows.size else None
        if inside is None or not inside.rows.size:
            return
        ends = layer.ends[inside.rows]
        transports = read_transports(data, inside.networks, ends)
        layer = Layer(inside.network_at, ends, inside.networks, transports)
        yield layer, inside


@dataclass(frozen=True, slots=True)
class Extent:
    """How far the headers of each packet go, those inside tunnels included."""

    ends: Offsets
    quotes: Mask
    """Packets that end in one that an ICMP error quotes."""
    valid: Mask
    """Packets that have a readable IP header."""


def extent(packets: PacketBytes, spans: Spans, data: Bytes) -> Extent:
    """Where what is no header begins in captured packets."""
    layer = outer(packets, spans, data)
    found = Extent(layer.header_ends(data), layer.transports.quotes.copy(), layer.networks.valid)
    rows = np.arange(spans.starts.size)
    for inner, inside in tunnelled(layer, data):
        rows = rows[inside.rows]
        found.ends[rows] = inner.header_ends(data)
        found.quotes[rows] = inner.transports.quotes
    return found


def hide(data: Bytes, packets: PacketBytes, spans: Spans, addresses: AddressMap) -> None:
    """Replace addresses and wipe what is no header, in place."""
    layer = outer(packets, spans, data)
    wiped = _Wiped(data)
    _hide_hardware(spans.starts, packets.link_types, layer.ends, wiped)
    # A packet without readable IP keeps nothing.
    none = ~layer.networks.valid
    wiped.add(spans.starts[none], layer.ends[none], layer.ends[none])
    # Every header is found before the first is changed: checksums prove those inside tunnels.
    levels = [(layer, None), *tunnelled(layer, data)]
    quotes = [quoted(each, data) for each, _ in levels]
    insides = [*(inside for _, inside in levels[1:]), None]
    for (each, _), (quote, rows), inside in zip(levels, quotes, insides, strict=True):
        payload = each.header_ends(data)
        payload[rows] = each.ends[rows]
        if inside is not None:
            _hide_tunnels(data, each, inside, wiped)
            payload[inside.rows] = each.ends[inside.rows]
        wiped.add(payload, each.ends, each.ends)
        tail = np.where(quote.networks.valid, quote.header_ends(data), quote.at)
        wiped.add(tail, quote.ends, each.ends[rows])
    for hidden in (*(each for each, _ in levels), *(quote for quote, _ in quotes)):
        _hide_layer(data, hidden, addresses, wiped)
    wiped.wipe()


def _hide_hardware(
    at: Offsets, link_types: npt.NDArray[np.uint16], ends: Offsets, wiped: _Wiped
) -> None:
    for link, (first, last) in _HARDWARE_ADDRESSES.items():
        mine = link_types == link
        wiped.add(at[mine] + first, at[mine] + last, ends[mine])


def _hide_tunnels(data: Bytes, layer: Layer, inside: Inside, wiped: _Wiped) -> None:
    """Of a tunnel's own header its identifier stays, of a frame in it the kind."""
    ends = layer.ends[inside.rows]
    _hide_hardware(inside.frame_at, inside.link_types, ends, wiped)
    at = layer.networks.transport_at[inside.rows]
    framed = np.isin(inside.kinds, (Tunnel.VXLAN, Tunnel.GENEVE))
    behind = layer.header_ends(data)[inside.rows] + _TUNNEL_HEADER_BYTES
    wiped.add(behind[framed], inside.frame_at[framed], ends[framed])
    summed = (inside.kinds == Tunnel.GRE) & (gather(data, at, _GRE)["flags"] & _GRE_CHECKSUM != 0)
    wiped.add(at[summed] + 4, at[summed] + 8, ends[summed])


def _hide_layer(data: Bytes, layer: Layer, addresses: AddressMap, wiped: _Wiped) -> None:
    networks, at = layer.networks, layer.at
    v4 = np.flatnonzero(networks.valid & (networks.family == 2))
    v6 = np.flatnonzero(networks.valid & (networks.family == 10))
    for side, at4, at6 in ((networks.src, 12, 8), (networks.dst, 16, 24)):
        mapped = addresses.column(side[networks.valid])
        whole = np.zeros_like(side)
        whole[networks.valid] = mapped
        _store(data, at[v4] + at4, whole[v4], 12)
        _store(data, at[v6] + at6, whole[v6], 0)
    wiped.add(at[v4] + 10, at[v4] + 12, layer.ends[v4])
    _hide_options(data, layer, v4, wiped)
    _hide_extensions(data, layer, v6, wiped)
    _hide_checksums(layer, wiped)
    redirect = (networks.protocol == Protocol.ICMP) & layer.transports.quotes
    redirect &= layer.transports.detail >> 8 == _REDIRECT_V4
    gateway = networks.transport_at[redirect] + 4
    wiped.add(gateway, gateway + 4, layer.ends[redirect])


def _store(data: Bytes, at: Offsets, ips: AddressColumn, skip: int) -> None:
    raw = np.ascontiguousarray(ips).view(np.uint8).reshape(-1, 16)[:, skip:]
    width = 16 - skip
    windows(data, width)[at] = np.ascontiguousarray(raw).view(f"V{width}").reshape(-1)


def _hide_options(data: Bytes, layer: Layer, rows: Indexes, wiped: _Wiped) -> None:
    """IPv4 options may record a route."""
    at = layer.at[rows]
    size = (gather(data, at, _IHL)["version"] & 0x0F).astype(np.int64) * 4
    wiped.add(at + _IP4_BYTES, at + size, layer.ends[rows])


def _hide_extensions(data: Bytes, layer: Layer, rows: Indexes, wiped: _Wiped) -> None:
    """Routing headers hold addresses: of each extension only its kind and length stay."""
    at, stop = layer.at[rows] + _IP6_BYTES, layer.networks.transport_at[rows]
    kind = gather(data, layer.at[rows] + 6, _EXTENSION)["next"]
    ends = layer.ends[rows]
    while rows.size:
        within = at < stop
        rows, at, stop, kind, ends = (each[within] for each in (rows, at, stop, kind, ends))
        head = gather(data, at, _EXTENSION)
        words = head["length"].astype(np.int64)
        size = np.where(kind == _FRAGMENT, 8, np.where(kind == _AH, words * 4 + 8, words * 8 + 8))
        other = kind != _FRAGMENT
        wiped.add(at[other] + 2, (at + size)[other], ends[other])
        at, kind = at + size, head["next"]


def _hide_checksums(layer: Layer, wiped: _Wiped) -> None:
    """A checksum tells of the addresses that it was made with."""
    networks = layer.networks
    whole: Mask = networks.valid & ~networks.later_fragment & ~networks.cut
    for protocol, (first, size) in _CHECKSUMS.items():
        mine = whole & (networks.protocol == protocol)
        at = networks.transport_at[mine] + first
        wiped.add(at, at + size, layer.ends[mine])


class _Wiped:
    """Ranges of one buffer, set to zero all at once."""

    def __init__(self, data: Bytes) -> None:
        self._data = data
        self._depth: npt.NDArray[np.int32] = np.zeros(data.size + 1, dtype=np.int32)

    def add(self, begins: Offsets, ends: Offsets, bounds: Offsets) -> None:
        """These ranges, none beyond its bound."""
        ends = np.minimum(ends, bounds)
        some = begins < ends
        np.add.at(self._depth, begins[some], 1)
        np.subtract.at(self._depth, ends[some], 1)

    def wipe(self) -> None:
        """Do it."""
        self._data[np.cumsum(self._depth[:-1]) > 0] = 0
