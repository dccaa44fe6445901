"""What generic netlink tells of servers that the listing leaves out; the kernel's own words are
compared with ipvsadm's in tests/kernel."""

from __future__ import annotations

import struct

import pytest

from tracer.address import parse
from tracer.events import Protocol
from tracer.node import collect
from tracer.node.ctnetlink import attribute
from tracer.node.ipvs_netlink import missing
from tracer.node.model import MarkServer, VirtualServer
from tracer.node.netlink import Requests

FAMILY = 30
V4, V6 = "10.96.0.10", "fd00::a"


def message(kind: int, *attributes: bytes) -> bytes:
    body = struct.pack("=BBH", 1, 1, 0) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def short(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=H", value))


def port(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("!H", value))


def ip(kind: int, text: str) -> bytes:
    packed = parse(text)
    return attribute(kind, packed[12:] + bytes(12) if "." in text else packed)


def service(*named: bytes, scheduler: str = "rr", flags: int = 0, timeout: int = 0) -> bytes:
    more = (
        attribute(6, scheduler.encode() + b"\0"),
        attribute(7, struct.pack("=II", flags, 0xFFFFFFFF)),
        number(8, timeout),
    )
    return message(FAMILY, attribute(1, b"".join((*named, *more)), nested=True))


def real(where: str, at: int, method: int, weight: int, family: int = 0) -> bytes:
    told = (ip(1, where), port(2, at), number(3, method), number(4, weight))
    more = (short(11, family),) if family else ()
    return message(FAMILY, attribute(2, b"".join((*told, *more)), nested=True))


NAMED = {
    "v4": (short(1, 2), short(2, Protocol.TCP), ip(3, V4), port(4, 80)),
    "v6": (short(1, 10), short(2, Protocol.UDP), ip(3, V6), port(4, 53)),
    "mark": (short(1, 2), number(5, 9)),
}
REAL = {
    "v4": real("10.1.0.1", 8080, 0, 0, 2) + real("10.1.0.2", 8080, 3, 7, 2),
    "v6": real("fd00:1::1", 53, 0, 1),
    "mark": b"",
}
SERVICES = (
    service(*NAMED["v4"], flags=1, timeout=10800)
    + service(*NAMED["v6"], scheduler="wlc", timeout=300)
    + service(*NAMED["mark"], flags=3, timeout=60)
)


class Kernel(Requests):
    """Answers as the kernel does, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def ask(self, kind, bodies):
        assert (kind, len(bodies)) == (0x10, 1)
        assert b"IPVS\0" in bodies[0]
        return [message(0x10, attribute(2, b"IPVS\0"), short(1, FAMILY))]

    def dump(self, kind, body):
        assert kind == FAMILY
        if body[0] == 4:
            yield SERVICES
            return
        assert body[0] == 8
        name = next(name for name, words in NAMED.items() if b"".join(words) in body)
        self.asked.append(name)
        yield REAL[name]

    def close(self):
        self.asked.append("closed")


WEB = VirtualServer(
    *(Protocol.TCP, parse(V4), 80, "rr"),
    ((parse("10.1.0.1"), 8080, 0), (parse("10.1.0.2"), 8080, 7)),
    ("masq", "route"),
    10800,
)
DNS = VirtualServer(Protocol.UDP, parse(V6), 53, "wlc", ((parse("fd00:1::1"), 53, 1),), ("masq",))
MARKED = MarkServer(9, False, "rr", (), (), 60)


def test_only_what_is_missing_is_asked_for():
    kernel = Kernel()
    known = {(Protocol.UDP, parse(V6), 53, 0)}
    assert missing(kernel, known) == ((WEB,), (MARKED,))
    assert kernel.asked == ["v4", "mark"]


def test_nothing_is_asked_for_when_as_many_are_known():
    kernel = Kernel()
    assert missing(kernel, {(0, b"", 0, mark) for mark in range(3)}) == ((), ())
    assert kernel.asked == []


def test_a_listing_is_completed(monkeypatch):
    kernel = Kernel()
    monkeypatch.setattr(collect, "Requests", lambda protocol: kernel)
    assert collect.completed((DNS,), ()) == ((DNS, WEB), (MARKED,))
    assert kernel.asked[-1] == "closed"


def test_a_listing_stays_as_it_is_where_nobody_may_ask(monkeypatch):
    def refused(requests, known):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(collect, "missing", refused)
    assert collect.completed((DNS,), (MARKED,)) == ((DNS,), (MARKED,))


def test_a_kernel_without_the_family_is_an_error():
    class Without(Kernel):
        def ask(self, kind, bodies):
            return []

    with pytest.raises(OSError, match="knows no IPVS"):
        missing(Without(), set())
