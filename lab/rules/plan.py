"""Cluster objects seen from one node: what each Service port needs, before any mode's syntax."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tracer import address
from tracer.cluster.model import Cluster, Endpoint, Service, ServicePort
from tracer.node.chain_names import port_label

PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}
MASQUERADE_MARK = "0x4000"
SERVICE_RANGES = ("10.96.0.0/16", "fd00:10:96::/112", "10.200.0.0/16")
"""Where the lab's ClusterIPs come from; only nftables mode has a rule about it."""
GATEWAY = {False: "169.254.1.1", True: "fe80::1"}
"""The pods' gateway in IPv4 and IPv6: on the node's end of every pod's link."""


@dataclass(frozen=True, slots=True)
class Target:
    """One usable endpoint of a Service port."""

    ip: str
    port: int
    local: bool
    """Its slice's nodeName is this node's name."""

    @property
    def address(self) -> str:
        """``ip:port``, IPv6 in brackets."""
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


@dataclass(frozen=True, slots=True)
class NodePlan:
    """What of the node itself matters to its rules, for one IP family."""

    name: str
    ipv6: bool
    addresses: tuple[str, ...]
    """The node's own, primary first."""
    pod_ranges: tuple[str, ...]
    """Cluster-wide: a source in them is a pod (detect-local by cluster CIDR)."""
    has_pods: bool = False
    """Whether a pod's link is on it."""

    @property
    def local_addresses(self) -> tuple[str, ...]:
        """Those of every interface but ``lo`` and ``kube-ipvs0``; none of link scope in IPv6."""
        gateway = (GATEWAY[False],) if self.has_pods and not self.ipv6 else ()
        return self.addresses + gateway

    @property
    def service_ranges(self) -> tuple[str, ...]:
        """Ranges of ClusterIPs in this family."""
        return tuple(text for text in SERVICE_RANGES if (":" in text) == self.ipv6)


@dataclass(frozen=True, slots=True)
class PortPlan:
    """One Service port in one IP family, addresses as text."""

    namespace: str
    service: str
    port_name: str
    protocol: str
    port: int
    node_port: int
    cluster_ip: str
    external_ips: tuple[str, ...]
    balancer_ips: tuple[str, ...]
    targets: tuple[Target, ...]
    external_local: bool
    internal_local: bool
    affinity_seconds: int
    source_ranges: tuple[str, ...]
    health_port: int

    @property
    def label(self) -> str:
        """``namespace/service:port`` as in rule comments."""
        return port_label(self.namespace, self.service, self.port_name)

    @property
    def local_targets(self) -> tuple[Target, ...]:
        """Endpoints on this node."""
        return tuple(target for target in self.targets if target.local)

    @property
    def external(self) -> bool:
        """Whether anything outside the cluster can address it."""
        return bool(self.node_port or self.external_ips or self.balancer_ips)

    @property
    def internal_targets(self) -> tuple[Target, ...]:
        """Endpoints for the ClusterIP, by internal policy."""
        return self.local_targets if self.internal_local else self.targets

    @property
    def external_targets(self) -> tuple[Target, ...]:
        """Endpoints for external addresses, by external policy."""
        return self.local_targets if self.external_local else self.targets

    def allowed_sources(self, node: NodePlan) -> tuple[str, ...]:
        """Source ranges, and the load balancer's own addresses where the node is inside one.

        A node's packet to an address that is local to it has that address as its source.
        """
        return self.source_ranges + (self.balancer_ips if self.allows_node(node) else ())

    def allows_node(self, node: NodePlan) -> bool:
        """Whether the node is inside a source range."""
        return any(
            ipaddress.ip_address(ip) in ipaddress.ip_network(text)
            for text in self.source_ranges
            for ip in node.addresses
        )


def node_plan(cluster: Cluster, node: str, ipv6: bool) -> NodePlan:
    """This node's addresses of one family, and the ranges all pods come from."""
    (found,) = (item for item in cluster.nodes if item.name == node)
    ranges = {text for item in cluster.nodes for text in item.pod_cidrs if (":" in text) == ipv6}
    has_pods = any(pod.node == node and pod.ips and not pod.host_network for pod in cluster.pods)
    own = _of_family(found.addresses, ipv6)
    return NodePlan(node, ipv6, own, _covering(ranges), has_pods)


def port_plans(cluster: Cluster, node: str, ipv6: bool) -> list[PortPlan]:
    """Every Service port with a ClusterIP of that family, in the order of their names."""
    plans = [
        _plan(cluster, service, port, node, ipv6)
        for service in cluster.services
        for port in service.ports
        if _of_family(service.cluster_ips, ipv6)
    ]
    return sorted(plans, key=lambda plan: (plan.label, plan.protocol))


def _plan(cluster: Cluster, service: Service, port: ServicePort, node: str, v6: bool) -> PortPlan:
    usable = cluster.usable_endpoints(service.key, port.name)
    return PortPlan(
        namespace=service.namespace,
        service=service.name,
        port_name=port.name,
        protocol=PROTOCOLS[port.protocol],
        port=port.port,
        node_port=port.node_port,
        cluster_ip=_of_family(service.cluster_ips, v6)[0],
        external_ips=_of_family(service.external_ips, v6),
        balancer_ips=_of_family(_served_here(service), v6),
        targets=_targets(_near(cluster, node, usable), port.protocol, node, v6),
        external_local=service.external_policy == "Local",
        internal_local=service.internal_policy == "Local",
        affinity_seconds=service.affinity_seconds,
        source_ranges=tuple(text for text in service.source_ranges if (":" in text) == v6),
        health_port=service.health_check_node_port,
    )


def _served_here(service: Service) -> Iterable[bytes]:
    """Load balancer addresses, but those that the load balancer keeps to itself (``Proxy``)."""
    modes = (*service.load_balancer_modes, *("VIP",) * len(service.load_balancer_ips))
    return (ip for ip, mode in zip(service.load_balancer_ips, modes, strict=False) if mode == "VIP")


def _near(cluster: Cluster, node: str, usable: Sequence[Endpoint]) -> Sequence[Endpoint]:
    """Those hinted for the node's zone, where every endpoint has hints and some are for it."""
    (zone,) = (item.zone for item in cluster.nodes if item.name == node)
    hinted = [item for item in usable if zone in item.zones]
    return hinted if zone and hinted and all(item.zones for item in usable) else usable


def _targets(
    endpoints: Iterable[Endpoint], protocol: int, node: str, ipv6: bool
) -> tuple[Target, ...]:
    found = {
        Target(address.text(item.ip), item.port, item.node == node)
        for item in endpoints
        if item.protocol == protocol and address.is_ipv4(item.ip) != ipv6
    }
    return tuple(sorted(found, key=lambda target: (target.ip, target.port)))


def _of_family(packed: Iterable[bytes], ipv6: bool) -> tuple[str, ...]:
    return tuple(address.text(item) for item in packed if address.is_ipv4(item) != ipv6)


def _covering(ranges: Iterable[str]) -> tuple[str, ...]:
    """The smallest single range around all of them: the cluster CIDR kube-proxy is given."""
    networks = [ipaddress.ip_network(text) for text in ranges]
    if not networks:
        return ()
    cover = networks[0]
    while not all(_inside(network, cover) for network in networks):
        cover = cover.supernet()
    return (str(cover),)


def _inside(
    inner: ipaddress.IPv4Network | ipaddress.IPv6Network,
    outer: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> bool:
    return (
        inner.network_address in outer
        and inner.broadcast_address in outer
        and inner.prefixlen >= outer.prefixlen
    )
