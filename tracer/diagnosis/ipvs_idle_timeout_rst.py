"""IPVS had forgotten an established connection, and this node reset it.

Claims: the connection's entry in IPVS had run out, so that its next packet was
delivered to the node itself.
Evidence: an IPVS connection that had been answered, and a reset in the name of the
Service's address that the backend did not send, while the backend is still an endpoint.
Cannot know: how long it had been idle; an entry that was removed by hand looks the
same.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tracer.diagnosis import signs
from tracer.diagnosis.causes.servers import IDLE_TIMEOUT_RST as CAUSE
from tracer.diagnosis.departures import departed
from tracer.diagnosis.finding import Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group, by_backend, by_destination, flow_finding
from tracer.diagnosis.wording import flow_lines
from tracer.events import Protocol
from tracer.flow import Leg, Rows, Seen

QUIET_NS = 120_000_000_000


class IdleTimeoutRst:
    """Explains resets of connections that worked."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service."""
        flows = scene.table.flows
        reset = signs.has(flows, rows, Seen.IPVS_NEW) & signs.answered(flows, rows)
        reset &= (flows["protocol"][rows] == Protocol.TCP) & _by_the_node(flows, rows)
        for group in by_destination(scene, rows[reset]):
            if group.service(scene) is None:
                continue
            for part in by_backend(scene, group):
                if not departed(scene, part):
                    yield _finding(scene, part), part.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until no connection was reset so for a while."""
        return scene.now_ns - finding.last_ns < QUIET_NS


def _by_the_node(flows: signs.Flows, rows: Rows) -> signs.Mask:
    """Reset in the Service's name, and not by the backend, whose packets were seen."""
    named = signs.same(flows["refused_by"][rows], flows["virtual"][rows])
    named &= ~signs.same(flows["backend"][rows], flows["virtual"][rows])
    watched = (flows["leg_packets"][rows, Leg.BACKEND_IN] > 0) & signs.has(
        flows, rows, Seen.RST_BACKEND
    )
    sent = signs.has(flows, rows, Seen.RST_LOCAL)
    answered = ~signs.has(flows, rows, Seen.RST_BEFORE_ANSWER)
    return np.asarray(named & (watched | sent) & answered)


def _finding(scene: Scene, group: Group) -> Finding:
    subject = group.subject(scene)
    return flow_finding(
        scene,
        CAUSE,
        Subject(subject.service, None, None, subject.flow),
        group.rows,
        confidence=0.8,
        summary=(
            f"established connections to {group.name} are reset by this node: IPVS has no entry "
            "for them any more, as after a long idle time"
        ),
        evidence=flow_lines(
            scene, group.rows, "kernel", "answered before, then reset in the Service's name"
        ),
        remedy=CAUSE.steps(),
    )
