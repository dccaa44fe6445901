"""The client reset the pod's own address in the middle of a connection.

Claims: an answer reached the client untranslated, because conntrack could not place it,
and the client's reset of that stranger ended the real connection.
Evidence: a translated connection that had been answered, and a reset to the backend's
own address where the client's packets come in, which no client of a Service ever has
reason to send; nf_conntrack_tcp_be_liberal is not 1.
Cannot know: why the answer was outside the window.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.diagnosis import signs
from tracer.diagnosis.causes.tracking import INVALID_RST as CAUSE
from tracer.diagnosis.finding import Evidence, Finding
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import by_destination, flow_finding, since_lost
from tracer.diagnosis.wording import flow_lines
from tracer.flow import Rows, Seen

SETTING = "net.netfilter.nf_conntrack_tcp_be_liberal"
QUIET_NS = 120_000_000_000


class InvalidRst:
    """Explains resets that no application asked for."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service."""
        if scene.node.sysctls.get(SETTING) == "1":
            return
        flows = scene.table.flows
        reset = signs.has(flows, rows, Seen.RST_ASTRAY) & signs.has(flows, rows, Seen.TRANSLATED)
        reset &= signs.has(flows, rows, Seen.ANSWER_CLIENT)
        for group in by_destination(scene, rows[reset]):
            lines = flow_lines(scene, group.rows, "packet", "the client reset the backend itself")
            finding = flow_finding(
                scene,
                CAUSE,
                group.subject(scene),
                group.rows,
                confidence=0.85,
                summary=(
                    f"connections to {group.name} end by resets of an address that clients "
                    "should never see: answers were not translated back"
                ),
                evidence=(
                    Evidence("sysctl", f"{SETTING} = {scene.node.sysctls.get(SETTING, '?')}"),
                    *lines,
                ),
                remedy=CAUSE.steps(),
            )
            yield since_lost(scene, finding, group.rows), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the setting is 1, or no connection ended so for a while."""
        liberal = scene.node.sysctls.get(SETTING) == "1"
        return not liberal and scene.now_ns - finding.last_ns < QUIET_NS
