"""Where a packet goes: policy rules and routing tables, as ``fib_lookup`` reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tracer import address
from tracer.node.model import NodeState
from tracer.node.routing import NextHop, PolicyRule, Route
from tracer.path.networks import ALL_ONES, IPV4_BITS, inside, is_loopback, is_multicast, number
from tracer.path.packet import LOOPBACK, Doubt

LOCAL_TABLE = "local"
DEFAULT_RULES = ((0, LOCAL_TABLE), (32766, "main"), (32767, "default"))
"""What the kernel starts with."""
_REFUSALS = {"blackhole", "unreachable", "prohibit"}


@dataclass(frozen=True, slots=True)
class Question:
    """What a lookup depends on."""

    dst: bytes
    src: bytes
    incoming: str = LOOPBACK
    """``lo`` for packets of this node's own."""
    outgoing: str = ""
    mark: int = 0


@dataclass(frozen=True, slots=True)
class Way:
    """The answer: kind of the route, and the ways out that it offers."""

    kind: str
    """A route's kind, or ``none`` where nothing fits."""
    route: Route | None = None
    table: str = ""

    @property
    def hops(self) -> tuple[NextHop, ...]:
        """Ways out."""
        return self.route.hops if self.route else ()

    @property
    def text(self) -> str:
        """The route as ``ip route`` would write it."""
        if self.route is None:
            return "no route"
        bits = self.route.prefix - (0 if self.route.ipv6 else IPV4_BITS)
        where = f"{address.text(self.route.network)}/{bits}" if bits else "default"
        ways = "; ".join(
            (f"via {address.text(hop.gateway)} " if hop.gateway else "") + f"dev {hop.device}"
            for hop in self.hops
        )
        return f"{self.kind} {where} {ways} (table {self.table})".replace("unicast ", "")


_Table = list[tuple[int, dict[int, list[Route]]]]
"""Routes by network, for each prefix length, the longest first."""


class Routing:
    """One family's tables and rules; lookups do not change anything."""

    def __init__(self, state: NodeState, *, ipv6: bool) -> None:
        self._tables = _tables(route for route in state.routes if route.ipv6 == ipv6)
        self._known = "routes" in state.known
        self._rules = tuple(_rules(state, ipv6))
        others = set(self._tables) - {table for _, table in DEFAULT_RULES}
        self._unknown_rules = "policy_rules" not in state.known and bool(others)

    def lookup(self, question: Question) -> Way | Doubt:
        """The way of a packet; a doubt where routes or a rule before the answer are not known."""
        if not self._known:
            return Doubt("the routes are not known (route.json)")
        for rule in self._rules:
            chosen = self._selects(rule, question)
            if isinstance(chosen, Doubt):
                return chosen
            if not chosen:
                continue
            if rule.action in _REFUSALS:
                return Way(rule.action)
            way = self._in_table(rule, question)
            if way is not None:
                doubtful = self._unknown_rules and rule.table != LOCAL_TABLE
                return Doubt("the policy rules are not known (rule.json)") if doubtful else way
        return Way("none")

    def kind_of(self, ip: bytes, peer: bytes = bytes(16)) -> str | Doubt:
        """What ``fib type`` and ``addrtype`` say of an address: ``local``, ``unicast``, …

        IPv4 asks the local table alone, IPv6 looks up the way of a packet of this node.
        """
        if is_multicast(ip):
            return "multicast"
        if address.is_ipv4(ip) and LOCAL_TABLE in self._tables:
            route = next(self._fitting(LOCAL_TABLE, ip), None)
            return route.kind if route else "unicast"
        way = self.lookup(Question(ip, peer))
        if isinstance(way, Doubt):
            return way
        return "unreachable" if way.kind == "none" else way.kind

    def _selects(self, rule: PolicyRule, question: Question) -> bool | Doubt:
        if rule.unknown or rule.action not in _REFUSALS | {"table"}:
            return Doubt(f"policy rule {rule.priority} ({', '.join(rule.unknown) or rule.action})")
        fits = (
            (not rule.source or inside(question.src, rule.source))
            and (not rule.destination or inside(question.dst, rule.destination))
            and (not rule.incoming or rule.incoming == question.incoming)
            and (not rule.outgoing or rule.outgoing == question.outgoing)
            and (question.mark ^ rule.mark) & rule.mask == 0
        )
        return fits != rule.inverted

    def _in_table(self, rule: PolicyRule, question: Question) -> Way | None:
        strict = question.incoming != LOOPBACK and _stays_on_link(question.dst)
        for route in self._fitting(rule.table, question.dst):
            if strict and all(hop.device != question.incoming for hop in route.hops):
                continue
            if route.kind == "throw":
                return None
            if question.outgoing and all(h.device != question.outgoing for h in route.hops):
                continue
            bits = route.prefix - (0 if route.ipv6 else IPV4_BITS)
            if bits <= rule.suppress_prefix:
                return None
            return Way(route.kind, route, rule.table)
        return None

    def _fitting(self, table: str, dst: bytes) -> Iterator[Route]:
        value = number(dst)
        for prefix, networks in self._tables.get(table, ()):
            mask = ALL_ONES ^ (ALL_ONES >> prefix)
            yield from (route for route in networks.get(value & mask, ()) if route.usable)


def _stays_on_link(ip: bytes) -> bool:
    """IPv6's ``rt6_need_strict``: what arrives for it takes routes of its own interface only."""
    is_link = ip[0] == 0xFE and ip[1] & 0xC0 == 0x80
    return not address.is_ipv4(ip) and (is_link or ip[0] == 0xFF or is_loopback(ip))


def _tables(routes: Iterator[Route]) -> dict[str, _Table]:
    found: dict[str, dict[int, dict[int, list[Route]]]] = {}
    for route in routes:
        networks = found.setdefault(route.table, {}).setdefault(route.prefix, {})
        networks.setdefault(number(route.network), []).append(route)
    for table in found.values():
        for networks in table.values():
            for same in networks.values():
                same.sort(key=lambda route: route.metric)
    return {name: sorted(table.items(), reverse=True) for name, table in found.items()}


def _rules(state: NodeState, ipv6: bool) -> Iterator[PolicyRule]:
    listed = [rule for rule in state.policy_rules if rule.ipv6 == ipv6]
    if listed:
        return iter(sorted(listed, key=lambda rule: rule.priority))
    return (PolicyRule(priority, ipv6, table) for priority, table in DEFAULT_RULES)
