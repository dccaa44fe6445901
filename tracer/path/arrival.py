"""Why a packet from outside may not be let in: martians, reverse path, forwarding switched off."""

from __future__ import annotations

from dataclasses import replace

from tracer.address import text
from tracer.path.ground import Ground
from tracer.path.networks import is_loopback
from tracer.path.packet import LOOPBACK, Doubt, Flight
from tracer.path.routing import Question, Way

_STRICT = 1
_HERE = {"local", "broadcast", "multicast", "anycast"}
NOWHERE = {"none", "unreachable", "prohibit", "blackhole"}


def dropped_unseen(flight: Flight) -> Flight | None:
    """IPv6 drops loopback addresses on the wire before any rule (``ip6_rcv_core``)."""
    packet = flight.packet
    if not packet.ipv6 or packet.incoming == LOOPBACK:
        return None
    if not (is_loopback(packet.src) or is_loopback(packet.dst)):
        return None
    rule = f"a loopback address on {packet.incoming}"
    return replace(flight, hook="arrival").step("", "", rule, "dropped before any rule")


def refused_on_arrival(ground: Ground, flight: Flight, way: Way) -> Flight | Doubt | None:
    """The flight with its loss; a doubt where a sysctl decides that is not known; None if let in.

    Source: ``ip_route_input_slow`` and ``__fib_validate_source``. IPv6 has neither check.
    """
    packet = flight.packet
    if packet.incoming == LOOPBACK:
        return None
    is_here = way.kind in _HERE
    if ground.ipv6:
        passes = is_here or way.kind in NOWHERE  # refused without asking for the switch
        return None if passes else _forwarding(ground, flight, "net.ipv6.conf.all.forwarding")
    if is_loopback(packet.src) or is_loopback(packet.dst):
        found = _loopback(ground, flight)
        if found is not None:
            return found
    if not is_here:
        off = _forwarding(ground, flight, _switch(ground, packet.incoming))
        if isinstance(off, Flight):
            return off
        if way.kind in NOWHERE:
            return off
        return _source(ground, flight, way.hops[0].device if way.hops else LOOPBACK) or off
    return _source(ground, flight, LOOPBACK)


def _switch(ground: Ground, device: str) -> str:
    """IPv4 forwards by interface; ``ip_forward`` is the switch of all."""
    own = f"net.ipv4.conf.{device.replace('.', '/')}.forwarding"
    return own if own in ground.state.sysctls else "net.ipv4.ip_forward"


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


def _source(ground: Ground, flight: Flight, beyond: str) -> Flight | Doubt | None:
    """Whether the source may come in by this interface; ``beyond`` is where it would go on.

    The way back is looked up as if the answer came in from there.
    """
    packet = flight.packet
    mode = ground.device_sysctl(packet.incoming, "rp_filter", 0)
    back = _way_back(ground, flight, beyond)
    for answer in (mode, back):
        if isinstance(answer, Doubt):
            return answer
    assert isinstance(mode, int)
    assert isinstance(back, Way)
    if back.kind in NOWHERE:
        return _reverse(flight, mode, back) if mode else None
    if back.kind != "unicast" and not _takes_own(ground, packet.incoming, back):
        if (
            back.kind == "broadcast"
            and not mode
            and not _redirects(ground, packet.incoming, beyond)
        ):
            return None
        rule = f"source {text(packet.src)} is an address of this node"
        return flight.step("", "", rule, "dropped as martian").lost("local-vip-is-packet-source")
    fits = any(hop.device == packet.incoming for hop in back.hops)
    return None if fits or mode != _STRICT else _reverse(flight, mode, back)


def _redirects(ground: Ground, device: str, beyond: str) -> bool:
    """Whether the sender would be told of a shorter way: then its address is looked at closely."""
    told = ground.device_sysctl(device, "send_redirects", 1)
    return beyond == device and (isinstance(told, Doubt) or bool(told))


def _way_back(ground: Ground, flight: Flight, beyond: str) -> Way | Doubt:
    """With its mark where ``src_valid_mark`` says so."""
    packet = flight.packet
    marked = ground.device_sysctl(packet.incoming, "src_valid_mark", 0)
    mark = packet.mark if not isinstance(marked, Doubt) and marked else 0
    return ground.way(Question(packet.src, packet.dst, beyond, mark=mark))


def _takes_own(ground: Ground, device: str, back: Way) -> bool:
    """Whether ``accept_local`` lets the node's own addresses in."""
    allowed = ground.device_sysctl(device, "accept_local", 0)
    return back.kind == "local" and not isinstance(allowed, Doubt) and bool(allowed)


def _reverse(flight: Flight, mode: int, back: Way) -> Flight:
    word = "strict" if mode == _STRICT else "loose"
    rule = f"rp_filter {word}: the way back to {text(flight.packet.src)} is {back.text}"
    return flight.step("", "", rule, "dropped").lost("rp-filter-drop")
