"""An outside client was sent to another node without masquerading.

Claims: the node should have put its own address as source, and did not.
Evidence: policy Cluster, a client of no pod, node or range of pods, a translation to
an endpoint on another node with an unchanged source, and no answer through this node.
Cannot know: why the rule did not apply; nor what the client made of the pod's
answer. With policy Local the source is kept on purpose, and ClusterIPs asked from
outside are masqueraded only where kube-proxy knows the pods' range: no claim there.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import endpoint, packed_at
from tracer.diagnosis import signs
from tracer.diagnosis.causes.nat import MASQUERADE_MISSING as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.local_policy import EXTERNAL
from tracer.diagnosis.outside_clients import node_of, sent_on_unmasked
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import (
    Group,
    answered_since,
    by_destination,
    flow_finding,
    this_node,
)
from tracer.diagnosis.wording import flow_lines, plain
from tracer.flow import Rows, Seen

QUIET_NS = 30_000_000_000


class MasqueradeMissing:
    """Explains outside clients whose address was kept."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service on this node."""
        flows = scene.table.flows
        final = rows[signs.has(flows, rows, Seen.MAPPED | Seen.PAIRED)]
        for group in by_destination(scene, final[sent_on_unmasked(scene, final)]):
            service = group.service(scene)
            if service is None or group.hit is None or group.hit.kind not in EXTERNAL:
                continue
            if service.external_policy == "Cluster":
                yield _finding(scene, group), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until answers come again and it did not happen for a while."""
        return not answered_since(scene, finding, QUIET_NS)


def _finding(scene: Scene, group: Group) -> Finding:
    flows, first = scene.table.flows, int(group.rows[0])
    backend = endpoint(packed_at(flows["backend"], first), int(flows["backend_port"][first]))
    told = "source kept, no answer through this node"
    policy = (
        f"externalTrafficPolicy: Cluster, and {backend} is on node {plain(node_of(scene, first))}"
    )
    subject = group.subject(scene)
    return flow_finding(
        scene,
        CAUSE,
        Subject(subject.service, None, this_node(scene), subject.flow),
        group.rows,
        confidence=scene.absence_confidence(0.85),
        summary=(
            f"clients of {group.name} keep their address on the way to another node: {backend} "
            "answers them directly, which they reject"
        ),
        evidence=(Evidence("object", policy), *flow_lines(scene, group.rows, "conntrack", told)),
        remedy=CAUSE.steps(),
    )
