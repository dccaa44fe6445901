"""A Service has no endpoint that kube-proxy may use.

Claims: the request was refused (or dropped) because the Service port has none.
Evidence: the cluster's EndpointSlices, together with IPVS finding no destination
(ipvs mode), ICMP port-unreachable from a REJECT rule (iptables, nftables), or
silence where that ICMP is filtered. IPVS's word alone counts when no cluster is known.
Cannot know: why no endpoint is ready; a reset never comes from this cause.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.diagnosis import signs
from tracer.diagnosis.causes.endpoints import NO_ENDPOINTS as CAUSE
from tracer.diagnosis.finding import Evidence, Finding
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group, answered_since, by_destination, flow_finding
from tracer.diagnosis.wording import flow_lines, plain, refusal_text, service_word, word
from tracer.flow import Rows, Seen


class NoEndpoints:
    """Explains refusals of Services without endpoints."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service port without endpoints."""
        flows = scene.table.flows
        told = signs.has(flows, rows, Seen.NO_DESTINATION) | signs.port_unreachable(flows, rows)
        sent_on = signs.has(flows, rows, Seen.TRANSLATED | Seen.RST_BEFORE_ANSWER)
        silent = signs.silent(scene, rows)
        refused = ~signs.answered(flows, rows) & ~sent_on & (told | silent)
        for group in by_destination(scene, rows[refused]):
            if group.hit is None:
                yield from _without_cluster(scene, group)
            elif _has_none(scene, group):
                yield _finding(scene, group, _confidence(scene, group)), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until endpoints come back, the Service goes, or its port answers again."""
        service = finding.subject.service
        if answered_since(scene, finding):
            return False
        if service is None or not scene.cluster.services:
            return True
        ports = scene.cluster.services_by_key.get(service)
        return ports is not None and any(
            not scene.cluster.usable_endpoints(service, port.name) for port in ports.ports
        )


def _has_none(scene: Scene, group: Group) -> bool:
    """A known Service of which the known EndpointSlices offer nothing."""
    known = "endpoints" in scene.cluster.known and group.service(scene) is not None
    return known and not group.usable(scene)


def _without_cluster(scene: Scene, group: Group) -> Iterable[tuple[Finding, Rows]]:
    """IPVS itself knows a virtual server by that address, and that it has no real server."""
    if scene.cluster.services:
        return
    told = group.rows[signs.has(scene.table.flows, group.rows, Seen.NO_DESTINATION)]
    if told.size:
        narrowed = Group(None, group.virtual, group.port, told)
        yield _finding(scene, narrowed, 0.8), told


def _confidence(scene: Scene, group: Group) -> float:
    flows = scene.table.flows
    if signs.has(flows, group.rows, Seen.NO_DESTINATION).any():
        return 1.0
    if signs.port_unreachable(flows, group.rows).any():
        return 0.95
    return scene.absence_confidence(0.7)


def _finding(scene: Scene, group: Group, confidence: float) -> Finding:
    service = group.service(scene)
    namespace, name = (
        service_word(group.service_key) if group.service_key else ("<namespace>", "<service>")
    )
    labels = (
        ",".join(f"{key}={value}" for key, value in sorted(service.selector.items()))
        if service
        else ""
    )
    return flow_finding(
        scene,
        CAUSE,
        group.subject(scene),
        group.rows,
        confidence=confidence,
        summary=f"{group.name} has no usable endpoint: connections to it are refused",
        evidence=_objects(scene, group) + _flows(scene, group),
        remedy=CAUSE.steps(
            namespace=namespace, name=name, selector=word(labels) if labels else "<selector>"
        ),
    )


def _objects(scene: Scene, group: Group) -> tuple[Evidence, ...]:
    if group.hit is None:
        return ()
    known = scene.cluster.endpoints_by_service.get(group.hit.key, ())
    port = [endpoint for endpoint in known if endpoint.port_name == group.hit.port_name]
    label = f" port {plain(group.hit.port_name)}" if group.hit.port_name else ""
    told = f"Service {plain(group.hit.key)}{label}: 0 of {len(port)} endpoints usable"
    return (Evidence("object", told),)


def _flows(scene: Scene, group: Group) -> tuple[Evidence, ...]:
    flows, rows = scene.table.flows, group.rows
    ipvs = rows[signs.has(flows, rows, Seen.NO_DESTINATION)]
    if ipvs.size:
        return flow_lines(scene, ipvs, "ipvs", "the virtual server has no usable real server")
    icmp = rows[signs.port_unreachable(flows, rows)]
    if icmp.size:
        told = f"refused with {refusal_text(scene, int(icmp[0]))}"
        return flow_lines(scene, icmp, "kernel", told)
    return flow_lines(scene, rows, "packet", "no answer")
