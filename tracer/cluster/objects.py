"""One Kubernetes object -> the value of the model; what is wrong becomes a note.

Files and the API server are read alike: see ``Fields``.

The defaults are those of the API: a condition that is missing means ready, not
terminating, and serving as far as ready (``discovery/v1`` types).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tracer.cluster.fields import Fields, UnusableError
from tracer.cluster.model import Endpoint, HostPort, Node, Pod, Service, ServicePort
from tracer.events import Protocol

PROTOCOLS = {"TCP": Protocol.TCP, "UDP": Protocol.UDP, "SCTP": Protocol.SCTP}
SERVICE_TYPES = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
POLICIES = ("Cluster", "Local")
AFFINITY_SECONDS = 10800
"""What the API fills in for ClientIP affinity without a timeout."""
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
CONTROL_PLANE_LABELS = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
ZONE_LABEL = "topology.kubernetes.io/zone"
PROXY_LABEL = "service.kubernetes.io/service-proxy-name"
ENDPOINT_LIMIT = 1_000_000
"""Addresses times ports of one object; the API allows a thousand by a hundred."""


def identity(fields: Fields) -> tuple[str, str]:
    """Namespace (``default`` where none is written) and name of any object."""
    metadata = fields.child("metadata")
    name = metadata.text("name")
    if not name:
        raise UnusableError("it has no metadata.name")
    return metadata.text("namespace", "default"), name


def service(fields: Fields) -> Service:
    """A Service of any type."""
    namespace, name = identity(fields)
    spec = fields.child("spec")
    balancers = list(_balancers(fields))
    ips = spec.texts("clusterIPs") or (spec.text("clusterIP"),)
    return Service(
        namespace=namespace,
        name=name,
        type=spec.choice("type", SERVICE_TYPES),
        ports=tuple(_service_ports(spec)),
        cluster_ips=() if "None" in ips else _cluster_ips(spec),
        external_ips=spec.addresses("externalIPs"),
        load_balancer_ips=tuple(ip for ip, _ in balancers),
        load_balancer_modes=tuple(mode for _, mode in balancers),
        load_balancer_names=tuple(_balancer_names(fields)),
        traffic_distribution=spec.text("trafficDistribution"),
        external_policy=spec.choice("externalTrafficPolicy", POLICIES),
        internal_policy=spec.choice("internalTrafficPolicy", POLICIES),
        affinity_seconds=_affinity_seconds(spec),
        health_check_node_port=spec.number("healthCheckNodePort"),
        source_ranges=spec.texts("loadBalancerSourceRanges"),
        selector=spec.mapping("selector"),
        headless="None" in ips,
        external_name=spec.text("externalName"),
        proxied_by=fields.child("metadata").child("labels").text(PROXY_LABEL),
    )


def _cluster_ips(spec: Fields) -> tuple[bytes, ...]:
    if spec.raw("clusterIPs"):
        return spec.addresses("clusterIPs")
    single = spec.address("clusterIP")
    return () if single is None else (single,)


def _balancers(fields: Fields) -> Iterator[tuple[bytes, str]]:
    """Addresses a load balancer announced; entries with a host name only have none."""
    for ingress in fields.child("status").child("loadBalancer").children("ingress"):
        ip = ingress.address("ip")
        if ip is not None:
            yield ip, ingress.choice("ipMode", ("VIP", "Proxy"))


def _balancer_names(fields: Fields) -> Iterator[str]:
    for ingress in fields.child("status").child("loadBalancer").children("ingress"):
        if ingress.text("hostname"):
            yield ingress.text("hostname")


def _affinity_seconds(spec: Fields) -> int:
    if spec.choice("sessionAffinity", ("None", "ClientIP")) == "None":
        return 0
    config = spec.child("sessionAffinityConfig").child("clientIP")
    return config.number("timeoutSeconds", high=86400) or AFFINITY_SECONDS


def _protocol(fields: Fields) -> int:
    return PROTOCOLS[fields.choice("protocol", tuple(PROTOCOLS))]


def _service_ports(spec: Fields) -> Iterator[ServicePort]:
    for entry in spec.children("ports"):
        port = entry.number("port")
        if not port:
            if not entry.raw("port"):
                entry.note("port", entry.raw("port"), "a port number")
            continue
        target = entry.raw("targetPort")
        named = isinstance(target, str)
        yield ServicePort(
            name=entry.text("name"),
            protocol=_protocol(entry),
            port=port,
            target_port=entry.text("targetPort", str(port))
            if named
            else str(entry.number("targetPort") or port),
            node_port=entry.number("nodePort"),
        )


def slice_service(fields: Fields) -> str:
    """``namespace/name`` of the Service an EndpointSlice belongs to."""
    namespace, _ = identity(fields)
    owner = fields.child("metadata").child("labels").text(SERVICE_NAME_LABEL)
    if not owner:
        raise UnusableError(f"it has no label {SERVICE_NAME_LABEL}: kube-proxy ignores it")
    return f"{namespace}/{owner}"


@dataclass(frozen=True, slots=True)
class EndpointSet:
    """What one object says about the endpoints of a Service; it may say there are none."""

    service: str
    """``namespace/name``."""
    endpoints: tuple[Endpoint, ...]


def merged(sets: Iterable[EndpointSet]) -> Iterable[Endpoint]:
    """Endpoints of several objects; an address that two of them hold counts once.

    Two slices of a Service hold it while one is being replaced by the other: it is
    ready if one says so.
    """
    found: dict[tuple[str, str, int, bytes, int], Endpoint] = {}
    for endpoint in (endpoint for one in sets for endpoint in one.endpoints):
        port = (endpoint.port_name, endpoint.protocol)
        key = (endpoint.service, *port, endpoint.ip, endpoint.port)
        known = found.get(key)
        if known is None or (endpoint.ready and not known.ready):
            found[key] = endpoint
    return found.values()


def slice_endpoints(fields: Fields) -> EndpointSet:
    """Every endpoint of an EndpointSlice behind every port of it.

    Only the first address of an endpoint counts, and a port without a number
    does not: kube-proxy does the same (``endpointslicecache.go``).
    """
    owner = slice_service(fields)
    if fields.choice("addressType", ("IPv4", "IPv6", "FQDN")) == "FQDN":
        raise UnusableError("its addresses are host names: kube-proxy ignores it")
    ports = list(_endpoint_ports(fields))
    hosts = list(_slice_hosts(fields, identity(fields)[0]))
    return EndpointSet(owner, _behind_ports(owner, hosts, ports))


Host = tuple[bytes, str, str, bool, bool, bool, tuple[str, ...]]
"""(address, node, pod, ready, serving, terminating, zones)."""


def _behind_ports(
    owner: str, hosts: list[Host], ports: list[tuple[str, int, int]]
) -> tuple[Endpoint, ...]:
    if len(hosts) * len(ports) > ENDPOINT_LIMIT:
        raise UnusableError(f"it has {len(hosts)} addresses with {len(ports)} ports each")
    return tuple(
        Endpoint(owner, name, protocol, ip, port, node, pod, ready, serving, terminating, zones)
        for ip, node, pod, ready, serving, terminating, zones in hosts
        for name, protocol, port in ports
    )


def _endpoint_ports(fields: Fields) -> Iterator[tuple[str, int, int]]:
    """(name, protocol, number) of each port that has a number."""
    for entry in fields.children("ports"):
        port = entry.number("port")
        if port:
            yield entry.text("name"), _protocol(entry), port


def _slice_hosts(fields: Fields, namespace: str) -> Iterator[Host]:
    for entry in fields.children("endpoints"):
        addresses = entry.addresses("addresses")
        if not addresses:
            entry.note("addresses", entry.raw("addresses"), "a list with an address")
            continue
        conditions = entry.child("conditions")
        ready = conditions.flag("ready") is not False
        serving = conditions.flag("serving")
        yield (
            addresses[0],
            entry.text("nodeName"),
            _target_pod(entry, namespace),
            ready,
            ready if serving is None else serving,
            conditions.flag("terminating") is True,
            _zones(entry),
        )


def _zones(entry: Fields) -> tuple[str, ...]:
    """Zones of the topology hints; most slices have none."""
    if entry.raw("hints") is None:
        return ()
    named = (zone.text("name") for zone in entry.child("hints").children("forZones"))
    return tuple(name for name in named if name)


def _target_pod(entry: Fields, namespace: str) -> str:
    target = entry.child("targetRef")
    if target.text("kind") != "Pod" or not target.text("name"):
        return ""
    return f"{target.text('namespace', namespace)}/{target.text('name')}"


def old_endpoints(fields: Fields) -> EndpointSet:
    """An Endpoints object of the old kind, which bears the name of its Service."""
    namespace, name = identity(fields)
    found: list[Endpoint] = []
    for subset in fields.children("subsets"):
        ports = list(_endpoint_ports(subset))
        hosts: list[Host] = []
        for key, ready in (("addresses", True), ("notReadyAddresses", False)):
            for entry in subset.children(key):
                ip = entry.address("ip")
                if ip is not None:
                    pod = _target_pod(entry, namespace)
                    hosts.append((ip, entry.text("nodeName"), pod, ready, ready, False, ()))
        found += _behind_ports(f"{namespace}/{name}", hosts, ports)
    return EndpointSet(f"{namespace}/{name}", tuple(found))


def pod(fields: Fields) -> Pod:
    """A Pod, with or without addresses yet."""
    namespace, name = identity(fields)
    spec, status = fields.child("spec"), fields.child("status")
    listed = [entry.address("ip") for entry in status.children("podIPs")]
    ips = [ip for ip in (status.address("podIP"), *listed) if ip is not None]
    return Pod(
        namespace=namespace,
        name=name,
        node=spec.text("nodeName"),
        ips=tuple(dict.fromkeys(ips)),
        host_network=spec.flag("hostNetwork") is True,
        phase=status.text("phase", "Unknown"),
        host_ports=tuple(dict.fromkeys(_host_ports(spec))),
    )


def _host_ports(spec: Fields) -> Iterator[HostPort]:
    """Ports of containers, and of init containers that keep running (sidecars)."""
    sidecars = [c for c in spec.children("initContainers") if c.text("restartPolicy") == "Always"]
    for container in (*spec.children("containers"), *sidecars):
        for entry in container.children("ports"):
            host_port = entry.number("hostPort")
            if host_port:
                inside = entry.number("containerPort") or host_port
                where = entry.address("hostIP") or b""
                yield HostPort(_protocol(entry), host_port, inside, where)


def node(fields: Fields) -> Node:
    """A Node with the addresses its kubelet reports."""
    _, name = identity(fields)
    spec, status = fields.child("spec"), fields.child("status")
    labels = fields.child("metadata").mapping("labels")
    found = [
        entry.address("address")
        for entry in status.children("addresses")
        if entry.text("type") in ("InternalIP", "ExternalIP")
    ]
    return Node(
        name=name,
        addresses=tuple(dict.fromkeys(ip for ip in found if ip is not None)),
        pod_cidrs=tuple(_pod_cidrs(spec)),
        control_plane=any(label in labels for label in CONTROL_PLANE_LABELS),
        zone=labels.get(ZONE_LABEL, ""),
    )


def _pod_cidrs(spec: Fields) -> Iterator[str]:
    for text in dict.fromkeys((spec.text("podCIDR"), *spec.texts("podCIDRs"))):
        if not text:
            continue
        try:
            yield str(ipaddress.ip_network(text, strict=False))
        except ValueError:
            spec.note("podCIDRs", text, "an address range")
