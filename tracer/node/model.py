"""What this node's kernel holds beside its flows: one immutable value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tracer.node.health import HealthAnswer
from tracer.node.nft_ruleset import NftRuleset
from tracer.node.routing import Neighbour, PolicyRule, Route
from tracer.node.sets import AddressSet
from tracer.node.xtables import XtTables

IPVS_DEVICE = "kube-ipvs0"
"""kube-proxy's dummy device in ipvs mode: holds every Service address as /32 or /128."""

UNTOLD_S = -1
"""There is such a time, but not how long it is."""


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """One address on one interface."""

    interface: str
    ip: bytes
    prefix: int
    scope: str = "global"
    """``global``, ``link``, ``host``, …"""
    secondary: bool = False
    """A further address of a network that the interface already has one of."""


@dataclass(frozen=True, slots=True)
class VirtualServer:
    """One IPVS virtual server and its real servers."""

    protocol: int
    ip: bytes
    port: int
    scheduler: str
    backends: tuple[tuple[bytes, int, int], ...] = ()
    """(address, port, weight)."""
    methods: tuple[str, ...] = ()
    """How each backend is reached: ``masq``, ``route``, ``tunnel``, ``local``; empty: not told."""
    persistent_s: int = 0
    """How long a client keeps its backend; 0 without persistence, or ``UNTOLD_S``."""

    @property
    def persistence(self) -> str:
        """In words; empty without."""
        return _persistence(self.persistent_s)


@dataclass(frozen=True, slots=True)
class MarkServer:
    """One IPVS virtual server of packets that bear a firewall mark, whatever their destination."""

    mark: int
    """Of the whole packet mark: there is no mask."""
    ipv6: bool
    scheduler: str
    backends: tuple[tuple[bytes, int, int], ...] = ()
    """(address, port, weight); port 0 keeps the packet's."""
    methods: tuple[str, ...] = ()
    persistent_s: int = 0

    @property
    def persistence(self) -> str:
        """In words; empty without."""
        return _persistence(self.persistent_s)


def _persistence(seconds: int) -> str:
    if not seconds:
        return ""
    return "persistent" if seconds == UNTOLD_S else f"persistent {seconds} s"


@dataclass(frozen=True)
class NodeState:
    """A snapshot; every part may be unknown, and unknown is not empty: see ``known``."""

    addresses: tuple[InterfaceAddress, ...] = ()
    interfaces: Mapping[int, str] = field(default_factory=dict)
    """Interface names by index."""
    masters: Mapping[str, str] = field(default_factory=dict)
    """The bridge or bond that an interface is a port of, by interface."""
    virtual_servers: tuple[VirtualServer, ...] = ()
    mark_servers: tuple[MarkServer, ...] = ()
    """Known as soon as ``virtual_servers`` are."""
    sysctls: Mapping[str, str] = field(default_factory=dict)
    proxy_mode: str = ""
    """``ipvs``, ``iptables``, ``nftables`` or empty when not known."""
    node_name: str = ""
    xtables: tuple[XtTables, ...] = ()
    """iptables' rules, one value for each family and variant."""
    address_sets: tuple[AddressSet, ...] = ()
    nft: NftRuleset = field(default_factory=NftRuleset)
    """Every nftables table, also those that iptables-nft made."""
    routes: tuple[Route, ...] = ()
    policy_rules: tuple[PolicyRule, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    health_answers: tuple[HealthAnswer, ...] = ()
    """What this node answered on health check node ports, as far as it was asked."""
    netns: int = 0
    at_ns: int = 0
    known: frozenset[str] = frozenset()
    """Which of the parts above were really read: field names."""
    unparsed: tuple[str, ...] = ()
    """``file:line: what`` for every line that could not be understood."""

    @cached_property
    def local_addresses(self) -> frozenset[bytes]:
        """Every address of this node, those of ``kube-ipvs0`` left out."""
        return frozenset(a.ip for a in self.addresses if a.interface != IPVS_DEVICE)

    @cached_property
    def ipvs_addresses(self) -> frozenset[bytes]:
        """Addresses bound on ``kube-ipvs0``."""
        return frozenset(a.ip for a in self.addresses if a.interface == IPVS_DEVICE)
