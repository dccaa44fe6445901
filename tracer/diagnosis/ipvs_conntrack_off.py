"""IPVS keeps its connections out of conntrack: masquerading cannot happen.

Claims: a client outside the cluster was sent to another node with its own address,
because net.ipv4.vs.conntrack is 0.
Evidence: the setting, and an IPVS connection with an unchanged source that conntrack
does not know, without an answer through this node.
Cannot know: what the client made of the pod's answer, which never passes here.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.diagnosis import signs
from tracer.diagnosis.causes.nat import IPVS_CONNTRACK_OFF as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.outside_clients import sent_on_unmasked
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import by_node, flow_finding
from tracer.diagnosis.wording import flow_lines
from tracer.flow import Rows, Seen

SETTING = "net.ipv4.vs.conntrack"


class IpvsConntrackOff:
    """Explains outside clients that hear nothing from remote endpoints."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for the node."""
        if scene.node.sysctls.get(SETTING) != "0":
            return
        flows = scene.table.flows
        paired = Seen.PAIRED if scene.node.proxy_mode == "ipvs" else Seen.IPVS_NEW
        by_ipvs = signs.has(flows, rows, Seen.IPVS_NEW | paired)
        by_ipvs &= ~signs.has(flows, rows, Seen.MAPPED)
        lost = rows[by_ipvs]
        for subject, mine in by_node(scene, lost[sent_on_unmasked(scene, lost)]):
            yield _finding(scene, subject, mine), mine

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """While the setting is 0."""
        return scene.node.sysctls.get(SETTING, "0") == "0"


def _finding(scene: Scene, subject: Subject, rows: Rows) -> Finding:
    told = "source kept, unknown to conntrack, no answer through this node"
    return flow_finding(
        scene,
        CAUSE,
        subject,
        rows,
        confidence=scene.absence_confidence(0.9),
        summary=(
            f"{SETTING} is 0: what IPVS sends to other nodes keeps the outside client's address, "
            "so the answers bypass this node"
        ),
        evidence=(Evidence("sysctl", f"{SETTING} = 0"), *flow_lines(scene, rows, "ipvs", told)),
        remedy=CAUSE.steps(),
    )
