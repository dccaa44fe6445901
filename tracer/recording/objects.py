"""A cluster back into Kubernetes objects, as far as viptrace uses them.

``tracer.cluster.file`` reads from them the values that they were made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby

from tracer import address
from tracer.cluster.model import Cluster, Endpoint, Node, Pod, Service, ServicePort
from tracer.cluster.objects import PROXY_LABEL, ZONE_LABEL
from tracer.events import PROTOCOL_NAMES

Object = dict[str, object]


def objects_of(cluster: Cluster) -> dict[str, list[Object]]:
    """Objects by the field of ``Cluster`` that they go to."""
    return {part: make(cluster) for part, make in PARTS.items()}


def _service(service: Service) -> Object:
    ips = ["None"] if service.headless else list(map(address.text, service.cluster_ips))
    spec: Object = {
        "type": service.type,
        "clusterIP": ips[0] if ips else None,
        "clusterIPs": ips or None,
        "externalIPs": list(map(address.text, service.external_ips)),
        "externalTrafficPolicy": service.external_policy,
        "internalTrafficPolicy": service.internal_policy,
        "healthCheckNodePort": service.health_check_node_port or None,
        "loadBalancerSourceRanges": list(service.source_ranges),
        "selector": dict(service.selector),
        "externalName": service.external_name or None,
        "trafficDistribution": service.traffic_distribution or None,
        "ports": list(map(_service_port, service.ports)),
    }
    if service.affinity_seconds:
        spec["sessionAffinity"] = "ClientIP"
        timeout = {"timeoutSeconds": service.affinity_seconds}
        spec["sessionAffinityConfig"] = {"clientIP": timeout}
    ingress: list[Object] = [
        {"ip": address.text(ip), "ipMode": mode}
        for ip, mode in zip(service.load_balancer_ips, service.load_balancer_modes, strict=False)
    ]
    ingress += [{"hostname": name} for name in service.load_balancer_names]
    status: Object = {"loadBalancer": {"ingress": ingress}}
    labels = {PROXY_LABEL: service.proxied_by} if service.proxied_by else {}
    where = (service.namespace, service.name)
    return _object("v1", "Service", *where, labels=labels, spec=spec, status=status)


def _service_port(port: ServicePort) -> Object:
    target: object = int(port.target_port) if port.target_port.isdecimal() else port.target_port
    return {
        "name": port.name,
        "protocol": _protocol(port.protocol),
        "port": port.port,
        "targetPort": target,
        "nodePort": port.node_port or None,
    }


def _pod(pod: Pod) -> Object:
    ports = [
        {
            "protocol": _protocol(port.protocol),
            "hostPort": port.port,
            "containerPort": port.container_port,
            "hostIP": address.text(port.ip) if port.ip else None,
        }
        for port in pod.host_ports
    ]
    ips = list(map(address.text, pod.ips))
    return _object(
        "v1",
        "Pod",
        pod.namespace,
        pod.name,
        spec={
            "nodeName": pod.node,
            "hostNetwork": pod.host_network,
            "containers": [{"ports": ports}],
        },
        status={
            "phase": pod.phase,
            "podIP": ips[0] if ips else None,
            "podIPs": [{"ip": ip} for ip in ips],
        },
    )


def _node(node: Node) -> Object:
    labels = {"node-role.kubernetes.io/control-plane": ""} if node.control_plane else {}
    if node.zone:
        labels[ZONE_LABEL] = node.zone
    addresses = [{"type": "InternalIP", "address": address.text(ip)} for ip in node.addresses]
    made = _object(
        "v1",
        "Node",
        "",
        node.name,
        labels=labels,
        spec={"podCIDRs": list(node.pod_cidrs)},
        status={"addresses": addresses},
    )
    return made


def _slices(endpoints: Iterable[Endpoint]) -> Iterator[Object]:
    """One slice for each run of hosts of a Service behind the same ports: order stays."""
    hosts = groupby(endpoints, key=_host)
    behind = ((host, [(e.port_name, e.protocol, e.port) for e in found]) for host, found in hosts)
    runs = groupby(behind, key=_slice_key)
    for number, ((owner, is_v4, ports), members) in enumerate(runs):
        yield _slice(owner, number, is_v4, ports, [host for host, _ in members])


_Host = tuple[str, bytes, str, str, bool, bool, bool, tuple[str, ...]]
_Ports = tuple[tuple[str, int, int], ...]


def _host(endpoint: Endpoint) -> _Host:
    flags = (endpoint.ready, endpoint.serving, endpoint.terminating)
    return (endpoint.service, endpoint.ip, endpoint.node, endpoint.pod, *flags, endpoint.zones)


def _slice_key(host: tuple[_Host, list[tuple[str, int, int]]]) -> tuple[str, bool, _Ports]:
    return host[0][0], address.is_ipv4(host[0][1]), tuple(host[1])


def _slice(owner: str, number: int, is_v4: bool, ports: _Ports, hosts: list[_Host]) -> Object:
    namespace, _, name = owner.partition("/")
    made = _object(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        namespace,
        f"{name}-{number}",
        labels={"kubernetes.io/service-name": name},
    )
    made["addressType"] = "IPv4" if is_v4 else "IPv6"
    made["ports"] = [
        {"name": port_name, "protocol": _protocol(protocol), "port": port}
        for port_name, protocol, port in ports
    ]
    made["endpoints"] = [_slice_host(host) for host in hosts]
    return made


def _slice_host(host: _Host) -> Object:
    _, ip, node, pod, ready, serving, terminating, zones = host
    namespace, _, name = pod.partition("/")
    conditions = {"ready": ready, "serving": serving, "terminating": terminating}
    made: Object = {"addresses": [address.text(ip)], "nodeName": node, "conditions": conditions}
    if zones:
        made["hints"] = {"forZones": [{"name": zone} for zone in zones]}
    if pod:
        made["targetRef"] = {"kind": "Pod", "namespace": namespace, "name": name}
    return made


def _object(
    version: str,
    kind: str,
    namespace: str,
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    **parts: Object,
) -> Object:
    metadata: Object = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(labels)
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **parts}


def _protocol(number: int) -> str:
    return PROTOCOL_NAMES[number].upper()


PARTS: Mapping[str, Callable[[Cluster], list[Object]]] = {
    "services": lambda cluster: list(map(_service, cluster.services)),
    "endpoints": lambda cluster: list(_slices(cluster.endpoints)),
    "pods": lambda cluster: list(map(_pod, cluster.pods)),
    "nodes": lambda cluster: list(map(_node, cluster.nodes)),
}
