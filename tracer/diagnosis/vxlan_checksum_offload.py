"""Tunnel packets arrive with a wrong checksum.

Claims: the kernel dropped packets of the pod network's tunnel for their outer UDP
checksum.
Evidence: the kernel's drop reason UDP_CSUM for datagrams to a port of VXLAN or Geneve.
Cannot know: which sender computes it wrongly, its kernel or its card.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tracer.address import packed_at, text
from tracer.diagnosis import drops, signs
from tracer.diagnosis.causes.tracking import VXLAN_CHECKSUM as CAUSE
from tracer.diagnosis.finding import Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import flow_finding, this_node
from tracer.diagnosis.wording import drop_text, flow_lines, flow_subject
from tracer.events import Protocol
from tracer.flow import Rows

TUNNELS = (8472, 4789, 6081)
"""Linux' own VXLAN port, IANA's, and Geneve's."""
QUIET_NS = 60_000_000_000


class VxlanChecksum:
    """Explains dropped tunnel packets."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each sending node."""
        flows = scene.table.flows
        bad = drops.with_reason(scene, rows, "UDP_CSUM")
        bad &= (flows["protocol"][rows] == Protocol.UDP) & np.isin(
            flows["virtual_port"][rows], TUNNELS
        )
        rows = signs.in_order(flows, rows[bad])
        for sender in sorted({packed_at(flows["client"], int(row)) for row in rows}):
            mine = rows[signs.among(flows["client"][rows], frozenset((sender,)))]
            yield _finding(scene, sender, mine), mine

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until none was dropped for a while."""
        return scene.now_ns - finding.last_ns < QUIET_NS


def _finding(scene: Scene, sender: bytes, rows: Rows) -> Finding:
    told = f"dropped ({drop_text(scene, int(rows[0]))})"
    return flow_finding(
        scene,
        CAUSE,
        Subject(
            address=sender,
            node=this_node(scene) or None,
            flow=flow_subject(scene, int(rows[0])),
        ),
        rows,
        confidence=0.9,
        summary=f"tunnel packets from {text(sender)} have a wrong checksum and are dropped here",
        evidence=flow_lines(scene, rows, "kernel", told),
        remedy=CAUSE.steps(),
    )
