"""The policy of the FORWARD chain drops what no rule accepts.

Claims: forwarded requests (in ipvs mode their answers) end at that policy.
Evidence: policy DROP in iptables' filter table, and a forwarded request that netfilter
dropped, or that was never mapped nor answered, while no forwarded request of that family
is answered.
Cannot know: whether it was the policy or a rule before it, when only silence is seen
or when other forwarded traffic gets through; in the latter case nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tracer.diagnosis import drops, places, signs
from tracer.diagnosis.causes.host import FORWARD_POLICY_DROP as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import answered_since, by_node, concerning, flow_finding
from tracer.diagnosis.wording import drop_text, flow_lines
from tracer.flow import Rows, Seen

QUIET_NS = 10_000_000_000


class ForwardPolicyDrop:
    """Explains forwarded requests that the policy takes."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for the node and address family."""
        flows = scene.table.flows
        for family in _dropping(scene):
            mine = rows[flows["family"][rows] == family]
            passed = places.forwarded(scene, mine) & ~signs.answered(flows, mine)
            passed &= ~signs.has(flows, mine, signs.REFUSED) & concerning(scene, mine)
            dropped = drops.by_netfilter(scene, mine) & drops.on_this_node(scene, mine)
            got_on = signs.has(flows, mine, signs.HURT | Seen.TRANSLATED | Seen.MAPPED)
            lost = mine[passed & (dropped | (~got_on & signs.silent(scene, mine)))]
            if lost.size and not _some_get_through(scene, family):
                for subject, where in by_node(scene, lost):
                    yield _finding(scene, subject, where, family), where

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """While the policy is DROP; where it is not known, until answers come again."""
        if "xtables" in scene.node.known:
            return bool(_dropping(scene))
        return not answered_since(scene, finding, QUIET_NS)


def _dropping(scene: Scene) -> list[int]:
    """Address families whose FORWARD policy is DROP."""
    found = []
    for tables in scene.node.xtables:
        chain = tables.tables.get("filter", {}).get("FORWARD")
        if chain is not None and chain.policy == "DROP":
            found.append(10 if tables.ipv6 else 2)
    return sorted(set(found))


def _some_get_through(scene: Scene, family: int) -> bool:
    """Whether a forwarded flow of this family was answered: then the policy is not all there is."""
    flows = scene.table.flows
    rows = np.flatnonzero(flows["alive"] & (flows["family"] == family))
    rows = rows[~signs.has(flows, rows, Seen.EXISTING)]
    rows = rows[signs.answered(flows, rows)]
    # A masqueraded node port's packets carry the mark that kube-proxy's own rule accepts.
    kept = signs.same(flows["source"][rows], flows["client"][rows])
    return bool((places.forwarded(scene, rows) & kept).any())


def _finding(scene: Scene, subject: Subject, rows: Rows, family: int) -> Finding:
    flows = scene.table.flows
    tool = "iptables" if family == 2 else "ip6tables"
    dropped = rows[signs.has(flows, rows, Seen.DROPPED)]
    lines = (
        flow_lines(scene, dropped, "kernel", f"dropped ({drop_text(scene, int(dropped[0]))})")
        if dropped.size
        else flow_lines(scene, rows, "packet", "has to be forwarded, no answer")
    )
    return flow_finding(
        scene,
        CAUSE,
        subject,
        rows,
        confidence=0.85 if dropped.size else scene.absence_confidence(0.75),
        summary=f"the policy of {tool}' FORWARD chain is DROP, and forwarded requests are lost",
        evidence=(Evidence("rule", f"{tool} -t filter: :FORWARD DROP"), *lines),
        remedy=CAUSE.steps(tool=tool),
    )
