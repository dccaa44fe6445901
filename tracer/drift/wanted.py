"""What kube-proxy would program on a node, from Services and EndpointSlices.

Source: ``CategorizeEndpoints`` and the proxiers' ``syncProxyRules``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tracer import address
from tracer.cluster.model import Cluster, Endpoint, Service, ServiceKind, ServicePort, usable
from tracer.drift.served import Place
from tracer.events import PROTOCOL_NAMES


@dataclass(frozen=True, slots=True)
class Wanted:
    """One place of one Service port."""

    service: str
    """``namespace/name``."""
    port_name: str
    kind: ServiceKind
    local: bool
    """Traffic policy Local applies to it."""
    everywhere: frozenset[str]
    """``ip:port`` of every endpoint kube-proxy would use."""
    here: frozenset[str]
    """Those on this node."""
    hinted: bool
    """Topology hints may keep it to some of the endpoints."""

    @property
    def backends(self) -> frozenset[str]:
        """Endpoints for clients in general."""
        return self.here if self.local else self.everywhere


def programmed_for(service: Service) -> bool:
    """Whether kube-proxy makes rules for a Service at all."""
    addressed = bool(service.cluster_ips) and service.type != "ExternalName"
    return addressed and not service.headless and not service.proxied_by


def wanted(cluster: Cluster, node: str, *, ipv6: bool) -> dict[Place, list[Wanted]]:
    """Every place of one family; several where Services claim the same one."""
    found: dict[Place, list[Wanted]] = {}
    for service in cluster.services:
        if not programmed_for(service):
            continue
        family = [e for e in cluster.endpoints_by_service.get(service.key, ())
                  if address.is_ipv4(e.ip) != ipv6]  # fmt: skip
        for port in service.ports:
            behind = [e for e in family if e.port_name == port.name and e.protocol == port.protocol]
            for place, one in _of_port(service, port, behind, node, ipv6):
                found.setdefault(place, []).append(one)
    return found


def _of_port(
    service: Service, port: ServicePort, behind: list[Endpoint], node: str, ipv6: bool
) -> Iterator[tuple[Place, Wanted]]:
    protocol = PROTOCOL_NAMES.get(port.protocol, str(port.protocol))
    chosen = usable(behind)
    everywhere = _texts(chosen)
    here = _texts(usable(e for e in behind if e.node == node)) if node else frozenset()
    hinted = any(endpoint.zones for endpoint in chosen)
    for kind, ips in _addresses(service, ipv6):
        policy = service.internal_policy if kind is ServiceKind.CLUSTER_IP else ""
        policy = policy or service.external_policy
        one = Wanted(service.key, port.name, kind, policy == "Local", everywhere, here, hinted)
        yield from (((protocol, ip, port.port), one) for ip in ips)
        if kind is ServiceKind.NODE_PORT and port.node_port:
            yield (protocol, "", port.node_port), one


def _addresses(service: Service, ipv6: bool) -> Iterator[tuple[ServiceKind, list[str]]]:
    """Addresses by kind; the node port's are the node's and not named here."""
    modes = service.load_balancer_modes or ("VIP",) * len(service.load_balancer_ips)
    balancers = zip(service.load_balancer_ips, modes, strict=False)
    clusters = _of_family(service.cluster_ips, ipv6)
    yield ServiceKind.CLUSTER_IP, clusters
    yield ServiceKind.EXTERNAL_IP, _of_family(service.external_ips, ipv6)
    yield ServiceKind.LOAD_BALANCER, _of_family((ip for ip, m in balancers if m != "Proxy"), ipv6)
    if clusters:
        yield ServiceKind.NODE_PORT, []


def _of_family(ips: Iterable[bytes], ipv6: bool) -> list[str]:
    return [address.text(ip) for ip in ips if address.is_ipv4(ip) != ipv6]


def _texts(endpoints: Iterable[Endpoint]) -> frozenset[str]:
    return frozenset(address.endpoint(e.ip, e.port) for e in endpoints)
