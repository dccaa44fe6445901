"""What the kernel did with each packet, told by the kernel: NFLOG behind every other rule.

Numbers are those of ``linux/netfilter/nfnetlink_log.h``.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_NETLINK_NETFILTER = 12
_ULOG = 4 << 8
_MSG_PACKET, _MSG_CONFIG = _ULOG, _ULOG | 1
_REQUEST = 1
_CFG_CMD, _CFG_MODE, _CFG_QTHRESH = 1, 2, 5
_BIND, _COPY_PACKET = 1, 2
_PACKET_HDR, _MARK, _INDEV, _OUTDEV, _PAYLOAD = 1, 2, 4, 5, 9
_SO_RCVBUFFORCE = 33
LEAVING, RECEIVED, ANSWERED = 5, 6, 7
"""NFLOG groups: after POSTROUTING, after INPUT, and all that the node itself sends."""
TABLE = f"""
table inet observer {{
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
  meta l4proto icmp log group {ANSWERED}
  tcp flags & rst == rst log group {ANSWERED}
 }}
}}
"""
_QUIET_S = 0.02
_ICMP_UNREACHABLE = 3
_RST = 4


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
    """The IP id that an ICMP error quotes; 0 for others."""
    reset: bool


class Observer:
    """A netlink socket in the namespace where it is made."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
        self._socket.bind((0, 0))
        for group in (LEAVING, RECEIVED, ANSWERED):
            self._configure(group, _CFG_CMD, struct.pack("!B", _BIND))
            self._configure(group, _CFG_MODE, struct.pack("!IBx", 0xFFFF, _COPY_PACKET))
            self._configure(group, _CFG_QTHRESH, struct.pack("!I", 1))

    def seen(self) -> Iterator[Seen]:
        """Everything since the last call, until the kernel has been quiet for a moment."""
        while select.select([self._socket], [], [], _QUIET_S)[0]:
            data = self._socket.recv(1 << 17)
            position = 0
            while position + 16 <= len(data):
                length, kind = struct.unpack_from("=IH", data, position)
                if kind == _MSG_PACKET and (
                    found := _parsed(data[position + 16 : position + length])
                ):
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
    if len(payload) < 20 or payload[0] >> 4 != 4:
        return None
    return _packet(group, payload, found)


def _packet(group: int, payload: bytes, found: dict[int, bytes]) -> Seen:
    start = (payload[0] & 15) * 4
    (number,) = struct.unpack_from("!H", payload, 4)
    protocol = payload[9]
    sport, dport = struct.unpack_from("!HH", payload, start) if len(payload) > start + 3 else (0, 0)
    about = 0
    if protocol == 1 and payload[start] == _ICMP_UNREACHABLE:
        (about,) = struct.unpack_from("!H", payload, start + 12)
    return Seen(
        group=group,
        number=number,
        protocol=protocol,
        src=socket.inet_ntoa(payload[12:16]),
        sport=sport,
        dst=socket.inet_ntoa(payload[16:20]),
        dport=dport,
        mark=struct.unpack("!I", found[_MARK])[0] if _MARK in found else 0,
        outgoing=struct.unpack("!I", found[_OUTDEV])[0] if _OUTDEV in found else 0,
        about=about,
        reset=protocol == 6 and bool(payload[start + 13] & _RST),
    )
