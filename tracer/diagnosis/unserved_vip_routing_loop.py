"""A request to a port no Service serves went round until its time to live was over.

Claims: node and router send it to each other.
Evidence: the Service's address without that port, an ICMP time exceeded, and the same
request seen many times on one interface: a traced route shows the error as well, but
not the repetitions.
Cannot know: which router; nothing is claimed where packets are not seen.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tracer.address import text
from tracer.diagnosis import signs
from tracer.diagnosis.causes.addresses import ROUTING_LOOP as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.service_addresses import ports_of, unserved
from tracer.diagnosis.subjects import Group, answered_since, by_destination, flow_finding
from tracer.diagnosis.wording import flow_lines, plain, refusal_text
from tracer.flow import Leg, Rows, Seen

QUIET_NS = 10_000_000_000
ROUNDS = 10
"""Sightings of one flow's requests on one interface; retransmissions alone take minutes."""
_EXCEEDED = (11 << 8, 3 << 8)
"""Time exceeded in transit: ICMPv4, ICMPv6."""


class RoutingLoop:
    """Explains requests that were passed on until they were too old."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each address."""
        flows = scene.table.flows
        family = np.where(flows["family"][rows] == 2, *_EXCEEDED)
        old = signs.has(flows, rows, Seen.ICMP_REFUSED) & (flows["refusal"][rows] == family)
        often = flows["leg_packets"][rows, Leg.CLIENT_OUT] >= ROUNDS
        lost = rows[old & often & ~signs.answered(flows, rows)]
        for group in by_destination(scene, lost[unserved(scene, lost)]):
            yield _finding(scene, group), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until nothing has gone round for a while."""
        quiet = scene.now_ns - finding.last_ns >= QUIET_NS
        return not quiet and not answered_since(scene, finding)


def _finding(scene: Scene, group: Group) -> Finding:
    flows, first = scene.table.flows, int(group.rows[0])
    service = scene.cluster.service_by_address[group.virtual]
    rounds = int(flows["leg_packets"][first, Leg.CLIENT_OUT])
    told = f"seen {rounds} times on one interface, then {refusal_text(scene, first)}"
    serves = f"Service {plain(service.key)} has that address and serves {ports_of(service)}"
    return flow_finding(
        scene,
        CAUSE,
        Subject(service.key, group.virtual, None, group.subject(scene).flow),
        group.rows,
        confidence=0.9,
        summary=(
            f"requests to {group.name}, a port no Service serves, go round between this node and "
            "its router until they expire"
        ),
        evidence=(Evidence("object", serves), *flow_lines(scene, group.rows, "packet", told)),
        remedy=CAUSE.steps(address=text(group.virtual)),
    )
