"""Packets do not fit the way on, and their sender does not hear of it.

Claims: the connection hangs: the same packets are sent again and again.
Evidence: ICMP 'fragmentation needed' (ICMPv6 'packet too big') for one flow, and again
at least two seconds later; a sender that heard the first would send smaller ones.
Cannot know: where the message is lost. One message alone is how path MTU discovery
works, and is no fault.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import packed_at, text
from tracer.diagnosis import signs
from tracer.diagnosis.causes.tracking import MTU_BLACKHOLE as CAUSE
from tracer.diagnosis.finding import Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group, by_backend, by_destination, concerning, flow_finding
from tracer.diagnosis.wording import flow_lines
from tracer.flow import Rows, Seen

QUIET_NS = 30_000_000_000


class MtuBlackhole:
    """Explains connections that open and then hang."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service and backend."""
        flows = scene.table.flows
        stuck = signs.has(flows, rows, Seen.TOO_BIG_AGAIN) & concerning(scene, rows)
        for group in by_destination(scene, rows[stuck]):
            for part in by_backend(scene, group):
                yield _finding(scene, part), part.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until nothing of it was seen for a while."""
        return scene.now_ns - finding.last_ns < QUIET_NS


def _finding(scene: Scene, group: Group) -> Finding:
    flows, rows = scene.table.flows, group.rows
    backend = packed_at(flows["backend"], int(rows[0]))
    first = int(flows["too_big_ns"][rows].min())
    seconds = (int(flows["last_ns"][rows].max()) - first) / 1e9
    subject = group.subject(scene)
    return flow_finding(
        scene,
        CAUSE,
        Subject(subject.service, backend, None, subject.flow),
        rows,
        confidence=0.9,
        summary=(
            f"large packets of connections to {group.name} do not fit the way to {text(backend)}, "
            "and their sender never hears of it"
        ),
        evidence=flow_lines(
            scene, rows, "packet", f"ICMP 'too big' again and again for {seconds:.1f} s"
        ),
        remedy=CAUSE.steps(backend=text(backend)),
    )
