"""nftables mode drops a pod's own request to an external address with policy Local.

Claims: kube-proxy takes the pod for an outside client, because it does not know which
sources are pods.
Evidence: nftables mode, a client that is a pod, an external or load balancer address
with policy Local, no endpoint on this node, a drop by netfilter or silence.
Cannot know: kube-proxy's configuration; that its chain for the address has no rule for
pods is checked where the rules are known.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.cluster.model import Service, ServiceKind
from tracer.diagnosis import drops, places, signs
from tracer.diagnosis.causes.policies import NFT_LOCAL_POD_DROP as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group, by_destination, flow_finding, this_node
from tracer.diagnosis.wording import drop_text, flow_lines, plain
from tracer.flow import Rows, Seen

QUIET_NS = 60_000_000_000
_KINDS = (ServiceKind.EXTERNAL_IP, ServiceKind.LOAD_BALANCER)


class NftLocalPodDrop:
    """Explains pods that are taken for outside clients."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service and node."""
        node = this_node(scene)
        if scene.node.proxy_mode != "nftables" or not node:
            return
        flows = scene.table.flows
        lost = drops.by_netfilter(scene, rows) | signs.silent(scene, rows)
        lost &= ~signs.has(flows, rows, Seen.TRANSLATED | Seen.RST_BEFORE_ANSWER)
        lost &= ~signs.answered(flows, rows) & (flows["service"][rows] >= 0)
        where = rows[lost]
        pods = frozenset(
            ip
            for ip in places.distinct(scene, where, "client")
            if ip in scene.cluster.pod_by_address
        )
        for group in by_destination(scene, where[signs.among(flows["client"][where], pods)]):
            service = group.service(scene)
            if service is not None and _drops_pods(scene, group, service, node):
                yield _finding(scene, group, service, node), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until nothing was dropped for a while, or the policy changed."""
        service = scene.cluster.services_by_key.get(finding.subject.service or "")
        if service is None or service.external_policy != "Local":
            return False
        return scene.now_ns - finding.last_ns < QUIET_NS


def _drops_pods(scene: Scene, group: Group, service: Service, node: str) -> bool:
    if group.hit is None or group.hit.kind not in _KINDS or service.external_policy != "Local":
        return False
    usable = group.usable(scene)
    return bool(usable) and all(endpoint.node != node for endpoint in usable)


def _finding(scene: Scene, group: Group, service: Service, node: str) -> Finding:
    flows, rows = scene.table.flows, group.rows
    dropped = rows[signs.has(flows, rows, Seen.DROPPED)]
    told = f"dropped ({drop_text(scene, int(dropped[0]))})" if dropped.size else "no answer"
    policy = f"Service {plain(service.key)}: externalTrafficPolicy Local, no endpoint here"
    return flow_finding(
        scene,
        CAUSE,
        Subject(service.key, None, node, group.subject(scene).flow),
        rows,
        confidence=0.85 if dropped.size else scene.absence_confidence(0.7),
        summary=(
            f"pods of node {plain(node)} are taken for outside clients of {group.name} and "
            "dropped by its policy Local"
        ),
        evidence=(Evidence("object", policy), *flow_lines(scene, rows, "kernel", told)),
        remedy=CAUSE.steps(),
    )
