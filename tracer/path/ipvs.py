"""What IPVS does to a packet at LOCAL_IN and LOCAL_OUT."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.address import endpoint
from tracer.node.model import MarkServer, VirtualServer
from tracer.path.ground import Ground
from tracer.path.packet import NEXT, REJECT, UNKNOWN, UNTRACKED, Doubt, Flight, Outcome

SCHEDULED = "scheduled"
"""A backend was chosen: the packet goes on with another destination."""
_EQUAL = {"rr"}
_WEIGHTED = {"wrr"}
_HASHED = {"sh", "dh"}
"""Schedulers whose table of clients or destinations has places for servers of weight 0, too."""
_BALANCED = {"tcp": 6, "udp": 17, "sctp": 132}


def pass_through(ground: Ground, flight: Flight) -> Iterator[Outcome]:
    """``NEXT`` where no virtual server listens, else ``SCHEDULED`` once for each backend."""
    packet = flight.packet
    if packet.protocol not in _BALANCED.values() or packet.virtual is not None:
        yield NEXT, flight
        return
    if "virtual_servers" not in ground.state.known:
        is_bound = packet.dst in ground.state.ipvs_addresses
        maybe = is_bound or ground.state.proxy_mode == "ipvs"
        why = "IPVS' virtual servers are not known (ipvsadm-save.txt)"
        yield (UNKNOWN, flight.doubted(why)) if maybe else (NEXT, flight)
        return
    server = _server(ground, flight)
    if server is None:
        yield NEXT, flight
    else:
        yield from _schedule(ground, server, flight)


def _server(ground: Ground, flight: Flight) -> VirtualServer | MarkServer | None:
    """By the whole mark, else by protocol, address and port; port 0 of a server takes every port.

    Source: ``ip_vs_service_find``.
    """
    packet = flight.packet
    for server in ground.state.mark_servers if packet.mark else ():
        if (server.mark, server.ipv6) == (packet.mark, packet.ipv6):
            return server
    wanted = (packet.protocol, packet.dst)
    fitting = {s.port: s for s in ground.state.virtual_servers if (s.protocol, s.ip) == wanted}
    return fitting.get(packet.dport, fitting.get(0))


def _name(server: VirtualServer | MarkServer, flight: Flight) -> str:
    if isinstance(server, MarkServer):
        return f"fwmark 0x{server.mark:x} {server.scheduler}"
    at = endpoint(server.ip, server.port)
    return f"{flight.packet.protocol_name} {at} {server.scheduler}"


def _schedule(
    ground: Ground, server: VirtualServer | MarkServer, flight: Flight
) -> Iterator[Outcome]:
    name = _name(server, flight)
    usable = [at for at, (_, _, weight) in enumerate(server.backends) if weight > 0]
    if not usable:
        cause = "ipvs-weight-zero-after-restart" if server.backends else "svc-no-endpoints"
        what = "has only backends of weight 0" if server.backends else "has no backend"
        yield _refused(flight, name, what, cause)
        return
    if len(usable) < len(server.backends) and server.scheduler in _HASHED:
        what = "chooses a backend of weight 0 for some clients"
        yield _refused(flight.share(None), name, what, "ipvs-weight-zero-after-restart")
    tracked = ground.sysctl("net.ipv4.vs.conntrack")
    if isinstance(tracked, Doubt):
        flight = flight.doubted(tracked.why)
    elif not tracked:
        flight = flight.changed(state=UNTRACKED)
    total = sum(server.backends[at][2] for at in usable)
    for at in usable:
        ip, port, weight = server.backends[at]
        chance = _chance(server.scheduler, len(usable), weight, total)
        method = server.methods[at] if at < len(server.methods) else "masq"
        taken = flight.share(chance) if len(usable) > 1 else flight
        yield SCHEDULED, _sent(server, taken, name, ip, port or flight.packet.dport, method)


def _refused(flight: Flight, name: str, what: str, cause: str) -> Outcome:
    """IPVS answers for a server that it cannot give a backend to."""
    how = "icmp6-port-unreachable" if flight.packet.ipv6 else "icmp-port-unreachable"
    return REJECT, flight.step("ipvs", "", name, f"{what}: refused with {how}").lost(cause, how)


def _sent(
    server: VirtualServer | MarkServer, flight: Flight, name: str, ip: bytes, port: int, method: str
) -> Flight:
    packet = flight.packet
    kept = f", {server.persistence}" if server.persistent_s else ""
    effect = f"sent to {endpoint(ip, port)} ({method}{kept})"
    virtual = (packet.dst, packet.dport)
    if method != "masq":
        return (
            flight.changed(virtual=virtual)
            .step("ipvs", "", name, effect)
            .doubted(f"IPVS' forwarding method {method}")
        )
    after = flight.changed(dst=ip, dport=port, dnat=True, virtual=virtual)
    return after.step("ipvs", "", name, effect)


def _chance(scheduler: str, count: int, weight: int, total: int) -> float | None:
    """None where it depends on the client's address or on connections that are open."""
    if scheduler in _EQUAL:
        return 1 / count
    return weight / total if scheduler in _WEIGHTED else None
