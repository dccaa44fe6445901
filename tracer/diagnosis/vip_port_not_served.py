"""A request to a Service's address, on a port that no Service serves.

Claims: no rule takes that port: the request is refused, delivered to the node itself,
or routed away.
Evidence: the Service's address and ports, and what became of the request.
Cannot know: whether the client or the Service has the wrong port. Nothing is claimed
of addresses that a node or a pod has as well, nor of external ones while kube-proxy's
mode, or in ipvs mode the node's next hops, are not known: ipvs mode takes them from machines
that have them.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tracer.cluster.model import Service
from tracer.diagnosis import drops, signs
from tracer.diagnosis.causes.addresses import VIP_PORT_NOT_SERVED as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Severity, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.service_addresses import ports_of, service_at, unserved
from tracer.diagnosis.state_findings import gateways, is_public
from tracer.diagnosis.subjects import Group, answered_since, by_destination, flow_finding
from tracer.diagnosis.wording import drop_text, flow_lines, plain, refusal_text, service_word
from tracer.events import Protocol
from tracer.flow import Rows, Seen

QUIET_NS = 10_000_000_000


class VipPortNotServed:
    """Explains requests that no Service port takes."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service address."""
        flows = scene.table.flows
        carries = np.isin(flows["protocol"][rows], (Protocol.TCP, Protocol.UDP, Protocol.SCTP))
        # What went round until it was too old is a loop's: packets tell a moment later.
        told = signs.has(flows, rows, signs.REFUSED | Seen.DROPPED) & ~drops.too_old(scene, rows)
        told |= signs.silent(scene, rows)
        lost = carries & ~signs.answered(flows, rows) & told & signs.witnessed(flows, rows)
        lost &= ~signs.has(flows, rows, Seen.TRANSLATED | Seen.IPVS_NEW)
        astray = rows[lost]
        for group in by_destination(scene, astray[unserved(scene, astray)]):
            service = scene.cluster.service_by_address[group.virtual]
            checked = group.port == service.health_check_node_port
            if not checked and not _maybe_anothers(scene, service, group.virtual):
                yield _finding(scene, group), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the Service serves the port, or nobody has asked for it for a while."""
        service, flow = service_at(scene, finding.subject.address or b""), finding.subject.flow
        if service is not None and flow is not None:
            served = {(port.protocol, port.port) for port in service.ports}
            if (flow.protocol, flow.dst_port) in served:
                return False
        quiet = scene.now_ns - finding.last_ns >= QUIET_NS
        return not quiet and not answered_since(scene, finding)


def _maybe_anothers(scene: Scene, service: Service, address: bytes) -> bool:
    """Whether the address may be another machine's, which only ipvs mode keeps from answering."""
    mode = scene.node.proxy_mode
    if address not in service.external_ips or mode not in ("ipvs", ""):
        return False
    known = bool(mode) and "routes" in scene.node.known
    return not known or is_public(address) or address in gateways(scene)


def _fate(scene: Scene, row: int) -> str:
    seen = int(scene.table.flows["seen"][row])
    if seen & Seen.DROPPED:
        return f"dropped ({drop_text(scene, row)})"
    if seen & (Seen.ICMP_REFUSED | Seen.RST_BEFORE_ANSWER):
        return f"refused with {refusal_text(scene, row)}"
    return "no answer"


def _finding(scene: Scene, group: Group) -> Finding:
    service = scene.cluster.service_by_address[group.virtual]
    flows, rows = scene.table.flows, group.rows
    namespace, name = service_word(service.key)
    told = bool(signs.has(flows, rows, signs.REFUSED | Seen.DROPPED).any())
    serves = f"Service {plain(service.key)} has that address and serves {ports_of(service)}"
    inside = group.virtual in service.cluster_ips
    return flow_finding(
        scene,
        CAUSE,
        Subject(service.key, group.virtual, None, group.subject(scene).flow),
        rows,
        severity=CAUSE.severity if inside else Severity.INFO,
        confidence=0.95 if told else scene.absence_confidence(0.75),
        summary=(
            f"nothing serves {group.name}: the address is that of Service {plain(service.key)}, "
            f"which serves {ports_of(service)}"
        ),
        evidence=(
            Evidence("object", serves),
            *flow_lines(scene, rows, "kernel" if told else "packet", _fate(scene, int(rows[0]))),
        ),
        remedy=CAUSE.steps(
            namespace=namespace, name=name, ports=ports_of(service), port=str(group.port)
        ),
    )
