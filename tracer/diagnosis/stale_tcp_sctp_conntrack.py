"""A TCP or SCTP client's mapping is older than the Service's endpoints.

Claims: the client's packets follow a mapping that leads to no endpoint; on another port
it would be sent to one.
Evidence: a mapping in use and unanswered, to an address that left the endpoints after
the mapping was made, or before tracing began.
Cannot know: mappings that were once answered: their later silence is not seen here.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tracer.address import endpoint, packed_at, text
from tracer.diagnosis import drops, signs
from tracer.diagnosis.causes.tracking import STALE_TCP_SCTP as CAUSE
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
from tracer.diagnosis.wording import flow_lines, protocol_name
from tracer.events import Protocol
from tracer.flow import Rows, Seen

QUIET_NS = 60_000_000_000


class StaleTcpSctp:
    """Explains clients with fixed ports that an old mapping holds."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service and place the mapping leads to."""
        if scene.node.proxy_mode == "ipvs" or "endpoints" not in scene.cluster.known:
            return
        flows = scene.table.flows
        used = signs.has(flows, rows, Seen.MAPPED) & signs.has(flows, rows, Seen.TRANSLATED)
        used &= np.isin(flows["protocol"][rows], (Protocol.TCP, Protocol.SCTP))
        failed = signs.has(flows, rows, signs.REFUSED) | drops.failed(scene, rows)
        used &= ~signs.answered(flows, rows) & (failed | signs.silent(scene, rows))
        used &= signs.has(flows, rows, Seen.PACKETS | Seen.SYN)
        for group in by_destination(scene, rows[used]):
            if group.service(scene) is None or not group.usable(scene):
                continue
            for part in by_backend(scene, group):
                why = outlived(scene, part)
                if why:
                    yield _finding(scene, part, why), part.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until conntrack has dropped the mapping, or clients are answered for a while."""
        return not (forgotten(scene, finding) or answered_since(scene, finding, QUIET_NS))


def _finding(scene: Scene, group: Group, why: str) -> Finding:
    flows, first = scene.table.flows, int(group.rows[0])
    backend = packed_at(flows["backend"], first)
    at = endpoint(backend, int(flows["backend_port"][first]))
    subject = group.subject(scene)
    return flow_finding(
        scene,
        CAUSE,
        Subject(subject.service, backend, None, subject.flow),
        group.rows,
        confidence=scene.absence_confidence(0.85),
        summary=f"an old mapping keeps clients of {group.name} with a fixed port on {at}, gone",
        evidence=(
            Evidence("conntrack", why),
            *flow_lines(scene, group.rows, "packet", "no answer"),
        ),
        remedy=CAUSE.steps(
            virtual=text(group.virtual),
            backend=text(backend),
            protocol=protocol_name(int(flows["protocol"][first])),
        ),
    )
