"""Tunnels: the packet inside is the flow; what is around it is kept beside it.

Sources: RFC 2003, 2473, 4213 (IP in IP), 2784 and 2890 (GRE), 7348 (VXLAN, with the group
policy and generic protocol drafts), 8926 (Geneve). UDP tunnels have no port that can be relied
on: a header of the right shape counts if an IP header that checks stands behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from tracer.address import AddressColumn
from tracer.events import Protocol, Tunnel
from tracer.packets.link import LinkType, locate
from tracer.packets.network import Networks, read_networks
from tracer.packets.ragged import Bytes, Indexes, Mask, Offsets, gather

_IPV4_IN_IP, _IPV6_IN_IP, _GRE = 4, 41, 47
_CARRIERS = np.zeros(256, dtype=np.bool_)
_CARRIERS[[_IPV4_IN_IP, _IPV6_IN_IP, _GRE, Protocol.UDP]] = True
MAX_DEPTH = 4
"""Tunnels in tunnels that are looked into."""
_TRANSPARENT_ETHERNET, _ETHERTYPE_IPV4, _ETHERTYPE_IPV6 = 0x6558, 0x0800, 0x86DD
_UDP_BYTES, _SHAPE_BYTES = 8, 16
_VXLAN_PORTS, _GENEVE_PORT, _FLANNEL_PORT = (4789, 4790, 8472), 6081, 8285
_VXLAN_WORD, _GROUP_POLICY, _GENERIC = 0x08000000, 0x88, 0x0C
_GENERIC_KINDS = {1: LinkType.IPV4, 2: LinkType.IPV6, 3: LinkType.ETHERNET}
_GRE_CHECKSUM, _GRE_ROUTING, _GRE_KEY, _GRE_SEQUENCE, _GRE_REST = (
    *(0x8000, 0x4000, 0x2000, 0x1000),
    0x0FFF,
)

_UDP_SHAPE = np.dtype(
    [
        *(("src_port", ">u2"), ("dst_port", ">u2"), ("length", ">u2"), ("checksum", ">u2")),
        *(("first", ">u4"), ("second", ">u4")),
    ]
)
_UDP_GLANCE = np.dtype(
    {
        "names": ["dst_port", "length", "word", "first", "type", "reserved"],
        "formats": ["<u2", ">u2", "<u4", "u1", "<u2", "u1"],
        "offsets": [2, 4, 8, 8, 10, 15],
        "itemsize": 16,
    }
)
"""In this machine's byte order: numbers of the other have to be turned for each comparison."""


def _turned(word: int) -> int:
    return int.from_bytes(word.to_bytes(2, "big"), "little")


_GENEVE_KINDS = tuple(map(_turned, (_TRANSPARENT_ETHERNET, _ETHERTYPE_IPV4, _ETHERTYPE_IPV6)))
_FLANNEL_WORD = _turned(_FLANNEL_PORT)
_FIRST_BYTES = np.zeros(256, dtype=np.bool_)
_FIRST_BYTES[[_GROUP_POLICY, _GENERIC, *range(0x45, 0x50)]] = True
"""What VXLAN's lesser forms and IPv4 begin with."""
_GRE_SHAPE = np.dtype([("flags", ">u2"), ("type", ">u2"), ("words", ">u4", (2,))])
_HEADER_WORDS = np.dtype([("words", ">u2", (30,))])
_IHL = np.dtype([("version", "u1")])


_NONE = Networks.unknown(0)


@dataclass(frozen=True, slots=True)
class Around:
    """What is around the packets at ``rows``: of several tunnels, the innermost."""

    rows: Indexes
    kinds: npt.NDArray[np.uint16]
    """Numbers of ``Tunnel``."""
    ids: npt.NDArray[np.uint32]
    """Network identifier or key, 0 where there is none."""
    src: AddressColumn
    dst: AddressColumn


@dataclass(frozen=True, slots=True)
class Inside:
    """The IP packets inside the tunnels of ``rows``."""

    rows: Indexes
    kinds: npt.NDArray[np.uint16]
    ids: npt.NDArray[np.uint32]
    frame_at: Offsets
    """Where the tunnel's own header ends and what it carries begins."""
    link_types: npt.NDArray[np.uint16]
    """What it carries: an Ethernet frame, or an IP packet."""
    network_at: Offsets
    networks: Networks


@dataclass(frozen=True, slots=True)
class _Openings:
    """Places where a packet may begin inside another; one for each row at most."""

    rows: Indexes
    at: Offsets
    ends: Offsets
    """Where the tunnel says its content ends; unknown to IP in IP and GRE, which the outer ends."""
    link_types: npt.NDArray[np.uint16]
    kinds: npt.NDArray[np.uint16]
    ids: npt.NDArray[np.uint32]
    certain: Mask
    """The protocol or a registered port says so; else what stands there must prove it."""

    def only(self, chosen: Mask) -> _Openings:
        return _Openings(*(getattr(self, each.name)[chosen] for each in fields(self)))


def enter(data: Bytes, networks: Networks, ends: Offsets) -> Around | None:
    """Put the IP headers inside tunnels in the place of those around them; None without any.

    ``ends`` bounds the captured bytes of each packet.
    """
    found: Around | None = None
    rows = carriers(networks)
    for _ in range(MAX_DEPTH):
        if not rows.size:
            break
        inside = look_inside(data, networks, ends, rows)
        rows = inside.rows
        if not rows.size:
            break
        around = Around(rows, inside.kinds, inside.ids, networks.src[rows], networks.dst[rows])
        found = around if found is None else _over(found, around)
        for each in fields(Networks):
            getattr(networks, each.name)[rows] = getattr(inside.networks, each.name)
        rows = rows[_CARRIERS[networks.protocol[rows]] & _readable(networks, rows)]
    return found


def carriers(networks: Networks) -> Indexes:
    """Packets of protocols that may carry others."""
    rows = np.flatnonzero(_CARRIERS[networks.protocol])
    return rows[_readable(networks, rows)] if rows.size else rows


def look_inside(data: Bytes, networks: Networks, ends: Offsets, rows: Indexes) -> Inside:
    """The packets one level inside these rows; only rows that certainly have one stay."""
    parts = [
        opened(data, networks, ends, rows[mine])
        for protocol, opened in _OPENED.items()
        if (mine := networks.protocol[rows] == protocol).any()
    ]
    openings = _joined([part for part in parts if part.rows.size])
    if not openings.rows.size:
        none = openings.rows
        return Inside(none, openings.kinds, openings.ids, none, openings.link_types, none, _NONE)
    bound = ends[openings.rows]
    links = locate(data, openings.at, bound, openings.link_types)
    inner = read_networks(data, links.network_at, bound, openings.ends, links.ethertypes)
    good = np.flatnonzero(_is_proven(data, openings, links.network_at, inner))
    return Inside(
        openings.rows[good],
        openings.kinds[good],
        openings.ids[good],
        openings.at[good],
        openings.link_types[good],
        links.network_at[good],
        Networks(*(getattr(inner, each.name)[good] for each in fields(Networks))),
    )


def _readable(networks: Networks, rows: Indexes) -> Mask:
    whole = ~networks.later_fragment[rows] & ~networks.cut[rows]
    return np.asarray(networks.valid[rows] & whole)


def _over(outer: Around, inner: Around) -> Around:
    """One row each, the inner one's where both have it."""
    stays = ~np.isin(outer.rows, inner.rows)
    return Around(
        *(
            np.concatenate([getattr(outer, each.name)[stays], getattr(inner, each.name)])
            for each in fields(Around)
        )
    )


def _ip_in_ip(data: Bytes, networks: Networks, ends: Offsets, rows: Indexes) -> _Openings:
    at = networks.transport_at[rows]
    return _openings(rows, at, networks.end[rows], LinkType.RAW, Tunnel.IPIP, True)


def _gre(data: Bytes, networks: Networks, ends: Offsets, rows: Indexes) -> _Openings:
    at = networks.transport_at[rows]
    head = gather(data, at, _GRE_SHAPE)
    flags, carried = head["flags"].astype(np.int64), head["type"]
    summed, keyed = (flags & _GRE_CHECKSUM) >> 15, (flags & _GRE_KEY) >> 13
    size = 4 + 4 * (summed + keyed + ((flags & _GRE_SEQUENCE) >> 12))
    key = np.where(keyed == 1, head["words"][np.arange(rows.size), summed], 0)
    link = np.where(carried == _TRANSPARENT_ETHERNET, LinkType.ETHERNET, LinkType.RAW)
    known = (carried == _TRANSPARENT_ETHERNET) | _is_ip(carried)
    known &= (flags & (_GRE_ROUTING | _GRE_REST) == 0) & (at + size <= ends[rows])
    found = _openings(rows, at + size, networks.end[rows], link, Tunnel.GRE, True, key)
    return found.only(known)


def _udp(data: Bytes, networks: Networks, ends: Offsets, rows: Indexes) -> _Openings:
    at = networks.transport_at[rows]
    likely = looks_like_one(data, at)
    rows, at = rows[likely], at[likely]
    if not rows.size:
        return _joined([])
    head = gather(data, at, _UDP_SHAPE)
    whole = at + _SHAPE_BYTES <= np.minimum(ends[rows], networks.end[rows])
    # A fragment ends before the datagram does: what is inside is measured by the datagram.
    stop = np.where(head["length"] > _UDP_BYTES, at + head["length"], networks.end[rows])
    return _joined(
        [
            found
            for shape in (_vxlan, _geneve, _plain_udp)
            if (found := shape(head, rows, at, stop, whole)).rows.size
        ]
    )


def looks_like_one(data: Bytes, at: Offsets) -> Mask:
    """Whether datagrams may be tunnels: nearly all are none, which a few of their bytes tell."""
    glance = gather(data, at, _UDP_GLANCE)
    word, first, carried = glance["word"], glance["first"], glance["type"]
    likely = (word == _VXLAN_WORD >> 24) | (glance["dst_port"] == _FLANNEL_WORD)
    for kind in _GENEVE_KINDS:
        likely |= (carried == kind) & (first < 0x40)
    rare = np.flatnonzero(_FIRST_BYTES[first])
    if rare.size:
        total = carried[rare].byteswap().astype(np.int64)
        fills = total + _UDP_BYTES == glance["length"][rare]
        likely[rare] |= fills | ((glance["reserved"][rare] == 0) & (word[rare] & 0x40 == 0))
    return np.asarray(likely)


def _vxlan(
    head: npt.NDArray[np.void], rows: Indexes, at: Offsets, stop: Offsets, whole: Mask
) -> _Openings:
    first, flags = head["first"], head["first"] >> 24
    generic = (flags == _GENERIC) & np.isin(first & 0xFF, list(_GENERIC_KINDS))
    shaped = (first == _VXLAN_WORD) | (flags == _GROUP_POLICY) | generic
    shaped &= whole & (head["second"] & 0xFF == 0)
    link = np.full(rows.size, LinkType.ETHERNET, dtype=np.uint16)
    for number, kind in _GENERIC_KINDS.items():
        link[generic & (first & 0xFF == number)] = kind
    certain = np.isin(head["dst_port"], _VXLAN_PORTS)
    begin = at + _UDP_BYTES + 8
    network = head["second"] >> 8
    return _openings(rows, begin, stop, link, Tunnel.VXLAN, certain, network).only(shaped)


def _geneve(
    head: npt.NDArray[np.void], rows: Indexes, at: Offsets, stop: Offsets, whole: Mask
) -> _Openings:
    first, carried = head["first"], head["first"] & 0xFFFF
    shaped = (first >> 30 == 0) & (first & 0x003F0000 == 0) & (head["second"] & 0xFF == 0)
    shaped &= whole & ((carried == _TRANSPARENT_ETHERNET) | _is_ip(carried))
    options = ((first >> 24) & 0x3F).astype(np.int64) * 4
    link = np.where(carried == _TRANSPARENT_ETHERNET, LinkType.ETHERNET, LinkType.RAW)
    certain = head["dst_port"] == _GENEVE_PORT
    begin = at + _UDP_BYTES + 8 + options
    network = head["second"] >> 8
    return _openings(rows, begin, stop, link, Tunnel.GENEVE, certain, network).only(shaped)


def _plain_udp(
    head: npt.NDArray[np.void], rows: Indexes, at: Offsets, stop: Offsets, whole: Mask
) -> _Openings:
    """IP right behind the UDP header, as flannel's udp backend and foo-over-udp have it."""
    certain = head["dst_port"] == _FLANNEL_PORT
    version = head["first"] >> 28
    fills = (head["first"] & 0xFFFF) + _UDP_BYTES == head["length"]
    shaped = whole & (((version == 4) & (certain | fills)) | (certain & (version == 6)))
    begin = at + _UDP_BYTES
    return _openings(rows, begin, stop, LinkType.RAW, Tunnel.UDP, certain).only(shaped)


_OPENED: dict[int, Callable[[Bytes, Networks, Offsets, Indexes], _Openings]] = {
    _IPV4_IN_IP: _ip_in_ip,
    _IPV6_IN_IP: _ip_in_ip,
    _GRE: _gre,
    Protocol.UDP: _udp,
}


def _openings(
    rows: Indexes,
    at: Offsets,
    ends: Offsets,
    link_types: npt.NDArray[np.integer] | LinkType,
    kind: Tunnel,
    certain: Mask | bool,
    ids: npt.NDArray[np.integer] | int = 0,
) -> _Openings:
    shape = rows.shape
    return _Openings(
        rows,
        at,
        ends,
        np.broadcast_to(np.asarray(link_types).astype(np.uint16), shape),
        np.full(shape, kind, dtype=np.uint16),
        np.broadcast_to(np.asarray(ids).astype(np.uint32), shape),
        np.broadcast_to(certain, shape),
    )


def _joined(parts: list[_Openings]) -> _Openings:
    if not parts:
        none = np.zeros(0, dtype=np.intp)
        return _openings(none, none, none, LinkType.RAW, Tunnel.NONE, False)
    if len(parts) == 1:
        return parts[0]
    columns = ([getattr(part, each.name) for part in parts] for each in fields(_Openings))
    return _Openings(*map(np.concatenate, columns))


def _is_ip(ethertypes: npt.NDArray[np.integer]) -> Mask:
    return (ethertypes == _ETHERTYPE_IPV4) | (ethertypes == _ETHERTYPE_IPV6)


def _is_proven(data: Bytes, openings: _Openings, at: Offsets, inner: Networks) -> Mask:
    """Whether an IP header that checks stands there.

    IPv4 has a checksum (an anonymized capture has zeros for it); IPv6 must fill its tunnel.
    """
    room = openings.ends - at
    exact = inner.length == room
    datagram = np.isin(openings.kinds, (Tunnel.VXLAN, Tunnel.GENEVE, Tunnel.UDP))
    summed, wiped = _checksums(data, at)
    v4 = summed | (wiped & (openings.certain | exact))
    v6 = openings.certain | exact
    bare = (openings.kinds == Tunnel.UDP) & ~openings.certain
    proven = np.where(inner.family == 2, v4, v6) & (~bare | (exact & ~wiped))
    return np.asarray(inner.valid & proven & (~datagram | (inner.length <= room)))


def _checksums(data: Bytes, at: Offsets) -> tuple[Mask, Mask]:
    """IPv4 headers whose checksum is right, and those that have none."""
    words = gather(data, at, _HEADER_WORDS)["words"].astype(np.uint32)
    size = (gather(data, at, _IHL)["version"] & 0x0F).astype(np.int64) * 2
    total = np.where(np.arange(words.shape[1]) < size[:, None], words, 0).sum(axis=1)
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF, words[:, 5] == 0
