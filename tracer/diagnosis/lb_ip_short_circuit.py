"""Clients inside the cluster are all reset at a load balancer's address.

Claims: kube-proxy led them past the load balancer, and the pods cannot do with what
they send.
Evidence: clients of the cluster, a load balancer address translated here, and every one
of at least three such connections reset by the backend itself soon after its beginning.
Cannot know: what the load balancer would have added; a program that ends its
connections by resets looks the same, hence no more than a remark.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tracer.cluster.model import ServiceKind
from tracer.diagnosis import places, signs
from tracer.diagnosis.causes.claims import LB_SHORT_CIRCUIT as CAUSE
from tracer.diagnosis.finding import Evidence, Finding
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import (
    Group,
    answered_since,
    by_destination,
    flow_finding,
    since_lost,
)
from tracer.diagnosis.wording import flow_lines, plain, service_word
from tracer.flow import Flows, Leg, Rows, Seen

QUIET_NS = 60_000_000_000
LEAST, SOON_PACKETS = 3, 4
"""Connections that must all end so; answer packets (SYN-ACK, acknowledgements) before the reset."""


class LbShortCircuit:
    """Remarks on clients that never meet the load balancer."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service."""
        flows = scene.table.flows
        reset = _cut(flows, rows) & signs.answered(flows, rows)
        for group in by_destination(scene, rows[reset]):
            if group.hit is None or group.hit.kind != ServiceKind.LOAD_BALANCER:
                continue
            everything = _same_service(scene, group)
            inside = [
                ip
                for ip in places.distinct(scene, everything, "client")
                if places.of_cluster(scene.cluster, ip)
            ]
            mine = everything[signs.among(flows["client"][everything], frozenset(inside))]
            if len(mine) >= LEAST and _cut(flows, mine).all():
                yield since_lost(scene, _finding(scene, group), group.rows), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until such a connection goes well, or none was made for a while."""
        return not answered_since(scene, finding, QUIET_NS)


def _cut(flows: Flows, rows: Rows) -> signs.Mask:
    """Reset by the backend itself, after hardly an answer."""
    own = signs.same(flows["refused_by"][rows], flows["backend"][rows])
    few = flows["leg_packets"][rows, Leg.CLIENT_IN] <= SOON_PACKETS
    return np.asarray(signs.has(flows, rows, Seen.RST_BACKEND) & own & few)


def _same_service(scene: Scene, group: Group) -> Rows:
    flows = scene.table.flows
    number = flows["service"][group.rows[0]]
    found = flows["alive"] & (flows["service"] == number)
    return np.flatnonzero(found & (flows["seen"] & np.uint32(Seen.TRANSLATED) != 0))


def _finding(scene: Scene, group: Group) -> Finding:
    namespace, name = service_word(group.service_key or "")
    told = f"Service {plain(group.service_key or '')}: ipMode of the address is not Proxy"
    return flow_finding(
        scene,
        CAUSE,
        group.subject(scene),
        group.rows,
        confidence=0.5,
        summary=(
            f"all connections from inside the cluster to {group.name} are reset by its pods: they "
            "never pass the load balancer"
        ),
        evidence=(
            Evidence("object", told),
            *flow_lines(scene, group.rows, "packet", "reset by the backend after its beginning"),
        ),
        remedy=CAUSE.steps(namespace=namespace, name=name),
    )
