"""The table of connections is full.

Claims: first packets of new connections are dropped because no entry can be had.
Evidence: the kernel failing to allocate one; in the state, as many entries as allowed.
Cannot know: who fills the table. Entries in other namespaces do not count here.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.diagnosis import signs
from tracer.diagnosis.causes.nat import CONNTRACK_TABLE_FULL as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import answered_since, by_node, flow_finding, this_node
from tracer.diagnosis.wording import flow_lines
from tracer.flow import Rows, Seen

QUIET_NS = 10_000_000_000
LEAST = 131_072
"""kube-proxy's own least, ``conntrack.min``."""
COUNT, LIMIT = "net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max"
_SUMMARY = "the table of connections is full: new connections through this node are dropped"


class TableFull:
    """Judges the state: the count beside the limit."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """At most one finding: for the node."""
        count, limit = _numbers(scene)
        if 0 < limit <= count:
            yield Finding(
                cause=CAUSE.id,
                severity=CAUSE.severity,
                confidence=0.9,
                since_ns=scene.now_ns or scene.node.at_ns,
                subject=Subject(node=this_node(scene)),
                summary=_SUMMARY,
                evidence=_settings(count, limit),
                remedy=_remedy(limit),
                count=0,
            )


class NoEntryLeft:
    """Judges flows for which no entry could be had."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for the node."""
        flows = scene.table.flows
        lost = signs.has(flows, rows, Seen.CT_FULL) & ~signs.answered(flows, rows)
        for subject, mine in by_node(scene, rows[lost]):
            yield _finding(scene, subject, mine), mine

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until there is room again and nothing more was refused for a while."""
        if scene.now_ns - finding.last_ns < QUIET_NS:
            return True
        count, limit = _numbers(scene)
        if limit:
            return count >= limit
        return not answered_since(scene, finding)


def _numbers(scene: Scene) -> tuple[int, int]:
    """Entries and how many are allowed; zeros where that is not known."""
    found = [scene.node.sysctls.get(name, "") for name in (COUNT, LIMIT)]
    count, limit = (int(value) if value.isdecimal() else 0 for value in found)
    return count, limit


def _settings(count: int, limit: int) -> tuple[Evidence, ...]:
    return (Evidence("sysctl", f"{COUNT} = {count}, {LIMIT} = {limit}"),) if limit else ()


def _remedy(limit: int) -> tuple[str, ...]:
    return CAUSE.steps(larger=str(max(2 * limit, LEAST)) if limit else "<twice as many>")


def _finding(scene: Scene, subject: Subject, rows: Rows) -> Finding:
    count, limit = _numbers(scene)
    lines = flow_lines(scene, rows, "conntrack", "no entry could be allocated")
    return flow_finding(
        scene,
        CAUSE,
        subject,
        rows,
        confidence=0.98,
        summary=_SUMMARY,
        evidence=(*lines, *_settings(count, limit)),
        remedy=_remedy(limit),
    )
