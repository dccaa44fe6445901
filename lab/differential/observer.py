"""What the kernel did with each packet, told by the kernel: NFLOG behind every other rule.

Numbers are those of ``linux/netfilter/nfnetlink_log.h``.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from tracer.errors import UnableError

_NETLINK_NETFILTER = 12
_ULOG = 4 << 8
_MSG_PACKET, _MSG_CONFIG = _ULOG, _ULOG | 1
_REQUEST = 1
_CFG_CMD, _CFG_MODE, _CFG_QTHRESH = 1, 2, 5
_BIND, _COPY_PACKET = 1, 2
_PACKET_HDR, _MARK, _INDEV, _OUTDEV, _PAYLOAD = 1, 2, 4, 5, 9
_SO_RCVBUFFORCE = 33
LEAVING, RECEIVED, ANSWERED, LAST = 5, 6, 7, 8
"""NFLOG groups: after POSTROUTING, after INPUT, all that the node itself sends, and the end."""
LAST_PORT = 9
"""A UDP packet to it says that all before it have been through."""
TABLE = f"""
table inet observer {{
 chain last {{
  type filter hook prerouting priority -1000
  udp dport {LAST_PORT} log group {LAST} drop
 }}
 chain leaving {{
  type filter hook postrouting priority 1000
  log group {LEAVING}
 }}
 chain received {{
  type filter hook input priority 1000
  log group {RECEIVED}
 }}
 chain answered {{
  type filter hook output priority -1000
  meta l4proto {{ icmp, ipv6-icmp }} log group {ANSWERED}
  tcp flags & rst == rst log group {ANSWERED}
 }}
}}
"""
_PATIENCE_S = 30.0
_ICMP, _ICMPV6 = 1, 58
_UNREACHABLE = {_ICMP: 3, _ICMPV6: 1}
_RST = 4
_FLOW_LABEL = 0xFFFFF


@dataclass(frozen=True, slots=True)
class Seen:
    """One packet at an observer."""

    group: int
    number: int
    protocol: int
    src: str
    sport: int
    dst: str
    dport: int
    mark: int
    outgoing: int
    """Index of the interface it leaves by."""
    about: int
    """The number of the packet that an ICMP error quotes; 0 for others."""
    reset: bool
    code: int = 0
    """Of an ICMP error."""

    @property
    def is_error(self) -> bool:
        """Whether it is an answer of ICMP."""
        return self.protocol in _UNREACHABLE


class Observer:
    """A netlink socket in the namespace where it is made."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
        self._socket.bind((0, 0))
        for group in (LEAVING, RECEIVED, ANSWERED, LAST):
            self._configure(group, _CFG_CMD, struct.pack("!B", _BIND))
            self._configure(group, _CFG_MODE, struct.pack("!IBx", 0xFFFF, _COPY_PACKET))
            self._configure(group, _CFG_QTHRESH, struct.pack("!I", 1))

    def seen(self, lasts: int) -> Iterator[Seen]:
        """Everything since the last call, until so many packets to ``LAST_PORT`` came in."""
        while lasts:
            if not select.select([self._socket], [], [], _PATIENCE_S)[0]:
                raise UnableError("the kernel did not report the last packet", "NFLOG is silent")
            data = self._socket.recv(1 << 17)
            position = 0
            while position + 16 <= len(data):
                length, kind = struct.unpack_from("=IH", data, position)
                if kind == _MSG_PACKET and (
                    found := _parsed(data[position + 16 : position + length])
                ):
                    lasts -= found.group == LAST
                    yield found
                position += max(16, length + 3 & ~3)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _configure(self, group: int, attribute: int, value: bytes) -> None:
        body = struct.pack("!BBH", 0, 0, group)
        padded = value + bytes(-len(value) % 4)
        body += struct.pack("=HH", 4 + len(value), attribute) + padded
        self._socket.send(struct.pack("=IHHII", 16 + len(body), _MSG_CONFIG, _REQUEST, 0, 0) + body)


def _parsed(message: bytes) -> Seen | None:
    (group,) = struct.unpack_from("!H", message, 2)
    found: dict[int, bytes] = {}
    position = 4
    while position + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, position)
        found[kind & 0x3FFF] = message[position + 4 : position + length]
        position += max(4, length + 3 & ~3)
    payload = found.get(_PAYLOAD, b"")
    if len(payload) < 20 or payload[0] >> 4 not in (4, 6):
        return None
    return _packet(group, payload, found)


def _number(header: bytes) -> int:
    """What identifies a packet of ours: IPv4's identification or IPv6's flow label."""
    if header[0] >> 4 == 6:
        return int.from_bytes(header[:4], "big") & _FLOW_LABEL
    return int.from_bytes(header[4:6], "big")


def _packet(group: int, payload: bytes, found: dict[int, bytes]) -> Seen:
    ipv6 = payload[0] >> 4 == 6
    start = 40 if ipv6 else (payload[0] & 15) * 4
    protocol = payload[6] if ipv6 else payload[9]
    family, ends = (socket.AF_INET6, (8, 24, 40)) if ipv6 else (socket.AF_INET, (12, 16, 20))
    src, dst = (socket.inet_ntop(family, payload[a:b]) for a, b in pairwise(ends))
    sport, dport = struct.unpack_from("!HH", payload, start) if len(payload) > start + 3 else (0, 0)
    is_error = protocol in _UNREACHABLE and payload[start] == _UNREACHABLE[protocol]
    return Seen(
        group=group,
        number=_number(payload),
        protocol=protocol,
        src=src,
        sport=sport,
        dst=dst,
        dport=dport,
        mark=struct.unpack("!I", found[_MARK])[0] if _MARK in found else 0,
        outgoing=struct.unpack("!I", found[_OUTDEV])[0] if _OUTDEV in found else 0,
        about=_number(payload[start + 8 :]) if is_error else 0,
        reset=protocol == 6 and bool(payload[start + 13] & _RST),
        code=payload[start + 1] if is_error else 0,
    )
