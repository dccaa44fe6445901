"""Kubernetes names for addresses, and Services for the hashes in chain names."""

from __future__ import annotations

import re
from functools import cached_property

from tracer import address
from tracer.cluster.model import KIND_NAMES, Cluster, Endpoint, Service, ServiceKind
from tracer.events import PROTOCOL_NAMES
from tracer.node.chain_names import iptables_hash, nft_endpoint, nft_port, port_label

_XT = re.compile(r"KUBE-(SVC|SVL|EXT|FW|XLB|SEP)-([A-Z2-7]{16})$")
_NFT = re.compile(r"(service|local|external|firewall|endpoint|affinity)-([A-Z2-7]{8})-(.+)$")
_COMMENT = re.compile(r'--comment "?([^\s"/]+/[^\s"]+)(?: -> ([^\s"]+))?')
"""``ns/svc:port cluster IP`` or, before an endpoint, ``ns/svc:port -> ip:port``."""
_READABLE = re.compile(r"([^/]+/[^/]+)/[a-z]+/([^/]*?)(?:__(.+)/(\d+))?$")
_MEANINGS = {
    "SVC": "endpoints of {}",
    "SVL": "local endpoints of {}",
    "EXT": "external traffic to {}",
    "XLB": "external traffic to {}",
    "FW": "source ranges of {}",
    "SEP": "endpoint {}",
    "service": "endpoints of {}",
    "local": "local endpoints of {}",
    "external": "external traffic to {}",
    "firewall": "source ranges of {}",
    "endpoint": "endpoint {}",
    "affinity": "clients of endpoint {}",
}


class Names:
    """What a cluster calls the things that rules and packets name by number and hash."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def of(self, ip: bytes) -> str:
        """``ns/pod``, ``node NAME`` or ``service ns/name (ClusterIP)``; empty if not known."""
        if pod := self._cluster.pod_by_address.get(ip):
            return pod.key
        if found := self._services.get(ip):
            service, kind = found
            return f"service {service.key} ({KIND_NAMES[kind]})"
        node = self._cluster.node_by_address.get(ip)
        return f"node {node.name}" if node else ""

    def service_at(self, ip: bytes, port: int) -> Service | None:
        """The Service that a packet for this address and port is meant for."""
        if found := self._services.get(ip):
            return found[0]
        if ip not in self._cluster.node_by_address:
            return None
        ports = (s for s in self._cluster.services for p in s.ports if p.node_port == port != 0)
        return next(ports, None)

    def node_of(self, ip: bytes) -> str:
        """The node that a pod runs on, as its endpoint or the pod itself says; empty if unknown."""
        for endpoint in self._cluster.endpoints:
            if endpoint.ip == ip and endpoint.node:
                return endpoint.node
        pod = self._cluster.pod_by_address.get(ip)
        return pod.node if pod else ""

    def chain(self, name: str, rule: str = "") -> str:
        """What kube-proxy made a chain for; empty if not known.

        Recomputed from the cluster. What the cluster does not have is told as the comment of
        the ``rule`` that leads there says it, or as the readable part of the name does.
        """
        if match := _XT.match(name):
            kind = match[1]
            known = self._hashes.get(match[2], "") or _said(_COMMENT.search(rule))
        elif match := _NFT.match(name):
            kind = match[1]
            known = self._hashes.get(f"{match[2]}-{match[3]}", "") or _read(match[3])
        else:
            return ""
        return _MEANINGS[kind].format(known) if known else ""

    @cached_property
    def _services(self) -> dict[bytes, tuple[Service, ServiceKind]]:
        found: dict[bytes, tuple[Service, ServiceKind]] = {}
        for service in self._cluster.services:
            for kind, ips in (
                (ServiceKind.LOAD_BALANCER, service.load_balancer_ips),
                (ServiceKind.EXTERNAL_IP, service.external_ips),
                (ServiceKind.CLUSTER_IP, service.cluster_ips),
            ):
                found |= dict.fromkeys(ips, (service, kind))
        return found

    @cached_property
    def _hashes(self) -> dict[str, str]:
        """What each hash was made of; old kube-proxies left a colon after unnamed ports."""
        found: dict[str, str] = {}
        for service in self._cluster.services:
            for port in service.ports:
                protocol = PROTOCOL_NAMES.get(port.protocol, "")
                label = port_label(service.namespace, service.name, port.name)
                for spelled in {label, f"{service.key}:{port.name}"}:
                    found[iptables_hash(spelled, protocol)] = label
                name = (service.namespace, service.name, protocol, port.name)
                found[nft_port(*name)] = label
        for endpoint in self._cluster.endpoints:
            found |= self._endpoint_hashes(endpoint)
        return found

    def _endpoint_hashes(self, endpoint: Endpoint) -> dict[str, str]:
        namespace, _, service = endpoint.service.partition("/")
        protocol = PROTOCOL_NAMES.get(endpoint.protocol, "")
        where = address.endpoint(endpoint.ip, endpoint.port)
        label = port_label(namespace, service, endpoint.port_name)
        meaning = f"{where} of {label}"
        name = (namespace, service, protocol, endpoint.port_name)
        return {
            iptables_hash(label, protocol, where): meaning,
            iptables_hash(f"{endpoint.service}:{endpoint.port_name}", protocol, where): meaning,
            nft_endpoint(*name, address.text(endpoint.ip), endpoint.port): meaning,
        }


def _said(found: re.Match[str] | None) -> str:
    """A Service port, or an endpoint of one, out of kube-proxy's comment."""
    if found is None:
        return ""
    return f"{found[2]} of {found[1]}" if found[2] else found[1]


def _read(name: str) -> str:
    """The same out of the readable part of a name in nftables mode; IPv6 has dots there."""
    found = _READABLE.match(name)
    if found is None:
        return ""
    label = f"{found[1]}:{found[2]}" if found[2] else found[1]
    return f"{found[3]}:{found[4]} of {label}" if found[3] else label
