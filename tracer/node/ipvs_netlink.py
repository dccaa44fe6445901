"""IPVS virtual servers over generic netlink: those that ``/proc/net/ip_vs`` leaves out.

The kernel's listing there goes on after each page by a count of all network namespaces'
servers, and begins by a count of its own's (``ip_vs_info_array`` and ``ip_vs_info_seq_next``
in net/netfilter/ipvs/ip_vs_ctl.c): where several namespaces use IPVS, as nodes in containers
do, servers are missing. Netlink tells all, but every server's backends by a question of their
own: so it is asked which servers there are, and only for the backends of missing ones.
Numbers are those of ``linux/ip_vs.h`` and ``linux/genetlink.h``.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator, Set
from typing import NamedTuple

from tracer.address import MAPPED_PREFIX
from tracer.node.attributes import (
    HEADER_WORDS,
    Block,
    Messages,
    Positions,
    inside,
    messages,
    raw,
    walk,
)
from tracer.node.ctnetlink import attribute
from tracer.node.model import MarkServer, VirtualServer
from tracer.node.netlink import Requests

NETLINK_GENERIC = 16
_CONTROL, _GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 0x10, 3, 1, 2
_GET_SERVICE, _GET_DEST = 4, 8
_VERSION = 1
_OF_SERVICE, _OF_DEST = 1, 2
_SVC_AF, _SVC_PROTOCOL, _SVC_ADDR, _SVC_PORT, _SVC_FWMARK = 1, 2, 3, 4, 5
_SVC_SCHED_NAME, _SVC_FLAGS, _SVC_TIMEOUT = 6, 7, 8
_NAMED_BY = (_SVC_AF, _SVC_PROTOCOL, _SVC_ADDR, _SVC_PORT, _SVC_FWMARK)
_PERSISTENT = 1
_DEST_ADDR, _DEST_PORT, _DEST_METHOD, _DEST_WEIGHT, _DEST_FAMILY = 1, 2, 3, 4, 11
_METHODS = ("masq", "local", "tunnel", "route")
_AF_INET6 = 10

Name = tuple[int, bytes, int, int]
"""(protocol, address, port, mark); the first three or the last are empty."""


class _Service(NamedTuple):
    name: Name
    ipv6: bool
    scheduler: str
    persistent_s: int
    question: bytes
    """The attributes that name it."""


def missing(
    requests: Requests, known: Set[Name]
) -> tuple[tuple[VirtualServer, ...], tuple[MarkServer, ...]]:
    """This namespace's servers besides the known ones; OSError as the kernel says it.

    Without CAP_NET_ADMIN it refuses. Not to be asked where IPVS is not loaded: that loads it.
    """
    family = _family(requests)
    listed = requests.listed(family, family, _head(_GET_SERVICE))
    if len(listed) == len(known):
        return (), ()
    by_address: list[VirtualServer] = []
    by_mark: list[MarkServer] = []
    for found in _services(listed):
        if found.name in known:
            continue
        backends = tuple(_backends(requests, family, found))
        at = tuple(backend[:3] for backend in backends)
        more = (found.scheduler, at, tuple(backend[3] for backend in backends), found.persistent_s)
        protocol, ip, port, mark = found.name
        if mark:
            by_mark.append(MarkServer(mark, found.ipv6, *more))
        else:
            by_address.append(VirtualServer(protocol, ip, port, *more))
    return tuple(by_address), tuple(by_mark)


def _family(requests: Requests) -> int:
    """The number that generic netlink gave IPVS."""
    body = _head(_GET_FAMILY) + attribute(_FAMILY_NAME, b"IPVS\0")
    found = messages(Block.of(requests.ask(_CONTROL, [body])))
    for values in _payloads(found, *_bodies(found), _FAMILY_ID):
        return _number(values[_FAMILY_ID])
    raise FileNotFoundError(2, "generic netlink knows no IPVS")


def _services(listed: Messages) -> Iterator[_Service]:
    for values in _nested(listed, _OF_SERVICE, _SVC_TIMEOUT):
        mark = _number(values[_SVC_FWMARK])
        ipv6 = _number(values[_SVC_AF]) == _AF_INET6
        ip = _packed(values[_SVC_ADDR], ipv6=ipv6)
        at = int.from_bytes(values[_SVC_PORT][:2], "big")
        yield _Service(
            (0, b"", 0, mark) if mark else (_number(values[_SVC_PROTOCOL]), ip, at, 0),
            ipv6,
            values[_SVC_SCHED_NAME].split(b"\0", 1)[0].decode("ascii", "replace"),
            _number(values[_SVC_TIMEOUT]) if _number(values[_SVC_FLAGS][:4]) & _PERSISTENT else 0,
            b"".join(attribute(kind, values[kind]) for kind in _NAMED_BY if values[kind]),
        )


def _backends(
    requests: Requests, family: int, service: _Service
) -> Iterator[tuple[bytes, int, int, str]]:
    """Address, port, weight and method of each."""
    body = _head(_GET_DEST) + attribute(_OF_SERVICE, service.question, nested=True)
    for values in _nested(requests.listed(family, family, body), _OF_DEST, _DEST_FAMILY):
        told = _number(values[_DEST_FAMILY])
        ipv6 = told == _AF_INET6 if told else service.ipv6
        yield (
            _packed(values[_DEST_ADDR], ipv6=ipv6),
            int.from_bytes(values[_DEST_PORT][:2], "big"),
            _number(values[_DEST_WEIGHT]),
            _METHODS[_number(values[_DEST_METHOD]) & 3],
        )


def _head(command: int) -> bytes:
    """``struct genlmsghdr``."""
    return struct.pack("=BBH", command, _VERSION, 0)


def _bodies(found: Messages) -> tuple[Positions, Positions]:
    """Bounds of each message's attributes."""
    return found.starts + HEADER_WORDS + 1, found.ends


def _nested(found: Messages, outer: int, highest: int) -> Iterator[list[bytes]]:
    """Payloads inside one attribute of each message."""
    table = walk(found.words, *_bodies(found), outer)
    return _payloads(found, *inside(found.words, table[:, outer]), highest)


def _payloads(
    found: Messages, starts: Positions, ends: Positions, highest: int
) -> Iterator[list[bytes]]:
    """Payloads by type, between each pair of bounds; empty where one is absent."""
    for row in walk(found.words, starts, ends, highest):
        yield [raw(found.words, int(at)) for at in row]


def _number(value: bytes) -> int:
    """Of this machine's byte order; 0 where it is absent."""
    return int.from_bytes(value, sys.byteorder)


def _packed(value: bytes, *, ipv6: bool) -> bytes:
    return value[:16] if ipv6 else MAPPED_PREFIX + value[:4]
