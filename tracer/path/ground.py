"""What a node's rules are asked about: addresses, routes, sets and sysctls of one family."""

from __future__ import annotations

from functools import cached_property

from tracer import address
from tracer.node.model import InterfaceAddress, NodeState
from tracer.node.sets import AddressSet
from tracer.path.networks import ALL_ONES, IPV4_BITS, inside, is_loopback, is_multicast, number
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

    def kind_of(self, ip: bytes, peer: bytes = bytes(16)) -> str | Doubt:
        """``local``, ``unicast``, ``broadcast``, … by the routes, else by the addresses alone."""
        if "routes" in self.state.known:
            return self.routing.kind_of(ip, peer)
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
        shares a network with the next hop, else the first, else the first of any device.
        """
        if self.ipv6:
            return self._source6(device, gateway)
        usable = [
            entry
            for entry in self.state.addresses
            if address.is_ipv4(entry.ip)
            and entry.scope in ("global", "site")
            and not entry.secondary
            and not is_loopback(entry.ip)
        ]
        mine = [entry for entry in usable if entry.interface == device]
        for entry in mine:
            mask = ALL_ONES ^ (ALL_ONES >> entry.prefix + IPV4_BITS)
            if (number(entry.ip) ^ number(gateway)) & mask == 0:
                return entry.ip
        chosen = mine or usable
        return chosen[0].ip if chosen else None

    def redirect_address(self, device: str) -> bytes | None:
        """Where REDIRECT sends what came in by a device: its first address (IPv6: global)."""
        for entry in self.state.addresses:
            fits = address.is_ipv4(entry.ip) != self.ipv6 and entry.interface == device
            if fits and (not self.ipv6 or _scope(entry.ip) == _GLOBAL):
                return entry.ip
        return None

    def _source6(self, device: str, destination: bytes) -> bytes | None:
        """RFC 6724 as ``ipv6_dev_get_saddr`` has it; temporary addresses are not preferred."""
        candidates = [entry for entry in self.state.addresses if not address.is_ipv4(entry.ip)]

        def preference(entry: InterfaceAddress) -> tuple[bool, int, bool, bool, int]:
            alike = 128 - (number(entry.ip) ^ number(destination)).bit_length()
            return (
                entry.ip == destination,
                _fitting_scope(entry.ip, destination),
                entry.interface == device,
                _label(entry.ip) == _label(destination),
                min(alike, entry.prefix),
            )

        return max(candidates, key=preference).ip if candidates else None


def _fitting_scope(ip: bytes, destination: bytes) -> int:
    """The smallest scope that reaches the destination's, else the largest."""
    scope = _scope(ip)
    return -scope if scope >= _scope(destination) else scope - 128


def _scope(ip: bytes) -> int:
    if ip[0] == 0xFF:
        return ip[1] & 15
    is_link = ip[0] == 0xFE and ip[1] & 0xC0 == 0x80
    return _LINK if is_link or is_loopback(ip) else _GLOBAL


_LINK, _GLOBAL = 2, 14


def _label(ip: bytes) -> int:
    return next(label for prefix, label in _LABELS if inside(ip, prefix))


_LABELS = (
    *(("::1/128", 0), ("2001::/32", 6), ("2001:10::/28", 7), ("2002::/16", 2)),
    *(("fec0::/10", 11), ("fc00::/7", 5), ("::/0", 1)),
)
"""RFC 6724's policy table as ``net/ipv6/addrlabel.c`` has it."""
