"""Link layers: where the network header of each packet begins, and which it is.

Sources: the LINKTYPE list and the SLL and SLL2 pages of tcpdump.org; RFC 1661 and 1662 (PPP),
2516 (PPPoE).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from tracer.events import Flag
from tracer.packets.ragged import Bytes, Indexes, Mask, Offsets, gather

IPV4, IPV6 = 0x0800, 0x86DD
_VLAN_TAGS = (0x8100, 0x88A8, 0x9100)
_MAX_VLAN_TAGS = 4
_PPPOE_SESSION, _PPPOE_BYTES = 0x8864, 6
_PPP_ADDRESS, _PPP_IPV4, _PPP_IPV6 = 0xFF03, 0x21, 0x57
_PACKET_OUTGOING, _ARPHRD_LOOPBACK = 4, 772


class LinkType(IntEnum):
    """LINKTYPE numbers understood here."""

    NULL = 0
    ETHERNET = 1
    PPP = 9
    DLT_RAW_BSD = 12
    DLT_RAW_OPENBSD = 14
    PPP_HDLC = 50
    PPPOE = 51
    RAW = 101
    CISCO_HDLC = 104
    LOOP = 108
    LINUX_SLL = 113
    PPP_WITH_DIRECTION = 166
    IPV4 = 228
    IPV6 = 229
    LINUX_SLL2 = 276


_RAW_AT = {
    LinkType.NULL: 4,
    LinkType.LOOP: 4,
    LinkType.DLT_RAW_BSD: 0,
    LinkType.DLT_RAW_OPENBSD: 0,
    LinkType.RAW: 0,
    LinkType.IPV4: 0,
    LinkType.IPV6: 0,
}
"""Bytes before the IP header; its version says which it is (the family number of NULL is the
capturing host's, in its byte order)."""

_ETHERNET = np.dtype({"names": ["type"], "formats": [">u2"], "offsets": [12], "itemsize": 14})
_CISCO = np.dtype({"names": ["type"], "formats": [">u2"], "offsets": [2], "itemsize": 4})
_PPP_AT = {
    LinkType.PPP: 0,
    LinkType.PPP_HDLC: 0,
    LinkType.PPPOE: _PPPOE_BYTES,
    LinkType.PPP_WITH_DIRECTION: 1,
}
"""Bytes before the PPP header."""
_PPP = np.dtype([("bytes", "u1", (4,))])
_VLAN = np.dtype([("tag", ">u2"), ("type", ">u2")])
_SLL = np.dtype(
    {
        "names": ["direction", "hardware", "type"],
        "formats": [">u2", ">u2", ">u2"],
        "offsets": [0, 2, 14],
        "itemsize": 16,
    }
)
_SLL2 = np.dtype(
    {
        "names": ["type", "ifindex", "hardware", "direction"],
        "formats": [">u2", ">u4", ">u2", "u1"],
        "offsets": [0, 4, 8, 10],
        "itemsize": 20,
    }
)
_VERSION = np.dtype([("version", "u1")])


@dataclass(frozen=True, slots=True)
class Links:
    """What the link headers of n packets say."""

    network_at: Offsets
    """Offset of the network header in the data."""
    ethertypes: npt.NDArray[np.uint16]
    """0 where the link header is cut off or of an unknown kind."""
    ifindexes: npt.NDArray[np.uint32]
    """0 where the link header has none."""
    flags: npt.NDArray[np.uint16]

    @classmethod
    def unknown(cls, starts: Offsets) -> Links:
        """Nothing known yet, to be filled in place by link type."""
        count = starts.size
        return cls(
            starts.copy(),
            np.zeros(count, dtype=np.uint16),
            np.zeros(count, dtype=np.uint32),
            np.zeros(count, dtype=np.uint16),
        )

    def rows(self, rows: Indexes) -> Links:
        """Some of them."""
        return Links(
            self.network_at[rows], self.ethertypes[rows], self.ifindexes[rows], self.flags[rows]
        )


def locate(
    data: Bytes, starts: Offsets, ends: Offsets, link_types: npt.NDArray[np.uint16]
) -> Links:
    """Find the network headers of packets ``data[starts:ends]``."""
    links = Links.unknown(starts)
    for link_type in np.flatnonzero(np.bincount(link_types)).tolist():
        rows = np.flatnonzero(link_types == link_type)
        if link_type in _RAW_AT:
            _raw(links, data, ends, rows, _RAW_AT[LinkType(link_type)])
        elif link_type == LinkType.ETHERNET:
            _framed(links, data, ends, rows, _ETHERNET)
        elif link_type == LinkType.CISCO_HDLC:
            _framed(links, data, ends, rows, _CISCO)
        elif link_type in _PPP_AT:
            _point_to_point(links, data, ends, rows, _PPP_AT[LinkType(link_type)])
        elif link_type == LinkType.LINUX_SLL:
            _cooked(links, rows, _framed(links, data, ends, rows, _SLL))
        elif link_type == LinkType.LINUX_SLL2:
            head = _framed(links, data, ends, rows, _SLL2)
            _cooked(links, rows, head)
            links.ifindexes[rows] = head["ifindex"]
    _skip_vlan_tags(links, data, ends)
    sessions = np.flatnonzero(links.ethertypes == _PPPOE_SESSION)
    if sessions.size:
        _point_to_point(links, data, ends, sessions, _PPPOE_BYTES)
    return links


def _raw(links: Links, data: Bytes, ends: Offsets, rows: Indexes, skip: int) -> None:
    at = links.network_at[rows] + skip
    links.network_at[rows] = at
    version = gather(data, at, _VERSION)["version"] >> 4
    kind = np.where(version == 4, IPV4, np.where(version == 6, IPV6, 0))
    links.ethertypes[rows] = np.where(at < ends[rows], kind, 0)


def _point_to_point(links: Links, data: Bytes, ends: Offsets, rows: Indexes, skip: int) -> None:
    """Both parts of the PPP header may be shortened: no address, one byte of protocol."""
    at = links.network_at[rows] + skip
    head = gather(data, at, _PPP)["bytes"].astype(np.int64)
    addressed = head[:, 0] << 8 | head[:, 1]
    first = np.where(addressed == _PPP_ADDRESS, 2, 0)
    row = np.arange(rows.size)
    high, low = head[row, first], head[row, first + 1]
    short = high & 1 == 1
    protocol = np.where(short, high, high << 8 | low)
    at = at + first + np.where(short, 1, 2)
    kind = np.where(protocol == _PPP_IPV4, IPV4, np.where(protocol == _PPP_IPV6, IPV6, 0))
    links.network_at[rows] = at
    links.ethertypes[rows] = np.where(at < ends[rows], kind, 0)


def _framed(
    links: Links, data: Bytes, ends: Offsets, rows: Indexes, layout: np.dtype[np.void]
) -> npt.NDArray[np.void]:
    head = gather(data, links.network_at[rows], layout)
    at = links.network_at[rows] + layout.itemsize
    links.network_at[rows] = at
    whole = at <= ends[rows]
    links.ethertypes[rows] = np.where(whole, head["type"], 0)
    return head


def _cooked(links: Links, rows: Indexes, head: npt.NDArray[np.void]) -> None:
    outgoing = np.where(head["direction"] == _PACKET_OUTGOING, Flag.OUTGOING, 0)
    loopback = np.where(head["hardware"] == _ARPHRD_LOOPBACK, Flag.LOOPBACK, 0)
    links.flags[rows] = outgoing | loopback


def _skip_vlan_tags(links: Links, data: Bytes, ends: Offsets) -> None:
    for _ in range(_MAX_VLAN_TAGS):
        rows = np.flatnonzero(_tagged(links.ethertypes))
        if not rows.size:
            return
        _framed(links, data, ends, rows, _VLAN)


def _tagged(ethertypes: npt.NDArray[np.uint16]) -> Mask:
    first, second, third = _VLAN_TAGS
    return (ethertypes == first) | (ethertypes == second) | (ethertypes == third)
