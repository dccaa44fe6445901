"""IPVS's virtual servers beside the Services they are for."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.cluster.model import Service
from tracer.diagnosis.rule import Scene
from tracer.node.model import VirtualServer

_OPTIONS = {6: "-t", 17: "-u", 132: "--sctp-service"}
Place = tuple[int, bytes, int]
"""Protocol, address and port."""


def option(server: VirtualServer) -> str:
    """How ipvsadm names a server of this protocol."""
    return _OPTIONS.get(server.protocol, "-t")


def served(scene: Scene) -> dict[Place, tuple[str, str]]:
    """The Service and port name that each virtual server may be for."""
    nodes = scene.node.local_addresses | scene.cluster.node_by_address.keys()
    found: dict[Place, tuple[str, str]] = {}
    for service in scene.cluster.services:
        for place, port_name in _places(service, nodes):
            found.setdefault(place, (service.key, port_name))
    return found


def _places(service: Service, nodes: frozenset[bytes]) -> Iterator[tuple[Place, str]]:
    for port in service.ports:
        for ip in (*service.cluster_ips, *service.external_ips, *service.load_balancer_ips):
            yield (port.protocol, ip, port.port), port.name
        if port.node_port:
            yield from (((port.protocol, ip, port.node_port), port.name) for ip in nodes)
