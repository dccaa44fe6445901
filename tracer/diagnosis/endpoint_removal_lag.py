"""New connections are translated to an endpoint that is gone.

Claims: the backend chosen is no (usable) endpoint of the Service any more, or its
pod no longer runs, and the connection was refused, dropped or not answered.
Evidence: the flow's backend against the EndpointSlices and Pods, and what became of it;
from packets alone, of two flows.
Cannot know: whether rules lag, or ClientIP affinity or a stale UDP mapping keeps
the client there; both look the same from one flow, and the evidence names affinity.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tracer.address import packed_at, text
from tracer.diagnosis import drops, signs
from tracer.diagnosis.causes.endpoints import ENDPOINT_REMOVAL_LAG as CAUSE
from tracer.diagnosis.departures import departed
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group, by_backend, by_destination, flow_finding
from tracer.diagnosis.wording import drop_text, flow_lines, refusal_text, service_word
from tracer.flow import Rows, Seen

QUIET_NS = 30_000_000_000
"""Without another such connection for this long the rules have caught up."""


class EndpointRemovalLag:
    """Explains connections to backends that have left."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service and departed backend."""
        if "endpoints" not in scene.cluster.known:
            return
        flows = scene.table.flows
        fresh = signs.has(flows, rows, Seen.TRANSLATED) & signs.witnessed(flows, rows)
        told = signs.has(flows, rows, signs.REFUSED) | drops.failed(scene, rows)
        failed = ~signs.answered(flows, rows) & (told | signs.silent(scene, rows))
        for group in by_destination(scene, rows[fresh & failed]):
            for part in by_backend(scene, _judged_now(scene, group)):
                why = departed(scene, part)
                if why and (_told_new(scene, part) or _again(scene, part)):
                    yield _finding(scene, part, why), part.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until nothing has been sent there for a while, or the endpoint is back."""
        if scene.now_ns - finding.last_ns >= QUIET_NS:
            return False
        service, address = finding.subject.service or "", finding.subject.address
        usable = scene.cluster.usable_endpoints(service)
        pod = scene.cluster.pod_by_address.get(address or b"")
        runs = pod is not None and pod.phase == "Running"
        return not (runs and any(e.ip == address for e in usable))


def _judged_now(scene: Scene, group: Group) -> Group:
    """Those of a Service; with affinity only late ones: how other clients fare tells more."""
    service, rows = group.service(scene), group.rows
    if service is None:
        rows = rows[:0]
    elif service.affinity_seconds and not scene.final:
        rows = rows[signs.overdue(scene.table.flows, rows, scene.now_ns)]
    return Group(group.hit, group.virtual, group.port, rows)


def _told_new(scene: Scene, group: Group) -> bool:
    """Whether a kernel told of such a translation, and not packets alone."""
    return not signs.has(scene.table.flows, group.rows, Seen.PAIRED).all()


def _again(scene: Scene, group: Group) -> bool:
    """Whether clients went there from several ports: one port, in packets, may have an old mapping.

    Or a reused one, which IPVS may keep on the server that it had.
    """
    flows, first = scene.table.flows, int(group.rows[0])
    there = flows["alive"] & (flows["service"] == flows["service"][first])
    there &= (flows["backend"] == flows["backend"][first]).all(axis=1)
    ends = np.column_stack((flows["client"][there], flows["client_port"][there]))
    return len(np.unique(ends, axis=0)) > 1


def _finding(scene: Scene, group: Group, why: str) -> Finding:
    flows, rows = scene.table.flows, group.rows
    address = packed_at(flows["backend"], int(rows[0]))
    namespace, name = service_word(group.service_key or "")
    subject = group.subject(scene)
    seen = signs.has(flows, rows, signs.REFUSED | signs.HURT).any()
    return flow_finding(
        scene,
        CAUSE,
        Subject(subject.service, address, None, subject.flow),
        rows,
        confidence=0.9 if seen else scene.absence_confidence(0.75),
        summary=(
            f"new connections to {group.name} are still sent to {text(address)}, which is gone"
        ),
        evidence=(Evidence("object", why), *_affinity(scene, group), *_fates(scene, rows)),
        remedy=CAUSE.steps(namespace=namespace, name=name),
    )


def _affinity(scene: Scene, group: Group) -> tuple[Evidence, ...]:
    service = group.service(scene)
    if service is None or not service.affinity_seconds:
        return ()
    told = f"ClientIP affinity keeps a client on its backend for {service.affinity_seconds} s"
    return (Evidence("object", told),)


def _fates(scene: Scene, rows: Rows) -> tuple[Evidence, ...]:
    """What became of the flows: refused, dropped or silence."""
    flows = scene.table.flows
    refused = rows[signs.has(flows, rows, Seen.RST_BEFORE_ANSWER | Seen.ICMP_REFUSED)]
    if refused.size:
        told = f"refused with {refusal_text(scene, int(refused[0]))}"
        return flow_lines(scene, refused, "kernel", told)
    dropped = rows[signs.has(flows, rows, Seen.DROPPED)]
    if dropped.size:
        told = f"dropped ({drop_text(scene, int(dropped[0]))})"
        return flow_lines(scene, dropped, "kernel", told)
    if signs.has(flows, rows, Seen.NO_ROUTE).any():
        return flow_lines(scene, rows, "ipvs", "no route to the backend")
    return flow_lines(scene, rows, "packet", "no answer")
