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
from tracer.diagnosis.departures import forgotten, outlived
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
                why = _why(scene, part)
                if why:
                    yield _finding(scene, part, why), part.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until conntrack has dropped the mapping, or clients are answered for a while."""
        return not (forgotten(scene, finding) or answered_since(scene, finding, QUIET_NS))


def _why(scene: Scene, group: Group) -> str:
    """Why the mapping leads nowhere; empty when it does not, or may be fresh."""
    flows, first = scene.table.flows, int(group.rows[0])
    if bool(signs.has(flows, group.rows, Seen.TRANSLATED).any()):
        return outlived(scene, group)
    if group.hit is not None and group.hit.kind == ServiceKind.NODE_PORT:
        return ""
    at = endpoint(packed_at(flows["backend"], first), int(flows["backend_port"][first]))
    return f"the mapping does not translate {at}, though there are endpoints"


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
