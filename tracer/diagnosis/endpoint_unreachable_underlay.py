"""The request was translated to an endpoint that this node finds no way to.

Claims: no route leads to the endpoint, or its next hop does not answer.
Evidence: an endpoint that Kubernetes lists, and IPVS finding no route, a drop for want
of a route or a neighbour, or an ICMP network or host unreachable.
Cannot know: which part of the pod network failed. Packets that leave and are lost
further on give no such sign, and are never answered for no known cause.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tracer.address import endpoint, packed_at, text
from tracer.diagnosis import drops, signs
from tracer.diagnosis.causes.host import ENDPOINT_UNREACHABLE as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import (
    Group,
    answered_since,
    by_backend,
    by_destination,
    flow_finding,
)
from tracer.diagnosis.wording import drop_text, flow_lines, plain, refusal_text
from tracer.flow import Rows, Seen

QUIET_NS = 10_000_000_000
_UNREACHABLE = (3 << 8, 3 << 8 | 1, 1 << 8, 1 << 8 | 3)
"""Network and host unreachable; in ICMPv6 no route and address unreachable."""
_REASONS = ("NEIGH_FAILED", "NEIGH_QUEUEFULL", "NEIGH_DEAD", "IP_INNOROUTES", "IP_OUTNOROUTES")


class EndpointUnreachable:
    """Explains translated requests without a way to go."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service and endpoint."""
        flows = scene.table.flows
        moved = signs.has(flows, rows, Seen.TRANSLATED) & (flows["service"][rows] >= 0)
        told = drops.with_reason(scene, rows, *_REASONS) | signs.has(flows, rows, Seen.NO_ROUTE)
        icmp = signs.has(flows, rows, Seen.ICMP_REFUSED) & ~drops.by_netfilter(scene, rows)
        told |= icmp & np.isin(flows["refusal"][rows], _UNREACHABLE)
        for group in by_destination(scene, rows[moved & told & ~signs.answered(flows, rows)]):
            for part in by_backend(scene, group):
                node = _node_of_endpoint(scene, part)
                if node is not None:
                    yield _finding(scene, part, node), part.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the destination answers again and nothing failed for a while."""
        return not answered_since(scene, finding, QUIET_NS)


def _node_of_endpoint(scene: Scene, group: Group) -> str | None:
    """The node of the endpoint chosen, maybe unnamed; None when it is no usable endpoint."""
    flows, first = scene.table.flows, int(group.rows[0])
    ip, port = packed_at(flows["backend"], first), int(flows["backend_port"][first])
    found = [e.node for e in group.usable(scene) if (e.ip, e.port) == (ip, port)]
    return found[0] if found else None


def _told(scene: Scene, row: int) -> str:
    seen = int(scene.table.flows["seen"][row])
    if seen & Seen.NO_ROUTE:
        return "IPVS found no route to the endpoint"
    if seen & Seen.ICMP_REFUSED:
        return f"refused with {refusal_text(scene, row)}"
    return f"dropped ({drop_text(scene, row)})"


def _finding(scene: Scene, group: Group, node: str) -> Finding:
    flows, first = scene.table.flows, int(group.rows[0])
    ip, port = packed_at(flows["backend"], first), int(flows["backend_port"][first])
    where = f" on node {plain(node)}" if node else ""
    subject = group.subject(scene)
    listed = f"{endpoint(ip, port)}{where} is listed as a usable endpoint"
    return flow_finding(
        scene,
        CAUSE,
        Subject(subject.service, ip, None, subject.flow),
        group.rows,
        confidence=0.9,
        summary=f"no way leads from here to {text(ip)}{where}, an endpoint of {group.name}",
        evidence=(
            Evidence("object", listed),
            *flow_lines(scene, group.rows, "kernel", _told(scene, first)),
        ),
        remedy=CAUSE.steps(
            backend=text(ip), port=str(port), node=plain(node) if node else "of the endpoint"
        ),
    )
