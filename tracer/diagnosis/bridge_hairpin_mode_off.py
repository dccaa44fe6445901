"""A bridge does not send a pod's packet back to the port it came from.

Claims: the pod reaches itself through its Service nowhere but over the bridge, which
throws the packet away.
Evidence: a translation whose backend is the client itself, with a rewritten source, not
answered, on a node whose pods are ports of a bridge; or, where netfilter sees bridged
packets, a pod's unanswered request to itself there, which is never masqueraded at all.
Cannot know: the port's setting. Without a bridge nothing is claimed; with an unchanged
source it is ``hairpin-no-masquerade``.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tracer.address import packed_at, text
from tracer.diagnosis import places, signs
from tracer.diagnosis.causes.tracking import HAIRPIN_MODE_OFF as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import (
    Group,
    answered_since,
    by_backend,
    by_destination,
    flow_finding,
)
from tracer.diagnosis.wording import flow_lines, plain, word
from tracer.flow import Rows, Seen

QUIET_NS = 30_000_000_000


class HairpinModeOff:
    """Explains masqueraded pods that do not reach themselves."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service and pod."""
        bridges = sorted(set(scene.node.masters.values()))
        if not bridges:
            return
        flows = scene.table.flows
        moved = signs.has(flows, rows, Seen.TRANSLATED)
        kept = signs.same(flows["source"][rows], flows["client"][rows])
        bridged = ~moved & signs.has(flows, rows, Seen.RETRANSMITTED)
        lost = ((moved & ~kept) | bridged) & places.lost_to_itself(scene, rows)
        for group in by_destination(scene, rows[lost]):
            for part in by_backend(scene, group):
                yield _finding(scene, part, bridges), part.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the Service answers again and no pod failed to reach itself for a while."""
        return not answered_since(scene, finding, QUIET_NS)


def _finding(scene: Scene, group: Group, bridges: list[str]) -> Finding:
    pod = packed_at(scene.table.flows["backend"], int(group.rows[0]))
    subject = group.subject(scene)
    moved = signs.has(scene.table.flows, group.rows[:1], Seen.TRANSLATED)[0]
    how = "is chosen itself and masqueraded" if moved else "which is itself"
    return flow_finding(
        scene,
        CAUSE,
        Subject(subject.service, pod, None, subject.flow),
        group.rows,
        confidence=scene.absence_confidence(0.8),
        summary=(
            f"{text(pod)} asks {group.name}, {how}, and its packet does not come back through "
            f"bridge {plain(bridges[0])}"
        ),
        evidence=(
            Evidence("rule", f"pods are ports of bridge {plain(', '.join(bridges[:3]))}"),
            *flow_lines(scene, group.rows, "packet", "to itself, no answer"),
        ),
        remedy=CAUSE.steps(device=_port(scene, int(group.rows[0])) or f"<port of {text(pod)}>"),
    )


def _port(scene: Scene, row: int) -> str:
    """The bridge's port by which the pod's requests come; empty where that was not seen."""
    flows, names = scene.table.flows, scene.node.interfaces
    mine = flows["alive"] & (flows["client"] == flows["client"][row]).all(axis=1)
    mine &= flows["client_port"] == flows["client_port"][row]
    for number in np.unique(flows["leg_ifindex"][mine]):
        name = names.get(int(number), "")
        if name in scene.node.masters:
            return word(name)
    return ""
