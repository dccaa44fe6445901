"""What IPVS's virtual servers serve."""

from __future__ import annotations

from collections.abc import Collection

from tracer import address
from tracer.drift.served import Place, Rules, Served
from tracer.events import PROTOCOL_NAMES
from tracer.node.model import NodeState, VirtualServer


def served(node: NodeState, node_ports: Collection[int], *, ipv6: bool) -> Rules:
    """All places of one family; servers for node ports on the node's addresses are one place.

    Of several addresses that serve one node port the one with the fewest backends speaks.
    """
    places: dict[Place, Served] = {}
    for server in node.virtual_servers:
        if address.is_ipv4(server.ip) == ipv6 or not any(server.ip):
            continue
        place, told = _place(node, server, node_ports), _served(server)
        known = places.get(place)
        if known is None or len(told.backends) < len(known.backends):
            places[place] = told
    return Rules("ipvs", ipv6, places)


def _place(node: NodeState, server: VirtualServer, node_ports: Collection[int]) -> Place:
    protocol = PROTOCOL_NAMES.get(server.protocol, str(server.protocol))
    if server.ip in node.local_addresses and server.port in node_ports:
        return protocol, "", server.port
    return protocol, address.text(server.ip), server.port


def _served(server: VirtualServer) -> Served:
    """Backends that get new connections: those with weight 0 are leaving."""
    chosen = {(ip, port): weight for ip, port, weight in server.backends if weight > 0}
    weights = set(chosen.values())
    uneven = ""
    if len(weights) > 1:
        (ip, port), weight = max(chosen.items(), key=lambda item: item[1])
        uneven = f"{address.endpoint(ip, port)} has weight {weight}, others {min(weights)}"
    backends = frozenset(address.endpoint(*place) for place in chosen)
    at = address.endpoint(server.ip, server.port)
    return Served(backends, uneven=uneven, by=f"virtual server {at}")
