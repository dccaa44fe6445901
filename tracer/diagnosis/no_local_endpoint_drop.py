"""Traffic policy Local on a node without an endpoint of the Service.

Claims: the request was dropped here by policy; other nodes serve the Service.
Evidence: the Service's external (or internal) policy, EndpointSlices with endpoints
elsewhere and none on this node, and a netfilter drop, no destination in IPVS, or a
repeated request without answer.
Cannot know: which node is meant when neither its name nor a node address says so;
then nothing is claimed. In ipvs mode external traffic is not dropped but misrouted:
that is ``etp-local-ipvs-wrong-source``.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.cluster.model import Service
from tracer.diagnosis import drops, signs
from tracer.diagnosis.causes.endpoints import NO_LOCAL_ENDPOINT as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.local_policy import EXTERNAL, local_policy, policy_remedy, serving_node
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group, by_destination, flow_finding
from tracer.diagnosis.wording import drop_text, flow_lines, plain
from tracer.flow import Rows, Seen


class NoLocalEndpoint:
    """Explains what policy Local drops."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service and node."""
        flows = scene.table.flows
        sent_on = signs.has(flows, rows, Seen.TRANSLATED | Seen.RST_BEFORE_ANSWER)
        told = drops.by_netfilter(scene, rows) | signs.has(flows, rows, Seen.NO_DESTINATION)
        lost = ~signs.answered(flows, rows) & ~sent_on & (told | signs.silent(scene, rows))
        for group in by_destination(scene, rows[lost]):
            service, node = group.service(scene), serving_node(scene, group)
            if service is None or not node or not _nothing_local(scene, group, service, node):
                continue
            yield _finding(scene, group, service, node), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the policy changes or the node gets an endpoint."""
        key, node = finding.subject.service or "", finding.subject.node
        service = scene.cluster.services_by_key.get(key)
        if service is None:
            return not scene.cluster.services
        if "Local" not in (service.external_policy, service.internal_policy):
            return False
        return any(
            not any(e.node == node for e in scene.cluster.usable_endpoints(key, port.name))
            for port in service.ports
        )


def _nothing_local(scene: Scene, group: Group, service: Service, node: str) -> bool:
    """Policy Local, endpoints elsewhere, none on the node.

    The ipvs proxier then sends external traffic to the endpoints elsewhere: it drops nothing.
    """
    if group.hit is None or not local_policy(service, group.hit.kind):
        return False
    if scene.node.proxy_mode == "ipvs" and group.hit.kind in EXTERNAL:
        return False
    usable = group.usable(scene)
    return bool(usable) and all(endpoint.node != node for endpoint in usable)


def _finding(scene: Scene, group: Group, service: Service, node: str) -> Finding:
    flows, rows = scene.table.flows, group.rows
    field = local_policy(service, group.hit.kind) if group.hit else ""
    dropped = rows[signs.has(flows, rows, Seen.DROPPED)]
    elsewhere = sorted({endpoint.node for endpoint in group.usable(scene) if endpoint.node})
    policy = (
        f"Service {plain(service.key)} has {field}: Local, and endpoints only on "
        f"{', '.join(map(plain, elsewhere)) or 'other nodes'}"
    )
    lines = (
        flow_lines(scene, dropped, "kernel", f"dropped ({drop_text(scene, int(dropped[0]))})")
        if dropped.size
        else flow_lines(scene, rows, "packet", "no answer")
    )
    return flow_finding(
        scene,
        CAUSE,
        Subject(service.key, None, node, group.subject(scene).flow),
        rows,
        confidence=0.95 if dropped.size else scene.absence_confidence(0.8),
        summary=(
            f"no local endpoint of {group.name} on node {plain(node)}, by policy ({field}: "
            "Local): connections are dropped there; not a fault elsewhere"
        ),
        evidence=(Evidence("object", policy), *lines),
        remedy=policy_remedy(CAUSE, service, field),
    )
