"""Virtual servers as the cluster and IPVS have them, whether or not anybody connects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from tracer import address
from tracer.cluster.model import (
    KIND_NAMES,
    Cluster,
    Endpoint,
    Service,
    ServiceKind,
    ServicePort,
)
from tracer.events import PROTOCOL_NAMES
from tracer.node.health import HealthAnswer
from tracer.node.model import NodeState, VirtualServer
from tracer.plain import harmless

ServerKey = tuple[int, bytes, int]
"""Protocol, address (empty: every node's, of a node port), port."""
BackendKey = tuple[bytes, int]
_OUTSIDE = (ServiceKind.EXTERNAL_IP, ServiceKind.LOAD_BALANCER, ServiceKind.NODE_PORT)
_HEALTHY = 200


@dataclass(frozen=True, slots=True)
class Backend:
    """One real server; what is not known is empty."""

    key: BackendKey
    endpoint: Endpoint | None = None
    weight: int = -1
    """Weight in IPVS, -1 where IPVS does not have it."""
    method: str = ""
    """``masq``, ``route``, ``tunnel`` or ``local``."""

    @property
    def text(self) -> str:
        """Address and port."""
        return address.endpoint(*self.key)

    @property
    def condition(self) -> str:
        """The conditions of its endpoint."""
        if self.endpoint is None:
            return ""
        if self.endpoint.ready:
            return "ready"
        words = ["serving" if self.endpoint.serving else "not ready"]
        return ", ".join([*words, "terminating"] if self.endpoint.terminating else words)


@dataclass(frozen=True, slots=True)
class Health:
    """What this node answers load balancers that ask for a Service."""

    text: str
    good: bool
    """It is an answer, and agrees with the slices."""


@dataclass(frozen=True, slots=True)
class Server:
    """One way to reach a Service."""

    key: ServerKey
    service: Service | None = None
    port_name: str = ""
    kind: ServiceKind | None = None
    scheduler: str = ""
    """What IPVS chooses by; empty where IPVS does not have it."""
    persistence: str = ""
    """How long IPVS keeps a client with its backend."""
    health: Health | None = None
    """As far as the Service has a health check port and it was asked."""
    backends: Mapping[BackendKey, Backend] = field(default_factory=dict)

    @property
    def outside(self) -> bool:
        """Whether it is reached from outside the cluster."""
        return self.kind in _OUTSIDE

    @property
    def name(self) -> str:
        """``namespace/name:port``; the address where no Service is known."""
        if self.service is None:
            return self.text
        port = f":{self.port_name}" if self.port_name else ""
        return harmless(f"{self.service.key}{port}")

    @property
    def prefix(self) -> str:
        """The namespace, with which the names of its pods begin, too."""
        return harmless(f"{self.service.namespace}/") if self.service else ""

    @property
    def text(self) -> str:
        """Address, port and protocol."""
        protocol, ip, port = self.key
        where = address.endpoint(ip, port) if ip else f"*:{port}"
        return f"{where}/{PROTOCOL_NAMES.get(protocol, str(protocol))}"

    @property
    def kind_name(self) -> str:
        """``ClusterIP``, …"""
        return KIND_NAMES[self.kind] if self.kind else ""


def servers_of(cluster: Cluster, node: NodeState) -> dict[ServerKey, Server]:
    """Every address and port of every Service, then what IPVS holds beside them."""
    found: dict[ServerKey, Server] = {}
    answers = {answer.service: answer for answer in node.health_answers}
    for service in cluster.services:
        if not service.headless and service.type != "ExternalName":
            endpoints = cluster.endpoints_by_service.get(service.key, ())
            answer = answers.get(service.key)
            health = health_of(answer, endpoints, node.node_name) if answer else None
            for server in _of_service(service, endpoints, health):
                found.setdefault(server.key, server)
    for programmed in node.virtual_servers:
        key = _key_of(programmed, node, found)
        found[key] = _programmed(found.get(key, Server(key)), programmed)
    return found


def health_of(answer: HealthAnswer, endpoints: Iterable[Endpoint], node: str) -> Health:
    """The answer beside what slices say: kube-proxy counts ready addresses of one family."""
    families: dict[bool, set[bytes]] = {}
    for endpoint in endpoints:
        local = families.setdefault(address.is_ipv4(endpoint.ip), set())
        if endpoint.ready and endpoint.node == node:
            local.add(endpoint.ip)
    counts = [len(local) for local in families.values()] or [0]
    agrees = not node or answer.local_endpoints in counts
    text = answer.text
    if answer.local_endpoints >= 0 and not agrees:
        text += f", slices have {max(counts)}"
    elif answer.local_endpoints > 0 and answer.status != _HEALTHY:
        text += ", kube-proxy is not healthy"
        agrees = False
    return Health(text, agrees and answer.local_endpoints >= 0)


def _of_service(
    service: Service, endpoints: tuple[Endpoint, ...], health: Health | None
) -> Iterator[Server]:
    for port in service.ports:
        behind = {
            (endpoint.ip, endpoint.port): Backend((endpoint.ip, endpoint.port), endpoint)
            for endpoint in endpoints
            if endpoint.port_name == port.name and endpoint.protocol == port.protocol
        }
        for kind, ip, number in _fronts(service, port):
            own = {
                key: backend
                for key, backend in behind.items()
                if not ip or address.is_ipv4(ip) == address.is_ipv4(key[0])
            }
            key = port.protocol, ip, number
            yield Server(key, service, port.name, kind, health=health, backends=own)


def _fronts(service: Service, port: ServicePort) -> Iterator[tuple[ServiceKind, bytes, int]]:
    """(kind, address, port) that kube-proxy programs for one port."""
    for ip in service.cluster_ips:
        yield ServiceKind.CLUSTER_IP, ip, port.port
    for ip in service.external_ips:
        yield ServiceKind.EXTERNAL_IP, ip, port.port
    modes = (*service.load_balancer_modes, *("VIP",) * len(service.load_balancer_ips))
    for ip, mode in zip(service.load_balancer_ips, modes, strict=False):
        if mode != "Proxy":
            yield ServiceKind.LOAD_BALANCER, ip, port.port
    if port.node_port:
        yield ServiceKind.NODE_PORT, b"", port.node_port


def _key_of(
    programmed: VirtualServer, node: NodeState, found: Mapping[ServerKey, Server]
) -> ServerKey:
    """A node port stands in IPVS once for each address of the node."""
    exact = programmed.protocol, programmed.ip, programmed.port
    anywhere = programmed.protocol, b"", programmed.port
    if exact not in found and anywhere in found and programmed.ip in node.local_addresses:
        return anywhere
    return exact


def _programmed(server: Server, programmed: VirtualServer) -> Server:
    """The server with scheduler and weights as IPVS has them."""
    backends = dict(server.backends)
    methods = (*programmed.methods, *("",) * len(programmed.backends))
    for (ip, port, weight), method in zip(programmed.backends, methods, strict=False):
        backend = backends.get((ip, port), Backend((ip, port)))
        backends[ip, port] = replace(backend, weight=weight, method=method)
    return replace(
        server,
        scheduler=programmed.scheduler,
        persistence=programmed.persistence,
        backends=backends,
    )
