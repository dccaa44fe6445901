"""What Kubernetes says: Services, EndpointSlices, Pods and Nodes as one immutable value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property


class ServiceKind(IntEnum):
    """Which kind of a Service's addresses a client used."""

    CLUSTER_IP = 1
    NODE_PORT = 2
    EXTERNAL_IP = 3
    LOAD_BALANCER = 4
    HOST_PORT = 5


KIND_NAMES: Mapping[ServiceKind, str] = {
    ServiceKind.CLUSTER_IP: "ClusterIP",
    ServiceKind.NODE_PORT: "NodePort",
    ServiceKind.EXTERNAL_IP: "ExternalIP",
    ServiceKind.LOAD_BALANCER: "LoadBalancer",
    ServiceKind.HOST_PORT: "HostPort",
}


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One entry of ``Service.spec.ports``."""

    name: str
    protocol: int
    """IP protocol number."""
    port: int
    target_port: str
    """Number or name, as written."""
    node_port: int = 0


@dataclass(frozen=True, slots=True)
class Service:
    """A Service; addresses are 16 packed bytes."""

    namespace: str
    name: str
    type: str
    ports: tuple[ServicePort, ...] = ()
    cluster_ips: tuple[bytes, ...] = ()
    external_ips: tuple[bytes, ...] = ()
    load_balancer_ips: tuple[bytes, ...] = ()
    load_balancer_modes: tuple[str, ...] = ()
    """``VIP`` or ``Proxy`` for each load balancer address."""
    external_policy: str = "Cluster"
    internal_policy: str = "Cluster"
    affinity_seconds: int = 0
    """0 without ClientIP affinity."""
    health_check_node_port: int = 0
    source_ranges: tuple[str, ...] = ()
    selector: Mapping[str, str] = field(default_factory=dict)
    headless: bool = False
    """``clusterIP: None``: no address on purpose, unlike a Service that has none yet."""
    external_name: str = ""
    """The host name of an ExternalName Service."""

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of an EndpointSlice behind one port of it."""

    service: str
    """``namespace/name`` of the Service."""
    port_name: str
    protocol: int
    ip: bytes
    port: int
    node: str = ""
    pod: str = ""
    """``namespace/name`` of the pod, where the slice names one."""
    ready: bool = True
    serving: bool = True
    terminating: bool = False


@dataclass(frozen=True, slots=True)
class Pod:
    """A Pod that has, or had, addresses."""

    namespace: str
    name: str
    node: str
    ips: tuple[bytes, ...]
    host_network: bool = False
    phase: str = "Running"
    host_ports: tuple[tuple[int, int, int], ...] = ()
    """(protocol, host port, container port)."""

    @property
    def finished(self) -> bool:
        """Whether its addresses may belong to another pod by now."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Node:
    """A Node with its addresses and pod ranges."""

    name: str
    addresses: tuple[bytes, ...]
    pod_cidrs: tuple[str, ...] = ()
    control_plane: bool = False


@dataclass(frozen=True)
class Cluster:
    """A snapshot of all four kinds; a later state is another value with a higher generation."""

    services: tuple[Service, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    pods: tuple[Pod, ...] = ()
    nodes: tuple[Node, ...] = ()
    generation: int = 0
    at_ns: int = 0
    """When this state was read or observed, wall clock; 0 unknown."""
    unparsed: tuple[str, ...] = ()
    """``file:line: what`` for each object that could not be used."""
    known: frozenset[str] = frozenset({"services", "endpoints", "pods", "nodes"})
    """Which of the parts above were really read (field names): unknown is not empty."""

    @cached_property
    def services_by_key(self) -> Mapping[str, Service]:
        """Service by ``namespace/name``."""
        return {service.key: service for service in self.services}

    @cached_property
    def endpoints_by_service(self) -> Mapping[str, tuple[Endpoint, ...]]:
        """All endpoints of each Service, every port."""
        grouped: dict[str, list[Endpoint]] = {}
        for endpoint in self.endpoints:
            grouped.setdefault(endpoint.service, []).append(endpoint)
        return {key: tuple(found) for key, found in grouped.items()}

    @cached_property
    def node_by_address(self) -> Mapping[bytes, Node]:
        """The Node that owns an address, by its 16 packed bytes."""
        return {address: node for node in self.nodes for address in node.addresses}

    @cached_property
    def pod_by_address(self) -> Mapping[bytes, Pod]:
        """The pod with an address of its own; hostNetwork pods share their node's.

        A finished pod answers only for an address that no other pod has taken over.
        """
        owners = sorted(self.pods, key=lambda pod: not pod.finished)
        return {ip: pod for pod in owners if not pod.host_network for ip in pod.ips}

    def usable_endpoints(self, service: str, port_name: str | None = None) -> tuple[Endpoint, ...]:
        """The endpoints kube-proxy would use: ready ones, else serving and terminating ones.

        Source: KEP-1669, ``CategorizeEndpoints`` in kube-proxy.
        """
        candidates = [
            endpoint
            for endpoint in self.endpoints_by_service.get(service, ())
            if port_name is None or endpoint.port_name == port_name
        ]
        ready = tuple(endpoint for endpoint in candidates if endpoint.ready)
        return ready or tuple(e for e in candidates if e.serving and e.terminating)
