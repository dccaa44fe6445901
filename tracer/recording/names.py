"""Names for addresses, as Wireshark is to show them."""

from __future__ import annotations

from tracer.cluster.model import Cluster
from tracer.node.model import NodeState
from tracer.plain import harmless


def names_of(cluster: Cluster, node: NodeState) -> dict[bytes, str]:
    """Pods, Services and nodes by 16-byte address; of two owners the first in that order."""
    named: dict[bytes, str] = {}
    for ip, pod in cluster.pod_by_address.items():
        named.setdefault(ip, pod.key)
    for service in cluster.services:
        for ip in (*service.cluster_ips, *service.load_balancer_ips):
            named.setdefault(ip, service.key)
    for owner in cluster.nodes:
        for ip in owner.addresses:
            named.setdefault(ip, owner.name)
    for service in cluster.services:
        for ip in service.external_ips:
            named.setdefault(ip, service.key)
    if node.node_name:
        for ip in sorted(node.local_addresses):
            named.setdefault(ip, node.node_name)
    return {ip: harmless(name) for ip, name in named.items() if ip not in _NOBODYS}


_NOBODYS = (bytes(16), bytes(15) + b"\1", bytes(10) + b"\xff\xff\x7f\0\0\1")
"""Unspecified and loopback."""
