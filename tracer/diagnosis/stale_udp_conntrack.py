"""A UDP client's mapping is older than the Service's endpoints.

Claims: the client's packets follow a mapping that leads to no endpoint, or to the
Service's address itself; a new mapping would work.
Evidence: a mapping that conntrack confirmed, in use and unanswered; either untranslated
although the Service has endpoints, or to an address that left the endpoints after
the mapping was made (or before tracing began).
Cannot know: mappings that were once answered: their later silence is not seen here.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import endpoint, packed_at, text
from tracer.cluster.model import ServiceKind
from tracer.diagnosis import signs
from tracer.diagnosis.causes.nat import STALE_UDP_CONNTRACK as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import (
    Group,
    answered_since,
    by_backend,
    by_destination,
    flow_finding,
)
from tracer.diagnosis.wording import flow_lines
from tracer.events import Protocol
from tracer.flow import Rows, Seen

QUIET_NS = 60_000_000_000


class StaleUdpConntrack:
    """Explains UDP clients that an old mapping holds."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service and place the mapping leads to."""
        if scene.node.proxy_mode == "ipvs" or "endpoints" not in scene.cluster.known:
            return
        flows = scene.table.flows
        used = signs.has(flows, rows, Seen.MAPPED) & ~signs.has(flows, rows, Seen.ENDED)
        used &= (flows["protocol"][rows] == Protocol.UDP) & signs.silent(scene, rows)
        for group in by_destination(scene, rows[used]):
            if group.service(scene) is None or not group.usable(scene):
                continue
            for part in by_backend(scene, group):
                why = _stale(scene, part)
                if why:
                    yield _finding(scene, part, why), part.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the client is answered, or has been quiet so long that the mapping expired."""
        return not answered_since(scene, finding, QUIET_NS)


def _stale(scene: Scene, group: Group) -> str:
    """Why the mapping leads nowhere; empty when it does not, or may be fresh."""
    flows, rows = scene.table.flows, group.rows
    ip, port = packed_at(flows["backend"], int(rows[0])), int(flows["backend_port"][rows[0]])
    if not bool(signs.has(flows, rows, Seen.TRANSLATED).any()):
        if group.hit is not None and group.hit.kind == ServiceKind.NODE_PORT:
            return ""
        return f"the mapping does not translate {endpoint(ip, port)}, though there are endpoints"
    if any((e.ip, e.port) == (ip, port) for e in group.usable(scene)):
        return ""
    left_ns = scene.cluster.departures.get(
        (group.service_key or "", int(Protocol.UDP), ip, port), 0
    )
    older = bool((flows["first_ns"][rows] < left_ns).all())
    before = bool(signs.has(flows, rows, Seen.EXISTING).all())
    return f"the mapping leads to {endpoint(ip, port)}, no endpoint" if older or before else ""


def _finding(scene: Scene, group: Group, why: str) -> Finding:
    flows, first = scene.table.flows, int(group.rows[0])
    backend = packed_at(flows["backend"], first)
    subject = group.subject(scene)
    return flow_finding(
        scene,
        CAUSE,
        Subject(subject.service, backend, None, subject.flow),
        group.rows,
        confidence=scene.absence_confidence(0.85),
        summary=f"an old mapping keeps UDP clients of {group.name} away from its endpoints",
        evidence=(
            Evidence("conntrack", why),
            *flow_lines(scene, group.rows, "packet", "no answer"),
        ),
        remedy=CAUSE.steps(virtual=text(group.virtual), port=str(flows["virtual_port"][first])),
    )
