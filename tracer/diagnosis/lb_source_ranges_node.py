"""The node itself is outside a Service's loadBalancerSourceRanges.

Claims: the node's own request to the load balancer address was dropped by the Service's
policy.
Evidence: a client that is this node (or, in ipvs mode, the load balancer address itself,
which the node holds: it stands for the node), in none of the ranges, dropped by netfilter,
which in ipvs mode is after the translation, or unanswered.
Cannot know: which process of the node asked.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import is_ipv4, packed_at, text
from tracer.cluster.model import Service, ServiceKind
from tracer.diagnosis import drops, places, signs
from tracer.diagnosis.causes.policies import SOURCE_RANGES_NODE as CAUSE
from tracer.diagnosis.finding import Evidence, Finding
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group, by_destination, flow_finding
from tracer.diagnosis.wording import flow_lines, listed, plain, prefix, service_word
from tracer.flow import Rows, Seen

QUIET_NS = 60_000_000_000


class SourceRangesNode:
    """Explains the node's own requests that a load balancer Service does not let in."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service and address."""
        if not any(service.source_ranges for service in scene.cluster.services):
            return
        flows = scene.table.flows
        lost = _dropped(scene, rows) & ~signs.has(flows, rows, signs.REFUSED)
        lost &= ~signs.answered(flows, rows) & (flows["service"][rows] >= 0)
        lost &= signs.among(flows["client"][rows], places.own(scene))
        for group in by_destination(scene, rows[lost]):
            service = group.service(scene)
            if service is None or group.hit is None:
                continue
            client = _asking(scene, packed_at(flows["client"], int(group.rows[0])))
            balanced = group.hit.kind == ServiceKind.LOAD_BALANCER
            if balanced and _outside(client, service):
                yield _finding(scene, group, service, client), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the ranges let the node in, or it has not asked for a while."""
        service = scene.cluster.services_by_key.get(finding.subject.service or "")
        flow = finding.subject.flow
        if service is None or flow is None or not _outside(_asking(scene, flow.src), service):
            return False
        return scene.now_ns - finding.last_ns < QUIET_NS


def _dropped(scene: Scene, rows: Rows) -> signs.Mask:
    """Before its translation; in ipvs mode the Service's own drop comes after it."""
    flows = scene.table.flows
    passed_on = signs.has(flows, rows, Seen.TRANSLATED)
    held = signs.among(flows["client"][rows], scene.node.ipvs_addresses)
    told = drops.by_netfilter(scene, rows) & (held | ~passed_on)
    return told | signs.silent(scene, rows) & ~passed_on


def _asking(scene: Scene, client: bytes) -> bytes:
    """The node's own address, for which one of kube-ipvs0 stands: the ranges go by it."""
    if client not in scene.node.ipvs_addresses:
        return client
    mine = (node for node in scene.cluster.nodes if node.name == scene.node.node_name)
    alike = (ip for node in mine for ip in node.addresses if is_ipv4(ip) == is_ipv4(client))
    return next(alike, client)


def _outside(client: bytes, service: Service) -> bool:
    mine = [entry for entry in service.source_ranges if (":" not in entry) == is_ipv4(client)]
    return bool(mine) and not places.within(client, mine)


def _finding(scene: Scene, group: Group, service: Service, client: bytes) -> Finding:
    flows, rows = scene.table.flows, group.rows
    ranges = listed(service.source_ranges, "none")
    namespace, name = service_word(service.key)
    wider = ",".join(f'"{plain(r)}"' for r in (*service.source_ranges, prefix(client)))
    dropped = bool(signs.has(flows, rows, Seen.DROPPED).any())
    told = f"Service {plain(service.key)} lets in {ranges}; this node's {text(client)} is in none"
    return flow_finding(
        scene,
        CAUSE,
        group.subject(scene, group.virtual),
        rows,
        confidence=0.95 if dropped else scene.absence_confidence(0.85),
        summary=f"the node itself ({text(client)}) is not let in to {group.name}: {ranges}",
        evidence=(
            Evidence("object", told),
            *flow_lines(scene, rows, "kernel", "dropped" if dropped else "no answer"),
        ),
        remedy=CAUSE.steps(
            namespace=namespace, name=name, client=prefix(client), wider=wider, ranges=ranges
        ),
    )
