"""Destinations and sources that NAT may choose, each a flight of its own."""

from __future__ import annotations

from tracer.address import endpoint
from tracer.path.networks import expanded
from tracer.path.packet import Flight

MOST_CHOICES = 64
"""A range of more addresses than that is not spelled out."""


def split_endpoint(text: str) -> tuple[str, str]:
    """Address and port, either of which may be missing or a range; ``[fd00::1]:80`` for IPv6."""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, port.removeprefix(":")
    if text.count(":") > 1:
        return text, ""
    host, _, port = text.partition(":")
    return host, port


def destinations(flight: Flight, text: str) -> list[Flight] | None:
    """The flight to each address it may be sent to; None if they are too many."""
    host, port = split_endpoint(text)
    found = expanded(host, MOST_CHOICES) if host else [flight.packet.dst]
    if found is None:
        return None
    low, dash, high = port.partition("-")
    shifted = dash and "/" not in high and high != low
    made = []
    for ip in found:
        number = int(low) if low else flight.packet.dport
        changed = (ip, number) != (flight.packet.dst, flight.packet.dport)
        after = flight.changed(
            dst=ip,
            dport=number,
            dnat=flight.packet.dnat or changed,  # IPS_DST_NAT is set for a real change only
            bound=flight.packet.bound | {"dst"},
        )
        if shifted:
            after = after.doubted(f"which port of {port} NAT chooses")
        made.append(after.share(None) if len(found) > 1 else after)
    return made


def sources(flight: Flight, text: str) -> list[Flight] | None:
    """The flight from each address that it may be given; None if they are too many."""
    host, port = split_endpoint(text)
    found = expanded(host, MOST_CHOICES) if host else [flight.packet.src]
    if found is None:
        return None
    packet = flight.packet
    number = _source_port(packet.sport, port)
    made = [
        flight.changed(
            src=ip,
            sport=number,
            snat=packet.snat or (ip, number) != (packet.src, packet.sport),
            bound=packet.bound | {"src"},
        )
        for ip in found
    ]
    return made if len(made) == 1 else [after.share(None) for after in made]


def _source_port(old: int | None, port: str) -> int | None:
    """The port is kept where it may be, else any of the range is taken."""
    low, _, high = port.partition("-")
    if not low or old is None:
        return old
    if int(low) <= old <= int(high or low):
        return old
    return None if high and high != low else int(low)


def shown(ip: bytes, port: int | None) -> str:
    """An endpoint, its port left out where it is not known."""
    return endpoint(ip, port or 0).removesuffix(":0")
