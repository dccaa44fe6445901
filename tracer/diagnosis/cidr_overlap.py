"""Ranges of Services, pods and the node's network overlap.

Claims: some addresses mean two things, and one of the two cannot be reached from here.
Evidence: ClusterIPs inside a network of the node's own interfaces, nodes' addresses or
ClusterIPs inside a range of pods, another node's pods inside a network on the link.
Cannot know: which machines have the addresses in question. This node's own range of
pods on its bridge is as it should be.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from tracer.address import as_prefix, is_ipv4, parse, text
from tracer.cluster.model import Node
from tracer.diagnosis.causes.drift import CIDR_OVERLAP as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.places import Network, parse_network
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import links, state_finding
from tracer.diagnosis.subjects import this_node
from tracer.diagnosis.wording import plain


class CidrOverlap:
    """Judges the state: every range against the others."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """At most one finding: for the node."""
        told = list(_overlaps(scene))
        if told:
            more = f" and {len(told) - 1} more" if len(told) > 1 else ""
            yield state_finding(
                scene,
                CAUSE,
                Subject(node=this_node(scene)),
                confidence=0.85,
                summary=f"ranges overlap: {told[0]}{more}",
                evidence=[Evidence("object", line) for line in told[:8]],
                remedy=CAUSE.steps(),
            )


def _overlaps(scene: Scene) -> Iterator[str]:
    cluster, node = scene.cluster, this_node(scene)
    virtual = sorted({ip for service in cluster.services for ip in service.cluster_ips})
    machines = sorted(cluster.node_by_address)
    ranges = [(n, cidr) for n in cluster.nodes for cidr in n.pod_cidrs]
    for owner, cidr in ranges:
        inside = first_inside(virtual, cidr)
        if inside:
            yield f"ClusterIP {text(inside)} is in {plain(owner.name)}'s range of pods {cidr}"
        taken = first_inside(machines, cidr)
        if taken:
            yield f"node address {text(taken)} is in a range of pods, {plain(cidr)}"
    for interface, network in links(scene):
        inside = first_inside(virtual, str(network))
        if inside and not _is_pods(network, ranges):
            yield f"ClusterIP {text(inside)} is in {network}, the network of {plain(interface)}"
        for owner, cidr in ranges:
            other = parse_network(cidr)
            if other and node and owner.name != node and _clash(network, other, ranges, node):
                yield (
                    f"{plain(owner.name)}'s range of pods {cidr} is in {network}, the network of "
                    f"{plain(interface)}"
                )


_BEYOND_IPV4 = parse("::1:0:0:0")
"""IPv4's addresses are stored as mapped ones, below this one; no range of IPv6 means them."""


def first_inside(addresses: Sequence[bytes], cidr: str) -> bytes | None:
    """The lowest of these sorted addresses in a range: looked up, for there are thousands."""
    found = as_prefix(cidr.strip())
    if found is None:
        return None
    low, bits = found
    high = (int.from_bytes(low, "big") | (1 << (128 - bits)) - 1).to_bytes(16, "big")
    at = bisect_left(addresses, low if is_ipv4(low) else max(low, _BEYOND_IPV4))
    return addresses[at] if at < len(addresses) and addresses[at] <= high else None


def _is_pods(network: Network, ranges: Iterable[tuple[Node, str]]) -> bool:
    """Whether a network on the link is a range of pods itself: a bridge of theirs."""
    return any(parse_network(cidr) == network for _, cidr in ranges)


def _clash(network: Network, other: Network, ranges: list[tuple[Node, str]], node: str) -> bool:
    """Overlap with a network that is not the pods' own, large one."""
    if network.version != other.version or not network.overlaps(other):
        return False
    own = [parse_network(cidr) for owner, cidr in ranges if owner.name == node]
    return not any(
        mine is not None and mine.version == network.version and mine.overlaps(network)
        for mine in own
    )
