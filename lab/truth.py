"""What really happened: the kernel's own tables and the clients' account, as one mapping each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lab.traffic import Exchange
from tracer import address
from tracer.cluster.model import Cluster

Place = tuple[str, int]
"""Address as text, port."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """A connection as its client knows it."""

    protocol: str
    client: Place
    virtual: Place

    def __str__(self) -> str:
        return f"{self.protocol} {place(self.client)} -> {place(self.virtual)}"


@dataclass(frozen=True, slots=True)
class Mapped:
    """Where it was sent, and the source address it arrived with."""

    backend: Place
    source: Place

    def __str__(self) -> str:
        return f"{place(self.backend)} from {place(self.source)}"


Truth = Mapping[Key, Mapped]

_TUPLE = re.compile(r"src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)")
_PROTOCOL = re.compile(r"^(?:ipv\d\s+\d+\s+)?(\w+)\s+\d+")
_IPVS = re.compile(r"^(TCP|UDP|SCTP)\s+\S+\s+\S+\s+(\S+)\s+(\S+)\s+(\S+)", re.MULTILINE)


def place(where: Place) -> str:
    """``ip:port``, IPv6 in brackets."""
    return f"[{where[0]}]:{where[1]}" if ":" in where[0] else f"{where[0]}:{where[1]}"


def from_conntrack(table: str) -> dict[Key, Mapped]:
    """Every translated connection of a ``conntrack -L`` listing."""
    found = {}
    for line in table.splitlines():
        protocol, tuples = _PROTOCOL.match(line), _TUPLE.findall(line)
        if protocol is None or len(tuples) != 2:
            continue
        (src, dst, sport, dport), (back_src, back_dst, back_sport, back_dport) = tuples
        mapped = Mapped((back_src, int(back_sport)), (back_dst, int(back_dport)))
        key = Key(protocol.group(1), (src, int(sport)), (dst, int(dport)))
        if mapped != Mapped(key.virtual, key.client):
            found[key] = mapped
    return found


def from_ipvs(table: str) -> dict[Key, Place]:
    """The real server of every connection of an ``ipvsadm -Lnc`` listing."""
    return {
        Key(protocol.lower(), _place(source), _place(virtual)): _place(destination)
        for protocol, source, virtual, destination in _IPVS.findall(table)
    }


def from_clients(exchanges: Iterable[Exchange], cluster: Cluster) -> dict[Key, Mapped]:
    """Every answered connection, from the answering pod's name and what that pod saw."""
    ports = {
        (item.pod.partition("/")[2], item.protocol, address.is_ipv4(item.ip)): item
        for item in cluster.endpoints
    }
    numbers = {"tcp": 6, "udp": 17}
    found = {}
    for item in exchanges:
        if item.answered_by:
            v4 = ":" not in item.virtual_ip
            endpoint = ports[(item.answered_by, numbers[item.protocol], v4)]
            backend = (address.text(endpoint.ip), endpoint.port)
            found[key_of(item)] = Mapped(backend, (item.seen_ip, item.seen_port))
    return found


def key_of(item: Exchange) -> Key:
    """The connection one exchange was."""
    virtual = (item.virtual_ip, item.virtual_port)
    return Key(item.protocol, (item.client_ip, item.client_port), virtual)


def _place(text: str) -> Place:
    """``1.2.3.4:80`` or ``[fd00::1]:80``."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
