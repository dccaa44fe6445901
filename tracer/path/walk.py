"""From hook to hook: every way that a packet may take through the node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tracer.address import text
from tracer.node.model import NodeState
from tracer.path.answer import unanswerable
from tracer.path.arrival import dropped_unseen, refused_on_arrival
from tracer.path.ground import Ground
from tracer.path.hooks import (
    FORWARD,
    GOES_ON,
    INPUT,
    OUTPUT,
    POSTROUTING,
    PREROUTING,
    Hooks,
    Station,
    settled,
    skipped,
)
from tracer.path.ipvs import SCHEDULED
from tracer.path.networks import is_loopback
from tracer.path.packet import (
    DROP,
    LOOPBACK,
    MOST_EFFORT,
    NEXT,
    REJECT,
    UNKNOWN,
    Doubt,
    EndlessError,
    Flight,
    Packet,
)
from tracer.path.routing import Question, Way

DELIVERED, LOCAL = "delivered", "local"
_NO_ROUTE = {
    False: {
        "none": "icmp-net-unreachable",
        "unreachable": "icmp-host-unreachable",
        "prohibit": "icmp-admin-prohibited",
    },
    True: {
        "none": "icmp6-no-route",
        "unreachable": "icmp6-no-route",
        "prohibit": "icmp6-adm-prohibited",
    },
}
"""What the sender is told, by whether it is IPv6: ``ip_error``, ``ip6_rt_init_dst_reject``."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Where one way ends: ``DELIVERED``, ``LOCAL``, ``DROP``, ``REJECT`` or ``UNKNOWN``."""

    verdict: str
    flight: Flight


class Walker:
    """One NodeState for one family: prepared once, walked by many packets."""

    def __init__(self, state: NodeState, *, ipv6: bool, newest_first: bool = True) -> None:
        self.ground = Ground(state, ipv6=ipv6)
        self._hooks = Hooks(self.ground, newest_first=newest_first)
        self._other = None
        if newest_first and self._hooks.ambiguous:
            self._other = Walker(state, ipv6=ipv6, newest_first=False)
        family = "ip6" if ipv6 else "ip"
        self._knows_rules = bool({f"xtables.{family}", "nft"} & state.known)

    def walk(self, packet: Packet) -> list[Ending]:
        """Every ending, in no particular order; incoming packets name their interface."""
        found = self._walked(packet)
        return reconciled(found, self._other._walked(packet)) if self._other else found

    def _walked(self, packet: Packet) -> list[Ending]:
        original = (packet.src, packet.sport, packet.dst, packet.dport)
        flight = Flight(replace(packet, original=original))
        if not self._knows_rules:
            flight = flight.doubted("the rules are not known (iptables-save.txt, nft.json)")
        way = self._arriving if packet.incoming else self._leaving
        try:
            return [self._answered(ending) for ending in way(flight)]
        except EndlessError:
            why = f"the rules part and jump more than {MOST_EFFORT} times"
            return [Ending(UNKNOWN, flight.doubted(why))]

    def _answered(self, ending: Ending) -> Ending:
        """A refusal whose answer finds no way to the sender is a silent drop."""
        flight = ending.flight
        packet = flight.packet
        if ending.verdict != REJECT or packet.incoming in ("", LOOPBACK):
            return ending
        why = unanswerable(self.ground, flight)
        if not why:
            return ending
        silent = replace(flight, hook="routing").step("", "", why, "the answer is not sent")
        return Ending(DROP, silent)

    def _arriving(self, flight: Flight) -> Iterator[Ending]:
        unseen = dropped_unseen(flight)
        if unseen is not None:
            yield Ending(DROP, unseen)
            return
        yield from self._at(PREROUTING, flight, self._routed)

    def _routed(self, flight: Flight) -> Iterator[Ending]:
        """The routing decision for a packet from outside."""
        packet = flight.packet
        question = Question(packet.dst, packet.src, packet.incoming, mark=packet.mark)
        way = self.ground.way(question)
        if isinstance(way, Doubt):
            yield from self._unsure(flight, way)
            return
        lost = refused_on_arrival(self.ground, replace(flight, hook="routing"), way)
        if isinstance(lost, Flight):
            yield Ending(DROP, lost)
            return
        if isinstance(lost, Doubt):
            flight = flight.doubted(lost.why)
        if way.kind in ("local", "broadcast", "multicast", "anycast"):
            step = replace(flight, hook="routing").step("", "", way.text, "for this node")
            yield from self._at(INPUT, step, self._received)
        else:
            yield from self._forwarded(flight, way)

    def _unsure(self, flight: Flight, why: Doubt) -> Iterator[Ending]:
        """Without routes the rules of FORWARD are still worth saying, as long as it is doubted."""
        doubted = replace(flight, hook="routing").doubted(why.why)
        doubted = doubted.step("", "", "", "the route is not known; as if it were forwarded")
        yield from self._at(FORWARD, doubted, self._sent)

    def _forwarded(self, flight: Flight, way: Way) -> Iterator[Ending]:
        for taken in self._ways(replace(flight, hook="routing"), way, "forwarded"):
            if isinstance(taken, Ending):
                yield taken
            else:
                yield from self._at(FORWARD, taken, self._sent)

    def _ways(self, flight: Flight, way: Way, word: str) -> Iterator[Flight | Ending]:
        """The flight over each device that a route offers, or its end where there is none."""
        if way.kind == "blackhole":
            yield Ending(DROP, flight.step("", "", way.text, "dropped"))
            return
        if way.kind in _NO_ROUTE[False]:
            yield self._no_route(flight, way)
            return
        hops = way.hops
        if not hops:
            yield flight.doubted(f"a route without device: {way.text}")
            return
        total = sum(hop.weight for hop in hops)
        for hop in hops:
            taken = flight.changed(outgoing=hop.device, gateway=hop.gateway)
            taken = taken.share(hop.weight / total) if len(hops) > 1 else taken
            yield taken.step("", "", way.text, f"{word} by {hop.device}")

    def _no_route(self, flight: Flight, way: Way) -> Ending:
        cause = "endpoint-unreachable-underlay" if flight.packet.dnat else ""
        if way.kind == "none" and not cause:
            cause = "no-default-route"
        if not flight.packet.incoming or flight.packet.incoming == LOOPBACK:
            how = "ENETUNREACH"
        else:
            by_rule = way.route is None and way.kind == "unreachable"  # as if there were no route
            how = _NO_ROUTE[flight.packet.ipv6]["none" if by_rule else way.kind]
        return Ending(REJECT, flight.step("", "", way.text, f"refused: {how}").lost(cause, how))

    def _sent(self, flight: Flight) -> Iterator[Ending]:
        yield from self._at(POSTROUTING, flight, self._gone)

    def _gone(self, flight: Flight) -> Iterator[Ending]:
        """After POSTROUTING: out, or round by lo for a packet of this node to itself."""
        if flight.packet.outgoing != LOOPBACK:
            yield Ending(DELIVERED, flight)
            return
        looped = flight.changed(incoming=LOOPBACK, outgoing="")
        yield from self._at(PREROUTING, looped, self._looped)

    def _looped(self, flight: Flight) -> Iterator[Ending]:
        """lo keeps the route that the packet was sent with: no second decision."""
        yield from self._at(INPUT, flight, self._received)

    def _received(self, flight: Flight) -> Iterator[Ending]:
        yield Ending(LOCAL, flight)

    def _leaving(self, flight: Flight) -> Iterator[Ending]:
        """A packet of this node's own is routed before OUTPUT."""
        for routed in self._rerouted(replace(flight, hook="routing")):
            if isinstance(routed, Ending):
                yield routed
            else:
                yield from self._at(OUTPUT, routed, self._sent)

    def _rerouted(self, flight: Flight) -> Iterator[Flight | Ending]:
        """The route of a packet of this node, again after its destination or mark has changed."""
        packet = flight.packet
        question = Question(packet.dst, packet.src, mark=packet.mark)
        yield from self._along(flight, self.ground.way(question))

    def _along(self, flight: Flight, way: Way | Doubt) -> Iterator[Flight | Ending]:
        """The ways on which a packet of this node leaves."""
        if isinstance(way, Doubt):
            yield flight.doubted(way.why)
            return
        if way.kind == "local":
            local = flight.changed(outgoing=LOOPBACK, gateway=b"")
            yield local.step("", "", way.text, "for this node itself, by lo")
            return
        for taken in self._ways(flight, way, "sent"):
            yield taken if isinstance(taken, Ending) else self._from_loopback(taken)

    def _from_loopback(self, flight: Flight) -> Flight | Ending:
        """A source in 127.0.0.0/8 may leave by lo only, unless route_localnet allows it."""
        packet = flight.packet
        if packet.outgoing == LOOPBACK or not is_loopback(packet.src) or packet.ipv6:
            return flight
        allowed = self.ground.device_sysctl(packet.outgoing, "route_localnet", 0)
        if isinstance(allowed, Doubt):
            return flight.doubted(allowed.why)
        if allowed:
            return flight
        why = f"{text(packet.src)} may not leave by {packet.outgoing}: route_localnet is 0"
        cause = "nodeport-localhost" if packet.dnat else ""
        return Ending(DROP, flight.step("", "", why, "dropped").lost(cause))

    def _at(
        self,
        hook: str,
        flight: Flight,
        then: Callable[[Flight], Iterator[Ending]],
        start: int = 0,
    ) -> Iterator[Ending]:
        """Every station of a hook in order, then what follows."""
        stations = self._hooks.stations(hook)
        waiting = [(start, replace(flight, hook=hook))]
        while waiting:
            at, current = waiting.pop()
            if at >= len(stations):
                yield from then(_redirected(settled(hook, current)))
                continue
            station = stations[at]
            if station.kind == "nat" and _leaves_elsewhere(hook, current.packet):
                yield Ending(DROP, _forgotten(current))
                continue
            is_skipped = skipped(station, hook, current)
            for verdict, after in [(NEXT, current)] if is_skipped else station.run(current):
                if verdict in GOES_ON:
                    for routed in self._after(station, hook, current, after):
                        if isinstance(routed, Ending):
                            yield routed
                        else:
                            waiting.append((at + 1, replace(routed, hook=hook)))
                elif verdict == SCHEDULED:
                    yield from self._scheduled(hook, at + 1, after, then)
                else:
                    yield Ending(verdict, after)

    def _after(
        self, station: Station, hook: str, before: Flight, after: Flight
    ) -> Iterator[Flight | Ending]:
        """A packet of this node is routed again when NAT or mangle changed what routes it."""
        if hook != OUTPUT or station.kind not in ("nat", "route"):
            yield after
            return
        old, new = before.packet, after.packet
        if not _routes_anew(station.kind, old, new):
            yield after
            return
        for routed in self._rerouted(replace(after, hook="routing")):
            if isinstance(routed, Ending):
                # What IPVS sends on is nobody's system call, and the hook tells no sender.
                yield routed if new.virtual is None else replace(routed, verdict=DROP)
            elif old.dst == new.dst and _way_out(routed) == _way_out(after):
                yield after
            else:
                yield _later(routed, old.outgoing)

    def _scheduled(
        self,
        hook: str,
        rest: int,
        flight: Flight,
        then: Callable[[Flight], Iterator[Ending]],
    ) -> Iterator[Ending]:
        """IPVS sends it on as if a process of this node did, but for backends on this node.

        Source: ``ip_vs_nat_xmit``: a local route lets the hook go on, else the packet passes
        LOCAL_OUT again, unless it comes from a loopback address.
        """
        device = flight.packet.outgoing
        settled_flight = settled(PREROUTING, flight).changed(rerouted=None)
        for routed in self._to_server(replace(settled_flight, hook="routing")):
            if isinstance(routed, Ending):
                yield routed
            elif routed.packet.outgoing == LOOPBACK:
                here = routed.changed(outgoing="") if hook == INPUT else _later(routed, device)
                yield from self._at(hook, here, then, rest)
            elif is_loopback(routed.packet.src):
                why = f"IPVS lets no packet of {text(routed.packet.src)} out"
                yield Ending(
                    DROP, routed.step("ipvs", "", why, "dropped").lost("nodeport-localhost")
                )
            else:
                yield from self._at(OUTPUT, routed, self._sent)

    def _to_server(self, flight: Flight) -> Iterator[Flight | Ending]:
        """The route to a real server: by its address alone, whatever the source and the mark.

        Source: ``do_output_route4``, ``__ip_vs_get_out_rt``: whatever is wrong with the route,
        the sender hears that the host is not reachable.
        """
        way = self.ground.way(Question(flight.packet.dst, bytes(16)))
        if isinstance(way, Way) and way.kind in ("blackhole", *_NO_ROUTE[False]):
            how = "icmp6-addr-unreachable" if flight.packet.ipv6 else "icmp-host-unreachable"
            refused = flight.step("", "", way.text, f"refused: {how}")
            yield Ending(REJECT, refused.lost("endpoint-unreachable-underlay", how))
            return
        yield from self._along(flight, way)


def reconciled(first: list[Ending], second: list[Ending]) -> list[Ending]:
    """The endings of two orders of rules: both with a doubt, unless they come to the same."""
    if {_result(ending) for ending in first} == {_result(ending) for ending in second}:
        return first
    why = "which of several tables with the same priority comes first"
    both = (*first, *second)
    return [
        replace(e, flight=replace(e.flight, doubts=e.flight.doubts | {why}, probability=None))
        for e in both
    ]


def _result(ending: Ending) -> tuple[object, ...]:
    packet = ending.flight.packet
    if ending.verdict in (DROP, REJECT):
        return ending.verdict, ending.flight.how
    return (ending.verdict, packet.src, packet.sport, packet.dst, packet.dport, packet.mark,
            packet.outgoing)  # fmt: skip


def _routes_anew(kind: str, old: Packet, new: Packet) -> bool:
    """Whether what a station of OUTPUT did asks for another route."""
    if old.dst != new.dst:
        return True
    return _moved_by_ipvs(new) if kind == "nat" else (old.mark, old.src) != (new.mark, new.src)


def _moved_by_ipvs(packet: Packet) -> bool:
    """Whether NAT finds a destination that IPVS has changed, and has the packet routed again.

    Source: ``nf_nat_ipv4_local_fn`` compares the connection's two tuples, and
    ``ip_vs_update_conntrack`` has written the real server into the second.
    """
    return packet.virtual is not None and packet.has_connection and packet.original[2] != packet.dst


def _leaves_elsewhere(hook: str, packet: Packet) -> bool:
    """Whether a masqueraded connection is about to leave by another interface.

    Source: ``nf_nat_oif_changed``.
    """
    first = packet.masquerade_device
    return hook == POSTROUTING and bool(first) and packet.outgoing != first


def _forgotten(flight: Flight) -> Flight:
    packet = flight.packet
    why = f"masqueraded for {packet.masquerade_device}, leaving by {packet.outgoing}"
    return flight.step("nat", "", why, "connection forgotten, packet dropped")


def _way_out(flight: Flight) -> tuple[str, bytes]:
    """Device and gateway as far as they are decided."""
    packet = flight.packet
    return packet.rerouted or (packet.outgoing, packet.gateway)


def _later(flight: Flight, device: str) -> Flight:
    """A new route: the rules of this hook still see the device that it began with."""
    packet = flight.packet
    return flight.changed(outgoing=device, gateway=b"", rerouted=(packet.outgoing, packet.gateway))


def _redirected(flight: Flight) -> Flight:
    """The new route in force."""
    if flight.packet.rerouted is None:
        return flight
    device, gateway = flight.packet.rerouted
    return flight.changed(outgoing=device, gateway=gateway, rerouted=None)
