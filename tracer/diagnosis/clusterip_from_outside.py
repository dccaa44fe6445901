"""A client outside the cluster asks a ClusterIP.

Claims: the request passes here untranslated, on its way to a gateway that knows nothing
of Services.
Evidence: a client that is no node and no pod, a Service's ClusterIP and port, no
translation, and no answer or 'unreachable'.
Cannot know: whether a static route is meant to lead to a node; on a node that
translates, the request is judged otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import is_ipv4, packed_at, text
from tracer.cluster.model import ServiceKind
from tracer.diagnosis import places, signs
from tracer.diagnosis.causes.tracking import CLUSTER_IP_FROM_OUTSIDE as CAUSE
from tracer.diagnosis.finding import Finding
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group, answered_since, by_destination, flow_finding, this_node
from tracer.diagnosis.wording import flow_lines, prefix, service_word
from tracer.flow import Rows, Seen

QUIET_NS = 10_000_000_000


class ClusterIpFromOutside:
    """Explains requests that no node ever sees."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service."""
        if this_node(scene) or not scene.cluster.nodes:
            return  # here kube-proxy's rules decide
        flows = scene.table.flows
        lost = ~signs.has(flows, rows, Seen.TRANSLATED | Seen.RST_BEFORE_ANSWER | Seen.DROPPED)
        lost &= ~signs.answered(flows, rows) & (flows["service"][rows] >= 0)
        gone = signs.has(flows, rows, Seen.ICMP_REFUSED) & ~signs.port_unreachable(flows, rows)
        lost &= gone | (signs.overdue(flows, rows, scene.now_ns) & signs.witnessed(flows, rows))
        lost &= signs.has(flows, rows, Seen.RETRANSMITTED | Seen.ICMP_REFUSED)
        for group in by_destination(scene, rows[lost]):
            if group.hit is None or group.hit.kind != ServiceKind.CLUSTER_IP:
                continue
            client = packed_at(flows["client"], int(group.rows[0]))
            if not places.of_cluster(scene.cluster, client):
                yield _finding(scene, group, client), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until it is answered, or nobody has asked for a while."""
        quiet = scene.now_ns - finding.last_ns >= QUIET_NS
        return not quiet and not answered_since(scene, finding)


def _finding(scene: Scene, group: Group, client: bytes) -> Finding:
    namespace, name = service_word(group.service_key or "")
    return flow_finding(
        scene,
        CAUSE,
        group.subject(scene),
        group.rows,
        confidence=scene.absence_confidence(0.8),
        summary=(
            f"{text(client)} is outside the cluster and asks {group.name}, an address that exists "
            "on the cluster's nodes only"
        ),
        evidence=flow_lines(scene, group.rows, "packet", "untranslated, no answer"),
        remedy=CAUSE.steps(
            namespace=namespace,
            name=name,
            prefix=prefix(group.virtual),
            node=_node_address(scene, is_ipv4(group.virtual)) or "<a node's address>",
        ),
    )


def _node_address(scene: Scene, v4: bool) -> str:
    """One of a node, rather of a worker; empty where none is known."""
    for node in sorted(scene.cluster.nodes, key=lambda node: (node.control_plane, node.name)):
        for ip in node.addresses:
            if is_ipv4(ip) == v4:
                return text(ip)
    return ""
