"""Two first packets of one socket raced for a mapping; one of them was dropped.

Claims: conntrack could not insert the mapping of a datagram, whose packet is lost.
Evidence: the failed insertion, of a flow that has no answer yet.
Cannot know: which packet won. Where the request is repeated in vain it is no race:
``snat-port-exhaustion``. It is taken back when the repetition is answered.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.diagnosis import signs
from tracer.diagnosis.causes.nat import CONNTRACK_INSERT_RACE as CAUSE
from tracer.diagnosis.finding import Finding
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group, answered_since, by_destination, flow_finding
from tracer.diagnosis.wording import flow_lines
from tracer.events import Protocol
from tracer.flow import Rows, Seen

QUIET_NS = 30_000_000_000


class ConntrackInsertRace:
    """Explains datagrams whose mapping could not be inserted."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each destination."""
        flows = scene.table.flows
        failed = signs.has(flows, rows, Seen.CT_FAILED) & ~signs.answered(flows, rows)
        failed &= ~signs.has(flows, rows, Seen.CT_FULL | Seen.IPVS_FAILED | Seen.MAPPED)
        datagram = flows["protocol"][rows] == Protocol.UDP
        for group in by_destination(scene, rows[failed & datagram]):
            yield _finding(scene, group), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the destination answers and no other packet was lost so for a while."""
        return not answered_since(scene, finding, QUIET_NS)


def _finding(scene: Scene, group: Group) -> Finding:
    return flow_finding(
        scene,
        CAUSE,
        group.subject(scene),
        group.rows,
        confidence=0.85,
        summary=(
            f"datagrams to {group.name} are dropped: another packet of the same socket took "
            "their mapping first"
        ),
        evidence=flow_lines(scene, group.rows, "conntrack", "its mapping could not be inserted"),
        remedy=CAUSE.steps(),
    )
