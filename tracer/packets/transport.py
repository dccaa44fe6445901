"""TCP, UDP, SCTP and ICMP headers as columns.

Sources: RFC 9293, RFC 768, RFC 9260, RFC 792, RFC 4443.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.events import Protocol
from tracer.packets.network import Networks
from tracer.packets.ragged import Bytes, Mask, Offsets, gather

_TCP = np.dtype(
    [
        ("src_port", ">u2"),
        ("dst_port", ">u2"),
        ("seq", ">u4"),
        ("ack", ">u4"),
        ("offset", "u1"),
        ("flags", "u1"),
    ]
)
_ICMP = np.dtype(
    {
        "names": ["type", "code", "id"],
        "formats": ["u1", "u1", ">u2"],
        "offsets": [0, 1, 4],
        "itemsize": _TCP.itemsize,
    }
)
_PORTS_END, _SEQ_END, _ACK_END, _OFFSET_END, _FLAGS_END = 4, 8, 12, 13, 14
_TYPE_END, _ID_END, QUOTE_AT = 2, 6, 8
ECHO_SEQUENCE_AT = _ID_END
_TCP_HEADER, _UDP_HEADER, _SCTP_HEADER = 20, 8, 12

_HAS_PORTS = np.zeros(256, dtype=np.bool_)
_HAS_PORTS[[Protocol.TCP, Protocol.UDP, Protocol.SCTP]] = True
_ECHO_V4, _ECHO_V6 = (0, 8), (128, 129)
_ERRORS_V4 = np.zeros(256, dtype=np.bool_)
_ERRORS_V4[[3, 4, 5, 11, 12]] = True
_ERRORS_V6 = np.zeros(256, dtype=np.bool_)
_ERRORS_V6[1:128] = True


@dataclass(frozen=True, slots=True)
class Transports:
    """The transport headers of n packets; absent fields are 0."""

    src_port: npt.NDArray[np.uint16]
    dst_port: npt.NDArray[np.uint16]
    seq: npt.NDArray[np.uint32]
    ack: npt.NDArray[np.uint32]
    tcp_flags: npt.NDArray[np.uint8]
    detail: npt.NDArray[np.int64]
    """Payload length; of ICMP type << 8 | code."""
    quotes: Mask
    """ICMP errors, which hold the packet they are about ``QUOTE_AT`` bytes in."""
    cut: Mask
    """Captured only up to the middle of the headers."""


def read_transports(data: Bytes, networks: Networks, ends: Offsets) -> Transports:
    """Read the headers at ``networks.transport_at``; captured bytes end at ``ends``."""
    at = networks.transport_at
    readable = networks.valid & ~networks.later_fragment & ~networks.cut
    have = np.where(readable, np.minimum(ends, networks.end) - at, 0)
    rows = gather(data, at, _TCP)
    icmp = rows.view(_ICMP)
    ported = _HAS_PORTS[networks.protocol] & (have >= _PORTS_END)
    tcp = networks.protocol == Protocol.TCP
    echo, quotes, is_icmp = _icmp_kinds(networks, icmp["type"], have)
    header = _header_lengths(networks.protocol, rows["offset"], tcp & (have >= _OFFSET_END))
    payload = np.maximum(networks.end - at - header, 0) * (readable & (header > 0))
    return Transports(
        np.where(echo, icmp["id"], rows["src_port"] * ported).astype(np.uint16),
        np.where(echo, icmp["id"], rows["dst_port"] * ported).astype(np.uint16),
        (rows["seq"] * (tcp & (have >= _SEQ_END))).astype(np.uint32),
        (rows["ack"] * (tcp & (have >= _ACK_END))).astype(np.uint32),
        rows["flags"] * (tcp & (have >= _FLAGS_END)),
        np.where(is_icmp, icmp["type"] * np.int64(256) + icmp["code"], payload),
        quotes,
        networks.valid & _is_cut(networks, ends, header + QUOTE_AT * _icmp(networks)),
    )


def _icmp_kinds(
    networks: Networks, types: npt.NDArray[np.uint8], have: Offsets
) -> tuple[Mask, Mask, Mask]:
    """Echoes, errors, and any ICMP whose type can be read; no other protocol."""
    read = _icmp(networks) & (have >= _TYPE_END)
    v4, v6 = read & (networks.family == 2), read & (networks.family == 10)
    echo = (v4 & ((types == _ECHO_V4[0]) | (types == _ECHO_V4[1]))) | (
        v6 & ((types == _ECHO_V6[0]) | (types == _ECHO_V6[1]))
    )
    errors = (v4 & _ERRORS_V4[types]) | (v6 & _ERRORS_V6[types])
    return echo & (have >= _ID_END), errors, read


def _icmp(networks: Networks) -> Mask:
    """Each family has its own; the other's number in it is no ICMP."""
    own = np.where(networks.family == 2, Protocol.ICMP, Protocol.ICMPV6)
    return networks.protocol == own


def _header_lengths(
    protocol: npt.NDArray[np.uint8], offset: npt.NDArray[np.uint8], stated: Mask
) -> Offsets:
    """Bytes of the transport header, 0 for protocols not read here; TCP states its own."""
    tcp = np.where(stated, np.maximum((offset >> 4).astype(np.int64) * 4, _TCP_HEADER), _TCP_HEADER)
    return (
        tcp * (protocol == Protocol.TCP)
        + _UDP_HEADER * (protocol == Protocol.UDP)
        + _SCTP_HEADER * (protocol == Protocol.SCTP)
    )


def _is_cut(networks: Networks, ends: Offsets, needed: Offsets) -> Mask:
    """Whether the capture, not the packet itself, ends before ``needed`` transport bytes."""
    wanted = networks.transport_at + np.where(networks.later_fragment, 0, needed)
    return networks.cut | ((wanted > ends) & (networks.end > ends))
