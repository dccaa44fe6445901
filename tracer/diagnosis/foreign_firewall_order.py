"""A firewall's rule that is not Kubernetes' ends the request.

Claims: kube-proxy's rules would have let the request through.
Evidence: ICMP 'prohibited', which kube-proxy never sends; or a request that netfilter
dropped, or that is not answered, and a rule of this node, not kube-proxy's and not a
network policy's, at which a walk through the node's rules ends.
Cannot know: rules of other nodes and of cloud firewalls, which end requests without a
trace here.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tracer.diagnosis import drops, signs
from tracer.diagnosis.causes.tracking import FOREIGN_FIREWALL as CAUSE
from tracer.diagnosis.finding import Evidence, Finding
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import (
    Group,
    answered_since,
    by_destination,
    concerning,
    flow_finding,
)
from tracer.diagnosis.walked import foreign_rule, is_policy
from tracer.diagnosis.wording import (
    drop_text,
    flow_lines,
    plain,
    refusal_text,
    rule_words,
    word,
)
from tracer.flow import Rows, Seen
from tracer.node.xtables import LEGACY
from tracer.path.packet import Step

QUIET_NS = 10_000_000_000
_PROHIBITED = (3 << 8 | 9, 3 << 8 | 10, 3 << 8 | 13, 1 << 8 | 1, 1 << 8 | 5)
"""Network, host and communication prohibited; in ICMPv6 prohibited and failed policy."""
_MOST_WALKS = 16
"""Destinations that are walked at a time: some milliseconds each."""


class ForeignFirewall:
    """Explains requests that somebody else's rules end."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each destination."""
        flows = scene.table.flows
        open_question = ~signs.answered(flows, rows) & concerning(scene, rows)
        icmp = signs.has(flows, rows, Seen.ICMP_REFUSED)
        prohibited = icmp & np.isin(flows["refusal"][rows], _PROHIBITED) & open_question
        for group in by_destination(scene, rows[prohibited]):
            yield _finding(scene, group, foreign_rule(scene, int(group.rows[0]))), group.rows
        told = drops.by_netfilter(scene, rows) & drops.on_this_node(scene, rows)
        told |= icmp | signs.silent(scene, rows)
        left = rows[open_question & told & ~prohibited]
        left = left[~signs.has(flows, left, Seen.TRANSLATED | Seen.RST_BEFORE_ANSWER)]
        for number, group in enumerate(by_destination(scene, left)):
            step = foreign_rule(scene, int(group.rows[0])) if number < _MOST_WALKS else None
            if step is not None and not is_policy(step):
                yield _finding(scene, group, step), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the destination answers again, or nothing was refused for a while."""
        quiet = scene.now_ns - finding.last_ns >= 6 * QUIET_NS
        return not quiet and not answered_since(scene, finding, QUIET_NS)


def _told(scene: Scene, row: int) -> str:
    seen = int(scene.table.flows["seen"][row])
    if seen & Seen.ICMP_REFUSED:
        return f"refused with {refusal_text(scene, row)}"
    return f"dropped ({drop_text(scene, row)})" if seen & Seen.DROPPED else "no answer"


def _finding(scene: Scene, group: Group, step: Step | None) -> Finding:
    flows, rows = scene.table.flows, group.rows
    sure = bool(signs.has(flows, rows, Seen.DROPPED | Seen.ICMP_REFUSED).any())
    chain = step.chain if step else "REJECT"
    tool = "iptables" if int(flows["family"][rows[0]]) == 2 else "ip6tables"
    where = f"rule in {step.table} {step.chain}" if step else "firewall's rule on the way"
    lines = flow_lines(scene, rows, "kernel" if sure else "packet", _told(scene, int(rows[0])))
    rule = (
        (Evidence("rule", plain(f"{step.table} {step.chain}: {step.rule} {step.effect}")),)
        if step
        else ()
    )
    return flow_finding(
        scene,
        CAUSE,
        group.subject(scene),
        rows,
        confidence=(0.9 if step else 0.85) if sure else scene.absence_confidence(0.75),
        summary=f"requests to {group.name} end at a {plain(where)} that is not Kubernetes'",
        evidence=(*rule, *lines),
        remedy=_remedy(step, CAUSE.steps(tool=tool, chain=word(chain).strip("'")), tool),
    )


def _remedy(step: Step | None, steps: tuple[str, ...], tool: str) -> tuple[str, ...]:
    """With the command that takes the very rule away, where its listing tells how."""
    table, _, variant = step.table.partition(" (") if step else ("", "", "")
    rule = rule_words(step.rule) if step else ""
    if not rule:
        return steps
    legacy = "-legacy" if variant.startswith(LEGACY) else ""
    taken = f"{tool}{legacy} -t {word(table)} -D {rule}   # at once, where it should not be"
    look, *others = steps
    return (look, taken, *others)
