"""Why a packet from outside may not be let in: martians, reverse path, forwarding switched off."""

from __future__ import annotations

from tracer.address import text
from tracer.path.ground import Ground
from tracer.path.networks import is_loopback
from tracer.path.packet import LOOPBACK, Doubt, Flight
from tracer.path.routing import Question, Way

_STRICT, _LOOSE = 1, 2


def refused_on_arrival(ground: Ground, flight: Flight, way: Way) -> Flight | Doubt | None:
    """The flight with its loss; a doubt where a sysctl decides that is not known; None if let in.

    Source: ``ip_route_input_slow`` and ``__fib_validate_source``. IPv6 has neither check.
    """
    packet = flight.packet
    if packet.incoming == LOOPBACK:
        return None
    is_here = way.kind in ("local", "broadcast", "multicast")
    if ground.ipv6:
        return None if is_here else _forwarding(ground, flight, "net.ipv6.conf.all.forwarding")
    if is_loopback(packet.src) or is_loopback(packet.dst):
        found = _loopback(ground, flight)
        if found is not None:
            return found
    if not is_here:
        off = _forwarding(ground, flight, "net.ipv4.ip_forward")
        if isinstance(off, Flight):
            return off
        if way.kind in ("none", "unreachable", "prohibit"):
            return off
        return _source(ground, flight) or off
    return _source(ground, flight)


def _forwarding(ground: Ground, flight: Flight, name: str) -> Flight | Doubt | None:
    value = ground.sysctl(name)
    if isinstance(value, Doubt):
        return value
    if value:
        return None
    return flight.step("", "", f"{name} = 0", "dropped").lost("ip-forward-off")


def _loopback(ground: Ground, flight: Flight) -> Flight | Doubt | None:
    """127.0.0.0/8 on the wire is a martian, unless route_localnet is on."""
    device = flight.packet.incoming
    allowed = ground.device_sysctl(device, "route_localnet", 0)
    if isinstance(allowed, Doubt) or allowed:
        return allowed if isinstance(allowed, Doubt) else None
    rule = f"a loopback address on {device}, and route_localnet is 0"
    return flight.step("", "", rule, "dropped as martian")


def _source(ground: Ground, flight: Flight) -> Flight | Doubt | None:
    """Whether the source may come in by this interface."""
    packet = flight.packet
    if ground.kind_of(packet.src) == "local":
        rule = f"source {text(packet.src)} is an address of this node"
        return flight.step("", "", rule, "dropped as martian").lost("local-vip-is-packet-source")
    mode = ground.device_sysctl(packet.incoming, "rp_filter", 0)
    if isinstance(mode, Doubt) or not mode:
        return mode if isinstance(mode, Doubt) else None
    back = ground.way(Question(packet.src, packet.dst))
    if isinstance(back, Doubt):
        return back
    if back.kind != "unicast":
        return _reverse(flight, mode, back)
    fits = any(hop.device == packet.incoming for hop in back.hops)
    return None if fits or mode == _LOOSE else _reverse(flight, mode, back)


def _reverse(flight: Flight, mode: int, back: Way) -> Flight:
    word = "strict" if mode == _STRICT else "loose"
    rule = f"rp_filter {word}: the way back to {text(flight.packet.src)} is {back.text}"
    return flight.step("", "", rule, "dropped").lost("rp-filter-drop")
