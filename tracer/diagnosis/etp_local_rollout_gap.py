"""The last local endpoint of a policy-Local Service has just left.

Claims: the node drops what the load balancer still sends to it, for as long as that
takes to notice.
Evidence: as for ``no-local-endpoint-drop``, and an endpoint of the Service on this node
that left within the last minute, or is terminating.
Cannot know: whether another endpoint comes; after a minute it is
``no-local-endpoint-drop``.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import endpoint, text
from tracer.cluster.model import Service, Turn
from tracer.diagnosis import drops, signs
from tracer.diagnosis.causes.policies import ROLLOUT_GAP as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.local_policy import EXTERNAL, local_policy, serving_node
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group, by_destination, flow_finding
from tracer.diagnosis.wording import drop_text, flow_lines, plain, service_word
from tracer.flow import Rows, Seen

RECENT_NS = 60_000_000_000


class RolloutGap:
    """Explains what policy Local drops right after a pod has gone."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service and node."""
        flows = scene.table.flows
        sent_on = signs.has(flows, rows, Seen.TRANSLATED | Seen.RST_BEFORE_ANSWER)
        told = drops.by_netfilter(scene, rows) | signs.silent(scene, rows)
        for group in by_destination(scene, rows[told & ~sent_on & ~signs.answered(flows, rows)]):
            service, node = group.service(scene), serving_node(scene, group)
            if service is None or not node or group.hit is None:
                continue
            if not local_policy(service, group.hit.kind) or group.hit.kind not in EXTERNAL:
                continue
            if scene.node.proxy_mode == "ipvs" or any(e.node == node for e in group.usable(scene)):
                continue
            why = _left(scene, service, node)
            if why:
                yield _finding(scene, group, node, why), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the node has an endpoint again, or the load balancer keeps away."""
        node, service = finding.subject.node or "", finding.subject.service or ""
        if any(e.node == node for e in scene.cluster.usable_endpoints(service)):
            return False
        return scene.now_ns - finding.last_ns < RECENT_NS


def _left(scene: Scene, service: Service, node: str) -> str:
    """Which endpoint of this node left, and when; empty if none did lately."""
    for known in scene.cluster.endpoints_by_service.get(service.key, ()):
        if known.node == node and known.terminating:
            return f"{endpoint(known.ip, known.port)} on this node is terminating"
    for change in reversed(scene.cluster.changes):
        gone = change.endpoint
        if change.turn is not Turn.LEFT or gone is None or gone.service != service.key:
            continue
        ago = scene.now_ns - change.at_ns
        if gone.node == node and 0 <= ago < RECENT_NS:
            return f"{text(gone.ip)} on this node left {ago / 1e9:.1f} s ago"
    return ""


def _finding(scene: Scene, group: Group, node: str, why: str) -> Finding:
    flows, rows = scene.table.flows, group.rows
    namespace, name = service_word(group.service_key or "")
    dropped = rows[signs.has(flows, rows, Seen.DROPPED)]
    told = f"dropped ({drop_text(scene, int(dropped[0]))})" if dropped.size else "no answer"
    return flow_finding(
        scene,
        CAUSE,
        Subject(group.service_key, None, node, group.subject(scene).flow),
        rows,
        confidence=0.9 if dropped.size else scene.absence_confidence(0.75),
        summary=(
            f"node {plain(node)} has just lost its last endpoint of {group.name} (policy Local) "
            "and is still being sent connections: they are dropped"
        ),
        evidence=(Evidence("object", why), *flow_lines(scene, rows, "kernel", told)),
        remedy=CAUSE.steps(namespace=namespace, name=name),
    )
