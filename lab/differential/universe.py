"""What random rules and random packets are about: few values, so that they meet often."""

from __future__ import annotations

import random
from dataclasses import dataclass

UPLINK, PODS = "n0", "n1"
"""The node's two links; each has its peer ``o0``, ``o1`` outside."""
NODE_ADDRESSES = ("172.30.0.2", "10.244.1.1")
POD_ADDRESSES = ("10.244.1.10", "10.244.1.11", "10.244.1.12")
OUTSIDE = ("172.30.0.100", "172.30.0.101", "203.0.113.7")
VIRTUAL = ("10.96.0.1", "10.96.0.2", "192.0.2.9")
EVERY = (*NODE_ADDRESSES, *POD_ADDRESSES, *OUTSIDE, *VIRTUAL)
NETWORKS = ("10.244.1.0/24", "10.96.0.0/16", "172.30.0.0/16", "0.0.0.0/0", "203.0.113.0/25")
PORTS = (53, 80, 443, 8080, 30080)
MARKS = (0x1, 0x4000, 0x8000, 0x4001)
PROTOCOLS = {"tcp": 6, "udp": 17}
ADDRESSES = ((UPLINK, "172.30.0.2/24"), (PODS, "10.244.1.1/24"))
ROUTES = (("default", "172.30.0.1", UPLINK),)
SETS = {
    "destinations": ("hash:ip", ("10.96.0.1", "10.244.1.10", "172.30.0.2")),
    "services": ("hash:ip,port", ("10.96.0.1,tcp:80", "10.96.0.2,udp:53", "172.30.0.2,tcp:30080")),
    "ranges": ("hash:net", ("10.244.1.0/24", "172.30.0.0/16")),
    "ports": ("bitmap:port", ("80", "30080")),
}
"""Address sets by name: kind and members."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A packet that is sent: identified by its IP id, which every hook keeps."""

    number: int
    protocol: str
    src: str
    sport: int
    dst: str
    dport: int
    device: str
    """The link it comes in by; empty for the node's own."""


def packets(chance: random.Random, count: int, first_port: int) -> list[Sent]:
    """Packets of connections that are all different."""
    found = []
    for number in range(count):
        device = chance.choice((UPLINK, PODS, PODS, ""))
        sources = {UPLINK: OUTSIDE, PODS: POD_ADDRESSES, "": (*NODE_ADDRESSES, "127.0.0.1")}
        src = chance.choice(sources[device])
        if device and chance.random() < 0.08:
            src = chance.choice(EVERY)
        found.append(
            Sent(
                number=number + 1,
                protocol=chance.choice(("tcp", "tcp", "udp")),
                src=src,
                sport=first_port + number,
                dst=chance.choice(EVERY),
                dport=chance.choice(PORTS),
                device=device,
            )
        )
    return found
