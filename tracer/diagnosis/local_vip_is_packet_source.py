"""Packets whose source is a Service's address that is bound on this very node.

Claims: the kernel took the packets for spoofed and dropped them.
Evidence: a drop on arrival in the node's own namespace, of a packet whose source is
bound here and belongs to a Service.
Cannot know: who sent it; a load balancer that probes from its own address is the
usual one. Addresses of nodes are the affair of ``ipvs-external-ip-is-node-ip``.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import text
from tracer.diagnosis import drops, places, signs
from tracer.diagnosis.causes.addresses import LOCAL_VIP_IS_SOURCE as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import flow_finding
from tracer.diagnosis.wording import drop_text, flow_lines, flow_subject, plain, prefix
from tracer.flow import Rows

_ON_ARRIVAL = ("ip_rcv_finish_core", "ip_rcv_finish")


class LocalVipIsSource:
    """Explains requests that come from an address this node holds for a Service."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each address."""
        flows = scene.table.flows
        dropped = drops.with_reason(scene, rows, "NOT_SPECIFIED", "IP_LOCAL_SOURCE", "")
        dropped &= drops.at_place(scene, rows, *_ON_ARRIVAL)
        lost = dropped & drops.on_this_node(scene, rows) & ~signs.answered(flows, rows)
        if not lost.any():
            return
        held = _held(scene)
        for address in sorted(held):
            mine = rows[lost & signs.among(flows["client"][rows], frozenset((address,)))]
            if mine.size:
                yield _finding(scene, address, held[address], signs.in_order(flows, mine)), mine

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """While the address is bound here for a Service."""
        return finding.subject.address in _held(scene)


def _held(scene: Scene) -> dict[bytes, str]:
    """Addresses bound here that Services claim from outside, with the Service's key."""
    bound = places.own(scene) - scene.cluster.node_by_address.keys()
    claimed = {
        ip: service.key
        for service in scene.cluster.services
        for ip in (*service.load_balancer_ips, *service.external_ips)
    }
    return {ip: key for ip, key in claimed.items() if ip in bound}


def _finding(scene: Scene, address: bytes, service: str, rows: Rows) -> Finding:
    told = f"taken for spoofed ({drop_text(scene, int(rows[0]))})"
    owner = f"Service {plain(service)} has {text(address)}, which is bound on this node"
    return flow_finding(
        scene,
        CAUSE,
        Subject(service, address, None, flow_subject(scene, int(rows[0]))),
        rows,
        confidence=0.95,
        summary=(
            f"packets from {text(address)} are dropped on arrival: the node holds that address "
            f"itself, for Service {plain(service)}"
        ),
        evidence=(Evidence("object", owner), *flow_lines(scene, rows, "kernel", told)),
        remedy=CAUSE.steps(address=text(address), where=plain(service), prefix=prefix(address)),
    )
