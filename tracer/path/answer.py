"""Whether a refusal is heard of: its answer needs a source and a way to the sender."""

from __future__ import annotations

from tracer.address import text
from tracer.path.arrival import NOWHERE
from tracer.path.ground import Ground
from tracer.path.packet import LOOPBACK, Doubt, Flight
from tracer.path.routing import Question

RESET = "tcp-reset"


def unanswerable(ground: Ground, flight: Flight) -> str:
    """Why the kernel tells the sender nothing; empty where it does, or where that is not known.

    Source: ``icmp_send``, ``icmp6_send``, ``nf_send_reset`` and ``nf_send_reset6``.
    """
    packet = flight.packet
    is_from_ipvs = packet.virtual is not None and flight.hook == "routing"
    # IPVS looks for a route before it rewrites the packet: the answer is the virtual server's.
    target = packet.virtual[0] if is_from_ipvs and packet.virtual else packet.dst
    is_own = ground.kind_of(target) == "local"
    if homeless(ground, flight):
        return f"{text(packet.dst)} is no address to answer from"
    source = target if is_own or flight.how == RESET else bytes(16)
    if ground.ipv6 and not any(source):
        source = ground.masquerade_source(packet.incoming, packet.src) or source
    way = ground.way(Question(packet.src, source))
    if isinstance(way, Doubt) or way.kind not in NOWHERE:
        return ""
    return f"the way back to {text(packet.src)} is {way.text}"


def homeless(ground: Ground, flight: Flight) -> bool:
    """Let in by a route outside the local table: IPv4 then lacks the source of an ICMP error."""
    packet = flight.packet
    device = packet.rerouted[0] if packet.rerouted else packet.outgoing
    here = flight.hook == "INPUT" or device == LOOPBACK
    is_icmp = not ground.ipv6 and flight.how != RESET
    return is_icmp and here and ground.kind_of(packet.dst) not in ("local", "broadcast")
