"""Packets as bytes, checksums included: conntrack calls a packet with a wrong one invalid."""

from __future__ import annotations

import socket
import struct

from lab.differential.universe import PROTOCOLS, Sent

_SYN = 2
_ETHERTYPES = {False: 0x0800, True: 0x86DD}


def ip_packet(sent: Sent) -> bytes:
    """The first packet of a connection."""
    family = socket.AF_INET6 if sent.ipv6 else socket.AF_INET
    src, dst = socket.inet_pton(family, sent.src), socket.inet_pton(family, sent.dst)
    protocol = PROTOCOLS[sent.protocol]
    if sent.protocol == "tcp":
        blank = struct.pack("!HHIIBBHHH", sent.sport, sent.dport, 1, 0, 5 << 4, _SYN, 8192, 0, 0)
        place = 16
    else:
        blank, place = struct.pack("!HHHH", sent.sport, sent.dport, 8, 0), 6
    pseudo = src + dst + struct.pack("!IBBBB", len(blank), 0, 0, 0, protocol)
    body = _with_checksum(blank, place, pseudo)
    if sent.ipv6:
        return (
            struct.pack("!IHBB", 6 << 28 | sent.number, len(body), protocol, 64) + src + dst + body
        )
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), sent.number, 0, 64, protocol, 0, src, dst
    )
    return _with_checksum(header, 10, b"") + body


def frame(sent: Sent, target: bytes, sender: bytes) -> bytes:
    """The same in Ethernet, for the link's other end."""
    return target + sender + struct.pack("!H", _ETHERTYPES[sent.ipv6]) + ip_packet(sent)


def _with_checksum(data: bytes, place: int, pseudo: bytes) -> bytes:
    whole = pseudo + data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(whole) // 2}H", whole))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return data[:place] + struct.pack("!H", ~total & 0xFFFF) + data[place + 2 :]
