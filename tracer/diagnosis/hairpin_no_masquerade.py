"""A pod reached itself through a Service, and its own address stayed the source.

Claims: the pod dropped the packet, which came back to it from its own address.
Evidence: a translation whose backend is the client itself, with an unchanged source,
dropped or not answered.
Cannot know: which rule is missing. A node may well speak to itself. With a rewritten
source the same silence is another fault (a bridge without hairpin mode), and nothing
is claimed.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tracer.address import packed_at, text
from tracer.diagnosis import places, signs
from tracer.diagnosis.causes.cause import in_mode
from tracer.diagnosis.causes.nat import HAIRPIN_NO_MASQUERADE as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import (
    Group,
    answered_since,
    by_backend,
    by_destination,
    flow_finding,
)
from tracer.diagnosis.wording import drop_text, flow_lines
from tracer.flow import Flows, Leg, Rows, Seen

QUIET_NS = 30_000_000_000


class HairpinNoMasquerade:
    """Explains pods that do not reach themselves."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service and pod."""
        flows = scene.table.flows
        lost = signs.has(flows, rows, Seen.TRANSLATED) & places.lost_to_itself(scene, rows)
        lost &= signs.same(flows["source"][rows], flows["client"][rows])
        lost &= ~_over_a_bridge(flows, rows)
        for group in by_destination(scene, rows[lost]):
            for part in by_backend(scene, group):
                yield _finding(scene, part), part.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the Service answers again and no pod failed to reach itself for a while."""
        return not answered_since(scene, finding, QUIET_NS)


def _over_a_bridge(flows: Flows, rows: Rows) -> signs.Mask:
    """Read from packets alone, and not sent back by the interface it came in by: a bridge's."""
    sent, back = (flows["leg_ifindex"][rows, leg] for leg in (Leg.CLIENT_OUT, Leg.BACKEND_OUT))
    return np.asarray(signs.has(flows, rows, Seen.PAIRED) & (sent != back))


def _finding(scene: Scene, group: Group) -> Finding:
    flows, rows = scene.table.flows, group.rows
    pod = packed_at(flows["backend"], int(rows[0]))
    dropped = rows[signs.has(flows, rows, Seen.DROPPED)]
    lines: tuple[Evidence, ...] = (
        flow_lines(scene, dropped, "kernel", f"dropped ({drop_text(scene, int(dropped[0]))})")
        if dropped.size
        else flow_lines(scene, rows, "conntrack", "source unchanged, no answer")
    )
    subject = group.subject(scene)
    return flow_finding(
        scene,
        CAUSE,
        Subject(subject.service, pod, None, subject.flow),
        rows,
        confidence=0.95 if dropped.size else scene.absence_confidence(0.85),
        summary=(
            f"{text(pod)} asks {group.name}, is chosen itself, and gets the request from its own "
            "address: nothing is masqueraded"
        ),
        evidence=lines,
        remedy=in_mode(CAUSE.steps(pod=text(pod)), scene.node.proxy_mode),
    )
