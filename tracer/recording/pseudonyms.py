"""Names replaced by others that say what kind of thing they name and nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import blake2b

from tracer.cluster.host_ports import bound
from tracer.cluster.model import (
    Cluster,
    ClusterChange,
    Endpoint,
    Handover,
    HostPort,
    Node,
    Pod,
    Service,
    ServicePort,
)
from tracer.recording.addresses import AddressMap

_KEPT_NAMESPACES = {"", "default", "kube-system", "kube-public", "kube-node-lease"}
_KEPT_SERVICES = {"kubernetes", "kube-dns"}
_KEPT_PORTS = {"", "http", "https", "dns", "dns-tcp", "metrics", "grpc"}
_KEPT_INTERFACES = {"", "lo", "kube-ipvs0", "any"}
_INTERFACE_KIND = re.compile(
    r"(eth|ens|enp|eno|wlan|bond|br|veth|cni|flannel|cali|cilium|lxc|docker|tunl|vxlan|wg|dummy)"
)
_KERNEL_TEXT = re.compile(r"[A-Z][A-Z0-9_]*|\w[\w.]*\+0x[0-9a-f]+(/0x[0-9a-f]+)?( \[\w+\])?")
"""A drop reason, or a place in the kernel's code."""


class Pseudonyms:
    """Consistent for one key; what every cluster has keeps its name."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def made(self, kind: str, name: str) -> str:
        """``kind-`` and digits that stand for a name; an empty name stays empty."""
        if not name:
            return ""
        digest = blake2b(name.encode("utf-8", "replace"), key=self._key, digest_size=4)
        return f"{kind}-{digest.hexdigest()}"

    def namespace(self, name: str) -> str:
        """Of a namespace."""
        return name if name in _KEPT_NAMESPACES else self.made("namespace", name)

    def service(self, name: str) -> str:
        """Of a Service, without its namespace."""
        return name if name in _KEPT_SERVICES else self.made("service", name)

    def node(self, name: str) -> str:
        """Of a node."""
        return self.made("node", name)

    def key(self, kind: str, key: str) -> str:
        """Of ``namespace/name``."""
        namespace, slash, name = key.partition("/")
        if not slash:
            return self.made(kind, key)
        named = self.service(name) if kind == "service" else self.made(kind, name)
        return f"{self.namespace(namespace)}/{named}"

    def owner(self, name: str) -> str:
        """Of a pod (``namespace/name``) or a node."""
        return self.key("pod", name) if "/" in name else self.node(name)

    def port(self, name: str) -> str:
        """Of a Service port."""
        return name if name in _KEPT_PORTS else self.made("port", name)

    def interface(self, name: str) -> str:
        """Of an interface; its kind stays, as far as it is well known."""
        if name in _KEPT_INTERFACES:
            return name
        known = _INTERFACE_KIND.match(name)
        return self.made(known[1] if known else "if", name)

    def text(self, text: str) -> str:
        """Of a text id's meaning; the kernel's own words stay."""
        return text if not text or _KERNEL_TEXT.fullmatch(text) else self.made("text", text)


def hidden_cluster(cluster: Cluster, names: Pseudonyms, addresses: AddressMap) -> Cluster:
    """The same cluster under other names and addresses."""
    return Cluster(
        services=tuple(_service(service, names, addresses) for service in cluster.services),
        endpoints=tuple(_endpoint(each, names, addresses) for each in cluster.endpoints),
        pods=tuple(_pod(pod, names, addresses) for pod in cluster.pods),
        nodes=tuple(_node(node, names, addresses) for node in cluster.nodes),
        generation=cluster.generation,
        at_ns=cluster.at_ns,
        unparsed=hidden_lines(cluster.unparsed),
        known=cluster.known,
        pods_of=names.node(cluster.pods_of) if cluster.pods_of else "",
        changes=tuple(_change(change, names, addresses) for change in cluster.changes),
        handovers=tuple(_handover(each, names, addresses) for each in cluster.handovers),
    )


def _change(change: ClusterChange, names: Pseudonyms, addresses: AddressMap) -> ClusterChange:
    return ClusterChange(
        at_ns=change.at_ns,
        turn=change.turn,
        service=names.key("service", change.service),
        endpoint=_endpoint(change.endpoint, names, addresses) if change.endpoint else None,
    )


def _handover(handover: Handover, names: Pseudonyms, addresses: AddressMap) -> Handover:
    return Handover(
        at_ns=handover.at_ns,
        ip=addresses.packed(handover.ip),
        before=names.owner(handover.before),
        after=names.owner(handover.after) if handover.after else "",
    )


def hidden_lines(lines: tuple[str, ...]) -> tuple[str, ...]:
    """As many lines, which say nothing."""
    return tuple(f"line {number}: hidden" for number in range(1, len(lines) + 1))


def _all(ips: tuple[bytes, ...], addresses: AddressMap) -> tuple[bytes, ...]:
    return tuple(map(addresses.packed, ips))


def _networks(texts: tuple[str, ...], addresses: AddressMap) -> tuple[str, ...]:
    return tuple(filter(None, map(addresses.network, texts)))


def _service(service: Service, names: Pseudonyms, addresses: AddressMap) -> Service:
    label = {
        names.made("label", key): names.made("label", value)
        for key, value in service.selector.items()
    }
    return Service(
        namespace=names.namespace(service.namespace),
        name=names.service(service.name),
        type=service.type,
        ports=tuple(_port(port, names) for port in service.ports),
        cluster_ips=_all(service.cluster_ips, addresses),
        external_ips=_all(service.external_ips, addresses),
        load_balancer_ips=_all(service.load_balancer_ips, addresses),
        load_balancer_modes=service.load_balancer_modes,
        load_balancer_names=tuple(names.made("host", n) for n in service.load_balancer_names),
        traffic_distribution=service.traffic_distribution,
        external_policy=service.external_policy,
        internal_policy=service.internal_policy,
        affinity_seconds=service.affinity_seconds,
        health_check_node_port=service.health_check_node_port,
        source_ranges=_networks(service.source_ranges, addresses),
        selector=label,
        headless=service.headless,
        external_name=names.made("host", service.external_name),
        proxied_by=names.made("proxy", service.proxied_by),
    )


def _port(port: ServicePort, names: Pseudonyms) -> ServicePort:
    target = port.target_port if port.target_port.isdecimal() else names.port(port.target_port)
    return replace(port, name=names.port(port.name), target_port=target)


def _endpoint(endpoint: Endpoint, names: Pseudonyms, addresses: AddressMap) -> Endpoint:
    return Endpoint(
        service=names.key("service", endpoint.service),
        port_name=names.port(endpoint.port_name),
        protocol=endpoint.protocol,
        ip=addresses.packed(endpoint.ip),
        port=endpoint.port,
        node=names.node(endpoint.node),
        pod=names.key("pod", endpoint.pod),
        ready=endpoint.ready,
        serving=endpoint.serving,
        terminating=endpoint.terminating,
        zones=tuple(names.made("zone", zone) for zone in endpoint.zones),
    )


def _pod(pod: Pod, names: Pseudonyms, addresses: AddressMap) -> Pod:
    return Pod(
        namespace=names.namespace(pod.namespace),
        name=names.made("pod", pod.name),
        node=names.node(pod.node),
        ips=_all(pod.ips, addresses),
        host_network=pod.host_network,
        phase=pod.phase,
        host_ports=tuple(_host_port(port, addresses) for port in pod.host_ports),
    )


def _host_port(port: HostPort, addresses: AddressMap) -> HostPort:
    return port._replace(ip=addresses.packed(port.ip)) if bound(port) else port


def _node(node: Node, names: Pseudonyms, addresses: AddressMap) -> Node:
    return Node(
        name=names.node(node.name),
        addresses=_all(node.addresses, addresses),
        pod_cidrs=_networks(node.pod_cidrs, addresses),
        control_plane=node.control_plane,
        zone=names.made("zone", node.zone),
    )
