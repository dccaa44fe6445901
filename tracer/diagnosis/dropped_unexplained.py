"""A kernel dropped or refused the request, and no other rule knows why.

Claims: the request did not get through; the kernel's own reason and place are given.
Evidence: the drop record, a failed conntrack insertion, a missing route, or an ICMP
error that does not come from the backend.
Cannot know: which rule or setting was behind it. Not counted: drops of flows that
were answered all the same, drops that are everyday housekeeping of the kernel, and
drops of flows whose answers nothing here could have shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from tracer.diagnosis import drops, signs
from tracer.diagnosis.causes.fallbacks import DROPPED_UNEXPLAINED as CAUSE
from tracer.diagnosis.finding import Evidence, Finding
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import (
    Group,
    answered_since,
    by_destination,
    concerning,
    flow_finding,
)
from tracer.diagnosis.wording import drop_text, flow_lines, refusal_text
from tracer.events import Protocol
from tracer.flow import Rows, Seen

QUIET_NS = 10_000_000_000
_DECISIONS = ("TC_INGRESS", "TC_EGRESS", "XDP")
"""Reasons of programs that somebody put there to drop such packets."""


class DroppedUnexplained:
    """The fallback for what a kernel says it dropped."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each destination, reason and place."""
        flows = scene.table.flows
        carries = np.isin(flows["protocol"][rows], (Protocol.TCP, Protocol.UDP, Protocol.SCTP))
        mine = carries & concerning(scene, rows) & signs.witnessed(flows, rows)
        lost = rows[mine & ~signs.answered(flows, rows)]
        lost = lost[_refused(scene, lost) | _dropped(scene, lost)]
        for group in by_destination(scene, lost):
            for part in _by_drop(scene, group):
                yield _finding(scene, part), part.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the destination answers again and nothing was dropped for a while."""
        return not answered_since(scene, finding, QUIET_NS)


def _refused(scene: Scene, rows: Rows) -> signs.Mask:
    """Refused at once by something that is not the backend.

    Where no mapping is known yet it may be the backend, whose mapping is told later.
    """
    flows = scene.table.flows
    here = signs.has(flows, rows, Seen.RST_LOCAL) & signs.has(flows, rows, Seen.RST_BEFORE_ANSWER)
    unserved = here & (flows["service"][rows] >= 0)
    known = Seen.TRANSLATED | Seen.MAPPED | Seen.IPVS_NEW | Seen.NO_DESTINATION
    settled = signs.has(flows, rows, known) | signs.overdue(flows, rows, scene.now_ns)
    refused = signs.has(flows, rows, Seen.ICMP_REFUSED | Seen.NO_DESTINATION)
    return unserved | refused & (settled | scene.final)


def _dropped(scene: Scene, rows: Rows) -> signs.Mask:
    """Dropped, the retries too: still without answer when one would have come and been seen.

    A request dropped before conntrack took it up needs no more proof; of one that was
    passed on, only its absent answer says that the drop hit the request. Or that a program
    of this node decided so: it will decide so again.
    """
    flows = scene.table.flows
    late = signs.overdue(flows, rows, scene.now_ns)
    hurt = signs.has(flows, rows, Seen.NO_ROUTE | Seen.CT_FAILED) | _matters(scene, rows)
    passed_on = signs.has(flows, rows, Seen.MAPPED | Seen.IPVS_NEW)
    decided = drops.with_reason(scene, rows, *_DECISIONS) & drops.on_this_node(scene, rows)
    decided &= ~signs.has(flows, rows, Seen.SYN_TRANSLATED)
    if not (late & hurt).any():
        return decided
    return decided | (late & hurt & (~passed_on | signs.silent(scene, rows)))


def _matters(scene: Scene, rows: Rows) -> signs.Mask:
    """Drops that are neither everyday ones nor a closed port nobody promised to serve."""
    flows = scene.table.flows
    asked = (flows["service"][rows] >= 0) | signs.has(flows, rows, Seen.TRANSLATED)
    closed = drops.with_reason(scene, rows, "NO_SOCKET")
    dropped = signs.has(flows, rows, Seen.DROPPED) & ~drops.everyday(scene, rows)
    return dropped & (~closed | asked)


def _by_drop(scene: Scene, group: Group) -> Iterator[Group]:
    """One part for each reason, place and namespace."""
    flows, rows = scene.table.flows, group.rows
    names = ("drop_reason", "drop_location", "drop_netns", "refusal")
    key = np.column_stack([flows[name][rows] for name in names])
    _, inverse = np.unique(key, axis=0, return_inverse=True)
    for number in range(int(inverse.max()) + 1):
        yield Group(group.hit, group.virtual, group.port, rows[inverse.reshape(-1) == number])


def _what(scene: Scene, row: int) -> str:
    seen = int(scene.table.flows["seen"][row])
    if seen & Seen.DROPPED:
        told = f"dropped by the kernel: {drop_text(scene, row)}"
        return told + (
            f", and refused with {refusal_text(scene, row)}" if seen & Seen.ICMP_REFUSED else ""
        )
    if seen & Seen.NO_DESTINATION:
        return "refused: IPVS found no usable real server"
    if seen & (Seen.ICMP_REFUSED | Seen.RST_BEFORE_ANSWER):
        return f"refused with {refusal_text(scene, row)}"
    if seen & Seen.CT_FAILED:
        return "dropped by the kernel: conntrack or IPVS could not take up the connection"
    return "dropped by the kernel: IPVS found no route to the backend"


def _finding(scene: Scene, group: Group) -> Finding:
    what = _what(scene, int(group.rows[0]))
    evidence: tuple[Evidence, ...] = flow_lines(scene, group.rows, "kernel", what)
    return flow_finding(
        scene,
        CAUSE,
        group.subject(scene),
        group.rows,
        confidence=0.8,
        summary=f"requests to {group.name} are {what}; no known cause fits",
        evidence=evidence,
        remedy=CAUSE.remedy,
    )
