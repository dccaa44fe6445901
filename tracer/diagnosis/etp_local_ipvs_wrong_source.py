"""externalTrafficPolicy Local in ipvs mode, no local endpoint: the wrong source answers.

Claims: IPVS sent an external client to a pod on another node without masquerading,
so that pod answers with its own address, which the client rejects.
Evidence: an IPVS translation with an unchanged source to an endpoint on another
node, policy Local, no endpoint here, and no answer through this node.
Cannot know: what the client made of the answer, which never passes here.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import endpoint, packed_at
from tracer.cluster.model import Service
from tracer.diagnosis import signs
from tracer.diagnosis.causes.endpoints import LOCAL_POLICY_WRONG_SOURCE as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.local_policy import EXTERNAL, local_policy, policy_remedy
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group, by_destination, flow_finding, this_node
from tracer.diagnosis.wording import flow_lines, plain
from tracer.flow import Engine, Rows, Seen


class WrongSource:
    """Explains external clients of a Local Service that hear nothing, in ipvs mode."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service on this node."""
        node, flows = this_node(scene), scene.table.flows
        if not node:
            return
        by_ipvs = (flows["engine"][rows] == Engine.IPVS) | signs.has(flows, rows, Seen.IPVS_NEW)
        unchanged = signs.same(flows["source"][rows], flows["client"][rows])
        moved = signs.has(flows, rows, Seen.TRANSLATED)
        refused = signs.has(flows, rows, signs.REFUSED)
        lost = by_ipvs & moved & unchanged & ~refused & signs.silent(scene, rows)
        for group in by_destination(scene, rows[lost]):
            service = group.service(scene)
            if service is not None and _remote_only(scene, group, service, node):
                yield _finding(scene, group, service, node), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the policy changes or this node gets an endpoint."""
        key, node = finding.subject.service or "", finding.subject.node
        service = scene.cluster.services_by_key.get(key)
        if service is None:
            return not scene.cluster.services
        local = any(e.node == node for e in scene.cluster.usable_endpoints(key))
        return service.external_policy == "Local" and not local


def _remote_only(scene: Scene, group: Group, service: Service, node: str) -> bool:
    """Every flow went to an endpoint on another node, and none is here."""
    if group.hit is None or group.hit.kind not in EXTERNAL:
        return False
    usable = group.usable(scene)
    if not local_policy(service, group.hit.kind) or any(e.node == node for e in usable):
        return False
    remote = {(e.ip, e.port) for e in usable if e.node}
    flows = scene.table.flows
    chosen = {
        (packed_at(flows["backend"], row), int(flows["backend_port"][row])) for row in group.rows
    }
    return bool(remote) and chosen <= remote


def _finding(scene: Scene, group: Group, service: Service, node: str) -> Finding:
    flows, first = scene.table.flows, int(group.rows[0])
    backend = endpoint(packed_at(flows["backend"], first), int(flows["backend_port"][first]))
    policy = (
        f"Service {plain(service.key)} has externalTrafficPolicy: Local and no endpoint "
        f"on node {plain(node)}"
    )
    lines = flow_lines(scene, group.rows, "ipvs", "source kept, no answer through this node")
    return flow_finding(
        scene,
        CAUSE,
        Subject(service.key, None, node, group.subject(scene).flow),
        group.rows,
        confidence=scene.absence_confidence(0.85),
        summary=(
            f"no local endpoint of {group.name} on node {plain(node)}: by policy "
            f"(externalTrafficPolicy: Local) nothing is masqueraded, so {backend} on another "
            "node answers the client from its own address"
        ),
        evidence=(Evidence("object", policy), *lines),
        remedy=policy_remedy(CAUSE, service, "externalTrafficPolicy"),
    )
