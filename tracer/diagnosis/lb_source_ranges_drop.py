"""The client is outside the ranges that a load balancer Service lets in.

Claims: the request was dropped by the Service's own policy.
Evidence: the load balancer address, spec.loadBalancerSourceRanges, a source in none
of them, and a drop by netfilter or silence.
Cannot know: the client's address before a load balancer rewrote it.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import is_ipv4, packed_at, text
from tracer.cluster.model import Service, ServiceKind
from tracer.diagnosis import drops, places, signs
from tracer.diagnosis.causes.endpoints import SOURCE_RANGES_DROP as CAUSE
from tracer.diagnosis.finding import Evidence, Finding
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group, by_destination, flow_finding
from tracer.diagnosis.wording import drop_text, flow_lines, listed, plain, prefix, service_word
from tracer.flow import Rows, Seen

QUIET_NS = 60_000_000_000


class SourceRangesDrop:
    """Explains clients that a load balancer Service does not let in."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service and address."""
        if not any(service.source_ranges for service in scene.cluster.services):
            return
        flows = scene.table.flows
        sent_on = signs.has(flows, rows, Seen.TRANSLATED | signs.REFUSED)
        told = drops.by_netfilter(scene, rows) | signs.silent(scene, rows)
        lost = told & ~sent_on & ~signs.answered(flows, rows) & (flows["service"][rows] >= 0)
        for group in by_destination(scene, rows[lost]):
            service = group.service(scene)
            if service is None or group.hit is None or not service.source_ranges:
                continue
            if group.hit.kind == ServiceKind.LOAD_BALANCER:
                yield from _kept_out(scene, group, service)

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the ranges let the client in, or nobody was kept out for a while."""
        service = scene.cluster.services_by_key.get(finding.subject.service or "")
        flow = finding.subject.flow
        if service is None:
            return not scene.cluster.services
        if flow is None or not _outside(flow.src, service):
            return False
        return scene.now_ns - finding.last_ns < QUIET_NS


def _outside(client: bytes, service: Service) -> bool:
    """In none of the ranges of its own family; without any of those, no range applies."""
    mine = [text for text in service.source_ranges if (":" not in text) == is_ipv4(client)]
    return bool(mine) and not places.within(client, mine)


def _kept_out(scene: Scene, group: Group, service: Service) -> Iterable[tuple[Finding, Rows]]:
    clients = scene.table.flows["client"]
    outside = frozenset(
        ip for ip in places.distinct(scene, group.rows, "client") if _outside(ip, service)
    )
    rows = group.rows[signs.among(clients[group.rows], outside)]
    if rows.size:
        part = Group(group.hit, group.virtual, group.port, rows)
        yield _finding(scene, part, service), rows


def _finding(scene: Scene, group: Group, service: Service) -> Finding:
    flows, rows = scene.table.flows, group.rows
    client = packed_at(flows["client"], int(rows[0]))
    dropped = rows[signs.has(flows, rows, Seen.DROPPED)]
    lines = (
        flow_lines(scene, dropped, "kernel", f"dropped ({drop_text(scene, int(dropped[0]))})")
        if dropped.size
        else flow_lines(scene, rows, "packet", "no answer")
    )
    ranges = listed(service.source_ranges, "none")
    policy = f"Service {plain(service.key)} lets in {ranges}; {text(client)} is in none of them"
    namespace, name = service_word(service.key)
    wider = ",".join(f'"{plain(r)}"' for r in (*service.source_ranges, prefix(client)))
    return flow_finding(
        scene,
        CAUSE,
        group.subject(scene, group.virtual),
        rows,
        confidence=0.95 if dropped.size else scene.absence_confidence(0.85),
        summary=(
            f"{text(client)} is not let in to {group.name}: its loadBalancerSourceRanges are "
            f"{ranges}; policy, not a fault elsewhere"
        ),
        evidence=(Evidence("object", policy), *lines),
        remedy=CAUSE.steps(
            namespace=namespace, name=name, client=prefix(client), wider=wider, ranges=ranges
        ),
    )
