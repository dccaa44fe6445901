"""No free source port is left for another masqueraded connection.

Claims: conntrack cannot insert the mapping, and will not at a repetition either.
Evidence: a failed insertion of a mapping whose very tuple an older connection has; or
one of a request that was asked more than once and not answered within 3 s.
Cannot know: how many ports are taken. A single failed insertion of another tuple is a
race, which the next repetition survives: ``conntrack-insert-race``.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import endpoint, packed_at, text
from tracer.diagnosis import signs
from tracer.diagnosis.causes.nat import SNAT_PORT_EXHAUSTION as CAUSE
from tracer.diagnosis.finding import Evidence, Finding
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group, answered_since, by_destination, flow_finding
from tracer.diagnosis.wording import flow_lines, flow_text
from tracer.flow import Rows, Seen

QUIET_NS = 10_000_000_000
_ASKED_TWICE = 2


class SnatPortExhaustion:
    """Explains mappings that cannot be inserted, the repeated ones neither."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each destination."""
        flows = scene.table.flows
        failed = signs.has(flows, rows, Seen.CT_FAILED) & ~signs.answered(flows, rows)
        failed &= ~signs.has(flows, rows, Seen.CT_FULL | Seen.IPVS_FAILED | Seen.MAPPED)
        again = signs.requests(flows, rows) >= _ASKED_TWICE
        lost = failed & again & signs.overdue(flows, rows, scene.now_ns)
        lost |= failed & (flows["taken_by"][rows] > 0)
        for group in by_destination(scene, rows[lost]):
            yield _finding(scene, group), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the destination answers again and nothing failed for a while."""
        return not answered_since(scene, finding, QUIET_NS)


def _finding(scene: Scene, group: Group) -> Finding:
    flows, first = scene.table.flows, int(group.rows[0])
    told = "its mapping could not be inserted"
    holder = scene.table.row(int(flows["taken_by"][first])) if flows["taken_by"][first] else -1
    which = f"-d {text(group.virtual)}"
    taken: tuple[Evidence, ...] = ()
    if holder >= 0:
        port = endpoint(packed_at(flows["source"], holder), int(flows["source_port"][holder]))
        which = f"--reply-src {text(packed_at(flows['backend'], holder))}"
        taken = (Evidence("conntrack", f"{port}, its source, is {flow_text(scene, holder)}'s"),)
    return flow_finding(
        scene,
        CAUSE,
        group.subject(scene),
        group.rows,
        confidence=0.85,
        summary=(
            f"connections to {group.name} cannot be mapped: every source port that "
            "masquerading may use is taken"
        ),
        evidence=(*flow_lines(scene, group.rows, "conntrack", told), *taken),
        remedy=CAUSE.steps(destination=which),
    )
