"""What Kubernetes says: Services, EndpointSlices, Pods and Nodes as one immutable value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import Any, NamedTuple


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
    proxied_by: str = ""
    """The proxy that serves it instead of kube-proxy, as its label says."""
    load_balancer_names: tuple[str, ...] = ()
    """Host names that a load balancer announced: their addresses are not this node's to serve."""
    traffic_distribution: str = ""
    """``spec.trafficDistribution``: which endpoints get hints; empty for none."""

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
    zones: tuple[str, ...] = ()
    """Zones it is kept for (topology hints); empty without hints."""


class HostPort(NamedTuple):
    """A port of the pod's node that leads to the pod."""

    protocol: int
    port: int
    container_port: int
    ip: bytes = b""
    """``hostIP``, where it is taken; empty: everywhere, unspecified: everywhere in its family."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A Pod that has, or had, addresses."""

    namespace: str
    name: str
    node: str
    ips: tuple[bytes, ...]
    host_network: bool = False
    phase: str = "Running"
    host_ports: tuple[HostPort, ...] = ()

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
    zone: str = ""
    """The label ``topology.kubernetes.io/zone``."""


class Turn(StrEnum):
    """What happened to a Service."""

    JOINED = "joined"
    """An address became one that kube-proxy should use."""
    LEFT = "left"
    """An address stopped being one."""
    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class ClusterChange:
    """One change of a Service or of its endpoints, when the API told of it."""

    at_ns: int
    """Wall clock."""
    turn: Turn
    service: str
    """``namespace/name``."""
    endpoint: Endpoint | None = None
    """The endpoint that joined or left."""


@dataclass(frozen=True, slots=True)
class Handover:
    """An address that stopped being one pod's, and whose it is since."""

    at_ns: int
    ip: bytes
    before: str
    """``namespace/name``."""
    after: str = ""
    """``namespace/name``; empty while nobody has it."""


AHEAD_NS = 1_000_000_000
"""kube-proxy may hear of a change before we do, by about so much."""
FOR_EVER = (1 << 63) - 1
EndpointKey = tuple[str, int, bytes, int]
"""Service, protocol, address and port."""


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
    pods_of: str = ""
    """The node whose pods these are; empty where they are all nodes' pods."""
    changes: tuple[ClusterChange, ...] = ()
    """The latest changes, oldest first: bounded, and only those that were watched."""
    handovers: tuple[Handover, ...] = ()
    """Addresses that changed hands lately, oldest first."""

    def successor(
        self, grouped: Mapping[str, tuple[Endpoint, ...]] | None = None, **parts: Any
    ) -> Cluster:
        """The next state; what was derived from parts that stay the same is not derived again.

        ``grouped``: the endpoints of each Service, where the caller has them already.
        """
        later = replace(self, generation=self.generation + 1, **parts)
        for name, sources in _DERIVED.items():
            same = all(getattr(self, part) is getattr(later, part) for part in sources)
            if same and name in vars(self):
                vars(later)[name] = vars(self)[name]
        if grouped is not None:
            vars(later)["endpoints_by_service"] = grouped
        return later

    @cached_property
    def services_by_key(self) -> Mapping[str, Service]:
        """Service by ``namespace/name``."""
        return {service.key: service for service in self.services}

    @cached_property
    def service_by_address(self) -> Mapping[bytes, Service]:
        """The Service of an address that Services have; of several the first by key."""
        found: dict[bytes, Service] = {}
        for service in sorted(self.services, key=lambda service: service.key):
            for ip in (*service.cluster_ips, *service.external_ips, *service.load_balancer_ips):
                found.setdefault(ip, service)
        return found

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

        Where only one node's pods are read, slices tell of those of others behind Services.
        """
        if not self.pods_of:
            return self.read_pod_by_address
        nodes = self.node_by_address
        named = {
            e.ip: e
            for e in self.endpoints
            if e.pod and e.node != self.pods_of and e.ip not in nodes
        }
        return _PodsAndNamed(self.read_pod_by_address, named)

    @cached_property
    def read_pod_by_address(self) -> Mapping[bytes, Pod]:
        """The same, of the pods that were read.

        A finished pod answers only for an address that no other pod has taken over.
        """
        owners = sorted(self.pods, key=lambda pod: not pod.finished)
        return {ip: pod for pod in owners if not pod.host_network for ip in pod.ips}

    @cached_property
    def departures(self) -> Mapping[EndpointKey, int]:
        """When each endpoint left that has not come back since, wall clock in nanoseconds."""
        left: dict[EndpointKey, int] = {}
        for change in self.changes:
            if change.endpoint is not None:
                key = endpoint_key(change.endpoint)
                if change.turn is Turn.LEFT:
                    left[key] = change.at_ns
                else:
                    left.pop(key, None)
        return left

    @cached_property
    def arrivals(self) -> Mapping[EndpointKey, int]:
        """When each endpoint came that has not left since, wall clock in nanoseconds."""
        came: dict[EndpointKey, int] = {}
        for change in self.changes:
            if change.endpoint is not None:
                key = endpoint_key(change.endpoint)
                if change.turn is Turn.JOINED:
                    came[key] = change.at_ns
                else:
                    came.pop(key, None)
        return came

    @cached_property
    def absences(self) -> Mapping[EndpointKey, tuple[tuple[int, int], ...]]:
        """From when to when endpoints were away that had left, wall clock in nanoseconds.

        One that has not come back is away for ever.
        """
        found: dict[EndpointKey, list[tuple[int, int]]] = {}
        for change in self.changes:
            if change.endpoint is None:
                continue
            spans = found.setdefault(endpoint_key(change.endpoint), [])
            if change.turn is Turn.LEFT:
                spans.append((change.at_ns, FOR_EVER))
            elif spans:
                spans[-1] = spans[-1][0], change.at_ns
        return {key: tuple(spans) for key, spans in found.items() if spans}

    def usable_endpoints(self, service: str, port_name: str | None = None) -> tuple[Endpoint, ...]:
        """The endpoints kube-proxy would use; see ``usable``."""
        return usable(
            endpoint
            for endpoint in self.endpoints_by_service.get(service, ())
            if port_name is None or endpoint.port_name == port_name
        )


class _PodsAndNamed(Mapping[bytes, Pod]):
    """Pods that were read, then those that slices name: made when somebody asks for them."""

    def __init__(self, read: Mapping[bytes, Pod], named: Mapping[bytes, Endpoint]) -> None:
        self._read, self._named = read, named

    def __getitem__(self, ip: bytes) -> Pod:
        found = self._read.get(ip)
        if found is not None:
            return found
        endpoint = self._named[ip]
        namespace, _, name = endpoint.pod.partition("/")
        return Pod(namespace, name, endpoint.node, (ip,))

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._read.keys() | self._named.keys())

    def __len__(self) -> int:
        return len(self._read.keys() | self._named.keys())


_DERIVED = {
    "services_by_key": ("services",),
    "service_by_address": ("services",),
    "endpoints_by_service": ("endpoints",),
    "node_by_address": ("nodes",),
    "pod_by_address": ("pods", "pods_of", "endpoints", "nodes"),
    "read_pod_by_address": ("pods",),
    "departures": ("changes",),
    "arrivals": ("changes",),
    "absences": ("changes",),
}
"""The parts of a ``Cluster`` that each cached property is made from."""


def endpoint_key(endpoint: Endpoint) -> EndpointKey:
    """What makes it the same endpoint of the same Service."""
    return endpoint.service, endpoint.protocol, endpoint.ip, endpoint.port


def usable(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """The endpoints kube-proxy would use: ready ones, else serving and terminating ones.

    Source: KEP-1669, ``CategorizeEndpoints`` in kube-proxy.
    """
    candidates = tuple(endpoints)
    ready = tuple(endpoint for endpoint in candidates if endpoint.ready)
    return ready or tuple(e for e in candidates if e.serving and e.terminating)
