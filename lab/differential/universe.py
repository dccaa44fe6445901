"""What random rules and random packets are about: few values, so that they meet often."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

UPLINK, PODS = "n0", "n1"
"""The node's two links; each has its peer ``o0``, ``o1`` outside."""
PORTS = (53, 80, 443, 8080, 30080)
MARKS = (0x1, 0x4000, 0x8000, 0x4001)
PROTOCOLS = {"tcp": 6, "udp": 17}
FAMILIES = (4, 6)


@dataclass(frozen=True)
class Universe:
    """The addresses of one family."""

    ipv6: bool
    nodes: tuple[str, str]
    pods: tuple[str, ...]
    outside: tuple[str, ...]
    virtual: tuple[str, ...]
    networks: tuple[str, ...]
    """Those that rules name; the first three do not hold everything."""
    loopback: str
    pod_range: tuple[str, str]
    """First and last of some pods."""
    cluster_cidr: str
    source_range: str
    """Clients that a load balancer admits."""
    new_sources: tuple[str, str]
    """What SNAT makes of a source."""
    addresses: tuple[tuple[str, str], ...]
    """(link, address with prefix)."""
    router: str
    """Next hop of the default route, beyond the uplink."""
    sets: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    """Address sets by name: kind and members."""

    @property
    def every(self) -> tuple[str, ...]:
        """Every address but the loopback's."""
        return (*self.nodes, *self.pods, *self.outside, *self.virtual)

    @property
    def bits(self) -> int:
        """Length of an address."""
        return 128 if self.ipv6 else 32


V4 = Universe(
    ipv6=False,
    nodes=("172.30.0.2", "10.244.1.1"),
    pods=("10.244.1.10", "10.244.1.11", "10.244.1.12"),
    outside=("172.30.0.100", "172.30.0.101", "203.0.113.7"),
    virtual=("10.96.0.1", "10.96.0.2", "192.0.2.9"),
    networks=("10.244.1.0/24", "10.96.0.0/16", "172.30.0.0/16", "0.0.0.0/0", "203.0.113.0/25"),
    loopback="127.0.0.1",
    pod_range=("10.244.1.10", "10.244.1.11"),
    cluster_cidr="10.244.0.0/16",
    source_range="203.0.113.0/25",
    new_sources=("192.0.2.77", "192.0.2.78"),
    addresses=((UPLINK, "172.30.0.2/24"), (PODS, "10.244.1.1/24")),
    router="172.30.0.1",
    sets={
        "destinations": ("hash:ip", ("10.96.0.1", "10.244.1.10", "172.30.0.2")),
        "services": (
            "hash:ip,port",
            ("10.96.0.1,tcp:80", "10.96.0.2,udp:53", "172.30.0.2,tcp:30080"),
        ),
        "ranges": ("hash:net", ("10.244.1.0/24", "172.30.0.0/16")),
        "ports": ("bitmap:port", ("80", "30080")),
    },
)
V6 = Universe(
    ipv6=True,
    nodes=("fd00:30::2", "fd00:244:1::1"),
    pods=("fd00:244:1::10", "fd00:244:1::11", "fd00:244:1::12"),
    outside=("fd00:30::100", "fd00:30::101", "2001:db8:113::7"),
    virtual=("fd00:10:96::1", "fd00:10:96::2", "2001:db8:2::9"),
    networks=("fd00:244:1::/64", "fd00:10:96::/112", "fd00:30::/64", "::/0", "2001:db8:113::/121"),
    loopback="::1",
    pod_range=("fd00:244:1::10", "fd00:244:1::11"),
    cluster_cidr="fd00:244::/32",
    source_range="2001:db8:113::/121",
    new_sources=("2001:db8:2::77", "2001:db8:2::78"),
    addresses=((UPLINK, "fd00:30::2/64"), (PODS, "fd00:244:1::1/64")),
    router="fd00:30::1",
    sets={
        "destinations6": ("hash:ip", ("fd00:10:96::1", "fd00:244:1::10", "fd00:30::2")),
        "services6": (
            "hash:ip,port",
            ("fd00:10:96::1,tcp:80", "fd00:10:96::2,udp:53", "fd00:30::2,tcp:30080"),
        ),
        "ranges6": ("hash:net", ("fd00:244:1::/64", "fd00:30::/64")),
        "ports": ("bitmap:port", ("80", "30080")),
    },
)
UNIVERSES = {4: V4, 6: V6}


@dataclass(frozen=True, slots=True)
class Sent:
    """A packet that is sent: identified by its IP id or flow label, which every hook keeps."""

    number: int
    protocol: str
    src: str
    sport: int
    dst: str
    dport: int
    device: str
    """The link it comes in by; empty for the node's own."""

    @property
    def ipv6(self) -> bool:
        """Which family it belongs to."""
        return ":" in self.dst


def packets(chance: random.Random, universe: Universe, count: int, first_port: int) -> list[Sent]:
    """Packets of connections that are all different, each numbered by its own port."""
    found = []
    everywhere = (*universe.every, universe.loopback)
    for number in range(count):
        device = chance.choice((UPLINK, PODS, PODS, ""))
        sources = {
            UPLINK: universe.outside,
            PODS: universe.pods,
            "": (*universe.nodes, universe.loopback),
        }
        src = chance.choice(sources[device])
        if device and chance.random() < 0.08:
            src = chance.choice(everywhere)
        found.append(
            Sent(
                number=first_port + number,
                protocol=chance.choice(("tcp", "tcp", "udp")),
                src=src,
                sport=first_port + number,
                dst=chance.choice(universe.every if chance.random() < 0.97 else everywhere),
                dport=chance.choice(PORTS),
                device=device,
            )
        )
    return found
