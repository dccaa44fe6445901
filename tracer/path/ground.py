"""What a node's rules are asked about: addresses, routes, sets and sysctls of one family."""

from __future__ import annotations

from functools import cached_property

from tracer import address
from tracer.node.model import NodeState
from tracer.node.sets import AddressSet
from tracer.path.networks import ALL_ONES, IPV4_BITS, is_loopback, is_multicast, number
from tracer.path.packet import Doubt
from tracer.path.routing import Question, Routing, Way


class Ground:
    """One NodeState as one family of packets meets it."""

    def __init__(self, state: NodeState, *, ipv6: bool) -> None:
        self.state = state
        self.ipv6 = ipv6
        self.routing = Routing(state, ipv6=ipv6)

    @cached_property
    def sets(self) -> dict[str, AddressSet]:
        """Address sets by name."""
        return {found.name: found for found in self.state.address_sets}

    @cached_property
    def addresses(self) -> frozenset[bytes]:
        """Every address that is local, those of kube-ipvs0 too."""
        return self.state.local_addresses | self.state.ipvs_addresses

    def kind_of(self, ip: bytes) -> str | Doubt:
        """``local``, ``unicast``, ``broadcast``, … by the routes, else by the addresses alone."""
        if "routes" in self.state.known:
            return self.routing.kind_of(ip)
        if is_multicast(ip):
            return "multicast"
        if "addresses" not in self.state.known:
            return Doubt("the node's addresses are not known (addr.json)")
        return "local" if ip in self.addresses or is_loopback(ip) else "unicast"

    def way(self, question: Question) -> Way | Doubt:
        """Where a packet goes; local addresses are known without routes too."""
        if "routes" not in self.state.known and self.kind_of(question.dst) == "local":
            return Way("local")
        return self.routing.lookup(question)

    def sysctl(self, name: str) -> int | Doubt:
        """A sysctl as a number; a doubt if it was not read."""
        value = self.state.sysctls.get(name, "")
        return int(value) if value.lstrip("-").isdigit() else Doubt(f"{name} is not known")

    def device_sysctl(self, device: str, name: str, default: int) -> int | Doubt:
        """The greater of ``conf.all`` and ``conf.<device>``, as the kernel takes most of them."""
        if "sysctls" not in self.state.known:
            return Doubt(f"net.ipv4.conf.*.{name} is not known (sysctl.txt)")
        values = []
        for place in ("all", device.replace(".", "/")):
            value = self.sysctl(f"net.ipv4.conf.{place}.{name}")
            values.append(default if isinstance(value, Doubt) else value)
        return max(values)

    def masquerade_source(self, device: str, gateway: bytes) -> bytes | None:
        """The address that MASQUERADE takes on a device; None if that is not known.

        Source: ``inet_select_addr``: of the device's primary global addresses the one that
        shares a network with the next hop, else the first, else the first of any device. IPv6
        weighs more (RFC 6724), which comes to the same where a device has one global address.
        """
        usable = [
            entry
            for entry in self.state.addresses
            if address.is_ipv4(entry.ip) != self.ipv6
            and entry.scope in ("global", "site")
            and not entry.secondary
            and not is_loopback(entry.ip)
        ]
        mine = [entry for entry in usable if entry.interface == device]
        for entry in mine:
            bits = entry.prefix + (0 if self.ipv6 else IPV4_BITS)
            mask = ALL_ONES ^ (ALL_ONES >> bits)
            if (number(entry.ip) ^ number(gateway)) & mask == 0:
                return entry.ip
        chosen = mine or usable
        return chosen[0].ip if chosen else None
