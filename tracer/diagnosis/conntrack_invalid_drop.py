"""kube-proxy's rule drops packets whose connection conntrack has not seen begin.

Claims: the packets take another way than the connection's beginning did, and the rule
for INVALID ones in KUBE-FORWARD ends them.
Evidence: that rule, nf_conntrack_tcp_be_liberal not 1, and TCP packets that netfilter
dropped in a connection without a request and without a mapping here.
Cannot know: which way the beginning took.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import packed_at, text
from tracer.diagnosis import drops, places, signs
from tracer.diagnosis.causes.tracking import INVALID_DROP as CAUSE
from tracer.diagnosis.finding import Evidence, Finding
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import chains
from tracer.diagnosis.subjects import by_node, flow_finding
from tracer.diagnosis.wording import drop_text, flow_lines
from tracer.events import Protocol
from tracer.flow import Rows, Seen

SETTING = "net.netfilter.nf_conntrack_tcp_be_liberal"
CHAIN = "KUBE-FORWARD"
QUIET_NS = 30_000_000_000


class InvalidDrop:
    """Explains packets without a beginning that netfilter drops."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for the node."""
        if scene.node.sysctls.get(SETTING) == "1" or not _rules(scene):
            return
        flows = scene.table.flows
        lost = drops.by_netfilter(scene, rows) & drops.on_this_node(scene, rows)
        lost &= (flows["protocol"][rows] == Protocol.TCP) & places.forwarded(scene, rows)
        lost &= signs.has(flows, rows, Seen.PACKETS)  # of which none was a request:
        lost &= ~signs.has(flows, rows, Seen.SYN | Seen.MAPPED | Seen.TRANSLATED | Seen.IPVS_NEW)
        for subject, where in by_node(scene, rows[lost]):
            client = text(packed_at(flows["client"], int(where[0])))
            told = f"dropped ({drop_text(scene, int(where[0]))}), its beginning never passed here"
            yield (
                flow_finding(
                    scene,
                    CAUSE,
                    subject,
                    where,
                    confidence=0.8,
                    summary=(
                        f"packets of connections that did not begin here are dropped by {CHAIN}: "
                        "requests and answers take different ways"
                    ),
                    evidence=(
                        Evidence("rule", f"{CHAIN}: --ctstate INVALID -j DROP"),
                        *flow_lines(scene, where, "kernel", told),
                    ),
                    remedy=CAUSE.steps(client=client),
                ),
                where,
            )

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """While the rule stands and packets are dropped."""
        known = "xtables" in scene.node.known
        return (not known or _rules(scene)) and scene.now_ns - finding.last_ns < QUIET_NS


def _rules(scene: Scene) -> bool:
    return any(
        "--ctstate INVALID" in line and "-j DROP" in line
        for _, chain in chains(scene, "filter")
        if chain.name == CHAIN
        for line in chain.lines
    )
