"""externalIPs names a public address, or a next hop of the nodes.

Claims: what pods and nodes send to that address and port goes to the Service's pods.
Evidence: spec.externalIPs against the nodes' addresses and this node's next hops, in a
mode that translates the Service's ports only.
Cannot know: whether the operator owns the public address. Private addresses that are
nobody's here are what externalIPs is for, and nothing is claimed of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import text
from tracer.cluster.model import Service
from tracer.diagnosis.causes.cause import RULE_MODES
from tracer.diagnosis.causes.claims import EXTERNAL_IP_HIJACK as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Severity, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.service_addresses import ports_of
from tracer.diagnosis.state_findings import gateways, is_public, state_finding
from tracer.diagnosis.wording import plain, service_word


class ExternalIpHijack:
    """Judges the state: externalIPs that are somebody else's."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """One finding for each Service and address."""
        if scene.node.proxy_mode not in RULE_MODES:
            return
        ways = gateways(scene)
        for service in sorted(scene.cluster.services, key=lambda service: service.key):
            for address in service.external_ips:
                if address in scene.cluster.node_by_address:
                    continue
                if address in ways or is_public(address):
                    yield _finding(scene, service, address, way=address in ways)


def _finding(scene: Scene, service: Service, address: bytes, *, way: bool) -> Finding:
    what = "a next hop of this node's routes" if way else "a public address"
    namespace, name = service_word(service.key)
    told = f"Service {plain(service.key)}: spec.externalIPs has {text(address)}"
    return state_finding(
        scene,
        CAUSE,
        Subject(service=service.key, address=address),
        severity=Severity.CRITICAL if way else CAUSE.severity,
        confidence=0.9 if way else 0.6,
        summary=(
            f"Service {plain(service.key)} claims {text(address)}, {what}: connections of pods "
            f"and nodes to {ports_of(service)} there end in its pods"
        ),
        evidence=(Evidence("object", told),),
        remedy=CAUSE.steps(namespace=namespace, name=name),
    )
