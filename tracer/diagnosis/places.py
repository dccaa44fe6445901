"""Where flows begin and end, as seen from this node."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import numpy as np

from tracer.address import packed_at, text
from tracer.cluster.model import Cluster
from tracer.diagnosis import drops, signs
from tracer.diagnosis.rule import Scene
from tracer.flow import Rows, Seen

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def own(scene: Scene) -> frozenset[bytes]:
    """Every address whose packets are delivered to this node, those of kube-ipvs0 too."""
    return scene.node.local_addresses | scene.node.ipvs_addresses


def forwarded(scene: Scene, rows: Rows) -> signs.Mask:
    """Flows this node passes on: neither end is its own; none while its addresses are unknown."""
    flows = scene.table.flows
    if "addresses" not in scene.node.known:
        return np.zeros(len(rows), dtype=np.bool_)
    here = own(scene)
    moved = signs.has(flows, rows, Seen.TRANSLATED)
    target = np.where(moved[:, None], flows["backend"][rows], flows["virtual"][rows])
    return ~signs.among(flows["client"][rows], here) & ~signs.among(target, here)


def lost_to_itself(scene: Scene, rows: Rows) -> signs.Mask:
    """Requests of pods that ended, or would have, at the pod itself, and got no answer at all.

    A node may well speak to itself.
    """
    flows = scene.table.flows
    lost = signs.same(flows["backend"][rows], flows["client"][rows])
    lost &= ~signs.answered(flows, rows) & ~signs.has(flows, rows, signs.REFUSED)
    dropped = signs.has(flows, rows, Seen.DROPPED) & ~drops.everyday(scene, rows)
    lost &= dropped | signs.silent(scene, rows)
    if not lost.any():
        return lost
    nodes = scene.cluster.node_by_address.keys() | own(scene)
    return lost & ~signs.among(flows["backend"][rows], frozenset(nodes))


def on_other_node(scene: Scene, addresses: Iterable[bytes], node: str) -> frozenset[bytes]:
    """Those of these addresses that endpoints or pods have on another node than this one."""
    wanted = set(addresses)
    found = {e.ip for e in scene.cluster.endpoints if e.node and e.node != node}
    pods = {ip for p in scene.cluster.pods if p.node and p.node != node for ip in p.ips}
    return frozenset(wanted & (found | pods))


def of_cluster(cluster: Cluster, address: bytes) -> bool:
    """Whether a pod or a node has this address, or a node's range of pods holds it."""
    if address in cluster.pod_by_address or address in cluster.node_by_address:
        return True
    return within(address, (cidr for node in cluster.nodes for cidr in node.pod_cidrs))


def within(address: bytes, networks: Iterable[str]) -> bool:
    """Whether one of these networks, as text, holds the address; bad ones hold nothing."""
    ip = ipaddress.ip_address(text(address))
    return any(ip in network for network in map(parse_network, networks) if network)


def parse_network(cidr: str) -> Network | None:
    """A network from text; None if it is none."""
    try:
        return ipaddress.ip_network(cidr.strip(), strict=False)
    except ValueError:
        return None


def distinct(scene: Scene, rows: Rows, column: str) -> set[bytes]:
    """The different addresses in a column of these rows."""
    values = np.unique(scene.table.flows[column][rows], axis=0)
    return {packed_at(values, row) for row in range(len(values))}
