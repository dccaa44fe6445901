"""A foreign address of externalIPs is bound on kube-ipvs0 of every node.

Claims: everything sent to that address, on every port, ends on the sending node; only
the Service's own ports are served.
Evidence: ipvs mode, and an address of externalIPs that is a next hop of this node's
routes, or a public one; requests for it that were refused or not answered here.
Cannot know: whether the operator owns a public address that a Service claims; a next
hop is never the Service's own. Nodes' addresses are ``ipvs-external-ip-is-node-ip``,
private addresses may well be meant for Services and are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tracer.address import text
from tracer.cluster.model import Service
from tracer.diagnosis import signs
from tracer.diagnosis.causes.claims import BLACKHOLE_ANY_IP as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Severity, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import bound_addresses, gateways, is_public, state_finding
from tracer.diagnosis.subjects import by_destination, flow_finding
from tracer.diagnosis.wording import flow_lines, plain, prefix, service_word
from tracer.flow import Rows, Seen
from tracer.node.model import IPVS_DEVICE


class ForeignAddressClaimed:
    """Judges the state: externalIPs against what this node binds and routes by."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """One finding for each Service and address."""
        for service, address in _claims(scene):
            yield _finding(scene, service, address)


class ForeignAddressSwallowed:
    """Judges flows that were meant for the address itself."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service and address."""
        claims = {address: service for service, address in _claims(scene)}
        if not claims:
            return
        flows = scene.table.flows
        lost = signs.among(flows["virtual"][rows], frozenset(claims))
        lost &= ~signs.has(flows, rows, Seen.TRANSLATED) & ~signs.answered(flows, rows)
        lost &= (flows["service"][rows] < 0) & signs.witnessed(flows, rows)
        lost &= signs.has(flows, rows, signs.REFUSED | Seen.LOCAL_IN) | signs.silent(scene, rows)
        for group in by_destination(scene, rows[lost]):
            found = _finding(scene, claims[group.virtual], group.virtual)
            flow = group.subject(scene).flow
            yield (
                flow_finding(
                    scene,
                    CAUSE,
                    Subject(found.subject.service, group.virtual, None, flow),
                    group.rows,
                    severity=found.severity,
                    confidence=found.confidence,
                    summary=found.summary,
                    evidence=found.evidence
                    + flow_lines(scene, group.rows, "kernel", "ended on this node"),
                    remedy=found.remedy,
                ),
                group.rows,
            )

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """While a Service claims the address and it is bound here."""
        return any(address == finding.subject.address for _, address in _claims(scene))


def _claims(scene: Scene) -> Iterator[tuple[Service, bytes]]:
    """Foreign addresses that Services claim and this node binds, in a stable order."""
    if scene.node.proxy_mode != "ipvs":
        return
    ways = gateways(scene)
    bound = bound_addresses(scene) if "addresses" in scene.node.known else None
    for service in sorted(scene.cluster.services, key=lambda service: service.key):
        for address in service.external_ips:
            foreign = address in ways or is_public(address)
            if address in scene.cluster.node_by_address or not foreign:
                continue
            if bound is None or address in bound:
                yield service, address


def _finding(scene: Scene, service: Service, address: bytes) -> Finding:
    way = address in gateways(scene)
    what = "a next hop of this node's routes" if way else "a public address"
    namespace, name = service_word(service.key)
    return state_finding(
        scene,
        CAUSE,
        Subject(service=service.key, address=address),
        severity=Severity.CRITICAL if way else CAUSE.severity,
        confidence=0.95 if way else 0.7,
        summary=(
            f"{text(address)}, {what}, is bound on {IPVS_DEVICE} for Service "
            f"{plain(service.key)}: packets for it, on every port, end on the node that sends them"
        ),
        evidence=(
            Evidence(
                "object", f"Service {plain(service.key)}: spec.externalIPs has {text(address)}"
            ),
            Evidence("rule", f"ip addr: {prefix(address)} on {IPVS_DEVICE}"),
        ),
        remedy=CAUSE.steps(namespace=namespace, name=name, prefix=prefix(address)),
    )
